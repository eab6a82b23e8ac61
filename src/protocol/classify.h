// SPDX-License-Identifier: Apache-2.0
// Classification: an output as its K largest values, each "value:index" or "value:index:label". Thread: any.
#ifndef NEREID_PROTOCOL_CLASSIFY_H
#define NEREID_PROTOCOL_CLASSIFY_H

#include "base/str.h"
#include "triton/core/tritonserver.h"

// One output of a response that was asked for with `classification`.
struct classify_output {
    TRITONSERVER_InferenceResponse *response; // borrowed, for the labels
    uint32_t index;                           // of the output in the response
    TRITONSERVER_DataType datatype;
    const int64_t *shape;
    uint64_t dim_count;
    const void *base;
    size_t byte_size;
    uint32_t class_count; // K, not 0
    bool batched;         // the model batches: the first dimension counts separate classifications
};

// The shape of the result: [min(K, elements)], with the batch's dimension before it. `shape` has room for two.
struct classify_result {
    int64_t shape[2];
    uint64_t dim_count;
};

// Appends the result in the BYTES layout (32-bit length, then the text, for each class). Ties keep the order of their
// indexes. INVALID_ARG with Triton's texts: a type that has no order (BYTES, BOOL, FP16, BF16), more than a million
// elements in a classification. On failure `*out` is as it was.
NRD_MUST_USE struct nrd_status *classify(const struct classify_output *output, struct str *out,
                                         struct classify_result *result);

#endif
