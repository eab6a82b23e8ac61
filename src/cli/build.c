// SPDX-License-Identifier: Apache-2.0
// `nereid build`: an ONNX model to a TensorRT plan, as trtexec makes one. TensorRT is found at run time, and spoken to through the
// shim that was built for its release (backends/tensorrt/trt_shim.h).
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backends/tensorrt/trt_library.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/build_options.h"
#include "cli/cli.h"
#include "gpu/device.h"

enum {
    MODEL_MAX = INT32_MAX
}; // protobuf's own limit; larger models have their weights beside them

struct builder {
    const struct build_options *o;
    struct trt_build build;
    struct trt_library library;
    struct gpu_system *gpus;
    struct str model;
    struct str timing_cache;
    struct str calibration;
    uint64_t begin_ns;
};

// ---- what is said on the way ----------------------------------------------------------------------------------------

static void on_log(void *arg, enum trt_severity severity, const char *text)
{
    const struct build_options *o = arg;
    static const char letters[] = "FEWIV";
    enum trt_severity least = o->quiet     ? TRT_LOG_ERROR
                              : o->verbose ? TRT_LOG_VERBOSE
                                           : TRT_LOG_WARNING;
    if (severity <= least) {
        fprintf(stderr, "[TensorRT %c] %s\n", letters[severity], text);
    }
}

static void print_tensor(const struct trt_tensor *t)
{
    static const char *const types[] = {"FP32",  "FP16", "INT8", "INT32", "BOOL",
                                        "UINT8", "FP8",  "BF16", "INT64", "INT4"};
    printf("  %-6s %s: %s [", t->input ? "input" : "output", t->name,
           (size_t)t->type < sizeof types / sizeof types[0] ? types[t->type] : "?");
    for (int32_t i = 0; i < t->dims.count && i < TRT_DIMS_MAX; i++) {
        printf("%s%lld", i == 0 ? "" : ",", (long long)t->dims.d[i]);
    }
    printf("]%s\n", t->shape_tensor ? " (values of a shape)" : "");
}

static void on_parsed(void *arg, uint32_t layers, const struct trt_tensor *tensors, uint32_t count)
{
    const struct builder *b = arg;
    if (b->o->quiet) {
        return;
    }
    printf("%s: %u layers\n", b->o->model, layers);
    for (uint32_t i = 0; i < count; i++) {
        print_tensor(&tensors[i]);
    }
    fflush(stdout);
}

// ---- the parts ------------------------------------------------------------------------------------------------------

// <prefix>/lib/nereid/backends/tensorrt, seen from the program.
static struct nrd_status *open_library(struct builder *b)
{
    char exe[4096];
    ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (length < 0) {
        return status_new(NRD_INTERNAL, "unable to find this program: %s", strerror(errno));
    }
    exe[length] = '\0';
    struct str directory = STR_INIT;
    str_append(&directory, exe, (size_t)(path_base(exe) - exe));
    str_append_cstr(&directory, "../lib/nereid/backends/tensorrt");
    struct nrd_status *status = str_status(&directory);
    if (status == NULL) {
        const struct trt_places places = {
            .named = slice_of(b->o->tensorrt), .directory = str_cstr(&directory), .parser = true};
        status = trt_library_open(&places, &b->library);
    }
    str_fini(&directory);
    if (status == NULL && b->library.symbols.create_parser == NULL) {
        status = status_new(NRD_NOT_FOUND, "TensorRT's ONNX parser cannot be opened: %s",
                            str_cstr(&b->library.parser));
    }
    for (uint32_t i = 0; i < b->o->plugin_count && status == NULL; i++) {
        status = trt_library_open_plugin(b->o->plugins[i]);
    }
    return status;
}

static struct nrd_status *read_optional(const char *path, bool may_be_absent, struct str *text,
                                        struct trt_blob *blob)
{
    if (path == NULL || (may_be_absent && !file_exists(path))) {
        return NULL;
    }
    NRD_TRY(file_read(path, MODEL_MAX, text));
    *blob = (struct trt_blob){str_cstr(text), text->len};
    return NULL;
}

static struct nrd_status *read_files(struct builder *b)
{
    NRD_TRY(file_read(b->o->model, MODEL_MAX, &b->model));
    b->build.model = (struct trt_blob){str_cstr(&b->model), b->model.len};
    b->build.model_path = b->o->model;
    NRD_TRY(read_optional(b->o->calibration, false, &b->calibration, &b->build.calibration));
    return read_optional(b->o->timing_cache, true, &b->timing_cache, &b->build.timing_cache);
}

static struct nrd_status *open_gpu(struct builder *b, struct gpu_device **device)
{
    NRD_TRY(status_wrap(gpu_system_open(&b->gpus), "a plan is built on the GPU that it is for: "));
    *device = gpu_system_device(b->gpus, (int)b->o->device);
    return *device != NULL ? NULL
                           : status_new(NRD_NOT_FOUND, "--device=%u: there are %d GPUs",
                                        b->o->device, gpu_system_count(b->gpus));
}

static struct nrd_status *write_results(const struct builder *b, const struct trt_built *built)
{
    struct trt_blob plan = {NULL, 0};
    struct trt_blob cache = {NULL, 0};
    b->library.shim->built_plan(built, &plan);
    b->library.shim->built_timing_cache(built, &cache);
    NRD_TRY(file_write(b->o->plan, slice_make(plan.data, plan.size)));
    if (b->o->timing_cache != NULL && cache.size > 0) {
        NRD_TRY(file_write(b->o->timing_cache, slice_make(cache.data, cache.size)));
    }
    if (!b->o->quiet) {
        printf("%s: %.1f MiB in %.1f s\n", b->o->plan, (double)plan.size / (1 << 20),
               (double)(clock_now_ns() - b->begin_ns) / 1e9);
    }
    return NULL;
}

static struct nrd_status *compile(struct builder *b, struct gpu_device *device)
{
    struct trt_why why = {.text = ""};
    struct trt_built *built = NULL;
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    b->begin_ns = clock_now_ns();
    bool done = b->library.shim->build(&b->library.symbols, &b->build, on_log,
                                       (void *)(uintptr_t)b->o, &built, &why);
    struct nrd_status *status =
        done ? write_results(b, built) : status_new(NRD_INTERNAL, "%s: %s", b->o->model, why.text);
    if (built != NULL) {
        b->library.shim->built_destroy(built);
    }
    gpu_device_leave(&scope);
    return status;
}

static struct nrd_status *run(struct builder *b)
{
    struct gpu_device *device = NULL;
    int major = 0;
    int minor = 0;
    int patch = 0;
    NRD_TRY(read_files(b));
    NRD_TRY(open_library(b));
    trt_version_split(b->library.version, &major, &minor, &patch);
    NRD_TRY(open_gpu(b, &device));
    if (!b->o->quiet) {
        printf("TensorRT %d.%d.%d, GPU %u (%s)\n", major, minor, patch, b->o->device,
               gpu_device_info(device)->name);
        fflush(stdout);
    }
    return compile(b, device);
}

int cli_build(int argc, char **argv)
{
    struct build_options options;
    struct nrd_status *status = build_options_read(argc, argv, &options);
    struct builder b = {.o = &options, .build = options.build};
    b.build.parsed = on_parsed;
    b.build.arg = &b;
    if (status == NULL && options.help) {
        struct str text = STR_INIT;
        build_options_usage("nereid", &text);
        fputs(str_cstr(&text), stdout);
        str_fini(&text);
    } else if (status == NULL) {
        status = run(&b);
    }
    if (status != NULL) {
        fprintf(stderr, "nereid build: %s\n", status_text(status));
    }
    trt_library_fini(&b.library);
    gpu_system_close(b.gpus);
    str_fini(&b.model);
    str_fini(&b.timing_cache);
    str_fini(&b.calibration);
    build_options_fini(&options);
    int result = status == NULL ? 0 : 1;
    status_free(status);
    return result;
}
