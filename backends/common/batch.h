// SPDX-License-Identifier: Apache-2.0
// A batch: the requests of one TRITONBACKEND_ModelInstanceExecute on their way through a backend.
//
//   batch_begin -> read inputs -> batch_compute_begin -> run -> batch_compute_end
//               -> write outputs -> batch_end
//
// Each request has one response. A request that goes wrong is answered at once (batch_fail) and its
// place in the batch stays, as zeros, so that the others keep their rows. batch_end answers the
// rest, reports the times and gives all requests back. An instance keeps one batch and uses it
// again: after the first executions nothing is allocated. Thread: owner (the instance's thread) for
// all functions.
#ifndef NEREID_BACKENDS_COMMON_BATCH_H
#define NEREID_BACKENDS_COMMON_BATCH_H

#include "backends/common/backend.h"
#include "backends/common/gpu_io.h"

struct landing;
struct departure;

struct batch_item {
    TRITONBACKEND_Request *request;
    TRITONBACKEND_Response *response; // NULL once its error was sent
    uint64_t rows; // first dimension of its inputs; 1 where the model does not batch
};

struct batch {
    TRITONBACKEND_ModelInstance *instance;
    struct batch_item *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t alive; // items whose response is still to be sent
    uint64_t rows;  // of all items
    uint64_t exec_start_ns;
    uint64_t compute_start_ns;
    uint64_t compute_end_ns;
    // How memory of GPUs is reached: the instance's, which sets it after batch_init and keeps it; or
    // made by the batch when a request first brings or wants such memory, and then `own_gpu_io`.
    struct gpu_io *gpu_io;
    bool own_gpu_io;
    // Of batches that go out with an event (order.h); made with the first of them.
    struct landing *landing;
    struct departure *departure; // this batch's; NULL: none was begun
};

void batch_init(struct batch *b, TRITONBACKEND_ModelInstance *instance);
// Waits for batches that went out with an event; so before the memory that they use goes, and with the gpu_io still there.
void batch_fini(struct batch *b);

// Takes the requests in and makes their responses. `batching`: the first dimension counts rows. On
// an error nothing was taken, and the error is what execute returns.
NRD_MUST_USE TRITONSERVER_Error *batch_begin(struct batch *b, TRITONBACKEND_Request **requests,
                                             uint32_t count, bool batching);
// The moments that divide the time: a backend that marks none has computed all the while. On a GPU the first is where the inputs
// were queued, and a batch without it is waited for in batch_end().
void batch_compute_begin(struct batch *b);
void batch_compute_end(struct batch *b);
// Waits for what the batch has queued on GPUs, or lets the answers go out with an event (order.h);
// sends what is left, reports, releases. The batch is empty afterwards.
void batch_end(struct batch *b);

// Answers one item (nothing if it was answered) or all that are left with `error`. Takes `error`.
void batch_fail(struct batch *b, uint32_t index, TRITONSERVER_Error *error);
void batch_fail_all(struct batch *b, TRITONSERVER_Error *error);

// An input of one request, as the host shows it; all borrowed from the request.
struct batch_input {
    struct batch *batch;
    TRITONBACKEND_Input *handle;
    const char *name;
    TRITONSERVER_DataType dtype;
    const int64_t *dims; // batch dimension included
    uint32_t dim_count;
    uint64_t byte_size;
    uint32_t buffer_count;
};
// By name, or by index in the order of that request. INVALID_ARG when the request does not bring
// it.
NRD_MUST_USE TRITONSERVER_Error *batch_input_get(struct batch *b, uint32_t index, const char *name,
                                                 struct batch_input *input);
NRD_MUST_USE TRITONSERVER_Error *batch_input_at(struct batch *b, uint32_t index, uint32_t at,
                                                struct batch_input *input);
// The bytes where they lie, when they are in one piece of CPU memory aligned to `alignment` (a
// power of two); else `*data` is NULL, without error. Borrowed from the request.
NRD_MUST_USE TRITONSERVER_Error *batch_input_view(const struct batch_input *input, size_t alignment,
                                                  const void **data);
// Copies all bytes to `to`, which has room for input->byte_size; from memory of GPUs too.
NRD_MUST_USE TRITONSERVER_Error *batch_input_copy(const struct batch_input *input, void *to);

// Whether the client asked for this output.
bool batch_wants(const struct batch *b, uint32_t index, const char *name);
// Adds an output to a response and finds CPU memory for it: the response's own, or, where the client
// wants it in memory of a GPU, some that batch_end() copies there. `*data` is borrowed until
// batch_end(); it may be NULL when `byte_size` is 0.
NRD_MUST_USE TRITONSERVER_Error *batch_output(struct batch *b, uint32_t index, const char *name,
                                              TRITONSERVER_DataType dtype, const int64_t *dims,
                                              uint32_t dim_count, uint64_t byte_size, void **data);
// Hands each item that wants the output its rows of one tensor that covers the whole batch. `dims`
// has the batch's shape; its first number is changed meanwhile. Items that fail are answered.
void batch_scatter(struct batch *b, const char *name, TRITONSERVER_DataType dtype, int64_t *dims,
                   uint32_t dim_count, bool batching, const void *data, uint64_t byte_size);
// The same for data that lie anywhere: `hand` adds the output to the response of item `index` and has its `size` bytes brought there from
// `from`, which is only counted on here, never read.
typedef TRITONSERVER_Error *(*batch_hand_fn)(struct batch *b, uint32_t index, const char *name,
                                             TRITONSERVER_DataType dtype, const int64_t *dims,
                                             uint32_t dim_count, const char *from, uint64_t size);
void batch_scatter_by(struct batch *b, const char *name, TRITONSERVER_DataType dtype, int64_t *dims,
                      uint32_t dim_count, bool batching, const void *data, uint64_t byte_size,
                      batch_hand_fn hand);

#endif
