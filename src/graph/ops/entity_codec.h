// SPDX-License-Identifier: Apache-2.0
// Holoscan's recordings, as bytes: what lies in a `.gxf_index` record and in one entity of a `.gxf_entities` file.
//
// All numbers are little-endian and nothing is padded:
//
//   index record   24 B  {u64 log_time ns, u64 data_size, u64 data_offset}
//   entity header  40 B  {u64 size, u32 checksum, u64 sequence, u32 flags, u64 components, u64 reserved}   size and checksum are 0
//   component      32 B  {u64 size (0), u64 type id high, u64 type id low, u64 name length}, the name, then its body:
//     tensor      116 B  {i32 storage, i32 element, u64 bytes an element, u32 rank, i32 dims[8], u64 strides[8]}, the elements
//     timestamp    16 B  {i64 published ns, i64 acquired ns}
//
// A tensor's elements take dims * bytes an element, whatever its strides say. Sizes are 0 in the files, so a component of another
// type cannot be skipped. Source: what Holoscan 4.6's recorder writes. Start at entity_parse().
#ifndef NEREID_GRAPH_OPS_ENTITY_CODEC_H
#define NEREID_GRAPH_OPS_ENTITY_CODEC_H

#include "base/status.h"
#include "nereid/tensor.h"

#define ENTITY_INDEX_SIZE 24
#define ENTITY_HEADER_SIZE 40
#define ENTITY_COMPONENT_SIZE 32
#define ENTITY_TENSOR_SIZE 116
#define ENTITY_TIMESTAMP_SIZE 16
#define ENTITY_NAME_MAX 63 // what a message can name
#define ENTITY_TENSORS_MAX 32
#define ENTITY_BYTES_MAX ((uint64_t)1 << 40)

struct entity_index {
    uint64_t log_time; // nanoseconds since the epoch
    uint64_t data_size;
    uint64_t data_offset;
};

struct entity_tensor {
    char name[ENTITY_NAME_MAX + 1];
    enum nrd_dtype dtype;
    uint32_t rank;
    int64_t dims[NRD_RANK_MAX];
    uint64_t strides[NRD_RANK_MAX]; // bytes; of the body when it is not row-major
    bool row_major;
    uint64_t body_offset; // from the entity's start
    uint64_t body_size;
};

struct entity {
    uint64_t sequence;
    uint64_t size; // bytes that it takes
    int64_t acquired_ns;
    bool has_timestamp;
    size_t count;
    struct entity_tensor tensors[ENTITY_TENSORS_MAX];
};

// Reads `size` bytes at `offset` from the entity's start; false when they cannot be had.
typedef bool (*entity_read_fn)(void *arg, uint64_t offset, void *to, size_t size);

// Reads the heads of one entity that has at most `size` bytes; bodies are not read, but lie within. Errors: NRD_INVALID_ARG naming the
// byte ("byte 72: ..."), NRD_UNSUPPORTED for components of other types. Allocates nothing. Thread: any.
NRD_MUST_USE struct nrd_status *entity_parse(entity_read_fn read, void *arg, uint64_t size,
                                             struct entity *entity);
// Puts the elements of `body` (tensor->body_size bytes) into row-major order. Thread: any.
void entity_reorder(const struct entity_tensor *tensor, const void *body, void *to);

struct entity_index entity_index_get(const uint8_t from[ENTITY_INDEX_SIZE]);
void entity_index_put(const struct entity_index *index, uint8_t to[ENTITY_INDEX_SIZE]);
void entity_header_put(uint64_t sequence, uint64_t components, uint8_t to[ENTITY_HEADER_SIZE]);
// The component's and the tensor's head with the name between them; a tensor of rank 0 is written as one of [1], because the format holds no
// elements for rank 0. Returns the bytes written, at most ENTITY_TENSOR_HEAD_MAX. NRD_UNSUPPORTED: a type that the format does not have,
// a dimension over 2^31 - 1; NRD_INVALID_ARG: a name that is too long. Thread: any.
#define ENTITY_TENSOR_HEAD_MAX (ENTITY_COMPONENT_SIZE + ENTITY_NAME_MAX + ENTITY_TENSOR_SIZE)
NRD_MUST_USE struct nrd_status *entity_tensor_put(const char *name, const struct nrd_tensor *tensor,
                                                  uint8_t to[ENTITY_TENSOR_HEAD_MAX], size_t *size);
// A component named "timestamp", as Holoscan writes it.
#define ENTITY_TIMESTAMP_HEAD_MAX (ENTITY_COMPONENT_SIZE + 9 + ENTITY_TIMESTAMP_SIZE)
size_t entity_timestamp_put(int64_t acquired_ns, uint8_t to[ENTITY_TIMESTAMP_HEAD_MAX]);

#endif
