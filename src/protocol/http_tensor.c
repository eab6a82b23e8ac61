// SPDX-License-Identifier: Apache-2.0
// Tensors as JSON. The reader walks the tape flat: nesting has no meaning to Triton, only the number of leaves has.
// Integers are checked to fit 64 bits and then cut to their type, as Triton does.
#include "protocol/http_tensor.h"

int64_t tensor_element_count(const int64_t *shape, uint64_t dim_count)
{
    int64_t count = dim_count == 0 ? 0 : 1;
    for (uint64_t i = 0; i < dim_count; i++) {
        if (shape[i] <= 0) {
            return shape[i] == 0 ? 0 : shape[i] == -1 ? -1 : -2;
        }
        if (count > INT64_MAX / shape[i]) {
            return -3;
        }
        count *= shape[i];
    }
    return count;
}

// The node behind all that `node` holds; a walk from `node` to there sees every leaf.
static const struct json_node *first_leaf(const struct json_node *node,
                                          const struct json_node **end)
{
    *end = json_next(node);
    return node;
}

struct nrd_status *tensor_bytes_size(const struct json_node *node, size_t *size)
{
    *size = 0;
    const struct json_node *end;
    for (const struct json_node *n = first_leaf(node, &end); n < end; n++) {
        if (n->type == JSON_ARRAY) {
            continue;
        }
        struct slice text;
        NRD_TRY(status_wrap(json_want_string(n, &text), "Unable to parse JSON bytes array: "));
        *size += text.len + sizeof(uint32_t);
    }
    return NULL;
}

static struct nrd_status *surplus(void)
{
    return status_new(NRD_INTERNAL, "Shape does not match true shape of 'data' field");
}

// One reader a type: leaves into `out`, their number into `*at`.
#define READER(name, ctype, wide, want)                                                            \
    static struct nrd_status *name(const struct json_node *node, uint64_t count, void *out,        \
                                   uint64_t *at)                                                   \
    {                                                                                              \
        ctype *to = out;                                                                           \
        const struct json_node *end;                                                               \
        for (const struct json_node *n = first_leaf(node, &end); n < end; n++) {                   \
            if (n->type == JSON_ARRAY) {                                                           \
                continue;                                                                          \
            }                                                                                      \
            if (*at >= count) {                                                                    \
                return surplus();                                                                  \
            }                                                                                      \
            wide value;                                                                            \
            NRD_TRY(want(n, &value));                                                              \
            to[(*at)++] = (ctype)value;                                                            \
        }                                                                                          \
        return NULL;                                                                               \
    }

static inline struct nrd_status *quick_f64(const struct json_node *n, double *value)
{
    if (n->type == JSON_DOUBLE) {
        *value = n->as.d;
        return NULL;
    }
    return json_want_f64(n, value);
}

READER(read_bool, uint8_t, bool, json_want_bool)
READER(read_u8, uint8_t, uint64_t, json_want_u64)
READER(read_u16, uint16_t, uint64_t, json_want_u64)
READER(read_u32, uint32_t, uint64_t, json_want_u64)
READER(read_u64, uint64_t, uint64_t, json_want_u64)
READER(read_i8, int8_t, int64_t, json_want_i64)
READER(read_i16, int16_t, int64_t, json_want_i64)
READER(read_i32, int32_t, int64_t, json_want_i64)
READER(read_i64, int64_t, int64_t, json_want_i64)
READER(read_f32, float, double, quick_f64)
READER(read_f64, double, double, quick_f64)

static struct nrd_status *read_bytes(const struct json_node *node, uint64_t count, void *out,
                                     uint64_t *at)
{
    char *to = out;
    const struct json_node *end;
    for (const struct json_node *n = first_leaf(node, &end); n < end; n++) {
        if (n->type == JSON_ARRAY) {
            continue;
        }
        struct slice text;
        NRD_TRY(json_want_string(n, &text));
        uint32_t length = (uint32_t)text.len;
        if (*at + sizeof(length) + text.len > count) {
            return status_new(NRD_INTERNAL, "shape does not match true shape of 'data' field");
        }
        memcpy(to + *at, &length, sizeof(length));
        if (text.len > 0) {
            memcpy(to + *at + sizeof(length), text.ptr, text.len);
        }
        *at += sizeof(length) + text.len;
    }
    return NULL;
}

struct nrd_status *tensor_from_json(const char *name, TRITONSERVER_DataType type,
                                    const struct json_node *node, uint64_t count, void *out)
{
    static struct nrd_status *(*const readers[])(const struct json_node *, uint64_t, void *,
                                                 uint64_t *) = {
        [TRITONSERVER_TYPE_BOOL] = read_bool,  [TRITONSERVER_TYPE_UINT8] = read_u8,
        [TRITONSERVER_TYPE_UINT16] = read_u16, [TRITONSERVER_TYPE_UINT32] = read_u32,
        [TRITONSERVER_TYPE_UINT64] = read_u64, [TRITONSERVER_TYPE_INT8] = read_i8,
        [TRITONSERVER_TYPE_INT16] = read_i16,  [TRITONSERVER_TYPE_INT32] = read_i32,
        [TRITONSERVER_TYPE_INT64] = read_i64,  [TRITONSERVER_TYPE_FP32] = read_f32,
        [TRITONSERVER_TYPE_FP64] = read_f64,   [TRITONSERVER_TYPE_BYTES] = read_bytes,
    };
    if (type == TRITONSERVER_TYPE_FP16 || type == TRITONSERVER_TYPE_BF16) {
        return status_new(NRD_INVALID_ARG,
                          "receiving %s data via JSON is not supported. Please use the binary data "
                          "format for input %s",
                          type == TRITONSERVER_TYPE_FP16 ? "FP16" : "BF16", name);
    }
    if ((size_t)type >= sizeof(readers) / sizeof(readers[0]) || readers[type] == NULL) {
        return status_new(NRD_INVALID_ARG, "invalid datatype for input %s", name);
    }
    uint64_t at = 0;
    NRD_TRY(status_wrap(readers[type](node, count, out, &at), "Unable to parse 'data': "));
    if (at != count) {
        return status_new(NRD_INTERNAL,
                          "Failed to parse 'data' field: shape does not match true shape");
    }
    return NULL;
}

// One writer a type.
#define WRITER(name, ctype, expression)                                                            \
    static void name(struct json_writer *writer, const void *base, uint64_t count)                 \
    {                                                                                              \
        const char *from = base;                                                                   \
        for (uint64_t i = 0; i < count; i++) {                                                     \
            ctype value;                                                                           \
            memcpy(&value, from + i * sizeof(value), sizeof(value));                               \
            expression;                                                                            \
        }                                                                                          \
    }

WRITER(write_bool, uint8_t, json_bool(writer, value != 0))
WRITER(write_u8, uint8_t, json_u64(writer, value))
WRITER(write_u16, uint16_t, json_u64(writer, value))
WRITER(write_u32, uint32_t, json_u64(writer, value))
WRITER(write_u64, uint64_t, json_u64(writer, value))
WRITER(write_i8, int8_t, json_i64(writer, value))
WRITER(write_i16, int16_t, json_i64(writer, value))
WRITER(write_i32, int32_t, json_i64(writer, value))
WRITER(write_i64, int64_t, json_i64(writer, value))
WRITER(write_f32, float, json_f64(writer, (double)value))
WRITER(write_f64, double, json_f64(writer, value))

static struct nrd_status *write_bytes(struct json_writer *writer, const char *name,
                                      const char *base, size_t byte_size, uint64_t count)
{
    size_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t length = 0;
        bool fits = byte_size - at >= sizeof(length);
        if (fits) {
            memcpy(&length, base + at, sizeof(length));
            at += sizeof(length);
            fits = byte_size - at >= length;
        }
        if (!fits) {
            return status_new(NRD_INTERNAL,
                              "output tensor shape does not match size of output for '%s'", name);
        }
        json_string(writer, slice_make(base + at, length));
        at += length;
    }
    return NULL;
}

struct nrd_status *tensor_to_json(struct json_writer *writer, const char *name,
                                  TRITONSERVER_DataType type, const void *base, size_t byte_size,
                                  uint64_t count)
{
    static void (*const writers[])(struct json_writer *, const void *, uint64_t) = {
        [TRITONSERVER_TYPE_BOOL] = write_bool,  [TRITONSERVER_TYPE_UINT8] = write_u8,
        [TRITONSERVER_TYPE_UINT16] = write_u16, [TRITONSERVER_TYPE_UINT32] = write_u32,
        [TRITONSERVER_TYPE_UINT64] = write_u64, [TRITONSERVER_TYPE_INT8] = write_i8,
        [TRITONSERVER_TYPE_INT16] = write_i16,  [TRITONSERVER_TYPE_INT32] = write_i32,
        [TRITONSERVER_TYPE_INT64] = write_i64,  [TRITONSERVER_TYPE_FP32] = write_f32,
        [TRITONSERVER_TYPE_FP64] = write_f64,
    };
    if (type == TRITONSERVER_TYPE_BYTES) {
        return write_bytes(writer, name, base, byte_size, count);
    }
    if (type == TRITONSERVER_TYPE_FP16 || type == TRITONSERVER_TYPE_BF16) {
        return status_new(NRD_INVALID_ARG,
                          "sending %s data via JSON is not supported. Please use the binary data "
                          "format for output",
                          type == TRITONSERVER_TYPE_FP16 ? "FP16" : "BF16");
    }
    if ((size_t)type >= sizeof(writers) / sizeof(writers[0]) || writers[type] == NULL) {
        return status_new(NRD_INVALID_ARG, "Invalid data type for output tensor");
    }
    uint64_t size = TRITONSERVER_DataTypeByteSize(type);
    if (count > byte_size / size || count * size != byte_size) {
        return status_new(
            NRD_INTERNAL,
            "Failed to write 'data' field: output tensor shape does not match size of "
            "output for '%s'",
            name);
    }
    writers[type](writer, base, count);
    return NULL;
}
