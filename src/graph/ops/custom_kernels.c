// SPDX-License-Identifier: Apache-2.0
// All kernels of one operation are one text and one module, made for the GPU that the first tensor lies on.
#include "graph/ops/custom_kernels.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "gpu/copy.h"
#include "gpu/module.h"
#include "graph/streams.h"

#define KERNELS_MAX 8
#define ID_BYTES 48
#define SOURCE_MAX (1024 * 1024)
#define PREFIX "custom_cuda_kernel-"

struct custom_kernel {
    char id[ID_BYTES];
    enum nrd_dtype dtype;
    int64_t dims[NRD_RANK_MAX]; // of the result
    uint32_t rank;              // 0: the input's
    unsigned threads[3];
    int thread_dims; // how many of these were given
    struct cu_function *function;
};
struct custom_kernels {
    struct custom_kernel items[KERNELS_MAX];
    size_t count;
    struct str source;
    struct gpu_module *module;
    int32_t device;            // that the module is on
    struct gpu_stream *stream; // of this run; NULL: nothing was queued
};

// ---- parameters -----------------------------------------------------------------------------------------------------

// The value of "<key>-<id>"; NULL: none.
static const struct nrd_value *find(const struct nrd_value *map, const char *key, const char *id)
{
    char name[ID_BYTES + 32];
    snprintf(name, sizeof(name), "%s-%s", key, id);
    return nrd_value_get(map, name);
}

static struct nrd_status *read_source(const struct nrd_value *map, const char *id, struct str *out)
{
    struct slice text = slice_of(nrd_value_text(find(map, "cuda_kernel", id)));
    if (text.len == 0) {
        return status_new(NRD_INVALID_ARG, "custom_kernels has no 'cuda_kernel-%s'", id);
    }
    if (slice_ends(text, SLICE(".cu"))) {
        NRD_TRY(file_read(text.ptr, SOURCE_MAX, out));
    } else {
        str_append_slice(out, text);
    }
    str_append_char(out, '\n');
    return str_status(out);
}

// "3,4,5" to at most `most` numbers from 1 on; false: something else.
static bool read_numbers(const char *text, int64_t *to, uint32_t most, uint32_t *count)
{
    struct slice rest = slice_of(text), part;
    *count = 0;
    while (rest.len > 0 && slice_cut(&rest, ',', &part)) {
        if (*count == most || !slice_to_i64(slice_trim(part), &to[*count]) || to[*count] < 1 ||
            to[*count] > INT32_MAX) {
            return false;
        }
        (*count)++;
    }
    return *count > 0;
}

static struct nrd_status *read_dtype(const struct nrd_value *map, struct custom_kernel *k)
{
    static const struct {
        const char *name;
        enum nrd_dtype dtype;
    } known[] = {{"kFloat32", NRD_DTYPE_F32}, {"kInt32", NRD_DTYPE_I32},
                 {"kInt8", NRD_DTYPE_I8},     {"kUInt8", NRD_DTYPE_U8},
                 {"kInt64", NRD_DTYPE_I64},   {"kFloat16", NRD_DTYPE_F16}};
    const struct nrd_value *value = find(map, "out_dtype", k->id);
    k->dtype = NRD_DTYPE_F32;
    for (size_t i = 0; value != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, nrd_value_text(value)) == 0) {
            k->dtype = known[i].dtype;
            return NULL;
        }
    }
    return value == NULL ? NULL
                         : status_new(NRD_INVALID_ARG,
                                      "custom_kernels: 'out_dtype-%s' is '%s': kFloat32, kInt32, "
                                      "kInt8, kUInt8, kInt64 or kFloat16",
                                      k->id, nrd_value_text(value));
}

static struct nrd_status *read_kernel(const struct nrd_value *map, struct custom_kernel *k)
{
    NRD_TRY(read_dtype(map, k));
    const struct nrd_value *dims = find(map, "output_dimensions", k->id);
    const struct nrd_value *threads = find(map, "thread_per_block", k->id);
    int64_t numbers[3] = {256, 1, 1};
    uint32_t count = 1;
    if (dims != NULL && !read_numbers(nrd_value_text(dims), k->dims, NRD_RANK_MAX, &k->rank)) {
        return status_new(NRD_INVALID_ARG,
                          "custom_kernels: 'output_dimensions-%s' is '%s': numbers with commas",
                          k->id, nrd_value_text(dims));
    }
    if (threads != NULL &&
        (!read_numbers(nrd_value_text(threads), numbers, 3, &count) || numbers[0] > 1024 ||
         numbers[1] > 1024 || numbers[2] > 64 || numbers[0] * numbers[1] * numbers[2] > 1024)) {
        return status_new(NRD_INVALID_ARG,
                          "custom_kernels: 'thread_per_block-%s' is '%s': one to three numbers, at "
                          "most 1024 threads",
                          k->id, nrd_value_text(threads));
    }
    for (int i = 0; i < 3; i++) {
        k->threads[i] = (unsigned)numbers[i];
    }
    k->thread_dims = (int)count;
    return NULL;
}

static struct nrd_status *read_operation(struct custom_kernels *kernels,
                                         const struct nrd_value *map, const char *operation)
{
    struct slice rest = slice_of(operation), part;
    bool all_have_dims = true;
    while (rest.len > 0 && slice_cut(&rest, ':', &part)) {
        struct custom_kernel *k = &kernels->items[kernels->count];
        if (kernels->count == KERNELS_MAX || !slice_starts(part, SLICE(PREFIX)) ||
            part.len == strlen(PREFIX) || part.len - strlen(PREFIX) >= ID_BYTES) {
            return status_new(NRD_INVALID_ARG,
                              "operation '%s' is not custom_cuda_kernel-<id>, or at most %d of "
                              "them with ':' between",
                              operation, KERNELS_MAX);
        }
        memcpy(k->id, part.ptr + strlen(PREFIX), part.len - strlen(PREFIX));
        kernels->count++;
        NRD_TRY(read_source(map, k->id, &kernels->source));
        NRD_TRY(read_kernel(map, k));
        all_have_dims = all_have_dims && k->rank > 0;
    }
    for (size_t i = 0; i < kernels->count && !all_have_dims; i++) {
        kernels->items[i].rank = 0;
    }
    return NULL;
}

struct nrd_status *custom_kernels_create(const struct nrd_value *map, const char *operation,
                                         struct custom_kernels **out)
{
    struct custom_kernels *kernels = mem_calloc(1, sizeof(*kernels));
    if (kernels == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = read_operation(kernels, map, operation);
    if (status != NULL) {
        custom_kernels_destroy(kernels);
        return status;
    }
    *out = kernels;
    return NULL;
}

struct nrd_status *custom_kernels_finish(struct custom_kernels *kernels)
{
    if (kernels == NULL || kernels->stream == NULL) {
        return NULL;
    }
    struct gpu_stream *stream = kernels->stream;
    kernels->stream = NULL;
    return gpu_stream_sync(stream, 0);
}

void custom_kernels_destroy(struct custom_kernels *kernels)
{
    if (kernels != NULL) {
        gpu_module_unload(kernels->module);
        str_fini(&kernels->source);
        mem_free(kernels);
    }
}

// ---- one tensor -----------------------------------------------------------------------------------------------------

static struct nrd_status *compile(struct custom_kernels *kernels, struct gpu_stream *stream,
                                  int32_t device)
{
    if (kernels->module != NULL) {
        return kernels->device == device
                   ? NULL
                   : status_new(NRD_UNSUPPORTED,
                                "custom kernels were compiled for GPU %d, a tensor is on GPU %d",
                                (int)kernels->device, (int)device);
    }
    const struct nvrtc_source source = {.name = "custom_kernels.cu",
                                        .text = str_cstr(&kernels->source)};
    struct gpu_module *module = NULL;
    NRD_TRY(gpu_module_compile(gpu_stream_device(stream), &source, &module));
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < kernels->count && status == NULL; i++) {
        char name[ID_BYTES + 16];
        snprintf(name, sizeof(name), "customKernel%s", kernels->items[i].id);
        status = gpu_module_function(module, name, &kernels->items[i].function);
    }
    if (status != NULL) {
        gpu_module_unload(module);
        return status;
    }
    kernels->module = module;
    kernels->device = device;
    return NULL;
}

// The tensor where the kernels can read it: itself, or a copy on GPU 0. Returns owned.
static struct nrd_status *bring(struct nrd_compute *ctx, struct gpu_stream *stream,
                                struct nrd_tensor *in, struct nrd_tensor **there)
{
    if (in->memory == NRD_MEMORY_GPU) {
        NRD_TRY(nrd_stream_wait_tensor(ctx, gpu_stream_handle(stream), in));
        *there = nrd_tensor_ref(in);
        return NULL;
    }
    struct nrd_tensor *copy = NULL;
    NRD_TRY(nrd_allocate(nrd_compute_operator(ctx), NULL, in->dtype, in->dims, in->rank,
                         NRD_MEMORY_GPU, 0, &copy));
    struct nrd_status *status =
        gpu_copy(stream, copy->data, gpu_stream_device(stream), in->data, NULL, in->byte_size);
    if (status == NULL) {
        status = gpu_stream_sync(stream, 0); // the message's memory may be used again after this
    }
    if (status != NULL) {
        nrd_tensor_unref(copy);
        return status;
    }
    *there = copy;
    return NULL;
}

static struct nrd_status *launch(const struct custom_kernel *k, struct gpu_stream *stream,
                                 const struct nrd_tensor *in, const struct nrd_tensor *out)
{
    // Numbers are 64 bits, of which a kernel that declares `int` reads the lower half, as Holoscan's do.
    uint64_t count = (uint64_t)nrd_tensor_elements(in), sizes[3] = {1, 1, 1};
    void *from = in->data, *to = out->data;
    struct gpu_grid grid = {{1, 1, 1}, {k->threads[0], k->threads[1], k->threads[2]}, 0};
    for (uint32_t i = 0; i < 3 && i < in->rank; i++) {
        sizes[i] = (uint64_t)in->dims[i];
    }
    void *params[5] = {&from, &to, &count, NULL, NULL};
    if (k->thread_dims == 1) {
        grid.blocks[0] = (unsigned)((count + k->threads[0] - 1) / k->threads[0]);
    } else {
        for (int i = 0; i < k->thread_dims; i++) {
            params[2 + i] = &sizes[i];
            grid.blocks[i] = (unsigned)((sizes[i] + k->threads[i] - 1) / k->threads[i]);
        }
    }
    return count == 0 ? NULL : gpu_launch(stream, k->function, &grid, params);
}

struct nrd_status *custom_kernels_run(struct custom_kernels *kernels, struct nrd_compute *ctx,
                                      struct nrd_resource *allocator, struct nrd_tensor *in,
                                      struct nrd_tensor **out)
{
    int32_t device = in->memory == NRD_MEMORY_GPU ? in->device : 0;
    struct gpu_stream *stream = NULL;
    struct nrd_tensor *at = NULL;
    NRD_TRY(status_wrap(streams_get(nrd_compute_operator(ctx), device, &stream),
                        "custom CUDA kernels: "));
    NRD_TRY(compile(kernels, stream, device));
    NRD_TRY(bring(ctx, stream, in, &at));
    kernels->stream = stream;
    for (size_t i = 0; i < kernels->count; i++) {
        const struct custom_kernel *k = &kernels->items[i];
        struct nrd_tensor *result = NULL;
        bool last = i + 1 == kernels->count;
        struct nrd_status *status =
            nrd_allocate(nrd_compute_operator(ctx), last ? allocator : NULL, k->dtype,
                         k->rank > 0 ? k->dims : at->dims, k->rank > 0 ? k->rank : at->rank,
                         NRD_MEMORY_GPU, device, &result);
        if (status == NULL) {
            status = launch(k, stream, at, result);
        }
        nrd_tensor_unref(at);
        at = result;
        if (status != NULL) {
            nrd_tensor_unref(at);
            return status;
        }
    }
    *out = at;
    return NULL;
}
