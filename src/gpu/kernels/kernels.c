// SPDX-License-Identifier: Apache-2.0
// Kernels: where their code comes from, and the launches.
//
// A device keeps the modules of the units it has used and the functions looked up in them. A unit comes from the program's own
// PTX if it was built with nvcc, and otherwise, or where the driver does not take that, from its text by NVRTC.
#include "gpu/kernels/kernels.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "gpu/device_private.h"
#include "gpu/kernels/params.h"
#include "gpu/module.h"

// ---- where the code comes from ------------------------------------------------------------------------------------

// clang-format off
#define KERNELS(K) \
    K(convert_u8_u8, convert_u8_u8) K(convert_u8_f32, convert_u8_f32) K(convert_f32_u8, convert_f32_u8) \
    K(convert_f32_f32, convert_f32_f32) K(convert_u16_u8, convert_u16_u8) K(convert_u16_u16, convert_u16_u16) \
    K(convert_u16_f32, convert_u16_f32) \
    K(resize_u8_u8, convert_u8_u8) K(resize_u8_f32, convert_u8_f32) K(resize_f32_u8, convert_f32_u8) \
    K(resize_f32_f32, convert_f32_f32) K(resize_u16_u8, convert_u16_u8) K(resize_u16_u16, convert_u16_u16) \
    K(resize_u16_f32, convert_u16_f32) \
    K(flat_u8_f32, convert_u8_f32) K(flat_f32_f32, convert_f32_f32) K(flat_u16_f32, convert_u16_f32) \
    K(from_yuv, yuv) K(to_yuv, yuv) K(demosaic_u8, demosaic) K(demosaic_u16, demosaic) \
    K(argmax, classes) K(threshold, classes) K(softmax, classes) K(sigmoid, classes) K(blend, blend)
// clang-format on
enum kernel {
#define KERNEL_ENUM(name, unit) KERNEL_##name,
    KERNELS(KERNEL_ENUM)
#undef KERNEL_ENUM
        KERNEL_COUNT
};
static const struct {
    const char *name;
    enum gpu_kernel_unit unit;
} kernel_rows[KERNEL_COUNT] = {
#define KERNEL_ROW(name, unit) {"nereid_" #name, GPU_UNIT_##unit},
    KERNELS(KERNEL_ROW)
#undef KERNEL_ROW
};

struct gpu_kernel_set {
    struct gpu_module *modules[GPU_UNIT_COUNT]; // under the device's kernel_lock
    _Atomic(struct cu_function *) functions[KERNEL_COUNT];
};

static void kernel_set_destroy(struct gpu_kernel_set *set)
{
    for (int i = 0; i < GPU_UNIT_COUNT; i++) {
        gpu_module_unload(set->modules[i]);
    }
    mem_free(set);
}

// convert_u8_f32 is compiled with -DNEREID_FROM=u8 -DNEREID_TO=f32.
static size_t unit_options(const char *name, char from[24], char to[24])
{
    struct slice rest = slice_of(name);
    struct slice words[3] = {{0}};
    size_t count = 0;
    while (count < 3 && slice_cut(&rest, '_', &words[count])) {
        count++;
    }
    if (count != 3) {
        return 0;
    }
    snprintf(from, 24, "-DNEREID_FROM=%.*s", (int)words[1].len, words[1].ptr);
    snprintf(to, 24, "-DNEREID_TO=%.*s", (int)words[2].len, words[2].ptr);
    return 2;
}

static struct nrd_status *unit_compile(struct gpu_device *device, enum gpu_kernel_unit unit,
                                       struct gpu_module **module)
{
    char from[24];
    char to[24];
    const char *header_names[] = {"common.cuh", "params.h"};
    const char *headers[] = {gpu_unit_common_text(), gpu_unit_params_text()};
    const char *options[] = {from, to};
    const struct nvrtc_source source = {
        .name = gpu_unit_name(unit),
        .text = gpu_unit_text(unit),
        .header_names = header_names,
        .headers = headers,
        .header_count = 2,
        .options = options,
        .option_count = unit_options(gpu_unit_name(unit), from, to),
    };
    return gpu_module_compile(device, &source, module);
}

static struct nrd_status *unit_load(struct gpu_device *device, enum gpu_kernel_unit unit,
                                    struct gpu_module **module)
{
    const void *binary = gpu_unit_binary(unit);
    struct nrd_status *status = NULL;
    if (binary != NULL) {
        status = gpu_module_load(device, binary, module);
        if (status == NULL || gpu_device_is_lost(device)) {
            return status;
        }
        LOG_DEBUG(1, "kernels of %s are compiled anew: %s", gpu_unit_name(unit),
                  status_text(status));
        status_free(status);
    }
    status = unit_compile(device, unit, module);
    return status_wrap(
        status,
        binary == NULL ? "kernels %s (built without nvcc): " : "kernels %s: ", gpu_unit_name(unit));
}

// With the device's kernel_lock held.
static struct nrd_status *module_of(struct gpu_device *device, enum gpu_kernel_unit unit,
                                    struct gpu_module **module)
{
    if (device->kernels == NULL) {
        device->kernels = mem_calloc(1, sizeof(*device->kernels));
        if (device->kernels == NULL) {
            return status_no_memory();
        }
        device->kernels_destroy = kernel_set_destroy;
    }
    struct gpu_module **place = &device->kernels->modules[unit];
    if (*place == NULL) {
        NRD_TRY(unit_load(device, unit, place));
    }
    *module = *place;
    return NULL;
}

struct nrd_status *gpu_kernels_prepare(struct gpu_device *device, enum gpu_kernel_unit unit)
{
    struct gpu_module *module = NULL;
    pthread_mutex_lock(&device->kernel_lock);
    struct nrd_status *status = module_of(device, unit, &module);
    pthread_mutex_unlock(&device->kernel_lock);
    return status;
}

static struct nrd_status *function_of(struct gpu_device *device, enum kernel kernel,
                                      struct cu_function **function)
{
    struct gpu_module *module = NULL;
    pthread_mutex_lock(&device->kernel_lock);
    struct nrd_status *status = module_of(device, kernel_rows[kernel].unit, &module);
    if (status == NULL) {
        *function = atomic_load_explicit(&device->kernels->functions[kernel], memory_order_relaxed);
    }
    if (status == NULL && *function == NULL) {
        status = gpu_module_function(module, kernel_rows[kernel].name, function);
        if (status == NULL) {
            atomic_store_explicit(&device->kernels->functions[kernel], *function,
                                  memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&device->kernel_lock);
    return status;
}

// Threads for `columns` x `rows` pieces of work, in blocks of 32 x 8; or in a line of 256 when there is one row.
static struct nrd_status *launch(struct gpu_stream *stream, enum kernel kernel, uint64_t columns,
                                 uint64_t rows, void *params)
{
    struct cu_function *function = NULL;
    unsigned wide = rows == 1 ? 256 : 32;
    unsigned high = rows == 1 ? 1 : 8;
    uint64_t blocks_x = (columns + wide - 1) / wide;
    uint64_t blocks_y = (rows + high - 1) / high;
    if (columns == 0 || rows == 0) {
        return NULL;
    }
    if (blocks_x > INT32_MAX || blocks_y > 65535) {
        return status_new(NRD_INVALID_ARG, "%s: %llu x %llu is too large", kernel_rows[kernel].name,
                          (unsigned long long)columns, (unsigned long long)rows);
    }
    NRD_TRY(function_of(gpu_stream_device(stream), kernel, &function));
    const struct gpu_grid grid = {.blocks = {(unsigned)blocks_x, (unsigned)blocks_y, 1},
                                  .threads = {wide, high, 1}};
    return gpu_launch(stream, function, &grid, &params);
}

// ---- pictures -----------------------------------------------------------------------------------------------------

enum { GROUP = 4 }; // pixels a thread, as in common.cuh

struct gpu_image gpu_image_of(void *data, uint32_t width, uint32_t height, uint32_t channels,
                              enum nrd_dtype dtype)
{
    return (struct gpu_image){
        data, width, height, channels, (size_t)width * channels * dtype_size(dtype), dtype};
}

static struct kernel_image kernel_image_of(const struct gpu_image *image)
{
    return (struct kernel_image){image->data, image->stride, image->width, image->height,
                                 image->channels};
}

static uint64_t groups(uint32_t width)
{
    return ((uint64_t)width + GROUP - 1) / GROUP;
}

static struct nrd_status *check_channels(const char *what, const struct gpu_image *image,
                                         uint32_t least, uint32_t most)
{
    if (image->channels < least || image->channels > most) {
        return status_new(NRD_INVALID_ARG, "%s: %u channels, expected %u to %u", what,
                          image->channels, least, most);
    }
    size_t size = dtype_size(image->dtype);
    if (size != 0 && ((uintptr_t)image->data % size != 0 || image->stride % size != 0)) {
        return status_new(NRD_INVALID_ARG, "%s: pixels of %s are not aligned", what,
                          dtype_name(image->dtype));
    }
    return NULL;
}

static struct nrd_status *check_same_size(const char *what, const struct gpu_image *a,
                                          const struct gpu_image *b)
{
    return a->width == b->width && a->height == b->height
               ? NULL
               : status_new(NRD_INVALID_ARG, "%s: sizes %ux%u and %ux%u differ", what, a->width,
                            a->height, b->width, b->height);
}

struct nrd_status *gpu_convert_unit(enum nrd_dtype from, enum nrd_dtype to,
                                    enum gpu_kernel_unit *unit)
{
    static const struct {
        enum nrd_dtype from, to;
        enum gpu_kernel_unit unit;
    } rows[] = {
        {NRD_DTYPE_U8, NRD_DTYPE_U8, GPU_UNIT_convert_u8_u8},
        {NRD_DTYPE_U8, NRD_DTYPE_F32, GPU_UNIT_convert_u8_f32},
        {NRD_DTYPE_F32, NRD_DTYPE_U8, GPU_UNIT_convert_f32_u8},
        {NRD_DTYPE_F32, NRD_DTYPE_F32, GPU_UNIT_convert_f32_f32},
        {NRD_DTYPE_U16, NRD_DTYPE_U8, GPU_UNIT_convert_u16_u8},
        {NRD_DTYPE_U16, NRD_DTYPE_U16, GPU_UNIT_convert_u16_u16},
        {NRD_DTYPE_U16, NRD_DTYPE_F32, GPU_UNIT_convert_u16_f32},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].from == from && rows[i].to == to) {
            *unit = rows[i].unit;
            return NULL;
        }
    }
    return status_new(NRD_UNSUPPORTED, "no kernel converts %s to %s", dtype_name(from),
                      dtype_name(to));
}

static float range_of(enum nrd_dtype dtype)
{
    return dtype == NRD_DTYPE_U8 ? 255.0f : 65535.0f;
}

// value * factor + offset, in the very operations of image/convert.c.
static void set_scale(struct kernel_convert *k, const struct gpu_convert *p)
{
    float range = p->scale_max - p->scale_min;
    enum nrd_dtype from = p->from.dtype;
    enum nrd_dtype to = p->to.dtype;
    k->factor = 1.0f;
    k->offset = 0.0f;
    k->keeps = from == to;
    if (from != NRD_DTYPE_F32 && to == NRD_DTYPE_F32) {
        k->factor = range / range_of(from);
        k->offset = p->scale_min;
    } else if (from == NRD_DTYPE_F32 && to == NRD_DTYPE_U8) {
        k->factor = 255.0f / range;
        k->offset = -p->scale_min * k->factor;
    } else if (from == NRD_DTYPE_U16 && to == NRD_DTYPE_U8) {
        k->factor = 255.0f / 65535.0f;
    }
}

struct nrd_status *gpu_kernel_convert_launch(const struct gpu_convert *params,
                                             struct gpu_stream *stream)
{
    enum gpu_kernel_unit unit;
    NRD_TRY(gpu_convert_unit(params->from.dtype, params->to.dtype, &unit));
    NRD_TRY(check_channels("convert", &params->from, 1, 4));
    NRD_TRY(check_channels("convert", &params->to, 1, 4));
    bool same = params->from.width == params->to.width && params->from.height == params->to.height;
    struct kernel_convert k = {
        .from = kernel_image_of(&params->from),
        .to = kernel_image_of(&params->to),
        .plane_bytes = params->planar ? (uint64_t)params->to.stride * params->to.height : 0,
        .sampling = same                                     ? KERNEL_SAME_SIZE
                    : params->sampling == GPU_SAMPLE_NEAREST ? KERNEL_NEAREST
                                                             : KERNEL_LINEAR,
        .alpha = params->alpha,
    };
    for (uint32_t c = 0; c < params->to.channels; c++) {
        k.order[c] = params->order[c];
        if (params->order[c] >= (int)params->from.channels) {
            return status_new(NRD_INVALID_ARG, "convert: channel %d of a picture of %u",
                              params->order[c], params->from.channels);
        }
    }
    if (params->to.width != 0 && params->to.height != 0 &&
        (params->from.width == 0 || params->from.height == 0)) {
        return status_new(NRD_INVALID_ARG, "convert: from a picture of no pixels to one of %ux%u",
                          params->to.width, params->to.height);
    }
    set_scale(&k, params);
    bool flat = same && !params->planar && params->to.channels >= 3 &&
                params->to.dtype == NRD_DTYPE_F32 && params->to.width <= UINT32_MAX / 4;
    if (flat) {
        enum kernel kernel = params->from.dtype == NRD_DTYPE_U8    ? KERNEL_flat_u8_f32
                             : params->from.dtype == NRD_DTYPE_U16 ? KERNEL_flat_u16_f32
                                                                   : KERNEL_flat_f32_f32;
        return launch(stream, kernel, groups(params->to.width * params->to.channels),
                      params->to.height, &k);
    }
    if (same) {
        return launch(stream, (enum kernel)(KERNEL_convert_u8_u8 + (int)unit),
                      groups(params->to.width), params->to.height, &k);
    }
    return launch(stream, (enum kernel)(KERNEL_resize_u8_u8 + (int)unit), params->to.width,
                  params->to.height, &k);
}
_Static_assert(GPU_UNIT_convert_u16_f32 == 6 && KERNEL_convert_u16_f32 == 6 &&
                   KERNEL_resize_u16_f32 - KERNEL_resize_u8_u8 == 6,
               "kernels of a unit are found by its number");

// ---- YUV ----------------------------------------------------------------------------------------------------------

// The numbers of image/yuv.c (tests hold the two together), from the weights of red and blue in luma and the ranges of luma
// and of the colour differences.
#define FIX(v) ((int32_t)((v) * (1 << 14) + ((v) < 0 ? -0.5 : 0.5)))
#define MATRIX(KR, KB, Y_RANGE, C_RANGE, OFFSET)                                                   \
    {                                                                                              \
        .y_offset = (OFFSET), .y_scale = FIX(255.0 / (Y_RANGE)),                                   \
        .r_v = FIX(2.0 * (1.0 - (KR)) * 255.0 / (C_RANGE)),                                        \
        .g_u = FIX(-2.0 * (1.0 - (KB)) * (KB) / (1.0 - (KR) - (KB)) * 255.0 / (C_RANGE)),          \
        .g_v = FIX(-2.0 * (1.0 - (KR)) * (KR) / (1.0 - (KR) - (KB)) * 255.0 / (C_RANGE)),          \
        .b_u = FIX(2.0 * (1.0 - (KB)) * 255.0 / (C_RANGE)), .y_r = FIX((KR) * (Y_RANGE) / 255.0),  \
        .y_g = FIX((1.0 - (KR) - (KB)) * (Y_RANGE) / 255.0), .y_b = FIX((KB) * (Y_RANGE) / 255.0), \
        .u_r = FIX(-(KR) / (2.0 * (1.0 - (KB))) * (C_RANGE) / 255.0),                              \
        .u_g = FIX(-(1.0 - (KR) - (KB)) / (2.0 * (1.0 - (KB))) * (C_RANGE) / 255.0),               \
        .u_b = FIX(0.5 * (C_RANGE) / 255.0), .v_r = FIX(0.5 * (C_RANGE) / 255.0),                  \
        .v_g = FIX(-(1.0 - (KR) - (KB)) / (2.0 * (1.0 - (KR))) * (C_RANGE) / 255.0),               \
        .v_b = FIX(-(KB) / (2.0 * (1.0 - (KR))) * (C_RANGE) / 255.0),                              \
    }
static const struct kernel_yuv_matrix matrices[] = {
    [GPU_YUV_ANALOG] = {.y_scale = FIX(1.0),
                        .r_v = FIX(1.140),
                        .g_u = FIX(-0.394),
                        .g_v = FIX(-0.581),
                        .b_u = FIX(2.032),
                        .y_r = FIX(0.299),
                        .y_g = FIX(0.587),
                        .y_b = FIX(0.114),
                        .u_r = FIX(-0.492 * 0.299),
                        .u_g = FIX(-0.492 * 0.587),
                        .u_b = FIX(0.492 * 0.886),
                        .v_r = FIX(0.877 * 0.701),
                        .v_g = FIX(-0.877 * 0.587),
                        .v_b = FIX(-0.877 * 0.114)},
    [GPU_YUV_BT601] = MATRIX(0.299, 0.114, 219.0, 224.0, 16),
    [GPU_YUV_BT601_FULL] = MATRIX(0.299, 0.114, 255.0, 255.0, 0),
    [GPU_YUV_BT709] = MATRIX(0.2126, 0.0722, 219.0, 224.0, 16),
    [GPU_YUV_BT709_FULL] = MATRIX(0.2126, 0.0722, 255.0, 255.0, 0),
};

void gpu_yuv_planes(struct gpu_yuv *yuv, void *data, enum gpu_yuv_layout layout, uint32_t width,
                    uint32_t height)
{
    size_t pair = (size_t)width / 2 + (width & 1u);
    size_t half = (size_t)height / 2 + (height & 1u);
    bool packed = layout == GPU_YUYV || layout == GPU_UYVY;
    yuv->layout = layout;
    yuv->planes[0] = data;
    yuv->strides[0] = packed ? pair * 4 : width;
    yuv->planes[1] = packed ? NULL : yuv->planes[0] + (size_t)width * height;
    yuv->strides[1] = packed ? 0 : layout == GPU_NV12 ? pair * 2 : pair;
    yuv->planes[2] = layout == GPU_YUV420 ? yuv->planes[1] + pair * half : NULL;
    yuv->strides[2] = layout == GPU_YUV420 ? pair : 0;
}

static struct nrd_status *set_yuv(const struct gpu_yuv *params, struct kernel_yuv *k)
{
    NRD_TRY(check_channels("yuv", &params->rgb, 3, 4));
    if (params->rgb.dtype != NRD_DTYPE_U8 || params->layout > GPU_YUV420 ||
        params->matrix > GPU_YUV_BT709_FULL) {
        return status_new(NRD_INVALID_ARG, "yuv: layout %d, matrix %d, pixels of %s",
                          (int)params->layout, (int)params->matrix, dtype_name(params->rgb.dtype));
    }
    k->rgb = kernel_image_of(&params->rgb);
    k->matrix = matrices[params->matrix];
    k->layout = (int)params->layout;
    k->alpha = params->alpha;
    for (int i = 0; i < 3; i++) {
        k->planes[i] = params->planes[i];
        k->strides[i] = params->strides[i];
    }
    return NULL;
}

struct nrd_status *gpu_kernel_from_yuv_launch(const struct gpu_yuv *params,
                                              struct gpu_stream *stream)
{
    struct kernel_yuv k = {.layout = 0};
    NRD_TRY(set_yuv(params, &k));
    for (uint32_t c = 0; c < params->rgb.channels; c++) {
        k.order[c] = params->order[c];
        if (params->order[c] > 2) {
            return status_new(NRD_INVALID_ARG, "yuv: channel %d of RGB", params->order[c]);
        }
    }
    return launch(stream, KERNEL_from_yuv, groups(params->rgb.width), params->rgb.height, &k);
}

struct nrd_status *gpu_kernel_to_yuv_launch(const struct gpu_yuv *params, struct gpu_stream *stream)
{
    struct kernel_yuv k = {.layout = 0};
    NRD_TRY(set_yuv(params, &k));
    if (params->red != 0 && params->red != 2) {
        return status_new(NRD_INVALID_ARG, "yuv: red in channel %u, expected 0 or 2", params->red);
    }
    k.order[0] = params->red;
    bool packed = params->layout == GPU_YUYV || params->layout == GPU_UYVY;
    uint64_t rows = packed ? params->rgb.height : ((uint64_t)params->rgb.height + 1) / 2;
    return launch(stream, KERNEL_to_yuv, ((uint64_t)params->rgb.width + 1) / 2, rows, &k);
}

// ---- demosaic, classes, blend -------------------------------------------------------------------------------------

struct nrd_status *gpu_kernel_demosaic_launch(const struct gpu_demosaic *params,
                                              struct gpu_stream *stream)
{
    NRD_TRY(check_channels("demosaic", &params->from, 1, 1));
    NRD_TRY(check_channels("demosaic", &params->to, 3, 4));
    NRD_TRY(check_same_size("demosaic", &params->from, &params->to));
    bool bytes = params->from.dtype == NRD_DTYPE_U8;
    if ((!bytes && params->from.dtype != NRD_DTYPE_U16) || params->to.dtype != params->from.dtype) {
        return status_new(NRD_INVALID_ARG, "demosaic: from %s to %s",
                          dtype_name(params->from.dtype), dtype_name(params->to.dtype));
    }
    if (params->from.width < 2 || params->from.height < 2) {
        return status_new(NRD_INVALID_ARG, "demosaic: a picture of %ux%u, at least 2x2",
                          params->from.width, params->from.height);
    }
    enum gpu_bayer grid = params->grid;
    struct kernel_demosaic k = {
        .from = kernel_image_of(&params->from),
        .to = kernel_image_of(&params->to),
        .red_x = grid == GPU_BAYER_BGGR || grid == GPU_BAYER_GRBG,
        .red_y = grid == GPU_BAYER_BGGR || grid == GPU_BAYER_GBRG,
        .alpha = params->alpha,
    };
    return launch(stream, bytes ? KERNEL_demosaic_u8 : KERNEL_demosaic_u16,
                  groups(params->to.width), params->to.height, &k);
}

struct nrd_status *gpu_kernel_classes_launch(const struct gpu_classes *params,
                                             struct gpu_stream *stream)
{
    uint64_t pixels = (uint64_t)params->width * params->height;
    struct kernel_classes k = {
        .scores = params->scores,
        .floats = params->out,
        .to = params->map,
        .pixels = pixels,
        .channels = params->channels,
        .pixel_step = params->planes ? 1 : params->channels,
        .channel_step = params->planes ? pixels : 1,
        .threshold = params->threshold,
    };
    enum kernel kernel = KERNEL_argmax;
    bool to_map = params->kind == GPU_ARGMAX || params->kind == GPU_THRESHOLD;
    if (params->channels == 0 || (params->kind == GPU_ARGMAX && params->channels > 256)) {
        return status_new(NRD_INVALID_ARG, "classes: %u channels, expected 1 to %s",
                          params->channels, params->kind == GPU_ARGMAX ? "256" : "4294967295");
    }
    if (params->scores == NULL || (to_map ? params->map == NULL : params->out == NULL)) {
        return status_new(NRD_INVALID_ARG, "classes: no place to read from or to write to");
    }
    switch (params->kind) {
    case GPU_ARGMAX:
        break;
    case GPU_THRESHOLD:
        kernel = KERNEL_threshold;
        break;
    case GPU_SOFTMAX:
        kernel = KERNEL_softmax;
        break;
    case GPU_SIGMOID:
        kernel = KERNEL_sigmoid;
        k.pixels = pixels * params->channels;
        break;
    }
    uint64_t threads = kernel == KERNEL_sigmoid ? (k.pixels + GROUP - 1) / GROUP : k.pixels;
    return launch(stream, kernel, threads, 1, &k);
}

struct nrd_status *gpu_kernel_blend_launch(const struct gpu_blend *params,
                                           struct gpu_stream *stream)
{
    float opacity =
        params->opacity > 0.0f ? (params->opacity < 1.0f ? params->opacity : 1.0f) : 0.0f;
    NRD_TRY(check_channels("blend", &params->canvas, 4, 4));
    NRD_TRY(check_channels("blend", &params->over, 1, params->lut == NULL ? 4 : 1));
    if (params->canvas.dtype != NRD_DTYPE_U8 || (uintptr_t)params->canvas.data % 4 != 0 ||
        params->canvas.stride % 4 != 0) {
        return status_new(NRD_INVALID_ARG, "blend: a canvas of %s, or one that is not aligned to 4",
                          dtype_name(params->canvas.dtype));
    }
    if (params->lut == NULL) {
        NRD_TRY(check_same_size("blend", &params->canvas, &params->over));
    }
    enum nrd_dtype dtype = params->over.dtype;
    bool known = params->lut == NULL ? dtype == NRD_DTYPE_U8 && params->over.channels != 2
                                     : (dtype == NRD_DTYPE_U8 || dtype == NRD_DTYPE_U16 ||
                                        dtype == NRD_DTYPE_U32 || dtype == NRD_DTYPE_I32) &&
                                           params->lut_count > 0 && params->over.width > 0 &&
                                           params->over.height > 0;
    if (!known) {
        return status_new(NRD_INVALID_ARG, "blend: over it %ux%u of %s and %u channels, %u colours",
                          params->over.width, params->over.height, dtype_name(dtype),
                          params->over.channels, params->lut_count);
    }
    struct kernel_blend k = {
        .canvas = kernel_image_of(&params->canvas),
        .over = kernel_image_of(&params->over),
        .lut = params->lut,
        .lut_count = params->lut_count,
        .map_bytes = (unsigned)dtype_size(dtype),
        .opacity = (unsigned)(opacity * 256.0f + 0.5f),
    };
    return launch(stream, KERNEL_blend, groups(params->canvas.width), params->canvas.height, &k);
}
