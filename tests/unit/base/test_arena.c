// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/arena.h"

static void arena_allocations_are_aligned_and_apart(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 128);
    char *last = NULL;
    for (size_t size = 0; size < 300; size += 7) {
        char *p = arena_alloc(&a, size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 0x5a, size);
        assert_ptr_not_equal(p, last);
        last = p;
    }
    arena_fini(&a);
}

static void arena_reset_keeps_the_first_block(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    void *first = arena_alloc(&a, 100);
    assert_non_null(arena_alloc(&a, 10000));
    arena_reset(&a);
    uint64_t before = mem_count();
    assert_ptr_equal(arena_alloc(&a, 100), first);
    assert_non_null(arena_alloc(&a, 3000));
    assert_int_equal(mem_count(), before);
    arena_fini(&a);
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 1));
    arena_fini(&a);
}

static void arena_reset_lets_a_huge_first_block_go(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    assert_non_null(arena_alloc(&a, 1 << 20));
    arena_reset(&a);
    assert_null(a.first);
    assert_non_null(arena_alloc(&a, 100));
    arena_reset(&a);
    assert_non_null(a.first);
    arena_fini(&a);
}

static void arena_grow_extends_the_newest_in_place(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1024);
    char *p = arena_alloc(&a, 10);
    memcpy(p, "0123456789", 10);
    assert_ptr_equal(arena_grow(&a, p, 10, 16), p);
    assert_ptr_equal(arena_grow(&a, p, 16, 500), p);
    void *other = arena_alloc(&a, 1);
    assert_non_null(other);
    char *q = arena_grow(&a, p, 500, 600);
    assert_ptr_not_equal(q, p);
    assert_memory_equal(q, "0123456789", 10);
    char *big = arena_grow(&a, q, 600, 5000);
    assert_ptr_not_equal(big, q);
    assert_memory_equal(big, "0123456789", 10);
    assert_ptr_equal(arena_grow(&a, big, 5000, 10), big);
    assert_non_null(arena_grow(&a, NULL, 0, 10));
    arena_fini(&a);
}

static void arena_zeroes_and_copies(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    memset(arena_alloc(&a, 64), 0xff, 64);
    arena_reset(&a);
    char *zero = arena_calloc(&a, 8, 8);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(zero[i], 0);
    }
    assert_string_equal(arena_strdup(&a, SLICE("text")), "text");
    assert_string_equal(arena_strdup(&a, slice_of(NULL)), "");
    arena_fini(&a);
}

static void arena_refuses_what_cannot_be(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 16));
    assert_null(arena_calloc(&a, SIZE_MAX / 2, 3));
    void *p = arena_alloc(&a, 1);
    assert_null(arena_grow(&a, p, 1, SIZE_MAX));
    mem_fail_after(1);
    assert_null(arena_alloc(&a, 100000));
    assert_non_null(arena_alloc(&a, 100000));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_allocations_are_aligned_and_apart),
        cmocka_unit_test(arena_reset_keeps_the_first_block),
        cmocka_unit_test(arena_reset_lets_a_huge_first_block_go),
        cmocka_unit_test(arena_grow_extends_the_newest_in_place),
        cmocka_unit_test(arena_zeroes_and_copies),
        cmocka_unit_test(arena_refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
