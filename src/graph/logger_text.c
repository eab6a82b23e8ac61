// SPDX-License-Identifier: Apache-2.0
// The text of a message in a data log, after Holoscan's:
//   BasicConsoleLogger[ID:tx.out][Acquisition Timestamp:-1][Emit Timestamp:123][Category:Message][Type Name:int][Stream:none] 7
// Types and devices have our names ("FP32", "CPU:0"). Elements that lie on a GPU are not copied to be printed.
#include "graph/logger.h"

#include <inttypes.h>
#include <string.h>

#include "nereid/tensor.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

// ---- elements ------------------------------------------------------------------------------------------------------

static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31;
    uint32_t fraction = half & 1023;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000 | fraction << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else {
        float small = (float)fraction * 0x1p-24f;
        return sign != 0 ? -small : small;
    }
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float bfloat_to_float(uint16_t brain)
{
    uint32_t bits = (uint32_t)brain << 16;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

#define PRINT_AS(type, format, cast)                                                               \
    do {                                                                                           \
        type value;                                                                                \
        memcpy(&value, at, sizeof(value));                                                         \
        str_printf(out, format, (cast)value);                                                      \
    } while (0)

static void print_element(enum nrd_dtype dtype, const void *at, struct str *out)
{
    uint16_t half;
    switch (dtype) {
    case NRD_DTYPE_BOOL:
        str_append_cstr(out, *(const uint8_t *)at != 0 ? "true" : "false");
        break;
    case NRD_DTYPE_U8:
        PRINT_AS(uint8_t, "%u", unsigned);
        break;
    case NRD_DTYPE_U16:
        PRINT_AS(uint16_t, "%u", unsigned);
        break;
    case NRD_DTYPE_U32:
        PRINT_AS(uint32_t, "%" PRIu32, uint32_t);
        break;
    case NRD_DTYPE_U64:
        PRINT_AS(uint64_t, "%" PRIu64, uint64_t);
        break;
    case NRD_DTYPE_I8:
        PRINT_AS(int8_t, "%d", int);
        break;
    case NRD_DTYPE_I16:
        PRINT_AS(int16_t, "%d", int);
        break;
    case NRD_DTYPE_I32:
        PRINT_AS(int32_t, "%" PRId32, int32_t);
        break;
    case NRD_DTYPE_I64:
        PRINT_AS(int64_t, "%" PRId64, int64_t);
        break;
    case NRD_DTYPE_F16:
        memcpy(&half, at, sizeof(half));
        str_printf(out, "%f", (double)half_to_float(half));
        break;
    case NRD_DTYPE_BF16:
        memcpy(&half, at, sizeof(half));
        str_printf(out, "%f", (double)bfloat_to_float(half));
        break;
    case NRD_DTYPE_F32:
        PRINT_AS(float, "%f", double);
        break;
    case NRD_DTYPE_F64:
        PRINT_AS(double, "%f", double);
        break;
    case NRD_DTYPE_INVALID:
    case NRD_DTYPE_BYTES:
        break;
    }
}

static bool printable(const struct nrd_tensor *t)
{
    return t->memory != NRD_MEMORY_GPU && dtype_size(t->dtype) != 0 && t->byte_size != 0;
}

bool logger_has_content(const struct nrd_message *message)
{
    for (size_t i = 0; i < nrd_message_tensor_count(message); i++) {
        if (printable(nrd_message_tensor_at(message, i, NULL))) {
            return true;
        }
    }
    return false;
}

static void print_tensor(const struct logger *l, const struct nrd_tensor *t, bool content,
                         struct str *out)
{
    str_append_cstr(out, "Tensor(shape=[");
    for (uint32_t i = 0; i < t->rank; i++) {
        str_printf(out, "%s%" PRId64, i == 0 ? "" : ", ", t->dims[i]);
    }
    str_printf(out, "], dtype=%s, device=%s:%d, size=%" PRId64 ", nbytes=%zu", dtype_name(t->dtype),
               memory_kind_name(t->memory), t->device, nrd_tensor_elements(t), t->byte_size);
    if (content && printable(t)) {
        size_t size = dtype_size(t->dtype);
        size_t count = t->byte_size / size;
        size_t most = (size_t)l->options.max_elements;
        str_append_cstr(out, ", data=[");
        for (size_t i = 0; i < count && i < most; i++) {
            str_append_cstr(out, i == 0 ? "" : ", ");
            print_element(t->dtype, (const char *)t->data + i * size, out);
        }
        if (count > most) {
            str_printf(out, "%s... (%zu more)", most == 0 ? "" : ", ", count - most);
        }
        str_append_char(out, ']');
    } else if (content && t->memory == NRD_MEMORY_GPU) {
        str_append_cstr(out, ", data=<on the GPU>");
    }
    str_append_char(out, ')');
}

// ---- values and metadata -------------------------------------------------------------------------------------------

static void print_plain(const char *type, const void *at, size_t size, struct str *out)
{
    static const struct {
        const char *name;
        enum nrd_dtype dtype;
    } TYPES[] = {
        {"bool", NRD_DTYPE_BOOL},    {"int", NRD_DTYPE_I32},      {"int8", NRD_DTYPE_I8},
        {"int16", NRD_DTYPE_I16},    {"int32", NRD_DTYPE_I32},    {"int64", NRD_DTYPE_I64},
        {"int8_t", NRD_DTYPE_I8},    {"int16_t", NRD_DTYPE_I16},  {"int32_t", NRD_DTYPE_I32},
        {"int64_t", NRD_DTYPE_I64},  {"uint8", NRD_DTYPE_U8},     {"uint16", NRD_DTYPE_U16},
        {"uint32", NRD_DTYPE_U32},   {"uint64", NRD_DTYPE_U64},   {"uint8_t", NRD_DTYPE_U8},
        {"uint16_t", NRD_DTYPE_U16}, {"uint32_t", NRD_DTYPE_U32}, {"uint64_t", NRD_DTYPE_U64},
        {"float", NRD_DTYPE_F32},    {"float32", NRD_DTYPE_F32},  {"double", NRD_DTYPE_F64},
        {"float64", NRD_DTYPE_F64}};
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(*TYPES); i++) {
        if (strcmp(type, TYPES[i].name) == 0 && dtype_size(TYPES[i].dtype) == size) {
            print_element(TYPES[i].dtype, at, out);
            return;
        }
    }
    for (size_t i = 0; i < size; i++) {
        str_printf(out, "%02x", ((const uint8_t *)at)[i]);
    }
}

static void print_value(const struct nrd_value *value, struct str *out)
{
    size_t count = nrd_value_count(value);
    if (nrd_value_kind(value) == NRD_VALUE_MAP) {
        for (size_t i = 0; i < count; i++) {
            str_printf(out, "%s'%s': ", i == 0 ? "{" : ", ", nrd_value_key(value, i));
            print_value(nrd_value_at(value, i), out);
        }
        str_append_cstr(out, count == 0 ? "{}" : "}");
    } else if (nrd_value_kind(value) == NRD_VALUE_LIST) {
        str_append_char(out, '[');
        for (size_t i = 0; i < count; i++) {
            str_append_cstr(out, i == 0 ? "" : ", ");
            print_value(nrd_value_at(value, i), out);
        }
        str_append_char(out, ']');
    } else {
        str_append_cstr(out, nrd_value_text(value));
    }
}

static void print_metadata(const struct logger *l, const struct nrd_value *map, struct str *out)
{
    size_t count = nrd_value_count(map);
    size_t most =
        l->options.max_metadata_items == 0 ? count : (size_t)l->options.max_metadata_items;
    str_printf(out, "\nMetadataDictionary(size=%zu) {", count);
    for (size_t i = 0; i < count && i < most; i++) {
        str_printf(out, "%s'%s': ", i == 0 ? "" : ", ", nrd_value_key(map, i));
        print_value(nrd_value_at(map, i), out);
    }
    if (count > most) {
        str_printf(out, ", ... (%zu more)", count - most);
    }
    str_append_char(out, '}');
}

// ---- the line ------------------------------------------------------------------------------------------------------

static void print_tensors(const struct logger *l, const struct nrd_message *m, bool content,
                          struct str *out)
{
    size_t count = nrd_message_tensor_count(m);
    str_printf(out, "TensorMap(size=%zu) {", count);
    for (size_t i = 0; i < count; i++) {
        const char *name = "";
        const struct nrd_tensor *t = nrd_message_tensor_at(m, i, &name);
        str_printf(out, "%s'%s': ", i == 0 ? "" : ", ", name);
        print_tensor(l, t, content, out);
    }
    str_append_char(out, '}');
}

void logger_print(const struct logger *l, const struct logger_line *line, struct str *out)
{
    const struct nrd_message *m = line->message;
    const char *type = NULL;
    size_t size = 0;
    const void *value = nrd_message_value(m, &type, &size);
    bool tensors = nrd_message_tensor_count(m) != 0;
    str_printf(out,
               "%s[ID:%s][Acquisition Timestamp:%" PRId64 "][%s Timestamp:%" PRId64
               "][Category:%s][Type Name: %s] ",
               l->name, line->id, nrd_message_acquired(m), line->emitted ? "Emit" : "Receive",
               line->now_ns, tensors ? "TensorMap" : "Message",
               value != NULL            ? type
               : m->object_type != NULL ? m->object_type
               : tensors                ? "tensors"
                                        : "none");
    if (value != NULL) {
        print_plain(type, value, size, out);
    }
    if (tensors) {
        str_append_cstr(out, value != NULL ? " " : "");
        print_tensors(l, m, line->content, out);
    } else if (value == NULL) {
        str_append_cstr(out, m->object_type != NULL ? "<object>" : "<empty>");
    }
    const struct nrd_value *metadata = nrd_message_metadata(m);
    if (l->options.log_metadata && metadata != NULL) {
        print_metadata(l, metadata, out);
    }
}
