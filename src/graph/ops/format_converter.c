// SPDX-License-Identifier: Apache-2.0
// FormatConverterOp: pictures of one format into another: element type and range, number and order of channels, size, layout.
//
//   in_dtype ──▶ (YUV to RGB) ──▶ resize ──▶ type, range, order, layout ──▶ (RGB to YUV) ──▶ out_dtype
//
// Names, parameters and meanings are Holoscan's (its "uint8" is any number of channels, "nv12" is full-range BT.709, "yuv420" and
// "yuyv" have NPP's analogue matrix, which `color_matrix` changes). Ours: names for resize_mode, letterbox, antialias, planes
// (out_layout), grey and BGR, any number of channels, odd sizes.
#include <string.h>

#include "base/slice.h"
#include "base/status.h"
#include "graph/ops/picture_ops.h"
#include "graph/ops/pixels.h"

struct pixel_format {
    const char *name;
    enum nrd_dtype dtype; // of an element
    uint8_t channels;     // 0: those of the input
    bool bgr;
    bool is_yuv;
    enum image_yuv_layout layout;
    enum image_yuv_matrix matrix;
};
static const struct pixel_format formats[] = {
    {"uint8", NRD_DTYPE_U8, 0},
    {"uint16", NRD_DTYPE_U16, 0},
    {"float32", NRD_DTYPE_F32, 0},
    {"rgb888", NRD_DTYPE_U8, 3},
    {"rgba8888", NRD_DTYPE_U8, 4},
    {"rgb161616", NRD_DTYPE_U16, 3},
    {"rgba16161616", NRD_DTYPE_U16, 4},
    {"gray8", NRD_DTYPE_U8, 1},
    {"bgr888", NRD_DTYPE_U8, 3, .bgr = true},
    {"bgra8888", NRD_DTYPE_U8, 4, .bgr = true},
    {"yuv420", NRD_DTYPE_U8, 3, false, true, IMAGE_YUV420, IMAGE_YUV_ANALOG},
    {"nv12", NRD_DTYPE_U8, 3, false, true, IMAGE_NV12, IMAGE_YUV_BT709_FULL},
    {"nv12_bt709_hdtv", NRD_DTYPE_U8, 3, false, true, IMAGE_NV12, IMAGE_YUV_BT709_FULL},
    {"nv12_bt709_csc", NRD_DTYPE_U8, 3, false, true, IMAGE_NV12, IMAGE_YUV_BT709},
    {"nv12_bt601_full", NRD_DTYPE_U8, 3, false, true, IMAGE_NV12, IMAGE_YUV_BT601_FULL},
    {"yuyv", NRD_DTYPE_U8, 3, false, true, IMAGE_YUYV, IMAGE_YUV_ANALOG},
    {"uyvy", NRD_DTYPE_U8, 3, false, true, IMAGE_UYVY, IMAGE_YUV_ANALOG},
};

enum layout { LAYOUT_HWC, LAYOUT_CHW, LAYOUT_NHWC, LAYOUT_NCHW };
static const char *const layouts[] = {"hwc", "chw", "nhwc", "nchw", NULL};
enum fit { FIT_STRETCH, FIT_LETTERBOX };
static const char *const fits[] = {"stretch", "letterbox", NULL};
// "auto" is the format's own; the others are enum image_yuv_matrix, shifted by one.
static const char *const matrices[] = {"auto",  "analog",     "bt601", "bt601_full",
                                       "bt709", "bt709_full", NULL};
static const char *const allocator_kind[] = {"allocator", NULL};
static const char *const stream_kind[] = {"cuda_stream_pool", NULL};

struct format_converter {
    const char *in_tensor_name, *out_tensor_name, *in_dtype, *out_dtype, *resize_mode;
    double scale_min, scale_max, letterbox_value;
    int64_t alpha_value, resize_width, resize_height;
    struct nrd_int_list out_channel_order;
    int layout, fit, matrix;
    bool antialias;
    struct nrd_resource *pool, *stream_pool;

    const struct pixel_format *from, *to; // `from` NULL: as the tensor is
    enum image_resize_mode mode;
    struct image_resizer *resizer;
    struct pixel_place place;
};

#define FIELD(name) offsetof(struct format_converter, name)
static const struct nrd_param params[] = {
    {.name = "in_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(in_tensor_name),
     .fallback = "\"\"",
     .help = "The tensor that is converted; the only one when empty."},
    {.name = "in_dtype",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(in_dtype),
     .fallback = "\"\"",
     .help = "Format of the input; what the tensor's type says when empty. uint8, uint16, float32, "
             "rgb888, rgba8888, rgb161616, "
             "rgba16161616, gray8, bgr888, bgra8888, yuv420, nv12, nv12_bt709_hdtv, "
             "nv12_bt709_csc, nv12_bt601_full, yuyv, uyvy."},
    {.name = "out_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(out_tensor_name),
     .fallback = "\"\"",
     .help = "Name of the tensor that is sent."},
    {.name = "out_dtype",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(out_dtype),
     .help = "Format of the output, as in_dtype."},
    {.name = "scale_min",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(scale_min),
     .fallback = "0.0",
     .help = "The float that stands for an integer's 0."},
    {.name = "scale_max",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(scale_max),
     .fallback = "1.0",
     .help = "The float that stands for an integer's greatest value."},
    {.name = "alpha_value",
     .type = NRD_PARAM_INT,
     .offset = FIELD(alpha_value),
     .fallback = "255",
     .min = 0,
     .max = 255,
     .help = "A new fourth channel's value."},
    {.name = "resize_width",
     .type = NRD_PARAM_INT,
     .offset = FIELD(resize_width),
     .fallback = "0",
     .min = 0,
     .max = 65536,
     .unit = "pixels",
     .help = "New width; 0 (for it or the height): sizes stay."},
    {.name = "resize_height",
     .type = NRD_PARAM_INT,
     .offset = FIELD(resize_height),
     .fallback = "0",
     .min = 0,
     .max = 65536,
     .unit = "pixels",
     .help = "New height."},
    {.name = "resize_mode",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(resize_mode),
     .fallback = "0",
     .help = "nearest (NPP's 1), linear (2), cubic (4, and 0), area (8) or lanczos (16)."},
    {.name = "resize_fit",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(fit),
     .fallback = "stretch",
     .choices = fits,
     .help = "letterbox keeps the proportions and fills what is left."},
    {.name = "letterbox_value",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(letterbox_value),
     .fallback = "0",
     .help = "What it is filled with, in units of the input."},
    {.name = "antialias",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(antialias),
     .fallback = "false",
     .help = "Widens the filter of linear, cubic and lanczos where the picture gets smaller."},
    {.name = "out_channel_order",
     .type = NRD_PARAM_INT_LIST,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(out_channel_order),
     .help = "For each channel of the output the input's that it is; 3 is alpha_value where the "
             "input has three."},
    {.name = "out_layout",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(layout),
     .fallback = "hwc",
     .choices = layouts,
     .help = "Order of the output's dimensions."},
    {.name = "color_matrix",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(matrix),
     .fallback = "auto",
     .choices = matrices,
     .help = "What YUV numbers mean; auto is what the format's name says in Holoscan. Cameras "
             "mostly send bt601."},
    {.name = "pool",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(pool),
     .choices = allocator_kind,
     .help = "Memory of the output; the fragment's default when absent."},
    {.name = "cuda_stream_pool",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(stream_pool),
     .choices = stream_kind,
     .help = "For Holoscan's files: streams are the fragment's."},
    {.name = NULL},
};

static const struct nrd_port inputs[] = {
    {.name = "source_video",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "A picture: [height, width, channels]."},
    {.name = NULL},
};
static const struct nrd_port outputs[] = {
    {.name = "tensor",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "The converted picture."},
    {.name = NULL},
};

// ---- parameters -----------------------------------------------------------------------------------------------------

static struct nrd_status *find_format(const char *param, const char *name,
                                      const struct pixel_format **format)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (strcmp(formats[i].name, name) == 0) {
            *format = &formats[i];
            return NULL;
        }
    }
    return status_new(NRD_INVALID_ARG,
                      "parameter '%s' is '%s', which is no format: uint8, uint16, float32, rgb888, "
                      "rgba8888, rgb161616, rgba16161616, gray8, bgr888, bgra8888, yuv420, nv12, "
                      "nv12_bt709_hdtv, nv12_bt709_csc, nv12_bt601_full, yuyv or uyvy",
                      param, name);
}

static struct nrd_status *read_mode(const char *text, enum image_resize_mode *mode)
{
    static const struct {
        const char *name, *number;
        enum image_resize_mode mode;
    } modes[] = {
        {"cubic", "0", IMAGE_RESIZE_CUBIC},       {"nearest", "1", IMAGE_RESIZE_NEAREST},
        {"linear", "2", IMAGE_RESIZE_LINEAR},     {"cubic", "4", IMAGE_RESIZE_CUBIC},
        {"catmull_rom", "6", IMAGE_RESIZE_CUBIC}, {"area", "8", IMAGE_RESIZE_AREA},
        {"lanczos", "16", IMAGE_RESIZE_LANCZOS},
    };
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(text, modes[i].name) == 0 || strcmp(text, modes[i].number) == 0) {
            *mode = modes[i].mode;
            return NULL;
        }
    }
    return status_new(NRD_INVALID_ARG,
                      "parameter 'resize_mode' is '%s': nearest (1), linear (2), cubic (0, 4, 6), "
                      "area (8) or lanczos (16); NPP's 5, 7, 17 and smooth edge are not built",
                      text);
}

// What can be known before the first frame.
static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    (void)op;
    struct format_converter *f = self;
    if (f->in_dtype[0] != '\0') {
        NRD_TRY(find_format("in_dtype", f->in_dtype, &f->from));
    }
    NRD_TRY(find_format("out_dtype", f->out_dtype, &f->to));
    NRD_TRY(read_mode(f->resize_mode, &f->mode));
    bool floats =
        f->to->dtype == NRD_DTYPE_F32 || (f->from != NULL && f->from->dtype == NRD_DTYPE_F32);
    if (floats && f->scale_min == f->scale_max) {
        return status_new(NRD_INVALID_ARG,
                          "parameters 'scale_min' and 'scale_max' are both %g: no range",
                          f->scale_min);
    }
    if ((f->resize_width == 0) != (f->resize_height == 0)) {
        return status_new(NRD_INVALID_ARG,
                          "resize_width is %lld and resize_height is %lld: both, or none",
                          (long long)f->resize_width, (long long)f->resize_height);
    }
    if (f->to->is_yuv && f->layout != LAYOUT_HWC) {
        return status_new(NRD_INVALID_ARG,
                          "parameter 'out_layout' is '%s', and '%s' has its own layout",
                          layouts[f->layout], f->to->name);
    }
    return NULL;
}

// ---- one frame ------------------------------------------------------------------------------------------------------

// The steps of one frame: `image` is the picture as it is by now, `owned` the tensor that it lies in when it is not the input.
struct job {
    struct format_converter *f;
    struct pixel_run *run;
    struct image image;
    struct nrd_tensor *owned;
    bool bgr;
};

static void keep(struct job *job, struct nrd_tensor *tensor, struct image image)
{
    nrd_tensor_unref(job->owned);
    job->owned = tensor;
    job->image = image;
}

static struct nrd_status *new_picture(struct job *job, uint32_t width, uint32_t height,
                                      uint32_t channels, enum nrd_dtype dtype,
                                      struct nrd_tensor **tensor, struct image *image)
{
    const int64_t dims[3] = {height, width, channels};
    NRD_TRY(pixels_allocate(job->run, NULL, dtype, dims, 3, tensor));
    *image = image_of((*tensor)->data, width, height, channels, dtype);
    return NULL;
}

static enum image_yuv_matrix matrix_of(const struct format_converter *f,
                                       const struct pixel_format *format)
{
    return f->matrix == 0 ? format->matrix : (enum image_yuv_matrix)(f->matrix - 1);
}

// A tensor that holds YUV: [H, W, 2] for the packed layouts, [H * 3 / 2, W] (or that and 1) for the others.
static struct nrd_status *yuv_of_tensor(const struct format_converter *f,
                                        const struct nrd_tensor *tensor, struct image_yuv *yuv)
{
    bool packed = f->from->layout == IMAGE_YUYV || f->from->layout == IMAGE_UYVY;
    const int64_t *dims = tensor->dims;
    bool ok = tensor->dtype == NRD_DTYPE_U8 && tensor->rank >= 2 && tensor->rank <= 3 &&
              dims[0] > 0 && dims[1] > 0 && dims[0] <= 65536 && dims[1] <= 65536 &&
              dims[1] % 2 == 0;
    if (packed) {
        ok = ok && tensor->rank == 3 && dims[2] == 2;
    } else {
        ok = ok && (tensor->rank == 2 || dims[2] == 1) && dims[0] % 3 == 0;
    }
    if (!ok) {
        char shape[PIXELS_SHAPE_MAX];
        return status_new(NRD_INVALID_ARG, "tensor '%s' of %s %s is no picture in '%s': UINT8 %s",
                          f->in_tensor_name, nrd_dtype_name(tensor->dtype),
                          pixels_shape(tensor, shape), f->from->name,
                          packed ? "[height, even width, 2]" : "[even height * 3 / 2, even width]");
    }
    *yuv = image_yuv_of(tensor->data, f->from->layout, (uint32_t)dims[1],
                        (uint32_t)(packed ? dims[0] : dims[0] / 3 * 2));
    return NULL;
}

static struct nrd_status *read_input(struct job *job)
{
    struct format_converter *f = job->f;
    if (f->from != NULL && f->from->is_yuv) {
        static const int8_t order[4] = {0, 1, 2, IMAGE_ALPHA};
        struct image_yuv yuv;
        struct nrd_tensor *tensor = NULL;
        struct image rgb;
        NRD_TRY(yuv_of_tensor(f, job->run->tensor, &yuv));
        NRD_TRY(new_picture(job, yuv.width, yuv.height, 3, NRD_DTYPE_U8, &tensor, &rgb));
        keep(job, tensor, rgb);
        return job->run->device->from_yuv(job->run, &yuv, matrix_of(f, f->from), &rgb, order, 255);
    }
    NRD_TRY(pixels_of_tensor(job->run->tensor, f->in_tensor_name, &job->image));
    if (f->from != NULL) {
        job->bgr = f->from->bgr;
        if (f->from->dtype != job->image.dtype ||
            (f->from->channels != 0 && f->from->channels != job->image.channels)) {
            char shape[PIXELS_SHAPE_MAX];
            return status_new(NRD_INVALID_ARG, "tensor '%s' of %s %s is no picture in '%s'",
                              f->in_tensor_name, nrd_dtype_name(job->image.dtype),
                              pixels_shape(job->run->tensor, shape), f->from->name);
        }
    }
    return NULL;
}

// One pixel of the letterbox.
static void fill_pixel(const struct format_converter *f, enum nrd_dtype dtype, void *pixel)
{
    double v = f->letterbox_value < 0.0 && dtype != NRD_DTYPE_F32 ? 0.0 : f->letterbox_value;
    for (int c = 0; c < IMAGE_CHANNELS_MAX; c++) {
        if (dtype == NRD_DTYPE_U8) {
            ((uint8_t *)pixel)[c] = (uint8_t)(v > 255.0 ? 255.0 : v);
        } else if (dtype == NRD_DTYPE_U16) {
            ((uint16_t *)pixel)[c] = (uint16_t)(v > 65535.0 ? 65535.0 : v);
        } else {
            ((float *)pixel)[c] = (float)v;
        }
    }
}

// On a GPU all of the frame is filled, which gpu_can() has seen to be one byte.
static struct nrd_status *fill_letterbox(struct job *job, const struct image *to,
                                         struct image_rect rect)
{
    float pixel[IMAGE_CHANNELS_MAX];
    fill_pixel(job->f, to->dtype, pixel);
    if (job->run->device->memory == NRD_MEMORY_GPU) {
        return job->run->device->fill(job->run, to->data, *(const uint8_t *)pixel,
                                      to->stride * to->height);
    }
    image_fill_around(to, rect, pixel);
    return NULL;
}

static struct nrd_status *resize(struct job *job)
{
    struct format_converter *f = job->f;
    uint32_t width = (uint32_t)f->resize_width, height = (uint32_t)f->resize_height;
    if (width == 0 || (width == job->image.width && height == job->image.height)) {
        return NULL;
    }
    struct image from = job->image, to;
    struct image_rect rect = {0, 0, width, height};
    struct nrd_tensor *tensor = NULL;
    NRD_TRY(new_picture(job, width, height, from.channels, from.dtype, &tensor, &to));
    if (f->fit == FIT_LETTERBOX) {
        rect = image_fit(from.width, from.height, width, height);
        struct nrd_status *filled = fill_letterbox(job, &to, rect);
        if (filled != NULL) {
            nrd_tensor_unref(tensor);
            return filled;
        }
    }
    struct image part = image_part(&to, rect.x, rect.y, rect.width, rect.height);
    struct image_resize_options options = {
        .from_width = from.width,
        .from_height = from.height,
        .to_width = rect.width,
        .to_height = rect.height,
        .channels = from.channels,
        .dtype = from.dtype,
        .mode = f->mode,
        .antialias = f->antialias,
    };
    struct nrd_status *status =
        job->run->device->resize(job->run, &f->resizer, &options, &from, &part);
    keep(job, tensor, to);
    return status;
}

// Which channel of the picture each one of the output is.
static struct nrd_status *order_channels(const struct job *job, uint32_t to_channels,
                                         struct image_conversion *how)
{
    const struct format_converter *f = job->f;
    uint32_t from_channels = job->image.channels;
    *how = image_conversion_default(from_channels, to_channels);
    how->scale_min = (float)f->scale_min;
    how->scale_max = (float)f->scale_max;
    how->alpha =
        f->to->dtype == NRD_DTYPE_F32
            ? (float)(f->scale_min + (f->scale_max - f->scale_min) * (double)f->alpha_value / 255.0)
            : (float)(f->to->dtype == NRD_DTYPE_U16 ? f->alpha_value * 257 : f->alpha_value);
    if (job->bgr != f->to->bgr && from_channels >= 3 && to_channels >= 3) {
        how->order[0] = 2;
        how->order[2] = 0;
    }
    if (f->out_channel_order.count == 0) {
        return NULL;
    }
    if (f->out_channel_order.count != to_channels) {
        return status_new(NRD_INVALID_ARG,
                          "parameter 'out_channel_order' has %zu numbers, '%s' has %u channels",
                          f->out_channel_order.count, f->to->name, to_channels);
    }
    for (uint32_t c = 0; c < to_channels; c++) {
        int64_t at = f->out_channel_order.items[c];
        bool alpha = at == 3 && from_channels == 3;
        if (at < 0 || (at >= (int64_t)from_channels && !alpha)) {
            return status_new(NRD_INVALID_ARG,
                              "parameter 'out_channel_order' has %lld, the input has %u channels",
                              (long long)at, from_channels);
        }
        how->order[c] = alpha ? IMAGE_ALPHA : (int8_t)at;
    }
    return NULL;
}

// Holoscan's rule: rgba8888 to float32 drops alpha; uint8 and float32 else keep what the input has.
static uint32_t channels_of_output(const struct job *job)
{
    const struct format_converter *f = job->f;
    if (f->to->channels != 0) {
        return f->to->channels;
    }
    bool drops = f->from != NULL && !f->from->is_yuv && f->from->channels == 4 &&
                 f->to->dtype == NRD_DTYPE_F32;
    return drops ? 3 : job->image.channels;
}

static struct nrd_status *write_yuv(struct job *job, struct nrd_tensor **out)
{
    struct format_converter *f = job->f;
    const struct image *from = &job->image;
    bool packed = f->to->layout == IMAGE_YUYV || f->to->layout == IMAGE_UYVY;
    if (from->dtype != NRD_DTYPE_U8 || from->channels < 3 || from->width % 2 != 0 ||
        (!packed && from->height % 2 != 0)) {
        return status_new(NRD_UNSUPPORTED,
                          "%ux%u pixels of %u channels of %s cannot become '%s': UINT8, 3 or 4 "
                          "channels, even sizes",
                          from->width, from->height, from->channels, nrd_dtype_name(from->dtype),
                          f->to->name);
    }
    const int64_t dims[3] = {packed ? from->height : from->height / 2 * 3, from->width, 2};
    NRD_TRY(pixels_allocate(job->run, f->pool, NRD_DTYPE_U8, dims, packed ? 3 : 2, out));
    struct image_yuv yuv = image_yuv_of((*out)->data, f->to->layout, from->width, from->height);
    return job->run->device->to_yuv(job->run, from, job->bgr ? 2 : 0, matrix_of(f, f->to), &yuv);
}

static struct nrd_status *write_output(struct job *job, struct nrd_tensor **out)
{
    struct format_converter *f = job->f;
    if (f->to->is_yuv) {
        return write_yuv(job, out);
    }
    uint32_t channels = channels_of_output(job);
    struct image_conversion how;
    NRD_TRY(order_channels(job, channels, &how));
    const struct image *from = &job->image;
    if (!image_can_convert(from->dtype, f->to->dtype)) {
        return status_new(NRD_UNSUPPORTED, "%s cannot become '%s'", nrd_dtype_name(from->dtype),
                          f->to->name);
    }
    bool planes = f->layout == LAYOUT_CHW || f->layout == LAYOUT_NCHW;
    bool batch = f->layout == LAYOUT_NHWC || f->layout == LAYOUT_NCHW;
    int64_t dims[4] = {1, from->height, from->width, channels};
    if (planes) {
        dims[1] = channels;
        dims[2] = from->height;
        dims[3] = from->width;
    }
    NRD_TRY(pixels_allocate(job->run, f->pool, f->to->dtype, batch ? dims : dims + 1, batch ? 4 : 3,
                            out));
    if (planes) {
        return job->run->device->convert_planar(job->run, from, (*out)->data, channels,
                                                f->to->dtype, &how);
    }
    if (channels == 1 && from->channels >= 3 && from->dtype == NRD_DTYPE_U8 &&
        f->to->dtype == NRD_DTYPE_U8 && f->out_channel_order.count == 0 && !job->bgr) {
        struct image gray = image_of((*out)->data, from->width, from->height, 1, NRD_DTYPE_U8);
        image_to_gray(from, &gray);
        return NULL;
    }
    struct image to = image_of((*out)->data, from->width, from->height, channels, f->to->dtype);
    return job->run->device->convert(job->run, from, &to, &how);
}

static struct nrd_status *convert(void *self, struct pixel_run *run, struct nrd_tensor **out)
{
    struct job job = {.f = self, .run = run};
    struct nrd_status *status = read_input(&job);
    if (status == NULL) {
        status = resize(&job);
    }
    if (status == NULL) {
        status = write_output(&job, out);
    }
    nrd_tensor_unref(job.owned);
    return status;
}

// What there are no kernels for: some filters, letterboxes of more than one byte value, grey from colour.
static bool gpu_can(const struct format_converter *f)
{
    bool resizes = f->resize_width > 0;
    bool plain = f->letterbox_value == 0.0 || (f->from != NULL && f->from->dtype == NRD_DTYPE_U8);
    return (!resizes || pixel_gpu_resizes(f->mode, f->antialias)) &&
           (!resizes || f->fit == FIT_STRETCH || plain) && f->to->channels != 1;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct format_converter *f = self;
    const struct pixel_step step = {.in_name = f->in_tensor_name,
                                    .out_name = f->out_tensor_name,
                                    .gpu = gpu_can(f),
                                    .place = &f->place,
                                    .work = convert};
    return pixels_compute(ctx, &step, self);
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    image_resizer_destroy(((struct format_converter *)self)->resizer);
}

const struct nrd_operator_class format_converter_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "FormatConverterOp",
    .summary = "Converts pictures: type and range of elements, channels, size, layout.",
    .state_size = sizeof(struct format_converter),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .setup = setup,
    .compute = compute,
    .destroy = destroy,
};
