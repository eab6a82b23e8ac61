// SPDX-License-Identifier: Apache-2.0
// Completes a configuration that names no inputs or no outputs with what torch_probe() finds out
// about the TorchScript file: INPUT__<n>, OUTPUT__<n>. See torch_model.h.
#include "backends/common/model_complete.h"
#include "backends/pytorch/torch_model.h"
#include "backends/pytorch/torch_probe.h"
#include "base/mem.h"
#include "base/str.h"

struct completing {
    const struct torch_signature *signature;
    bool batching;
};

static void write_tensors(struct json_writer *w, const struct torch_guess *guesses, uint32_t count,
                          const char *role, bool batching)
{
    for (uint32_t i = 0; i < count; i++) {
        struct str name = STR_INIT;
        str_printf(&name, "%s__%u", role, i);
        model_write_tensor(w, str_cstr(&name), guesses[i].dtype, guesses[i].dims,
                           guesses[i].dim_count, batching);
        str_fini(&name);
    }
}

static void write_inputs(struct json_writer *w, void *userp)
{
    const struct completing *c = userp;
    write_tensors(w, c->signature->inputs, c->signature->input_count, "INPUT", c->batching);
}

static void write_outputs(struct json_writer *w, void *userp)
{
    const struct completing *c = userp;
    write_tensors(w, c->signature->outputs, c->signature->output_count, "OUTPUT", c->batching);
}

static void print_tensors(struct str *text, const char *role, const struct torch_guess *guesses,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        str_printf(text, " %s__%u %s ", role, i, model_data_type_name(guesses[i].dtype));
        model_shape_print(guesses[i].dims, guesses[i].dim_count, text);
    }
}

TRITONSERVER_Error *torch_complete(const struct torch_model *m, TRITONBACKEND_Model *handle,
                                   const char *path, bool *changed)
{
    const struct json_node *root = m->config.root;
    uint32_t inputs = model_array_count(root, "input") + model_array_count(root, "batch_input");
    uint32_t outputs = model_array_count(root, "output");
    struct torch_why why;
    *changed = false;
    if (inputs > 0 && outputs > 0) {
        return NULL;
    }
    struct torch_signature *signature = mem_calloc(1, sizeof(*signature));
    if (signature == NULL) {
        return backend_no_memory();
    }
    if (!torch_probe(path, signature, &why)) {
        BACKEND_LOG(WARN,
                    "skipping model configuration auto-complete for '%s': inputs and outputs of "
                    "its file cannot be found out: %s",
                    m->config.name, why.text);
        mem_free(signature);
        return NULL;
    }
    struct str text = STR_INIT;
    print_tensors(&text, "INPUT", signature->inputs, signature->input_count);
    print_tensors(&text, "OUTPUT", signature->outputs, signature->output_count);
    BACKEND_LOG(WARN,
                "model '%s' says nothing about its inputs or outputs; its file was tried, and they "
                "are taken to be, rows first:%s",
                m->config.name, str_cstr(&text));
    str_fini(&text);
    struct completing userp = {signature, m->config.max_batch_size > 0};
    struct model_completion c = {
        .write_inputs = inputs == 0 ? write_inputs : NULL,
        .write_outputs = outputs == 0 ? write_outputs : NULL,
        .userp = &userp,
        .max_batch_size = m->config.max_batch_size,
    };
    TRITONSERVER_Error *error = model_complete(handle, &m->config, &c);
    mem_free(signature);
    *changed = error == NULL;
    return error;
}
