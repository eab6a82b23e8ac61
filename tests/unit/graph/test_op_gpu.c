// SPDX-License-Identifier: Apache-2.0
// Picture operators and tensors on a GPU. On a pretended machine: tensors are brought to operators that work on the host. On a
// real one (skipped, loudly, where there is none): the kernels' results are those of the host.
#include "gpu_machine.h"

#include <stdlib.h>

#include "base/file.h"
#include "gpu/copy.h"
#include "gpu/nvrtc.h"
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

// A pretended compiler: what it was given is what it makes.
struct nvrtc_program {
    char code[256];
};
static struct nvrtc_program program;
static int fake_version(int *major, int *minor)
{
    *major = 13;
    *minor = 0;
    return NVRTC_OK;
}
static const char *fake_error(int result)
{
    (void)result;
    return NULL;
}
static int fake_arch_count(int *count)
{
    *count = 1;
    return NVRTC_OK;
}
static int fake_archs(int *archs)
{
    archs[0] = 90;
    return NVRTC_OK;
}
static int fake_create(struct nvrtc_program **out, const char *source, const char *name,
                       int header_count, const char *const *headers,
                       const char *const *header_names)
{
    (void)name;
    (void)header_count;
    (void)headers;
    (void)header_names;
    snprintf(program.code, sizeof(program.code), "%s", source);
    *out = &program;
    return NVRTC_OK;
}
static int fake_destroy(struct nvrtc_program **out)
{
    *out = NULL;
    return NVRTC_OK;
}
static int fake_compile(struct nvrtc_program *p, int count, const char *const *options)
{
    (void)p;
    (void)count;
    (void)options;
    return NVRTC_OK;
}
static int fake_size(struct nvrtc_program *p, size_t *size)
{
    *size = strlen(p->code) + 1;
    return NVRTC_OK;
}
static int fake_text(struct nvrtc_program *p, char *to)
{
    memcpy(to, p->code, strlen(p->code) + 1);
    return NVRTC_OK;
}
static const struct gpu_nvrtc fake_nvrtc = {
    .version = fake_version,
    .error_string = fake_error,
    .arch_count = fake_arch_count,
    .archs = fake_archs,
    .create = fake_create,
    .destroy = fake_destroy,
    .compile = fake_compile,
    .log_size = fake_size,
    .log = fake_text,
    .cubin_size = fake_size,
    .cubin = fake_text,
    .ptx_size = fake_size,
    .ptx = fake_text,
};

static struct fake_launch launches[8];
static float first_numbers[8];
static int launch_count;
static void note_launch(const struct fake_launch *launch)
{
    void *input;
    memcpy(&input, launch->params, sizeof(input));
    const float *bytes = fake_cuda_peek(input);
    first_numbers[launch_count] = bytes == NULL ? -1.0f : bytes[0];
    launches[launch_count++] = *launch;
}

static void custom_kernels_are_launched_with_their_grids(void **state)
{
    (void)state;
    char folder[] =
        "/tmp/nereid-kernels-XXXXXX"; // what was compiled is kept there, not in the user's own place
    assert_non_null(mkdtemp(folder));
    setenv("NEREID_CACHE_DIR", folder, 1);
    nvrtc_replace(&fake_nvrtc);
    static const struct fake_kernel one = {"customKernel1", sizeof(void *), note_launch, NULL,
                                           1000};
    static const struct fake_kernel two = {"customKernelx", sizeof(void *), note_launch, NULL,
                                           1000};
    fake_cuda_kernel(&one);
    fake_cuda_kernel(&two);
    struct nrd_tensor *t = unit_give("a", NRD_DTYPE_F32, 20, 30);
    ((float *)t->data)[0] = 42.0f;
    static const char params[] =
        "{process_operations: {a: 'custom_cuda_kernel-1:custom_cuda_kernel-x'}, processed_map: {a: "
        "b}, custom_kernels: {"
        "cuda_kernel-1: 'one', out_dtype-1: kUInt8, output_dimensions-1: '20,30', cuda_kernel-x: "
        "'two', output_dimensions-x: '5,4',"
        " thread_per_block-x: '16,16'}}";
    for (int upload = 0; upload < 2; upload++) {
        launch_count = 0;
        ok(run(&inference_processor_op, params, upload == 1));
        assert_int_equal(launch_count, 4); // two messages
        assert_true(first_numbers[0] == 42.0f);
        assert_int_equal(launches[0].grid[0], 3); // 600 numbers by 256
        assert_int_equal(launches[0].block[0], 256);
        assert_int_equal(launches[1].grid[0], 2); // 20 and 30 by 16
        assert_int_equal(launches[1].grid[1], 2);
        assert_int_equal(launches[1].block[1], 16);
        assert_int_equal(got.memory, NRD_MEMORY_CPU);
        assert_int_equal(got.size, 5 * 4 * 4);
    }
    unit_forget();
    nvrtc_replace(NULL);
    unsetenv("NEREID_CACHE_DIR");
    ok(file_remove_tree(folder));
}

static void custom_kernels_without_a_gpu_are_refused(void **state)
{
    (void)state;
    unit_give("a", NRD_DTYPE_F32, 20, 30);
    struct gpu_system *system = NULL;
    struct nrd_status *status = gpu_system_open(&system);
    bool has_one = status == NULL;
    status_free(status);
    gpu_system_close(system);
    if (!has_one) {
        fails(run(&inference_processor_op,
                  "{process_operations: {a: custom_cuda_kernel-1}, processed_map: {a: b}, "
                  "custom_kernels: {cuda_kernel-1: text}}",
                  false),
              "operator 'op': custom CUDA kernels: there is no GPU 0");
    }
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

static void a_custom_kernel_runs(void **state)
{
    (void)state;
    if (!has_gpu()) {
        skip();
    }
    struct nrd_tensor *t = unit_give("a", NRD_DTYPE_F32, 20, 30);
    fill_random(t, 7);
    ok(run(&inference_processor_op,
           "{process_operations: {a: custom_cuda_kernel-1}, processed_map: {a: b}, custom_kernels: "
           "{cuda_kernel-1: 'extern \"C\" __global__ void"
           " customKernel1(const float *in, float *out, int n) { int i = blockIdx.x * blockDim.x + "
           "threadIdx.x; if (i < n) out[i] = 2.0f * in[i]; }'}}",
           false));
    assert_int_equal(got.size, 20 * 30 * 4);
    for (int i = 0; i < 600; i++) {
        assert_true(((const float *)(void *)got.bytes)[i] == 2.0f * ((const float *)t->data)[i]);
    }
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
        MACHINE_TEST(custom_kernels_are_launched_with_their_grids),
        cmocka_unit_test(custom_kernels_without_a_gpu_are_refused),
        cmocka_unit_test(kernels_agree_with_the_host),
        cmocka_unit_test(a_custom_kernel_runs),
    };
    return cmocka_run_group_tests(tests, NULL, forget_bytes);
}
