// SPDX-License-Identifier: Apache-2.0
// Inputs, outputs, batch inputs and batch outputs of a configuration. Texts are Triton's.
//
// ModelInput and ModelOutput have the same members here under two types; `struct io` is what both
// say. Start at config_validate_io.
#include "config/model_config.h"
#include "config/platform.h"
#include "proto/message.h"
#include "tensor/shape.h"

struct io {
    const char *what; // "input" or "output"
    const char *name;
    Inference__DataType data_type;
    const int64_t *dims;
    size_t rank;
    const Inference__ModelTensorReshape *reshape; // may be NULL
    bool is_shape_tensor;
    bool is_non_linear;
};

NRD_PRINTF(2, 3) static struct nrd_status *refuse(const struct io *io, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct nrd_status *status = status_newv(NRD_INVALID_ARG, format, args);
    va_end(args);
    return status_wrap(status, "model %s '%s' ", io->what, io->name);
}

// ---- shapes -------------------------------------------------------------------------------------------------------

static bool dims_are_legal(const int64_t *dims, size_t rank)
{
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 1 && dims[i] != SHAPE_ANY) {
            return false;
        }
    }
    return true;
}

// As Triton counts: an empty shape has no elements.
static struct nrd_status *count_elements(const struct io *io, const char *which,
                                         const int64_t *dims, size_t rank, int64_t *count)
{
    *count = rank == 0 ? 0 : shape_count(dims, rank);
    if (*count == SHAPE_OVERFLOW) {
        return status_new(NRD_INVALID_ARG,
                          "element count for tensor '%s %s' exceeds maximum size of %lld", io->name,
                          which, (long long)INT64_MAX);
    }
    return NULL;
}

// The product of the dimensions from `*at` up to the next variable one or the end, which is passed.
// Wraps on overflow, like both sides of the comparison do.
static uint64_t next_chunk(const int64_t *dims, size_t rank, size_t *at)
{
    uint64_t count = 1;
    while (*at < rank && dims[*at] != SHAPE_ANY) {
        count *= (uint64_t)dims[(*at)++];
    }
    *at += 1;
    return count;
}

static size_t count_variable(const int64_t *dims, size_t rank)
{
    size_t count = 0;
    for (size_t i = 0; i < rank; i++) {
        count += dims[i] == SHAPE_ANY;
    }
    return count;
}

// Both shapes are variable: what stands between the variable dimensions must hold as many elements
// on both sides. [2, 4, -1, 6] may become [8, -1, 1, 6].
static struct nrd_status *check_variable_reshape(const struct io *io)
{
    const int64_t *shape = io->reshape->shape;
    size_t rank = io->reshape->n_shape;
    if (count_variable(io->dims, io->rank) != count_variable(shape, rank)) {
        return refuse(io, "has different number of variable-size dimensions for dims and reshape");
    }
    for (size_t a = 0, b = 0; a <= io->rank && b <= rank;) {
        if (next_chunk(io->dims, io->rank, &a) != next_chunk(shape, rank, &b)) {
            return refuse(io, "has different size for dims and reshape");
        }
    }
    return NULL;
}

static struct nrd_status *check_reshape(const struct io *io)
{
    if (!dims_are_legal(io->reshape->shape, io->reshape->n_shape)) {
        return refuse(io, "reshape dimensions must be integer >= 1, or -1 to indicate a "
                          "variable-size dimension");
    }
    int64_t count, reshaped;
    NRD_TRY(count_elements(io, "dims", io->dims, io->rank, &count));
    NRD_TRY(count_elements(io, "reshape", io->reshape->shape, io->reshape->n_shape, &reshaped));
    // A shape of one element may be reshaped to no dimensions at all.
    if (count != reshaped && !(reshaped == 0 && count == 1)) {
        return refuse(io, "has different size for dims and reshape");
    }
    return count == SHAPE_ANY ? check_variable_reshape(io) : NULL;
}

static struct nrd_status *check_shape(const struct io *io, int32_t max_batch_size)
{
    if (io->name[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "model %s must specify 'name'", io->what);
    }
    if ((int)io->data_type == INFERENCE__DATA_TYPE__TYPE_INVALID) {
        return refuse(io, "must specify 'data_type'");
    }
    if (io->rank == 0) {
        return refuse(io, "must specify 'dims'");
    }
    if (io->reshape != NULL && io->reshape->n_shape == 0 && max_batch_size == 0) {
        return refuse(io, "cannot have empty reshape for non-batching model as scalar tensors are "
                          "not supported");
    }
    if (!dims_are_legal(io->dims, io->rank)) {
        return refuse(
            io, "dimension must be integer >= 1, or -1 to indicate a variable-size dimension");
    }
    return io->reshape == NULL ? NULL : check_reshape(io);
}

// ---- inputs and outputs -------------------------------------------------------------------------------------------

static struct nrd_status *check_platform(const struct io *io, const char *platform)
{
    bool tensorrt = strcmp(platform, PLATFORM_TENSORRT) == 0;
    if (io->is_shape_tensor && !tensorrt) {
        return status_new(NRD_INVALID_ARG,
                          "shape tensors are only supported for TensorRT platform");
    }
    if (io->is_non_linear && !tensorrt) {
        return status_new(NRD_INVALID_ARG,
                          "Non-linear IO format is only supported for the TensorRT platform");
    }
    if (io->is_non_linear && io->rank != 3) {
        return status_new(NRD_INVALID_ARG, "Non-linear IO format %s requires 3 dims", io->what);
    }
    return NULL;
}

static struct nrd_status *check_input(const Inference__ModelConfig *config,
                                      const Inference__ModelInput *input)
{
    struct io io = {
        .what = "input",
        .name = input->name,
        .data_type = input->data_type,
        .dims = input->dims,
        .rank = input->n_dims,
        .reshape = input->reshape,
        .is_shape_tensor = input->is_shape_tensor,
        .is_non_linear = input->is_non_linear_format_io,
    };
    NRD_TRY(check_shape(&io, config->max_batch_size));
    bool picture = (int)input->format == INFERENCE__MODEL_INPUT__FORMAT__FORMAT_NHWC ||
                   (int)input->format == INFERENCE__MODEL_INPUT__FORMAT__FORMAT_NCHW;
    if (picture && input->n_dims != 3) {
        return status_new(NRD_INVALID_ARG, "model input NHWC/NCHW require 3 dims");
    }
    return check_platform(&io, config->platform);
}

static struct nrd_status *check_output(const Inference__ModelConfig *config,
                                       const Inference__ModelOutput *output)
{
    struct io io = {
        .what = "output",
        .name = output->name,
        .data_type = output->data_type,
        .dims = output->dims,
        .rank = output->n_dims,
        .reshape = output->reshape,
        .is_shape_tensor = output->is_shape_tensor,
        .is_non_linear = output->is_non_linear_format_io,
    };
    NRD_TRY(check_shape(&io, config->max_batch_size));
    return check_platform(&io, config->platform);
}

// ---- batch inputs and outputs -------------------------------------------------------------------------------------

static bool has_input(const Inference__ModelConfig *config, const char *name)
{
    for (size_t i = 0; i < config->n_input; i++) {
        if (strcmp(config->input[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_output(const Inference__ModelConfig *config, const char *name)
{
    for (size_t i = 0; i < config->n_output; i++) {
        if (strcmp(config->output[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

// All kinds, of inputs and of outputs, have exactly one source.
static struct nrd_status *check_kind(const char *what, const char *kind, size_t source_count)
{
    if (kind ==
        NULL) { // a number that the schema does not know has no name, in Triton's text either
        return status_new(NRD_INVALID_ARG, "unknown batch %s kind ''", what);
    }
    if (source_count != 1) {
        return status_new(NRD_INVALID_ARG, "batch %s kind '%s' expects 1 source input, got %zu",
                          what, kind, source_count);
    }
    return NULL;
}

static struct nrd_status *check_sources(const Inference__ModelConfig *config, char **sources,
                                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!has_input(config, sources[i])) {
            return status_new(NRD_INVALID_ARG, "unknown source input name '%s'", sources[i]);
        }
    }
    return NULL;
}

static struct nrd_status *check_batch_input(const Inference__ModelConfig *config,
                                            const Inference__BatchInput *input)
{
    NRD_TRY(check_kind("input",
                       proto_enum_name(&inference__batch_input__kind__descriptor, (int)input->kind),
                       input->n_source_input));
    if ((int)input->data_type != INFERENCE__DATA_TYPE__TYPE_INT32 &&
        (int)input->data_type != INFERENCE__DATA_TYPE__TYPE_FP32) {
        return status_new(NRD_INVALID_ARG, "batch input data type must be TYPE_INT32 or TYPE_FP32");
    }
    return check_sources(config, input->source_input, input->n_source_input);
}

static struct nrd_status *check_batch_output(const Inference__ModelConfig *config,
                                             const Inference__BatchOutput *output)
{
    NRD_TRY(check_kind(
        "output", proto_enum_name(&inference__batch_output__kind__descriptor, (int)output->kind),
        output->n_source_input));
    NRD_TRY(check_sources(config, output->source_input, output->n_source_input));
    for (size_t i = 0; i < output->n_target_name; i++) {
        const char *target = output->target_name[i];
        if (!has_output(config, target)) {
            return status_new(NRD_INVALID_ARG, "unknown target output name '%s'", target);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(output->target_name[j], target) == 0) {
                return status_new(NRD_INVALID_ARG,
                                  "target output name '%s' can only be specified once", target);
            }
        }
    }
    return NULL;
}

static struct nrd_status *check_all(const Inference__ModelConfig *config)
{
    for (size_t i = 0; i < config->n_input; i++) {
        NRD_TRY(check_input(config, config->input[i]));
    }
    for (size_t i = 0; i < config->n_output; i++) {
        NRD_TRY(check_output(config, config->output[i]));
    }
    for (size_t i = 0; i < config->n_batch_input; i++) {
        NRD_TRY(check_batch_input(config, config->batch_input[i]));
    }
    for (size_t i = 0; i < config->n_batch_output; i++) {
        NRD_TRY(check_batch_output(config, config->batch_output[i]));
    }
    return NULL;
}

struct nrd_status *config_validate_io(const Inference__ModelConfig *config)
{
    struct nrd_status *status = check_all(config);
    if (status == NULL) {
        return NULL;
    }
    struct nrd_status *named =
        status_new(status_code(status), "%s for %s", status_text(status), config->name);
    status_free(status);
    return named;
}
