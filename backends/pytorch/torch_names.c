// SPDX-License-Identifier: Apache-2.0
// Which input is which argument of forward(), which output is which of its results, by Triton's
// conventions and in its words. See torch_model.h.
#include "backends/common/model_check.h"
#include "backends/pytorch/torch_model.h"
#include "base/mem.h"

// The number behind the first "__" of a name.
static bool index_of(const char *name, uint32_t *index)
{
    const char *at = strstr(name, "__");
    int64_t value = 0;
    if (at == NULL || at[2] < '0' || at[2] > '9' || !slice_to_i64(slice_of(at + 2), &value) ||
        value > INT32_MAX) {
        return false;
    }
    *index = (uint32_t)value;
    return true;
}

static bool argument_of(const struct torch_module *module, const char *name, uint32_t *index)
{
    for (uint32_t i = 0; i < torch_module_arguments(module); i++) {
        if (strcmp(torch_module_argument(module, i)->name, name) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

// ---- the arguments of forward() ----

static TRITONSERVER_Error *check_arguments(const struct torch_names *names,
                                           const struct torch_model *m,
                                           const struct torch_module *module)
{
    uint32_t count = torch_module_arguments(module);
    for (uint32_t i = 1; i < count; i++) {
        if (torch_module_argument(module, i)->kind == TORCH_DICT) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "Multiple inputs of kind DictType were detected. Only a "
                                     "single input of type Dict(str, Tensor) is supported.");
        }
    }
    for (uint32_t i = 0; i < count && !names->dict; i++) {
        const struct torch_argument *a = torch_module_argument(module, i);
        if (a->kind != TORCH_TENSOR && a->kind != TORCH_LIST) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "An input of type '%s' was detected in the model. Only a "
                                     "single input of type Dict(str, Tensor) or input(s) of type "
                                     "Tensor are supported.",
                                     a->type);
        }
    }
    if (!names->dict && count != m->input_count) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', configuration expects %u inputs, "
                                 "model provides %u",
                                 m->config.name, m->input_count, count);
    }
    return NULL;
}

enum convention { BY_ARGUMENT, BY_INDEX, BY_ORDER };

static enum convention input_convention(const struct torch_model *m,
                                        const struct torch_module *module)
{
    uint32_t ignored = 0;
    bool arguments = true;
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        arguments = arguments && argument_of(module, m->config.inputs[i].name, &ignored);
    }
    if (arguments) {
        return BY_ARGUMENT;
    }
    for (uint32_t i = 0; i < m->config.input_count; i++) {
        if (!index_of(m->config.inputs[i].name, &ignored)) {
            BACKEND_LOG(WARN,
                        "input '%s' or previous input(s) are neither an input argument to the "
                        "model '%s' nor do they follow the <name>__<index> naming convention. "
                        "Falling back to enforcing strict ordering from model configuration.",
                        m->config.inputs[i].name, m->config.name);
            return BY_ORDER;
        }
    }
    return BY_INDEX;
}

// Controls of a sequence batcher have an index in their names, whatever the others have.
static TRITONSERVER_Error *place_input(const struct torch_model *m,
                                       const struct torch_module *module, enum convention by,
                                       uint32_t input, uint32_t *argument)
{
    const char *name = m->inputs[input];
    uint32_t targets = 0;
    for (uint32_t i = 0; i < m->ragged_count; i++) {
        targets += m->ragged[i].target_count;
    }
    bool control = input >= m->config.input_count + targets;
    *argument = input;
    if (control || by == BY_INDEX) {
        if (!index_of(name, argument)) {
            return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                     "input '%s' does not follow <name>__<index> naming "
                                     "convention.",
                                     name);
        }
    } else if (by == BY_ARGUMENT && !argument_of(module, name, argument)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "input '%s' is no argument of model '%s'", name, m->config.name);
    }
    return NULL;
}

// Every argument has one input.
static TRITONSERVER_Error *check_places(const struct torch_names *names,
                                        const struct torch_model *m)
{
    for (uint32_t i = 0; i < m->input_count; i++) {
        if (names->arguments[i] >= names->argument_count) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "input '%s' is argument %u of model '%s', which takes %u",
                                     m->inputs[i], names->arguments[i], m->config.name,
                                     names->argument_count);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (names->arguments[k] == names->arguments[i]) {
                return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                         "inputs '%s' and '%s' are both argument %u of model '%s'",
                                         m->inputs[k], m->inputs[i], names->arguments[i],
                                         m->config.name);
            }
        }
    }
    return NULL;
}

static TRITONSERVER_Error *place_inputs(struct torch_names *names, const struct torch_model *m,
                                        const struct torch_module *module)
{
    names->dict =
        torch_module_arguments(module) == 1 && torch_module_argument(module, 0)->kind == TORCH_DICT;
    BACKEND_TRY(check_arguments(names, m, module));
    names->argument_count = names->dict ? m->input_count : torch_module_arguments(module);
    enum convention by = names->dict ? BY_ORDER : input_convention(m, module);
    for (uint32_t i = 0; i < m->input_count; i++) {
        names->arguments[i] = i;
        if (!names->dict) {
            BACKEND_TRY(place_input(m, module, by, i, &names->arguments[i]));
        }
    }
    return check_places(names, m);
}

// How many results there are shows with the first run.
static void place_outputs(struct torch_names *names, const struct torch_model *m)
{
    enum convention by = BY_INDEX;
    uint32_t ignored = 0;
    for (uint32_t i = 0; i < m->config.output_count && by == BY_INDEX; i++) {
        const char *name = m->config.outputs[i].name;
        if (!index_of(name, &ignored)) {
            by = BY_ORDER;
            if (strstr(name, "__") != NULL) {
                BACKEND_LOG(WARN,
                            "output '%s' or previous output(s) of the model '%s' do not follow the "
                            "<name>__<index> naming convention. Falling back to enforcing strict "
                            "ordering from model configuration.",
                            name, m->config.name);
            }
        }
    }
    for (uint32_t i = 0; i < m->config.output_count; i++) {
        const struct model_tensor *output = m->responses[i];
        names->results[i] = (uint32_t)(output - m->config.outputs);
        if (by == BY_INDEX) {
            (void)index_of(output->name, &names->results[i]);
        }
    }
}

// ---- packages ----

static bool leaf_of(const char **leaves, uint32_t count, const char *ordinal, const char *name,
                    uint32_t *index)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(leaves[i], name) == 0) {
            *index = i;
            return true;
        }
    }
    return slice_starts(slice_of(name), slice_of(ordinal)) && index_of(name, index) &&
           *index < count;
}

static TRITONSERVER_Error *place_leaves(struct torch_names *names, const struct torch_model *m,
                                        const struct torch_module *module, struct arena *arena)
{
    const char **in = NULL;
    const char **out = NULL;
    uint32_t in_count = 0;
    uint32_t out_count = 0;
    BACKEND_TRY(backend_error(
        torch_spec_read(arena, torch_module_input_spec(module), true, &in, &in_count)));
    BACKEND_TRY(backend_error(
        torch_spec_read(arena, torch_module_output_spec(module), false, &out, &out_count)));
    if (in_count != m->input_count) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unable to load model '%s', configuration expects %u inputs, "
                                 "model provides %u",
                                 m->config.name, m->input_count, in_count);
    }
    names->argument_count = in_count;
    for (uint32_t i = 0; i < m->input_count; i++) {
        if (!leaf_of(in, in_count, "INPUT__", m->inputs[i], &names->arguments[i])) {
            return model_check_unknown("input", m->inputs[i], in, in_count);
        }
    }
    for (uint32_t i = 0; i < m->config.output_count; i++) {
        const char *name = m->responses[i]->name;
        if (!leaf_of(out, out_count, "OUTPUT__", name, &names->results[i])) {
            return model_check_unknown("output", name, out, out_count);
        }
    }
    return check_places(names, m);
}

static TRITONSERVER_Error *place_package(struct torch_names *names, const struct torch_model *m,
                                         const struct torch_module *module)
{
    struct arena arena;
    arena_init(&arena, 0);
    TRITONSERVER_Error *error = place_leaves(names, m, module, &arena);
    arena_fini(&arena);
    return error;
}

// ---- both ----

TRITONSERVER_Error *torch_names_init(struct torch_names *names, const struct torch_model *m,
                                     const struct torch_module *module)
{
    *names = (struct torch_names){0};
    names->arguments = mem_calloc((size_t)m->input_count + 1, sizeof(*names->arguments));
    names->results = mem_calloc((size_t)m->config.output_count + 1, sizeof(*names->results));
    TRITONSERVER_Error *error = NULL;
    if (names->arguments == NULL || names->results == NULL) {
        error = backend_no_memory();
    } else if (m->package) {
        error = place_package(names, m, module);
    } else {
        error = place_inputs(names, m, module);
        place_outputs(names, m);
    }
    if (error != NULL) {
        torch_names_fini(names);
    }
    return error;
}

void torch_names_fini(struct torch_names *names)
{
    mem_free(names->arguments);
    mem_free(names->results);
    *names = (struct torch_names){0};
}
