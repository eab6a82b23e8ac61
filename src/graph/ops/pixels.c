// SPDX-License-Identifier: Apache-2.0
#include "graph/ops/pixels.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

// ---- the host's functions -------------------------------------------------------------------------------------------

static struct nrd_status *host_convert(struct pixel_run *run, const struct image *from,
                                       const struct image *to, const struct image_conversion *how)
{
    (void)run;
    image_convert(from, to, how);
    return NULL;
}

static struct nrd_status *host_convert_planar(struct pixel_run *run, const struct image *from,
                                              void *planes, uint32_t channels, enum nrd_dtype dtype,
                                              const struct image_conversion *how)
{
    (void)run;
    image_convert_planar(from, planes, channels, dtype, how);
    return NULL;
}

static struct nrd_status *host_from_yuv(struct pixel_run *run, const struct image_yuv *from,
                                        enum image_yuv_matrix matrix, const struct image *to,
                                        const int8_t *order, uint8_t alpha)
{
    (void)run;
    image_from_yuv(from, matrix, to, order, alpha);
    return NULL;
}

static struct nrd_status *host_to_yuv(struct pixel_run *run, const struct image *from, uint32_t red,
                                      enum image_yuv_matrix matrix, const struct image_yuv *to)
{
    (void)run;
    image_to_yuv(from, red, matrix, to);
    return NULL;
}

static struct nrd_status *host_resize(struct pixel_run *run, struct image_resizer **cache,
                                      const struct image_resize_options *options,
                                      const struct image *from, const struct image *to)
{
    (void)run;
    if (*cache == NULL || !image_resizer_is_for(*cache, options)) {
        image_resizer_destroy(*cache);
        *cache = NULL;
        NRD_TRY(image_resizer_create(options, cache));
    }
    image_resizer_run(*cache, from, to);
    return NULL;
}

static struct nrd_status *host_demosaic(struct pixel_run *run, const struct image *from,
                                        enum image_bayer grid, const struct image *to,
                                        uint32_t alpha)
{
    (void)run;
    image_demosaic(from, grid, to, alpha);
    return NULL;
}

static struct nrd_status *host_argmax(struct pixel_run *run, const struct image_scores *scores,
                                      uint8_t *to)
{
    (void)run;
    image_argmax(scores, to);
    return NULL;
}

static struct nrd_status *host_threshold(struct pixel_run *run, const struct image_scores *scores,
                                         float threshold, uint8_t *to)
{
    (void)run;
    image_threshold(scores, threshold, to);
    return NULL;
}

static struct nrd_status *host_fill(struct pixel_run *run, void *data, uint8_t value, size_t size)
{
    (void)run;
    memset(data, value, size);
    return NULL;
}

const struct pixel_device pixel_host = {
    .name = "host",
    .memory = NRD_MEMORY_CPU,
    .convert = host_convert,
    .convert_planar = host_convert_planar,
    .from_yuv = host_from_yuv,
    .to_yuv = host_to_yuv,
    .resize = host_resize,
    .demosaic = host_demosaic,
    .argmax = host_argmax,
    .threshold = host_threshold,
    .fill = host_fill,
};

// ---- where a tensor is ----------------------------------------------------------------------------------------------

struct nrd_status *pixels_on_host(struct pixel_place *place, struct nrd_compute *ctx,
                                  struct nrd_tensor *tensor, struct nrd_tensor **host)
{
    if (tensor->memory != NRD_MEMORY_GPU) {
        *host = nrd_tensor_ref(tensor);
        return NULL;
    }
    if (!place->logged) {
        place->logged = true;
        nrd_operator_log(nrd_compute_operator(ctx), NRD_LOG_INFO,
                         "its tensors are copied from GPU %d to the host", (int)tensor->device);
    }
    return pixels_copy_to_host(ctx, tensor, host);
}

struct nrd_status *pixels_begin(struct pixel_place *place, struct nrd_compute *ctx,
                                struct nrd_tensor *tensor, bool gpu, struct pixel_run *run)
{
    *run = (struct pixel_run){.ctx = ctx, .device = &pixel_host};
    if (gpu && tensor->memory == NRD_MEMORY_GPU) {
        return pixels_begin_gpu(ctx, tensor, run);
    }
    return pixels_on_host(place, ctx, tensor, &run->tensor);
}

void pixels_end(struct pixel_run *run)
{
    nrd_tensor_unref(run->tensor);
    run->tensor = NULL;
}

struct nrd_status *pixels_allocate(struct pixel_run *run, struct nrd_resource *allocator,
                                   enum nrd_dtype dtype, const int64_t *dims, uint32_t rank,
                                   struct nrd_tensor **tensor)
{
    return nrd_allocate(nrd_compute_operator(run->ctx), allocator, dtype, dims, rank,
                        run->device->memory, run->ordinal, tensor);
}

// ---- tensors as pictures --------------------------------------------------------------------------------------------

const char *pixels_shape(const struct nrd_tensor *tensor, char *text)
{
    size_t at = 0;
    text[at++] = '[';
    for (uint32_t i = 0; i < tensor->rank; i++) {
        at += (size_t)snprintf(text + at, PIXELS_SHAPE_MAX - at, i == 0 ? "%lld" : ",%lld",
                               (long long)tensor->dims[i]);
    }
    text[at++] = ']';
    text[at] = '\0';
    return text;
}

struct nrd_status *pixels_of_tensor(const struct nrd_tensor *tensor, const char *name,
                                    struct image *image)
{
    const int64_t *dims = tensor->dims;
    uint32_t rank = tensor->rank;
    if (rank == 4 && dims[0] == 1) {
        dims++;
        rank--;
    }
    int64_t channels = rank == 3 ? dims[2] : 1;
    if (rank < 2 || rank > 3 || channels < 1 || channels > IMAGE_CHANNELS_MAX ||
        dims[0] > INT32_MAX || dims[1] > INT32_MAX) {
        char shape[PIXELS_SHAPE_MAX];
        return status_new(NRD_INVALID_ARG,
                          "tensor '%s' has shape %s, which is no picture: [height, width] or "
                          "[height, width, 1 to 4 channels]",
                          name, pixels_shape(tensor, shape));
    }
    if (tensor->dtype != NRD_DTYPE_U8 && tensor->dtype != NRD_DTYPE_U16 &&
        tensor->dtype != NRD_DTYPE_F32) {
        return status_new(NRD_INVALID_ARG,
                          "tensor '%s' is of %s, pictures are of UINT8, UINT16 or FP32", name,
                          nrd_dtype_name(tensor->dtype));
    }
    *image = image_of(tensor->data, (uint32_t)dims[1], (uint32_t)dims[0], (uint32_t)channels,
                      tensor->dtype);
    return NULL;
}

struct nrd_status *pixels_emit(struct nrd_compute *ctx, size_t output, const char *name,
                               struct nrd_tensor *tensor, const struct nrd_message *from)
{
    struct nrd_message *message = nrd_message_new(ctx);
    struct nrd_status *status =
        message == NULL ? status_no_memory() : nrd_message_add_tensor(message, name, tensor);
    if (status != NULL) {
        nrd_tensor_unref(tensor);
        nrd_message_unref(message);
        return status;
    }
    nrd_message_set_acquired(message, nrd_message_acquired(from));
    enum nrd_code code = nrd_emit(ctx, output, message);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "its output is full");
}

static struct nrd_status *find_input(const struct pixel_step *step,
                                     const struct nrd_message *message, struct nrd_tensor **tensor)
{
    bool is_there = nrd_message_tensor(message, step->in_name) != NULL;
    if (!is_there && step->takes_only && nrd_message_tensor_count(message) == 1) {
        *tensor = nrd_message_tensor_at(message, 0, NULL);
        return NULL;
    }
    return nrd_message_find_tensor(message, step->in_name, tensor);
}

struct nrd_status *pixels_compute(struct nrd_compute *ctx, const struct pixel_step *step,
                                  void *self)
{
    struct nrd_message *message = nrd_receive(ctx, 0);
    struct nrd_tensor *tensor = NULL, *out = NULL;
    struct pixel_run run;
    if (message == NULL) {
        return NULL; // an input without a condition
    }
    struct nrd_status *status = find_input(step, message, &tensor);
    if (status == NULL) {
        status = pixels_begin(step->place, ctx, tensor, step->gpu, &run);
    }
    if (status == NULL) {
        status = step->work(self, &run, &out);
        if (status == NULL) {
            status = pixels_emit(ctx, 0, step->out_name, out, message);
        } else {
            nrd_tensor_unref(out);
        }
        pixels_end(&run);
    }
    nrd_message_unref(message);
    return status;
}
