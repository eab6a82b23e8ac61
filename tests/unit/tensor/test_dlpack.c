// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tensor/dlpack.h"

static void assert_refused(struct nrd_status *status, enum nrd_code code, const char *part)
{
    assert_int_equal(status_code(status), code);
    assert_non_null(strstr(status_text(status), part));
    status_free(status);
}

static void dlpack_export_shares_the_buffer(void **state)
{
    (void)state;
    int64_t dims[2] = {2, 3};
    struct dlpack_view view = {
        .buffer = buffer_create(64), .offset = 8, .dtype = NRD_DTYPE_F32, .rank = 2, .dims = dims};
    struct dl_managed_tensor_versioned *t;
    assert_null(dlpack_export(&view, &t));
    dims[0] = 99; // the export has its own
    assert_int_equal(t->version.major, 1);
    assert_ptr_equal(t->tensor.data, view.buffer->data);
    assert_int_equal(t->tensor.byte_offset, 8);
    assert_int_equal(t->tensor.device.device_type, DL_CPU);
    assert_int_equal(t->tensor.dtype.code, DL_FLOAT);
    assert_int_equal(t->tensor.dtype.bits, 32);
    assert_int_equal(t->tensor.dtype.lanes, 1);
    assert_int_equal(t->tensor.ndim, 2);
    assert_int_equal(t->tensor.shape[0], 2);
    assert_null(t->tensor.strides);
    assert_false(buffer_is_writable(view.buffer));
    buffer_unref(view.buffer);
    memset((char *)t->tensor.data + 8, 1, 24);
    t->deleter(t);
}

static void dlpack_goes_round_for_every_type(void **state)
{
    (void)state;
    for (int dtype = 1; dtype < NRD_DTYPE_COUNT; dtype++) {
        int64_t dims[1] = {4};
        struct dlpack_view view = {
            .buffer = buffer_create(64), .dtype = (enum nrd_dtype)dtype, .rank = 1, .dims = dims};
        struct dl_managed_tensor_versioned *t;
        struct nrd_status *status = dlpack_export(&view, &t);
        buffer_unref(view.buffer);
        if (dtype == NRD_DTYPE_BYTES) {
            assert_refused(status, NRD_UNSUPPORTED, "BYTES");
            continue;
        }
        assert_null(status);
        struct dlpack_view back;
        assert_null(dlpack_import(t, &back));
        assert_int_equal(back.dtype, dtype);
        assert_int_equal(back.rank, 1);
        assert_int_equal(back.dims[0], 4);
        assert_int_equal(back.buffer->size, 4 * dtype_size((enum nrd_dtype)dtype));
        buffer_unref(back.buffer);
    }
}

static void dlpack_export_checks_the_shape(void **state)
{
    (void)state;
    int64_t dims[1] = {17};
    struct dlpack_view view = {
        .buffer = buffer_create(64), .dtype = NRD_DTYPE_F32, .rank = 1, .dims = dims};
    struct dl_managed_tensor_versioned *t;
    assert_refused(dlpack_export(&view, &t), NRD_INVALID_ARG, "64 bytes");
    dims[0] = 16;
    view.offset = 1;
    assert_refused(dlpack_export(&view, &t), NRD_INVALID_ARG, "64 bytes");
    dims[0] = -1;
    assert_refused(dlpack_export(&view, &t), NRD_INVALID_ARG, "64 bytes");
    dims[0] = 1;
    mem_fail_after(1);
    struct nrd_status *status = dlpack_export(&view, &t);
    assert_ptr_equal(status, status_no_memory());
    assert_true(buffer_is_writable(view.buffer));
    buffer_unref(view.buffer);
}

static int deleted;
static void count_delete(struct dl_managed_tensor_versioned *self)
{
    (void)self;
    deleted++;
}

static void dlpack_import_refuses_what_it_cannot_hold(void **state)
{
    (void)state;
    char bytes[64];
    int64_t shape[2] = {2, 3};
    int64_t dense[2] = {3, 1};
    int64_t gaps[2] = {4, 1};
    const struct dl_managed_tensor_versioned good = {.version = {1, 1},
                                                     .deleter = count_delete,
                                                     .tensor = {.data = bytes,
                                                                .device = {DL_CUDA, 2},
                                                                .ndim = 2,
                                                                .dtype = {DL_INT, 16, 1},
                                                                .shape = shape,
                                                                .strides = dense,
                                                                .byte_offset = 4}};
    struct dl_managed_tensor_versioned t = good;
    struct dlpack_view view;
    deleted = 0;
    assert_null(dlpack_import(&t, &view));
    assert_int_equal(view.buffer->kind, NRD_MEMORY_GPU);
    assert_int_equal(view.buffer->device_id, 2);
    assert_int_equal(view.buffer->size, 16);
    assert_int_equal(view.offset, 4);
    assert_int_equal(deleted, 0);
    buffer_unref(view.buffer);
    assert_int_equal(deleted, 1);

    t.version.major = 2;
    assert_refused(dlpack_import(&t, &view), NRD_UNSUPPORTED, "version 2.1");
    t = good;
    t.tensor.dtype.lanes = 4;
    assert_refused(dlpack_import(&t, &view), NRD_UNSUPPORTED, "4 lanes");
    t = good;
    t.tensor.device.device_type = 10;
    assert_refused(dlpack_import(&t, &view), NRD_UNSUPPORTED, "device type 10");
    t = good;
    t.tensor.strides = gaps;
    assert_refused(dlpack_import(&t, &view), NRD_UNSUPPORTED, "strides");
    t = good;
    t.tensor.ndim = -1;
    assert_refused(dlpack_import(&t, &view), NRD_INVALID_ARG, "shape");
    t = good;
    t.tensor.byte_offset = UINT64_MAX;
    assert_refused(dlpack_import(&t, &view), NRD_INVALID_ARG, "offset");
    t = good;
    mem_fail_after(1);
    struct nrd_status *status = dlpack_import(&t, &view);
    assert_ptr_equal(status, status_no_memory());
    assert_int_equal(deleted, 1);
}

static void dlpack_strides_of_single_elements_do_not_count(void **state)
{
    (void)state;
    char bytes[64];
    int64_t shape[3] = {1, 3, 1};
    int64_t strides[3] = {77, 1, 99};
    struct dl_managed_tensor_versioned t = {.version = {1, 0},
                                            .tensor = {.data = bytes,
                                                       .device = {DL_CUDA_HOST, 0},
                                                       .ndim = 3,
                                                       .dtype = {DL_UINT, 8, 1},
                                                       .shape = shape,
                                                       .strides = strides}};
    struct dlpack_view view;
    assert_null(dlpack_import(&t, &view));
    assert_int_equal(view.buffer->kind, NRD_MEMORY_PINNED);
    buffer_unref(view.buffer);
    shape[1] = 0;
    strides[1] = 5;
    assert_null(dlpack_import(&t, &view));
    buffer_unref(view.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dlpack_export_shares_the_buffer),
        cmocka_unit_test(dlpack_goes_round_for_every_type),
        cmocka_unit_test(dlpack_export_checks_the_shape),
        cmocka_unit_test(dlpack_import_refuses_what_it_cannot_hold),
        cmocka_unit_test(dlpack_strides_of_single_elements_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
