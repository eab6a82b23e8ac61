// SPDX-License-Identifier: Apache-2.0
// Holoscan's recordings, as bytes. Every number that comes from a file is checked before it is used: counts and ranks against what we
// hold, sizes against what is left, strides against the body.
#include "graph/ops/entity_codec.h"

#include <string.h>

struct type_id {
    uint64_t high, low;
};
static const struct type_id type_tensor = {0x377501d69abf447c, 0xa6170114d4f33ab8};
static const struct type_id type_timestamp = {0xd1095b105c904bbc, 0xbc89601134cb4e03};
// Known by name only, to be refused by name.
static const struct {
    struct type_id id;
    const char *name;
} other_types[] = {
    {{0x16ad58c8b463422c, 0xb09761a9acc5050e}, "VideoBuffer"},
    {{0xa914cac65f19449d, 0x9ade8c5cdcebe7c3}, "AudioBuffer"},
};

// GXF's numbers of element types; 11 and 12 are complex.
static const enum nrd_dtype element_types[] = {
    [1] = NRD_DTYPE_I8,  [2] = NRD_DTYPE_U8,   [3] = NRD_DTYPE_I16,  [4] = NRD_DTYPE_U16,
    [5] = NRD_DTYPE_I32, [6] = NRD_DTYPE_U32,  [7] = NRD_DTYPE_I64,  [8] = NRD_DTYPE_U64,
    [9] = NRD_DTYPE_F32, [10] = NRD_DTYPE_F64, [13] = NRD_DTYPE_F16,
};
#define ELEMENT_TYPES (sizeof(element_types) / sizeof(element_types[0]))
#define STORAGE_SYSTEM 2

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) | (uint64_t)get32(p + 4) << 32;
}

static uint8_t *put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        *p++ = (uint8_t)(value >> (8 * i));
    }
    return p;
}

static uint8_t *put64(uint8_t *p, uint64_t value)
{
    return put32(put32(p, (uint32_t)value), (uint32_t)(value >> 32));
}

struct entity_index entity_index_get(const uint8_t from[ENTITY_INDEX_SIZE])
{
    return (struct entity_index){get64(from), get64(from + 8), get64(from + 16)};
}

void entity_index_put(const struct entity_index *index, uint8_t to[ENTITY_INDEX_SIZE])
{
    put64(put64(put64(to, index->log_time), index->data_size), index->data_offset);
}

// ---- reading ---------------------------------------------------------------------------------------------------------

struct cursor {
    entity_read_fn read;
    void *arg;
    uint64_t at, size;
};

static struct nrd_status *corrupted(const struct cursor *c, const char *what)
{
    return status_new(NRD_INVALID_ARG, "byte %llu: %s", (unsigned long long)c->at, what);
}

static struct nrd_status *take(struct cursor *c, void *to, size_t size, const char *what)
{
    if (size > c->size - c->at) {
        return status_new(NRD_INVALID_ARG, "byte %llu: the entity ends within its %s",
                          (unsigned long long)c->at, what);
    }
    if (!c->read(c->arg, c->at, to, size)) {
        return status_new(NRD_INVALID_ARG, "byte %llu: cannot be read", (unsigned long long)c->at);
    }
    c->at += size;
    return NULL;
}

static bool is_type(struct type_id a, struct type_id b)
{
    return a.high == b.high && a.low == b.low;
}

// Whether the elements lie one behind another in row-major order; a dimension of one may have any stride.
static bool strides_are_row_major(const struct entity_tensor *t, uint64_t element)
{
    uint64_t want = element;
    for (uint32_t i = t->rank; i-- > 0;) {
        if (t->dims[i] != 1 && t->strides[i] != want) {
            return false;
        }
        want *= (uint64_t)t->dims[i];
    }
    return true;
}

// Whether each element that the strides reach lies within the body.
static bool strides_lie_within(const struct entity_tensor *t, uint64_t element)
{
    uint64_t last = element;
    for (uint32_t i = 0; i < t->rank; i++) {
        uint64_t reach = 0;
        if (__builtin_mul_overflow((uint64_t)(t->dims[i] - 1), t->strides[i], &reach) ||
            __builtin_add_overflow(last, reach, &last)) {
            return false;
        }
    }
    return last <= t->body_size;
}

static struct nrd_status *parse_shape(struct cursor *c, const uint8_t *head,
                                      struct entity_tensor *t)
{
    uint64_t element = nrd_dtype_size(t->dtype);
    t->rank = get32(head + 16);
    if (t->rank == 0) {
        return corrupted(c, "a tensor of rank 0, whose value the format does not hold");
    }
    if (t->rank > NRD_RANK_MAX) {
        return corrupted(c, "a tensor of a rank over 8");
    }
    t->body_size = element;
    for (uint32_t i = 0; i < t->rank; i++) {
        int32_t dim = (int32_t)get32(head + 20 + 4 * i);
        if (dim < 0) {
            return corrupted(c, "a tensor with a negative dimension");
        }
        t->dims[i] = dim;
        t->strides[i] = get64(head + 52 + 8 * i);
        if (__builtin_mul_overflow(t->body_size, (uint64_t)dim, &t->body_size)) {
            return corrupted(c, "a tensor of more bytes than can be counted");
        }
    }
    t->row_major = t->body_size == 0 || strides_are_row_major(t, element);
    return t->row_major || strides_lie_within(t, element)
               ? NULL
               : corrupted(c, "a tensor whose strides reach past its elements");
}

static struct nrd_status *parse_tensor(struct cursor *c, struct entity_tensor *t)
{
    uint8_t head[ENTITY_TENSOR_SIZE];
    NRD_TRY(take(c, head, sizeof(head), "tensor head"));
    uint32_t element = get32(head + 4);
    if (element >= ELEMENT_TYPES || element_types[element] == NRD_DTYPE_INVALID) {
        return status_new(NRD_UNSUPPORTED, "byte %llu: tensor '%s' has elements of GXF's type %u",
                          (unsigned long long)c->at, t->name, element);
    }
    t->dtype = element_types[element];
    if (get64(head + 8) != nrd_dtype_size(t->dtype)) {
        return corrupted(c, "a tensor whose type and bytes an element do not agree");
    }
    NRD_TRY(parse_shape(c, head, t));
    if (t->body_size > c->size - c->at) {
        return corrupted(c, "the entity ends within a tensor's elements");
    }
    t->body_offset = c->at;
    c->at += t->body_size;
    return NULL;
}

static struct nrd_status *parse_timestamp(struct cursor *c, struct entity *entity)
{
    uint8_t body[ENTITY_TIMESTAMP_SIZE];
    NRD_TRY(take(c, body, sizeof(body), "timestamp"));
    entity->acquired_ns = (int64_t)get64(body + 8);
    entity->has_timestamp = true;
    return NULL;
}

static struct nrd_status *unknown_type(const struct cursor *c, struct type_id id, const char *name)
{
    for (size_t i = 0; i < sizeof(other_types) / sizeof(other_types[0]); i++) {
        if (is_type(other_types[i].id, id)) {
            return status_new(NRD_UNSUPPORTED,
                              "byte %llu: component '%s' is a %s, and only tensors are read",
                              (unsigned long long)c->at, name, other_types[i].name);
        }
    }
    return status_new(
        NRD_UNSUPPORTED, "byte %llu: component '%s' is of the unknown type %016llx%016llx",
        (unsigned long long)c->at, name, (unsigned long long)id.high, (unsigned long long)id.low);
}

static struct nrd_status *parse_component(struct cursor *c, struct entity *entity)
{
    uint8_t head[ENTITY_COMPONENT_SIZE];
    NRD_TRY(take(c, head, sizeof(head), "component head"));
    struct type_id id = {get64(head + 8), get64(head + 16)};
    uint64_t length = get64(head + 24);
    char name[ENTITY_NAME_MAX + 1] = "";
    if (length > ENTITY_NAME_MAX) {
        return corrupted(c, "a component's name is longer than 63 bytes");
    }
    NRD_TRY(take(c, name, (size_t)length, "component name"));
    if (strlen(name) != length) {
        return corrupted(c, "a component's name has a NUL in it");
    }
    if (is_type(id, type_timestamp)) {
        return parse_timestamp(c, entity);
    }
    if (!is_type(id, type_tensor)) {
        return unknown_type(c, id, name);
    }
    if (entity->count == ENTITY_TENSORS_MAX) {
        return corrupted(c, "more than 32 tensors");
    }
    struct entity_tensor *t = &entity->tensors[entity->count];
    memcpy(t->name, name, sizeof(name));
    NRD_TRY(parse_tensor(c, t));
    entity->count++;
    return NULL;
}

struct nrd_status *entity_parse(entity_read_fn read, void *arg, uint64_t size,
                                struct entity *entity)
{
    struct cursor c = {read, arg, 0, size < ENTITY_BYTES_MAX ? size : ENTITY_BYTES_MAX};
    uint8_t head[ENTITY_HEADER_SIZE];
    entity->count = 0;
    entity->has_timestamp = false;
    entity->acquired_ns = -1;
    NRD_TRY(take(&c, head, sizeof(head), "head"));
    entity->sequence = get64(head + 12);
    uint64_t components = get64(head + 24);
    // Each takes at least its head: a wild count ends at the entity's end.
    for (uint64_t i = 0; i < components; i++) {
        NRD_TRY(parse_component(&c, entity));
    }
    entity->size = c.at;
    return NULL;
}

void entity_reorder(const struct entity_tensor *tensor, const void *body, void *to)
{
    size_t element = nrd_dtype_size(tensor->dtype);
    int64_t index[NRD_RANK_MAX] = {0};
    const uint8_t *from = body;
    uint8_t *out = to;
    if (tensor->body_size == 0) {
        return;
    }
    for (;;) {
        uint64_t offset = 0;
        for (uint32_t i = 0; i < tensor->rank; i++) {
            offset += (uint64_t)index[i] * tensor->strides[i];
        }
        memcpy(out, from + offset, element);
        out += element;
        uint32_t axis = tensor->rank;
        while (axis > 0 && ++index[axis - 1] == tensor->dims[axis - 1]) {
            index[--axis] = 0;
        }
        if (axis == 0) {
            return;
        }
    }
}

// ---- writing ---------------------------------------------------------------------------------------------------------

void entity_header_put(uint64_t sequence, uint64_t components, uint8_t to[ENTITY_HEADER_SIZE])
{
    uint8_t *p = put64(to, 0);
    p = put32(p, 0);
    p = put64(p, sequence);
    p = put32(p, 0);
    p = put64(p, components);
    put64(p, 0);
}

static uint8_t *put_component(uint8_t *p, struct type_id id, const char *name, size_t length)
{
    p = put64(put64(put64(put64(p, 0), id.high), id.low), length);
    memcpy(p, name, length);
    return p + length;
}

static uint32_t element_of(enum nrd_dtype dtype)
{
    for (uint32_t i = 1; i < ELEMENT_TYPES; i++) {
        if (element_types[i] == dtype) {
            return i;
        }
    }
    return 0;
}

struct nrd_status *entity_tensor_put(const char *name, const struct nrd_tensor *tensor,
                                     uint8_t to[ENTITY_TENSOR_HEAD_MAX], size_t *size)
{
    size_t length = strlen(name);
    uint32_t element = element_of(tensor->dtype);
    uint32_t rank = tensor->rank == 0 ? 1 : tensor->rank;
    if (length > ENTITY_NAME_MAX) {
        return status_new(NRD_INVALID_ARG, "tensor '%s': the name is longer than 63 bytes", name);
    }
    if (element == 0) {
        return status_new(NRD_UNSUPPORTED, "tensor '%s': the format has no elements of type %s",
                          name, nrd_dtype_name(tensor->dtype));
    }
    for (uint32_t i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] > INT32_MAX) {
            return status_new(NRD_UNSUPPORTED, "tensor '%s': dimension %u is over 2147483647", name,
                              i);
        }
    }
    uint8_t *p = put_component(to, type_tensor, name, length);
    p = put32(p, STORAGE_SYSTEM);
    p = put32(p, element);
    p = put64(p, nrd_dtype_size(tensor->dtype));
    p = put32(p, rank);
    for (uint32_t i = 0; i < NRD_RANK_MAX; i++) {
        p = put32(p, i < tensor->rank ? (uint32_t)tensor->dims[i] : 1);
    }
    uint64_t strides[NRD_RANK_MAX] = {0};
    uint64_t stride = nrd_dtype_size(tensor->dtype);
    for (uint32_t i = rank; i-- > 0;) {
        strides[i] = stride;
        stride *= i < tensor->rank ? (uint64_t)tensor->dims[i] : 1;
    }
    for (uint32_t i = 0; i < NRD_RANK_MAX; i++) {
        p = put64(p, strides[i]);
    }
    *size = (size_t)(p - to);
    return NULL;
}

size_t entity_timestamp_put(int64_t acquired_ns, uint8_t to[ENTITY_TIMESTAMP_HEAD_MAX])
{
    uint8_t *p = put_component(to, type_timestamp, "timestamp", 9);
    p = put64(put64(p, 0), (uint64_t)acquired_ns);
    return (size_t)(p - to);
}
