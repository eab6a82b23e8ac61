// SPDX-License-Identifier: Apache-2.0
// A client in the server's process that takes answers with events: event_client REPOSITORY BACKENDS MODEL COUNT [wait|warm]. It gives
// COUNT requests at once, FP32 [1,1024] on GPU 0, INPUT0 to OUTPUT0, and takes events (`wait`: only every other request does, so that
// batches with and without one share a stream; `warm`: 16 more come before, one after the other, untimed). When all outputs are there it prints how long that took in ns, how many answers came with
// an event, and the statistics once all requests are in them.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "gpu/event.h"
#include "gpu/memory.h"
#include "nereid/ext/core.h"
#include "triton/core/tritonserver.h"

enum { BYTES = 4096, MOST = 64 };

static struct gpu_system *gpus;
static struct gpu_device *gpu;
static struct tensor_buffer *outputs[MOST];
static void *events[MOST];
static atomic_uint arrived;

static void check(TRITONSERVER_Error *error)
{
    if (error != NULL) {
        fprintf(stderr, "event_client: %s\n", TRITONSERVER_ErrorMessage(error));
        exit(1);
    }
}

static void check_status(struct nrd_status *status)
{
    if (status != NULL) {
        fprintf(stderr, "event_client: %s\n", status_text(status));
        exit(1);
    }
}

static TRITONSERVER_Error *allocate(TRITONSERVER_ResponseAllocator *allocator, const char *name,
                                    size_t size, TRITONSERVER_MemoryType type, int64_t id,
                                    void *userp, void **buffer, void **buffer_userp,
                                    TRITONSERVER_MemoryType *actual, int64_t *actual_id)
{
    struct tensor_buffer **output = userp;
    (void)allocator;
    (void)name;
    (void)type;
    (void)id;
    check_status(gpu_direct_get(gpu, size, output));
    *buffer = (*output)->data;
    *buffer_userp = NULL;
    *actual = TRITONSERVER_MEMORY_GPU;
    *actual_id = 0;
    return NULL;
}

static TRITONSERVER_Error *give_back(TRITONSERVER_ResponseAllocator *allocator, void *buffer,
                                     void *userp, size_t size, TRITONSERVER_MemoryType type,
                                     int64_t id)
{
    (void)allocator;
    (void)buffer;
    (void)userp;
    (void)size;
    (void)type;
    (void)id;
    return NULL;
}

static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    (void)flags;
    check(TRITONSERVER_InferenceResponseError(response));
    *(void **)userp = nereid_response_event(response);
    check(TRITONSERVER_InferenceResponseDelete(response));
    atomic_fetch_add(&arrived, 1);
}

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    (void)flags;
    (void)userp;
    check(TRITONSERVER_InferenceRequestDelete(request));
    atomic_fetch_add(&arrived, 1);
}

static TRITONSERVER_Server *start(const char *repository, const char *backends)
{
    TRITONSERVER_ServerOptions *options = NULL;
    TRITONSERVER_Server *server = NULL;
    check(TRITONSERVER_ServerOptionsNew(&options));
    check(TRITONSERVER_ServerOptionsSetModelRepositoryPath(options, repository));
    check(TRITONSERVER_ServerOptionsSetBackendDirectory(options, backends));
    check(TRITONSERVER_ServerNew(&server, options));
    check(TRITONSERVER_ServerOptionsDelete(options));
    return server;
}

static void give(TRITONSERVER_Server *server, TRITONSERVER_ResponseAllocator *allocator,
                 const char *model, const void *input, unsigned i, bool takes_event)
{
    static const int64_t shape[] = {1, BYTES / 4};
    TRITONSERVER_InferenceRequest *request = NULL;
    check(TRITONSERVER_InferenceRequestNew(&request, server, model, -1));
    check(
        TRITONSERVER_InferenceRequestAddInput(request, "INPUT0", TRITONSERVER_TYPE_FP32, shape, 2));
    check(TRITONSERVER_InferenceRequestAppendInputData(request, "INPUT0", input, BYTES,
                                                       TRITONSERVER_MEMORY_GPU, 0));
    nereid_request_take_event(request, takes_event);
    check(TRITONSERVER_InferenceRequestSetReleaseCallback(request, on_release, NULL));
    check(TRITONSERVER_InferenceRequestSetResponseCallback(request, allocator, &outputs[i],
                                                           on_response, &events[i]));
    check(TRITONSERVER_ServerInferAsync(server, request, NULL));
}

// All of `count` are answered and released.
static void await(unsigned count)
{
    const struct timespec nap = {.tv_nsec = 50000};
    while (atomic_load(&arrived) < 2 * count) {
        nanosleep(&nap, NULL);
    }
    atomic_store(&arrived, 0);
}

// Waits until `count` requests are in the statistics.
static void print_statistics(TRITONSERVER_Server *server, const char *model, unsigned count,
                             bool show)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    char all[64];
    snprintf(all, sizeof(all), "\"success\":{\"count\":%u,", count);
    for (;;) {
        TRITONSERVER_Message *message = NULL;
        const char *text = NULL;
        size_t size = 0;
        check(TRITONSERVER_ServerModelStatistics(server, model, -1, &message));
        check(TRITONSERVER_MessageSerializeToJson(message, &text, &size));
        char *copy = strndup(text, size);
        bool complete = copy != NULL && strstr(copy, all) != NULL;
        if (complete && show) {
            puts(copy);
        }
        free(copy);
        check(TRITONSERVER_MessageDelete(message));
        if (complete) {
            return;
        }
        nanosleep(&nap, NULL);
    }
}

int main(int argc, char **argv)
{
    TRITONSERVER_ResponseAllocator *allocator = NULL;
    struct tensor_buffer *input = NULL;
    unsigned with_event = 0;
    bool mixed = argc > 5 && strcmp(argv[5], "wait") == 0;
    unsigned before = argc > 5 && strcmp(argv[5], "warm") == 0 ? 16 : 0;
    unsigned count = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    if (count == 0 || count > MOST) {
        fprintf(stderr, "usage: event_client REPOSITORY BACKENDS MODEL COUNT [wait|warm]\n");
        return 2;
    }
    TRITONSERVER_Server *server = start(argv[1], argv[2]);
    check_status(gpu_system_open(&gpus));
    gpu = gpu_system_device(gpus, 0);
    check_status(gpu_direct_get(gpu, BYTES, &input));
    check(TRITONSERVER_ResponseAllocatorNew(&allocator, allocate, give_back, NULL));
    for (unsigned i = 0; i < before; i++) {
        give(server, allocator, argv[3], input->data, 0, true);
        await(1);
        print_statistics(server, argv[3], i + 1, false);
        buffer_unref(outputs[0]);
    }
    uint64_t begin = clock_now_ns();
    for (unsigned i = 0; i < count; i++) {
        give(server, allocator, argv[3], input->data, i, !mixed || i % 2 == 0);
    }
    await(count);
    uint64_t answered = clock_now_ns();
    for (unsigned i = 0; i < count; i++) {
        if (events[i] != NULL) {
            check_status(gpu_handle_wait(gpu, events[i], 0));
            with_event++;
        }
    }
    printf("%llu %llu %u\n", (unsigned long long)(answered - begin),
           (unsigned long long)(clock_now_ns() - begin), with_event);
    print_statistics(server, argv[3], before + count, true);
    for (unsigned i = 0; i < count; i++) {
        buffer_unref(outputs[i]);
    }
    buffer_unref(input);
    gpu_system_close(gpus);
    check(TRITONSERVER_ServerStop(server));
    check(TRITONSERVER_ServerDelete(server));
    check(TRITONSERVER_ResponseAllocatorDelete(allocator));
    return 0;
}
