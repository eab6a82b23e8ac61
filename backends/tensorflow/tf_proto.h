// SPDX-License-Identifier: Apache-2.0
// The protobuf messages that cross TensorFlow's C API as bytes, as far as this backend needs them:
// reads the signatures of a MetaGraphDef (tensorflow/core/protobuf/meta_graph.proto), writes a
// ConfigProto (config.proto). Fields are few and fixed, so this is a reader of the wire format and
// not a generated one. Never reads outside of its input: tests/fuzz/fuzz_tf_proto.c. Knows base
// only. Thread: any.
#ifndef NEREID_BACKENDS_TENSORFLOW_TF_PROTO_H
#define NEREID_BACKENDS_TENSORFLOW_TF_PROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "base/status.h"
#include "base/str.h"

// A tensor of a signature (TensorInfo).
struct tf_io {
    const char *name;    // what clients call it
    const char *tensor;  // "operation:index" in the graph; "" for one that is not a dense tensor
    int type;            // enum tf_type, or one that the backend does not know
    bool known_rank;     // false: any shape
    const int64_t *dims; // -1 where it is open
    uint32_t dim_count;
};
struct tf_ios {
    struct tf_io *items; // sorted by name
    uint32_t count;
};
struct tf_signature {
    const char *key;
    struct tf_ios inputs;
    struct tf_ios outputs;
};

// Finds the signature `key` of a MetaGraphDef; "" stands for serving_default, and without one for
// the first that has inputs or outputs and is neither TensorFlow's init nor train operation (of
// several, the first by name). `*found` tells whether there is one; `*signature` is owned by
// `arena`. INVALID_ARG for bytes that are no MetaGraphDef.
NRD_MUST_USE struct nrd_status *tf_read_signature(struct arena *arena, struct slice meta_graph,
                                                  const char *key, bool *found,
                                                  struct tf_signature *signature);

// Name of a type as TensorFlow writes it, "DT_COMPLEX64"; "DT_INVALID" for one that is not known.
const char *tf_type_name(int type);

// What of a ConfigProto is set; zeros are TensorFlow's defaults.
struct tf_config {
    int intra_op_threads;
    int inter_op_threads;
    bool per_session_threads;
    bool soft_placement;
    bool no_gpu; // device_count["GPU"] = 0
    double gpu_memory_fraction;
    bool gpu_allow_growth;
    int jit_level; // OptimizerOptions.GlobalJitLevel: -1 off, 0 default, 1, 2
    bool auto_mixed_precision;
};
void tf_write_config(const struct tf_config *config, struct str *out);

#endif
