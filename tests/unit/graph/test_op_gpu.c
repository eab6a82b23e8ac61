// SPDX-License-Identifier: Apache-2.0
// Picture operators and tensors on a GPU. On a pretended machine: tensors are brought to operators that work on the host. On a
// real one (skipped, loudly, where there is none): the kernels' results are those of the host.
#include "gpu_machine.h"

#include <stdlib.h>

#include "gpu/copy.h"
#include "graph/ops/pixels.h"
#include "graph/streams.h"
#include "picture_unit.h"

// Brings every tensor of a message to GPU 0.
static struct nrd_status *upload_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    struct nrd_operator *op = nrd_compute_operator(ctx);
    struct nrd_message *in = nrd_receive(ctx, 0), *out = nrd_message_new(ctx);
    struct gpu_stream *stream = NULL;
    NRD_TRY(streams_get(op, 0, &stream));
    for (size_t i = 0; i < nrd_message_tensor_count(in); i++) {
        const char *name;
        struct nrd_tensor *t = nrd_message_tensor_at(in, i, &name), *there = NULL;
        NRD_TRY(nrd_allocate(op, NULL, t->dtype, t->dims, t->rank, NRD_MEMORY_GPU, 0, &there));
        NRD_TRY(
            gpu_copy(stream, there->data, gpu_stream_device(stream), t->data, NULL, t->byte_size));
        NRD_TRY(gpu_stream_sync(stream, 0)); // the test's own memory may change then
        NRD_TRY(nrd_message_add_tensor(out, name, there));
    }
    nrd_message_set_acquired(out, nrd_message_acquired(in));
    nrd_message_unref(in);
    return nrd_emit(ctx, 0, out) == NRD_OK ? NULL : status_no_memory();
}
static const struct nrd_operator_class upload_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "Upload",
    .summary = "Brings tensors to a GPU.",
    .inputs = unit_in,
    .outputs = unit_out,
    .compute = upload_compute,
};

// Keeps the first tensor's bytes, and says where they were.
static struct {
    uint8_t *bytes;
    size_t size;
    enum nrd_memory memory;
} got;
static struct nrd_status *keep_compute(struct nrd_compute *ctx, void *self)
{
    struct pixel_place *place = self;
    struct nrd_message *in = nrd_receive(ctx, 0);
    struct nrd_tensor *t = nrd_message_tensor_at(in, 0, NULL), *host = NULL;
    got.memory = t->memory;
    NRD_TRY(pixels_on_host(place, ctx, t, &host));
    mem_free(got.bytes);
    got.bytes = mem_alloc(host->byte_size + 1);
    got.size = host->byte_size;
    memcpy(got.bytes, host->data, host->byte_size);
    nrd_tensor_unref(host);
    nrd_message_unref(in);
    return NULL;
}
static const struct nrd_operator_class keep_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "Keep",
    .summary = "Keeps what comes.",
    .state_size = sizeof(struct pixel_place),
    .inputs = unit_in,
    .compute = keep_compute,
};

// source -> (upload) -> operator -> keep
static struct nrd_status *run(const struct nrd_operator_class *table, const char *params,
                              bool upload)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *source = add(f, &unit_source_op, "source", NULL),
                        *op = add(f, table, "op", params);
    struct nrd_operator *keep = add(f, &keep_op, "keep", NULL), *last = source;
    add_condition(source, "CountCondition", "{count: 2}");
    if (upload) {
        last = add(f, &upload_op, "upload", NULL);
        flow(source, last);
    }
    ok(nrd_add_flow(last, "", op, table->inputs[0].name, NULL));
    flow(op, keep);
    struct nrd_status *status = nrd_app_run(app);
    nrd_app_destroy(app);
    return status;
}

static void tensors_of_a_gpu_come_to_operators_of_the_host(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 2, 2, 1);
    memcpy(t->data, "\x00\x64\xc8\xff", 4);
    // Cubic has no kernel, so this is done on the host.
    ok(run(&format_converter_op,
           "{out_dtype: uint8, resize_width: 2, resize_height: 1, resize_mode: area}", true));
    assert_int_equal(got.memory, NRD_MEMORY_CPU);
    assert_int_equal(got.size, 2);
    assert_memory_equal(got.bytes, "\x64\xb2", 2);
    ok(run(&holoviz_op, "{headless: true, width: 2, height: 2, tensors: [{name: v, type: color}]}",
           true));
    assert_int_equal(got.bytes[4], 0x64);
    unit_forget();
}

// ---- a real GPU -----------------------------------------------------------------------------------------------------

static bool has_gpu(void)
{
    struct gpu_system *system = NULL;
    struct nrd_status *status = gpu_system_open(&system);
    if (status != NULL) {
        print_message("SKIPPED, needs a GPU: %s\n", status_text(status));
    }
    bool found = status == NULL;
    status_free(status);
    gpu_system_close(system);
    return found;
}

static void fill_random(struct nrd_tensor *t, uint32_t seed)
{
    for (size_t i = 0; i < (size_t)nrd_tensor_elements(t); i++) {
        seed = seed * 1664525u + 1013904223u;
        if (t->dtype == NRD_DTYPE_F32) {
            ((float *)t->data)[i] = (float)(seed >> 8) / 16777216.0f;
        } else if (t->dtype == NRD_DTYPE_U16) {
            ((uint16_t *)t->data)[i] = (uint16_t)(seed >> 12);
        } else {
            ((uint8_t *)t->data)[i] = (uint8_t)(seed >> 12);
        }
    }
}

// The same tensor through the operator on the host and on the GPU. `slack`: in steps of bytes, for U8; else in parts of 1.
static void compare(const struct nrd_operator_class *table, const char *params, bool floats,
                    float slack)
{
    ok(run(table, params, false));
    assert_int_equal(got.memory, NRD_MEMORY_CPU);
    size_t size = got.size;
    uint8_t *expected = got.bytes;
    got.bytes = NULL;
    ok(run(table, params, true));
    assert_int_equal(got.memory, NRD_MEMORY_GPU);
    assert_int_equal(got.size, size);
    for (size_t i = 0; i < size / (floats ? 4 : 1); i++) {
        float a = floats ? ((const float *)(void *)got.bytes)[i] : (float)got.bytes[i];
        float b = floats ? ((const float *)(void *)expected)[i] : (float)expected[i];
        if (!(a - b <= slack && b - a <= slack)) {
            fail_msg("%s: element %zu is %g on the GPU, %g on the host", params, i, (double)a,
                     (double)b);
        }
    }
    mem_free(expected);
}

static void kernels_agree_with_the_host(void **state)
{
    (void)state;
    if (!has_gpu()) {
        skip();
    }
    static const struct {
        const char *params;
        bool floats;
        float slack;
    } conversions[] = {
        {"{out_dtype: float32, scale_min: -1, scale_max: 1}", true, 0.0f},
        {"{out_dtype: float32, out_layout: nchw, out_channel_order: [2, 1, 0]}", true, 0.0f},
        {"{out_dtype: rgba8888, alpha_value: 9}", false, 0.0f},
        {"{out_dtype: uint8, resize_width: 31, resize_height: 47, resize_mode: nearest}", false,
         0.0f},
        {"{out_dtype: uint8, resize_width: 31, resize_height: 47, resize_mode: linear}", false,
         1.0f},
        {"{out_dtype: float32, out_layout: chw, resize_width: 100, resize_height: 90, resize_mode: "
         "linear}",
         true, 0.005f},
        {"{in_dtype: rgb888, out_dtype: rgb888, resize_width: 50, resize_height: 50, resize_mode: "
         "2, resize_fit: letterbox, letterbox_value: 114}",
         false, 1.0f},
        {"{out_dtype: nv12}", false, 0.0f},
        {"{out_dtype: yuyv, color_matrix: bt601}", false, 0.0f},
    };
    fill_random(unit_give("v", NRD_DTYPE_U8, 66, 88, 3), 1);
    for (size_t i = 0; i < sizeof(conversions) / sizeof(conversions[0]); i++) {
        compare(&format_converter_op, conversions[i].params, conversions[i].floats,
                conversions[i].slack);
    }
    unit_forget();
    fill_random(unit_give("v", NRD_DTYPE_U8, 66, 88), 2);
    compare(&format_converter_op, "{in_dtype: nv12, out_dtype: rgb888}", false, 0.0f);
    compare(&format_converter_op, "{in_dtype: yuv420, out_dtype: float32}", true, 0.0f);
    compare(&bayer_demosaic_op, "{bayer_grid_pos: 3}", false, 0.0f);
    unit_forget();
    fill_random(unit_give("v", NRD_DTYPE_U16, 66, 88), 3);
    compare(&bayer_demosaic_op, "{generate_alpha: true}", false, 0.0f);
    unit_forget();
    fill_random(unit_give("v", NRD_DTYPE_F32, 1, 5, 66, 88), 4);
    compare(&segmentation_postprocessor_op, "{in_tensor_name: v, data_format: nchw}", false, 0.0f);
    compare(&segmentation_postprocessor_op,
            "{in_tensor_name: v, data_format: nchw, network_output_type: sigmoid}", false, 0.0f);
    unit_forget();
}

static int forget_bytes(void **state)
{
    (void)state;
    mem_free(got.bytes);
    got.bytes = NULL;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(tensors_of_a_gpu_come_to_operators_of_the_host),
        cmocka_unit_test(kernels_agree_with_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, forget_bytes);
}
