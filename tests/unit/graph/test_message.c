// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "base/mem.h"
#include "graph/message_private.h"
#include "units.h"

static struct nrd_tensor *scalar(int8_t value)
{
    struct nrd_tensor *t = NULL;
    ok(nrd_tensor_create(NRD_DTYPE_I8, NULL, 0, &t));
    *(int8_t *)t->data = value;
    return t;
}

static void fill(struct nrd_message *m, int count)
{
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%d", i);
        ok(nrd_message_add_tensor(m, name, scalar((int8_t)i)));
    }
}

static void message_holds_any_number_of_named_tensors(void **state)
{
    (void)state;
    struct nrd_message *m = nrd_message_create();
    fill(m, 40);
    assert_int_equal(nrd_message_tensor_count(m), 40);
    for (int i = 0; i < 40; i++) {
        char name[16];
        const char *is = NULL;
        snprintf(name, sizeof(name), "t%d", i);
        struct nrd_tensor *t = nrd_message_tensor_at(m, (size_t)i, &is);
        assert_string_equal(is, name);
        assert_ptr_equal(nrd_message_tensor(m, name), t);
        assert_int_equal(*(const int8_t *)t->data, i);
    }
    assert_null(nrd_message_tensor_at(m, 40, NULL));
    assert_null(nrd_message_tensor(m, "t40"));
    ok(nrd_message_add_tensor(m, "t17", scalar(99))); // replaces
    assert_int_equal(nrd_message_tensor_count(m), 40);
    assert_int_equal(*(const int8_t *)nrd_message_tensor(m, "t17")->data, 99);
    nrd_message_unref(m);
}

static void tensor_is_found_by_name_or_as_the_only_one(void **state)
{
    (void)state;
    struct nrd_message *m = nrd_message_create();
    struct nrd_tensor *t = NULL;
    fails(nrd_message_find_tensor(m, "image", &t), "message has no tensor 'image' (it has none)");
    ok(nrd_message_add_tensor(m, "video", scalar(1)));
    ok(nrd_message_find_tensor(m, "", &t));
    assert_int_equal(*(const int8_t *)t->data, 1);
    fails(nrd_message_find_tensor(m, "image", &t), "no tensor 'image' (it has 'video')");
    ok(nrd_message_add_tensor(m, "", scalar(2)));
    ok(nrd_message_find_tensor(m, "", &t)); // "" is a name
    assert_int_equal(*(const int8_t *)t->data, 2);
    char name[70];
    memset(name, 'x', sizeof(name));
    name[64] = '\0';
    t = scalar(3);
    fails(nrd_message_add_tensor(m, name, t), "is longer than 63 bytes");
    nrd_tensor_unref(t);
    name[63] = '\0';
    ok(nrd_message_add_tensor(m, name, scalar(3)));
    nrd_message_unref(m);
}

static int released;
static void note_release(void *object)
{
    released += *(int *)object;
}

static void value_object_and_time_travel_with_the_message(void **state)
{
    (void)state;
    struct nrd_message *m = nrd_message_create();
    double number = 2.5;
    char big[NRD_MESSAGE_VALUE_MAX + 1] = {0};
    const char *type = NULL;
    size_t size = 0;
    assert_null(nrd_message_value(m, NULL, NULL));
    assert_int_equal(nrd_message_acquired(m), -1);
    assert_int_equal(nrd_message_set_value(m, "big", big, sizeof(big)), NRD_INVALID_ARG);
    assert_int_equal(nrd_message_set_value(m, "double", &number, sizeof(number)), NRD_OK);
    assert_true(*(const double *)nrd_message_value(m, &type, &size) == 2.5);
    assert_string_equal(type, "double");
    assert_int_equal(size, 8);
    int first = 1;
    int second = 10;
    released = 0;
    nrd_message_set_object(m, "thing", &first, note_release);
    assert_null(nrd_message_object(m, "other"));
    assert_ptr_equal(nrd_message_object(m, "thing"), &first);
    nrd_message_set_object(m, "thing", &second, note_release);
    assert_int_equal(released, 1);
    nrd_message_set_acquired(m, 77);
    assert_int_equal(nrd_message_acquired(m), 77);
    nrd_message_ref(m);
    assert_false(nrd_message_is_writable(m));
    nrd_message_unref(m);
    assert_int_equal(released, 1);
    nrd_message_unref(m);
    assert_int_equal(released, 11);
    nrd_message_unref(NULL);
}

static void copy_shares_tensors(void **state)
{
    (void)state;
    struct nrd_message *m = nrd_message_create();
    int64_t number = 5;
    fill(m, 20);
    assert_int_equal(nrd_message_set_value(m, "number", &number, sizeof(number)), NRD_OK);
    nrd_message_set_acquired(m, 9);
    struct nrd_message *copy = message_copy(NULL, m);
    assert_ptr_equal(nrd_message_tensor(copy, "t19"), nrd_message_tensor(m, "t19"));
    assert_false(nrd_tensor_is_writable(nrd_message_tensor(m, "t3")));
    nrd_message_unref(m);
    assert_true(nrd_tensor_is_writable(nrd_message_tensor(copy, "t3")));
    assert_int_equal(*(const int64_t *)nrd_message_value(copy, NULL, NULL), 5);
    assert_int_equal(nrd_message_acquired(copy), 9);
    nrd_message_unref(copy);
}

static void pools_make_messages_without_the_heap(void **state)
{
    (void)state;
    struct message_pools pools;
    ok(message_pools_init(&pools, 50));
    struct nrd_message *first = message_get(&pools); // makes this thread's cache
    nrd_message_unref(first);
    uint64_t before = mem_count();
    struct nrd_message *held[50];
    for (int i = 0; i < 50; i++) {
        held[i] = message_get(&pools);
    }
    for (int i = 0; i < 50; i++) {
        nrd_message_unref(held[i]);
    }
    assert_int_equal(mem_count(), before);
    message_pools_fini(&pools);
}

static struct nrd_status *count_allocations(struct nrd_compute *ctx, struct unit *u)
{
    unit_take(ctx, u, 0);
    if (u->computes == 100) {
        u->times[0] = (int64_t)mem_count();
    } else if (u->computes == 2000) {
        u->times[1] = (int64_t)mem_count();
    }
    return NULL;
}

static void running_graph_allocates_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < UNIT_SCHEDULER_COUNT; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        set_scheduler(f, UNIT_SCHEDULERS[i][0], UNIT_SCHEDULERS[i][1]);
        struct nrd_operator *tx = add_source(f, "tx", 2000);
        struct nrd_operator *mid = add(f, &UNIT_PASS, "mid", NULL);
        struct nrd_operator *rx = add(f, &UNIT_SINK, "rx", NULL);
        unit_of(rx)->act = count_allocations;
        flow(tx, mid);
        flow(mid, rx);
        ok(nrd_app_run(app));
        // The first threads run while others are still being started: a late one costs its start and its cache of the pool,
        // two allocations each for at most three, however many messages there are.
        assert_in_range(unit_of(rx)->times[1] - unit_of(rx)->times[0], 0, i < 2 ? 0 : 6);
        nrd_app_destroy(app);
    }
}

static void graph_that_runs_out_of_memory_says_so(void **state)
{
    (void)state;
    // Run once for each allocation, with that one failing, until all were reached.
    for (uint64_t n = 1, before = 0; n != 0; n = mem_count() - before >= n ? n + 1 : 0) {
        before = mem_count();
        mem_fail_after(n);
        struct nrd_app *app = NULL;
        struct nrd_operator *tx = NULL;
        struct nrd_operator *rx = NULL;
        struct nrd_status *status = nrd_app_create("torture", &app);
        if (status == NULL) {
            status = nrd_add_operator_class(nrd_app_fragment(app), &UNIT_SOURCE, "tx", NULL, &tx);
        }
        if (status == NULL) {
            status = nrd_add_operator_class(nrd_app_fragment(app), &UNIT_SINK, "rx", NULL, &rx);
        }
        if (status == NULL) {
            status = nrd_add_condition(tx, "CountCondition", NULL, NULL, NULL);
        }
        if (status == NULL) {
            status = nrd_add_flow(tx, "", rx, "", NULL);
        }
        if (status == NULL) {
            status = nrd_app_run(app);
        }
        mem_fail_after(0);
        if (status != NULL) {
            assert_true(status_code(status) == NRD_UNAVAILABLE ||
                        strstr(status_text(status), "cannot send") != NULL);
        } else {
            assert_int_equal(unit_of(rx)->value_count, 1);
        }
        status_free(status);
        nrd_app_destroy(app);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_holds_any_number_of_named_tensors),
        cmocka_unit_test(tensor_is_found_by_name_or_as_the_only_one),
        cmocka_unit_test(value_object_and_time_travel_with_the_message),
        cmocka_unit_test(copy_shares_tensors),
        cmocka_unit_test(pools_make_messages_without_the_heap),
        cmocka_unit_test(running_graph_allocates_nothing),
        cmocka_unit_test(graph_that_runs_out_of_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
