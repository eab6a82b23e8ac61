// SPDX-License-Identifier: Apache-2.0
// A camera's frames as pixels. The table is the whole knowledge; what is not in it is passed through as bytes or refused.
#include "graph/ops/v4l2_pixels.h"

#include <linux/videodev2.h>
#include <string.h>

#include "graph/ops/v4l2_device.h"
#include "image/convert.h"
#include "image/decode.h"
#include "image/yuv.h"

enum pixels_kind { PIXELS_PACKED, PIXELS_YUV, PIXELS_JPEG };

// In order of preference: what costs least first.
static const struct format {
    uint32_t fourcc;
    enum pixels_kind kind;
    uint32_t bytes;  // packed: of a pixel; yuv: of a pixel in the first plane
    int8_t order[3]; // packed: which byte is red, green, blue
    enum image_yuv_layout layout;
} formats[] = {
    {V4L2_PIX_FMT_RGBA32, PIXELS_PACKED, 4, {0, 1, 2}, 0},
    {V4L2_PIX_FMT_RGBX32, PIXELS_PACKED, 4, {0, 1, 2}, 0},
    {V4L2_PIX_FMT_RGB24, PIXELS_PACKED, 3, {0, 1, 2}, 0},
    {V4L2_PIX_FMT_BGR24, PIXELS_PACKED, 3, {2, 1, 0}, 0},
    {V4L2_PIX_FMT_ABGR32, PIXELS_PACKED, 4, {2, 1, 0}, 0}, // B, G, R, A in memory
    {V4L2_PIX_FMT_XBGR32, PIXELS_PACKED, 4, {2, 1, 0}, 0},
    {V4L2_PIX_FMT_ARGB32, PIXELS_PACKED, 4, {1, 2, 3}, 0},
    {V4L2_PIX_FMT_XRGB32, PIXELS_PACKED, 4, {1, 2, 3}, 0},
    {V4L2_PIX_FMT_YUYV, PIXELS_YUV, 2, {0}, IMAGE_YUYV},
    {V4L2_PIX_FMT_UYVY, PIXELS_YUV, 2, {0}, IMAGE_UYVY},
    {V4L2_PIX_FMT_NV12, PIXELS_YUV, 1, {0}, IMAGE_NV12},
    {V4L2_PIX_FMT_YUV420, PIXELS_YUV, 1, {0}, IMAGE_YUV420},
    {V4L2_PIX_FMT_GREY, PIXELS_PACKED, 1, {0, 0, 0}, 0},
    {V4L2_PIX_FMT_MJPEG, PIXELS_JPEG, 0, {0}, 0},
    {V4L2_PIX_FMT_JPEG, PIXELS_JPEG, 0, {0}, 0},
};
#define FORMATS (sizeof(formats) / sizeof(formats[0]))

size_t v4l2_pixels_rank(uint32_t fourcc)
{
    for (size_t i = 0; i < FORMATS; i++) {
        if (formats[i].fourcc == fourcc) {
            return i;
        }
    }
    return SIZE_MAX;
}

static const struct format *format_of(const struct v4l2_device *d)
{
    size_t rank = v4l2_pixels_rank(d->fourcc);
    return rank == SIZE_MAX ? NULL : &formats[rank];
}

static size_t row_bytes(const struct v4l2_device *d, const struct format *f)
{
    size_t least = (size_t)d->width * f->bytes;
    return d->stride > least ? d->stride : least;
}

// Rows of row_bytes() that a frame has; planes of colour are counted in rows of the first plane.
static size_t rows_of(const struct v4l2_device *d, const struct format *f)
{
    bool halves = f->kind == PIXELS_YUV && f->bytes == 1;
    return halves ? d->height + (d->height + 1) / 2 : d->height;
}

static struct nrd_status *check_size(const struct v4l2_device *d, const struct v4l2_frame *frame,
                                     const struct format *f)
{
    size_t want = row_bytes(d, f) * rows_of(d, f);
    return frame->size >= want
               ? NULL
               : status_new(NRD_INVALID_ARG, "camera '%s' sent a frame of %zu bytes instead of %zu",
                            d->path, frame->size, want);
}

static void from_yuv(const struct v4l2_device *d, const struct v4l2_frame *frame,
                     const struct format *f, const struct image *to)
{
    static const int8_t order[] = {0, 1, 2, IMAGE_ALPHA};
    size_t stride = row_bytes(d, f);
    // The picture is only read; views have no const form.
    union {
        const void *in;
        uint8_t *out;
    } data = {.in = frame->data};
    struct image_yuv from = image_yuv_of(data.out, f->layout, d->width, d->height);
    from.strides[0] = stride;
    if (f->bytes == 1) {
        from.planes[1] = data.out + stride * d->height;
        from.strides[1] = f->layout == IMAGE_NV12 ? stride : stride / 2;
        from.planes[2] = from.planes[1] + from.strides[1] * ((d->height + 1) / 2);
        from.strides[2] = from.strides[1];
    }
    enum image_yuv_matrix matrix = d->bt709 ? d->full_range ? IMAGE_YUV_BT709_FULL : IMAGE_YUV_BT709
                                   : d->full_range ? IMAGE_YUV_BT601_FULL
                                                   : IMAGE_YUV_BT601;
    image_from_yuv(&from, matrix, to, order, 255);
}

static void from_packed(const struct v4l2_device *d, const struct v4l2_frame *frame,
                        const struct format *f, const struct image *to)
{
    union {
        const void *in;
        void *out;
    } data = {.in = frame->data};
    struct image from = image_of(data.out, d->width, d->height, f->bytes, NRD_DTYPE_U8);
    from.stride = row_bytes(d, f);
    const struct image_conversion how = {
        .order = {f->order[0], f->order[1], f->order[2], IMAGE_ALPHA},
        .scale_min = 0,
        .scale_max = 1,
        .alpha = 255};
    image_convert(&from, to, &how);
}

struct nrd_status *v4l2_pixels_convert(const struct v4l2_device *d, const struct v4l2_frame *frame,
                                       const struct image *to)
{
    const struct format *f = format_of(d);
    if (f->kind == PIXELS_JPEG) {
        return status_wrap(image_read(frame->data, frame->size, to), "camera '%s': ", d->path);
    }
    NRD_TRY(check_size(d, frame, f));
    if (f->kind == PIXELS_YUV) {
        from_yuv(d, frame, f, to);
    } else {
        from_packed(d, frame, f, to);
    }
    return NULL;
}

uint32_t v4l2_pixels_shape(const struct v4l2_device *d, const struct v4l2_frame *frame,
                           int64_t dims[3])
{
    const struct format *f = format_of(d);
    if (f == NULL || f->kind == PIXELS_JPEG) {
        dims[0] = (int64_t)frame->size;
        return 1;
    }
    dims[0] = (int64_t)rows_of(d, f);
    dims[1] = d->width;
    dims[2] = f->bytes;
    return f->kind == PIXELS_YUV && f->bytes == 1 ? 2 : 3;
}

struct nrd_status *v4l2_pixels_copy(const struct v4l2_device *d, const struct v4l2_frame *frame,
                                    void *to)
{
    const struct format *f = format_of(d);
    if (f == NULL || f->kind == PIXELS_JPEG) {
        memcpy(to, frame->data, frame->size);
        return NULL;
    }
    NRD_TRY(check_size(d, frame, f));
    size_t row = (size_t)d->width * f->bytes, stride = row_bytes(d, f), rows = rows_of(d, f);
    for (size_t y = 0; y < rows; y++) {
        memcpy((uint8_t *)to + y * row, (const uint8_t *)frame->data + y * stride, row);
    }
    return NULL;
}
