// SPDX-License-Identifier: Apache-2.0
// Captured graphs. Capture is thread-local: other threads may go on allocating, which a global capture would refuse them.
#include "gpu/graph_capture.h"

#include "base/mem.h"
#include "gpu/device_private.h"

struct gpu_graph {
    struct gpu_device *device;
    struct cu_graph_exec *exec;
    size_t nodes;
};

struct nrd_status *gpu_capture_begin(struct gpu_stream *stream)
{
    struct gpu_device *device = gpu_stream_device(stream);
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    struct nrd_status *status =
        GPU_CALL(device, capture_begin, (gpu_stream_handle(stream), CU_CAPTURE_THREAD_LOCAL));
    gpu_device_leave(&scope);
    return status;
}

// Both need the device entered.
static struct nrd_status *capture_take(struct gpu_stream *stream, struct cu_graph **captured)
{
    struct gpu_device *device = gpu_stream_device(stream);
    NRD_TRY(GPU_CALL(device, capture_end, (gpu_stream_handle(stream), captured)));
    return *captured == NULL ? status_new(NRD_INTERNAL, "GPU %d: a capture has nothing in it",
                                          device->info.ordinal)
                             : NULL;
}

static struct nrd_status *instantiate(struct gpu_device *device, struct cu_graph *captured,
                                      struct cu_graph_exec **exec, size_t *nodes)
{
    *nodes = 0;
    NRD_TRY(GPU_CALL(device, graph_nodes, (captured, NULL, nodes)));
    return GPU_CALL(device, graph_instantiate, (exec, captured, 0));
}

struct nrd_status *gpu_capture_end(struct gpu_stream *stream, struct gpu_graph **graph)
{
    struct gpu_device *device = gpu_stream_device(stream);
    struct cu_graph *captured = NULL;
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    struct gpu_graph *g = mem_calloc(1, sizeof(*g));
    struct nrd_status *status = capture_take(stream, &captured);
    if (status == NULL && g == NULL) {
        status = status_no_memory();
    }
    if (status == NULL) {
        g->device = device;
        status = instantiate(device, captured, &g->exec, &g->nodes);
    }
    if (captured != NULL) {
        (void)gpu_driver()->graph_destroy(captured);
    }
    gpu_device_leave(&scope);
    if (status != NULL) {
        mem_free(g);
        return status;
    }
    *graph = g;
    return NULL;
}

// True when `exec` could take the new graph's arguments over.
static bool update_in_place(struct cu_graph_exec *exec, struct cu_graph *captured)
{
    struct cu_graph_update_info info = {0};
    return gpu_driver()->graph_exec_update != NULL &&
           gpu_driver()->graph_exec_update(exec, captured, &info) == CU_SUCCESS;
}

struct nrd_status *gpu_capture_update(struct gpu_stream *stream, struct gpu_graph *graph,
                                      bool *anew)
{
    struct gpu_device *device = gpu_stream_device(stream);
    struct cu_graph *captured = NULL;
    bool made = false;
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(device, &scope));
    struct nrd_status *status = capture_take(stream, &captured);
    if (status == NULL && !update_in_place(graph->exec, captured)) {
        struct cu_graph_exec *exec = NULL;
        size_t nodes = 0;
        status = instantiate(device, captured, &exec, &nodes);
        if (status == NULL) {
            (void)gpu_driver()->graph_exec_destroy(graph->exec);
            graph->exec = exec;
            graph->nodes = nodes;
            made = true;
        }
    }
    if (captured != NULL) {
        (void)gpu_driver()->graph_destroy(captured);
    }
    gpu_device_leave(&scope);
    if (status == NULL && anew != NULL) {
        *anew = made;
    }
    return status;
}

void gpu_capture_abort(struct gpu_stream *stream)
{
    struct cu_graph *captured = NULL;
    struct gpu_scope scope;
    if (gpu_device_enter_release(gpu_stream_device(stream), &scope)) {
        if (gpu_driver()->capture_end(gpu_stream_handle(stream), &captured) == CU_SUCCESS &&
            captured != NULL) {
            (void)gpu_driver()->graph_destroy(captured);
        }
        gpu_device_leave(&scope);
    }
}

bool gpu_stream_is_capturing(struct gpu_stream *stream)
{
    int status = CU_CAPTURE_NONE;
    return gpu_driver()->stream_is_capturing(gpu_stream_handle(stream), &status) == CU_SUCCESS &&
           status != CU_CAPTURE_NONE;
}

struct nrd_status *gpu_graph_launch(struct gpu_graph *graph, struct gpu_stream *stream)
{
    struct gpu_scope scope;
    NRD_TRY(gpu_device_enter(graph->device, &scope));
    struct nrd_status *status =
        GPU_CALL(graph->device, graph_launch, (graph->exec, gpu_stream_handle(stream)));
    gpu_device_leave(&scope);
    return status;
}

size_t gpu_graph_node_count(const struct gpu_graph *graph)
{
    return graph->nodes;
}

void gpu_graph_destroy(struct gpu_graph *graph)
{
    if (graph == NULL) {
        return;
    }
    struct gpu_scope scope;
    if (gpu_device_enter_release(graph->device, &scope)) {
        (void)gpu_driver()->graph_exec_destroy(graph->exec);
        gpu_device_leave(&scope);
    }
    mem_free(graph);
}
