// SPDX-License-Identifier: Apache-2.0
// net/worker.h: each job runs once, on a thread of the worker, also when the worker is destroyed at once; and a thread that
// has just posted its reply to a loop may still be waking it, which is why worker goes before loop.

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/thread.h"
#include "net/loop.h"
#include "net/worker.h"

enum { JOBS = 200 };

struct counted_job {
    struct worker_job job;
    struct loop_task reply;
    struct loop *loop;
    atomic_uint *ran;
    atomic_uint *replied;
    int caller;
};

static void reply(struct loop_task *task)
{
    struct counted_job *j = CONTAINER_OF(task, struct counted_job, reply);
    atomic_fetch_add_explicit(j->replied, 1, memory_order_release);
}

static void run(struct worker_job *job)
{
    struct counted_job *j = CONTAINER_OF(job, struct counted_job, job);
    assert_int_not_equal(thread_self_id(), j->caller);
    atomic_fetch_add_explicit(j->ran, 1, memory_order_relaxed);
    if (j->loop != NULL) {
        j->reply.run = reply;
        loop_post(j->loop, &j->reply);
    }
}

static void post_all(struct worker *worker, struct loop *loop, struct counted_job *jobs,
                     atomic_uint *ran, atomic_uint *replied)
{
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted_job){.job.run = run,
                                       .loop = loop,
                                       .ran = ran,
                                       .replied = replied,
                                       .caller = thread_self_id()};
        assert_true(worker_post(worker, &jobs[i].job));
    }
}

static void worker_runs_what_is_queued_when_destroyed(void **state)
{
    (void)state;
    static struct counted_job jobs[JOBS];
    atomic_uint ran = 0;
    struct worker *worker = NULL;
    assert_null(worker_create("test", 3, &worker));
    post_all(worker, NULL, jobs, &ran, NULL);
    worker_destroy(worker);
    assert_int_equal(ran, JOBS);
}

static void worker_goes_before_the_loop_that_it_answers(void **state)
{
    (void)state;
    static struct counted_job jobs[JOBS];
    for (unsigned round = 0; round < 20; round++) {
        atomic_uint ran = 0;
        atomic_uint replied = 0;
        struct loop *loop = NULL;
        struct worker *worker = NULL;
        assert_null(loop_create(&loop));
        assert_null(loop_start(loop, "test"));
        assert_null(worker_create("test", 2, &worker));
        post_all(worker, loop, jobs, &ran, &replied);
        while (atomic_load_explicit(&replied, memory_order_acquire) < JOBS) {
        }
        worker_destroy(worker);
        loop_destroy(loop);
        assert_int_equal(ran, JOBS);
    }
}

static void worker_that_never_worked_is_destroyed(void **state)
{
    (void)state;
    struct worker *worker = NULL;
    assert_null(worker_create("test", 2, &worker));
    worker_destroy(worker);
    worker_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worker_runs_what_is_queued_when_destroyed),
        cmocka_unit_test(worker_goes_before_the_loop_that_it_answers),
        cmocka_unit_test(worker_that_never_worked_is_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
