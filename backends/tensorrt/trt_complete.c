// SPDX-License-Identifier: Apache-2.0
// Completes a configuration from its plan, by Triton's rules: the batch limit is that of the profiles,
// unless the shapes that the configuration gives say that nothing is batched; tensors that it leaves
// out are added, and of those that it names the types, shapes and flags that are missing. See
// trt_model.h.
#include "backends/common/model_check.h"
#include "backends/common/model_complete.h"
#include "backends/tensorrt/trt_model.h"

struct completing {
    const struct trt_model *m;
    const struct trt_plan *plan;
    bool batching;
};

// ---- one tensor ----

static void write_dims(struct json_writer *w, const struct trt_io *io, bool batching)
{
    const struct trt_dims *dims = &io->tensor.dims;
    if (!io->tensor.shape_tensor) {
        model_write_dims(w, dims->d, (uint32_t)dims->count, batching);
        return;
    }
    json_key(w, "dims");
    json_array_begin(w);
    if (dims->count != 0) {
        json_i64(w, dims->d[0] - (batching ? 1 : 0)); // the batch is in front of the values
    }
    json_array_end(w);
}

static void write_flags(struct json_writer *w, const struct trt_io *io)
{
    json_key(w, "is_shape_tensor");
    json_bool(w, io->tensor.shape_tensor);
    json_key(w, "is_non_linear_format_io");
    json_bool(w, !io->tensor.linear);
}

static void write_type(struct json_writer *w, const struct trt_io *io)
{
    json_key(w, "data_type");
    json_cstring(w, model_data_type_name(io->dtype));
}

static void write_new(struct json_writer *w, const struct trt_io *io, bool batching)
{
    json_object_begin(w);
    json_key(w, "name");
    json_cstring(w, io->tensor.name);
    write_type(w, io);
    write_dims(w, io, batching);
    write_flags(w, io);
    json_object_end(w);
}

// What a configured tensor lacks.
static bool lacks_type(const struct json_node *tensor)
{
    const struct json_node *n = json_get(tensor, "data_type");
    return n == NULL || n->type != JSON_STRING || json_text(n).len == 0 ||
           slice_is(json_text(n), "TYPE_INVALID");
}

static void write_merged(struct json_writer *w, const struct json_node *tensor,
                         const struct trt_io *io, bool batching)
{
    bool type = lacks_type(tensor);
    bool dims = model_array_count(tensor, "dims") == 0;
    json_object_begin(w);
    const struct json_node *key = json_first(tensor);
    for (uint32_t i = 0; i < tensor->count; i++) {
        struct slice name = json_text(key);
        const struct json_node *value = json_next(key);
        bool replaced = (type && slice_is(name, "data_type")) || (dims && slice_is(name, "dims")) ||
                        slice_is(name, "is_shape_tensor") ||
                        slice_is(name, "is_non_linear_format_io");
        if (!replaced) {
            json_key_slice(w, name);
            json_write_node(w, value);
        }
        key = json_next(value);
    }
    if (type) {
        write_type(w, io);
    }
    if (dims) {
        write_dims(w, io, batching);
    }
    write_flags(w, io);
    json_object_end(w);
}

// The plan's tensor of a configured one; NULL: there is none, or the configuration has no name.
static const struct trt_io *find_io(const struct trt_plan *plan, const struct json_node *tensor)
{
    const struct json_node *name = json_get(tensor, "name");
    for (uint32_t i = 0; name != NULL && name->type == JSON_STRING && i < plan->io_count; i++) {
        if (slice_is(json_text(name), plan->ios[i].tensor.name)) {
            return &plan->ios[i];
        }
    }
    return NULL;
}

static void write_list(struct json_writer *w, const struct completing *c, const char *list,
                       bool input)
{
    uint32_t count = model_array_count(c->m->config.root, list);
    const struct json_node *n = count == 0 ? NULL : json_first(json_get(c->m->config.root, list));
    for (uint32_t i = 0; i < count; i++, n = json_next(n)) {
        const struct trt_io *io = find_io(c->plan, n);
        if (io == NULL) {
            json_write_node(w, n); // a sequence's own, or refused before
        } else {
            write_merged(w, n, io, c->batching);
        }
    }
    for (uint32_t i = 0; count == 0 && i < c->plan->io_count; i++) {
        if (c->plan->ios[i].tensor.input == input) {
            write_new(w, &c->plan->ios[i], c->batching);
        }
    }
}

static void write_inputs(struct json_writer *w, void *userp)
{
    write_list(w, userp, "input", true);
}

static void write_outputs(struct json_writer *w, void *userp)
{
    write_list(w, userp, "output", false);
}

// ---- whether it batches ----

// What the configured tensors say: one whose shape is one dimension short of the plan's batches.
struct hint {
    bool batches;
    bool ragged;     // one has no batch dimension though it batches: the rest is not looked at
    uint32_t shapes; // how many gave one
};

static TRITONSERVER_Error *read_hint(const struct trt_model *m, const struct json_node *tensor,
                                     const struct trt_io *io, struct hint *hint)
{
    const struct json_node *reshape = json_get(tensor, "reshape");
    const struct json_node *dims =
        reshape != NULL ? json_get(reshape, "shape") : json_get(tensor, "dims");
    uint32_t count = dims != NULL && dims->type == JSON_ARRAY ? dims->count : 0;
    bool batches = (uint32_t)io->tensor.dims.count == count + 1;
    if (count == 0) {
        return NULL;
    }
    if (io->tensor.shape_tensor) {
        int64_t first = 0;
        (void)json_as_i64(json_first(dims), &first);
        batches = io->tensor.dims.count > 0 && io->tensor.dims.d[0] == first + 1;
    }
    hint->shapes++;
    if (hint->batches && !batches) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "unable to autofill for '%s', model tensor configurations are "
                                 "contradicting each other in terms of whether batching is "
                                 "supported",
                                 m->config.name);
    }
    hint->batches = hint->batches || batches;
    return NULL;
}

static TRITONSERVER_Error *unknown(const struct completing *c, const struct json_node *tensor,
                                   const char *role)
{
    const char *all[256];
    size_t count = 0;
    char name[256] = "";
    const struct json_node *node = json_get(tensor, "name");
    for (uint32_t i = 0; i < c->plan->io_count && count < 256; i++) {
        if (c->plan->ios[i].tensor.input == (strcmp(role, "input") == 0)) {
            all[count++] = c->plan->ios[i].tensor.name;
        }
    }
    if (node != NULL && node->type == JSON_STRING && json_text(node).len < sizeof(name)) {
        memcpy(name, json_text(node).ptr, json_text(node).len);
    }
    return model_check_unknown(role, name, all, count);
}

static TRITONSERVER_Error *read_hints(const struct completing *c, const char *role,
                                      struct hint *hint)
{
    uint32_t count = model_array_count(c->m->config.root, role);
    const struct json_node *n = count == 0 ? NULL : json_first(json_get(c->m->config.root, role));
    for (uint32_t i = 0; i < count; i++, n = json_next(n)) {
        bool ragged = false;
        const struct json_node *flag = json_get(n, "allow_ragged_batch");
        if (flag != NULL && json_as_bool(flag, &ragged) && ragged) {
            hint->batches = true; // only batches have such tensors
            hint->ragged = true;
            return NULL;
        }
        const struct trt_io *io = find_io(c->plan, n);
        if (io == NULL || io->tensor.input != (strcmp(role, "input") == 0)) {
            return unknown(c, n, role);
        }
        BACKEND_TRY(read_hint(c->m, n, io, hint));
    }
    return NULL;
}

static TRITONSERVER_Error *choose_limit(const struct completing *c, int64_t *engine,
                                        uint32_t *limit)
{
    const struct model_config *config = &c->m->config;
    struct hint hint = {.shapes = 0};
    BACKEND_TRY(read_hints(c, "input", &hint));
    BACKEND_TRY(hint.ragged ? NULL : read_hints(c, "output", &hint));
    BACKEND_TRY(trt_profile_batch_limit(c->m, c->plan, engine));
    if (hint.batches && *engine == 0) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "autofill failed for model '%s': model tensor shape configuration "
                                 "hints for dynamic batching but the underlying engine doesn't "
                                 "support batching.",
                                 config->name);
    }
    if (hint.shapes != 0 && !hint.batches) {
        BACKEND_LOG(WARN,
                    "The specified dimensions in model config for %s hints that batching is "
                    "unavailable",
                    config->name);
        *engine = 0;
    }
    if ((int64_t)config->max_batch_size > *engine) {
        return backend_error_new(TRITONSERVER_ERROR_INTERNAL,
                                 "autofill failed for model '%s': configuration specified "
                                 "max-batch %u but TensorRT engine only supports max-batch %lld",
                                 config->name, config->max_batch_size, (long long)*engine);
    }
    *limit = config->max_batch_size == 0 ? (uint32_t)*engine : config->max_batch_size;
    return NULL;
}

TRITONSERVER_Error *trt_complete(struct trt_model *m, TRITONBACKEND_Model *handle,
                                 const struct trt_plan *plan, bool *changed)
{
    struct completing userp = {m, plan, false};
    int64_t engine = 0;
    uint32_t limit = 0;
    BACKEND_TRY(choose_limit(&userp, &engine, &limit));
    userp.batching = limit > 0;
    struct model_completion c = {
        .write_inputs = write_inputs,
        .write_outputs = write_outputs,
        .userp = &userp,
        .max_batch_size = limit,
        .dynamic_batching = engine > 1 && json_get(m->config.root, "sequence_batching") == NULL &&
                            json_get(m->config.root, "dynamic_batching") == NULL,
    };
    BACKEND_TRY(model_complete(handle, &m->config, &c));
    *changed = true;
    return NULL;
}
