// SPDX-License-Identifier: Apache-2.0
// A client of the fixture's model: requests by number, and what became of each. Start at infer(), await().
// Shared by the tests that drive the scheduler through the ABI.
#ifndef NEREID_TESTS_UNIT_CORE_HOT_CLIENT_H
#define NEREID_TESTS_UNIT_CORE_HOT_CLIENT_H

#include <pthread.h>

#include "tests/unit/core/hot_fixture.h"

enum { MAX_REQUESTS = 64, FLOATS = 16, BYTES = FLOATS * 4 };

// What the client of one request sees.
struct call {
    TRITONSERVER_InferenceRequest *request;
    float input[4 * FLOATS];
    float output[4 * FLOATS];
    unsigned responses;
    unsigned releases;
    unsigned finals;
    int order; // place among all first responses
    char error[128];
    TRITONSERVER_Error_Code code;
};

static struct fixture fixture;
static struct call calls[MAX_REQUESTS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int order;
static TRITONSERVER_ResponseAllocator *allocator;

#define NO_ERROR(expression) fixture_check((struct nrd_status *)(expression))

// ---- client ---------------------------------------------------------------------------------------

static TRITONSERVER_Error *allocate(TRITONSERVER_ResponseAllocator *self, const char *name,
                                    size_t byte_size, TRITONSERVER_MemoryType type, int64_t id,
                                    void *userp, void **buffer, void **buffer_userp,
                                    TRITONSERVER_MemoryType *actual_type, int64_t *actual_id)
{
    (void)self;
    (void)name;
    (void)type;
    (void)id;
    struct call *call = userp;
    *buffer = byte_size <= sizeof(call->output) ? call->output : NULL;
    *buffer_userp = NULL;
    *actual_type = TRITONSERVER_MEMORY_CPU;
    *actual_id = 0;
    return NULL;
}

static TRITONSERVER_Error *give_back(TRITONSERVER_ResponseAllocator *self, void *buffer,
                                     void *buffer_userp, size_t byte_size,
                                     TRITONSERVER_MemoryType type, int64_t id)
{
    (void)self;
    (void)buffer;
    (void)buffer_userp;
    (void)byte_size;
    (void)type;
    (void)id;
    return NULL;
}

static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct call *call = userp;
    TRITONSERVER_Error *error =
        response == NULL ? NULL : TRITONSERVER_InferenceResponseError(response);
    pthread_mutex_lock(&mutex);
    if (response != NULL) {
        call->order = call->responses++ == 0 ? order++ : call->order;
    }
    if (error != NULL) {
        snprintf(call->error, sizeof(call->error), "%s", TRITONSERVER_ErrorMessage(error));
        call->code = TRITONSERVER_ErrorCode(error);
    }
    call->finals += (flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL) != 0;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    TRITONSERVER_ErrorDelete(error);
    if (response != NULL) {
        NO_ERROR(TRITONSERVER_InferenceResponseDelete(response));
    }
}

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    struct call *call = userp;
    (void)flags;
    NO_ERROR(TRITONSERVER_InferenceRequestDelete(request));
    pthread_mutex_lock(&mutex);
    call->releases++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
}

static inline TRITONSERVER_InferenceRequest *new_request(struct call *call, int64_t rows)
{
    TRITONSERVER_InferenceRequest *request = NULL;
    NO_ERROR(TRITONSERVER_InferenceRequestNew(&request, (TRITONSERVER_Server *)&fixture, "m", -1));
    int64_t shape[2] = {rows, FLOATS};
    bool batched = fixture.model.max_batch_size > 0;
    NO_ERROR(TRITONSERVER_InferenceRequestAddInput(request, "INPUT0", TRITONSERVER_TYPE_FP32,
                                                   batched ? shape : shape + 1, batched ? 2 : 1));
    NO_ERROR(TRITONSERVER_InferenceRequestAppendInputData(
        request, "INPUT0", call->input, (size_t)rows * BYTES, TRITONSERVER_MEMORY_CPU, 0));
    NO_ERROR(TRITONSERVER_InferenceRequestSetReleaseCallback(request, on_release, call));
    NO_ERROR(TRITONSERVER_InferenceRequestSetResponseCallback(request, allocator, call, on_response,
                                                              call));
    call->request = request;
    return request;
}

static inline TRITONSERVER_Error *send(TRITONSERVER_InferenceRequest *request)
{
    return TRITONSERVER_ServerInferAsync((TRITONSERVER_Server *)&fixture, request, NULL);
}

static inline struct call *infer(unsigned i, int64_t rows)
{
    calls[i].input[0] = (float)i;
    NO_ERROR(send(new_request(&calls[i], rows)));
    return &calls[i];
}

// Waits until `count` requests, from the first on, have been answered and released.
static inline void await(unsigned count)
{
    pthread_mutex_lock(&mutex);
    for (unsigned i = 0; i < count; i++) {
        while (calls[i].finals == 0 || calls[i].releases == 0) {
            pthread_cond_wait(&changed, &mutex);
        }
    }
    pthread_mutex_unlock(&mutex);
}

// ---- backend --------------------------------------------------------------------------------------

static inline void answer(TRITONBACKEND_Request *request)
{
    TRITONBACKEND_Response *response;
    TRITONBACKEND_Output *output;
    TRITONBACKEND_Input *input;
    const int64_t *shape;
    uint32_t dims;
    uint64_t size;
    const void *from;
    void *to;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
    int64_t id = 0;
    NO_ERROR(TRITONBACKEND_RequestInputByIndex(request, 0, &input));
    NO_ERROR(TRITONBACKEND_InputProperties(input, NULL, NULL, &shape, &dims, &size, NULL));
    NO_ERROR(TRITONBACKEND_InputBuffer(input, 0, &from, &size, &type, &id));
    NO_ERROR(TRITONBACKEND_ResponseNew(&response, request));
    NO_ERROR(TRITONBACKEND_ResponseOutput(response, &output, "OUTPUT0", TRITONSERVER_TYPE_FP32,
                                          shape, dims));
    NO_ERROR(TRITONBACKEND_OutputBuffer(output, &to, size, &type, &id));
    memcpy(to, from, size);
    NO_ERROR(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, NULL));
    NO_ERROR(TRITONBACKEND_RequestRelease(request, TRITONSERVER_REQUEST_RELEASE_ALL));
}

// ---- around each test -----------------------------------------------------------------------------

static inline void client_init(void)
{
    memset(calls, 0, sizeof(calls));
    order = 0;
    NO_ERROR(TRITONSERVER_ResponseAllocatorNew(&allocator, allocate, give_back, NULL));
    fixture_floats(&fixture, 8);
}

static inline void client_fini(void)
{
    fixture_stop(&fixture);
    NO_ERROR(TRITONSERVER_ResponseAllocatorDelete(allocator));
}

#endif
