// SPDX-License-Identifier: Apache-2.0
// CUDA graphs: which batch sizes and shapes the configuration asks for (optimization.cuda), their
// capture when an instance is made, and which one serves a batch. See trt_instance.h.
#include "backends/common/model_complete.h"
#include "backends/tensorrt/trt_instance.h"
#include "base/mem.h"

// ---- the configuration ----

static const struct json_node *cuda_settings(const struct trt_model *m)
{
    const struct json_node *optimization = json_get(m->config.root, "optimization");
    return optimization == NULL ? NULL : json_get(optimization, "cuda");
}

// The configuration's JSON has 64-bit numbers as numbers or as texts.
static bool read_number(const struct json_node *node, int64_t *value)
{
    return node != NULL && (node->type == JSON_STRING ? slice_to_i64(json_text(node), value)
                                                      : json_as_i64(node, value));
}

static int64_t number_of(const struct json_node *object, const char *key)
{
    int64_t value = 0;
    (void)read_number(json_get(object, key), &value);
    return value;
}

static TRITONSERVER_Error *add_spec(struct trt_model *m, const struct trt_graph_spec *spec)
{
    struct trt_graph_spec *specs =
        arena_calloc(&m->config.arena, (size_t)m->spec_count + 1, sizeof(*specs));
    if (specs == NULL) {
        return backend_no_memory();
    }
    if (m->spec_count > 0) {
        memcpy(specs, m->specs, m->spec_count * sizeof(*specs));
    }
    specs[m->spec_count++] = *spec;
    m->specs = specs;
    return NULL;
}

static TRITONSERVER_Error *add_batch(struct trt_model *m, int64_t batch)
{
    const struct trt_graph_spec spec = {.batch = batch, .lower_batch = batch};
    for (uint32_t i = 0; i < m->spec_count; i++) {
        if (m->specs[i].batch == batch) {
            return NULL;
        }
    }
    return batch > (int64_t)m->config.max_batch_size ? NULL : add_spec(m, &spec);
}

static TRITONSERVER_Error *add_preferred(struct trt_model *m, const struct json_node *batcher)
{
    uint32_t count = model_array_count(batcher, "preferred_batch_size");
    const struct json_node *n =
        count == 0 ? NULL : json_first(json_get(batcher, "preferred_batch_size"));
    for (uint32_t i = 0; i < count; i++, n = json_next(n)) {
        int64_t batch = 0;
        BACKEND_TRY(read_number(n, &batch) ? add_batch(m, batch) : NULL);
    }
    return NULL;
}

// Without graph_spec: the sizes that the batcher prefers, else Triton's own; and the largest.
static TRITONSERVER_Error *add_defaults(struct trt_model *m)
{
    static const int64_t usual[] = {1, 2, 3, 4, 6, 8, 12, 16};
    const struct json_node *dynamic = json_get(m->config.root, "dynamic_batching");
    const struct json_node *sequence = json_get(m->config.root, "sequence_batching");
    const struct json_node *oldest = sequence == NULL ? NULL : json_get(sequence, "oldest");
    if (dynamic != NULL || oldest != NULL) {
        BACKEND_TRY(add_preferred(m, dynamic != NULL ? dynamic : oldest));
    } else {
        for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
            BACKEND_TRY(add_batch(m, usual[i]));
        }
        BACKEND_TRY(m->config.max_batch_size == 0 ? add_batch(m, 0) : NULL);
    }
    return m->config.max_batch_size > 0 ? add_batch(m, m->config.max_batch_size) : NULL;
}

// {"x": {"dim": [..]}, ...} -> dims of `inputs`, upper or lower.
static TRITONSERVER_Error *read_dims(const struct json_node *map, const char *name,
                                     struct trt_dims *dims)
{
    const struct json_node *shape = map == NULL ? NULL : json_get(map, name);
    uint32_t count = shape == NULL ? 0 : model_array_count(shape, "dim");
    if (shape == NULL) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "graph lower bound spec expects shape for input '%s'", name);
    }
    if (count >= TRT_DIMS_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "graph spec has %u dimensions for input '%s'", count, name);
    }
    const struct json_node *n = count == 0 ? NULL : json_first(json_get(shape, "dim"));
    dims->count = (int32_t)count;
    for (uint32_t i = 0; i < count; i++, n = json_next(n)) {
        if (!read_number(n, &dims->d[i]) || dims->d[i] < 0) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "graph spec expects input '%s' to have dimension >= 0", name);
        }
    }
    return NULL;
}

static bool dims_equal(const struct trt_dims *a, const struct trt_dims *b)
{
    return a->count == b->count &&
           memcmp(a->d, b->d, (size_t)(a->count < 0 ? 0 : a->count) * sizeof(a->d[0])) == 0;
}

static TRITONSERVER_Error *read_inputs(struct trt_model *m, const struct json_node *node,
                                       const struct json_node *lower, struct trt_graph_spec *spec)
{
    const struct json_node *map = json_get(node, "input");
    uint32_t count = map != NULL && map->type == JSON_OBJECT ? map->count : 0;
    struct trt_graph_input *inputs =
        arena_calloc(&m->config.arena, (size_t)count + 1, sizeof(*inputs));
    if (inputs == NULL) {
        return backend_no_memory();
    }
    const struct json_node *key = count == 0 ? NULL : json_first(map);
    for (uint32_t i = 0; i < count; i++) {
        inputs[i].name = arena_strdup(&m->config.arena, json_text(key));
        if (inputs[i].name == NULL) {
            return backend_no_memory();
        }
        BACKEND_TRY(read_dims(map, inputs[i].name, &inputs[i].dims));
        inputs[i].lower = inputs[i].dims;
        if (lower != NULL) {
            BACKEND_TRY(read_dims(json_get(lower, "input"), inputs[i].name, &inputs[i].lower));
        }
        if (!dims_equal(&inputs[i].dims, &inputs[i].lower)) {
            return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                     "model '%s': a graph_lower_bound may have fewer rows, not "
                                     "other shapes: input '%s' of a smaller shape is laid out "
                                     "otherwise",
                                     m->config.name, inputs[i].name);
        }
        key = json_next(json_next(key));
    }
    spec->inputs = inputs;
    spec->input_count = count;
    return NULL;
}

static TRITONSERVER_Error *check_spec(const struct trt_model *m, const struct trt_graph_spec *spec)
{
    int64_t most = (int64_t)m->config.max_batch_size;
    if (most == 0 && (spec->batch != 0 || spec->lower_batch != 0)) {
        return backend_error_new(
            TRITONSERVER_ERROR_INVALID_ARG,
            "graph spec expects 'batch_size' to be 0 if 'max_batch_size' is 0");
    }
    if (most > 0 && (spec->batch > most || spec->batch < 1 || spec->lower_batch > most ||
                     spec->lower_batch < 1)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "graph spec expects 'batch_size' to be >= 1 and <= %lld",
                                 (long long)most);
    }
    return spec->lower_batch > spec->batch
               ? backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                   "graph lower bound spec expects 'batch_size' to be <= graph "
                                   "spec 'batch_size'")
               : NULL;
}

static TRITONSERVER_Error *read_spec(struct trt_model *m, const struct json_node *node)
{
    const struct json_node *lower = json_get(node, "graph_lower_bound");
    struct trt_graph_spec spec = {.batch = number_of(node, "batch_size")};
    lower = lower != NULL && lower->type == JSON_OBJECT ? lower : NULL;
    spec.lower_batch = lower == NULL ? spec.batch : number_of(lower, "batch_size");
    BACKEND_TRY(read_inputs(m, node, lower, &spec));
    BACKEND_TRY(check_spec(m, &spec));
    return add_spec(m, &spec);
}

TRITONSERVER_Error *trt_graph_read(struct trt_model *m)
{
    const struct json_node *cuda = cuda_settings(m);
    const struct json_node *graphs = cuda == NULL ? NULL : json_get(cuda, "graphs");
    if (graphs == NULL || !json_as_bool(graphs, &m->graphs) || !m->graphs) {
        return NULL;
    }
    uint32_t count = model_array_count(cuda, "graph_spec");
    if (count == 0) {
        return add_defaults(m);
    }
    const struct json_node *n = json_first(json_get(cuda, "graph_spec"));
    for (uint32_t i = 0; i < count; i++, n = json_next(n)) {
        BACKEND_TRY(read_spec(m, n));
    }
    return NULL;
}

// ---- capture ----

static void free_graph(struct trt_graph *graph)
{
    gpu_graph_destroy(graph->graph);
    mem_free(graph->dims);
    mem_free(graph->lower);
}

void trt_graph_fini(struct trt_slot *slot)
{
    for (uint32_t i = 0; i < slot->graph_count; i++) {
        free_graph(&slot->graphs[i]);
    }
    mem_free(slot->graphs);
    slot->graphs = NULL;
    slot->graph_count = 0;
}

static TRITONSERVER_Error *enqueue(struct trt_slot *slot, const struct trt_tuned *tuned)
{
    struct trt_instance *s = slot->instance;
    struct trt_why why = {.text = ""};
    return s->model->backend->library.shim->context_enqueue(tuned->context,
                                                            gpu_stream_handle(s->compute), &why)
               ? NULL
               : trt_failure(s, "unable to record CUDA graph", &why);
}

// Reads and writes the slot's memory, whose places are the graph's from now on.
static TRITONSERVER_Error *bind_memory(struct trt_slot *slot, const struct trt_tuned *tuned,
                                       struct trt_graph *graph)
{
    struct trt_instance *s = slot->instance;
    const struct trt_shim *shim = s->model->backend->library.shim;
    struct trt_why why = {.text = ""};
    for (int inputs = 1; inputs >= 0; inputs--) {
        for (uint32_t i = 0; i < s->plan->io_count; i++) {
            const struct trt_io *io = &s->plan->ios[i];
            struct trt_memory *m = &slot->memory[i];
            uint64_t size = 0;
            if (io->tensor.input != (inputs == 1)) {
                continue;
            }
            if (inputs == 0 &&
                !shim->context_dims(tuned->context, io->tensor.name, &graph->dims[i])) {
                graph->dims[i].count = -1;
            }
            if (!trt_byte_size(io, &graph->dims[i], &size)) {
                return backend_error_new(TRITONSERVER_ERROR_UNSUPPORTED,
                                         "the shape of '%s' is not known before the run",
                                         io->tensor.name);
            }
            BACKEND_TRY(trt_slot_reserve(slot, i, size));
            m->dims = graph->dims[i];
            m->address = m->gpu->data;
            if (inputs == 0 &&
                !shim->context_address(tuned->context, io->tensor.name, m->address, &why)) {
                return trt_failure(s, "trt failed to set the address of an output", &why);
            }
        }
        BACKEND_TRY(inputs == 1 ? trt_bind_inputs(slot, tuned) : NULL);
    }
    return NULL;
}

static TRITONSERVER_Error *capture(struct trt_slot *slot, struct trt_graph *graph)
{
    struct trt_instance *s = slot->instance;
    const struct trt_tuned *tuned = &s->tuned[graph->tuned];
    BACKEND_TRY(bind_memory(slot, tuned, graph));
    // TensorRT prepares its resources in the first run, which must not be in the graph.
    BACKEND_TRY(enqueue(slot, tuned));
    BACKEND_TRY(backend_error(gpu_stream_sync(s->compute, 0)));
    BACKEND_TRY(backend_error(gpu_capture_begin(s->compute)));
    TRITONSERVER_Error *error = enqueue(slot, tuned);
    if (error != NULL) {
        gpu_capture_abort(s->compute);
        return error;
    }
    gpu_graph_destroy(graph->graph);
    graph->graph = NULL;
    BACKEND_TRY(backend_error(gpu_capture_end(s->compute, &graph->graph)));
    graph->generation = slot->generation;
    return NULL;
}

TRITONSERVER_Error *trt_graph_renew(struct trt_slot *slot, struct trt_graph *graph)
{
    if (graph->generation == slot->generation && graph->graph != NULL) {
        return NULL;
    }
    struct trt_instance *s = slot->instance;
    // What was gathered must not be overwritten by the run before the capture; and is not: a plan does
    // not write to its inputs. But it must have arrived, since that run reads it.
    BACKEND_TRY(gpu_io_wait(slot->io));
    BACKEND_TRY(backend_error(gpu_stream_sync(s->compute, 0)));
    return capture(slot, graph);
}

// The dims of an input in a graph; false: the configuration leaves some open.
static bool graph_dims(const struct trt_io *io, const struct trt_graph_spec *spec, bool batches,
                       struct trt_dims *dims, struct trt_dims *lower)
{
    *dims = io->tensor.dims;
    for (uint32_t i = 0; i < spec->input_count; i++) {
        const struct trt_graph_input *in = &spec->inputs[i];
        int32_t front = batches ? 1 : 0;
        if (strcmp(in->name, io->tensor.name) == 0 && in->dims.count + front == dims->count) {
            memcpy(dims->d + front, in->dims.d, (size_t)in->dims.count * sizeof(dims->d[0]));
        }
    }
    if (batches && dims->count > 0 && dims->d[0] == -1) {
        dims->d[0] = spec->batch;
    }
    *lower = *dims;
    if (batches && dims->count > 0) {
        lower->d[0] = spec->lower_batch;
    }
    return !trt_dims_open(dims);
}

static TRITONSERVER_Error *make_graph(struct trt_slot *slot, uint32_t tuned,
                                      const struct trt_graph_spec *spec)
{
    struct trt_instance *s = slot->instance;
    struct trt_graph *graphs =
        mem_realloc(slot->graphs, ((size_t)slot->graph_count + 1) * sizeof(*graphs));
    if (graphs == NULL) {
        return backend_no_memory();
    }
    slot->graphs = graphs;
    struct trt_graph *g = &graphs[slot->graph_count];
    *g = (struct trt_graph){.tuned = tuned,
                            .dims = mem_calloc((size_t)s->plan->io_count + 1, sizeof(*g->dims)),
                            .lower = mem_calloc((size_t)s->plan->io_count + 1, sizeof(*g->lower))};
    slot->graph_count++;
    if (g->dims == NULL || g->lower == NULL) {
        return backend_no_memory();
    }
    for (uint32_t i = 0; i < s->plan->io_count; i++) {
        const struct trt_io *io = &s->plan->ios[i];
        if (!io->tensor.input) {
            continue;
        }
        if (!graph_dims(io, spec, s->model->config.max_batch_size > 0, &g->dims[i], &g->lower[i])) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "graph_spec gives no shape for input '%s'", io->tensor.name);
        }
        slot->wishes[i].count = (uint32_t)g->dims[i].count;
        memcpy(slot->wishes[i].values, g->dims[i].d, sizeof(g->dims[i].d));
    }
    if (trt_profile_distance(&s->tuned[tuned].ranges, s->plan, slot->wishes) < 0) {
        return trt_profile_why(&s->tuned[tuned].ranges, s->plan, s->name, slot->wishes);
    }
    return capture(slot, g);
}

static TRITONSERVER_Error *warm_slot(struct trt_slot *slot)
{
    struct trt_instance *s = slot->instance;
    // The largest first: memory then does not move under the others.
    for (uint32_t left = s->model->spec_count; left > 0; left--) {
        const struct trt_graph_spec *spec = &s->model->specs[left - 1];
        for (uint32_t t = 0; t < s->tuned_count; t++) {
            TRITONSERVER_Error *error = make_graph(slot, t, spec);
            if (error == NULL) {
                BACKEND_LOG(VERBOSE, "captured CUDA graph for %s, batch size %lld", s->name,
                            (long long)spec->batch);
                continue;
            }
            BACKEND_LOG(WARN, "no CUDA graph for %s, batch size %lld: %s", s->name,
                        (long long)spec->batch, TRITONSERVER_ErrorMessage(error));
            TRITONSERVER_ErrorDelete(error);
            free_graph(&slot->graphs[--slot->graph_count]);
        }
    }
    return NULL;
}

TRITONSERVER_Error *trt_graph_warm(struct trt_instance *s)
{
    if (!s->model->graphs) {
        return NULL;
    }
    for (uint32_t i = 0; i < s->plan->io_count; i++) {
        const struct trt_io *io = &s->plan->ios[i];
        if (io->tensor.shape_tensor || io->tensor.on_host) {
            BACKEND_LOG(WARN, "Detected shape tensor, CUDA graph is not captured for %s", s->name);
            return NULL;
        }
    }
    for (uint32_t i = 0; i < TRT_SLOTS; i++) {
        BACKEND_TRY(warm_slot(&s->slots[i]));
    }
    return NULL;
}

// ---- choice ----

static bool covers(const struct trt_slot *slot, const struct trt_graph *g)
{
    const struct trt_plan *plan = slot->instance->plan;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        const struct trt_wish *wish = &slot->wishes[i];
        if (!plan->ios[i].tensor.input) {
            continue;
        }
        if (wish->count != (uint32_t)g->dims[i].count) {
            return false;
        }
        for (uint32_t k = 0; k < wish->count; k++) {
            if (wish->values[k] < g->lower[i].d[k] || wish->values[k] > g->dims[i].d[k]) {
                return false;
            }
        }
    }
    return true;
}

static int64_t rows_of(const struct trt_slot *slot, const struct trt_graph *g)
{
    const struct trt_plan *plan = slot->instance->plan;
    for (uint32_t i = 0; i < plan->io_count; i++) {
        if (plan->ios[i].tensor.input && g->dims[i].count > 0) {
            return g->dims[i].d[0];
        }
    }
    return 0;
}

struct trt_graph *trt_graph_find(struct trt_slot *slot, uint32_t tuned)
{
    struct trt_graph *best = NULL;
    for (uint32_t i = 0; i < slot->graph_count; i++) {
        struct trt_graph *g = &slot->graphs[i];
        if (g->tuned == tuned && covers(slot, g) &&
            (best == NULL || rows_of(slot, g) < rows_of(slot, best))) {
            best = g;
        }
    }
    return best;
}
