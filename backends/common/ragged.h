// SPDX-License-Identifier: Apache-2.0
// Ragged batches: requests of different lengths joined to one row of elements (allow_ragged_batch),
// the inputs that tell the model where each ends (batch_input), and the way back (batch_output).
// What the kinds mean is in model_config.proto.
#ifndef NEREID_BACKENDS_COMMON_RAGGED_H
#define NEREID_BACKENDS_COMMON_RAGGED_H

#include "backends/common/gather.h"
#include "backends/common/model_config.h"

// A tensor that the backend computes from the shapes of a ragged batch (ModelInput's batch_input).
enum batch_input_kind {
    BATCH_ELEMENT_COUNT,
    BATCH_ACCUMULATED_ELEMENT_COUNT,
    BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO,
    BATCH_MAX_ELEMENT_COUNT_AS_SHAPE,
    BATCH_ITEM_SHAPE,
    BATCH_ITEM_SHAPE_FLATTEN,
};
struct ragged_input {
    enum batch_input_kind kind;
    TRITONSERVER_DataType dtype; // INT32 or FP32
    const char *source;
    const char **targets;
    uint32_t target_count;
};

// Reads all batch_input of a configuration into its arena. INVALID_ARG, naming the model, where one
// is not complete. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *ragged_read(struct model_config *config,
                                             struct ragged_input **list, uint32_t *count);
// The input by whose shape an output is divided (batch_output); NULL for the usual division by
// rows. Thread: owner.
NRD_MUST_USE TRITONSERVER_Error *ragged_scatter_source(struct model_config *config,
                                                       const char *output, const char **source);

// The elements of an input over all requests. Thread: owner, as all that follow.
NRD_MUST_USE TRITONSERVER_Error *ragged_elements(struct batch *b, const char *name,
                                                 int64_t *elements);

enum { RAGGED_DIMS_MAX = 2 };
// Computes one batch input. `dims` has room for RAGGED_DIMS_MAX; `*data` is borrowed from
// `scratch`.
NRD_MUST_USE TRITONSERVER_Error *ragged_fill(struct batch *b, const struct ragged_input *ragged,
                                             struct scratch *scratch, int64_t *dims,
                                             uint32_t *dim_count, void **data, uint64_t *size);

// Hands each request its part of an output that is as long as the ragged batch: the shape that the
// configuration gives, its open dimensions taken from the request's `source`.
NRD_MUST_USE TRITONSERVER_Error *ragged_scatter(struct batch *b, const struct model_tensor *output,
                                                bool batching, const char *source, const void *data,
                                                uint64_t size);

#endif
