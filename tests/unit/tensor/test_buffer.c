// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/thread.h"
#include "tensor/buffer.h"

static void buffer_is_aligned_and_the_hosts(void **state)
{
    (void)state;
    struct tensor_buffer *b = buffer_create(1000);
    assert_int_equal((uintptr_t)b->data % 64, 0);
    memset(b->data, 1, 1000);
    assert_int_equal(b->size, 1000);
    assert_int_equal(b->kind, NRD_MEMORY_CPU);
    assert_true(buffer_is_writable(b));
    assert_ptr_equal(buffer_ref(b), b);
    assert_false(buffer_is_writable(b));
    buffer_unref(b);
    assert_true(buffer_is_writable(b));
    buffer_unref(b);
    buffer_unref(NULL);
    assert_null(buffer_create(SIZE_MAX));
}

static void count_release(void *data, size_t size, void *arg)
{
    assert_int_equal(size, 10);
    assert_ptr_equal(data, arg);
    ++*(int *)arg;
}

static void buffer_wrap_releases_once(void **state)
{
    (void)state;
    int released = 0;
    struct tensor_buffer *b =
        buffer_wrap(&released, 10, NRD_MEMORY_GPU, 3, count_release, &released);
    assert_int_equal(b->device_id, 3);
    buffer_ref(b);
    buffer_unref(b);
    assert_int_equal(released, 0);
    buffer_unref(b);
    assert_int_equal(released, 1);
    b = buffer_wrap(&released, 10, NRD_MEMORY_PINNED, 0, NULL, NULL);
    buffer_unref(b);
    mem_fail_after(1);
    assert_null(buffer_wrap(&released, 10, NRD_MEMORY_CPU, 0, count_release, &released));
    mem_fail_after(1);
    assert_null(buffer_create(10));
    assert_int_equal(released, 1);
}

static void buffer_init_leaves_the_head_to_its_owner(void **state)
{
    (void)state;
    int released = 0;
    struct tensor_buffer b;
    for (int i = 1; i < 3; i++) {
        buffer_init(&b, &released, 10, NRD_MEMORY_GPU, 1, count_release, &released);
        assert_true(buffer_is_writable(&b));
        buffer_unref(buffer_ref(&b));
        assert_int_equal(released, i - 1);
        buffer_unref(&b);
        assert_int_equal(released, i);
    }
}

static void share(void *arg)
{
    struct tensor_buffer *b = arg;
    for (int i = 0; i < 10000; i++) {
        buffer_unref(buffer_ref(b));
    }
    buffer_unref(b);
}

static void buffer_is_shared_by_threads(void **state)
{
    (void)state;
    int released = 0;
    struct thread threads[3];
    struct tensor_buffer *b =
        buffer_wrap(&released, 10, NRD_MEMORY_CPU, 0, count_release, &released);
    for (int i = 0; i < 3; i++) {
        assert_null(thread_start(&threads[i], "share", 0, share, buffer_ref(b)));
    }
    buffer_unref(b);
    for (int i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    assert_int_equal(released, 1);
}

static void memory_kinds_have_tritons_names(void **state)
{
    (void)state;
    assert_string_equal(memory_kind_name(NRD_MEMORY_CPU), "CPU");
    assert_string_equal(memory_kind_name(NRD_MEMORY_PINNED), "CPU_PINNED");
    assert_string_equal(memory_kind_name(NRD_MEMORY_GPU), "GPU");
    assert_string_equal(memory_kind_name((enum nrd_memory)9), "<invalid>");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_is_aligned_and_the_hosts),
        cmocka_unit_test(buffer_wrap_releases_once),
        cmocka_unit_test(buffer_init_leaves_the_head_to_its_owner),
        cmocka_unit_test(buffer_is_shared_by_threads),
        cmocka_unit_test(memory_kinds_have_tritons_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
