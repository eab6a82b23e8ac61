// SPDX-License-Identifier: Apache-2.0
// One row function for each pair of types, with the numbers of channels known to the compiler for the common pairs, so
// that it can vectorise: a conversion that keeps the order is one flat loop.
#include "image/convert.h"

#include <math.h>
#include <string.h>

struct image_conversion image_conversion_default(uint32_t from_channels, uint32_t to_channels)
{
    struct image_conversion how = {.scale_min = 0.0f, .scale_max = 1.0f, .alpha = 255.0f};
    for (uint32_t c = 0; c < IMAGE_CHANNELS_MAX; c++) {
        if (from_channels <= 2) {
            how.order[c] = c == to_channels - 1 && (to_channels == 2 || to_channels == 4)
                               ? (from_channels == 2 ? 1 : IMAGE_ALPHA)
                               : 0;
        } else {
            how.order[c] = c < from_channels ? (int8_t)c : IMAGE_ALPHA;
        }
    }
    return how;
}

bool image_can_convert(enum nrd_dtype from, enum nrd_dtype to)
{
    bool known = from == NRD_DTYPE_U8 || from == NRD_DTYPE_U16 || from == NRD_DTYPE_F32;
    return known && (to == from || to == NRD_DTYPE_U8 || to == NRD_DTYPE_F32);
}

// ---- one element ----------------------------------------------------------------------------------------------------

// What a row function needs, worked out once.
struct row_job {
    int order[IMAGE_CHANNELS_MAX];
    float factor, offset; // value * factor + offset
    float alpha;
};

IMAGE_INLINE uint8_t saturate_u8(float v)
{
    v = v > 0.0f ? v : 0.0f; // also for a NaN
    v = v < 255.0f ? v : 255.0f;
    return (uint8_t)(int32_t)(v + 0.5f);
}

#define ELEMENT_COPY(v, job) (v)
#define ELEMENT_TO_FLOAT(v, job) ((float)(v) * (job)->factor + (job)->offset)
#define ELEMENT_TO_U8(v, job) saturate_u8((v) * (job)->factor + (job)->offset)
#define ELEMENT_U16_TO_U8(v, job) ((uint8_t)(((uint32_t)(v)*255u + 32767u) / 65535u))

// ---- rows -----------------------------------------------------------------------------------------------------------

// Defines NAME_flat (same order, `count` elements), NAME_packed and NAME_plane. `step` and `to_step` are channels; constants
// for the callers below.
#define DEFINE_ROWS(NAME, FROM, TO, ELEMENT)                                                       \
    IMAGE_FAST static void NAME##_flat(const void *from_row, void *to_row, size_t count,           \
                                       const struct row_job *job)                                  \
    {                                                                                              \
        (void)job;                                                                                 \
        const FROM *from = from_row;                                                               \
        TO *to = to_row;                                                                           \
        for (size_t i = 0; i < count; i++) {                                                       \
            to[i] = (TO)ELEMENT(from[i], job);                                                     \
        }                                                                                          \
    }                                                                                              \
    IMAGE_INLINE void NAME##_any(const FROM *from, TO *to, size_t count, uint32_t step,            \
                                 uint32_t to_step, const struct row_job *job)                      \
    {                                                                                              \
        for (size_t x = 0; x < count; x++) {                                                       \
            TO pixel[IMAGE_CHANNELS_MAX];                                                          \
            for (uint32_t c = 0; c < to_step; c++) {                                               \
                int at = job->order[c];                                                            \
                pixel[c] =                                                                         \
                    at < 0 ? (TO)job->alpha : (TO)ELEMENT(from[x * step + (uint32_t)at], job);     \
            }                                                                                      \
            for (uint32_t c = 0; c < to_step; c++) {                                               \
                to[x * to_step + c] = pixel[c];                                                    \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    IMAGE_FAST static void NAME##_packed(const void *from, void *to, size_t count, uint32_t step,  \
                                         uint32_t to_step, const struct row_job *job)              \
    {                                                                                              \
        if (step == 3 && to_step == 3) {                                                           \
            NAME##_any(from, to, count, 3, 3, job);                                                \
        } else if (step == 3 && to_step == 4) {                                                    \
            NAME##_any(from, to, count, 3, 4, job);                                                \
        } else if (step == 4 && to_step == 3) {                                                    \
            NAME##_any(from, to, count, 4, 3, job);                                                \
        } else if (step == 4 && to_step == 4) {                                                    \
            NAME##_any(from, to, count, 4, 4, job);                                                \
        } else {                                                                                   \
            NAME##_any(from, to, count, step, to_step, job);                                       \
        }                                                                                          \
    }                                                                                              \
    IMAGE_INLINE void NAME##_one_plane(const FROM *restrict from, TO *restrict to, size_t count,   \
                                       uint32_t step, const struct row_job *job)                   \
    {                                                                                              \
        (void)job;                                                                                 \
        for (size_t x = 0; x < count; x++) {                                                       \
            to[x] = (TO)ELEMENT(from[x * step], job);                                              \
        }                                                                                          \
    }                                                                                              \
    IMAGE_FAST static void NAME##_plane(const void *from_row, void *to, size_t count,              \
                                        uint32_t step, int at, const struct row_job *job)          \
    {                                                                                              \
        if (at < 0) {                                                                              \
            for (size_t x = 0; x < count; x++) {                                                   \
                ((TO *)to)[x] = (TO)job->alpha;                                                    \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        const FROM *from = (const FROM *)from_row + at;                                            \
        if (step == 3) {                                                                           \
            NAME##_one_plane(from, to, count, 3, job);                                             \
        } else if (step == 4) {                                                                    \
            NAME##_one_plane(from, to, count, 4, job);                                             \
        } else {                                                                                   \
            NAME##_one_plane(from, to, count, step, job);                                          \
        }                                                                                          \
    }

DEFINE_ROWS(u8_u8, uint8_t, uint8_t, ELEMENT_COPY)
DEFINE_ROWS(u16_u16, uint16_t, uint16_t, ELEMENT_COPY)
DEFINE_ROWS(f32_f32, float, float, ELEMENT_COPY)
DEFINE_ROWS(u8_f32, uint8_t, float, ELEMENT_TO_FLOAT)
DEFINE_ROWS(u16_f32, uint16_t, float, ELEMENT_TO_FLOAT)
DEFINE_ROWS(f32_u8, float, uint8_t, ELEMENT_TO_U8)
DEFINE_ROWS(u16_u8, uint16_t, uint8_t, ELEMENT_U16_TO_U8)

struct row_functions {
    enum nrd_dtype from, to;
    void (*flat)(const void *from, void *to, size_t count, const struct row_job *job);
    void (*packed)(const void *from, void *to, size_t count, uint32_t step, uint32_t to_step,
                   const struct row_job *job);
    void (*plane)(const void *from, void *to, size_t count, uint32_t step, int at,
                  const struct row_job *job);
};
#define ROWS(NAME, FROM, TO)                                                                       \
    {                                                                                              \
        FROM, TO, NAME##_flat, NAME##_packed, NAME##_plane                                         \
    }
static const struct row_functions all_rows[] = {
    ROWS(u8_u8, NRD_DTYPE_U8, NRD_DTYPE_U8),     ROWS(u8_f32, NRD_DTYPE_U8, NRD_DTYPE_F32),
    ROWS(f32_u8, NRD_DTYPE_F32, NRD_DTYPE_U8),   ROWS(f32_f32, NRD_DTYPE_F32, NRD_DTYPE_F32),
    ROWS(u16_u8, NRD_DTYPE_U16, NRD_DTYPE_U8),   ROWS(u16_u16, NRD_DTYPE_U16, NRD_DTYPE_U16),
    ROWS(u16_f32, NRD_DTYPE_U16, NRD_DTYPE_F32),
};

static const struct row_functions *find_rows(enum nrd_dtype from, enum nrd_dtype to)
{
    for (size_t i = 0; i < sizeof(all_rows) / sizeof(all_rows[0]); i++) {
        if (all_rows[i].from == from && all_rows[i].to == to) {
            return &all_rows[i];
        }
    }
    return NULL;
}

static struct row_job make_job(const struct image_conversion *how, enum nrd_dtype from,
                               enum nrd_dtype to)
{
    struct row_job job = {.alpha = how->alpha, .factor = 1.0f};
    for (int c = 0; c < IMAGE_CHANNELS_MAX; c++) {
        job.order[c] = how->order[c];
    }
    float range = how->scale_max - how->scale_min;
    if (from != NRD_DTYPE_F32 && to == NRD_DTYPE_F32) {
        job.factor = range / (from == NRD_DTYPE_U8 ? 255.0f : 65535.0f);
        job.offset = how->scale_min;
    } else if (from == NRD_DTYPE_F32 && to == NRD_DTYPE_U8) {
        job.factor = 255.0f / range;
        job.offset = -how->scale_min * job.factor;
    }
    return job;
}

static bool keeps_order(const struct image_conversion *how, uint32_t from_channels,
                        uint32_t to_channels)
{
    for (uint32_t c = 0; c < to_channels; c++) {
        if (how->order[c] != (int8_t)c) {
            return false;
        }
    }
    return from_channels == to_channels;
}

void image_convert(const struct image *from, const struct image *to,
                   const struct image_conversion *how)
{
    const struct row_functions *rows = find_rows(from->dtype, to->dtype);
    if (rows == NULL) {
        return;
    }
    struct row_job job = make_job(how, from->dtype, to->dtype);
    bool flat = keeps_order(how, from->channels, to->channels);
    if (flat && from->data == to->data && from->dtype == to->dtype) {
        return;
    }
    for (uint32_t y = 0; y < from->height; y++) {
        if (flat && from->dtype == to->dtype) {
            memcpy(image_row(to, y), image_row(from, y),
                   (size_t)from->width * from->channels * dtype_size(from->dtype));
        } else if (flat) {
            rows->flat(image_row(from, y), image_row(to, y), (size_t)from->width * from->channels,
                       &job);
        } else {
            rows->packed(image_row(from, y), image_row(to, y), from->width, from->channels,
                         to->channels, &job);
        }
    }
}

void image_convert_planar(const struct image *from, void *planes, uint32_t to_channels,
                          enum nrd_dtype dtype, const struct image_conversion *how)
{
    const struct row_functions *rows = find_rows(from->dtype, dtype);
    if (rows == NULL) {
        return;
    }
    struct row_job job = make_job(how, from->dtype, dtype);
    size_t row_size = (size_t)from->width * dtype_size(dtype);
    for (uint32_t y = 0; y < from->height; y++) {
        for (uint32_t c = 0; c < to_channels; c++) {
            rows->plane(image_row(from, y),
                        (char *)planes + ((size_t)c * from->height + y) * row_size, from->width,
                        from->channels, how->order[c], &job);
        }
    }
}

#define DEFINE_PACK(NAME, TYPE)                                                                    \
    IMAGE_FAST static void NAME(const void *from_row, void *to_row, size_t count, uint32_t step)   \
    {                                                                                              \
        const TYPE *restrict from = from_row;                                                      \
        TYPE *restrict to = to_row;                                                                \
        for (size_t x = 0; x < count; x++) {                                                       \
            to[x * step] = from[x];                                                                \
        }                                                                                          \
    }
DEFINE_PACK(pack_1, uint8_t)
DEFINE_PACK(pack_2, uint16_t)
DEFINE_PACK(pack_4, uint32_t)

void image_pack_planes(const void *planes, const struct image *to)
{
    size_t size = dtype_size(to->dtype);
    void (*pack)(const void *, void *, size_t, uint32_t) =
        size == 1 ? pack_1 : (size == 2 ? pack_2 : pack_4);
    for (uint32_t c = 0; c < to->channels; c++) {
        for (uint32_t y = 0; y < to->height; y++) {
            pack((const char *)planes + ((size_t)c * to->height + y) * to->width * size,
                 (char *)image_row(to, y) + c * size, to->width, to->channels);
        }
    }
}

IMAGE_INLINE void gray_row(const uint8_t *restrict from, uint8_t *restrict to, size_t count,
                           uint32_t step)
{
    for (size_t x = 0; x < count; x++) {
        const uint8_t *p = from + x * step;
        to[x] = (uint8_t)((77u * p[0] + 150u * p[1] + 29u * p[2] + 128u) >> 8);
    }
}

IMAGE_FAST void image_to_gray(const struct image *from, const struct image *to)
{
    for (uint32_t y = 0; y < from->height; y++) {
        if (from->channels == 3) {
            gray_row(image_row(from, y), image_row(to, y), from->width, 3);
        } else {
            gray_row(image_row(from, y), image_row(to, y), from->width, 4);
        }
    }
}
