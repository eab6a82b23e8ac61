// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

struct seen {
    char name[16];
    int id;
    bool signals_blocked;
};

static void look(void *arg)
{
    struct seen *seen = arg;
    sigset_t set;
    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    seen->signals_blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGINT) == 1;
    seen->id = thread_self_id();
}

static void thread_has_name_id_and_no_signals(void **state)
{
    (void)state;
    struct thread t;
    struct seen seen = {0};
    assert_null(thread_start(&t, "a name that is too long", 64 * 1024, look, &seen));
    thread_join(&t);
    thread_join(&t);
    assert_string_equal(seen.name, "a name that is ");
    assert_true(seen.signals_blocked);
    assert_int_not_equal(seen.id, thread_self_id());
    assert_int_equal(thread_self_id(), getpid());
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_int_equal(sigismember(&set, SIGTERM), 0);
}

static void thread_start_survives_no_memory(void **state)
{
    (void)state;
    struct thread t;
    mem_fail_after(1);
    struct nrd_status *status = thread_start(&t, "x", 0, look, NULL);
    assert_ptr_equal(status, status_no_memory());
    assert_false(t.started);
    thread_join(&t);
}

static void pin(void *arg)
{
    struct nrd_status **status = arg;
    status[0] = thread_pin_self("0");
    status[1] = thread_pin_self("0-");
    status[2] = thread_pin_self("x");
    status[3] = thread_pin_self("3-1");
    status[4] = thread_pin_self("");
    status[5] = thread_pin_self("99999");
}

static void thread_pin_names_a_bad_list(void **state)
{
    (void)state;
    struct nrd_status *status[6];
    struct thread t;
    assert_null(thread_start(&t, "pin", 0, pin, status));
    thread_join(&t);
    status_free(status[0]); // processor 0 may be outside of what this process is given
    for (int i = 1; i < 6; i++) {
        assert_int_equal(status_code(status[i]), NRD_INVALID_ARG);
        assert_non_null(strstr(status_text(status[i]), "processors '"));
        status_free(status[i]);
    }
}

static void bind(void *arg)
{
    struct nrd_status **status = arg;
    status[0] = thread_bind_memory("x");
    status[1] = thread_bind_memory("1024");
    status[2] = thread_bind_memory("");
    status[3] = thread_bind_memory("1023"); // no machine of ours has so many
}

static void thread_memory_is_bound_to_nodes_that_are_there(void **state)
{
    (void)state;
    struct nrd_status *status[4];
    struct thread t;
    assert_null(thread_start(&t, "bind", 0, bind, status));
    thread_join(&t);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(status_code(status[i]), NRD_INVALID_ARG);
        assert_non_null(strstr(status_text(status[i]), "invalid NUMA node '"));
    }
    assert_int_equal(status_code(status[3]), NRD_INTERNAL);
    assert_non_null(strstr(status_text(status[3]), "Unable to set NUMA memory policy: "));
    for (int i = 0; i < 4; i++) {
        status_free(status[i]);
    }
}

static void parking_keeps_a_wake_that_came_first(void **state)
{
    (void)state;
    struct parking p;
    parking_init(&p);
    parking_wake(&p);
    parking_wake(&p);
    assert_true(parking_wait(&p, 0));
    assert_false(parking_wait(&p, clock_now_ns() + 1000000)); // two wakes are one
}

static void parking_times_out_at_the_deadline(void **state)
{
    (void)state;
    struct parking p;
    parking_init(&p);
    uint64_t start = clock_now_ns();
    assert_false(parking_wait(&p, start + 5000000));
    assert_true(clock_now_ns() - start >= 5000000);
    assert_false(parking_wait(&p, 1)); // long past
    parking_wake(&p);
    assert_true(parking_wait(&p, 1)); // a wake counts however late
}

struct duel {
    struct parking ball[2];
    int hits;
};

static void answer(void *arg)
{
    struct duel *duel = arg;
    for (int i = 0; i < 20000; i++) {
        parking_wait(&duel->ball[0], 0);
        duel->hits++; // no lock: the parking places order the two threads
        parking_wake(&duel->ball[1]);
    }
}

static void parking_hands_memory_over(void **state)
{
    (void)state;
    struct duel duel = {.hits = 0};
    struct thread t;
    parking_init(&duel.ball[0]);
    parking_init(&duel.ball[1]);
    assert_null(thread_start(&t, "answer", 0, answer, &duel));
    for (int i = 0; i < 20000; i++) {
        duel.hits++;
        parking_wake(&duel.ball[0]);
        assert_true(parking_wait(&duel.ball[1], clock_now_ns() + 60000000000u));
    }
    thread_join(&t);
    assert_int_equal(duel.hits, 40000);
}

static void clock_goes_forward(void **state)
{
    (void)state;
    uint64_t a = clock_now_ns();
    uint64_t b = clock_now_ns();
    assert_true(b >= a && a != 0);
    assert_true(clock_wall_ns() > UINT64_C(1600000000) * 1000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread_has_name_id_and_no_signals),
        cmocka_unit_test(thread_start_survives_no_memory),
        cmocka_unit_test(thread_pin_names_a_bad_list),
        cmocka_unit_test(thread_memory_is_bound_to_nodes_that_are_there),
        cmocka_unit_test(parking_keeps_a_wake_that_came_first),
        cmocka_unit_test(parking_times_out_at_the_deadline),
        cmocka_unit_test(parking_hands_memory_over),
        cmocka_unit_test(clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
