// SPDX-License-Identifier: Apache-2.0
// Rows are done in blocks of BLOCK pixels, in three short loops that each vectorise: spread the samples to one Y, U and V a pixel,
// multiply by the matrix, interleave. Only the first knows the layout and only the last the order of channels. Fixed point
// with 14 bits: the error is far below half a step, so the result is the exact one but for ties.
#include "image/yuv.h"

#include "image/convert.h"

#define BLOCK 256
#define SHIFT 14
#define FIX(v) ((int32_t)((v) * (1 << SHIFT) + ((v) < 0 ? -0.5 : 0.5)))

struct matrix {
    int32_t y_offset, y_scale;  // to RGB: (Y - y_offset) * y_scale
    int32_t r_v, g_u, g_v, b_u; // + r_v * V ...
    int32_t y_r, y_g, y_b;      // from RGB
    int32_t u_r, u_g, u_b, v_r, v_g, v_b;
};

// From the weights of red and blue in luma, and the ranges of luma and of the colour differences.
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
static const struct matrix matrices[] = {
    [IMAGE_YUV_ANALOG] =
        {
            .y_scale = FIX(1.0),
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
            .v_b = FIX(-0.877 * 0.114),
        },
    [IMAGE_YUV_BT601] = MATRIX(0.299, 0.114, 219.0, 224.0, 16),
    [IMAGE_YUV_BT601_FULL] = MATRIX(0.299, 0.114, 255.0, 255.0, 0),
    [IMAGE_YUV_BT709] = MATRIX(0.2126, 0.0722, 219.0, 224.0, 16),
    [IMAGE_YUV_BT709_FULL] = MATRIX(0.2126, 0.0722, 255.0, 255.0, 0),
};

static uint32_t half_up(uint32_t v)
{
    return v / 2 + (v & 1u);
}

size_t image_yuv_size(enum image_yuv_layout layout, uint32_t width, uint32_t height)
{
    size_t pair = half_up(width);
    if (layout == IMAGE_YUYV || layout == IMAGE_UYVY) {
        return pair * 4 * height;
    }
    return (size_t)width * height + 2 * pair * half_up(height);
}

struct image_yuv image_yuv_of(void *data, enum image_yuv_layout layout, uint32_t width,
                              uint32_t height)
{
    struct image_yuv yuv = {.layout = layout, .width = width, .height = height};
    size_t pair = half_up(width);
    yuv.planes[0] = data;
    yuv.strides[0] = width;
    if (layout == IMAGE_YUYV || layout == IMAGE_UYVY) {
        yuv.strides[0] = pair * 4;
    } else {
        yuv.planes[1] = yuv.planes[0] + (size_t)width * height;
        yuv.strides[1] = layout == IMAGE_NV12 ? pair * 2 : pair;
        if (layout == IMAGE_YUV420) {
            yuv.planes[2] = yuv.planes[1] + pair * half_up(height);
            yuv.strides[2] = pair;
        }
    }
    return yuv;
}

// ---- to RGB ---------------------------------------------------------------------------------------------------------

struct samples {
    uint8_t y[BLOCK], u[BLOCK], v[BLOCK];
};
struct colors {
    uint8_t rgb[3][BLOCK];
};

// One U and V for each pair of pixels, in samples->u and ->v, to one for each pixel. `pairs` at most BLOCK / 2.
IMAGE_INLINE void spread(const uint8_t *restrict pairs, uint8_t *restrict to, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[2 * i] = pairs[i];
        to[2 * i + 1] = pairs[i];
    }
}

// Samples of `count` pixels of row y from x on (even); reads no more pairs than there are.
IMAGE_FAST static void gather(const struct image_yuv *from, uint32_t x, uint32_t y, size_t count,
                              struct samples *to)
{
    const uint8_t *row = from->planes[0] + (size_t)y * from->strides[0];
    size_t pairs = (count + 1) / 2;
    uint8_t u[BLOCK / 2], v[BLOCK / 2];
    if (from->layout == IMAGE_YUYV || from->layout == IMAGE_UYVY) {
        const uint8_t *p = row + (size_t)x * 2;
        size_t luma = from->layout == IMAGE_YUYV ? 0 : 1, chroma = 1 - luma;
        for (size_t i = 0; i < pairs; i++) {
            to->y[2 * i] = p[4 * i + luma];
            to->y[2 * i + 1] = p[4 * i + 2 + luma];
            u[i] = p[4 * i + chroma];
            v[i] = p[4 * i + 2 + chroma];
        }
    } else {
        for (size_t i = 0; i < count; i++) {
            to->y[i] = row[x + i];
        }
        const uint8_t *c = from->planes[1] + (size_t)(y / 2) * from->strides[1];
        if (from->layout == IMAGE_NV12) {
            for (size_t i = 0; i < pairs; i++) {
                u[i] = c[x + 2 * i];
                v[i] = c[x + 2 * i + 1];
            }
        } else {
            const uint8_t *d = from->planes[2] + (size_t)(y / 2) * from->strides[2];
            for (size_t i = 0; i < pairs; i++) {
                u[i] = c[x / 2 + i];
                v[i] = d[x / 2 + i];
            }
        }
    }
    spread(u, to->u, pairs);
    spread(v, to->v, pairs);
}

IMAGE_INLINE uint8_t to_byte(int32_t fixed)
{
    int32_t v = (fixed + (1 << (SHIFT - 1))) >> SHIFT;
    v = v < 0 ? 0 : v;
    return (uint8_t)(v > 255 ? 255 : v);
}

IMAGE_FAST static void multiply_to_rgb(const struct samples *restrict in, const struct matrix *m,
                                       size_t count, struct colors *restrict out)
{
    int32_t offset = m->y_offset, scale = m->y_scale;
    int32_t r_v = m->r_v, g_u = m->g_u, g_v = m->g_v, b_u = m->b_u;
    for (size_t i = 0; i < count; i++) {
        int32_t luma = (in->y[i] - offset) * scale;
        int32_t u = in->u[i] - 128, v = in->v[i] - 128;
        out->rgb[0][i] = to_byte(luma + r_v * v);
        out->rgb[1][i] = to_byte(luma + g_u * u + g_v * v);
        out->rgb[2][i] = to_byte(luma + b_u * u);
    }
}

IMAGE_FAST static void interleave_3(const uint8_t *restrict a, const uint8_t *restrict b,
                                    const uint8_t *restrict c, size_t count, uint8_t *restrict to)
{
    for (size_t i = 0; i < count; i++) {
        to[3 * i] = a[i];
        to[3 * i + 1] = b[i];
        to[3 * i + 2] = c[i];
    }
}
IMAGE_FAST static void interleave_4(const uint8_t *const *planes, size_t count,
                                    uint8_t *restrict to)
{
    const uint8_t *restrict a = planes[0], *restrict b = planes[1];
    const uint8_t *restrict c = planes[2], *restrict d = planes[3];
    for (size_t i = 0; i < count; i++) {
        to[4 * i] = a[i];
        to[4 * i + 1] = b[i];
        to[4 * i + 2] = c[i];
        to[4 * i + 3] = d[i];
    }
}

void image_from_yuv(const struct image_yuv *from, enum image_yuv_matrix matrix,
                    const struct image *to, const int8_t *order, uint8_t alpha)
{
    struct samples samples = {.u = {0}};
    struct colors colors = {.rgb = {{0}}};
    uint8_t fill[BLOCK];
    for (size_t i = 0; i < BLOCK; i++) {
        fill[i] = alpha;
    }
    const uint8_t *planes[IMAGE_CHANNELS_MAX] = {NULL};
    for (uint32_t c = 0; c < to->channels; c++) {
        planes[c] = order[c] < 0 ? fill : colors.rgb[order[c]];
    }
    for (uint32_t y = 0; y < to->height; y++) {
        uint8_t *row = image_row(to, y);
        for (uint32_t x = 0; x < to->width; x += BLOCK) {
            size_t count = to->width - x < BLOCK ? to->width - x : BLOCK;
            gather(from, x, y, count, &samples);
            multiply_to_rgb(&samples, &matrices[matrix], count, &colors);
            if (to->channels == 3) {
                interleave_3(planes[0], planes[1], planes[2], count, row + (size_t)x * 3);
            } else {
                interleave_4(planes, count, row + (size_t)x * 4);
            }
        }
    }
}

// ---- from RGB -------------------------------------------------------------------------------------------------------

// Sums of colours of a block: of one row, or of two rows for 4:2:0.
struct sums {
    int32_t rgb[3][BLOCK / 2];
};

IMAGE_INLINE void luma_row(const uint8_t *restrict p, uint32_t step, uint32_t red,
                           const struct matrix *m, size_t count, uint8_t *restrict to)
{
    int32_t y_r = m->y_r, y_g = m->y_g, y_b = m->y_b, offset = m->y_offset << SHIFT;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *q = p + i * step;
        to[i] = to_byte(y_r * q[red] + y_g * q[1] + y_b * q[2 - red] + offset);
    }
}
IMAGE_FAST static void luma(const uint8_t *p, uint32_t step, uint32_t red, const struct matrix *m,
                            size_t count, uint8_t *to)
{
    if (step == 3) {
        luma_row(p, 3, red, m, count, to);
    } else {
        luma_row(p, 4, red, m, count, to);
    }
}

// Adds the pairs of one row; the last of an odd number of pixels counts twice.
static void add_pairs(const uint8_t *p, uint32_t step, uint32_t red, size_t count, struct sums *to)
{
    for (size_t i = 0; i < count; i += 2) {
        const uint8_t *a = p + i * step, *b = i + 1 < count ? a + step : a;
        to->rgb[0][i / 2] += a[red] + b[red];
        to->rgb[1][i / 2] += a[1] + b[1];
        to->rgb[2][i / 2] += a[2 - red] + b[2 - red];
    }
}

// `bits`: log2 of how many pixels each sum holds.
IMAGE_INLINE uint8_t difference(int32_t kr, int32_t kg, int32_t kb, const struct sums *s, size_t i,
                                int bits)
{
    int32_t v = kr * s->rgb[0][i] + kg * s->rgb[1][i] + kb * s->rgb[2][i];
    int32_t shift = SHIFT + bits;
    v = ((v + (1 << (shift - 1))) >> shift) + 128;
    v = v < 0 ? 0 : v;
    return (uint8_t)(v > 255 ? 255 : v);
}
IMAGE_FAST static void chroma(const struct sums *s, const struct matrix *m, size_t pairs, int bits,
                              uint8_t *restrict u, uint8_t *restrict v)
{
    for (size_t i = 0; i < pairs; i++) {
        u[i] = difference(m->u_r, m->u_g, m->u_b, s, i, bits);
        v[i] = difference(m->v_r, m->v_g, m->v_b, s, i, bits);
    }
}

static void to_packed_row(const struct image *from, uint32_t red, const struct matrix *m,
                          uint32_t y, const struct image_yuv *to)
{
    size_t at_y = to->layout == IMAGE_YUYV ? 0 : 1, at_c = 1 - at_y;
    for (uint32_t x = 0; x < from->width; x += BLOCK) {
        size_t count = from->width - x < BLOCK ? from->width - x : BLOCK, pairs = (count + 1) / 2;
        const uint8_t *p = (const uint8_t *)image_row(from, y) + (size_t)x * from->channels;
        uint8_t *out = to->planes[0] + (size_t)y * to->strides[0] + (size_t)x * 2;
        uint8_t bright[BLOCK], u[BLOCK / 2], v[BLOCK / 2];
        struct sums sums = {{{0}}};
        luma(p, from->channels, red, m, count, bright);
        add_pairs(p, from->channels, red, count, &sums);
        chroma(&sums, m, pairs, 1, u, v);
        for (size_t i = 0; i < pairs; i++) {
            out[4 * i + at_y] = bright[2 * i];
            out[4 * i + 2 + at_y] = 2 * i + 1 < count ? bright[2 * i + 1] : bright[2 * i];
            out[4 * i + at_c] = u[i];
            out[4 * i + 2 + at_c] = v[i];
        }
    }
}

// Two rows (the second may be the first again, at the lower edge of an odd height).
static void to_planar_rows(const struct image *from, uint32_t red, const struct matrix *m,
                           uint32_t y, const struct image_yuv *to)
{
    uint32_t below = y + 1 < from->height ? y + 1 : y;
    for (uint32_t x = 0; x < from->width; x += BLOCK) {
        size_t count = from->width - x < BLOCK ? from->width - x : BLOCK, pairs = (count + 1) / 2;
        const uint8_t *p = (const uint8_t *)image_row(from, y) + (size_t)x * from->channels;
        const uint8_t *q = (const uint8_t *)image_row(from, below) + (size_t)x * from->channels;
        uint8_t u[BLOCK / 2], v[BLOCK / 2];
        struct sums sums = {{{0}}};
        luma(p, from->channels, red, m, count, to->planes[0] + (size_t)y * to->strides[0] + x);
        if (below != y) {
            luma(q, from->channels, red, m, count,
                 to->planes[0] + (size_t)below * to->strides[0] + x);
        }
        add_pairs(p, from->channels, red, count, &sums);
        add_pairs(q, from->channels, red, count, &sums);
        chroma(&sums, m, pairs, 2, u, v);
        uint8_t *c = to->planes[1] + (size_t)(y / 2) * to->strides[1];
        for (size_t i = 0; i < pairs; i++) {
            if (to->layout == IMAGE_NV12) {
                c[x + 2 * i] = u[i];
                c[x + 2 * i + 1] = v[i];
            } else {
                c[x / 2 + i] = u[i];
                to->planes[2][(size_t)(y / 2) * to->strides[2] + x / 2 + i] = v[i];
            }
        }
    }
}

void image_to_yuv(const struct image *from, uint32_t red, enum image_yuv_matrix matrix,
                  const struct image_yuv *to)
{
    const struct matrix *m = &matrices[matrix];
    if (to->layout == IMAGE_YUYV || to->layout == IMAGE_UYVY) {
        for (uint32_t y = 0; y < from->height; y++) {
            to_packed_row(from, red, m, y, to);
        }
    } else {
        for (uint32_t y = 0; y < from->height; y += 2) {
            to_planar_rows(from, red, m, y, to);
        }
    }
}
