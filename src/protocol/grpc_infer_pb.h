// SPDX-License-Identifier: Apache-2.0
// ModelInferRequest read and ModelInferResponse written by hand: the two messages that carry tensors.
//
// Reading borrows: texts and tensor bytes stay in the message's buffer. Texts get their terminating NUL in place, over the tag
// that follows them, once everything has been read; so the message must be writable, with one more byte behind it, and cannot be
// read twice. Writing makes only the bytes around the tensors; the tensors themselves are written from where they lie.
// Start at infer_pb_read() and infer_pb_write(). Thread: owner.
#ifndef NEREID_PROTOCOL_GRPC_INFER_PB_H
#define NEREID_PROTOCOL_GRPC_INFER_PB_H

#include <sys/uio.h>

#include "base/arena.h"
#include "base/slice.h"

enum infer_param_kind {
    INFER_PARAM_NONE, // no choice was set
    INFER_PARAM_BOOL,
    INFER_PARAM_INT64,
    INFER_PARAM_STRING,
    INFER_PARAM_DOUBLE,
    INFER_PARAM_UINT64,
};
struct infer_param {
    struct slice key; // terminated
    enum infer_param_kind kind;
    struct slice text; // terminated
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double d;
    } as;
};
struct infer_params {
    struct infer_param *items;
    unsigned count;
    unsigned capacity;
};

// The typed arrays of InferTensorContents, in field order; `count` elements in `chunks` runs of wire bytes each.
enum infer_contents_kind {
    INFER_CONTENTS_BOOL,
    INFER_CONTENTS_INT,
    INFER_CONTENTS_INT64,
    INFER_CONTENTS_UINT,
    INFER_CONTENTS_UINT64,
    INFER_CONTENTS_FP32,
    INFER_CONTENTS_FP64,
    INFER_CONTENTS_BYTES,
    INFER_CONTENTS_KINDS,
};
struct infer_slices {
    struct slice *items;
    unsigned count;
    unsigned capacity;
};
struct infer_array {
    size_t count; // elements
    struct infer_slices
        chunks; // packed runs, single values as runs of one, or the byte strings themselves
};
struct infer_contents {
    struct infer_array arrays[INFER_CONTENTS_KINDS];
};

struct infer_input {
    struct slice name;     // terminated
    struct slice datatype; // terminated
    int64_t *shape;
    unsigned dim_count;
    unsigned dim_capacity;
    struct infer_params params;
    struct infer_contents *contents; // NULL when absent
};
struct infer_output {
    struct slice name; // terminated
    struct infer_params params;
};
struct infer_request {
    struct slice model_name; // all three terminated
    struct slice model_version;
    struct slice id;
    struct infer_params params;
    struct infer_input *inputs;
    unsigned input_count;
    unsigned input_capacity;
    struct infer_output *outputs;
    unsigned output_count;
    unsigned output_capacity;
    struct infer_slices raw; // raw_input_contents
};

// Reads `size` bytes at `message`, and may write one more. Arrays are the arena's. False: malformed, or no memory; the message
// is then unchanged. Of equal keys of parameters the last counts, as in any protobuf map.
bool infer_pb_read(struct arena *arena, char *message, size_t size, struct infer_request *out);
// NULL when absent.
const struct infer_param *infer_params_get(const struct infer_params *params, const char *key);
// Writes the elements of `array` as the little-endian tensor that they stand for: `size` bytes an element (BYTES: 4 bytes of length
// and the bytes). `*out` borrows the wire where that is the same thing, else the arena. False: no memory.
bool infer_array_tensor(struct arena *arena, const struct infer_array *array,
                        enum infer_contents_kind kind, size_t size, struct slice *out);

// One output of an answer.
struct infer_pb_output {
    struct slice name;
    struct slice datatype;
    const int64_t *shape;
    unsigned dim_count;
    const void *bytes;
    size_t size;
};
struct infer_pb_response {
    struct slice model_name;
    struct slice model_version;
    struct slice id;
    const struct infer_param *params;
    unsigned param_count;
    const struct infer_pb_output *outputs;
    unsigned output_count;
    bool streamed;      // as infer_response of a ModelStreamInferResponse
    struct slice error; // its error_message
};
enum { INFER_PB_INLINE = 1024 }; // a tensor up to this is copied among the bytes around it

// The size of the bytes that infer_pb_write() makes, of the whole message, and the most parts it needs.
struct infer_pb_plan {
    size_t head_size;    // bytes to provide at `head`, GRPC prefix included
    size_t message_size; // of the message, without the prefix
    unsigned part_count;
};
void infer_pb_measure(const struct infer_pb_response *response, size_t prefix,
                      struct infer_pb_plan *plan);
// Writes behind `prefix` bytes that are left alone at `head`, which has the plan's head_size. `parts` has room for the plan's part_count. Returns the parts used.
unsigned infer_pb_write(const struct infer_pb_response *response, size_t prefix, char *head,
                        struct iovec *parts);

#endif
