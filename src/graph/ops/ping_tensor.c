// SPDX-License-Identifier: Apache-2.0
// PingTensorTxOp sends tensors of a given shape, all bytes zero or the given data; PingTensorRxOp takes them and prints their shapes.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "graph/ops/ops.h"

struct ping_tensor_tx {
    struct nrd_resource *allocator;
    int storage_type, data_type;
    int64_t batch_size, rows, columns, channels;
    const char *tensor_name;
    const struct nrd_value *cuda_stream_pool;
    bool async_device_allocation;
    struct nrd_int_list data;

    int64_t dims[4];
    uint32_t rank;
};

enum { STORAGE_HOST, STORAGE_DEVICE, STORAGE_SYSTEM };
static const char *const storage_types[] = {
    [STORAGE_HOST] = "host", [STORAGE_DEVICE] = "device", [STORAGE_SYSTEM] = "system", NULL};
static const char *const data_types[] = {"int8_t",  "int16_t",  "int32_t",  "int64_t",
                                         "uint8_t", "uint16_t", "uint32_t", "uint64_t",
                                         "float",   "double",   NULL};
static const enum nrd_dtype dtypes[] = {NRD_DTYPE_I8,  NRD_DTYPE_I16, NRD_DTYPE_I32, NRD_DTYPE_I64,
                                        NRD_DTYPE_U8,  NRD_DTYPE_U16, NRD_DTYPE_U32, NRD_DTYPE_U64,
                                        NRD_DTYPE_F32, NRD_DTYPE_F64};
static const char *const allocator_kind[] = {"allocator", NULL};

#define FIELD(name) offsetof(struct ping_tensor_tx, name)
static const struct nrd_param tx_params[] = {
    {.name = "rows",
     .type = NRD_PARAM_INT,
     .offset = FIELD(rows),
     .fallback = "32",
     .min = 1,
     .max = 2147483647,
     .help = "The tensor is [batch_size, rows, columns, channels] without those that are 0."},
    {.name = "columns",
     .type = NRD_PARAM_INT,
     .offset = FIELD(columns),
     .fallback = "64",
     .min = 0,
     .max = 2147483647,
     .help = "0: no such dimension."},
    {.name = "channels",
     .type = NRD_PARAM_INT,
     .offset = FIELD(channels),
     .fallback = "0",
     .min = 0,
     .max = 2147483647,
     .help = "0: no such dimension."},
    {.name = "batch_size",
     .type = NRD_PARAM_INT,
     .offset = FIELD(batch_size),
     .fallback = "0",
     .min = 0,
     .max = 2147483647,
     .help = "0: no such dimension."},
    {.name = "data_type",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(data_type),
     .fallback = "uint8_t",
     .choices = data_types,
     .help = "Of the elements."},
    {.name = "data",
     .type = NRD_PARAM_INT_LIST,
     .offset = FIELD(data),
     .fallback = "[]",
     .help = "The tensor's bytes, 0 to 255; those that are not given are 0."},
    {.name = "tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(tensor_name),
     .fallback = "tensor",
     .help = "Name of the tensor."},
    {.name = "storage_type",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(storage_type),
     .fallback = "system",
     .choices = storage_types,
     .help = "host is pinned memory, system ordinary memory; device is refused."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
     .choices = allocator_kind,
     .help = "Where tensors are allocated; the fragment's default when absent."},
    {.name = "cuda_stream_pool",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(cuda_stream_pool),
     .help = "Holoscan's; has no effect."},
    {.name = "async_device_allocation",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(async_device_allocation),
     .fallback = "false",
     .help = "Holoscan's; has no effect."},
    {.name = NULL},
};

static const struct nrd_port tx_outputs[] = {
    {.name = "out", .type = "tensors", .policy = NRD_QUEUE_FAULT, .help = "The tensor."},
    {.name = NULL},
};

static struct nrd_status *tx_setup(struct nrd_operator *op, void *self)
{
    (void)op;
    struct ping_tensor_tx *tx = self;
    const int64_t all[] = {tx->batch_size, tx->rows, tx->columns, tx->channels};
    double bytes = (double)nrd_dtype_size(dtypes[tx->data_type]);
    tx->rank = 0;
    for (size_t i = 0; i < 4; i++) {
        if (all[i] > 0) {
            tx->dims[tx->rank++] = all[i];
            bytes *= (double)all[i];
        }
    }
    for (size_t i = 0; i < tx->data.count; i++) {
        if (tx->data.items[i] < 0 || tx->data.items[i] > 255) {
            return status_new(NRD_INVALID_ARG, "data[%zu] is %lld, no byte", i,
                              (long long)tx->data.items[i]);
        }
    }
    if ((double)tx->data.count > bytes) {
        return status_new(NRD_INVALID_ARG, "data has %zu bytes, and the tensor %.0f",
                          tx->data.count, bytes);
    }
    return tx->storage_type != STORAGE_DEVICE
               ? NULL
               : status_new(NRD_UNSUPPORTED,
                            "storage_type device: tensors are made in the host's memory only");
}

static struct nrd_status *tx_compute(struct nrd_compute *ctx, void *self)
{
    struct ping_tensor_tx *tx = self;
    struct nrd_tensor *tensor = NULL;
    enum nrd_memory memory = tx->storage_type == STORAGE_HOST ? NRD_MEMORY_PINNED : NRD_MEMORY_CPU;
    NRD_TRY(nrd_allocate(nrd_compute_operator(ctx), tx->allocator, dtypes[tx->data_type], tx->dims,
                         tx->rank, memory, 0, &tensor));
    memset(tensor->data, 0, tensor->byte_size);
    for (size_t i = 0; i < tx->data.count; i++) {
        ((uint8_t *)tensor->data)[i] = (uint8_t)tx->data.items[i];
    }
    struct nrd_message *message = nrd_message_new(ctx);
    struct nrd_status *status = message == NULL
                                    ? status_no_memory()
                                    : nrd_message_add_tensor(message, tx->tensor_name, tensor);
    if (status != NULL) {
        nrd_tensor_unref(tensor);
        nrd_message_unref(message);
        return status;
    }
    enum nrd_code code = nrd_emit(ctx, 0, message);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "cannot send");
}

const struct nrd_operator_class ping_tensor_tx_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "PingTensorTxOp",
    .summary = "Sends tensors of a given shape.",
    .state_size = sizeof(struct ping_tensor_tx),
    .params = tx_params,
    .outputs = tx_outputs,
    .setup = tx_setup,
    .compute = tx_compute,
};

struct ping_tensor_rx {
    bool receive_as_tensormap, quiet;
    uint64_t count;
};

static const struct nrd_param rx_params[] = {
    {.name = "receive_as_tensormap",
     .type = NRD_PARAM_BOOL,
     .offset = offsetof(struct ping_tensor_rx, receive_as_tensormap),
     .fallback = "true",
     .help = "Any number of tensors; false: a message must have exactly one."},
    {.name = "quiet",
     .type = NRD_PARAM_BOOL,
     .offset = offsetof(struct ping_tensor_rx, quiet),
     .fallback = "false",
     .help = "Prints nothing."},
    {.name = NULL},
};

static const struct nrd_port rx_inputs[] = {
    {.name = "in", .type = "tensors", .policy = NRD_QUEUE_FAULT, .help = "Tensors."},
    {.name = NULL},
};

static struct nrd_status *rx_start(struct nrd_operator *op, void *self)
{
    (void)op;
    ((struct ping_tensor_rx *)self)->count = 0;
    return NULL;
}

static void print_shape(const struct nrd_operator *op, uint64_t count, const char *name,
                        const struct nrd_tensor *tensor)
{
    char shape[24 * NRD_RANK_MAX] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        at += (size_t)snprintf(shape + at, sizeof(shape) - at, "%s%" PRId64, i == 0 ? "" : ", ",
                               tensor->dims[i]);
    }
    printf("%s received message %" PRIu64 ": Tensor key: '%s', shape: (%s)\n",
           nrd_operator_name(op), count, name, shape);
}

static struct nrd_status *rx_compute(struct nrd_compute *ctx, void *self)
{
    struct ping_tensor_rx *rx = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message == NULL) {
        return NULL;
    }
    struct nrd_status *status = NULL;
    size_t count = nrd_message_tensor_count(message);
    if (!rx->receive_as_tensormap && count != 1) {
        status = status_new(NRD_INVALID_ARG, "message %" PRIu64 " has %zu tensors, not one",
                            rx->count, count);
    }
    for (size_t i = 0; i < count && status == NULL && !rx->quiet; i++) {
        const char *name = "";
        const struct nrd_tensor *tensor = nrd_message_tensor_at(message, i, &name);
        print_shape(nrd_compute_operator(ctx), rx->count, name, tensor);
    }
    rx->count++;
    nrd_message_unref(message);
    return status;
}

const struct nrd_operator_class ping_tensor_rx_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "PingTensorRxOp",
    .summary = "Takes tensors and prints their shapes.",
    .state_size = sizeof(struct ping_tensor_rx),
    .params = rx_params,
    .inputs = rx_inputs,
    .start = rx_start,
    .compute = rx_compute,
};
