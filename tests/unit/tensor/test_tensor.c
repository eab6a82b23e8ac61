// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tensor/dlpack.h"
#include "tensor/tensor.h"

static const int64_t DIMS[] = {2, 3};

static void fails(struct nrd_status *status, const char *part)
{
    assert_non_null(status);
    assert_int_equal(status_code(status), NRD_INVALID_ARG);
    assert_non_null(strstr(status_text(status), part));
    status_free(status);
}

static void tensor_is_aligned_and_knows_its_size(void **state)
{
    (void)state;
    struct nrd_tensor *t = NULL;
    assert_null(nrd_tensor_create(NRD_DTYPE_F32, DIMS, 2, &t));
    assert_int_equal((uintptr_t)t->data % 64, 0);
    assert_int_equal(t->byte_size, 24);
    assert_int_equal(nrd_tensor_elements(t), 6);
    assert_int_equal(t->memory, NRD_MEMORY_CPU);
    memset(t->data, 1, 24);
    assert_true(nrd_tensor_is_writable(t));
    assert_ptr_equal(nrd_tensor_ref(t), t);
    assert_false(nrd_tensor_is_writable(t));
    nrd_tensor_unref(t);
    assert_true(nrd_tensor_is_writable(t));
    nrd_tensor_unref(t);
    nrd_tensor_unref(NULL);
    assert_null(nrd_tensor_create(NRD_DTYPE_U8, NULL, 0, &t)); // a scalar
    assert_int_equal(t->byte_size, 1);
    nrd_tensor_unref(t);
}

static void tensor_that_cannot_be_is_refused_by_name(void **state)
{
    (void)state;
    struct nrd_tensor *t = NULL;
    const int64_t negative[] = {3, -1};
    const int64_t huge[] = {INT64_MAX, 16};
    const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    fails(nrd_tensor_create(NRD_DTYPE_F32, negative, 2, &t), "FP32 can have the shape [3,-1]");
    fails(nrd_tensor_create(NRD_DTYPE_F32, huge, 2, &t), "FP32");
    fails(nrd_tensor_create(NRD_DTYPE_BYTES, DIMS, 2, &t), "BYTES");
    fails(nrd_tensor_create(NRD_DTYPE_F32, nine, 9, &t), "9 dimensions, the most is 8");
    char bytes[8];
    fails(nrd_tensor_wrap(bytes, 8, NRD_DTYPE_U8, DIMS, 2, NRD_MEMORY_CPU, 0, NULL, NULL, &t),
          "has 8 bytes, its shape and type need 6");
    assert_null(t);
}

static void count_release(void *data, size_t size, void *arg)
{
    assert_int_equal(size, 6);
    assert_non_null(data);
    ++*(int *)arg;
}

static void view_keeps_the_bytes_of_a_tensor_that_is_gone(void **state)
{
    (void)state;
    int released = 0;
    char bytes[6] = {1, 2, 3, 4, 5, 6};
    struct nrd_tensor *t = NULL;
    struct nrd_tensor *view = NULL;
    const int64_t two[] = {2};
    assert_null(nrd_tensor_wrap(bytes, 6, NRD_DTYPE_U8, DIMS, 2, NRD_MEMORY_CPU, 0, count_release,
                                &released, &t));
    assert_null(nrd_tensor_view(t, 2, NRD_DTYPE_U16, two, 1, &view));
    fails(nrd_tensor_view(t, 3, NRD_DTYPE_U16, two, 1, &view), "does not lie within");
    fails(nrd_tensor_view(t, SIZE_MAX, NRD_DTYPE_U16, two, 1, &view), "does not lie within");
    assert_false(nrd_tensor_is_writable(t));
    assert_false(nrd_tensor_is_writable(view));
    nrd_tensor_unref(t);
    assert_int_equal(released, 0);
    assert_true(nrd_tensor_is_writable(view));
    assert_int_equal(((const char *)view->data)[0], 3);
    nrd_tensor_unref(view);
    assert_int_equal(released, 1);
}

static void view_of_a_created_tensor_outlives_it(void **state)
{
    (void)state;
    struct nrd_tensor *t = NULL;
    struct nrd_tensor *view = NULL;
    assert_null(nrd_tensor_create(NRD_DTYPE_I32, DIMS, 2, &t));
    ((int32_t *)t->data)[5] = 7;
    const int64_t six[] = {6};
    assert_null(nrd_tensor_view(t, 0, NRD_DTYPE_I32, six, 1, &view));
    nrd_tensor_unref(t);
    assert_int_equal(((const int32_t *)view->data)[5], 7);
    nrd_tensor_unref(view);
}

static void dlpack_goes_there_and_back_without_a_copy(void **state)
{
    (void)state;
    struct nrd_tensor *t = NULL;
    struct nrd_tensor *back = NULL;
    void *managed = NULL;
    assert_null(nrd_tensor_create(NRD_DTYPE_F16, DIMS, 2, &t));
    void *data = t->data;
    assert_null(nrd_tensor_to_dlpack(t, &managed));
    nrd_tensor_unref(t);
    assert_null(nrd_tensor_from_dlpack(managed, &back));
    assert_ptr_equal(back->data, data);
    assert_int_equal(back->dtype, NRD_DTYPE_F16);
    assert_int_equal(back->rank, 2);
    assert_int_equal(back->dims[1], 3);
    assert_int_equal(back->byte_size, 12);
    nrd_tensor_unref(back);
}

static void running_out_of_memory_leaves_nothing(void **state)
{
    (void)state;
    char bytes[6];
    struct nrd_tensor *t = NULL;
    struct nrd_tensor *view = NULL;
    mem_fail_after(1);
    struct nrd_status *status = nrd_tensor_create(NRD_DTYPE_U8, DIMS, 2, &t);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    mem_fail_after(1);
    status = nrd_tensor_wrap(bytes, 6, NRD_DTYPE_U8, DIMS, 2, NRD_MEMORY_CPU, 0, NULL, NULL, &t);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    assert_null(nrd_tensor_create(NRD_DTYPE_U8, DIMS, 2, &t));
    mem_fail_after(1);
    status = nrd_tensor_view(t, 0, NRD_DTYPE_U8, DIMS, 2, &view);
    assert_int_equal(status_code(status), NRD_UNAVAILABLE);
    assert_true(nrd_tensor_is_writable(t));
    nrd_tensor_unref(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensor_is_aligned_and_knows_its_size),
        cmocka_unit_test(tensor_that_cannot_be_is_refused_by_name),
        cmocka_unit_test(view_keeps_the_bytes_of_a_tensor_that_is_gone),
        cmocka_unit_test(view_of_a_created_tensor_outlives_it),
        cmocka_unit_test(dlpack_goes_there_and_back_without_a_copy),
        cmocka_unit_test(running_out_of_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
