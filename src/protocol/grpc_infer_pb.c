// SPDX-License-Identifier: Apache-2.0
// The reader and the writer of grpc_infer_pb.h, on the protobuf wire format.
//
// Reading is one pass over nested lengths; unknown fields are passed over, groups are refused as malformed. Then terminate() puts the
// NULs. No text is directly followed by tensor bytes on the wire (a tag and a length come between), so no NUL hits data.
// Writing is measure, then write; both walk the same fields, so they cannot disagree but in a bug, which a test looks for.
#include "protocol/grpc_infer_pb.h"

#include <string.h>

#include "proto/wire.h"

// A proto3 string is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
static bool is_utf8(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    const unsigned char *end = p + s.len;
    while (p < end) {
        unsigned char c = *p++;
        if (c < 0x80) {
            continue;
        }
        unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || (size_t)(end - p) < more) {
            return false;
        }
        if ((c == 0xe0 && p[0] < 0xa0) || (c == 0xed && p[0] > 0x9f) ||
            (c == 0xf0 && p[0] < 0x90) || (c == 0xf4 && p[0] > 0x8f)) {
            return false;
        }
        for (unsigned i = 0; i < more; i++) {
            if ((*p++ & 0xc0) != 0x80) {
                return false;
            }
        }
    }
    return true;
}

static bool read_text(struct wire_reader *r, struct slice *text)
{
    return wire_read_bytes(r, text) && is_utf8(*text);
}

// ---- arrays of the arena --------------------------------------------------------------------------------------------

// The place behind the last item, zeroed; the array grows by doubling. NULL: no memory.
static void *append(struct arena *arena, void *items, unsigned count, unsigned *capacity,
                    size_t item_size, unsigned first, void **grown)
{
    if (count == *capacity) {
        if (count > UINT32_MAX / 2) {
            return NULL;
        }
        unsigned larger = count == 0 ? first : count * 2;
        items = arena_grow(arena, items, count * item_size, larger * item_size);
        if (items == NULL) {
            return NULL;
        }
        *capacity = larger;
        *grown = items;
    }
    void *item = (char *)items + count * item_size;
    memset(item, 0, item_size);
    return item;
}
#define APPEND(arena, array, count, capacity, first)                                               \
    append(arena, array, count, &(capacity), sizeof(*(array)), first, (void **)&(array))

// ---- reading --------------------------------------------------------------------------------------------------------

static bool read_param_value(struct slice bytes, struct infer_param *p)
{
    struct wire_reader r = wire_reader_of(bytes);
    while (r.at < r.end) {
        uint32_t field;
        enum wire wire;
        uint64_t v;
        if (!wire_read_tag(&r, &field, &wire)) {
            return false;
        }
        if (wire == WIRE_VARINT && (field == 1 || field == 2 || field == 5)) {
            if (!wire_read_varint(&r, &v)) {
                return false;
            }
            p->kind = field == 1   ? INFER_PARAM_BOOL
                      : field == 2 ? INFER_PARAM_INT64
                                   : INFER_PARAM_UINT64;
            if (field == 1) {
                p->as.b = v != 0;
            } else {
                p->as.u = v;
            }
        } else if (wire == WIRE_BYTES && field == 3) {
            p->kind = INFER_PARAM_STRING;
            if (!read_text(&r, &p->text)) {
                return false;
            }
        } else if (wire == WIRE_FIXED64 && field == 4) {
            if (r.end - r.at < 8) {
                return false;
            }
            p->kind = INFER_PARAM_DOUBLE;
            memcpy(&p->as.d, r.at, 8);
            r.at += 8;
        } else if (!wire_skip(&r, wire)) {
            return false;
        }
    }
    return true;
}

static bool read_param(struct arena *arena, struct slice entry, struct infer_params *params)
{
    enum {
        LOOK_BACK = 64
    }; // keys beyond this many are not compared: nobody's request, and no quadratic time
    struct infer_param p = {0};
    struct wire_reader r = wire_reader_of(entry);
    while (r.at < r.end) {
        uint32_t field;
        enum wire wire;
        struct slice value;
        if (!wire_read_tag(&r, &field, &wire)) {
            return false;
        }
        if (wire == WIRE_BYTES && field == 1) {
            if (!read_text(&r, &p.key)) {
                return false;
            }
        } else if (wire == WIRE_BYTES && field == 2) {
            if (!wire_read_bytes(&r, &value) || !read_param_value(value, &p)) {
                return false;
            }
        } else if (!wire_skip(&r, wire)) {
            return false;
        }
    }
    for (unsigned i = 0; i < params->count && i < LOOK_BACK; i++) {
        if (slice_equal(params->items[i].key, p.key)) {
            params->items[i] = p;
            return true;
        }
    }
    struct infer_param *item = APPEND(arena, params->items, params->count, params->capacity, 4);
    if (item == NULL) {
        return false;
    }
    *item = p;
    params->count++;
    return true;
}

static bool add_slice(struct arena *arena, struct infer_slices *slices, struct slice value)
{
    struct slice *item = APPEND(arena, slices->items, slices->count, slices->capacity, 4);
    if (item == NULL) {
        return false;
    }
    *item = value;
    slices->count++;
    return true;
}

// Varints in a packed run; false when the last one is cut off.
static bool count_varints(struct slice run, size_t *count)
{
    size_t n = 0;
    for (size_t i = 0; i < run.len; i++) {
        n += ((unsigned char)run.ptr[i] & 0x80) == 0;
    }
    *count += n;
    return run.len == 0 || ((unsigned char)run.ptr[run.len - 1] & 0x80) == 0;
}

static bool read_array(struct arena *arena, struct wire_reader *r, enum infer_contents_kind kind,
                       enum wire wire, struct infer_array *array)
{
    bool fixed = kind == INFER_CONTENTS_FP32 || kind == INFER_CONTENTS_FP64;
    size_t width = kind == INFER_CONTENTS_FP32 ? 4 : 8;
    enum wire single = fixed ? (width == 4 ? WIRE_FIXED32 : WIRE_FIXED64) : WIRE_VARINT;
    struct slice run;
    const unsigned char *start = r->at;
    if (kind == INFER_CONTENTS_BYTES) {
        array->count++;
        return wire == WIRE_BYTES && wire_read_bytes(r, &run) &&
               add_slice(arena, &array->chunks, run);
    }
    if (wire == single) {
        if (!wire_skip(r, wire)) {
            return false;
        }
        array->count++;
        return add_slice(arena, &array->chunks, slice_make(start, (size_t)(r->at - start)));
    }
    if (wire != WIRE_BYTES || !wire_read_bytes(r, &run)) {
        return false;
    }
    if (fixed) {
        array->count += run.len / width;
        return run.len % width == 0 && add_slice(arena, &array->chunks, run);
    }
    return count_varints(run, &array->count) && add_slice(arena, &array->chunks, run);
}

static bool read_contents(struct arena *arena, struct slice bytes, struct infer_contents *contents)
{
    struct wire_reader r = wire_reader_of(bytes);
    while (r.at < r.end) {
        uint32_t field;
        enum wire wire;
        if (!wire_read_tag(&r, &field, &wire)) {
            return false;
        }
        bool ok = field <= INFER_CONTENTS_KINDS
                      ? read_array(arena, &r, (enum infer_contents_kind)(field - 1), wire,
                                   &contents->arrays[field - 1])
                      : wire_skip(&r, wire);
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool add_dim(struct arena *arena, struct infer_input *input, uint64_t value)
{
    int64_t *dim = APPEND(arena, input->shape, input->dim_count, input->dim_capacity, 8);
    if (dim == NULL) {
        return false;
    }
    *dim = (int64_t)value;
    input->dim_count++;
    return true;
}

static bool read_shape(struct arena *arena, struct wire_reader *r, enum wire wire,
                       struct infer_input *input)
{
    uint64_t value;
    if (wire == WIRE_VARINT) {
        return wire_read_varint(r, &value) && add_dim(arena, input, value);
    }
    struct slice run;
    if (wire != WIRE_BYTES || !wire_read_bytes(r, &run)) {
        return false;
    }
    struct wire_reader inner = wire_reader_of(run);
    while (inner.at < inner.end) {
        if (!wire_read_varint(&inner, &value) || !add_dim(arena, input, value)) {
            return false;
        }
    }
    return true;
}

static bool read_input_field(struct arena *arena, struct wire_reader *r, uint32_t field,
                             enum wire wire, struct infer_input *input)
{
    struct slice bytes;
    if (field == 3) {
        return read_shape(arena, r, wire, input);
    }
    if (wire != WIRE_BYTES) {
        return wire_skip(r, wire);
    }
    switch (field) {
    case 1:
        return read_text(r, &input->name);
    case 2:
        return read_text(r, &input->datatype);
    case 4:
        return wire_read_bytes(r, &bytes) && read_param(arena, bytes, &input->params);
    case 5:
        if (input->contents == NULL) {
            input->contents = arena_calloc(arena, 1, sizeof(*input->contents));
        }
        return input->contents != NULL && wire_read_bytes(r, &bytes) &&
               read_contents(arena, bytes, input->contents);
    default:
        return wire_skip(r, wire);
    }
}

static bool read_input(struct arena *arena, struct slice bytes, struct infer_input *input)
{
    struct wire_reader r = wire_reader_of(bytes);
    while (r.at < r.end) {
        uint32_t field;
        enum wire wire;
        if (!wire_read_tag(&r, &field, &wire) || !read_input_field(arena, &r, field, wire, input)) {
            return false;
        }
    }
    return true;
}

static bool read_output(struct arena *arena, struct slice bytes, struct infer_output *output)
{
    struct wire_reader r = wire_reader_of(bytes);
    while (r.at < r.end) {
        uint32_t field;
        enum wire wire;
        struct slice value;
        if (!wire_read_tag(&r, &field, &wire)) {
            return false;
        }
        bool ok;
        if (wire == WIRE_BYTES && field == 1) {
            ok = read_text(&r, &output->name);
        } else if (wire == WIRE_BYTES && field == 2) {
            ok = wire_read_bytes(&r, &value) && read_param(arena, value, &output->params);
        } else {
            ok = wire_skip(&r, wire);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool read_request_field(struct arena *arena, struct wire_reader *r, uint32_t field,
                               enum wire wire, struct infer_request *q)
{
    struct slice bytes;
    struct infer_input *input;
    struct infer_output *output;
    if (wire != WIRE_BYTES) {
        return wire_skip(r, wire);
    }
    switch (field) {
    case 1:
        return read_text(r, &q->model_name);
    case 2:
        return read_text(r, &q->model_version);
    case 3:
        return read_text(r, &q->id);
    case 4:
        return wire_read_bytes(r, &bytes) && read_param(arena, bytes, &q->params);
    case 5:
        input = APPEND(arena, q->inputs, q->input_count, q->input_capacity, 4);
        if (input == NULL || !wire_read_bytes(r, &bytes)) {
            return false;
        }
        q->input_count++;
        return read_input(arena, bytes, input);
    case 6:
        output = APPEND(arena, q->outputs, q->output_count, q->output_capacity, 4);
        if (output == NULL || !wire_read_bytes(r, &bytes)) {
            return false;
        }
        q->output_count++;
        return read_output(arena, bytes, output);
    case 7:
        return wire_read_bytes(r, &bytes) && add_slice(arena, &q->raw, bytes);
    default:
        return wire_skip(r, wire);
    }
}

static void terminate(struct slice *text)
{
    if (text->ptr == NULL) {
        *text = (struct slice){"", 0};
    } else {
        ((char *)(uintptr_t)text->ptr)[text->len] = '\0';
    }
}

static void terminate_params(struct infer_params *params)
{
    for (unsigned i = 0; i < params->count; i++) {
        terminate(&params->items[i].key);
        terminate(&params->items[i].text);
    }
}

static void terminate_all(struct infer_request *q)
{
    terminate(&q->model_name);
    terminate(&q->model_version);
    terminate(&q->id);
    terminate_params(&q->params);
    for (unsigned i = 0; i < q->input_count; i++) {
        terminate(&q->inputs[i].name);
        terminate(&q->inputs[i].datatype);
        terminate_params(&q->inputs[i].params);
    }
    for (unsigned i = 0; i < q->output_count; i++) {
        terminate(&q->outputs[i].name);
        terminate_params(&q->outputs[i].params);
    }
}

bool infer_pb_read(struct arena *arena, char *message, size_t size, struct infer_request *out)
{
    memset(out, 0, sizeof(*out));
    struct wire_reader r = wire_reader_of(slice_make(message, size));
    while (r.at < r.end) {
        uint32_t field;
        enum wire wire;
        if (!wire_read_tag(&r, &field, &wire) || !read_request_field(arena, &r, field, wire, out)) {
            return false;
        }
    }
    terminate_all(out);
    return true;
}

const struct infer_param *infer_params_get(const struct infer_params *params, const char *key)
{
    struct slice k = slice_of(key);
    for (unsigned i = params->count; i-- > 0;) {
        if (slice_equal(params->items[i].key, k)) {
            return &params->items[i];
        }
    }
    return NULL;
}

// ---- typed arrays to tensors ----------------------------------------------------------------------------------------

static void put_number(char *to, uint64_t value, size_t size, bool as_bool)
{
    if (as_bool) {
        value = value != 0;
    }
    memcpy(to, &value, size); // little-endian, as everything here
}

static bool strings_tensor(struct arena *arena, const struct infer_array *array, struct slice *out)
{
    size_t size = 0;
    for (unsigned i = 0; i < array->chunks.count; i++) {
        size += 4 + array->chunks.items[i].len;
    }
    char *bytes = arena_alloc(arena, size);
    if (bytes == NULL) {
        return false;
    }
    char *to = bytes;
    for (unsigned i = 0; i < array->chunks.count; i++) {
        struct slice s = array->chunks.items[i];
        uint32_t len = (uint32_t)s.len;
        memcpy(to, &len, 4);
        if (s.len > 0) {
            memcpy(to + 4, s.ptr, s.len);
        }
        to += 4 + s.len;
    }
    *out = slice_make(bytes, size);
    return true;
}

bool infer_array_tensor(struct arena *arena, const struct infer_array *array,
                        enum infer_contents_kind kind, size_t size, struct slice *out)
{
    bool fixed = kind == INFER_CONTENTS_FP32 || kind == INFER_CONTENTS_FP64;
    if (kind == INFER_CONTENTS_BYTES) {
        return strings_tensor(arena, array, out);
    }
    if (fixed && array->chunks.count == 1) {
        *out = array->chunks.items[0];
        return true;
    }
    if (size == 0 || size > 8 || array->count > SIZE_MAX / 8) {
        return false;
    }
    char *bytes = arena_alloc(arena, array->count * size);
    if (bytes == NULL) {
        return false;
    }
    char *to = bytes;
    for (unsigned i = 0; i < array->chunks.count; i++) {
        struct slice run = array->chunks.items[i];
        if (fixed) {
            if (run.len > 0) {
                memcpy(to, run.ptr, run.len);
            }
            to += run.len;
            continue;
        }
        struct wire_reader r = wire_reader_of(run);
        uint64_t value;
        while (r.at < r.end && wire_read_varint(&r, &value)) {
            put_number(to, value, size, kind == INFER_CONTENTS_BOOL);
            to += size;
        }
    }
    // A varint of more than ten bytes ends the walk early: what was counted and not written is zero.
    memset(to, 0, array->count * size - (size_t)(to - bytes));
    *out = slice_make(bytes, array->count * size);
    return true;
}

// ---- writing --------------------------------------------------------------------------------------------------------

static size_t varint_size(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits + 6) / 7;
}

static size_t bytes_size(size_t len) // with a one-byte tag
{
    return 1 + varint_size(len) + len;
}

static size_t text_size(struct slice text) // proto3: the empty text is not written
{
    return text.len == 0 ? 0 : bytes_size(text.len);
}

static size_t param_value_size(const struct infer_param *p)
{
    switch (p->kind) {
    case INFER_PARAM_BOOL:
        return 2;
    case INFER_PARAM_INT64:
    case INFER_PARAM_UINT64:
        return 1 + varint_size(p->as.u);
    case INFER_PARAM_STRING:
        return bytes_size(p->text.len);
    case INFER_PARAM_DOUBLE:
        return 9;
    case INFER_PARAM_NONE:
        break;
    }
    return 0;
}

static size_t param_size(const struct infer_param *p)
{
    return bytes_size(p->key.len) + bytes_size(param_value_size(p));
}

static size_t shape_size(const struct infer_pb_output *o)
{
    size_t size = 0;
    for (unsigned i = 0; i < o->dim_count; i++) {
        size += varint_size((uint64_t)o->shape[i]);
    }
    return size;
}

static size_t output_size(const struct infer_pb_output *o)
{
    size_t shape = shape_size(o);
    return text_size(o->name) + text_size(o->datatype) + (shape == 0 ? 0 : bytes_size(shape));
}

// The inner ModelInferResponse without the tensors' own bytes.
static size_t inner_size(const struct infer_pb_response *r, size_t *tensor_bytes,
                         size_t *inline_bytes, unsigned *large)
{
    size_t size = text_size(r->model_name) + text_size(r->model_version) + text_size(r->id);
    for (unsigned i = 0; i < r->param_count; i++) {
        size += bytes_size(param_size(&r->params[i]));
    }
    for (unsigned i = 0; i < r->output_count; i++) {
        const struct infer_pb_output *o = &r->outputs[i];
        size += bytes_size(output_size(o)) + 1 + varint_size(o->size);
        *tensor_bytes += o->size;
        if (o->size <= INFER_PB_INLINE) {
            *inline_bytes += o->size;
        } else {
            (*large)++;
        }
    }
    return size;
}

void infer_pb_measure(const struct infer_pb_response *r, size_t prefix, struct infer_pb_plan *plan)
{
    size_t tensors = 0;
    size_t small = 0;
    unsigned large = 0;
    size_t inner = inner_size(r, &tensors, &small, &large);
    size_t around = r->streamed ? text_size(r->error) + 1 + varint_size(inner + tensors) : 0;
    plan->head_size = prefix + around + inner + small;
    plan->message_size = around + inner + tensors;
    plan->part_count = 2 * large + 1;
}

static char *put_varint(char *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (char)(value | 0x80);
        value >>= 7;
    }
    *to++ = (char)value;
    return to;
}

static char *put_tag(char *to, unsigned field, enum wire wire)
{
    *to++ = (char)(field << 3 | wire);
    return to;
}

static char *put_length(char *to, unsigned field, size_t len)
{
    return put_varint(put_tag(to, field, WIRE_BYTES), len);
}

static char *put_bytes(char *to, unsigned field, struct slice bytes)
{
    to = put_length(to, field, bytes.len);
    if (bytes.len > 0) {
        memcpy(to, bytes.ptr, bytes.len);
    }
    return to + bytes.len;
}

static char *put_text(char *to, unsigned field, struct slice text)
{
    return text.len == 0 ? to : put_bytes(to, field, text);
}

static char *put_param(char *to, const struct infer_param *p)
{
    to = put_length(to, 4, param_size(p));
    to = put_bytes(to, 1, p->key);
    to = put_length(to, 2, param_value_size(p));
    switch (p->kind) {
    case INFER_PARAM_BOOL:
        to = put_tag(to, 1, WIRE_VARINT);
        *to++ = p->as.b ? 1 : 0;
        break;
    case INFER_PARAM_INT64:
        to = put_varint(put_tag(to, 2, WIRE_VARINT), p->as.u);
        break;
    case INFER_PARAM_UINT64:
        to = put_varint(put_tag(to, 5, WIRE_VARINT), p->as.u);
        break;
    case INFER_PARAM_STRING:
        to = put_bytes(to, 3, p->text);
        break;
    case INFER_PARAM_DOUBLE:
        to = put_tag(to, 4, WIRE_FIXED64);
        memcpy(to, &p->as.d, 8);
        to += 8;
        break;
    case INFER_PARAM_NONE:
        break;
    }
    return to;
}

static char *put_output(char *to, const struct infer_pb_output *o)
{
    to = put_length(to, 5, output_size(o));
    to = put_text(to, 1, o->name);
    to = put_text(to, 2, o->datatype);
    size_t shape = shape_size(o);
    if (shape > 0) {
        to = put_length(to, 3, shape);
        for (unsigned i = 0; i < o->dim_count; i++) {
            to = put_varint(to, (uint64_t)o->shape[i]);
        }
    }
    return to;
}

unsigned infer_pb_write(const struct infer_pb_response *r, size_t prefix, char *head,
                        struct iovec *parts)
{
    char *to = head + prefix;
    char *part = head;
    unsigned count = 0;
    if (r->streamed) {
        to = put_text(to, 1, r->error);
        size_t t = 0;
        size_t s = 0;
        unsigned l = 0;
        size_t inner = inner_size(r, &t, &s, &l);
        to = put_length(to, 2, inner + t);
    }
    to = put_text(to, 1, r->model_name);
    to = put_text(to, 2, r->model_version);
    to = put_text(to, 3, r->id);
    for (unsigned i = 0; i < r->param_count; i++) {
        to = put_param(to, &r->params[i]);
    }
    for (unsigned i = 0; i < r->output_count; i++) {
        to = put_output(to, &r->outputs[i]);
    }
    for (unsigned i = 0; i < r->output_count; i++) {
        const struct infer_pb_output *o = &r->outputs[i];
        if (o->size <= INFER_PB_INLINE) {
            to = put_bytes(to, 6, slice_make(o->bytes, o->size));
            continue;
        }
        to = put_length(to, 6, o->size);
        parts[count++] = (struct iovec){part, (size_t)(to - part)};
        parts[count++] = (struct iovec){(void *)(uintptr_t)o->bytes, o->size};
        part = to;
    }
    if (to > part) {
        parts[count++] = (struct iovec){part, (size_t)(to - part)};
    }
    return count;
}
