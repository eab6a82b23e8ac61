// SPDX-License-Identifier: Apache-2.0
// nereid_*_event: tensors of GPUs whose bytes come later, with the event after which they are there (nereid/ext/core.h). Where the
// backend does not ask for an input's event, the host waits when the backend asks for the bytes (input_await).
#include "core/abi/stream_order.h"

#include "core/abi/abi.h"
#include "core/gpus.h"
#include "core/model.h"
#include "core/request.h"
#include "core/response.h"
#include "core/server.h"
#include "gpu/event.h"
#include "nereid/ext/core.h"

struct TRITONSERVER_Error *nereid_request_input_after(struct TRITONSERVER_InferenceRequest *request,
                                                      const char *name, void *event)
{
    struct request *own = (struct request *)request;
    struct request_input *input = request_find_input(own, name);
    if (input == NULL) {
        return (struct TRITONSERVER_Error *)abi_error(
            request_error(own, NRD_INVALID_ARG, "input '%s' does not exist in request", name));
    }
    input->ready_event = event;
    input->event_gpus = own->model->server->gpus;
    input->event_taken = false;
    return NULL;
}

void nereid_request_take_event(struct TRITONSERVER_InferenceRequest *request, bool take)
{
    ((struct request *)request)->takes_event = take;
}

void *nereid_response_event(struct TRITONSERVER_InferenceResponse *response)
{
    return ((struct response *)response)->event;
}

void *nereid_input_event(struct TRITONBACKEND_Input *input)
{
    struct request_input *own = (struct request_input *)input;
    own->event_taken = true;
    return own->ready_event;
}

bool nereid_request_takes_event(struct TRITONBACKEND_Request *request)
{
    const struct request *own = (const struct request *)request;
    return own->takes_event && own->trace == NULL; // a trace ends with its request
}

void nereid_response_set_event(struct TRITONBACKEND_Response *response, void *event)
{
    ((struct response *)response)->event = event;
}

struct nrd_status *input_await(struct request_input *input, int64_t device_id)
{
    if (input->ready_event == NULL || input->event_taken) {
        return NULL;
    }
    struct gpu_device *device = gpus_device(input->event_gpus, (int32_t)device_id);
    if (device == NULL) {
        return status_new(NRD_INVALID_ARG, "there is no GPU %lld", (long long)device_id);
    }
    NRD_TRY(gpu_handle_wait(device, input->ready_event, 0));
    input->event_taken = true; // it has been reached
    return NULL;
}
