// SPDX-License-Identifier: Apache-2.0
// Many threads at once: clients that send and cancel, instances that execute, come and go, a model that is unloaded. What counts
// is that every request is answered once and released once, and that a race detector finds nothing.
#include "tests/unit/base/unit.h"

#include <unistd.h>

#include "nereid/ext/core.h"
#include "tests/unit/core/hot_fixture.h"

enum { CLIENTS = 4, WINDOW = 16, EACH = 3000, FLOATS = 16, BYTES = FLOATS * 4 };

struct client;
struct slot {
    struct client *client;
    float input[FLOATS];
    float output[FLOATS];
    _Atomic int left; // callbacks to come before the slot may be used again
};
struct client {
    struct thread thread;
    struct parking parking;
    struct slot slots[WINDOW];
    unsigned sent;
    unsigned refused;
    _Atomic unsigned answered;
    _Atomic unsigned released;
};

static struct fixture fixture;
static struct client clients[CLIENTS];
static TRITONSERVER_ResponseAllocator *allocator;

#define NO_ERROR(expression) fixture_check((struct nrd_status *)(expression))

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
    *buffer = ((struct slot *)userp)->output;
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

static void one_less(struct slot *slot)
{
    struct client *client = slot->client; // the slot may be used again once `left` is 0
    if (atomic_fetch_sub_explicit(&slot->left, 1, memory_order_acq_rel) == 1) {
        parking_wake(&client->parking);
    }
}

static void on_response(TRITONSERVER_InferenceResponse *response, const uint32_t flags, void *userp)
{
    struct slot *slot = userp;
    (void)flags;
    NO_ERROR(TRITONSERVER_InferenceResponseDelete(response));
    atomic_fetch_add(&slot->client->answered, 1);
    one_less(slot);
}

static void on_release(TRITONSERVER_InferenceRequest *request, const uint32_t flags, void *userp)
{
    struct slot *slot = userp;
    (void)flags;
    NO_ERROR(TRITONSERVER_InferenceRequestDelete(request));
    atomic_fetch_add(&slot->client->released, 1);
    one_less(slot);
}

static bool homes; // data lie on GPUs, too

static bool send(struct client *client, struct slot *slot)
{
    TRITONSERVER_InferenceRequest *request;
    const int64_t shape[2] = {1, FLOATS};
    NO_ERROR(TRITONSERVER_InferenceRequestNew(&request, (TRITONSERVER_Server *)&fixture, "m", -1));
    NO_ERROR(
        TRITONSERVER_InferenceRequestAddInput(request, "INPUT0", TRITONSERVER_TYPE_FP32, shape, 2));
    // Said to lie on the processor or on a GPU, which nobody reads.
    int64_t place = homes ? client->sent % 3 : 0;
    NO_ERROR(TRITONSERVER_InferenceRequestAppendInputData(request, "INPUT0", slot->input, BYTES,
                                                          place == 0 ? TRITONSERVER_MEMORY_CPU
                                                                     : TRITONSERVER_MEMORY_GPU,
                                                          place == 0 ? 0 : place - 1));
    NO_ERROR(TRITONSERVER_InferenceRequestSetReleaseCallback(request, on_release, slot));
    NO_ERROR(TRITONSERVER_InferenceRequestSetResponseCallback(request, allocator, slot, on_response,
                                                              slot));
    NO_ERROR(TRITONSERVER_InferenceRequestSetPriorityUInt64(request, client->sent % 3));
    atomic_store_explicit(&slot->left, 2, memory_order_release);
    bool lends = (client - clients) % 2 == 1;
    if (lends) {
        nereid_cork();
    }
    TRITONSERVER_Error *error =
        TRITONSERVER_ServerInferAsync((TRITONSERVER_Server *)&fixture, request, NULL);
    if (lends) {
        nereid_uncork_here();
    }
    if (error == NULL) {
        client->sent++;
        return true;
    }
    TRITONSERVER_ErrorDelete(error);
    NO_ERROR(TRITONSERVER_InferenceRequestDelete(request));
    atomic_store_explicit(&slot->left, 0, memory_order_release);
    client->refused++;
    return false;
}

static void run_client(void *arg)
{
    struct client *client = arg;
    bool open = true;
    while (open && client->sent < EACH) {
        bool busy = true;
        for (unsigned i = 0; i < WINDOW && open && client->sent < EACH; i++) {
            struct slot *slot = &client->slots[i];
            if (atomic_load_explicit(&slot->left, memory_order_acquire) == 0) {
                busy = false;
                open = send(client, slot);
            }
        }
        if (busy) {
            parking_wait(&client->parking, 0);
        }
    }
    for (unsigned i = 0; i < WINDOW; i++) {
        while (atomic_load_explicit(&client->slots[i].left, memory_order_acquire) != 0) {
            parking_wait(&client->parking, 0);
        }
    }
}

static TRITONSERVER_Error *work(TRITONBACKEND_ModelInstance *instance,
                                TRITONBACKEND_Request **requests, const uint32_t count)
{
    static _Atomic unsigned turn;
    if (atomic_fetch_add(&turn, 1) % 50 == 49) {
        return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "now and then");
    }
    uint64_t now = clock_now_ns();
    for (uint32_t i = 0; i < count; i++) {
        TRITONBACKEND_Response *response;
        TRITONBACKEND_Output *output;
        void *to;
        TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
        int64_t id = 0;
        const int64_t shape[2] = {1, FLOATS};
        NO_ERROR(TRITONBACKEND_ResponseNew(&response, requests[i]));
        NO_ERROR(TRITONBACKEND_ResponseOutput(response, &output, "OUTPUT0", TRITONSERVER_TYPE_FP32,
                                              shape, 2));
        NO_ERROR(TRITONBACKEND_OutputBuffer(output, &to, BYTES, &type, &id));
        memset(to, 0, BYTES);
        NO_ERROR(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, NULL));
        NO_ERROR(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], true, now, now,
                                                             now, now));
        NO_ERROR(TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL));
    }
    return TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, now, now, now, now);
}

// ---- a backend that stages: Execute returns, and a thread of each device answers ---------------------------------

enum { STAGE_ROOM = 64 };
struct stager {
    struct thread thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    TRITONBACKEND_Request *requests[STAGE_ROOM];
    unsigned count;
    unsigned batches; // given and not yet answered
    bool stop;
};
static struct stager stagers[2];
static _Atomic unsigned too_many;

static void run_stager(void *arg)
{
    struct stager *stager = arg;
    pthread_mutex_lock(&stager->mutex);
    while (!stager->stop || stager->count > 0) {
        if (stager->count == 0) {
            pthread_cond_wait(&stager->changed, &stager->mutex);
            continue;
        }
        TRITONBACKEND_Request *requests[STAGE_ROOM];
        unsigned count = stager->count;
        memcpy(requests, stager->requests, count * sizeof(*requests));
        stager->count = 0;
        stager->batches = 0;
        pthread_mutex_unlock(&stager->mutex);
        for (unsigned i = 0; i < count; i++) {
            TRITONBACKEND_Response *response;
            NO_ERROR(TRITONBACKEND_ResponseNew(&response, requests[i]));
            NO_ERROR(
                TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, NULL));
            NO_ERROR(TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL));
        }
        pthread_mutex_lock(&stager->mutex);
    }
    pthread_mutex_unlock(&stager->mutex);
}

static TRITONSERVER_Error *stage(TRITONBACKEND_ModelInstance *instance,
                                 TRITONBACKEND_Request **requests, const uint32_t count)
{
    int32_t gpu;
    uint64_t now = clock_now_ns();
    NO_ERROR(TRITONBACKEND_ModelInstanceDeviceId(instance, &gpu));
    for (uint32_t i = 0; i < count; i++) {
        NO_ERROR(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], true, now, now,
                                                             now, now));
    }
    struct stager *stager = &stagers[gpu];
    pthread_mutex_lock(&stager->mutex);
    // Two executors of two batches each: what the thread has taken is not counted here, so there may be less but not more.
    atomic_fetch_add(&too_many, ++stager->batches > 4 ? 1 : 0);
    memcpy(stager->requests + stager->count, requests, count * sizeof(*requests));
    stager->count += count;
    pthread_cond_signal(&stager->changed);
    pthread_mutex_unlock(&stager->mutex);
    return NULL;
}

static TRITONSERVER_Error *allow_two(TRITONBACKEND_ModelInstance *instance)
{
    return nereid_instance_stage(instance, 2);
}

static void start_clients(void)
{
    memset(clients, 0, sizeof(clients));
    for (unsigned c = 0; c < CLIENTS; c++) {
        parking_init(&clients[c].parking);
        for (unsigned i = 0; i < WINDOW; i++) {
            clients[c].slots[i].client = &clients[c];
        }
        fixture_check(thread_start(&clients[c].thread, "client", 0, run_client, &clients[c]));
    }
}

static uint64_t join_clients(void)
{
    uint64_t sent = 0;
    for (unsigned c = 0; c < CLIENTS; c++) {
        thread_join(&clients[c].thread);
        assert_int_equal(atomic_load(&clients[c].answered), clients[c].sent);
        assert_int_equal(atomic_load(&clients[c].released), clients[c].sent);
        sent += clients[c].sent;
    }
    return sent;
}

static void assert_all_counted(uint64_t sent)
{
    struct stats_snapshot stats;
    stats_snapshot(fixture.model.stats, &stats);
    assert_int_equal(stats.success.count + stats.failures[FAIL_REASON_BACKEND], sent);
    assert_int_equal(stats.pending, 0);
}

static void every_request_is_answered_once(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        fixture_floats(&fixture, 8);
        if (kind > 0) {
            fixture_dynamic(&fixture);
            fixture.dynamic.max_queue_delay_microseconds = kind == 2 ? 200 : 0;
            fixture.dynamic.preserve_ordering = kind == 3;
            fixture.dynamic.priority_levels = kind == 1 ? 2 : 0;
            fixture.dynamic.default_priority_level = kind == 1 ? 1 : 0;
        }
        fixture_start(&fixture, work, 3);
        start_clients();
        uint64_t sent = join_clients();
        assert_int_equal(sent, CLIENTS * EACH);
        assert_all_counted(sent);
        fixture_stop(&fixture);
    }
}

static void start_on_devices(fixture_execute_fn execute)
{
    fixture_start(&fixture, execute, 0);
    for (int32_t i = 0; i < 4; i++) {
        fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_GPU, i / 2);
    }
}

static void requests_to_several_devices_are_answered_once(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        fixture_floats(&fixture, 8);
        homes = kind > 2;
        if (kind > 0 && kind < 4) {
            fixture_dynamic(&fixture);
            fixture.dynamic.max_queue_delay_microseconds = kind == 2 ? 200 : 0;
            fixture.dynamic.preserve_ordering = kind == 1;
        }
        start_on_devices(work);
        fixture_instance(&fixture, TRITONSERVER_INSTANCEGROUPKIND_CPU, 0);
        start_clients();
        // Devices come and go meanwhile; one always stays.
        for (int i = 0; i < 50; i++) {
            usleep(200);
            scheduler_retire_device(fixture.model.scheduler, TRITONSERVER_INSTANCEGROUPKIND_GPU,
                                    i % 2);
            scheduler_restore_device(fixture.model.scheduler, TRITONSERVER_INSTANCEGROUPKIND_GPU,
                                     1 - i % 2);
        }
        uint64_t sent = join_clients();
        assert_int_equal(sent, CLIENTS * EACH);
        assert_all_counted(sent);
        fixture_stop(&fixture);
    }
    homes = false;
}

static void staged_requests_are_answered_once(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        fixture_floats(&fixture, 8);
        if (kind > 0) {
            fixture_dynamic(&fixture);
        }
        atomic_store(&too_many, 0);
        for (unsigned i = 0; i < 2; i++) {
            stagers[i] = (struct stager){0};
            pthread_mutex_init(&stagers[i].mutex, NULL);
            pthread_cond_init(&stagers[i].changed, NULL);
            fixture_check(thread_start(&stagers[i].thread, "stager", 0, run_stager, &stagers[i]));
        }
        fixture.backend.instance_initialize = allow_two;
        start_on_devices(stage);
        start_clients();
        uint64_t sent = join_clients();
        assert_int_equal(sent, CLIENTS * EACH);
        assert_all_counted(sent);
        fixture_stop(&fixture);
        for (unsigned i = 0; i < 2; i++) {
            pthread_mutex_lock(&stagers[i].mutex);
            stagers[i].stop = true;
            pthread_cond_signal(&stagers[i].changed);
            pthread_mutex_unlock(&stagers[i].mutex);
            thread_join(&stagers[i].thread);
            pthread_cond_destroy(&stagers[i].changed);
            pthread_mutex_destroy(&stagers[i].mutex);
        }
        assert_int_equal(atomic_load(&too_many), 0);
    }
}

static void instances_come_and_go_under_load(void **state)
{
    (void)state;
    fixture_floats(&fixture, 8);
    fixture_dynamic(&fixture);
    fixture_start(&fixture, work, 1);
    start_clients();
    for (int i = 0; i < 20; i++) {
        // On the same device, and on one of its own.
        struct instance_spec spec = {.name = "m_1",
                                     .kind = i % 2 == 0 ? TRITONSERVER_INSTANCEGROUPKIND_CPU
                                                        : TRITONSERVER_INSTANCEGROUPKIND_GPU};
        struct instance *guest;
        fixture_check(instance_create(&fixture.model, &spec, NULL, 0, &guest));
        usleep(1000);
        instance_destroy(guest);
    }
    assert_all_counted(join_clients());
    fixture_stop(&fixture);
}

static void unload_under_load_loses_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        fixture_floats(&fixture, 8);
        fixture_dynamic(&fixture);
        fixture_start(&fixture, work, 2);
        start_clients();
        usleep(3000);
        scheduler_stop(fixture.model.scheduler);
        assert_all_counted(join_clients());
        fixture_stop(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_is_answered_once),
        cmocka_unit_test(requests_to_several_devices_are_answered_once),
        cmocka_unit_test(staged_requests_are_answered_once),
        cmocka_unit_test(instances_come_and_go_under_load),
        cmocka_unit_test(unload_under_load_loses_nothing),
    };
    NO_ERROR(TRITONSERVER_ResponseAllocatorNew(&allocator, allocate, give_back, NULL));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    NO_ERROR(TRITONSERVER_ResponseAllocatorDelete(allocator));
    return failed;
}
