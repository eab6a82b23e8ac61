// SPDX-License-Identifier: Apache-2.0
// What kind of output a tensor is, is told by its shape and, for a vector, by whether its numbers are probabilities. A picture's worth of
// scores has its channels first when the first of three dimensions is the smallest, else last.
#include "graph/ops/results.h"

#include <math.h>
#include <string.h>

#define SIDE_MIN 8       // a map has at least this many rows and columns
#define CHANNELS_MAX 255 // of a map

// A tensor's shape without leading ones, but for `keep` dimensions that stay.
struct view {
    const int64_t *dims;
    uint32_t rank;
};
static struct view view_of(const struct nrd_tensor *t, uint32_t keep)
{
    struct view v = {t->dims, t->rank};
    while (v.rank > keep && v.dims[0] == 1) {
        v.dims++;
        v.rank--;
    }
    return v;
}

static double half(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    double fraction = bits & 1023;
    double v = exponent == 31  ? (fraction == 0.0 ? INFINITY : NAN)
               : exponent == 0 ? ldexp(fraction, -24)
                               : ldexp(fraction + 1024.0, exponent - 25);
    return (bits & 0x8000u) != 0 ? -v : v;
}

// Numbers that are not floats are read for the few kinds that show them.
static double number_at(const struct nrd_tensor *t, size_t i)
{
    switch (t->dtype) {
    case NRD_DTYPE_F32:
        return (double)((const float *)t->data)[i];
    case NRD_DTYPE_F64:
        return ((const double *)t->data)[i];
    case NRD_DTYPE_I64:
        return (double)((const int64_t *)t->data)[i];
    case NRD_DTYPE_U64:
        return (double)((const uint64_t *)t->data)[i];
    case NRD_DTYPE_I32:
        return (double)((const int32_t *)t->data)[i];
    case NRD_DTYPE_U32:
        return (double)((const uint32_t *)t->data)[i];
    case NRD_DTYPE_I16:
        return (double)((const int16_t *)t->data)[i];
    case NRD_DTYPE_U16:
        return (double)((const uint16_t *)t->data)[i];
    case NRD_DTYPE_I8:
        return (double)((const int8_t *)t->data)[i];
    case NRD_DTYPE_U8:
    case NRD_DTYPE_BOOL:
        return (double)((const uint8_t *)t->data)[i];
    case NRD_DTYPE_F16:
        return half(((const uint16_t *)t->data)[i]);
    case NRD_DTYPE_BF16: {
        uint32_t bits = (uint32_t)((const uint16_t *)t->data)[i] << 16;
        float v;
        memcpy(&v, &bits, sizeof(v));
        return (double)v;
    }
    case NRD_DTYPE_INVALID:
    case NRD_DTYPE_BYTES:
        break;
    }
    return 0.0;
}

static bool has_numbers(const struct nrd_tensor *t)
{
    return t->dtype != NRD_DTYPE_INVALID && t->dtype != NRD_DTYPE_BYTES;
}

static bool are_probabilities(const struct nrd_tensor *t, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        double v = number_at(t, i);
        if (!(v >= 0.0 && v <= 1.001)) {
            return false;
        }
        sum += v;
    }
    return count >= 2 && fabs(sum - 1.0) < 0.01;
}

// Planes of scores: the place and the count of channels in a shape of three dimensions; 0 when it is no such shape.
static int64_t channels_of(const int64_t *dims, bool *first)
{
    *first = dims[0] <= dims[2];
    int64_t channels = *first ? dims[0] : dims[2];
    const int64_t *size = *first ? dims + 1 : dims;
    bool ok = size[0] >= SIDE_MIN && size[1] >= SIDE_MIN && size[0] <= 65536 && size[1] <= 65536;
    return ok && channels <= CHANNELS_MAX ? channels : 0;
}

// Three channels may be a picture's: numbers of 0 to 1 that do not add up to 1 at each of some pixels. `first`: they are planes.
static bool is_picture(const struct nrd_tensor *t, const int64_t *dims, bool first)
{
    const float *v = t->data;
    size_t pixels = (size_t)(first ? dims[1] * dims[2] : dims[0] * dims[1]);
    size_t step = pixels / 64 + 1;
    bool sums_are_1 = true;
    if ((first ? dims[0] : dims[2]) != 3) {
        return false;
    }
    for (size_t i = 0; i < pixels; i += step) {
        double sum = 0.0;
        for (size_t c = 0; c < 3; c++) {
            float x = v[first ? c * pixels + i : 3 * i + c];
            if (!(x >= 0.0f && x <= 1.0f)) {
                return false;
            }
            sum += (double)x;
        }
        sums_are_1 = sums_are_1 && fabs(sum - 1.0) < 0.01;
    }
    return !sums_are_1;
}

enum result_kind result_guess(const struct nrd_tensor *t)
{
    if (t->dtype == NRD_DTYPE_BYTES) {
        return RESULT_TEXT;
    }
    struct view v = view_of(t, 1);
    bool first;
    if (t->dtype == NRD_DTYPE_U8 || t->dtype == NRD_DTYPE_F32) {
        if ((v.rank == 3 || v.rank == 4) && channels_of(v.dims + v.rank - 3, &first) > 0) {
            const int64_t *dims = v.dims + v.rank - 3;
            bool one = channels_of(dims, &first) == 1;
            if (t->dtype == NRD_DTYPE_F32 && is_picture(t, dims, first)) {
                return RESULT_OTHER;
            }
            return (t->dtype == NRD_DTYPE_U8) == one ? RESULT_SEGMENTATION : RESULT_OTHER;
        }
        if (t->dtype == NRD_DTYPE_U8 && v.rank == 2 && v.dims[0] >= SIDE_MIN &&
            v.dims[1] >= SIDE_MIN) {
            return RESULT_SEGMENTATION;
        }
    }
    bool floats = t->dtype == NRD_DTYPE_F32 || t->dtype == NRD_DTYPE_F64 ||
                  t->dtype == NRD_DTYPE_F16 || t->dtype == NRD_DTYPE_BF16;
    if (!floats || v.rank == 0 || v.rank > 2 || nrd_tensor_elements(t) == 0) {
        return RESULT_OTHER;
    }
    return are_probabilities(t, (size_t)v.dims[v.rank - 1]) ? RESULT_CLASSIFICATION
                                                            : RESULT_FEATURES;
}

bool result_fits(const struct nrd_tensor *t, enum result_kind kind)
{
    bool first;
    switch (kind) {
    case RESULT_CLASSIFICATION:
    case RESULT_FEATURES:
        return has_numbers(t) && t->rank >= 1;
    case RESULT_SEGMENTATION:
        if (t->dtype == NRD_DTYPE_U8) {
            return t->rank == 2 ? t->dims[0] <= 65536 && t->dims[1] <= 65536
                                : t->rank > 2 && channels_of(t->dims + t->rank - 3, &first) == 1;
        }
        return t->dtype == NRD_DTYPE_F32 && t->rank > 2 &&
               channels_of(t->dims + t->rank - 3, &first) > 0;
    case RESULT_TEXT:
        return t->dtype == NRD_DTYPE_BYTES;
    case RESULT_AUTO:
    case RESULT_OTHER:
    case RESULT_IGNORE:
        break;
    }
    return true;
}

// How many of the last dimensions one item of a batch has.
static uint32_t item_rank(const struct nrd_tensor *t, enum result_kind kind)
{
    if (kind == RESULT_CLASSIFICATION || kind == RESULT_FEATURES) {
        return 1;
    }
    if (kind == RESULT_SEGMENTATION) {
        return t->rank == 2 ? 2 : 3;
    }
    return t->rank;
}

size_t result_items(const struct nrd_tensor *t, enum result_kind kind)
{
    uint32_t rank = item_rank(t, kind);
    size_t items = 1;
    for (uint32_t i = 0; i + rank < t->rank; i++) {
        items *= (size_t)t->dims[i];
    }
    return items;
}

static size_t item_elements(const struct nrd_tensor *t, enum result_kind kind)
{
    uint32_t rank = item_rank(t, kind);
    size_t count = 1;
    for (uint32_t i = t->rank < rank ? 0 : t->rank - rank; i < t->rank; i++) {
        count *= (size_t)t->dims[i];
    }
    return count;
}

bool result_scores(const struct nrd_tensor *t, size_t item, struct image_scores *s,
                   const uint8_t **map)
{
    size_t at = item * item_elements(t, RESULT_SEGMENTATION);
    const int64_t *dims = t->dims + t->rank - (t->rank == 2 ? 2 : 3);
    bool first = false;
    int64_t channels = t->rank == 2 ? 1 : channels_of(dims, &first);
    const int64_t *size = first ? dims + 1 : dims;
    *s = (struct image_scores){NULL, (uint32_t)size[1], (uint32_t)size[0], (uint32_t)channels,
                               first ? IMAGE_CHW : IMAGE_HWC};
    if (t->dtype == NRD_DTYPE_U8) {
        *map = (const uint8_t *)t->data + at;
        return false;
    }
    s->data = (const float *)t->data + at;
    return true;
}

size_t result_map_size(const struct nrd_tensor *t, enum result_kind kind)
{
    if (kind != RESULT_SEGMENTATION) {
        return 0;
    }
    struct image_scores s;
    const uint8_t *map;
    result_scores(t, 0, &s, &map);
    return (size_t)s.width * s.height;
}

// Keeps `top` sorted, greatest first, the first of equals before the others.
static void offer(struct result *r, uint32_t most, uint32_t index, float score)
{
    uint32_t at = r->count;
    while (at > 0 && score > r->top[at - 1].score) {
        at--;
    }
    if (at >= most) {
        return;
    }
    uint32_t last = r->count < most ? r->count++ : most - 1;
    memmove(&r->top[at + 1], &r->top[at], (last - at) * sizeof(r->top[0]));
    r->top[at] = (struct result_class){index, score};
}

static void read_map(const struct nrd_tensor *t, size_t item, uint32_t top, uint8_t *map,
                     struct result *r)
{
    struct image_scores s;
    const uint8_t *given = NULL;
    size_t pixels;
    if (result_scores(t, item, &s, &given)) {
        if (s.channels == 1) {
            image_threshold(&s, 0.5f, map);
        } else {
            image_argmax(&s, map);
        }
        pixels = (size_t)s.width * s.height;
    } else {
        pixels = (size_t)s.width * s.height;
        memcpy(map, given, pixels);
    }
    uint64_t counts[256] = {0};
    image_count_classes(map, pixels, counts);
    r->classes = s.channels;
    for (uint32_t c = 0; c < 256; c++) {
        if (counts[c] > 0) {
            offer(r, top, c, (float)((double)counts[c] / (double)pixels));
        }
    }
}

void result_read(const struct nrd_tensor *t, enum result_kind kind, size_t item, uint32_t top,
                 uint8_t *map, struct result *r)
{
    memset(r, 0, sizeof(*r));
    size_t count = item_elements(t, kind), begin = item * count;
    if (kind == RESULT_SEGMENTATION) {
        read_map(t, item, top, map, r);
    } else if (kind == RESULT_CLASSIFICATION) {
        r->classes = (uint32_t)count;
        for (size_t i = 0; i < count; i++) {
            offer(r, top, (uint32_t)i, (float)number_at(t, begin + i));
        }
    } else if (kind == RESULT_FEATURES || kind == RESULT_OTHER) {
        double sum = 0.0, squares = 0.0;
        r->numbers = has_numbers(t) ? count : 0;
        for (size_t i = 0; i < r->numbers; i++) {
            double v = number_at(t, begin + i);
            sum += v;
            squares += v * v;
            r->min = i == 0 || v < r->min ? v : r->min;
            r->max = i == 0 || v > r->max ? v : r->max;
        }
        r->norm = sqrt(squares);
        r->mean = r->numbers == 0 ? 0.0 : sum / (double)r->numbers;
    }
}
