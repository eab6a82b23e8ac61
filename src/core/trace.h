// SPDX-License-Identifier: Apache-2.0
// Trace: what the client is told of a request's moments (TRITONSERVER_InferenceTrace). Timestamps only; tensor
// traces are refused by name. Each trace is called on whatever thread its request is on.
#ifndef NEREID_CORE_TRACE_H
#define NEREID_CORE_TRACE_H

#include <stdatomic.h>
#include <stdint.h>

#include "triton/core/tritonserver.h"

struct request;

struct trace {
    uint64_t id; // > 0, unique in this process
    uint64_t parent_id;
    TRITONSERVER_InferenceTraceLevel level;
    TRITONSERVER_InferenceTraceActivityFn_t activity_fn;
    TRITONSERVER_InferenceTraceReleaseFn_t release_fn;
    void *userp;
    char *model_name; // owned; "" until a request has it
    int64_t model_version;
    char *request_id; // owned
    char *context;    // owned; ""
};

// Names the trace after the request and reports REQUEST_START and QUEUE_START.
void trace_begin(struct trace *trace, const struct request *request);
// Calls the activity callback if the level asks for timestamps. NULL trace: nothing.
void trace_report(struct trace *trace, uint64_t timestamp_ns,
                  TRITONSERVER_InferenceTraceActivity activity);
// Tells the client that the trace is its own again (it deletes it then). NULL: nothing.
void trace_release(struct trace *trace);

#endif
