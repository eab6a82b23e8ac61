// SPDX-License-Identifier: Apache-2.0
// Writes a configuration anew with what the model itself tells, and hands it to the host
// (TRITONBACKEND_ModelSetConfig). Which parts are missing, and what they become, is for the backend
// to say. Thread: owner.
#ifndef NEREID_BACKENDS_COMMON_MODEL_COMPLETE_H
#define NEREID_BACKENDS_COMMON_MODEL_COMPLETE_H

#include "backends/common/model_config.h"

// Elements of an array of the configuration; 0 where it is none. Thread: any.
uint32_t model_array_count(const struct json_node *root, const char *key);

// "dims" of a tensor of the model; with `batching` without the first dimension. A scalar gets [1],
// and where the model batches a "reshape" to the empty shape.
void model_write_dims(struct json_writer *w, const int64_t *dims, uint32_t dim_count,
                      bool batching);
// The whole object: {"name", "data_type", "dims"}.
void model_write_tensor(struct json_writer *w, const char *name, TRITONSERVER_DataType dtype,
                        const int64_t *dims, uint32_t dim_count, bool batching);

// Where a configuration is written anew: NULL writers leave the part as it is.
struct model_completion {
    void (*write_inputs)(struct json_writer *w, void *userp); // the elements of the array
    void (*write_outputs)(struct json_writer *w, void *userp);
    void *userp;
    uint32_t max_batch_size;
    bool dynamic_batching; // adds one with its defaults
};
NRD_MUST_USE TRITONSERVER_Error *model_complete(TRITONBACKEND_Model *handle,
                                                const struct model_config *config,
                                                const struct model_completion *completion);

#endif
