// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gpu/suballoc.h"

enum { STRETCH = 1 << 20 };

static void suballoc_gives_what_it_has_exactly(void **state)
{
    (void)state;
    struct suballoc s;
    struct suballoc_place *first;
    struct suballoc_place *places[4];
    suballoc_init(&s);
    first = suballoc_add_stretch(&s, 0x1000, STRETCH);
    for (int i = 0; i < 4; i++) {
        assert_true(suballoc_get(&s, STRETCH / 4, &places[i]));
        assert_int_equal(suballoc_address(places[i]), 0x1000 + i * (STRETCH / 4));
        assert_int_equal(suballoc_size(places[i]), STRETCH / 4);
    }
    struct suballoc_place *none;
    assert_false(suballoc_get(&s, 1, &none));
    assert_false(suballoc_remove_stretch(&s, first));
    for (int i = 3; i >= 0; i--) {
        suballoc_put(&s, places[i]);
    }
    assert_true(suballoc_get(&s, STRETCH, &places[0]));
    suballoc_put(&s, places[0]);
    assert_true(suballoc_remove_stretch(&s, first));
    assert_false(suballoc_get(&s, 1, &none));
    suballoc_fini(&s);
}

static void suballoc_refuses_sizes_that_overflow(void **state)
{
    (void)state;
    struct suballoc s;
    struct suballoc_place *place;
    suballoc_init(&s);
    struct suballoc_place *first = suballoc_add_stretch(&s, 0, (uint64_t)1 << 40);
    assert_false(suballoc_get(&s, UINT64_MAX, &place));
    assert_false(suballoc_get(&s, ((uint64_t)1 << 40) + 1, &place));
    assert_true(suballoc_get(&s, (uint64_t)1 << 40, &place));
    suballoc_put(&s, place);
    assert_true(suballoc_get(&s, 0, &place));
    assert_int_equal(suballoc_size(place), SUBALLOC_ALIGN);
    suballoc_put(&s, place);
    assert_true(suballoc_remove_stretch(&s, first));
    suballoc_fini(&s);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

// Whatever is got and put in whatever order: places never overlap, and in the end all of it is one place again.
static void suballoc_keeps_places_apart_and_joins_them_again(void **state)
{
    (void)state;
    enum { LIVE = 200, STEPS = 20000 };
    static unsigned char owner[STRETCH / SUBALLOC_ALIGN];
    static struct suballoc_place *live[LIVE];
    struct suballoc s;
    uint32_t seed = 7;
    unsigned got = 0;
    suballoc_init(&s);
    struct suballoc_place *first = suballoc_add_stretch(&s, 0, STRETCH);
    for (int step = 0; step < STEPS; step++) {
        unsigned i = next_random(&seed) % LIVE;
        if (live[i] != NULL) {
            memset(owner + suballoc_address(live[i]) / SUBALLOC_ALIGN, 0,
                   suballoc_size(live[i]) / SUBALLOC_ALIGN);
            suballoc_put(&s, live[i]);
            live[i] = NULL;
        } else if (suballoc_get(&s, 1 + next_random(&seed) % (1u << (6 + next_random(&seed) % 11)),
                                &live[i])) {
            size_t at = suballoc_address(live[i]) / SUBALLOC_ALIGN;
            size_t units = suballoc_size(live[i]) / SUBALLOC_ALIGN;
            assert_true(at + units <= sizeof(owner));
            for (size_t u = at; u < at + units; u++) {
                assert_int_equal(owner[u], 0);
                owner[u] = 1;
            }
            got++;
        }
    }
    assert_true(got > STEPS / 4);
    for (int i = 0; i < LIVE; i++) {
        if (live[i] != NULL) {
            suballoc_put(&s, live[i]);
            live[i] = NULL;
        }
    }
    assert_true(suballoc_remove_stretch(&s, first));
    suballoc_fini(&s);
}

static void suballoc_survives_lack_of_memory(void **state)
{
    (void)state;
    struct suballoc s;
    struct suballoc_place *place = NULL;
    suballoc_init(&s);
    mem_fail_after(1);
    assert_null(suballoc_add_stretch(&s, 0, STRETCH));
    struct suballoc_place *first = suballoc_add_stretch(&s, 0, STRETCH);
    mem_fail_after(1);
    assert_false(suballoc_get(&s, 256, &place));
    assert_true(suballoc_get(&s, STRETCH, &place));
    suballoc_put(&s, place);
    assert_true(suballoc_remove_stretch(&s, first));
    suballoc_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(suballoc_gives_what_it_has_exactly),
        cmocka_unit_test(suballoc_refuses_sizes_that_overflow),
        cmocka_unit_test(suballoc_keeps_places_apart_and_joins_them_again),
        cmocka_unit_test(suballoc_survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
