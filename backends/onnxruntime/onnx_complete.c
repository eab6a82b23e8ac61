// SPDX-License-Identifier: Apache-2.0
// Completes a configuration from the model: inputs or outputs that it leaves out, the batch limit,
// and a dynamic batcher for models that batch. One that names inputs and outputs is left alone. See
// onnx_model.h.
#include "backends/common/model_complete.h"
#include "backends/onnxruntime/onnx_model.h"

static bool first_dims_open(const struct onnx_tensors *tensors)
{
    for (uint32_t i = 0; i < tensors->count; i++) {
        if (tensors->items[i].dim_count == 0 || tensors->items[i].dims[0] != -1) {
            return false;
        }
    }
    return true;
}

// The batch limit that the completed configuration gets.
static TRITONSERVER_Error *choose_batch_limit(const struct onnx_model *m, bool *batches,
                                              uint32_t *limit)
{
    *batches = first_dims_open(&m->inputs) && first_dims_open(&m->outputs);
    *limit = m->config.max_batch_size;
    if (!*batches && *limit != 0) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "autofill failed for model '%s': model does not support batching "
                                 "while non-zero max_batch_size is specified",
                                 m->config.name);
    }
    if (*batches && *limit == 0 && m->default_max_batch_size <= 0) {
        *batches = false; // nobody wants it: the first dimension is one like the others
        return NULL;
    }
    if (*batches && *limit == 0) {
        *limit = (uint32_t)m->default_max_batch_size;
        BACKEND_LOG(WARN,
                    "autofilled max_batch_size to %u for model '%s' since batching is supported "
                    "but no max_batch_size is specified in model configuration. Must specify "
                    "max_batch_size to utilize autofill with a larger max batch size",
                    *limit, m->config.name);
    }
    return NULL;
}

static void write_tensors(struct json_writer *w, const struct onnx_tensors *tensors, bool batching)
{
    for (uint32_t i = 0; i < tensors->count; i++) {
        const struct onnx_tensor *t = &tensors->items[i];
        model_write_tensor(w, t->name, t->dtype, t->dims, t->dim_count, batching);
    }
}

struct completing {
    const struct onnx_model *model;
    bool batching;
};

static void write_inputs(struct json_writer *w, void *userp)
{
    const struct completing *c = userp;
    write_tensors(w, &c->model->inputs, c->batching);
}

static void write_outputs(struct json_writer *w, void *userp)
{
    const struct completing *c = userp;
    write_tensors(w, &c->model->outputs, c->batching);
}

TRITONSERVER_Error *onnx_complete(struct onnx_model *m, TRITONBACKEND_Model *handle, bool *changed)
{
    const struct json_node *root = m->config.root;
    uint32_t inputs = model_array_count(root, "input") + model_array_count(root, "batch_input");
    uint32_t outputs = model_array_count(root, "output");
    *changed = false;
    if (inputs > 0 && outputs > 0) {
        BACKEND_LOG(VERBOSE,
                    "skipping model configuration auto-complete for '%s': inputs and outputs "
                    "already specified",
                    m->config.name);
        return NULL;
    }
    bool batches = false;
    uint32_t limit = 0;
    BACKEND_TRY(choose_batch_limit(m, &batches, &limit));
    struct completing userp = {m, limit > 0};
    struct model_completion c = {
        .write_inputs = inputs == 0 ? write_inputs : NULL,
        .write_outputs = outputs == 0 ? write_outputs : NULL,
        .userp = &userp,
        .max_batch_size = limit,
        .dynamic_batching = batches && limit > 1 && json_get(root, "sequence_batching") == NULL &&
                            json_get(root, "dynamic_batching") == NULL,
    };
    BACKEND_TRY(model_complete(handle, &m->config, &c));
    *changed = true;
    return NULL;
}
