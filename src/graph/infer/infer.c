// SPDX-License-Identifier: Apache-2.0
// Inference: what is the same wherever a model is; see infer.h.
#include "graph/infer/infer.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "gpu/event.h"
#include "graph/devices.h"
#include "graph/streams.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

// ---- models ---------------------------------------------------------------------------------------------------------

struct nrd_status *infer_model_open(const struct infer_options *options, struct infer_model **model)
{
    if (options->model == NULL || options->model[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "no model is named");
    }
    return strcmp(options->url, "inprocess") == 0 ? core_model_open(options, model)
                                                  : remote_model_open(options, model);
}

void infer_model_close(struct infer_model *model)
{
    if (model != NULL) {
        model->table->close(model);
    }
}

static void free_specs(struct infer_spec *specs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        mem_free(specs[i].name);
        mem_free(specs[i].label_file);
        nrd_value_free(specs[i].labels);
    }
    mem_free(specs);
}

void infer_model_free(struct infer_model *model)
{
    free_specs(model->inputs, model->input_count);
    free_specs(model->outputs, model->output_count);
    mem_free(model->name);
    mem_free(model->place);
    mem_free(model->devices);
    mem_free(model);
}

static int find(const struct infer_spec *specs, uint32_t count, const char *name)
{
    if (name == NULL || name[0] == '\0') {
        return count == 1 ? 0 : -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(specs[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int infer_find_input(const struct infer_model *model, const char *name)
{
    return find(model->inputs, model->input_count, name);
}

int infer_find_output(const struct infer_model *model, const char *name)
{
    return find(model->outputs, model->output_count, name);
}

// ---- the metadata document --------------------------------------------------------------------------------------------

static struct nrd_status *read_spec(const struct json_node *node, struct infer_spec *spec)
{
    const struct json_node *member;
    struct slice text;
    NRD_TRY(json_member(node, "name", &member));
    NRD_TRY(json_want_string(member, &text));
    spec->name = mem_strndup(text.ptr, text.len);
    if (spec->name == NULL) {
        return status_no_memory();
    }
    NRD_TRY(json_member(node, "datatype", &member));
    NRD_TRY(json_want_string(member, &text));
    spec->dtype = dtype_from_name(text);
    NRD_TRY(json_member(node, "shape", &member));
    NRD_TRY(json_want_array(member));
    if (member->count > NRD_RANK_MAX) {
        return status_new(NRD_UNSUPPORTED, "tensor '%s' has %u dimensions, more than %d",
                          spec->name, member->count, NRD_RANK_MAX);
    }
    const struct json_node *dim = json_first(member);
    for (uint32_t i = 0; i < member->count; i++, dim = json_next(dim)) {
        if (!json_as_i64(dim, &spec->dims[i])) {
            return status_new(NRD_INVALID_ARG, "tensor '%s' has a shape that is not of numbers",
                              spec->name);
        }
    }
    spec->rank = member->count;
    return NULL;
}

static struct nrd_status *read_specs(const struct json_node *document, const char *key,
                                     struct infer_spec **specs, uint32_t *count)
{
    const struct json_node *list;
    NRD_TRY(json_member(document, key, &list));
    NRD_TRY(json_want_array(list));
    if (list->count == 0 || list->count > INFER_TENSORS_MAX) {
        return status_new(NRD_UNSUPPORTED, "%u %s, expected 1 to %u", list->count, key,
                          INFER_TENSORS_MAX);
    }
    *specs = mem_calloc(list->count, sizeof(**specs));
    if (*specs == NULL) {
        return status_no_memory();
    }
    const struct json_node *node = json_first(list);
    for (uint32_t i = 0; i < list->count; i++, node = json_next(node)) {
        *count = i + 1;
        NRD_TRY(read_spec(node, &(*specs)[i]));
    }
    return NULL;
}

static struct nrd_status *read_label_files(struct infer_model *model,
                                           const struct json_node *outputs)
{
    uint32_t count = outputs == NULL ? 0 : outputs->count;
    const struct json_node *node = count == 0 ? NULL : json_first(outputs);
    for (uint32_t i = 0; i < count; i++, node = json_next(node)) {
        const struct json_node *name = json_get(node, "name");
        const struct json_node *file = json_get(node, "label_filename");
        if (name == NULL || file == NULL || name->type != JSON_STRING ||
            file->type != JSON_STRING || json_text(file).len == 0) {
            continue;
        }
        for (uint32_t k = 0; k < model->output_count; k++) {
            struct infer_spec *spec = &model->outputs[k];
            if (spec->label_file == NULL && slice_equal(json_text(name), slice_of(spec->name))) {
                spec->label_file = mem_strndup(json_text(file).ptr, json_text(file).len);
                if (spec->label_file == NULL) {
                    return status_no_memory();
                }
            }
        }
    }
    return NULL;
}

// Adds a device that the text does not have yet.
static void add_device(struct str *text, const char *device)
{
    struct slice rest = str_slice(text);
    struct slice known;
    while (slice_cut(&rest, ',', &known)) {
        if (slice_equal(slice_trim(known), slice_of(device))) {
            return;
        }
    }
    str_append_cstr(text, text->len > 0 ? ", " : "");
    str_append_cstr(text, device);
}

static void add_group(struct str *text, const struct json_node *group)
{
    const struct json_node *kind = json_get(group, "kind");
    const struct json_node *gpus = json_get(group, "gpus");
    if (kind == NULL || kind->type != JSON_STRING) {
        return;
    }
    if (slice_is(json_text(kind), "KIND_CPU")) {
        add_device(text, "CPU");
    } else if (slice_is(json_text(kind), "KIND_MODEL")) {
        add_device(text, "devices of its own choice");
    }
    uint32_t count = gpus == NULL || gpus->type != JSON_ARRAY ? 0 : gpus->count;
    const struct json_node *node = count == 0 ? NULL : json_first(gpus);
    for (uint32_t i = 0; i < count; i++, node = json_next(node)) {
        int64_t id = 0;
        char name[32];
        if (json_as_i64(node, &id)) {
            snprintf(name, sizeof(name), "GPU %lld", (long long)id);
            add_device(text, name);
        }
    }
}

// Where the instances are, from a configuration that the server has completed.
static struct nrd_status *read_devices(struct infer_model *model, const struct json_node *groups)
{
    if (groups == NULL || groups->type != JSON_ARRAY || groups->count == 0) {
        return NULL; // an ensemble
    }
    struct str text = STR_INIT;
    const struct json_node *node = json_first(groups);
    for (uint32_t i = 0; i < groups->count; i++, node = json_next(node)) {
        add_group(&text, node);
    }
    struct nrd_status *status = str_status(&text);
    if (status == NULL && text.len > 0) {
        mem_free(model->devices);
        model->devices = str_take(&text);
        status = model->devices == NULL ? status_no_memory() : NULL;
    }
    str_fini(&text);
    return status;
}

static struct nrd_status *read_documents(struct infer_model *model, struct arena *arena,
                                         struct slice metadata, struct slice config)
{
    const struct json_node *document;
    if (metadata.ptr != NULL) {
        NRD_TRY(json_parse_status(arena, metadata, JSON_STRICT, "model metadata", &document));
        NRD_TRY(read_specs(document, "inputs", &model->inputs, &model->input_count));
        return read_specs(document, "outputs", &model->outputs, &model->output_count);
    }
    NRD_TRY(json_parse_status(arena, config, JSON_STRICT, "model configuration", &document));
    int64_t limit = 0;
    const struct json_node *member = json_get(document, "max_batch_size");
    model->batches = member != NULL && json_as_i64(member, &limit) && limit > 0;
    const struct json_node *policy = json_get(document, "model_transaction_policy");
    const struct json_node *decoupled = policy == NULL ? NULL : json_get(policy, "decoupled");
    bool is_decoupled = false;
    if (decoupled != NULL && json_as_bool(decoupled, &is_decoupled) && is_decoupled) {
        return status_new(
            NRD_UNSUPPORTED,
            "a decoupled model (any number of answers to a question) is not built yet");
    }
    NRD_TRY(read_devices(model, json_get(document, "instance_group")));
    const struct json_node *outputs = json_get(document, "output");
    return outputs != NULL && outputs->type == JSON_ARRAY ? read_label_files(model, outputs) : NULL;
}

static struct nrd_status *read_document(struct infer_model *model, struct slice metadata,
                                        struct slice config)
{
    struct arena arena;
    arena_init(&arena, 4096);
    struct nrd_status *status = read_documents(model, &arena, metadata, config);
    arena_fini(&arena);
    return status_wrap(status, "model '%s' (%s): ", model->name, model->place);
}

struct nrd_status *infer_read_metadata(struct infer_model *model, const char *json, size_t length)
{
    return read_document(model, (struct slice){json, length}, (struct slice){0});
}

struct nrd_status *infer_read_config(struct infer_model *model, const char *json, size_t length)
{
    return read_document(model, (struct slice){0}, (struct slice){json, length});
}

// ---- calls ----------------------------------------------------------------------------------------------------------

struct nrd_status *infer_call_create(struct infer_model *model, struct nrd_operator *op,
                                     struct nrd_resource *allocator, infer_done_fn done, void *arg,
                                     struct infer_call **call)
{
    struct infer_call *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    *made = (struct infer_call){
        .model = model, .op = op, .allocator = allocator, .done = done, .arg = arg};
    struct nrd_status *status = model->table->call_init(made);
    if (status != NULL) {
        infer_call_destroy(made);
        return status;
    }
    *call = made;
    return NULL;
}

void infer_call_destroy(struct infer_call *call)
{
    if (call == NULL) {
        return;
    }
    infer_call_clear(call);
    if (call->state != NULL) {
        call->model->table->call_fini(call);
    }
    mem_free(call);
}

static void give_up(struct nrd_tensor **tensors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        nrd_tensor_unref(tensors[i]);
        tensors[i] = NULL;
    }
}

struct nrd_status *infer_call_settle(struct infer_call *call, struct nrd_compute *ctx)
{
    struct gpu_stream *stream = NULL;
    if (call->event == NULL) {
        return NULL;
    }
    NRD_TRY(streams_get(call->op, call->event_device, &stream));
    NRD_TRY(gpu_stream_wait_handle(stream, call->event));
    call->event = NULL;
    // From here on the operator's stream has the outputs, and at the end of this compute it has used all of these.
    void *handle = gpu_stream_handle(stream);
    struct nrd_status *status = NULL;
    for (uint32_t i = 0; i < call->model->output_count && status == NULL; i++) {
        status =
            call->outputs[i] == NULL ? NULL : nrd_stream_wait_tensor(ctx, handle, call->outputs[i]);
    }
    for (uint32_t i = 0; i < call->model->input_count && status == NULL; i++) {
        status = nrd_stream_wait_tensor(ctx, handle, call->inputs[i]);
    }
    give_up(call->inputs, call->model->input_count);
    return status;
}

// Nobody took the answer over, and the GPU may still be at work on it.
static void wait_for_event(struct infer_call *call)
{
    struct gpu_device *device = NULL;
    struct nrd_status *status =
        devices_get(app_devices(call->op->fragment->app), call->event_device, &device);
    if (status == NULL) {
        status = gpu_handle_wait(device, call->event, 0);
    }
    if (status != NULL) {
        LOG_WARN("model '%s': %s", call->model->name, status_text(status));
        status_free(status);
    }
    call->event = NULL;
}

void infer_call_clear(struct infer_call *call)
{
    if (call->event != NULL) {
        wait_for_event(call);
    }
    give_up(call->inputs, call->model->input_count);
    give_up(call->outputs, call->model->output_count);
    status_free(call->status);
    call->status = NULL;
}

static struct nrd_status *refuse_input(const struct infer_model *model,
                                       const struct infer_spec *spec,
                                       const struct nrd_tensor *tensor)
{
    struct str text = STR_INIT;
    str_printf(&text, "model '%s': input '%s' is %s ", model->name, spec->name,
               dtype_name(tensor->dtype));
    shape_print(tensor->dims, tensor->rank, &text);
    str_printf(&text, ", expected %s ", dtype_name(spec->dtype));
    shape_print(spec->dims, spec->rank, &text);
    struct nrd_status *status = str_status(&text);
    if (status == NULL) {
        status = status_new_text(NRD_INVALID_ARG, text.ptr, text.len);
    }
    str_fini(&text);
    return status;
}

// The model's shape for that many elements: the first open dimension takes what is left, the others 1. False: none fits.
static bool shape_for(const struct infer_spec *spec, int64_t elements, int64_t *dims)
{
    int64_t known = 1;
    int open = -1;
    for (uint32_t i = 0; i < spec->rank; i++) {
        dims[i] = spec->dims[i] < 0 ? 1 : spec->dims[i];
        open = spec->dims[i] < 0 && open < 0 ? (int)i : open;
        known *= dims[i];
    }
    if (open >= 0 && known > 0 && elements % known == 0) {
        dims[open] = elements / known;
        return true;
    }
    return known == elements;
}

// The shape that the tensor is seen in. False: it does not fit.
static bool fit(const struct infer_model *model, const struct infer_spec *spec,
                const struct nrd_tensor *tensor, bool reshape, int64_t *dims)
{
    if (tensor->dtype != spec->dtype) {
        return false;
    }
    memcpy(dims, tensor->dims, tensor->rank * sizeof(dims[0]));
    if (shape_matches(tensor->dims, tensor->rank, spec->dims, spec->rank)) {
        return true;
    }
    if (tensor->rank + 1 == spec->rank && model->batches) {
        // A picture for a model that takes batches of them.
        dims[0] = 1;
        memcpy(dims + 1, tensor->dims, tensor->rank * sizeof(dims[0]));
        if (shape_matches(dims, spec->rank, spec->dims, spec->rank)) {
            return true;
        }
    }
    return reshape && shape_for(spec, nrd_tensor_elements(tensor), dims);
}

struct nrd_status *infer_call_set_input(struct infer_call *call, uint32_t index,
                                        struct nrd_tensor *tensor, bool reshape)
{
    const struct infer_spec *spec = &call->model->inputs[index];
    int64_t dims[NRD_RANK_MAX];
    if (!fit(call->model, spec, tensor, reshape, dims)) {
        struct nrd_status *status = refuse_input(call->model, spec, tensor);
        nrd_tensor_unref(tensor);
        return status;
    }
    if (!shape_equal(dims, spec->rank, tensor->dims, tensor->rank)) {
        struct nrd_tensor *view = NULL;
        struct nrd_status *status =
            nrd_tensor_view(tensor, 0, tensor->dtype, dims, spec->rank, &view);
        nrd_tensor_unref(tensor);
        NRD_TRY(status);
        tensor = view;
    }
    nrd_tensor_unref(call->inputs[index]);
    call->inputs[index] = tensor;
    return NULL;
}

struct nrd_status *infer_call_send(struct infer_call *call, bool here)
{
    give_up(call->outputs, call->model->output_count);
    status_free(call->status);
    call->status = NULL;
    struct nrd_status *status = NULL;
    for (uint32_t i = 0; i < call->model->input_count && status == NULL; i++) {
        if (call->inputs[i] == NULL) {
            status = status_new(NRD_INVALID_ARG, "model '%s': input '%s' is missing",
                                call->model->name, call->model->inputs[i].name);
        } else {
            // Servers, and cores that know no events, read the bytes at once.
            status = call->model->ordered ? NULL : nrd_tensor_synchronize(call->inputs[i]);
        }
    }
    if (status == NULL) {
        status = call->model->table->send(call, here);
    }
    if (status != NULL) {
        give_up(call->inputs, call->model->input_count);
    }
    return status;
}

void infer_call_cancel(struct infer_call *call)
{
    call->model->table->cancel(call);
}

void infer_call_finish(struct infer_call *call, struct nrd_status *status)
{
    if (call->event == NULL) {
        give_up(call->inputs, call->model->input_count);
    }
    if (status != NULL) {
        give_up(call->outputs, call->model->output_count);
    }
    call->status = status;
    call->done(call, call->arg);
}
