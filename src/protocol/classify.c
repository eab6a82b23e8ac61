// SPDX-License-Identifier: Apache-2.0
// Classification: a partial sort by a heap of the K best seen, so that a thousand classes cost no full sort.
//
// The order is value first, index second, and NaN after every number: a total order, so that the answer does not depend
// on the way it is found.
#include "protocol/classify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "protocol/error.h"

enum { ELEMENTS_MAX = 1000000 };

// A value in the form that keeps its order and its digits.
struct scored {
    union {
        double f;
        int64_t i;
        uint64_t u;
    } value;
    size_t index;
};

enum score_kind { SCORE_FLOAT, SCORE_SIGNED, SCORE_UNSIGNED };

struct scale {
    enum score_kind kind;
    size_t size;
};

static bool scale_of(TRITONSERVER_DataType datatype, struct scale *scale)
{
    switch ((int)datatype) {
    case TRITONSERVER_TYPE_UINT8:
    case TRITONSERVER_TYPE_UINT16:
    case TRITONSERVER_TYPE_UINT32:
    case TRITONSERVER_TYPE_UINT64:
        scale->kind = SCORE_UNSIGNED;
        break;
    case TRITONSERVER_TYPE_INT8:
    case TRITONSERVER_TYPE_INT16:
    case TRITONSERVER_TYPE_INT32:
    case TRITONSERVER_TYPE_INT64:
        scale->kind = SCORE_SIGNED;
        break;
    case TRITONSERVER_TYPE_FP32:
    case TRITONSERVER_TYPE_FP64:
        scale->kind = SCORE_FLOAT;
        break;
    default:
        return false;
    }
    scale->size = TRITONSERVER_DataTypeByteSize(datatype);
    return true;
}

#define LOAD(type, field)                                                                          \
    do {                                                                                           \
        type load_;                                                                                \
        memcpy(&load_, at, sizeof(load_));                                                         \
        scored.value.field = load_;                                                                \
    } while (0)

static struct scored load(const char *base, size_t index, const struct scale *scale)
{
    const char *at = base + index * scale->size;
    struct scored scored = {.index = index};
    if (scale->kind == SCORE_FLOAT) {
        if (scale->size == 4) {
            LOAD(float, f);
        } else {
            LOAD(double, f);
        }
        return scored;
    }
    bool is_signed = scale->kind == SCORE_SIGNED;
    switch (scale->size) {
    case 1:
        if (is_signed) {
            LOAD(int8_t, i);
        } else {
            LOAD(uint8_t, u);
        }
        break;
    case 2:
        if (is_signed) {
            LOAD(int16_t, i);
        } else {
            LOAD(uint16_t, u);
        }
        break;
    case 4:
        if (is_signed) {
            LOAD(int32_t, i);
        } else {
            LOAD(uint32_t, u);
        }
        break;
    default:
        LOAD(uint64_t, u);
        break;
    }
    return scored;
}

// Whether `a` comes before `b` in the answer.
static bool is_better(const struct scored *a, const struct scored *b, enum score_kind kind)
{
    bool above;
    bool below;
    if (kind == SCORE_FLOAT) {
        bool a_number = !isnan(a->value.f);
        bool b_number = !isnan(b->value.f);
        above = a_number && (!b_number || a->value.f > b->value.f);
        below = b_number && (!a_number || b->value.f > a->value.f);
    } else if (kind == SCORE_SIGNED) {
        above = a->value.i > b->value.i;
        below = a->value.i < b->value.i;
    } else {
        above = a->value.u > b->value.u;
        below = a->value.u < b->value.u;
    }
    return above || (!below && a->index < b->index);
}

// A heap whose root is the worst of those kept.
static void sift_down(struct scored *heap, size_t count, size_t at, enum score_kind kind)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && is_better(&heap[child], &heap[child + 1], kind)) {
            child++;
        }
        if (!is_better(&heap[at], &heap[child], kind)) {
            return;
        }
        struct scored swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

// Leaves the best `kept` of `count` values in `heap`, best first.
static void find_best(const char *base, size_t count, const struct scale *scale,
                      struct scored *heap, size_t kept)
{
    for (size_t i = 0; i < kept; i++) {
        heap[i] = load(base, i, scale);
    }
    for (size_t i = kept / 2; i-- > 0;) {
        sift_down(heap, kept, i, scale->kind);
    }
    for (size_t i = kept; i < count; i++) {
        struct scored next = load(base, i, scale);
        if (is_better(&next, &heap[0], scale->kind)) {
            heap[0] = next;
            sift_down(heap, kept, 0, scale->kind);
        }
    }
    for (size_t left = kept; left > 1; left--) {
        struct scored worst = heap[0];
        heap[0] = heap[left - 1];
        heap[left - 1] = worst;
        sift_down(heap, left - 1, 0, scale->kind);
    }
}

// "value:index[:label]" with its length before it. Integers print as integers, floats with six digits after the point.
static struct nrd_status *put_class(const struct classify_output *output,
                                    const struct scored *scored, enum score_kind kind,
                                    struct str *out)
{
    size_t start = out->len;
    uint32_t length = 0;
    str_append(out, &length, sizeof(length));
    if (kind == SCORE_FLOAT) {
        str_printf(out, "%f", scored->value.f);
    } else if (kind == SCORE_SIGNED) {
        str_append_i64(out, scored->value.i);
    } else {
        str_append_u64(out, scored->value.u);
    }
    str_append_char(out, ':');
    str_append_u64(out, scored->index);
    const char *label = NULL;
    NRD_TRY(error_to_status(TRITONSERVER_InferenceResponseOutputClassificationLabel(
        output->response, output->index, scored->index, &label)));
    if (label != NULL) {
        str_append_char(out, ':');
        str_append_cstr(out, label);
    }
    if (!out->failed) {
        size_t text = out->len - start - sizeof(length);
        unsigned char little[4] = {(unsigned char)text, (unsigned char)(text >> 8),
                                   (unsigned char)(text >> 16), (unsigned char)(text >> 24)};
        memcpy(out->ptr + start, little, sizeof(little));
    }
    return str_status(out);
}

static struct nrd_status *check(const struct classify_output *output, struct scale *scale)
{
    if (!scale_of(output->datatype, scale)) {
        return status_new(NRD_INVALID_ARG,
                          "class result not available for output due to unsupported type '%s'",
                          TRITONSERVER_DataTypeString(output->datatype));
    }
    return NULL;
}

struct nrd_status *classify(const struct classify_output *output, struct str *out,
                            struct classify_result *result)
{
    struct scale scale = {0};
    NRD_TRY(check(output, &scale));
    bool batched = output->batched && output->dim_count > 0 && output->shape[0] > 0;
    size_t rows = batched ? (size_t)output->shape[0] : 1;
    size_t count = output->byte_size / scale.size / rows;
    size_t kept = count < output->class_count ? count : output->class_count;
    if (count > ELEMENTS_MAX) {
        return status_new(NRD_INVALID_ARG, "classification output tensor too large");
    }
    struct scored *heap = mem_calloc(kept, sizeof(*heap));
    if (heap == NULL) {
        return status_no_memory();
    }
    size_t before = out->len;
    struct nrd_status *status = NULL;
    for (size_t row = 0; kept != 0 && row < rows && status == NULL; row++) {
        const char *base = (const char *)output->base + row * count * scale.size;
        find_best(base, count, &scale, heap, kept);
        for (size_t k = 0; k < kept && status == NULL; k++) {
            status = put_class(output, &heap[k], scale.kind, out);
        }
    }
    mem_free(heap);
    if (status != NULL) {
        str_truncate(out, before);
        return status;
    }
    uint64_t dims = 0;
    if (batched) {
        result->shape[dims++] = (int64_t)rows;
    }
    result->shape[dims++] = (int64_t)kept;
    result->dim_count = dims;
    return NULL;
}
