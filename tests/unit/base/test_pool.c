// SPDX-License-Identifier: Apache-2.0
#include "unit.h"

#include "base/pool.h"
#include "base/queue.h"
#include "base/thread.h"

static void object_pool_steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct object_pool *p = object_pool_create(100, 64);
    void *held[20];
    for (int i = 0; i < 20; i++) {
        held[i] = object_pool_get(p);
        assert_non_null(held[i]);
        memset(held[i], i, 100);
    }
    for (int i = 0; i < 20; i++) {
        object_pool_put(p, held[i]);
    }
    uint64_t before = mem_count();
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < 20; i++) {
            held[i] = object_pool_get(p);
            memset(held[i], i, 100);
        }
        for (int i = 0; i < 20; i++) {
            assert_int_equal(((unsigned char *)held[i])[99], i);
            object_pool_put(p, held[i]);
        }
    }
    assert_int_equal(mem_count(), before);
    object_pool_destroy(p);
    object_pool_destroy(NULL);
}

static void object_pool_holds_tiny_objects_and_few_idle(void **state)
{
    (void)state;
    struct object_pool *p = object_pool_create(1, 4);
    enum { N = 200 };
    void *held[N];
    for (int i = 0; i < N; i++) {
        held[i] = object_pool_get(p);
    }
    for (int i = 0; i < N; i++) {
        object_pool_put(p, held[i]);
    }
    uint64_t before = mem_count();
    for (int i = 0; i < N; i++) {
        held[i] = object_pool_get(p);
    }
    assert_true(mem_count() - before >= N - 4 - 33);
    for (int i = 0; i < N; i++) {
        object_pool_put(p, held[i]);
    }
    object_pool_destroy(p);
}

struct relay {
    struct object_pool *pool;
    struct queue queue;
    struct parking parking;
};

static void release_all(void *arg)
{
    struct relay *relay = arg;
    for (int left = 50000; left > 0;) {
        struct queue_node *node = queue_pop(&relay->queue);
        if (node == NULL) {
            parking_wait(&relay->parking, 0);
            continue;
        }
        object_pool_put(relay->pool, node);
        left--;
    }
}

static void object_pool_takes_objects_back_in_other_threads(void **state)
{
    (void)state;
    struct relay relay;
    struct thread t;
    relay.pool = object_pool_create(sizeof(struct queue_node) + 40, 1024);
    queue_init(&relay.queue);
    parking_init(&relay.parking);
    assert_null(thread_start(&t, "release", 0, release_all, &relay));
    for (int i = 0; i < 50000; i++) {
        struct queue_node *node = object_pool_get(relay.pool);
        memset(node, 0x5a, sizeof(*node) + 40);
        if (queue_push(&relay.queue, node)) {
            parking_wake(&relay.parking);
        }
    }
    thread_join(&t); // its cache goes back to the pool
    object_pool_destroy(relay.pool);
}

static void object_pool_survives_no_memory(void **state)
{
    (void)state;
    TORTURE(n)
    {
        struct object_pool *p = object_pool_create(64, 8);
        if (p != NULL) {
            void *a = object_pool_get(p);
            void *b = object_pool_get(p);
            if (a != NULL) {
                object_pool_put(p, a);
            }
            if (b != NULL) {
                object_pool_put(p, b);
            }
            object_pool_destroy(p);
        }
    }
}

static void buffer_pool_gives_aligned_size_classes(void **state)
{
    (void)state;
    struct buffer_pool *p = buffer_pool_create(1 << 20);
    static const struct {
        size_t size;
        size_t capacity;
    } cases[] = {{0, 256},
                 {1, 256},
                 {256, 256},
                 {257, 512},
                 {602112, 1 << 20},
                 {1 << 20, 1 << 20},
                 {(1 << 20) + 1, 5 << 18},
                 {(5 << 18) + 1, 6 << 18},
                 {2 << 20, 2 << 20},
                 {1 << 26, 1 << 26},
                 {(1 << 26) + 1, 5 << 24},
                 {77070336, 5 << 24},
                 {(7 << 24) + 1, 1 << 27}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t capacity;
        char *b = buffer_pool_get(p, cases[i].size, &capacity);
        assert_non_null(b);
        assert_int_equal((uintptr_t)b % 64, 0);
        assert_int_equal(capacity, cases[i].capacity);
        b[0] = 1;
        b[capacity - 1] = 1;
        buffer_pool_put(p, b);
    }
    size_t capacity;
    void *large = buffer_pool_get(p, (size_t)1 << 30, &capacity);
    assert_int_equal(capacity, (size_t)1 << 30);
    buffer_pool_put(p, large);
    large = buffer_pool_get(p, ((size_t)1 << 30) + 1, &capacity);
    assert_int_equal(capacity, ((size_t)1 << 30) + 1);
    buffer_pool_put(p, large);
    buffer_pool_put(p, NULL);
    assert_null(buffer_pool_get(p, SIZE_MAX - 10, NULL));
    buffer_pool_destroy(p);
}

static void buffer_pool_keeps_no_more_than_its_limit(void **state)
{
    (void)state;
    struct buffer_pool *p = buffer_pool_create(1024);
    void *held[10];
    for (int i = 0; i < 10; i++) {
        held[i] = buffer_pool_get(p, 256, NULL);
    }
    for (int i = 0; i < 10; i++) {
        buffer_pool_put(p, held[i]);
    }
    assert_int_equal(buffer_pool_idle_bytes(p), 1024);
    uint64_t before = mem_count();
    void *again = buffer_pool_get(p, 200, NULL);
    assert_int_equal(mem_count(), before);
    assert_int_equal(buffer_pool_idle_bytes(p), 768);
    buffer_pool_put(p, again);
    buffer_pool_destroy(p);
}

static void buffer_pool_gives_a_large_buffer_again_without_new_pages(void **state)
{
    (void)state;
    struct buffer_pool *p = buffer_pool_create(buffer_pool_body_limit());
    enum { BYTES = 20 << 20 };
    char *first = buffer_pool_get(p, BYTES, NULL);
    assert_non_null(first);
    memset(first, 1, BYTES);
    buffer_pool_put(p, first);
    assert_int_equal(buffer_pool_idle_bytes(p), BYTES);
    uint64_t before = mem_count();
    char *again = buffer_pool_get(p, BYTES - 1000, NULL);
    assert_ptr_equal(again, first);
    assert_int_equal(mem_count(), before);
    assert_int_equal(again[BYTES - 1001], 1);
    buffer_pool_put(p, again);
    buffer_pool_trim(p, 0);
    assert_int_equal(buffer_pool_idle_bytes(p), 0);
    mem_fail_after(1);
    assert_null(buffer_pool_get(p, BYTES, NULL));
    buffer_pool_destroy(p);
}

// ---- page-locked buffers ----

// A locker whose other thread is the test: what is posted runs when the test says so.
struct desk {
    unsigned locked; // now
    unsigned limit;
    unsigned tries;
    unsigned posted;
    bool closed; // takes no errands
    struct {
        void (*run)(void *arg);
        void *arg;
    } errands[16];
};

static void *desk_lock(void *user, void *at, size_t size)
{
    struct desk *desk = user;
    assert_int_equal((uintptr_t)at % 4096, 0); // whole pages of its own
    assert_true(size >= BUFFER_LOCK_MIN);
    desk->tries++;
    if (desk->locked == desk->limit) {
        return NULL;
    }
    desk->locked++;
    return at;
}

static void desk_unlock(void *user, void *lock)
{
    assert_non_null(lock);
    ((struct desk *)user)->locked--;
}

static bool desk_post(void *user, void (*run)(void *arg), void *arg)
{
    struct desk *desk = user;
    if (desk->closed) {
        return false;
    }
    desk->errands[desk->posted].run = run;
    desk->errands[desk->posted++].arg = arg;
    return true;
}

static void desk_run(struct desk *desk)
{
    for (unsigned i = 0; i < desk->posted; i++) {
        desk->errands[i].run(desk->errands[i].arg);
    }
    desk->posted = 0;
}

static struct buffer_pool *pool_with(struct desk *desk, size_t max_idle)
{
    const struct buffer_locker locker = {desk, desk_lock, desk_unlock, desk_post};
    struct buffer_pool *p = buffer_pool_create(max_idle);
    buffer_pool_lock_by(p, &locker);
    return p;
}

// A message of that many bytes comes, goes to a device, and is over. Whether it was page-locked.
static bool message(struct buffer_pool *p, size_t size)
{
    char *buffer = buffer_pool_get_locked(p, size, NULL);
    assert_non_null(buffer);
    buffer[0] = buffer[size - 1] = 1;
    bool locked = buffer_pool_is_locked(buffer);
    buffer_pool_goes_to_device(buffer);
    buffer_pool_put(p, buffer);
    return locked;
}

static void buffer_is_locked_when_it_has_gone_to_a_device_often_enough(void **state)
{
    (void)state;
    static const size_t sizes[] = {BUFFER_LOCK_MIN, 20 << 20}; // of the heap, of pages
    for (unsigned s = 0; s < 2; s++) {
        struct desk desk = {.limit = 8};
        struct buffer_pool *p = pool_with(&desk, buffer_pool_body_limit());
        for (int i = 1; i < BUFFER_LOCK_AFTER; i++) {
            assert_false(message(p, sizes[s]));
            assert_int_equal(desk.posted, 0);
        }
        assert_false(message(p, sizes[s]));
        assert_int_equal(desk.posted, 1);
        assert_int_equal(buffer_pool_idle_bytes(p), 0); // it is being locked
        desk_run(&desk);
        assert_int_equal(buffer_pool_idle_bytes(p), sizes[s]);
        assert_int_equal(desk.locked, 1);
        uint64_t before = mem_count();
        for (int i = 0; i < 20; i++) {
            assert_true(message(p, sizes[s]));
        }
        assert_int_equal(mem_count(), before);
        assert_int_equal(desk.posted, 0);
        buffer_pool_destroy(p);
        assert_int_equal(desk.locked, 0);
    }
}

static void small_buffers_and_pools_without_a_locker_lock_nothing(void **state)
{
    (void)state;
    struct desk desk = {.limit = 8};
    struct buffer_pool *p = pool_with(&desk, 1 << 24);
    struct buffer_pool *plain = buffer_pool_create(1 << 24);
    for (int i = 0; i < 3 * BUFFER_LOCK_AFTER; i++) {
        assert_false(message(p, BUFFER_LOCK_MIN / 2));
        assert_false(message(plain, 2 * BUFFER_LOCK_MIN));
    }
    assert_int_equal(desk.posted, 0);
    buffer_pool_destroy(p);
    buffer_pool_destroy(plain);
}

static void locked_buffers_are_for_those_who_ask_for_them(void **state)
{
    (void)state;
    struct desk desk = {.limit = 8};
    struct buffer_pool *p = pool_with(&desk, 1 << 24);
    for (int i = 0; i < BUFFER_LOCK_AFTER; i++) {
        (void)message(p, 1 << 20);
    }
    desk_run(&desk);
    void *locked = buffer_pool_get_locked(p, 1 << 20, NULL);
    void *other = buffer_pool_get_locked(p, 1 << 20, NULL);
    assert_true(buffer_pool_is_locked(locked) && !buffer_pool_is_locked(other));
    buffer_pool_put(p, other);
    buffer_pool_put(p, locked);
    assert_ptr_equal(buffer_pool_get(p, 1 << 20, NULL), other);
    assert_ptr_equal(buffer_pool_get(p, 1 << 20, NULL), locked); // rather than a new one
    buffer_pool_put(p, other);
    buffer_pool_put(p, locked);
    buffer_pool_destroy(p);
    assert_int_equal(desk.locked, 0);
}

static void refused_buffer_goes_on_and_is_tried_again_later(void **state)
{
    (void)state;
    struct desk desk = {.limit = 0};
    struct buffer_pool *p = pool_with(&desk, 1 << 24);
    for (int i = 0; i < BUFFER_LOCK_AFTER; i++) {
        (void)message(p, 1 << 20);
    }
    desk_run(&desk);
    assert_int_equal(desk.tries, 1);
    desk.limit = 1;
    for (int i = 1; i < BUFFER_LOCK_AGAIN; i++) {
        assert_false(message(p, 1 << 20));
    }
    assert_int_equal(desk.posted, 0);
    assert_false(message(p, 1 << 20));
    desk_run(&desk);
    assert_true(message(p, 1 << 20));
    buffer_pool_destroy(p);
    assert_int_equal(desk.locked, 0);
}

static void idle_locked_buffers_make_way_for_another_size(void **state)
{
    (void)state;
    struct desk desk = {.limit = 1};
    struct buffer_pool *p = pool_with(&desk, 1 << 26);
    for (int i = 0; i < BUFFER_LOCK_AFTER; i++) {
        (void)message(p, 1 << 20);
    }
    desk_run(&desk);
    for (int i = 0; i < BUFFER_LOCK_AFTER; i++) {
        (void)message(p, 5 << 20);
    }
    desk_run(&desk);
    assert_true(message(p, 5 << 20));
    assert_false(message(p, 1 << 20));
    buffer_pool_destroy(p);
    assert_int_equal(desk.locked, 0);
}

static void locked_buffers_are_unlocked_by_another_thread(void **state)
{
    (void)state;
    for (int closed = 0; closed <= 1; closed++) {
        struct desk desk = {.limit = 8};
        struct buffer_pool *p = pool_with(&desk, 1 << 24);
        for (int i = 0; i < BUFFER_LOCK_AFTER; i++) {
            (void)message(p, 5 << 20);
        }
        desk_run(&desk);
        desk.closed = closed != 0;
        buffer_pool_trim(p, 0);
        assert_int_equal(buffer_pool_idle_bytes(p), 0);
        assert_int_equal(desk.locked, closed == 0); // where there is no other thread, by this one
        desk_run(&desk);
        assert_int_equal(desk.locked, 0);
        buffer_pool_destroy(p);
    }
}

static void locking_survives_no_memory(void **state)
{
    (void)state;
    struct desk desk = {.limit = 8};
    struct buffer_pool *p = pool_with(&desk, 1 << 24);
    for (int i = 0; i < BUFFER_LOCK_AFTER; i++) {
        (void)message(p, 1 << 20);
    }
    mem_fail_after(1); // the pages that are to take its place
    desk_run(&desk);
    mem_fail_after(0);
    assert_int_equal(desk.tries, 0);
    assert_int_equal(buffer_pool_idle_bytes(p), 1 << 20);
    assert_false(message(p, 1 << 20));
    buffer_pool_destroy(p);
}

static void churn_buffers(void *arg)
{
    struct buffer_pool *p = arg;
    for (size_t i = 0; i < 20000; i++) {
        size_t size = (i * 37) % 5000 + 1;
        char *b = buffer_pool_get(p, size, NULL);
        b[0] = (char)i;
        b[size - 1] = (char)i;
        buffer_pool_put(p, b);
    }
}

static void buffer_pool_serves_many_threads(void **state)
{
    (void)state;
    struct buffer_pool *p = buffer_pool_create(1 << 16);
    struct thread threads[4];
    for (int i = 0; i < 4; i++) {
        assert_null(thread_start(&threads[i], "churn", 0, churn_buffers, p));
    }
    for (int i = 0; i < 4; i++) {
        thread_join(&threads[i]);
    }
    assert_true(buffer_pool_idle_bytes(p) <= 1 << 16);
    buffer_pool_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(object_pool_steady_state_allocates_nothing),
        cmocka_unit_test(object_pool_holds_tiny_objects_and_few_idle),
        cmocka_unit_test(object_pool_takes_objects_back_in_other_threads),
        cmocka_unit_test(object_pool_survives_no_memory),
        cmocka_unit_test(buffer_pool_gives_aligned_size_classes),
        cmocka_unit_test(buffer_pool_keeps_no_more_than_its_limit),
        cmocka_unit_test(buffer_pool_gives_a_large_buffer_again_without_new_pages),
        cmocka_unit_test(buffer_pool_serves_many_threads),
        cmocka_unit_test(buffer_is_locked_when_it_has_gone_to_a_device_often_enough),
        cmocka_unit_test(small_buffers_and_pools_without_a_locker_lock_nothing),
        cmocka_unit_test(locked_buffers_are_for_those_who_ask_for_them),
        cmocka_unit_test(refused_buffer_goes_on_and_is_tried_again_later),
        cmocka_unit_test(idle_locked_buffers_make_way_for_another_size),
        cmocka_unit_test(locked_buffers_are_unlocked_by_another_thread),
        cmocka_unit_test(locking_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
