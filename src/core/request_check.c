// SPDX-License-Identifier: Apache-2.0
// Request check: is a request what its model expects? In the order, and with the texts, that clients of Triton know:
// raw input, asked outputs, number of inputs, then of all inputs the batch size, then the batch limit, then input by
// input the data type, shape, reshape and byte size. Start at request_normalize().
#include "core/request.h"

#include <inttypes.h>

#include "base/str.h"
#include "core/model.h"
#include "core/schedule/scheduler.h"

static const char batch_note[] =
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be "
    "prepended to each input shape. If you want to specify the full shape including the batch dim "
    "in your input dims config, try setting max_batch_size to zero. See the model configuration "
    "docs for more info on max_batch_size.";

// ---- texts --------------------------------------------------------------------------------------

static void append_dims(struct str *out, const int64_t *dims, uint32_t count)
{
    str_append_char(out, '[');
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) {
            str_append_char(out, ',');
        }
        str_append_i64(out, dims[i]);
    }
    str_append_char(out, ']');
}

// Makes the status of what `text` holds, and finishes `text`.
static struct nrd_status *error_of(const struct request *request, struct str *text)
{
    struct nrd_status *status = text->failed ? status_no_memory()
                                : request != NULL
                                    ? request_error(request, NRD_INVALID_ARG, "%s", str_cstr(text))
                                    : status_new_text(NRD_INVALID_ARG, str_cstr(text), text->len);
    str_fini(text);
    return status;
}

static struct nrd_status *shape_error(const struct request *request,
                                      const struct request_input *input)
{
    const struct model *model = request->model;
    struct str text = STR_INIT;
    str_printf(&text, "unexpected shape for input '%s' for model '%s'. Expected ", input->name,
               model->name);
    if (model->max_batch_size > 0 && input->io->shape_tensor) {
        // Triton names a batch dimension even here.
        str_append_cstr(&text, "[-1");
        for (uint32_t i = 0; i < input->io->dim_count; i++) {
            str_printf(&text, ",%" PRId64, input->io->dims[i]);
        }
        str_append_char(&text, ']');
    } else {
        append_dims(&text, input->io->full_dims, input->io->full_dim_count);
    }
    str_append_cstr(&text, ", got ");
    append_dims(&text, input->original.at, input->original.count);
    str_append_cstr(&text, ". ");
    if (model->max_batch_size > 0) {
        str_append_cstr(&text, batch_note);
    }
    return error_of(request, &text);
}

static struct nrd_status *count_error(const struct request *request)
{
    const struct model *model = request->model;
    struct str text = STR_INIT;
    if (model->input_count == model->required_input_count) {
        str_printf(&text, "expected %" PRIu32, model->input_count);
    } else {
        str_printf(&text, "expected number of inputs between %" PRIu32 " and %" PRIu32,
                   model->required_input_count, model->input_count);
    }
    const char *noun = model->input_count == model->required_input_count ? " inputs" : "";
    str_printf(&text, "%s but got %" PRIu32 " inputs for model '%s'. Got input(s) [", noun,
               request->input_count, model->name);
    for (uint32_t i = 0; i < request->input_count; i++) {
        str_printf(&text, "%s'%s'", i > 0 ? "," : "", request->inputs[i].name);
    }
    // Triton cuts the last character of its list without looking: an empty one loses its bracket.
    str_append_cstr(&text, "], but missing required input(s) ");
    const char *before = "[";
    for (uint32_t i = 0; i < model->input_count; i++) {
        if (!model->inputs[i].optional &&
            request_find_input(request, model->inputs[i].name) == NULL) {
            str_printf(&text, "%s'%s'", before, model->inputs[i].name);
            before = ",";
        }
    }
    str_append_cstr(&text, "]. Please provide all required input(s).");
    return error_of(request, &text);
}

static struct nrd_status *unexpected(const char *what, const char *name, const struct model *model)
{
    return status_new(NRD_INVALID_ARG, "unexpected inference %s '%s' for model '%s'", what, name,
                      model->name);
}

// ---- sizes --------------------------------------------------------------------------------------

enum size_result { SIZE_OK, SIZE_WILDCARD, SIZE_INVALID, SIZE_OVERFLOW };

// Triton's rule: the empty shape has no elements.
static enum size_result count_elements(const int64_t *dims, uint32_t count, int64_t *elements)
{
    int64_t product = count == 0 ? 0 : 1;
    for (uint32_t i = 0; i < count; i++) {
        if (dims[i] == -1) {
            return SIZE_WILDCARD;
        }
        if (dims[i] < 0) {
            return SIZE_INVALID;
        }
        if (__builtin_mul_overflow(product, dims[i], &product)) {
            return SIZE_OVERFLOW;
        }
    }
    *elements = product;
    return SIZE_OK;
}

static struct nrd_status *size_error(enum size_result result, const char *what, const char *name,
                                     const int64_t *dims, uint32_t count)
{
    struct str text = STR_INIT;
    if (result == SIZE_INVALID) {
        bool element = what[0] == 'e';
        str_printf(&text, "tensor '%s' contains an invalid dimension%s ", name,
                   element ? " in shape" : "");
        append_dims(&text, dims, count);
    } else {
        str_printf(&text, "%s for tensor '%s' exceeds maximum size of %" PRId64, what, name,
                   INT64_MAX);
    }
    return error_of(NULL, &text);
}

// ---- BYTES --------------------------------------------------------------------------------------

// The walk through a BYTES tensor: where it is, and what it still needs.
struct bytes_walk {
    const struct request *request;
    const struct request_input *input;
    int64_t expected;
    int64_t seen;
    uint64_t open; // bytes of the current element that are still to come
};

static struct nrd_status *walk_buffer(struct bytes_walk *walk, const char *at, uint64_t left)
{
    const char *model = walk->request->model->name;
    while (left > 0) {
        if (walk->open == 0) {
            uint32_t length;
            if (left < sizeof(length)) {
                return request_error(
                    walk->request, NRD_INVALID_ARG,
                    "incomplete string length indicator for inference input '%s' for model '%s', "
                    "expecting 4 bytes but only %" PRIu64
                    " bytes available. Please make sure the string length indicator is in one "
                    "buffer.",
                    walk->input->name, model, left);
            }
            memcpy(&length, at, sizeof(length));
            walk->seen++;
            if (walk->seen > walk->expected) {
                return request_error(walk->request, NRD_INVALID_ARG,
                                     "unexpected number of string elements %" PRId64
                                     " for inference input '%s' for model '%s', expecting %" PRId64,
                                     walk->seen, walk->input->name, model, walk->expected);
            }
            walk->open = length;
            at += sizeof(length);
            left -= sizeof(length);
        }
        uint64_t step = walk->open < left ? walk->open : left;
        walk->open -= step;
        at += step;
        left -= step;
    }
    return NULL;
}

static struct nrd_status *check_bytes(const struct request *request,
                                      const struct request_input *input)
{
    struct bytes_walk walk = {.request = request, .input = input};
    enum size_result result = count_elements(input->full, input->full_count, &walk.expected);
    if (result == SIZE_INVALID || result == SIZE_OVERFLOW) {
        return size_error(result, "element count", input->name, input->full, input->full_count);
    }
    for (uint32_t i = 0; i < input->data.count; i++) {
        const struct request_buffer *buffer = &input->data.buffers[i];
        if (buffer->attributes.memory_type == TRITONSERVER_MEMORY_GPU) {
            return NULL; // backends check what lies on a GPU
        }
        NRD_TRY(walk_buffer(&walk, buffer->base, buffer->attributes.byte_size));
    }
    if (walk.seen != walk.expected) {
        return request_error(request, NRD_INVALID_ARG,
                             "expected %" PRId64
                             " string elements for inference input '%s' for model '%s', got "
                             "%" PRId64,
                             walk.expected, input->name, request->model->name, walk.seen);
    }
    return NULL;
}

// ---- the checks in their order ------------------------------------------------------------------

// Gives a raw input the name, type and shape that the model's only input has.
static struct nrd_status *deduce_raw(struct request *request)
{
    const struct model *model = request->model;
    if (request->input_count != 1 || model->input_count != 1) {
        return request_error(request, NRD_INVALID_ARG,
                             "Raw request must only have 1 input (found %" PRIu32
                             ") to be deduced but got %" PRIu32
                             " inputs in '%s' model configuration",
                             request->input_count, model->input_count, model->name);
    }
    struct request_input *input = &request->inputs[0];
    const struct model_io *io = &model->inputs[0];
    uint32_t count = io->dim_count + (model->max_batch_size > 0 ? 1 : 0);
    int64_t *shape = arena_alloc(&request->arena, (count + 1) * sizeof(*shape));
    if (shape == NULL) {
        return status_no_memory();
    }
    uint32_t at = 0;
    if (model->max_batch_size > 0) {
        shape[at++] = 1;
    }
    int64_t *variable = NULL;
    uint64_t elements = 1;
    for (uint32_t i = 0; i < io->dim_count; i++) {
        if (io->dims[i] != -1) {
            elements *= (uint64_t)io->dims[i];
        } else if (variable != NULL) {
            return request_error(request, NRD_INVALID_ARG,
                                 "The shape of the raw input '%s' can not be deduced because there "
                                 "are more than one variable-sized dimension",
                                 io->name);
        } else {
            variable = &shape[at];
        }
        shape[at++] = io->dims[i];
    }
    if (io->datatype == TRITONSERVER_TYPE_BYTES) {
        if (variable != NULL || elements != 1) {
            return request_error(request, NRD_INVALID_ARG,
                                 "For BYTE datatype raw input '%s', the model must have input "
                                 "shape [1]",
                                 io->name);
        }
        if (input->policies != NULL) {
            return request_error(request, NRD_INVALID_ARG,
                                 "Raw input with data associated with a host policy setting is not "
                                 "currently supported");
        }
        // The length word that a BYTES element begins with.
        bool there = input->data.count > 0 && input->data.buffers[0].base == &request->raw_size;
        if (!there) {
            struct buffer_attributes word = {.byte_size = sizeof(request->raw_size)};
            request->raw_size = (uint32_t)input->data.byte_size;
            NRD_TRY(request_append(request, input, NULL, &request->raw_size, &word));
            struct request_buffer *buffers = input->data.buffers;
            struct request_buffer last = buffers[input->data.count - 1];
            memmove(buffers + 1, buffers, (input->data.count - 1) * sizeof(*buffers));
            buffers[0] = last;
        }
    } else if (variable != NULL) {
        uint64_t row = elements * (io->element_size == 0 ? 1 : io->element_size);
        *variable = row == 0 ? 0 : (int64_t)(input->data.byte_size / row);
    }
    input->io = io;
    input->name = io->name;
    input->name_len = io->name_len;
    input->datatype = io->datatype;
    input->original = (struct dims){shape, count, count};
    return NULL;
}

static struct nrd_status *check_outputs(struct request *request)
{
    const struct model *model = request->model;
    if (request->asked_count == 0) {
        request->outputs = scheduler_all_outputs(model->scheduler);
        request->output_count = model->output_count;
        return NULL;
    }
    for (uint32_t i = 0; i < request->asked_count && request->asked_unknown; i++) {
        if (model_output(model, slice_of(request->asked[i])) == NULL) {
            return unexpected("output", request->asked[i], model);
        }
    }
    request->outputs = request->asked;
    request->output_count = request->asked_count;
    return NULL;
}

// A first dimension as a batch size; what is none is too large for every model.
static uint32_t batch_of(int64_t dim)
{
    return dim < 0 || dim > UINT32_MAX ? UINT32_MAX : (uint32_t)dim;
}

// Finds the batch size of a model that batches, and takes it off each shape.
static struct nrd_status *check_batch(struct request *request)
{
    const struct model *model = request->model;
    request->batch_size = 0;
    for (uint32_t i = 0; i < request->input_count; i++) {
        struct request_input *input = &request->inputs[i];
        if (input->io == NULL) {
            return unexpected("input", input->name, model);
        }
        input->shape = input->original.at;
        input->shape_count = input->original.count;
        if (model->max_batch_size == 0 || input->io->shape_tensor) {
            continue;
        }
        if (input->original.count == 0) {
            return request_error(request, NRD_INVALID_ARG,
                                 "input '%s' has no shape but model requires batch dimension for "
                                 "'%s'",
                                 input->name, model->name);
        }
        int64_t first = input->original.at[0];
        if (request->batch_size == 0) {
            request->batch_size = batch_of(first);
        } else if (first != (int64_t)request->batch_size) {
            return request_error(request, NRD_INVALID_ARG,
                                 "input '%s' batch size does not match other inputs for '%s'",
                                 input->name, model->name);
        }
        input->shape++;
        input->shape_count--;
    }
    if (request->batch_size > model->max_batch_size) {
        return request_error(request, NRD_INVALID_ARG,
                             "inference request batch-size must be <= %" PRIu32 " for '%s'",
                             model->max_batch_size, model->name);
    }
    return NULL;
}

static struct nrd_status *check_shape(const struct request *request,
                                      const struct request_input *input)
{
    const struct model_io *io = input->io;
    if (input->shape_count != io->dim_count) {
        return shape_error(request, input);
    }
    for (uint32_t i = 0; i < io->dim_count; i++) {
        if (input->shape[i] == -1) {
            struct str text = STR_INIT;
            str_printf(&text,
                       "All input dimensions should be specified for input '%s' for model '%s', "
                       "got ",
                       input->name, request->model->name);
            append_dims(&text, input->original.at, input->original.count);
            return error_of(request, &text);
        }
        if (io->dims[i] != -1 && io->dims[i] != input->shape[i]) {
            return shape_error(request, input);
        }
    }
    return NULL;
}

// Sets `full` and `shape` to what the backend is to see. Without a reshape that is what the client gave.
static struct nrd_status *apply_reshape(struct request *request, struct request_input *input)
{
    const struct model_io *io = input->io;
    bool prepend = request->batch_size != 0;
    // A first dimension of 0 lets the next input decide; then all have what that one says, as in Triton.
    bool other = prepend && (io->shape_tensor || input->original.at[0] != request->batch_size);
    bool as_given = !io->has_reshape && !other;
    if (as_given) {
        input->full = prepend ? input->original.at : input->shape;
        input->full_count = input->shape_count + (prepend ? 1 : 0);
        return NULL;
    }
    uint32_t count = io->has_reshape ? io->reshape_count : input->shape_count;
    if (input->reshaped.cap < count + 1) {
        input->reshaped.at = arena_alloc(&request->arena, (count + 1) * sizeof(int64_t));
        input->reshaped.cap = input->reshaped.at == NULL ? 0 : count + 1;
    }
    int64_t *full = input->reshaped.at;
    if (full == NULL) {
        return status_no_memory();
    }
    int64_t *shape = full + (prepend ? 1 : 0);
    if (prepend) {
        full[0] = request->batch_size;
    }
    uint32_t from = 0; // the variable dimensions of the client's shape, in turn
    for (uint32_t i = 0; i < count; i++) {
        int64_t dim = io->has_reshape ? io->reshape[i] : input->shape[i];
        if (io->has_reshape && dim == -1) {
            while (from < io->dim_count && io->dims[from] != -1) {
                from++;
            }
            dim = from < io->dim_count ? input->shape[from++] : 0;
        }
        shape[i] = dim;
    }
    input->full = full;
    input->full_count = count + (prepend ? 1 : 0);
    input->shape = shape;
    input->shape_count = count;
    return NULL;
}

static struct nrd_status *check_size(const struct request *request,
                                     const struct request_input *input)
{
    if (input->io->non_linear) {
        return NULL; // TensorRT's backend checks those
    }
    if (input->datatype == TRITONSERVER_TYPE_BYTES) {
        return check_bytes(request, input);
    }
    bool own = input->io->shape_tensor;
    const int64_t *dims = own ? input->original.at : input->full;
    uint32_t count = own ? input->original.count : input->full_count;
    int64_t size = 0;
    enum size_result result = count_elements(dims, count, &size);
    if (result == SIZE_OK && __builtin_mul_overflow(size, input->io->element_size, &size)) {
        result = SIZE_OVERFLOW;
    }
    if (result == SIZE_INVALID || result == SIZE_OVERFLOW) {
        return size_error(result, "byte size", input->name, dims, count);
    }
    if (result == SIZE_WILDCARD) {
        size = -1;
    }
    if ((uint64_t)size != input->data.byte_size) {
        return request_error(request, NRD_INVALID_ARG,
                             "input byte size mismatch for input '%s' for model '%s'. Expected "
                             "%" PRId64 ", got %" PRIu64,
                             input->name, request->model->name, size, input->data.byte_size);
    }
    return NULL;
}

static struct nrd_status *check_input(struct request *request, struct request_input *input)
{
    if (input->datatype != input->io->datatype) {
        return request_error(request, NRD_INVALID_ARG,
                             "inference input '%s' data-type is '%s', but model '%s' expects '%s'",
                             input->name, TRITONSERVER_DataTypeString(input->datatype),
                             request->model->name,
                             TRITONSERVER_DataTypeString(input->io->datatype));
    }
    NRD_TRY(check_shape(request, input));
    NRD_TRY(apply_reshape(request, input));
    return check_size(request, input);
}

struct nrd_status *request_normalize(struct request *request)
{
    const struct model *model = request->model;
    if (request->raw) {
        NRD_TRY(deduce_raw(request));
    }
    NRD_TRY(check_outputs(request));
    if (request->input_count > model->input_count ||
        request->input_count < model->required_input_count) {
        return count_error(request);
    }
    NRD_TRY(check_batch(request));
    for (uint32_t i = 0; i < request->input_count; i++) {
        NRD_TRY(check_input(request, &request->inputs[i]));
    }
    return NULL;
}
