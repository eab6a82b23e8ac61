// SPDX-License-Identifier: Apache-2.0
// Tensors as JSON: `data` of a request to bytes, bytes to `data` of a reply. Texts of errors are Triton's. Thread: any.
#ifndef NEREID_PROTOCOL_HTTP_TENSOR_H
#define NEREID_PROTOCOL_HTTP_TENSOR_H

#include "base/json.h"
#include "triton/core/tritonserver.h"

// Elements of a shape; 0 for no dimension or a zero one, -1 for a wildcard, -2 for another negative, -3 for too many.
int64_t tensor_element_count(const int64_t *shape, uint64_t dim_count);

// Bytes that the strings below `node` take in the BYTES layout. `node` may be a string or an array, nested at will.
NRD_MUST_USE struct nrd_status *tensor_bytes_size(const struct json_node *node, size_t *size);

// Reads `node` (a value, or an array nested at will, read flat) into `out`. `count` is the number of elements that must be
// there; for BYTES the size in bytes that tensor_bytes_size() told. `name` is for texts.
NRD_MUST_USE struct nrd_status *tensor_from_json(const char *name, TRITONSERVER_DataType type,
                                                 const struct json_node *node, uint64_t count,
                                                 void *out);

// Writes `count` elements as values, without brackets.
NRD_MUST_USE struct nrd_status *tensor_to_json(struct json_writer *writer, const char *name,
                                               TRITONSERVER_DataType type, const void *base,
                                               size_t byte_size, uint64_t count);

#endif
