// SPDX-License-Identifier: Apache-2.0
// A TensorRT plan in a bare loop: what the engine alone gives, to compare a server on the same plan with. No server code is in it,
// but the shim. Prints one JSON object.
//   trt_bare PLAN --shims DIR [--tensorrt PATH] [--dims NAME:8x3x224x224]... [--input NAME=FILE]... [--output NAME=FILE]...
//            [--iterations N] [--graph] [--loads N]
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/tensorrt/trt_library.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "gpu/copy.h"
#include "gpu/graph_capture.h"

enum { TENSORS_MAX = 32 };

struct pair {
    struct slice name;
    struct slice value;
};

struct bare {
    const char *plan;
    const char *shims;
    const char *tensorrt;
    struct pair dims[TENSORS_MAX];
    struct pair inputs[TENSORS_MAX];
    struct pair outputs[TENSORS_MAX];
    size_t dims_count, input_count, output_count;
    uint64_t iterations;
    uint64_t loads;
    bool graph;
    struct trt_library library;
    struct gpu_device *device;
    struct gpu_stream *stream;
    struct trt_runtime *runtime;
    struct trt_engine *engine;
    struct trt_context *context;
    struct str text;
    struct tensor_buffer *memory[TENSORS_MAX];
    size_t bytes[TENSORS_MAX];
};

static void on_log(void *arg, enum trt_severity severity, const char *text)
{
    (void)arg;
    if (severity <= TRT_LOG_WARNING) {
        fprintf(stderr, "[TensorRT] %s\n", text);
    }
}

static struct nrd_status *fails(const struct trt_why *why)
{
    return status_new(NRD_INTERNAL, "%s", why->text);
}

static size_t element_bytes(enum trt_type type)
{
    static const unsigned char bytes[] = {4, 2, 1, 4, 1, 1, 1, 2, 8, 1};
    return bytes[type];
}

// What was said of `name`; NULL: nothing.
static const struct slice *find(const struct pair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is(pairs[i].name, name)) {
            return &pairs[i].value;
        }
    }
    return NULL;
}

static struct nrd_status *load(struct bare *b)
{
    struct trt_why why = {.text = ""};
    const struct trt_shim *shim = b->library.shim;
    if (!shim->engine_load(b->runtime, str_cstr(&b->text), b->text.len, -1, &b->engine, &why) ||
        !shim->context_create(b->engine, false, &b->context, &why)) {
        return fails(&why);
    }
    return NULL;
}

static void unload(struct bare *b)
{
    b->library.shim->context_destroy(b->context);
    b->library.shim->engine_destroy(b->engine);
    b->context = NULL;
    b->engine = NULL;
}

static struct nrd_status *set_dims(struct bare *b, const struct trt_tensor *t)
{
    struct trt_dims dims = t->dims;
    struct trt_why why = {.text = ""};
    const struct slice *given = find(b->dims, b->dims_count, t->name);
    if (given != NULL) {
        struct slice rest = *given;
        struct slice part;
        dims.count = 0;
        while (slice_cut(&rest, 'x', &part) && dims.count < TRT_DIMS_MAX &&
               slice_to_i64(part, &dims.d[dims.count])) {
            dims.count++;
        }
    }
    return b->library.shim->context_shape(b->context, t->name, &dims, &why) ? NULL : fails(&why);
}

static struct nrd_status *set_memory(struct bare *b, uint32_t i, const struct trt_tensor *t)
{
    struct trt_dims dims;
    struct trt_why why = {.text = ""};
    if (!b->library.shim->context_dims(b->context, t->name, &dims)) {
        return status_new(NRD_INTERNAL, "tensor '%s' has no shape", t->name);
    }
    size_t bytes = element_bytes(t->type);
    for (int32_t k = 0; k < dims.count; k++) {
        bytes *= (size_t)dims.d[k];
    }
    b->bytes[i] = bytes;
    NRD_TRY(gpu_direct_get(b->device, bytes + 1, &b->memory[i]));
    const struct slice *file = t->input ? find(b->inputs, b->input_count, t->name) : NULL;
    if (file != NULL) {
        struct str path = STR_INIT;
        struct str data = STR_INIT;
        str_append_slice(&path, *file);
        NRD_TRY(file_read(str_cstr(&path), SIZE_MAX / 2, &data));
        if (data.len != bytes) {
            return status_new(NRD_INVALID_ARG, "'%s' has %zu bytes, tensor '%s' %zu",
                              str_cstr(&path), data.len, t->name, bytes);
        }
        NRD_TRY(gpu_copy(b->stream, b->memory[i]->data, b->device, data.ptr, NULL, bytes));
        NRD_TRY(gpu_stream_sync(b->stream, 0));
        str_fini(&data);
        str_fini(&path);
    } else if (t->input) {
        NRD_TRY(gpu_stream_fill(b->stream, b->memory[i]->data, 0, bytes));
    }
    return b->library.shim->context_address(b->context, t->name, b->memory[i]->data, &why)
               ? NULL
               : fails(&why);
}

static struct nrd_status *prepare(struct bare *b, struct trt_engine_info *info)
{
    struct trt_tensor t;
    b->library.shim->engine_info(b->engine, info);
    if (info->tensors > TENSORS_MAX) {
        return status_new(NRD_UNSUPPORTED, "the plan has %u tensors", info->tensors);
    }
    for (uint32_t i = 0; i < info->tensors; i++) {
        b->library.shim->engine_tensor(b->engine, i, &t);
        if (t.input) {
            NRD_TRY(set_dims(b, &t));
        }
    }
    for (uint32_t i = 0; i < info->tensors; i++) {
        b->library.shim->engine_tensor(b->engine, i, &t);
        NRD_TRY(set_memory(b, i, &t));
    }
    return NULL;
}

static struct nrd_status *enqueue(struct bare *b, struct gpu_graph *graph)
{
    struct trt_why why = {.text = ""};
    if (graph != NULL) {
        return gpu_graph_launch(graph, b->stream);
    }
    return b->library.shim->context_enqueue(b->context, gpu_stream_handle(b->stream), &why)
               ? NULL
               : fails(&why);
}

static struct nrd_status *measure(struct bare *b)
{
    struct gpu_graph *graph = NULL;
    for (int i = 0; i < 20; i++) {
        NRD_TRY(enqueue(b, NULL));
    }
    NRD_TRY(gpu_stream_sync(b->stream, 0));
    if (b->graph) {
        NRD_TRY(gpu_capture_begin(b->stream));
        NRD_TRY(enqueue(b, NULL));
        NRD_TRY(gpu_capture_end(b->stream, &graph));
    }
    NRD_TRY(enqueue(b, graph));
    NRD_TRY(gpu_stream_sync(b->stream, 0));
    uint64_t begin = clock_now_ns();
    for (uint64_t i = 0; i < b->iterations; i++) {
        NRD_TRY(enqueue(b, graph));
    }
    NRD_TRY(gpu_stream_sync(b->stream, 0));
    uint64_t middle = clock_now_ns();
    for (uint64_t i = 0; i < b->iterations; i++) {
        NRD_TRY(enqueue(b, graph));
        NRD_TRY(gpu_stream_sync(b->stream, 0));
    }
    uint64_t end = clock_now_ns();
    printf(", \"ms\": %.5f, \"latency_ms\": %.5f",
           (double)(middle - begin) / 1e6 / (double)b->iterations,
           (double)(end - middle) / 1e6 / (double)b->iterations);
    gpu_graph_destroy(graph);
    return NULL;
}

static struct nrd_status *write_outputs(struct bare *b, const struct trt_engine_info *info)
{
    struct trt_tensor t;
    for (uint32_t i = 0; i < info->tensors; i++) {
        b->library.shim->engine_tensor(b->engine, i, &t);
        const struct slice *file = find(b->outputs, b->output_count, t.name);
        if (file == NULL) {
            continue;
        }
        struct str path = STR_INIT;
        str_append_slice(&path, *file);
        char *host = mem_alloc(b->bytes[i] + 1);
        if (host == NULL) {
            return status_no_memory();
        }
        NRD_TRY(gpu_copy(b->stream, host, NULL, b->memory[i]->data, b->device, b->bytes[i]));
        NRD_TRY(gpu_stream_sync(b->stream, 0));
        NRD_TRY(file_write(str_cstr(&path), slice_make(host, b->bytes[i])));
        mem_free(host);
        str_fini(&path);
    }
    return NULL;
}

// Loads and unloads again and again: the device's free memory after the first and after the last.
static struct nrd_status *measure_loads(struct bare *b)
{
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t total = 0;
    for (uint64_t i = 0; i < b->loads; i++) {
        NRD_TRY(load(b));
        unload(b);
        NRD_TRY(gpu_device_memory(b->device, &last, &total));
        first = i == 0 ? last : first;
    }
    if (b->loads > 0) {
        printf(", \"loads\": %" PRIu64 ", \"free_after_first\": %" PRIu64
               ", \"free_after_last\": %" PRIu64,
               b->loads, first, last);
    }
    return NULL;
}

static struct nrd_status *run(struct bare *b)
{
    struct trt_why why = {.text = ""};
    struct trt_engine_info info;
    const struct trt_places places = {.named = slice_of(b->tensorrt), .directory = b->shims};
    struct gpu_system *gpus = NULL;
    struct gpu_scope scope;
    NRD_TRY(trt_library_open(&places, &b->library));
    NRD_TRY(gpu_system_open(&gpus));
    b->device = gpu_system_device(gpus, 0);
    NRD_TRY(gpu_device_enter(b->device, &scope));
    NRD_TRY(gpu_stream_create(b->device, GPU_PRIORITY_NORMAL, &b->stream));
    NRD_TRY(file_read(b->plan, SIZE_MAX / 2, &b->text));
    if (!b->library.shim->runtime_create(&b->library.symbols, on_log, NULL, &b->runtime, &why)) {
        return fails(&why);
    }
    printf("{\"plan\": \"%s\", \"tensorrt\": %d", b->plan, b->library.version);
    NRD_TRY(measure_loads(b));
    NRD_TRY(load(b));
    NRD_TRY(prepare(b, &info));
    NRD_TRY(enqueue(b, NULL));
    NRD_TRY(gpu_stream_sync(b->stream, 0));
    NRD_TRY(write_outputs(b, &info));
    if (b->iterations > 0) {
        NRD_TRY(measure(b));
    }
    printf("}\n");
    for (uint32_t i = 0; i < info.tensors; i++) {
        buffer_unref(b->memory[i]);
    }
    unload(b);
    b->library.shim->runtime_destroy(b->runtime);
    gpu_stream_destroy(b->stream);
    gpu_device_leave(&scope);
    gpu_system_close(gpus);
    return NULL;
}

static bool add_pair(struct pair *pairs, size_t *count, const char *text, char separator)
{
    struct slice rest = slice_of(text);
    struct pair *p = &pairs[*count];
    if (*count == TENSORS_MAX || !slice_cut(&rest, separator, &p->name) || rest.ptr == NULL) {
        return false;
    }
    p->value = rest;
    (*count)++;
    return true;
}

static bool read_option(struct bare *b, const char *name, const char *value)
{
    if (strcmp(name, "--shims") == 0) {
        b->shims = value;
    } else if (strcmp(name, "--tensorrt") == 0) {
        b->tensorrt = value;
    } else if (strcmp(name, "--dims") == 0) {
        return add_pair(b->dims, &b->dims_count, value, ':');
    } else if (strcmp(name, "--input") == 0) {
        return add_pair(b->inputs, &b->input_count, value, '=');
    } else if (strcmp(name, "--output") == 0) {
        return add_pair(b->outputs, &b->output_count, value, '=');
    } else if (strcmp(name, "--iterations") == 0) {
        return slice_to_u64(slice_of(value), &b->iterations);
    } else if (strcmp(name, "--loads") == 0) {
        return slice_to_u64(slice_of(value), &b->loads);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct bare b;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            b.plan = argv[i];
        } else if (strcmp(argv[i], "--graph") == 0) {
            b.graph = true;
        } else if (i + 1 >= argc || !read_option(&b, argv[i], argv[i + 1])) {
            fprintf(stderr, "trt_bare: cannot use '%s'\n", argv[i]);
            return 2;
        } else {
            i++;
        }
    }
    if (b.plan == NULL || b.shims == NULL) {
        fprintf(stderr, "Usage: trt_bare PLAN --shims DIR [options, at the head of its source]\n");
        return 2;
    }
    struct nrd_status *status = run(&b);
    if (status != NULL) {
        fprintf(stderr, "trt_bare: %s\n", status_text(status));
        return 1;
    }
    return 0;
}
