// SPDX-License-Identifier: Apache-2.0
// Pixel work on a GPU, by the kernels of src/gpu in the operator's own stream: nothing is waited for on the CPU. The kernels' numbers are
// those of src/image, so this file only changes one struct into another.
#include "gpu/copy.h"
#include "gpu/kernels/kernels.h"
#include "graph/ops/pixels.h"
#include "graph/streams.h"

// Enums that say the same are cast.
_Static_assert((int)GPU_YUV420 == (int)IMAGE_YUV420 && (int)GPU_YUYV == (int)IMAGE_YUYV &&
                   (int)GPU_NV12 == (int)IMAGE_NV12,
               "layouts are numbered alike");
_Static_assert((int)GPU_YUV_BT709_FULL == (int)IMAGE_YUV_BT709_FULL &&
                   (int)GPU_YUV_ANALOG == (int)IMAGE_YUV_ANALOG,
               "matrices are numbered alike");
_Static_assert((int)GPU_BAYER_GRBG == (int)IMAGE_BAYER_GRBG &&
                   (int)GPU_BAYER_BGGR == (int)IMAGE_BAYER_BGGR,
               "grids are numbered alike");

static struct gpu_image of(const struct image *image)
{
    return (struct gpu_image){.data = image->data,
                              .width = image->width,
                              .height = image->height,
                              .channels = image->channels,
                              .stride = image->stride,
                              .dtype = image->dtype};
}

static struct gpu_convert conversion(const struct image *from, const struct image *to,
                                     const struct image_conversion *how)
{
    struct gpu_convert params = {.from = of(from), .to = of(to)};
    for (int c = 0; c < IMAGE_CHANNELS_MAX; c++) {
        params.order[c] = how->order[c];
    }
    params.scale_min = how->scale_min;
    params.scale_max = how->scale_max;
    params.alpha = how->alpha;
    return params;
}

static struct nrd_status *convert(struct pixel_run *run, const struct image *from,
                                  const struct image *to, const struct image_conversion *how)
{
    struct gpu_convert params = conversion(from, to, how);
    return gpu_kernel_convert_launch(&params, run->stream);
}

static struct nrd_status *convert_planar(struct pixel_run *run, const struct image *from,
                                         void *planes, uint32_t channels, enum nrd_dtype dtype,
                                         const struct image_conversion *how)
{
    struct image to = image_of(planes, from->width, from->height, channels, dtype);
    struct gpu_convert params = conversion(from, &to, how);
    params.to.stride = (size_t)from->width * dtype_size(dtype); // a row of one plane
    params.planar = true;
    return gpu_kernel_convert_launch(&params, run->stream);
}

static struct gpu_yuv yuv_params(const struct image_yuv *yuv, enum image_yuv_matrix matrix,
                                 const struct image *rgb)
{
    struct gpu_yuv params = {
        .layout = (enum gpu_yuv_layout)yuv->layout,
        .matrix = (enum gpu_yuv_matrix)matrix,
        .rgb = of(rgb),
        .order = {0, 1, 2, -1},
    };
    for (int i = 0; i < 3; i++) {
        params.planes[i] = yuv->planes[i];
        params.strides[i] = yuv->strides[i];
    }
    return params;
}

static struct nrd_status *from_yuv(struct pixel_run *run, const struct image_yuv *from,
                                   enum image_yuv_matrix matrix, const struct image *to,
                                   const int8_t *order, uint8_t alpha)
{
    struct gpu_yuv params = yuv_params(from, matrix, to);
    for (uint32_t c = 0; c < to->channels; c++) {
        params.order[c] = order[c];
    }
    params.alpha = alpha;
    return gpu_kernel_from_yuv_launch(&params, run->stream);
}

static struct nrd_status *to_yuv(struct pixel_run *run, const struct image *from, uint32_t red,
                                 enum image_yuv_matrix matrix, const struct image_yuv *to)
{
    struct gpu_yuv params = yuv_params(to, matrix, from);
    params.red = (uint8_t)red;
    return gpu_kernel_to_yuv_launch(&params, run->stream);
}

bool pixel_gpu_resizes(enum image_resize_mode mode, bool antialias)
{
    return mode == IMAGE_RESIZE_NEAREST || (mode == IMAGE_RESIZE_LINEAR && !antialias);
}

static struct nrd_status *resize(struct pixel_run *run, struct image_resizer **cache,
                                 const struct image_resize_options *options,
                                 const struct image *from, const struct image *to)
{
    (void)cache;
    struct image_conversion how = {.order = {0, 1, 2, 3}, .scale_max = 1.0f};
    struct gpu_convert params = conversion(from, to, &how);
    params.sampling =
        options->mode == IMAGE_RESIZE_NEAREST ? GPU_SAMPLE_NEAREST : GPU_SAMPLE_LINEAR;
    return gpu_kernel_convert_launch(&params, run->stream);
}

static struct nrd_status *demosaic(struct pixel_run *run, const struct image *from,
                                   enum image_bayer grid, const struct image *to, uint32_t alpha)
{
    struct gpu_demosaic params = {
        .from = of(from), .to = of(to), .grid = (enum gpu_bayer)grid, .alpha = alpha};
    return gpu_kernel_demosaic_launch(&params, run->stream);
}

static struct nrd_status *classes(struct pixel_run *run, const struct image_scores *scores,
                                  enum gpu_classes_kind kind, float threshold, uint8_t *to)
{
    struct gpu_classes params = {
        .kind = kind,
        .scores = scores->data,
        .width = scores->width,
        .height = scores->height,
        .channels = scores->channels,
        .planes = scores->layout == IMAGE_CHW,
        .map = to,
        .threshold = threshold,
    };
    return gpu_kernel_classes_launch(&params, run->stream);
}

static struct nrd_status *argmax(struct pixel_run *run, const struct image_scores *scores,
                                 uint8_t *to)
{
    return classes(run, scores, GPU_ARGMAX, 0.0f, to);
}

static struct nrd_status *threshold(struct pixel_run *run, const struct image_scores *scores,
                                    float least, uint8_t *to)
{
    return classes(run, scores, GPU_THRESHOLD, least, to);
}

static struct nrd_status *fill(struct pixel_run *run, void *data, uint8_t value, size_t size)
{
    return gpu_stream_fill(run->stream, data, value, size);
}

const struct pixel_device pixel_gpu = {
    .name = "CUDA",
    .memory = NRD_MEMORY_GPU,
    .convert = convert,
    .convert_planar = convert_planar,
    .from_yuv = from_yuv,
    .to_yuv = to_yuv,
    .resize = resize,
    .demosaic = demosaic,
    .argmax = argmax,
    .threshold = threshold,
    .fill = fill,
};

// The operator's stream, after which a tensor's bytes are there.
static struct nrd_status *stream_for(struct nrd_compute *ctx, const struct nrd_tensor *tensor,
                                     struct gpu_stream **stream)
{
    NRD_TRY(streams_get(nrd_compute_operator(ctx), tensor->device, stream));
    return nrd_stream_wait_tensor(ctx, gpu_stream_handle(*stream), tensor);
}

struct nrd_status *pixels_begin_gpu(struct nrd_compute *ctx, struct nrd_tensor *tensor,
                                    struct pixel_run *run)
{
    struct gpu_stream *stream = NULL;
    NRD_TRY(stream_for(ctx, tensor, &stream));
    *run = (struct pixel_run){.ctx = ctx,
                              .device = &pixel_gpu,
                              .tensor = nrd_tensor_ref(tensor),
                              .stream = stream,
                              .ordinal = tensor->device};
    return NULL;
}

struct nrd_status *pixels_copy_to_host(struct nrd_compute *ctx, struct nrd_tensor *tensor,
                                       struct nrd_tensor **host)
{
    struct gpu_stream *stream = NULL;
    struct nrd_tensor *copy = NULL;
    NRD_TRY(stream_for(ctx, tensor, &stream));
    NRD_TRY(nrd_allocate(nrd_compute_operator(ctx), NULL, tensor->dtype, tensor->dims, tensor->rank,
                         NRD_MEMORY_CPU, 0, &copy));
    struct nrd_status *status = gpu_copy(stream, copy->data, NULL, tensor->data,
                                         gpu_stream_device(stream), tensor->byte_size);
    if (status == NULL) {
        status = gpu_stream_sync(stream, 0);
    }
    if (status != NULL) {
        nrd_tensor_unref(copy);
        return status;
    }
    *host = copy;
    return NULL;
}
