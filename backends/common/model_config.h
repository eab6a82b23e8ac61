// SPDX-License-Identifier: Apache-2.0
// The configuration of a model as a backend wants it: name, place, batch limit, tensors and
// parameters, read once from the JSON that the host gives. What is not broken out here is found in
// `root`.
#ifndef NEREID_BACKENDS_COMMON_MODEL_CONFIG_H
#define NEREID_BACKENDS_COMMON_MODEL_CONFIG_H

#include "backends/common/backend.h"

// A shape of the configuration: no batch dimension, -1 where it is open.
struct model_shape {
    const int64_t *dims;
    uint32_t count;
};

struct model_tensor {
    const char *name;
    TRITONSERVER_DataType dtype;
    struct model_shape dims;    // what clients send or get
    struct model_shape reshape; // what the framework sees, with `has_reshape`
    bool has_reshape;
    bool optional; // inputs
    bool ragged;   // inputs: allow_ragged_batch
};

struct model_config {
    struct arena arena; // owns all that follows
    const struct json_node *root;
    const char *name;
    uint64_t version;
    const char *directory; // the model's directory, above the versions
    uint32_t max_batch_size;
    struct model_tensor *inputs;
    uint32_t input_count;
    struct model_tensor *outputs;
    uint32_t output_count;
};

// Reads the configuration of `model` anew. The caller owns `config` (model_config_fini), on success
// only. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *model_config_init(struct model_config *config,
                                                   TRITONBACKEND_Model *model);
void model_config_fini(struct model_config *config);

// The string_value of a parameter. False when absent. `*value` is borrowed from the configuration.
// Thread: any.
bool model_parameter(const struct model_config *config, const char *key, struct slice *value);
// The same as a number or truth value; `*value` stays as it is when the parameter is absent.
NRD_MUST_USE TRITONSERVER_Error *model_parameter_int(const struct model_config *config,
                                                     const char *key, int *value);
NRD_MUST_USE TRITONSERVER_Error *model_parameter_bool(const struct model_config *config,
                                                      const char *key, bool *value);

// What the framework sees of a tensor: its reshape if it has one, else its dims. Thread: any.
struct model_shape model_tensor_shape(const struct model_tensor *tensor);
// "TYPE_FP32" -> TRITONSERVER_TYPE_FP32; TRITONSERVER_TYPE_INVALID for an unknown name. Thread:
// any.
TRITONSERVER_DataType model_data_type(struct slice name);
// The reverse, "TYPE_INVALID" if there is none. Static text. Thread: any.
const char *model_data_type_name(TRITONSERVER_DataType type);
// Appends "[1,-1,3]". Thread: any.
struct str;
void model_shape_print(const int64_t *dims, size_t count, struct str *out);
// The product of the dimensions; false when one is negative or when it exceeds 63 bits. Thread:
// any.
bool model_shape_elements(const int64_t *dims, size_t count, int64_t *elements);

#endif
