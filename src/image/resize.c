// SPDX-License-Identifier: Apache-2.0
// Two passes: each row of the source that is needed is filtered along x once, into floats, and kept in a ring of as many rows
// as one new row needs; new rows are weighted sums of those. Weights are worked out at creation: for each new position
// a first source position and `taps` weights that sum to 1, with those beyond an edge added to the edge pixel's.
// Nearest is a copy by a table.
#include "image/resize.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

#define SIZE_MAX_PIXELS 65536u

struct axis {
    uint32_t *first; // per new position
    float *weights;  // taps per new position
    uint32_t taps;
};
struct image_resizer {
    struct image_resize_options options;
    struct axis x, y;
    float *ring;         // y.taps rows of to_width * channels
    uint32_t *ring_rows; // which source row each holds; UINT32_MAX: none
    const float **rows;  // y.taps pointers, for one new row
};

// ---- weights --------------------------------------------------------------------------------------------------------

static double filter_support(enum image_resize_mode mode)
{
    switch (mode) {
    case IMAGE_RESIZE_LINEAR:
        return 1.0;
    case IMAGE_RESIZE_CUBIC:
        return 2.0;
    case IMAGE_RESIZE_LANCZOS:
        return 3.0;
    case IMAGE_RESIZE_NEAREST:
    case IMAGE_RESIZE_AREA:
        break;
    }
    return 0.5;
}

static double sinc(double x)
{
    double v = x * 3.14159265358979323846;
    return x == 0.0 ? 1.0 : sin(v) / v;
}

static double filter_value(enum image_resize_mode mode, double x)
{
    x = fabs(x);
    switch (mode) {
    case IMAGE_RESIZE_LINEAR:
        return x < 1.0 ? 1.0 - x : 0.0;
    case IMAGE_RESIZE_CUBIC: // Keys 1981 with a = -0.5
        return x < 1.0   ? (1.5 * x - 2.5) * x * x + 1.0
               : x < 2.0 ? ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
                         : 0.0;
    case IMAGE_RESIZE_LANCZOS:
        return x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
    case IMAGE_RESIZE_NEAREST:
    case IMAGE_RESIZE_AREA:
        break;
    }
    return 0.0;
}

// The weight of source pixel `at` for the new pixel that covers [low, high) of the source, `scale` source pixels wide.
static double weight_of(const struct image_resize_options *o, double low, double high, double widen,
                        long at)
{
    if (o->mode == IMAGE_RESIZE_AREA) {
        double from = low > (double)at ? low : (double)at;
        double to = high < (double)at + 1.0 ? high : (double)at + 1.0;
        return to > from ? to - from : 0.0;
    }
    double center = (low + high) / 2.0;
    return filter_value(o->mode, ((double)at + 0.5 - center) / widen);
}

static void axis_fini(struct axis *axis)
{
    mem_free(axis->first);
    mem_free(axis->weights);
}

// False: no memory. Even then axis_fini() is right.
static bool axis_init(struct axis *axis, const struct image_resize_options *o, uint32_t from,
                      uint32_t to)
{
    double scale = (double)from / (double)to;
    double widen = o->antialias && scale > 1.0 ? scale : 1.0;
    double reach = filter_support(o->mode) * widen;
    if (o->mode == IMAGE_RESIZE_AREA || o->mode == IMAGE_RESIZE_NEAREST) {
        reach = scale / 2.0;
    }
    uint32_t taps = (uint32_t)(2.0 * reach) + 3;
    axis->taps = o->mode == IMAGE_RESIZE_NEAREST ? 1 : (taps < from ? taps : from);
    axis->first = mem_calloc(to, sizeof(*axis->first));
    axis->weights = mem_calloc(to, axis->taps * sizeof(*axis->weights));
    if (axis->first == NULL || axis->weights == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < to; i++) {
        double low = (double)i * scale, high = (double)(i + 1) * scale;
        double center = (low + high) / 2.0;
        float *weights = axis->weights + (size_t)i * axis->taps;
        if (o->mode == IMAGE_RESIZE_NEAREST) {
            // In whole numbers: a centre that lies on a pixel's edge must not fall to the wrong side.
            uint32_t at = (uint32_t)((2 * (uint64_t)i + 1) * from / (2 * (uint64_t)to));
            axis->first[i] = at < from ? at : from - 1;
            weights[0] = 1.0f;
            continue;
        }
        long begin = (long)floor(center - reach), end = (long)ceil(center + reach);
        long first = begin < 0 ? 0 : begin;
        first = first > (long)(from - axis->taps) ? (long)(from - axis->taps) : first;
        double sum = 0.0;
        for (long at = begin; at < end; at++) {
            sum += weight_of(o, low, high, widen, at);
        }
        for (long at = begin; at < end; at++) {
            long inside = at < 0 ? 0 : (at >= (long)from ? (long)from - 1 : at);
            double weight = weight_of(o, low, high, widen, at);
            if (weight != 0.0) {
                weights[inside - first] += (float)(weight / sum);
            }
        }
        axis->first[i] = (uint32_t)first;
    }
    return true;
}

// Fewer taps where the last ones are never used (two for linear without antialias, instead of five).
static void axis_trim(struct axis *axis, uint32_t from, uint32_t to)
{
    uint32_t need = 1;
    for (uint32_t i = 0; i < to; i++) {
        const float *weights = axis->weights + (size_t)i * axis->taps;
        uint32_t low = 0, high = axis->taps;
        while (low + 1 < high && weights[low] == 0.0f) {
            low++;
        }
        while (high > low + 1 && weights[high - 1] == 0.0f) {
            high--;
        }
        need = high - low > need ? high - low : need;
    }
    for (uint32_t i = 0; i < to; i++) {
        const float *weights = axis->weights + (size_t)i * axis->taps;
        uint32_t low = 0;
        while (low + need < axis->taps && weights[low] == 0.0f) {
            low++;
        }
        low = axis->first[i] + low + need > from ? from - need - axis->first[i] : low;
        memmove(axis->weights + (size_t)i * need, weights + low, need * sizeof(*weights));
        axis->first[i] += low;
    }
    axis->taps = need;
}

// ---- life -----------------------------------------------------------------------------------------------------------

static struct nrd_status *check_options(const struct image_resize_options *o)
{
    if (o->from_width == 0 || o->from_height == 0 || o->to_width == 0 || o->to_height == 0 ||
        o->from_width > SIZE_MAX_PIXELS || o->from_height > SIZE_MAX_PIXELS ||
        o->to_width > SIZE_MAX_PIXELS || o->to_height > SIZE_MAX_PIXELS) {
        return status_new(
            NRD_INVALID_ARG, "cannot resize a picture of %ux%u to %ux%u: sizes must be 1 to %u",
            o->from_width, o->from_height, o->to_width, o->to_height, SIZE_MAX_PIXELS);
    }
    if (o->channels < 1 || o->channels > IMAGE_CHANNELS_MAX) {
        return status_new(NRD_INVALID_ARG, "cannot resize a picture of %u channels: 1 to %d",
                          o->channels, IMAGE_CHANNELS_MAX);
    }
    if (o->dtype != NRD_DTYPE_U8 && o->dtype != NRD_DTYPE_U16 && o->dtype != NRD_DTYPE_F32) {
        return status_new(NRD_INVALID_ARG,
                          "cannot resize a picture of type %s: UINT8, UINT16 or FP32",
                          dtype_name(o->dtype));
    }
    return NULL;
}

struct nrd_status *image_resizer_create(const struct image_resize_options *options,
                                        struct image_resizer **resizer)
{
    NRD_TRY(check_options(options));
    struct image_resizer *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        return status_no_memory();
    }
    r->options = *options;
    bool ok = axis_init(&r->x, options, options->from_width, options->to_width) &&
              axis_init(&r->y, options, options->from_height, options->to_height);
    if (ok) {
        axis_trim(&r->x, options->from_width, options->to_width);
        axis_trim(&r->y, options->from_height, options->to_height);
        r->ring = mem_aligned(64, (size_t)r->y.taps * options->to_width * options->channels *
                                      sizeof(*r->ring));
        r->ring_rows = mem_calloc(r->y.taps, sizeof(*r->ring_rows));
        r->rows = mem_calloc(r->y.taps, sizeof(*r->rows));
        ok = r->ring != NULL && r->ring_rows != NULL && r->rows != NULL;
    }
    if (!ok) {
        image_resizer_destroy(r);
        return status_no_memory();
    }
    *resizer = r;
    return NULL;
}

bool image_resizer_is_for(const struct image_resizer *resizer, const struct image_resize_options *o)
{
    const struct image_resize_options *mine = &resizer->options;
    return mine->from_width == o->from_width && mine->from_height == o->from_height &&
           mine->to_width == o->to_width && mine->to_height == o->to_height &&
           mine->channels == o->channels && mine->dtype == o->dtype && mine->mode == o->mode &&
           mine->antialias == o->antialias;
}

void image_resizer_destroy(struct image_resizer *resizer)
{
    if (resizer != NULL) {
        axis_fini(&resizer->x);
        axis_fini(&resizer->y);
        mem_free(resizer->ring);
        mem_free(resizer->ring_rows);
        mem_free((void *)resizer->rows);
        mem_free(resizer);
    }
}

// ---- passes ---------------------------------------------------------------------------------------------------------

#define DEFINE_ALONG_X(NAME, TYPE)                                                                 \
    IMAGE_INLINE void NAME##_any(const TYPE *restrict from, float *restrict to, uint32_t width,    \
                                 uint32_t channels, const struct axis *axis, uint32_t taps)        \
    {                                                                                              \
        const float *restrict weights = axis->weights;                                             \
        for (uint32_t x = 0; x < width; x++, weights += taps) {                                    \
            const TYPE *p = from + (size_t)axis->first[x] * channels;                              \
            float sum[IMAGE_CHANNELS_MAX] = {0.0f};                                                \
            for (uint32_t t = 0; t < taps; t++) {                                                  \
                for (uint32_t c = 0; c < channels; c++) {                                          \
                    sum[c] += (float)p[t * channels + c] * weights[t];                             \
                }                                                                                  \
            }                                                                                      \
            for (uint32_t c = 0; c < channels; c++) {                                              \
                to[x * channels + c] = sum[c];                                                     \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    IMAGE_FAST static void NAME(const void *from, float *to, uint32_t width, uint32_t channels,    \
                                const struct axis *axis)                                           \
    {                                                                                              \
        if (channels == 3 && axis->taps == 2) {                                                    \
            NAME##_any(from, to, width, 3, axis, 2);                                               \
        } else if (channels == 3) {                                                                \
            NAME##_any(from, to, width, 3, axis, axis->taps);                                      \
        } else if (channels == 4) {                                                                \
            NAME##_any(from, to, width, 4, axis, axis->taps);                                      \
        } else if (channels == 1) {                                                                \
            NAME##_any(from, to, width, 1, axis, axis->taps);                                      \
        } else {                                                                                   \
            NAME##_any(from, to, width, channels, axis, axis->taps);                               \
        }                                                                                          \
    }
DEFINE_ALONG_X(along_x_u8, uint8_t)
DEFINE_ALONG_X(along_x_u16, uint16_t)
DEFINE_ALONG_X(along_x_f32, float)

#define DEFINE_ALONG_Y(NAME, TYPE, ROUND)                                                          \
    IMAGE_FAST static void NAME(const float *const *rows, const float *weights, uint32_t taps,     \
                                size_t count, void *to_row)                                        \
    {                                                                                              \
        enum { STEP = 64 };                                                                        \
        TYPE *to = to_row;                                                                         \
        for (size_t begin = 0; begin < count; begin += STEP) {                                     \
            size_t length = count - begin < STEP ? count - begin : STEP;                           \
            float sums[STEP] = {0.0f};                                                             \
            for (uint32_t t = 0; t < taps; t++) {                                                  \
                const float *restrict row = rows[t] + begin;                                       \
                float weight = weights[t];                                                         \
                for (size_t i = 0; i < length; i++) {                                              \
                    sums[i] += row[i] * weight;                                                    \
                }                                                                                  \
            }                                                                                      \
            for (size_t i = 0; i < length; i++) {                                                  \
                to[begin + i] = ROUND(sums[i]);                                                    \
            }                                                                                      \
        }                                                                                          \
    }
#define ROUND_U8(v) ((uint8_t)(int32_t)((v) <= 0.0f ? 0.0f : (v) >= 255.0f ? 255.0f : (v) + 0.5f))
#define ROUND_U16(v)                                                                               \
    ((uint16_t)(int32_t)((v) <= 0.0f ? 0.0f : (v) >= 65535.0f ? 65535.0f : (v) + 0.5f))
#define ROUND_NOT(v) (v)
DEFINE_ALONG_Y(along_y_u8, uint8_t, ROUND_U8)
DEFINE_ALONG_Y(along_y_u16, uint16_t, ROUND_U16)
DEFINE_ALONG_Y(along_y_f32, float, ROUND_NOT)

IMAGE_INLINE void nearest_row(const char *from, char *to, const uint32_t *at, uint32_t width,
                              size_t size)
{
    for (uint32_t x = 0; x < width; x++) {
        memcpy(to + x * size, from + at[x] * size, size);
    }
}

static void run_nearest(const struct image_resizer *r, const struct image *from,
                        const struct image *to)
{
    size_t size = (size_t)to->channels * dtype_size(to->dtype);
    for (uint32_t y = 0; y < to->height; y++) {
        const char *row = image_row(from, r->y.first[y]);
        char *out = image_row(to, y);
        if (y > 0 && r->y.first[y] == r->y.first[y - 1]) {
            memcpy(out, image_row(to, y - 1), to->width * size);
        } else if (size == 1) {
            nearest_row(row, out, r->x.first, to->width, 1);
        } else if (size == 3) {
            nearest_row(row, out, r->x.first, to->width, 3);
        } else if (size == 4) {
            nearest_row(row, out, r->x.first, to->width, 4);
        } else {
            nearest_row(row, out, r->x.first, to->width, size);
        }
    }
}

// The row of the source, filtered along x; made when the ring does not hold it.
static const float *filtered_row(struct image_resizer *r, const struct image *from, uint32_t y)
{
    uint32_t place = y % r->y.taps;
    float *row = r->ring + (size_t)place * r->options.to_width * r->options.channels;
    if (r->ring_rows[place] != y) {
        void (*along_x)(const void *, float *, uint32_t, uint32_t, const struct axis *) =
            from->dtype == NRD_DTYPE_U8    ? along_x_u8
            : from->dtype == NRD_DTYPE_U16 ? along_x_u16
                                           : along_x_f32;
        along_x(image_row(from, y), row, r->options.to_width, r->options.channels, &r->x);
        r->ring_rows[place] = y;
    }
    return row;
}

void image_resizer_run(struct image_resizer *r, const struct image *from, const struct image *to)
{
    if (r->options.mode == IMAGE_RESIZE_NEAREST) {
        run_nearest(r, from, to);
        return;
    }
    uint32_t taps = r->y.taps;
    for (uint32_t t = 0; t < taps; t++) {
        r->ring_rows[t] = UINT32_MAX;
    }
    for (uint32_t y = 0; y < to->height; y++) {
        for (uint32_t t = 0; t < taps; t++) {
            r->rows[t] = filtered_row(r, from, r->y.first[y] + t);
        }
        void (*along_y)(const float *const *, const float *, uint32_t, size_t, void *) =
            to->dtype == NRD_DTYPE_U8    ? along_y_u8
            : to->dtype == NRD_DTYPE_U16 ? along_y_u16
                                         : along_y_f32;
        along_y(r->rows, r->y.weights + (size_t)y * taps, taps, (size_t)to->width * to->channels,
                image_row(to, y));
    }
}

// ---- letterbox ------------------------------------------------------------------------------------------------------

struct image_rect image_fit(uint32_t width, uint32_t height, uint32_t into_width,
                            uint32_t into_height)
{
    struct image_rect rect = {.width = into_width, .height = into_height};
    if (width == 0 || height == 0) {
        return rect;
    }
    uint64_t wide = (uint64_t)width * into_height, high = (uint64_t)height * into_width;
    if (wide > high) {
        rect.height = (uint32_t)((high + width / 2) / width);
    } else {
        rect.width = (uint32_t)((wide + height / 2) / height);
    }
    rect.width += rect.width == 0;
    rect.height += rect.height == 0;
    rect.x = (into_width - rect.width) / 2;
    rect.y = (into_height - rect.height) / 2;
    return rect;
}

void image_fill_around(const struct image *frame, struct image_rect hole, const void *pixel)
{
    size_t size = (size_t)frame->channels * dtype_size(frame->dtype);
    for (uint32_t y = 0; y < frame->height; y++) {
        bool beside = y >= hole.y && y - hole.y < hole.height;
        char *row = image_row(frame, y);
        for (uint32_t x = 0; x < frame->width; x++) {
            if (beside && x == hole.x) {
                x += hole.width;
                if (x >= frame->width) {
                    break;
                }
            }
            memcpy(row + x * size, pixel, size);
        }
    }
}
