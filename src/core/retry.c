// SPDX-License-Identifier: Apache-2.0
// Retry: see the header. A sender and a releaser of one request may be two threads: who moves the state on is the one.
#include "core/retry.h"

#include "base/clock.h"
#include "base/log.h"
#include "core/gpus.h"
#include "core/instance.h"
#include "core/model.h"
#include "core/request.h"
#include "core/response.h"
#include "core/schedule/scheduler.h"
#include "core/server.h"
#include "core/stats.h"

static bool in_lost_memory(const struct gpus *gpus, const struct request_data *data)
{
    for (uint32_t i = 0; i < data->count; i++) {
        const struct buffer_attributes *at = &data->buffers[i].attributes;
        if (at->memory_type == TRITONSERVER_MEMORY_GPU && gpus_is_lost(gpus, at->memory_type_id)) {
            return true;
        }
    }
    return false;
}

static const struct request_input *lost_input(const struct request *request)
{
    const struct gpus *gpus = request->model->server->gpus;
    for (uint32_t i = 0; gpus_lost(gpus) != 0 && i < request->input_count; i++) {
        const struct request_input *input = &request->inputs[i];
        bool lost = in_lost_memory(gpus, &input->data);
        for (const struct policy_data *p = input->policies; p != NULL && !lost; p = p->next) {
            lost = in_lost_memory(gpus, &p->data);
        }
        if (lost) {
            return input;
        }
    }
    return NULL;
}

struct nrd_status *retry_check_inputs(const struct request *request)
{
    const struct request_input *input = lost_input(request);
    return input == NULL
               ? NULL
               : request_error(request, NRD_UNAVAILABLE,
                               "input '%s' lies in the memory of a GPU that is lost", input->name);
}

uint32_t retry_weed(struct request **batch, uint32_t count)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct nrd_status *status = retry_check_inputs(batch[i]);
        if (status == NULL) {
            batch[left++] = batch[i];
            continue;
        }
        request_respond_error(batch[i], status, FAIL_REASON_OTHER);
        status_free(request_release(batch[i], TRITONSERVER_REQUEST_RELEASE_ALL));
        status_free(status);
    }
    return left;
}

// ---- the state ----------------------------------------------------------------------------------

void retry_arm(const struct instance *instance, struct request *request)
{
    struct response_factory *factory = request->factory;
    if (instance->gpu == NULL || request->warm_up || request->retried) {
        return;
    }
    factory->gpu = instance->gpu;
    // Relaxed: the backend hands the request on, to whichever thread.
    atomic_store_explicit(&factory->retry, RETRY_ARMED, memory_order_relaxed);
}

void retry_forget(struct response_factory *factory)
{
    int armed = RETRY_ARMED;
    if (atomic_load_explicit(&factory->retry, memory_order_relaxed) == RETRY_ARMED) {
        atomic_compare_exchange_strong_explicit(&factory->retry, &armed, RETRY_OFF,
                                                memory_order_relaxed, memory_order_relaxed);
    }
}

// Whether the request's device is lost; asks it, since the framework saw the error and not the core. A kernel's fault may have broken
// the others as well, and then they are not to have the request.
static bool is_lost(const struct response_factory *factory)
{
    struct nrd_status *status = gpu_device_probe(factory->gpu);
    bool lost = status != NULL;
    status_free(status);
    if (lost) {
        gpus_probe(factory->model->server->gpus);
    }
    return lost;
}

bool retry_holds(struct response *response, uint32_t flags)
{
    struct response_factory *factory = response->factory;
    if (atomic_load_explicit(&factory->retry, memory_order_relaxed) != RETRY_ARMED ||
        (flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) == 0 || !is_lost(factory)) {
        return false;
    }
    factory->held = response;
    response->send_flags = flags;
    int armed = RETRY_ARMED;
    // Release: who releases the request takes the response.
    if (atomic_compare_exchange_strong_explicit(&factory->retry, &armed, RETRY_HELD,
                                                memory_order_release, memory_order_relaxed)) {
        return true;
    }
    factory->held = NULL; // released before it was answered: its inputs are gone
    return false;
}

bool retry_is_held(const struct request *request)
{
    return atomic_load_explicit(&request->factory->retry, memory_order_relaxed) == RETRY_HELD;
}

// ---- once more ----------------------------------------------------------------------------------

// A client may give one piece of memory for an input and an output: then what the backend wrote may have destroyed what it read.
static bool was_overwritten(const struct request *request, const struct response *response)
{
    for (const struct response_output *out = response == NULL ? NULL : response->outputs;
         out != NULL; out = out->next) {
        uintptr_t begin = (uintptr_t)out->buffer;
        uintptr_t end = begin + out->attributes.byte_size;
        for (uint32_t i = 0; out->buffer != NULL && i < request->input_count; i++) {
            const struct request_data *data = &request->inputs[i].data;
            for (uint32_t b = 0; b < data->count; b++) {
                uintptr_t base = (uintptr_t)data->buffers[b].base;
                if (base < end && begin < base + data->buffers[b].attributes.byte_size) {
                    return true;
                }
            }
        }
    }
    return false;
}

// A failed assertion in a kernel speaks against the data (an index that is out of range): it would take the next GPU too.
static bool blames_the_data(const struct gpu_device *gpu)
{
    return gpu_device_lost_result(gpu) == CU_ASSERT;
}

static bool may_go_again(const struct request *request, const struct response *response)
{
    return !request_is_cancelled(request) && lost_input(request) == NULL &&
           !blames_the_data(request->factory->gpu) && !was_overwritten(request, response);
}

// Queues the request anew. Afterwards it may be gone.
static bool queue_again(struct request *request)
{
    struct model *model = model_ref(request->model);
    request->retried = true;
    LOG_DEBUG(1, "[request id: %s] is executed again, on another device than GPU %d",
              request->id.len == 0 ? "<id_unknown>" : request->id.ptr,
              gpu_device_info(request->factory->gpu)->ordinal);
    // Counted before, since it may be answered before this goes on.
    atomic_fetch_add_explicit(&model->retried_requests, 1, memory_order_relaxed);
    bool queued = scheduler_give_back(model->scheduler, request);
    if (!queued) {
        atomic_fetch_sub_explicit(&model->retried_requests, 1, memory_order_relaxed);
    }
    model_unref(model);
    return queued;
}

bool retry_again(struct request *request)
{
    struct response_factory *factory = request->factory;
    if (atomic_load_explicit(&factory->retry, memory_order_relaxed) == RETRY_OFF) {
        return false;
    }
    // Acquire: the response is there with the state.
    if (atomic_exchange_explicit(&factory->retry, RETRY_OFF, memory_order_acquire) != RETRY_HELD) {
        return false;
    }
    struct response *response = factory->held;
    factory->held = NULL;
    if (!may_go_again(request, response)) {
        stats_count_failure(request->model->stats, FAIL_REASON_BACKEND,
                            clock_now_ns() - request->start_ns);
        response_send(response, response->send_flags);
        return false;
    }
    // The client's buffers go back before the request does: it may be answered and its memory gone right after.
    struct nrd_status *status = response->status;
    response->status = NULL;
    response_destroy(response);
    bool queued = queue_again(request);
    if (!queued) {
        request_respond_error(request, status, FAIL_REASON_BACKEND);
    }
    status_free(status);
    return queued;
}

bool retry_failed(struct request *request)
{
    struct response_factory *factory = request->factory;
    int state = atomic_exchange_explicit(&factory->retry, RETRY_OFF, memory_order_acquire);
    if (state == RETRY_OFF) {
        return false;
    }
    if (state == RETRY_HELD) { // it must not have answered, too; what it said is what Execute says
        response_destroy(factory->held);
        factory->held = NULL;
    }
    return is_lost(factory) && may_go_again(request, NULL) && queue_again(request);
}
