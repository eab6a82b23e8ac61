// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "protocol/http_compress.h"

static void accepted_coding_is_the_heaviest(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        enum coding coding;
    } cases[] = {
        {"gzip", CODING_GZIP},
        {"deflate", CODING_DEFLATE},
        {"identity", CODING_IDENTITY},
        {"", CODING_IDENTITY},
        {"br", CODING_IDENTITY},
        {"*", CODING_IDENTITY},
        {"gzip, deflate", CODING_GZIP},
        {"gzip;q=0.5, deflate;q=0.8", CODING_DEFLATE},
        {"gzip;q=0.8,deflate;q=0.8", CODING_GZIP},
        {"gzip;q=0", CODING_IDENTITY},
        {"deflate;q=x, gzip", CODING_GZIP},
        {"identity;q=1, gzip;q=0.9", CODING_IDENTITY},
        {",,gzip", CODING_GZIP},
        {";q=1", CODING_IDENTITY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (coding_accepted(slice_of(cases[i].value)) != cases[i].coding) {
            fail_msg("'%s'", cases[i].value);
        }
    }
    assert_int_equal(coding_of(SLICE("gzip")), CODING_GZIP);
    assert_int_equal(coding_of((struct slice){NULL, 0}), CODING_IDENTITY);
    assert_int_equal(coding_of(SLICE("GZIP")), CODING_UNKNOWN);
}

static void what_is_deflated_inflates_again(void **state)
{
    (void)state;
    struct buffer_pool *pool = buffer_pool_create(1 << 20);
    static char big[300000];
    for (size_t i = 0; i < sizeof(big); i++) {
        big[i] = (char)(i * i >> 7);
    }
    struct stream_chunk second = {.ptr = big, .len = sizeof(big)};
    struct stream_chunk first = {.next = &second, .ptr = "head", .len = 4};
    for (int coding = CODING_GZIP; coding <= CODING_DEFLATE; coding++) {
        struct str out = STR_INIT;
        assert_null(coding_deflate((enum coding)coding, &first, &out));
        void *back = NULL;
        size_t size = 0;
        assert_null(coding_inflate(pool, str_slice(&out), sizeof(big) + 4, &back, &size));
        assert_int_equal(size, sizeof(big) + 4);
        assert_memory_equal(back, "head", 4);
        assert_memory_equal((char *)back + 4, big, sizeof(big));
        buffer_pool_put(pool, back);
        struct nrd_status *status =
            coding_inflate(pool, str_slice(&out), sizeof(big) + 3, &back, &size);
        assert_non_null(strstr(status_text(status), "exceeds the maximum allowed value of 300003"));
        status_free(status);
        // Cut short and damaged.
        for (size_t len = 0; len < out.len; len += 1 + out.len / 37) {
            status = coding_inflate(pool, slice_make(out.ptr, len), 1 << 20, &back, &size);
            assert_non_null(status);
            status_free(status);
        }
        out.ptr[0] ^= 0x55;
        status = coding_inflate(pool, str_slice(&out), 1 << 20, &back, &size);
        assert_non_null(status);
        status_free(status);
        str_fini(&out);
    }
    buffer_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_coding_is_the_heaviest),
        cmocka_unit_test(what_is_deflated_inflates_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
