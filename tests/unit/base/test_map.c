// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <stdio.h>

#include "base/map.h"

static int values[2000];

static struct slice key_of(int i, char *room)
{
    return slice_make(room, (size_t)snprintf(room, 16, "key%d", i));
}

static void put(struct map *m, int i)
{
    char room[16];
    assert_null(map_put(m, key_of(i, room), &values[i], NULL));
}

static void map_finds_what_was_put(void **state)
{
    (void)state;
    struct map m;
    char room[16];
    map_init(&m);
    assert_null(map_get(&m, SLICE("none")));
    for (int i = 0; i < 2000; i++) {
        put(&m, i);
    }
    for (int i = 0; i < 2000; i++) {
        assert_ptr_equal(map_get(&m, key_of(i, room)), &values[i]);
    }
    assert_false(map_has(&m, SLICE("key2000")));
    assert_int_equal(m.live, 2000);
    map_fini(&m);
}

static void map_put_replaces_and_tells_the_old(void **state)
{
    (void)state;
    struct map m;
    void *old = &m;
    map_init(&m);
    assert_null(map_put(&m, SLICE(""), &values[1], &old));
    assert_null(old);
    assert_null(map_put(&m, SLICE(""), &values[2], &old));
    assert_ptr_equal(old, &values[1]);
    assert_ptr_equal(map_get(&m, SLICE("")), &values[2]);
    assert_int_equal(m.live, 1);
    map_fini(&m);
}

static void map_walks_in_order_while_removing(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    for (int i = 0; i < 100; i++) {
        put(&m, i);
    }
    size_t at = 0;
    struct map_entry *entry;
    int expected = 0;
    while (map_next(&m, &at, &entry)) {
        assert_ptr_equal(entry->value, &values[expected]);
        if (expected % 2 == 0) {
            struct slice key = slice_make(entry->key, entry->key_len);
            assert_ptr_equal(map_remove(&m, key), &values[expected]);
        }
        expected++;
    }
    assert_int_equal(expected, 100);
    at = 0;
    expected = 1;
    while (map_next(&m, &at, &entry)) {
        assert_ptr_equal(entry->value, &values[expected]);
        expected += 2;
    }
    assert_null(map_remove(&m, SLICE("key0")));
    map_fini(&m);
}

static void map_churn_stays_small(void **state)
{
    (void)state;
    struct map m;
    char room[16];
    map_init(&m);
    for (int i = 0; i < 2000; i++) {
        put(&m, i);
        if (i >= 5) {
            assert_ptr_equal(map_remove(&m, key_of(i - 5, room)), &values[i - 5]);
        }
    }
    assert_int_equal(m.live, 5);
    assert_true(m.entry_cap < 40);
    for (int i = 1995; i < 2000; i++) {
        assert_ptr_equal(map_get(&m, key_of(i, room)), &values[i]);
    }
    map_fini(&m);
}

static void map_survives_no_memory(void **state)
{
    (void)state;
    TORTURE(n)
    {
        struct map m;
        char room[16];
        size_t held = 0;
        map_init(&m);
        for (int i = 0; i < 20; i++) {
            struct nrd_status *status = map_put(&m, key_of(i, room), &values[i], NULL);
            held += status == NULL ? 1 : 0;
            assert_true(status == NULL || map_get(&m, key_of(i, room)) == NULL);
            status_free(status);
        }
        assert_int_equal(m.live, held);
        assert_true(held >= 19);
        map_fini(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_finds_what_was_put),
        cmocka_unit_test(map_put_replaces_and_tells_the_old),
        cmocka_unit_test(map_walks_in_order_while_removing),
        cmocka_unit_test(map_churn_stays_small),
        cmocka_unit_test(map_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
