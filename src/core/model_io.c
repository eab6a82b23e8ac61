// SPDX-License-Identifier: Apache-2.0
// Model I/O: the inputs and outputs of a configuration, brought into the form in which requests are checked.
//
// Done once a load, so that a request needs one hash look-up a tensor and no protobuf. Start at model_compile_io().
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "config/model_config.h"
#include "core/model.h"

// The schema's data types are numbered as the ABI's.
_Static_assert((int)INFERENCE__DATA_TYPE__TYPE_BOOL == (int)TRITONSERVER_TYPE_BOOL, "BOOL");
_Static_assert((int)INFERENCE__DATA_TYPE__TYPE_INT64 == (int)TRITONSERVER_TYPE_INT64, "INT64");
_Static_assert((int)INFERENCE__DATA_TYPE__TYPE_FP64 == (int)TRITONSERVER_TYPE_FP64, "FP64");
_Static_assert((int)INFERENCE__DATA_TYPE__TYPE_STRING == (int)TRITONSERVER_TYPE_BYTES, "BYTES");
_Static_assert((int)INFERENCE__DATA_TYPE__TYPE_BF16 == (int)TRITONSERVER_TYPE_BF16, "BF16");

// ---- labels ---------------------------------------------------------------------------------------------------------

static void labels_destroy(struct label_list *labels)
{
    if (labels != NULL) {
        mem_free(labels->lines);
        mem_free(labels->text);
        mem_free(labels);
    }
}

// Cuts `labels->text` into lines. A last line without an end counts; an empty rest does not.
static struct nrd_status *cut_lines(struct label_list *labels)
{
    size_t lines = 1;
    for (const char *at = labels->text; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    labels->lines = mem_calloc(lines, sizeof(*labels->lines));
    if (labels->lines == NULL) {
        return status_no_memory();
    }
    for (char *at = labels->text; *at != '\0';) {
        labels->lines[labels->count++] = at;
        char *end = strchr(at, '\n');
        if (end == NULL) {
            break;
        }
        *end = '\0';
        at = end + 1;
    }
    return NULL;
}

static struct nrd_status *read_labels(const char *path, struct label_list **out)
{
    struct str text = STR_INIT;
    struct nrd_status *status = file_read(path, 0, &text);
    struct label_list *labels = mem_calloc(1, sizeof(*labels));
    if (status == NULL && labels == NULL) {
        status = status_no_memory();
    }
    if (status == NULL) {
        str_append_char(&text, '\0');
        labels->text = str_take(&text);
        status = labels->text == NULL ? status_no_memory() : cut_lines(labels);
    }
    str_fini(&text);
    if (status != NULL) {
        labels_destroy(labels);
        return status;
    }
    *out = labels;
    return NULL;
}

// Whether `path`, links resolved, lies in `directory`.
static bool is_inside(const char *path, const char *directory)
{
    char real[4096];
    char root[4096];
    if (realpath(path, real) == NULL || realpath(directory, root) == NULL) {
        return strstr(path + strlen(directory), "..") == NULL; // reading it will say what is wrong
    }
    size_t length = strlen(root);
    return strncmp(real, root, length) == 0 && (real[length] == '/' || real[length] == '\0');
}

static struct nrd_status *load_labels(struct model *model, struct model_io *io,
                                      const char *file_name)
{
    char *path = path_join(model->directory, file_name);
    if (path == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status =
        is_inside(path, model->directory)
            ? read_labels(path, &io->labels)
            : status_new(NRD_UNSUPPORTED,
                         "label file path '%s' for output '%s' in model '%s' is outside model "
                         "directory",
                         path, io->name, model->name);
    mem_free(path);
    return status;
}

const char *model_io_label(const struct model_io *output, size_t index)
{
    if (output->labels == NULL || index >= output->labels->count) {
        return NULL;
    }
    const char *label = output->labels->lines[index];
    return label[0] == '\0' ? NULL : label; // an empty line is no label, as in Triton
}

// ---- compiling ------------------------------------------------------------------------------------------------------

// The product of `dims`; -1 if one of them is variable.
static int64_t count_elements(const int64_t *dims, uint32_t count)
{
    int64_t elements = 1;
    for (uint32_t i = 0; i < count; i++) {
        if (dims[i] < 0 || (elements != 0 && dims[i] > INT64_MAX / elements)) {
            return -1;
        }
        elements *= dims[i];
    }
    return elements;
}

// What inputs and outputs have in common. `full` is room for one dimension more than `dims`.
static void fill(struct model *model, struct model_io *io, const char *name,
                 Inference__DataType type, const int64_t *dims, size_t dim_count,
                 const Inference__ModelTensorReshape *reshape, bool shape_tensor, int64_t *full)
{
    io->name = name;
    io->name_len = (uint32_t)strlen(name);
    io->datatype = (TRITONSERVER_DataType)type;
    io->element_size = TRITONSERVER_DataTypeByteSize(io->datatype);
    io->dims = dims;
    io->dim_count = (uint32_t)dim_count;
    io->fixed_elements = count_elements(dims, io->dim_count);
    io->variable = io->fixed_elements < 0;
    io->shape_tensor = shape_tensor;
    if (reshape != NULL) {
        io->has_reshape = true;
        io->reshape = reshape->shape;
        io->reshape_count = (uint32_t)reshape->n_shape;
    }
    io->full_dims = full;
    if (model->max_batch_size > 0 && !shape_tensor) {
        full[io->full_dim_count++] = -1;
    }
    for (size_t i = 0; i < dim_count; i++) {
        full[io->full_dim_count++] = dims[i];
    }
}

static struct nrd_status *compile_inputs(struct model *model, int64_t **full)
{
    const Inference__ModelConfig *config = model->config;
    for (size_t i = 0; i < config->n_input; i++) {
        const Inference__ModelInput *from = config->input[i];
        struct model_io *io = &model->inputs[i];
        io->index = (uint32_t)i;
        fill(model, io, from->name, from->data_type, from->dims, from->n_dims, from->reshape,
             from->is_shape_tensor, *full);
        *full += from->n_dims + 1;
        io->optional = from->optional;
        io->ragged = from->allow_ragged_batch;
        io->non_linear = from->is_non_linear_format_io;
        model->required_input_count += !io->optional;
        NRD_TRY(map_put(&model->input_by_name, slice_of(io->name), io, NULL));
    }
    return NULL;
}

static struct nrd_status *compile_outputs(struct model *model, int64_t **full)
{
    const Inference__ModelConfig *config = model->config;
    for (size_t i = 0; i < config->n_output; i++) {
        const Inference__ModelOutput *from = config->output[i];
        struct model_io *io = &model->outputs[i];
        io->index = (uint32_t)i;
        fill(model, io, from->name, from->data_type, from->dims, from->n_dims, from->reshape,
             from->is_shape_tensor, *full);
        *full += from->n_dims + 1;
        io->non_linear = from->is_non_linear_format_io;
        if (from->label_filename[0] != '\0') {
            NRD_TRY(load_labels(model, io, from->label_filename));
        }
        NRD_TRY(map_put(&model->output_by_name, slice_of(io->name), io, NULL));
    }
    return NULL;
}

struct nrd_status *model_compile_io(struct model *model)
{
    const Inference__ModelConfig *config = model->config;
    size_t dims = 0;
    for (size_t i = 0; i < config->n_input; i++) {
        dims += config->input[i]->n_dims + 1;
    }
    for (size_t i = 0; i < config->n_output; i++) {
        dims += config->output[i]->n_dims + 1;
    }
    model->max_batch_size = config->max_batch_size > 0 ? (uint32_t)config->max_batch_size : 0;
    model->inputs = mem_calloc(config->n_input + 1, sizeof(*model->inputs));
    model->outputs = mem_calloc(config->n_output + 1, sizeof(*model->outputs));
    model->dims_memory = mem_calloc(dims + 1, sizeof(*model->dims_memory));
    if (model->inputs == NULL || model->outputs == NULL || model->dims_memory == NULL) {
        return status_no_memory();
    }
    model->input_count = (uint32_t)config->n_input;
    model->output_count = (uint32_t)config->n_output;
    int64_t *full = model->dims_memory;
    NRD_TRY(compile_inputs(model, &full));
    return compile_outputs(model, &full);
}

void model_free_io(struct model *model)
{
    for (uint32_t i = 0; model->outputs != NULL && i < model->output_count; i++) {
        labels_destroy(model->outputs[i].labels);
    }
    map_fini(&model->input_by_name);
    map_fini(&model->output_by_name);
    mem_free(model->inputs);
    mem_free(model->outputs);
    mem_free(model->dims_memory);
}

const struct model_io *model_input(const struct model *model, struct slice name)
{
    return map_get(&model->input_by_name, name);
}

const struct model_io *model_output(const struct model *model, struct slice name)
{
    return map_get(&model->output_by_name, name);
}
