// SPDX-License-Identifier: Apache-2.0
// Core path: what one request costs in the core alone, from InferenceRequestNew to ResponseDelete, with a backend that only
// copies 64 bytes. Prints a line for each concurrency: requests/s, CPU ns a request (all threads), Executes a request.
// Usage: core_path [requests]
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/queue.h"
#include "base/thread.h"
#include "nereid/ext/core.h"
#include "tests/unit/core/hot_fixture.h"

enum { FLOATS = 16, BYTES = FLOATS * 4, CONCURRENCY_MAX = 64 };

struct call {
    struct queue_node node; // in the client's queue of finished calls
    struct client *client;
    float input[FLOATS];
    float output[FLOATS];
};

// One thread that keeps `concurrency` requests in flight, as a loop of a front end does.
struct client {
    struct queue done;
    struct parking parking;
    struct call calls[CONCURRENCY_MAX];
};

static struct fixture fixture;
static struct client client;
static TRITONSERVER_ResponseAllocator *allocator;
static _Atomic uint64_t executes;
static bool here; // the client lends its thread

static TRITONSERVER_Error *allocate(TRITONSERVER_ResponseAllocator *self, const char *name,
                                    size_t byte_size, TRITONSERVER_MemoryType type, int64_t id,
                                    void *userp, void **buffer, void **buffer_userp,
                                    TRITONSERVER_MemoryType *actual_type, int64_t *actual_id)
{
    (void)self;
    (void)name;
    (void)byte_size;
    (void)type;
    (void)id;
    *buffer = ((struct call *)userp)->output;
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

static void wake_client(void *userp)
{
    parking_wake(&((struct client *)userp)->parking);
}

static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct call *call = userp;
    const char *name;
    const int64_t *shape;
    const void *base;
    void *buffer_userp;
    TRITONSERVER_DataType datatype;
    TRITONSERVER_MemoryType type;
    uint64_t dims;
    size_t size;
    int64_t id;
    (void)flags;
    TRITONSERVER_InferenceResponseOutput(response, 0, &name, &datatype, &shape, &dims, &base, &size,
                                         &type, &id, &buffer_userp);
    TRITONSERVER_InferenceResponseDelete(response);
    if (queue_push(&call->client->done, &call->node) && !nereid_defer(wake_client, call->client)) {
        wake_client(call->client);
    }
}

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    (void)flags;
    (void)userp;
    TRITONSERVER_InferenceRequestDelete(request);
}

static void send(struct call *call)
{
    TRITONSERVER_InferenceRequest *request;
    const int64_t shape[2] = {1, FLOATS};
    TRITONSERVER_InferenceRequestNew(&request, (TRITONSERVER_Server *)&fixture, "m", -1);
    TRITONSERVER_InferenceRequestAddInput(request, "INPUT0", TRITONSERVER_TYPE_FP32, shape, 2);
    TRITONSERVER_InferenceRequestAppendInputData(request, "INPUT0", call->input, BYTES,
                                                 TRITONSERVER_MEMORY_CPU, 0);
    TRITONSERVER_InferenceRequestSetReleaseCallback(request, on_release, call);
    TRITONSERVER_InferenceRequestSetResponseCallback(request, allocator, call, on_response, call);
    if (here) {
        nereid_cork();
    }
    fixture_check((struct nrd_status *)TRITONSERVER_ServerInferAsync(
        (TRITONSERVER_Server *)&fixture, request, NULL));
    if (here) {
        nereid_uncork_here();
    }
}

static void answer(TRITONBACKEND_Request *request)
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
    TRITONBACKEND_RequestInputByIndex(request, 0, &input);
    TRITONBACKEND_InputProperties(input, NULL, NULL, &shape, &dims, &size, NULL);
    TRITONBACKEND_InputBuffer(input, 0, &from, &size, &type, &id);
    TRITONBACKEND_ResponseNew(&response, request);
    TRITONBACKEND_ResponseOutput(response, &output, "OUTPUT0", TRITONSERVER_TYPE_FP32, shape, dims);
    TRITONBACKEND_OutputBuffer(output, &to, size, &type, &id);
    memcpy(to, from, size);
    TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, NULL);
}

static TRITONSERVER_Error *copy(TRITONBACKEND_ModelInstance *instance,
                                TRITONBACKEND_Request **requests, const uint32_t count)
{
    atomic_fetch_add_explicit(&executes, 1, memory_order_relaxed);
    uint64_t start = clock_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        answer(requests[i]);
    }
    uint64_t end = clock_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], true, start, start, end,
                                                    end);
        TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL);
    }
    return TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, start, start, end,
                                                            end);
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Keeps `concurrency` calls in flight until `count` are answered.
static void run(unsigned concurrency, uint64_t count)
{
    uint64_t sent = 0;
    uint64_t answered = 0;
    for (; sent < concurrency; sent++) {
        send(&client.calls[sent]);
    }
    while (answered < count) {
        struct queue_node *node = queue_pop(&client.done);
        if (node == NULL) {
            parking_wait(&client.parking, 0);
            continue;
        }
        answered++;
        if (sent < count) {
            sent++;
            send(CONTAINER_OF(node, struct call, node));
        }
    }
}

static void measure(const char *what, unsigned concurrency, uint64_t count)
{
    run(concurrency, count / 10 + concurrency);
    atomic_store(&executes, 0);
    uint64_t mem = mem_count();
    uint64_t cpu = cpu_ns();
    uint64_t wall = clock_now_ns();
    run(concurrency, count);
    wall = clock_now_ns() - wall;
    cpu = cpu_ns() - cpu;
    printf("%-13s c=%-3u %9.0f requests/s  %6.0f CPU ns/request  %.3f executes/request  %llu "
           "allocations\n",
           what, concurrency, (double)count * 1e9 / (double)wall, (double)cpu / (double)count,
           (double)atomic_load(&executes) / (double)count, (unsigned long long)(mem_count() - mem));
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
    const unsigned concurrency[] = {1, 8, 64};
    TRITONSERVER_ResponseAllocatorNew(&allocator, allocate, give_back, NULL);
    queue_init(&client.done);
    parking_init(&client.parking);
    for (unsigned i = 0; i < CONCURRENCY_MAX; i++) {
        client.calls[i].client = &client;
    }
    for (int dynamic = 0; dynamic < 2; dynamic++) {
        fixture_floats(&fixture, 8);
        if (dynamic == 1) {
            fixture_dynamic(&fixture);
        }
        fixture_start(&fixture, copy, 1);
        for (unsigned i = 0; i < sizeof(concurrency) / sizeof(concurrency[0]); i++) {
            measure(dynamic == 1 ? "dynamic" : "direct", concurrency[i], count);
        }
        here = true;
        measure(dynamic == 1 ? "dynamic, here" : "direct, here", 1, count);
        here = false;
        fixture_stop(&fixture);
    }
    TRITONSERVER_ResponseAllocatorDelete(allocator);
    return 0;
}
