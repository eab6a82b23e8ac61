// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_InferenceTrace*.
#include "core/abi/abi.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "core/trace.h"

static struct trace *own(TRITONSERVER_InferenceTrace *trace)
{
    return (struct trace *)trace;
}

const char *TRITONSERVER_InferenceTraceLevelString(TRITONSERVER_InferenceTraceLevel level)
{
    switch (level) {
    case TRITONSERVER_TRACE_LEVEL_DISABLED:
        return "DISABLED";
    case TRITONSERVER_TRACE_LEVEL_MIN:
        return "MIN";
    case TRITONSERVER_TRACE_LEVEL_MAX:
        return "MAX";
    case TRITONSERVER_TRACE_LEVEL_TIMESTAMPS:
        return "TIMESTAMPS";
    case TRITONSERVER_TRACE_LEVEL_TENSORS:
        return "TENSORS";
    default:
        return "<unknown>";
    }
}

const char *TRITONSERVER_InferenceTraceActivityString(TRITONSERVER_InferenceTraceActivity activity)
{
    static const char *const names[] = {
        [TRITONSERVER_TRACE_REQUEST_START] = "REQUEST_START",
        [TRITONSERVER_TRACE_QUEUE_START] = "QUEUE_START",
        [TRITONSERVER_TRACE_COMPUTE_START] = "COMPUTE_START",
        [TRITONSERVER_TRACE_COMPUTE_INPUT_END] = "COMPUTE_INPUT_END",
        [TRITONSERVER_TRACE_COMPUTE_OUTPUT_START] = "COMPUTE_OUTPUT_START",
        [TRITONSERVER_TRACE_COMPUTE_END] = "COMPUTE_END",
        [TRITONSERVER_TRACE_REQUEST_END] = "REQUEST_END",
        [TRITONSERVER_TRACE_TENSOR_QUEUE_INPUT] = "TENSOR_QUEUE_INPUT",
        [TRITONSERVER_TRACE_TENSOR_BACKEND_INPUT] = "TENSOR_BACKEND_INPUT",
        [TRITONSERVER_TRACE_TENSOR_BACKEND_OUTPUT] = "TENSOR_BACKEND_OUTPUT",
        [TRITONSERVER_TRACE_CUSTOM_ACTIVITY] = "CUSTOM_ACTIVITY",
    };
    return (size_t)activity < sizeof(names) / sizeof(names[0]) ? names[activity] : "<unknown>";
}

// ---- life -------------------------------------------------------------------------------------

static TRITONSERVER_Error *make(TRITONSERVER_InferenceTrace **trace, const struct trace *like)
{
    static _Atomic uint64_t next_id = 1;
    struct trace *made = mem_alloc(sizeof(*made));
    if (made == NULL) {
        return abi_error(status_no_memory());
    }
    *made = *like;
    // Relaxed: the number only has to differ from all others.
    made->id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
    *trace = (TRITONSERVER_InferenceTrace *)made;
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceTraceNew(TRITONSERVER_InferenceTrace **trace,
                               TRITONSERVER_InferenceTraceLevel level, uint64_t parent_id,
                               TRITONSERVER_InferenceTraceActivityFn_t activity_fn,
                               TRITONSERVER_InferenceTraceReleaseFn_t release_fn, void *trace_userp)
{
    if ((level & TRITONSERVER_TRACE_LEVEL_TENSORS) != 0) {
        return abi_unbuilt("a trace of level TENSORS");
    }
    // The two old names mean TIMESTAMPS.
    bool old = (level & (TRITONSERVER_TRACE_LEVEL_MIN | TRITONSERVER_TRACE_LEVEL_MAX)) != 0;
    return make(trace, &(struct trace){.level = old ? TRITONSERVER_TRACE_LEVEL_TIMESTAMPS : level,
                                       .parent_id = parent_id,
                                       .activity_fn = activity_fn,
                                       .release_fn = release_fn,
                                       .userp = trace_userp});
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceTensorNew(
    TRITONSERVER_InferenceTrace **trace, TRITONSERVER_InferenceTraceLevel level, uint64_t parent_id,
    TRITONSERVER_InferenceTraceActivityFn_t activity_fn,
    TRITONSERVER_InferenceTraceTensorActivityFn_t tensor_activity_fn,
    TRITONSERVER_InferenceTraceReleaseFn_t release_fn, void *trace_userp)
{
    (void)tensor_activity_fn; // only called at level TENSORS, which is refused
    return TRITONSERVER_InferenceTraceNew(trace, level, parent_id, activity_fn, release_fn,
                                          trace_userp);
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceDelete(TRITONSERVER_InferenceTrace *trace)
{
    if (trace != NULL) {
        mem_free(own(trace)->model_name);
        mem_free(own(trace)->request_id);
        mem_free(own(trace)->context);
        mem_free(own(trace));
    }
    return NULL;
}

TRITONSERVER_Error *
TRITONSERVER_InferenceTraceSpawnChildTrace(TRITONSERVER_InferenceTrace *trace,
                                           TRITONSERVER_InferenceTrace **child_trace)
{
    const struct trace *parent = own(trace);
    *child_trace = NULL;
    if (parent == NULL) {
        return NULL;
    }
    return make(child_trace, &(struct trace){.level = parent->level,
                                             .parent_id = parent->id,
                                             .activity_fn = parent->activity_fn,
                                             .release_fn = parent->release_fn,
                                             .userp = parent->userp});
}

// ---- reporting and asking ---------------------------------------------------------------------

TRITONSERVER_Error *TRITONSERVER_InferenceTraceReportActivity(TRITONSERVER_InferenceTrace *trace,
                                                              uint64_t timestamp,
                                                              const char *activity_name)
{
    (void)activity_name; // the callback has no place for it
    trace_report(own(trace), timestamp, TRITONSERVER_TRACE_CUSTOM_ACTIVITY);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceId(TRITONSERVER_InferenceTrace *trace, uint64_t *id)
{
    *id = own(trace)->id;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceParentId(TRITONSERVER_InferenceTrace *trace,
                                                        uint64_t *parent_id)
{
    *parent_id = own(trace)->parent_id;
    return NULL;
}

static const char *text_or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceModelName(TRITONSERVER_InferenceTrace *trace,
                                                         const char **model_name)
{
    *model_name = text_or_empty(own(trace)->model_name);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceModelVersion(TRITONSERVER_InferenceTrace *trace,
                                                            int64_t *model_version)
{
    *model_version = own(trace)->model_version;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceRequestId(TRITONSERVER_InferenceTrace *trace,
                                                         const char **request_id)
{
    *request_id = text_or_empty(own(trace)->request_id);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceSetContext(TRITONSERVER_InferenceTrace *trace,
                                                          const char *trace_context)
{
    char *copy = mem_strdup(trace_context);
    if (copy == NULL) {
        return abi_error(status_no_memory());
    }
    mem_free(own(trace)->context);
    own(trace)->context = copy;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_InferenceTraceContext(TRITONSERVER_InferenceTrace *trace,
                                                       const char **trace_context)
{
    *trace_context = text_or_empty(own(trace)->context);
    return NULL;
}
