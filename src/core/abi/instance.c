// SPDX-License-Identifier: Apache-2.0
// TRITONBACKEND_ModelInstance*: what a backend asks about its instance, and what it reports of its work.
#include "core/abi/abi.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/request.h"
#include "core/response.h"
#include "core/retry.h"
#include "core/stats.h"
#include "core/trace.h"

static struct instance *own(TRITONBACKEND_ModelInstance *instance)
{
    return (struct instance *)instance;
}

// ---- what it is -------------------------------------------------------------------------------

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceName(TRITONBACKEND_ModelInstance *instance,
                                                    const char **name)
{
    *name = own(instance)->name;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceKind(TRITONBACKEND_ModelInstance *instance,
                                                    TRITONSERVER_InstanceGroupKind *kind)
{
    *kind = own(instance)->kind;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceDeviceId(TRITONBACKEND_ModelInstance *instance,
                                                        int32_t *device_id)
{
    *device_id = own(instance)->device_id;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceHostPolicy(TRITONBACKEND_ModelInstance *instance,
                                                          TRITONSERVER_Message **host_policy)
{
    *host_policy = (TRITONSERVER_Message *)own(instance)->host_policy;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceIsPassive(TRITONBACKEND_ModelInstance *instance,
                                                         bool *is_passive)
{
    *is_passive = own(instance)->passive;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceProfileCount(TRITONBACKEND_ModelInstance *instance,
                                                            uint32_t *count)
{
    *count = own(instance)->profile_count;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceProfileName(TRITONBACKEND_ModelInstance *instance,
                                                           const uint32_t index,
                                                           const char **profile_name)
{
    *profile_name = NULL;
    if (index >= own(instance)->profile_count) {
        return abi_error(status_new(NRD_INVALID_ARG,
                                    "out of bounds index %" PRIu32
                                    ": instance is configured with %" PRIu32 " profiles",
                                    index, own(instance)->profile_count));
    }
    *profile_name = own(instance)->profiles[index];
    return NULL;
}

TRITONSERVER_Error *
TRITONBACKEND_ModelInstanceSecondaryDeviceCount(TRITONBACKEND_ModelInstance *instance,
                                                uint32_t *count)
{
    *count = own(instance)->secondary_device_count;
    return NULL;
}

TRITONSERVER_Error *
TRITONBACKEND_ModelInstanceSecondaryDeviceProperties(TRITONBACKEND_ModelInstance *instance,
                                                     uint32_t index, const char **kind, int64_t *id)
{
    if (index >= own(instance)->secondary_device_count) {
        return abi_error(status_new(NRD_INVALID_ARG,
                                    "out of bounds index %" PRIu32
                                    ": instance is configured with %" PRIu32 " secondary devices",
                                    index, own(instance)->secondary_device_count));
    }
    *kind = own(instance)->secondary_devices[index].kind;
    *id = own(instance)->secondary_devices[index].id;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceModel(TRITONBACKEND_ModelInstance *instance,
                                                     TRITONBACKEND_Model **model)
{
    *model = (TRITONBACKEND_Model *)own(instance)->model;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceState(TRITONBACKEND_ModelInstance *instance,
                                                     void **state)
{
    *state = own(instance)->state;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceSetState(TRITONBACKEND_ModelInstance *instance,
                                                        void *state)
{
    own(instance)->state = state;
    return NULL;
}

// ---- what it reports --------------------------------------------------------------------------

TRITONSERVER_Error *
TRITONBACKEND_ModelInstanceReportMemoryUsage(TRITONBACKEND_ModelInstance *instance,
                                             TRITONSERVER_BufferAttributes **usage,
                                             uint32_t usage_size)
{
    return abi_error(stats_set_memory_usage(
        own(instance)->model->stats, own(instance),
        (const struct buffer_attributes *const *)(uintptr_t)usage, usage_size));
}

static void report_trace(struct trace *trace, const struct stats_times *times)
{
    trace_report(trace, times->exec_start_ns, TRITONSERVER_TRACE_COMPUTE_START);
    trace_report(trace, times->compute_start_ns, TRITONSERVER_TRACE_COMPUTE_INPUT_END);
    trace_report(trace, times->compute_end_ns, TRITONSERVER_TRACE_COMPUTE_OUTPUT_START);
    trace_report(trace, times->exec_end_ns, TRITONSERVER_TRACE_COMPUTE_END);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportStatistics(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request *request, const bool success,
    const uint64_t exec_start_ns, const uint64_t compute_start_ns, const uint64_t compute_end_ns,
    const uint64_t exec_end_ns)
{
    struct request *reported = (struct request *)request;
    struct stats_times times = {exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns};
    if (reported->trace != NULL) {
        report_trace(reported->trace, &times);
    }
    uint64_t now = clock_now_ns();
    if (success) {
        uint64_t rows = reported->batch_size == 0 ? 1 : reported->batch_size;
        stats_count_success(own(instance)->shard, rows, reported->start_ns, reported->queue_ns,
                            &times, now);
    } else {
        scheduler_note_failure(reported);
        if (!retry_is_held(reported)) {
            stats_count_failure(own(instance)->model->stats, FAIL_REASON_BACKEND,
                                now - reported->start_ns);
        }
    }
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportBatchStatistics(
    TRITONBACKEND_ModelInstance *instance, const uint64_t batch_size, const uint64_t exec_start_ns,
    const uint64_t compute_start_ns, const uint64_t compute_end_ns, const uint64_t exec_end_ns)
{
    struct stats_times times = {exec_start_ns, compute_start_ns, compute_end_ns, exec_end_ns};
    stats_count_batch(own(instance)->shard, batch_size, &times);
    uint64_t took = exec_end_ns - exec_start_ns;
    atomic_store_explicit(&own(instance)->last_ns32,
                          took < UINT32_MAX ? (uint32_t)took : UINT32_MAX, memory_order_relaxed);
    return NULL;
}

// ---- single responses -------------------------------------------------------------------------

// TRITONBACKEND_ModelInstanceResponseStatistics.
struct response_report {
    struct instance *instance;
    struct response_factory *factory;
    uint64_t start_ns;
    uint64_t output_ns;
    uint64_t end_ns;
    const struct nrd_status *error; // borrowed
};

static struct response_report *own_report(TRITONBACKEND_ModelInstanceResponseStatistics *report)
{
    return (struct response_report *)report;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceResponseStatisticsNew(
    TRITONBACKEND_ModelInstanceResponseStatistics **response_statistics)
{
    struct response_report *made = mem_calloc(1, sizeof(*made));
    *response_statistics = (TRITONBACKEND_ModelInstanceResponseStatistics *)made;
    return made == NULL ? abi_error(status_no_memory()) : NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceResponseStatisticsDelete(
    TRITONBACKEND_ModelInstanceResponseStatistics *response_statistics)
{
    mem_free(response_statistics);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceResponseStatisticsSetModelInstance(
    TRITONBACKEND_ModelInstanceResponseStatistics *response_statistics,
    TRITONBACKEND_ModelInstance *model_instance)
{
    own_report(response_statistics)->instance = own(model_instance);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseFactory(
    TRITONBACKEND_ModelInstanceResponseStatistics *response_statistics,
    TRITONBACKEND_ResponseFactory *response_factory)
{
    own_report(response_statistics)->factory = (struct response_factory *)response_factory;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseStart(
    TRITONBACKEND_ModelInstanceResponseStatistics *response_statistics, uint64_t response_start)
{
    own_report(response_statistics)->start_ns = response_start;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceResponseStatisticsSetComputeOutputStart(
    TRITONBACKEND_ModelInstanceResponseStatistics *response_statistics,
    uint64_t compute_output_start)
{
    own_report(response_statistics)->output_ns = compute_output_start;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceResponseStatisticsSetResponseEnd(
    TRITONBACKEND_ModelInstanceResponseStatistics *response_statistics, uint64_t response_end)
{
    own_report(response_statistics)->end_ns = response_end;
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceResponseStatisticsSetError(
    TRITONBACKEND_ModelInstanceResponseStatistics *response_statistics, TRITONSERVER_Error *error)
{
    own_report(response_statistics)->error = abi_status(error);
    return NULL;
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceReportResponseStatistics(
    TRITONBACKEND_ModelInstanceResponseStatistics *response_statistics)
{
    const struct response_report *report = own_report(response_statistics);
    if (report->instance == NULL || report->factory == NULL) {
        return abi_error(status_new(
            NRD_INVALID_ARG, "response statistics need a model instance and a response factory"));
    }
    uint64_t index =
        atomic_fetch_add_explicit(&report->factory->next_index, 1, memory_order_relaxed);
    return abi_error(stats_count_response(report->instance->model->stats, index, report->start_ns,
                                          report->output_ns, report->end_ns, report->error));
}
