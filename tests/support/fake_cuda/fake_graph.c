// SPDX-License-Identifier: Apache-2.0
// Fake CUDA: captured graphs, modules and kernels. A graph is the list of what was queued while it was captured, in that
// order; a launch puts copies of it into one stream, so what could run side by side takes turns.
#include "tests/support/fake_cuda/fake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGIN(fn, ordinal)                                                                         \
    do {                                                                                           \
        int begin_ = fake_begin(GPU_FN_##fn, (ordinal));                                           \
        if (begin_ != CU_SUCCESS) {                                                                \
            return fake_end(begin_);                                                               \
        }                                                                                          \
    } while (0)

struct cu_graph_exec {
    struct cu_graph graph;
};
struct cu_module {
    int ordinal;
    struct cu_function *functions;
};
struct cu_function {
    struct cu_function *next;
    struct fake_kernel kernel;
    char name[64];
};

// ---- graphs -------------------------------------------------------------------------------------------------------

void fake_graph_add(struct cu_graph *graph, const struct fake_op *op)
{
    struct fake_op *copy = fake_op_copy(op);
    if (graph->tail == NULL) {
        graph->head = copy;
    } else {
        graph->tail->next = copy;
    }
    graph->tail = copy;
    graph->count++;
}

static void graph_clear(struct cu_graph *graph)
{
    while (graph->head != NULL) {
        struct fake_op *op = graph->head;
        graph->head = op->next;
        fake_op_fini(op);
        free(op);
    }
    graph->tail = NULL;
    graph->count = 0;
}

static _Thread_local int thread_mode; // CU_CAPTURE_GLOBAL

int cuThreadExchangeStreamCaptureMode(int *mode)
{
    BEGIN(thread_capture_mode, -1);
    int old = thread_mode;
    thread_mode = *mode;
    *mode = old;
    return fake_end(CU_SUCCESS);
}

bool fake_breaks_capture(void)
{
    bool broken = false;
    for (struct cu_stream *s = fake.streams; s != NULL; s = s->next) {
        if (thread_mode == CU_CAPTURE_GLOBAL && s->capture_origin &&
            s->capture_mode == CU_CAPTURE_GLOBAL) {
            s->capture_broken = broken = true;
        }
    }
    return broken;
}

int cuStreamBeginCapture_v2(struct cu_stream *stream, int mode)
{
    BEGIN(capture_begin, fake_stream_ordinal(stream));
    if (stream == NULL || stream->capture != NULL) {
        return fake_end(stream == NULL ? CU_STREAM_CAPTURE_UNSUPPORTED : CU_ILLEGAL_STATE);
    }
    stream->capture = calloc(1, sizeof(*stream->capture));
    if (stream->capture == NULL) {
        return fake_end(CU_OUT_OF_MEMORY);
    }
    stream->capture_origin = true;
    stream->capture_mode = mode;
    stream->capture_broken = false;
    return fake_end(CU_SUCCESS);
}

int cuStreamEndCapture(struct cu_stream *stream, struct cu_graph **graph)
{
    BEGIN(capture_end, fake_stream_ordinal(stream));
    if (stream == NULL || stream->capture == NULL || !stream->capture_origin) {
        return fake_end(CU_ILLEGAL_STATE);
    }
    struct cu_graph *captured = stream->capture;
    bool broken = false;
    for (struct cu_stream *s = fake.streams; s != NULL; s = s->next) {
        if (s->capture == captured) {
            broken = broken || s->capture_broken;
            s->capture = NULL;
            s->capture_origin = false;
            s->capture_broken = false;
        }
    }
    *graph = NULL;
    if (broken) {
        graph_clear(captured);
        free(captured);
        return fake_end(CU_STREAM_CAPTURE_INVALIDATED);
    }
    fake.counts.graphs++;
    *graph = captured;
    return fake_end(CU_SUCCESS);
}

int cuStreamIsCapturing(struct cu_stream *stream, int *status)
{
    BEGIN(stream_is_capturing, fake_stream_ordinal(stream));
    *status = stream == NULL || stream->capture == NULL ? CU_CAPTURE_NONE
              : stream->capture_broken                  ? CU_CAPTURE_INVALIDATED
                                                        : CU_CAPTURE_ACTIVE;
    return fake_end(CU_SUCCESS);
}

int cuGraphGetNodes(struct cu_graph *graph, struct cu_graph_node **nodes, size_t *count)
{
    BEGIN(graph_nodes, -1);
    *count = graph->count;
    return fake_end(nodes == NULL ? CU_SUCCESS : CU_NOT_SUPPORTED);
}

static void graph_copy(struct cu_graph *to, const struct cu_graph *from)
{
    for (const struct fake_op *op = from->head; op != NULL; op = op->next) {
        fake_graph_add(to, op);
    }
}

int cuGraphInstantiateWithFlags(struct cu_graph_exec **exec, struct cu_graph *graph,
                                unsigned long long flags)
{
    (void)flags;
    BEGIN(graph_instantiate, fake_current());
    struct cu_graph_exec *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return fake_end(CU_OUT_OF_MEMORY);
    }
    graph_copy(&e->graph, graph);
    fake.counts.execs++;
    *exec = e;
    return fake_end(CU_SUCCESS);
}

int cuGraphExecUpdate_v2(struct cu_graph_exec *exec, struct cu_graph *graph,
                         struct cu_graph_update_info *info)
{
    BEGIN(graph_exec_update, fake_current());
    const struct fake_op *a = exec->graph.head;
    const struct fake_op *b = graph->head;
    while (a != NULL && b != NULL && a->kind == b->kind) {
        a = a->next;
        b = b->next;
    }
    if (a != NULL || b != NULL) {
        info->result = 2; // the topology changed
        return fake_end(CU_GRAPH_EXEC_UPDATE_FAILURE);
    }
    graph_clear(&exec->graph);
    graph_copy(&exec->graph, graph);
    info->result = 0;
    return fake_end(CU_SUCCESS);
}

int cuGraphUpload(struct cu_graph_exec *exec, struct cu_stream *stream)
{
    BEGIN(graph_upload, fake_stream_ordinal(stream));
    return fake_end(exec == NULL ? CU_INVALID_VALUE : CU_SUCCESS);
}

int cuGraphLaunch(struct cu_graph_exec *exec, struct cu_stream *stream)
{
    BEGIN(graph_launch, fake_stream_ordinal(stream));
    struct cu_stream *s = fake_stream(stream);
    int result = CU_SUCCESS;
    for (const struct fake_op *op = exec->graph.head; op != NULL && result == CU_SUCCESS;
         op = op->next) {
        result = fake_enqueue(s, op);
    }
    return fake_end(result);
}

int cuGraphExecDestroy(struct cu_graph_exec *exec)
{
    BEGIN(graph_exec_destroy, -1);
    graph_clear(&exec->graph);
    free(exec);
    fake.counts.execs--;
    return fake_end(CU_SUCCESS);
}

int cuGraphDestroy(struct cu_graph *graph)
{
    BEGIN(graph_destroy, -1);
    graph_clear(graph);
    free(graph);
    fake.counts.graphs--;
    return fake_end(CU_SUCCESS);
}

// ---- modules and kernels ------------------------------------------------------------------------------------------

static uint64_t busy_cost(const struct fake_launch *launch)
{
    uint64_t ns;
    memcpy(&ns, launch->params, sizeof(ns));
    return ns;
}

static const struct fake_kernel built_in[] = {
    {.name = "fake_busy", .param_bytes = sizeof(uint64_t), .cost = busy_cost},
    {.name = "fake_fault", .param_bytes = sizeof(int), .cost_ns = 1000},
};

void fake_cuda_kernel(const struct fake_kernel *kernel)
{
    pthread_mutex_lock(&fake.lock);
    if (fake.kernel_count == FAKE_KERNELS ||
        kernel->param_bytes > sizeof(((struct fake_launch_state *)0)->params)) {
        fprintf(stderr, "fake CUDA: kernel %s does not fit\n", kernel->name);
        abort();
    }
    fake.kernels[fake.kernel_count++] = *kernel;
    pthread_mutex_unlock(&fake.lock);
}

int cuModuleLoadDataEx(struct cu_module **module, const void *image, unsigned count, int *options,
                       void **values)
{
    int current = fake_current();
    (void)count;
    (void)options;
    (void)values;
    BEGIN(module_load, current);
    if (image == NULL || current < 0) {
        return fake_end(image == NULL ? CU_INVALID_VALUE : CU_INVALID_CONTEXT);
    }
    *module = calloc(1, sizeof(**module));
    if (*module == NULL) {
        return fake_end(CU_OUT_OF_MEMORY);
    }
    (*module)->ordinal = current;
    fake.counts.modules++;
    return fake_end(CU_SUCCESS);
}

int cuModuleUnload(struct cu_module *module)
{
    BEGIN(module_unload, -1);
    while (module->functions != NULL) {
        struct cu_function *f = module->functions;
        module->functions = f->next;
        free(f);
    }
    free(module);
    fake.counts.modules--;
    return fake_end(CU_SUCCESS);
}

static const struct fake_kernel *find_kernel(const char *name)
{
    for (unsigned i = 0; i < fake.kernel_count; i++) {
        if (strcmp(fake.kernels[i].name, name) == 0) {
            return &fake.kernels[i];
        }
    }
    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        if (strcmp(built_in[i].name, name) == 0) {
            return &built_in[i];
        }
    }
    return NULL;
}

int cuModuleGetFunction(struct cu_function **function, struct cu_module *module, const char *name)
{
    BEGIN(module_function, module->ordinal);
    const struct fake_kernel *kernel = find_kernel(name);
    struct cu_function *f = kernel == NULL ? NULL : calloc(1, sizeof(*f));
    if (f == NULL) {
        return fake_end(CU_NOT_FOUND);
    }
    f->kernel = *kernel;
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->kernel.name = f->name;
    f->next = module->functions;
    module->functions = f;
    *function = f;
    return fake_end(CU_SUCCESS);
}

int cuFuncSetAttribute(struct cu_function *function, int attribute, int value)
{
    BEGIN(function_set_attribute, fake_current());
    return fake_end(function == NULL || attribute != CU_FUNC_MAX_DYNAMIC_SHARED || value < 0
                        ? CU_INVALID_VALUE
                        : CU_SUCCESS);
}

int cuLaunchKernel(struct cu_function *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   struct cu_stream *stream, void **params, void **extra)
{
    int ordinal = fake_stream_ordinal(stream);
    BEGIN(launch_kernel, ordinal);
    struct cu_stream *s = fake_stream(stream);
    if (s == NULL || extra != NULL || shared_bytes > 227 * 1024 || grid_x == 0 || grid_y == 0 ||
        grid_z == 0 || block_x == 0 || block_y == 0 || block_z == 0 ||
        (uint64_t)block_x * block_y * block_z > 1024 || grid_y > 65535 || grid_z > 65535) {
        return fake_end(s == NULL ? CU_INVALID_CONTEXT : CU_INVALID_VALUE);
    }
    struct fake_launch_state state = {.kernel = function->kernel,
                                      .is_fault = strcmp(function->name, "fake_fault") == 0,
                                      .launch = {.ordinal = ordinal,
                                                 .grid = {grid_x, grid_y, grid_z},
                                                 .block = {block_x, block_y, block_z}}};
    if (function->kernel.param_bytes > 0) {
        memcpy(state.params, params[0], function->kernel.param_bytes);
    }
    state.launch.params = state.params;
    double cost = (double)(function->kernel.cost != NULL ? function->kernel.cost(&state.launch)
                                                         : function->kernel.cost_ns);
    struct fake_op op = {.kind = FAKE_OP_KERNEL,
                         .ordinal = ordinal,
                         .engine = FAKE_COMPUTE,
                         .duration_ns = (uint64_t)(cost / fake.devices[ordinal].gpu.speed) + 1,
                         .launch = &state};
    return fake_end(fake_enqueue(s, &op));
}

// ---- what was done ------------------------------------------------------------------------------------------------

static uint64_t read_counter(const uint64_t *counter)
{
    pthread_mutex_lock(&fake.lock);
    uint64_t value = *counter;
    pthread_mutex_unlock(&fake.lock);
    return value;
}

uint64_t fake_cuda_busy_ns(int ordinal)
{
    return read_counter(&fake.devices[ordinal].busy_ns);
}

uint64_t fake_cuda_launches(int ordinal)
{
    return read_counter(&fake.devices[ordinal].launches);
}

uint64_t fake_cuda_copied_bytes(int ordinal)
{
    return read_counter(&fake.devices[ordinal].copied_bytes);
}
