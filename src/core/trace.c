// SPDX-License-Identifier: Apache-2.0
// Trace: reporting. What the client sees of one is in abi/trace.c.
#include "core/trace.h"

#include "base/mem.h"
#include "core/model.h"
#include "core/request.h"

void trace_report(struct trace *trace, uint64_t timestamp_ns,
                  TRITONSERVER_InferenceTraceActivity activity)
{
    if (trace != NULL && trace->activity_fn != NULL &&
        (trace->level & TRITONSERVER_TRACE_LEVEL_TIMESTAMPS) != 0) {
        trace->activity_fn((TRITONSERVER_InferenceTrace *)trace, activity, timestamp_ns,
                           trace->userp);
    }
}

void trace_begin(struct trace *trace, const struct request *request)
{
    mem_free(trace->model_name);
    mem_free(trace->request_id);
    trace->model_name = mem_strdup(request->model->name);
    trace->model_version = request->model->version;
    trace->request_id =
        mem_strndup(request->id.ptr == NULL ? "" : request->id.ptr, request->id.len);
    trace_report(trace, request->start_ns, TRITONSERVER_TRACE_REQUEST_START);
    trace_report(trace, request->queue_ns, TRITONSERVER_TRACE_QUEUE_START);
}

void trace_release(struct trace *trace)
{
    if (trace != NULL && trace->release_fn != NULL) {
        trace->release_fn((TRITONSERVER_InferenceTrace *)trace, trace->userp);
    }
}
