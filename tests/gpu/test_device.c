// SPDX-License-Identifier: Apache-2.0
// Devices, streams, events, memory, copies, graphs and lost devices on a real GPU.
#include "tests/gpu/gpu_check.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gpu/copy.h"
#include "gpu/graph_capture.h"
#include "gpu/kernels/kernels.h"
#include "gpu/module.h"
#include "gpu/nvml.h"

extern char **environ;

static enum check_result system_finds_devices(struct gpu_machine *m)
{
    uint64_t available = 0;
    uint64_t total = 0;
    for (int i = 0; i < gpu_system_count(m->system); i++) {
        struct gpu_device *d = gpu_system_device(m->system, i);
        const struct gpu_device_info *info = gpu_device_info(d);
        CHECK(info->name[0] != '\0' && info->compute_major >= 5 && info->multiprocessors > 0);
        CHECK(gpu_system_find(m->system, slice_of(info->uuid)) == d);
        CHECK_OK(gpu_device_memory(d, &available, &total));
        CHECK(available > 0 && available <= total && total <= info->memory_bytes);
        CHECK(gpu_device_can_access(d, d) && gpu_device_link_rank(d, d) == 0);
    }
    CHECK(gpu_driver_version() >= 11040);
    return CHECK_PASSED;
}

static enum check_result nvml_knows_the_devices(struct gpu_machine *m)
{
    struct nrd_status *status = nvml_open();
    if (status != NULL) {
        enum check_result result = check_skipped("%s", status_text(status));
        status_free(status);
        return result;
    }
    const char *uuid = gpu_device_info(m->device)->uuid;
    struct nvml_sample s;
    struct nvml_slice slices[8];
    size_t count = 99;
    CHECK_OK(nvml_read(uuid, &s));
    CHECK(s.has_memory && s.memory_total_bytes > 0 && s.memory_used_bytes <= s.memory_total_bytes);
    CHECK(!s.has_utilization || (s.utilization >= 0 && s.utilization <= 1));
    CHECK(!s.has_power_usage || (s.power_usage_watts > 1 && s.power_usage_watts < 5000));
    CHECK_OK(nvml_slices(uuid, slices, 8, &count));
    printf("             %s: utilisation %s%.2f, %llu of %llu MiB, %s%.1f W of %s%.1f, %s%.0f J, "
           "%zu slices\n",
           uuid, s.has_utilization ? "" : "none ", s.utilization,
           (unsigned long long)(s.memory_used_bytes >> 20),
           (unsigned long long)(s.memory_total_bytes >> 20), s.has_power_usage ? "" : "none ",
           s.power_usage_watts, s.has_power_limit ? "" : "none ", s.power_limit_watts,
           s.has_energy ? "" : "none ", s.energy_joules, count);
    return CHECK_PASSED;
}

static void count_up(void *arg)
{
    ++*(_Atomic int *)arg;
}

static enum check_result streams_and_events_keep_order(struct gpu_machine *m)
{
    struct gpu_stream *streams[3] = {NULL};
    struct gpu_event *begin = NULL;
    struct gpu_event *end = NULL;
    struct gpu_event *middle = NULL;
    struct tensor_buffer *buffer = NULL;
    _Atomic int calls = 0;
    bool done = false;
    double ms = -1;
    static const enum gpu_priority priorities[] = {GPU_PRIORITY_LOW, GPU_PRIORITY_NORMAL,
                                                   GPU_PRIORITY_HIGH};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(gpu_stream_create(m->device, priorities[i], &streams[i]));
    }
    CHECK_OK(gpu_direct_get(m->device, 64 << 20, &buffer));
    CHECK_OK(gpu_event_get_timed(m->device, &begin));
    CHECK_OK(gpu_event_get_timed(m->device, &end));
    CHECK_OK(gpu_event_record(begin, streams[0]));
    for (int i = 0; i < 20; i++) {
        CHECK_OK(gpu_stream_fill(streams[0], buffer->data, (uint8_t)i, buffer->size));
    }
    CHECK_OK(gpu_stream_call_host(streams[0], count_up, &calls));
    CHECK_OK(gpu_event_record(end, streams[0]));
    CHECK_OK(gpu_event_after(streams[0], &middle));
    CHECK_OK(gpu_stream_wait_event(streams[1], middle));
    CHECK_OK(gpu_stream_call_host(streams[1], count_up, &calls));
    CHECK_OK(gpu_stream_sync(streams[1], clock_now_ns() + UINT64_C(5000000000)));
    CHECK(calls == 2);
    CHECK_OK(gpu_event_query(middle, &done));
    CHECK(done);
    CHECK_OK(gpu_event_elapsed(begin, end, &ms));
    CHECK(ms > 0 && ms < 5000);
    CHECK_OK(gpu_stream_query(streams[2], &done));
    CHECK(done);
    CHECK_OK(gpu_device_synchronize(m->device));
    gpu_event_unref(begin);
    gpu_event_unref(end);
    gpu_event_unref(middle);
    buffer_unref(buffer);
    for (int i = 0; i < 3; i++) {
        gpu_stream_destroy(streams[i]);
    }
    return CHECK_PASSED;
}

enum { COPY_SIZE = 3 << 20 };

static void pattern(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(seed >> 24);
    }
}

// Host to `first`, to `second`, and back; `kind` is that of the host's buffers.
static enum check_result round_trip(struct gpu_machine *m, struct gpu_device *first,
                                    struct gpu_device *second, bool pinned)
{
    struct gpu_pool *pool = NULL;
    struct gpu_pool_options options = {.kind = NRD_MEMORY_PINNED,
                                       .device = m->device,
                                       .limit_bytes = pinned ? 32 << 20 : 0,
                                       .numa_node = gpu_device_info(first)->numa_node};
    struct tensor_buffer *host[2];
    struct tensor_buffer *there[2];
    struct gpu_stream *streams[2];
    CHECK_OK(gpu_pool_create(&options, &pool));
    for (int i = 0; i < 2; i++) {
        struct gpu_device *d = i == 0 ? first : second;
        CHECK_OK(gpu_pool_get_or_host(pinned ? pool : NULL, COPY_SIZE, &host[i]));
        CHECK(host[i]->kind == (pinned ? NRD_MEMORY_PINNED : NRD_MEMORY_CPU));
        CHECK_OK(gpu_direct_get(d, COPY_SIZE, &there[i]));
        CHECK_OK(gpu_stream_create(d, GPU_PRIORITY_NORMAL, &streams[i]));
    }
    pattern(host[0]->data, COPY_SIZE, 5);
    memset(host[1]->data, 0, COPY_SIZE);
    CHECK_OK(gpu_copy_buffer(streams[0], there[0], 0, host[0], 0, COPY_SIZE));
    CHECK_OK(gpu_copy_buffer(streams[1], there[1], 0, there[0], 0, COPY_SIZE));
    CHECK_OK(gpu_copy_buffer(streams[1], host[1], 0, there[1], 0, COPY_SIZE));
    CHECK_OK(gpu_stream_sync(streams[1], clock_now_ns() + UINT64_C(10000000000)));
    CHECK(memcmp(host[0]->data, host[1]->data, COPY_SIZE) == 0);
    for (int i = 0; i < 2; i++) {
        buffer_unref(host[i]);
        buffer_unref(there[i]);
        gpu_stream_destroy(streams[i]);
    }
    gpu_pool_destroy(pool);
    return CHECK_PASSED;
}

static enum check_result bytes_go_round_by_pinned_memory(struct gpu_machine *m)
{
    return round_trip(m, m->device, m->device, true);
}

static enum check_result bytes_go_round_by_pageable_memory(struct gpu_machine *m)
{
    return round_trip(m, m->device, m->device, false);
}

static enum check_result bytes_go_round_over_two_devices(struct gpu_machine *m)
{
    struct gpu_device *other = gpu_system_device(m->system, 1);
    if (other == NULL) {
        return check_skipped("this machine has one GPU");
    }
    enum check_result staged = round_trip(m, m->device, other, true);
    if (staged != CHECK_PASSED || !gpu_device_can_access(other, m->device)) {
        return staged;
    }
    CHECK_OK(gpu_device_enable_peer(other, m->device));
    CHECK_OK(gpu_device_enable_peer(m->device, other));
    CHECK_OK(gpu_device_enable_peer(m->device, other));
    printf("             link ranks %d and %d\n", gpu_device_link_rank(m->device, other),
           gpu_device_link_rank(other, m->device));
    return round_trip(m, m->device, other, true);
}

static enum check_result host_memory_is_locked(struct gpu_machine *m)
{
    static unsigned char memory[1 << 20] __attribute__((aligned(4096)));
    struct gpu_stream *stream = NULL;
    struct tensor_buffer *buffer = NULL;
    CHECK_OK(gpu_stream_create(m->device, GPU_PRIORITY_NORMAL, &stream));
    CHECK_OK(gpu_direct_get(m->device, sizeof(memory), &buffer));
    CHECK_OK(gpu_host_lock(m->device, memory, sizeof(memory)));
    CHECK_OK(gpu_stream_fill(stream, buffer->data, 0x3c, sizeof(memory)));
    CHECK_OK(gpu_copy(stream, memory, NULL, buffer->data, m->device, sizeof(memory)));
    CHECK_OK(gpu_stream_sync(stream, 0));
    CHECK(memory[0] == 0x3c && memory[sizeof(memory) - 1] == 0x3c);
    gpu_host_unlock(m->device, memory);
    buffer_unref(buffer);
    gpu_stream_destroy(stream);
    return CHECK_PASSED;
}

static enum check_result pool_keeps_to_its_limit(struct gpu_machine *m)
{
    struct gpu_pool *pool = NULL;
    struct gpu_pool_options options = {.kind = NRD_MEMORY_GPU,
                                       .device = m->device,
                                       .limit_bytes = 64 << 20,
                                       .chunk_bytes = 16 << 20};
    struct gpu_pool_usage usage;
    struct tensor_buffer *buffers[4];
    struct tensor_buffer *more = NULL;
    struct gpu_stream *stream = NULL;
    CHECK_OK(gpu_pool_create(&options, &pool));
    CHECK_OK(gpu_stream_create(m->device, GPU_PRIORITY_NORMAL, &stream));
    for (int i = 0; i < 4; i++) {
        CHECK_OK(gpu_pool_get(pool, 16 << 20, &buffers[i]));
        for (int j = 0; j < 50; j++) {
            CHECK_OK(gpu_stream_fill(stream, buffers[i]->data, 1, buffers[i]->size));
        }
        CHECK_OK(gpu_buffer_use(buffers[i], stream));
    }
    struct nrd_status *status = gpu_pool_get(pool, 1, &more);
    CHECK(status_code(status) == NRD_UNAVAILABLE);
    status_free(status);
    for (int i = 0; i < 4; i++) {
        buffer_unref(buffers[i]);
    }
    CHECK_OK(gpu_stream_sync(stream, 0));
    gpu_pool_usage(pool, &usage);
    CHECK(usage.used_bytes == 0 && usage.reserved_bytes == 64 << 20 && usage.refused == 1);
    CHECK_OK(gpu_pool_get(pool, 64 << 20, &more)); // in one piece, after the chunks went back
    buffer_unref(more);
    gpu_stream_destroy(stream);
    gpu_pool_destroy(pool);
    return CHECK_PASSED;
}

static enum check_result device_memory_is_flat_after_many_rounds(struct gpu_machine *m)
{
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t total = 0;
    for (int round = 0; round < 200; round++) {
        struct gpu_pool *pool = NULL;
        struct gpu_pool_options options = {
            .kind = NRD_MEMORY_GPU, .device = m->device, .limit_bytes = 64 << 20};
        struct tensor_buffer *buffer = NULL;
        struct gpu_stream *stream = NULL;
        CHECK_OK(gpu_pool_create(&options, &pool));
        CHECK_OK(gpu_stream_create(m->device, GPU_PRIORITY_NORMAL, &stream));
        CHECK_OK(gpu_pool_get(pool, 20 << 20, &buffer));
        CHECK_OK(gpu_stream_fill(stream, buffer->data, 1, buffer->size));
        CHECK_OK(gpu_buffer_use(buffer, stream));
        buffer_unref(buffer);
        gpu_pool_destroy(pool);
        gpu_stream_destroy(stream);
        if (round == 9) {
            CHECK_OK(gpu_device_memory(m->device, &before, &total));
        }
    }
    CHECK_OK(gpu_device_memory(m->device, &after, &total));
    CHECK(after >= before);
    return CHECK_PASSED;
}

static enum check_result async_pool_gives_and_takes_in_order(struct gpu_machine *m)
{
    if (!gpu_device_info(m->device)->has_memory_pools) {
        return check_skipped("the GPU has no memory pools");
    }
    struct gpu_async_pool *pool = NULL;
    struct gpu_async_pool_options options = {.device = m->device,
                                             .initial_bytes = 8 << 20,
                                             .max_bytes = 64 << 20,
                                             .release_threshold = 64 << 20};
    struct gpu_pool_usage usage;
    struct gpu_stream *stream = NULL;
    CHECK_OK(gpu_async_pool_create(&options, &pool));
    CHECK_OK(gpu_stream_create(m->device, GPU_PRIORITY_NORMAL, &stream));
    for (int i = 0; i < 100; i++) {
        struct tensor_buffer *buffer = NULL;
        CHECK_OK(gpu_async_pool_get(pool, stream, 40 << 20, &buffer));
        CHECK_OK(gpu_stream_fill(stream, buffer->data, (uint8_t)i, buffer->size));
        CHECK_OK(gpu_buffer_use(buffer, stream));
        buffer_unref(buffer);
    }
    CHECK_OK(gpu_stream_sync(stream, 0));
    gpu_async_pool_usage(pool, &usage);
    CHECK(usage.used_bytes == 0 && usage.peak_bytes == 40 << 20 &&
          usage.reserved_bytes >= 40 << 20);
    gpu_stream_destroy(stream);
    gpu_async_pool_destroy(pool);
    return CHECK_PASSED;
}

// ---- graphs -------------------------------------------------------------------------------------------------------

static enum check_result graph_replays_and_updates(struct gpu_machine *m)
{
    struct gpu_stream *stream = NULL;
    struct gpu_graph *graph = NULL;
    struct tensor_buffer *buffer = NULL;
    unsigned char bytes[2] = {0, 0};
    bool anew = true;
    CHECK_OK(gpu_stream_create(m->device, GPU_PRIORITY_NORMAL, &stream));
    CHECK_OK(gpu_direct_get(m->device, 4096, &buffer));
    CHECK_OK(gpu_stream_fill(stream, buffer->data, 0, 4096));
    CHECK_OK(gpu_capture_begin(stream));
    CHECK(gpu_stream_is_capturing(stream));
    CHECK_OK(gpu_stream_fill(stream, buffer->data, 7, 1024));
    CHECK_OK(
        gpu_copy(stream, (char *)buffer->data + 2048, m->device, buffer->data, m->device, 1024));
    CHECK_OK(gpu_capture_end(stream, &graph));
    CHECK(gpu_graph_node_count(graph) == 2);
    CHECK_OK(gpu_graph_launch(graph, stream));
    CHECK_OK(gpu_copy(stream, bytes, NULL, (char *)buffer->data + 2048, m->device, 1));
    CHECK_OK(gpu_stream_sync(stream, 0));
    CHECK(bytes[0] == 7);
    CHECK_OK(gpu_capture_begin(stream));
    CHECK_OK(gpu_stream_fill(stream, buffer->data, 9, 1024));
    CHECK_OK(
        gpu_copy(stream, (char *)buffer->data + 2048, m->device, buffer->data, m->device, 1024));
    CHECK_OK(gpu_capture_update(stream, graph, &anew));
    CHECK(!anew || gpu_driver()->graph_exec_update == NULL);
    CHECK_OK(gpu_capture_begin(stream));
    CHECK_OK(gpu_stream_fill(stream, buffer->data, 9, 1024));
    CHECK_OK(gpu_capture_update(stream, graph, &anew));
    CHECK(anew && gpu_graph_node_count(graph) == 1);
    CHECK_OK(gpu_graph_launch(graph, stream));
    CHECK_OK(gpu_copy(stream, bytes, NULL, buffer->data, m->device, 1));
    CHECK_OK(gpu_copy(stream, bytes + 1, NULL, (char *)buffer->data + 2048, m->device, 1));
    CHECK_OK(gpu_stream_sync(stream, 0));
    CHECK(bytes[0] == 9 && bytes[1] == 7);
    gpu_graph_destroy(graph);
    CHECK_OK(gpu_capture_begin(stream));
    gpu_capture_abort(stream);
    CHECK(!gpu_stream_is_capturing(stream));
    buffer_unref(buffer);
    gpu_stream_destroy(stream);
    return CHECK_PASSED;
}

static enum check_result text_is_compiled_and_run(struct gpu_machine *m)
{
    struct nrd_status *status = nvrtc_open();
    if (status != NULL) {
        enum check_result result = check_skipped("%s", status_text(status));
        status_free(status);
        return result;
    }
    struct nvrtc_source source = {
        .name = "add.cu",
        .text = "extern \"C\" __global__ void add(float *a, float b, int n)\n"
                "{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) a[i] += b * i; }\n"};
    struct gpu_module *module = NULL;
    struct cu_function *function = NULL;
    struct gpu_stream *stream = NULL;
    struct tensor_buffer *buffer = NULL;
    float numbers[1000];
    for (int i = 0; i < 1000; i++) {
        numbers[i] = 1.0f;
    }
    CHECK_OK(gpu_module_compile(m->device, &source, &module));
    CHECK_OK(gpu_module_function(module, "add", &function));
    CHECK_OK(gpu_stream_create(m->device, GPU_PRIORITY_NORMAL, &stream));
    CHECK_OK(gpu_direct_get(m->device, sizeof(numbers), &buffer));
    CHECK_OK(gpu_copy(stream, buffer->data, m->device, numbers, NULL, sizeof(numbers)));
    float factor = 2.0f;
    int count = 1000;
    void *params[] = {&buffer->data, &factor, &count};
    const struct gpu_grid grid = {.blocks = {8, 1, 1}, .threads = {128, 1, 1}};
    CHECK_OK(gpu_launch(stream, function, &grid, params));
    CHECK_OK(gpu_copy(stream, numbers, NULL, buffer->data, m->device, sizeof(numbers)));
    CHECK_OK(gpu_stream_sync(stream, 0));
    CHECK(numbers[0] == 1.0f && numbers[999] == 1999.0f);
    source.text = "this is not CUDA";
    status = gpu_module_compile(m->device, &source, &(struct gpu_module *){NULL});
    CHECK(status_code(status) == NRD_INVALID_ARG && strstr(status_text(status), "add.cu") != NULL);
    status_free(status);
    buffer_unref(buffer);
    gpu_stream_destroy(stream);
    gpu_module_unload(module);
    return CHECK_PASSED;
}

// ---- other processes ----------------------------------------------------------------------------------------------

static int run_child(struct gpu_machine *m, char *const *arguments)
{
    pid_t child = 0;
    int status = -1;
    if (posix_spawn(&child, m->program, NULL, NULL, arguments, environ) != 0 ||
        waitpid(child, &status, 0) != child || !WIFEXITED(status)) {
        return -1;
    }
    return WEXITSTATUS(status);
}

int child_open_memory(const char *handle_hex, const char *offset)
{
    struct cu_ipc_mem_handle handle;
    unsigned char *bytes = (unsigned char *)&handle;
    for (size_t i = 0; i < sizeof(handle); i++) {
        unsigned value = 0;
        if (sscanf(handle_hex + 2 * i, "%2x", &value) != 1) {
            return 2;
        }
        bytes[i] = (unsigned char)value;
    }
    struct gpu_system *system = NULL;
    struct tensor_buffer *buffer = NULL;
    struct gpu_stream *stream = NULL;
    unsigned char got = 0;
    struct nrd_status *status = gpu_system_open(&system);
    struct gpu_device *device = status == NULL ? gpu_system_device(system, 0) : NULL;
    if (status == NULL) {
        status = gpu_ipc_open(device, slice_make(&handle, sizeof(handle)), &buffer);
    }
    if (status == NULL) {
        status = gpu_stream_create(device, GPU_PRIORITY_NORMAL, &stream);
    }
    char *at = buffer == NULL ? NULL : (char *)buffer->data + strtoull(offset, NULL, 10);
    if (status == NULL) {
        status = gpu_copy(stream, &got, NULL, at, device, 1);
    }
    if (status == NULL) {
        status = gpu_stream_fill(stream, at, 0x66, 1);
    }
    if (status == NULL) {
        status = gpu_stream_sync(stream, 0);
    }
    if (status != NULL) {
        printf("             child: %s\n", status_text(status));
        status_free(status);
        return 3;
    }
    buffer_unref(buffer);
    gpu_stream_destroy(stream);
    gpu_system_close(system);
    return got == 0x55 ? 0 : 4;
}

static enum check_result memory_is_opened_by_another_process(struct gpu_machine *m)
{
    struct gpu_pool *pool = NULL;
    struct gpu_pool_options options = {
        .kind = NRD_MEMORY_GPU, .device = m->device, .limit_bytes = 16 << 20};
    struct tensor_buffer *first = NULL;
    struct tensor_buffer *buffer = NULL;
    struct gpu_stream *stream = NULL;
    struct cu_ipc_mem_handle handle;
    uint64_t offset = 0;
    unsigned char got = 0;
    CHECK_OK(gpu_pool_create(&options, &pool));
    CHECK_OK(gpu_stream_create(m->device, GPU_PRIORITY_NORMAL, &stream));
    CHECK_OK(
        gpu_pool_get(pool, 1000, &first)); // so that the other one does not begin its allocation
    CHECK_OK(gpu_pool_get(pool, 1000, &buffer));
    CHECK_OK(gpu_stream_fill(stream, buffer->data, 0x55, 1000));
    CHECK_OK(gpu_stream_sync(stream, 0));
    struct nrd_status *status = gpu_ipc_export(m->device, buffer->data, &handle, &offset);
    if (status_code(status) == NRD_UNSUPPORTED) {
        enum check_result result = check_skipped("%s", status_text(status));
        status_free(status);
        return result;
    }
    CHECK_OK(status);
    CHECK(offset >= 1024);
    char hex[2 * sizeof(handle) + 1];
    char number[24];
    for (size_t i = 0; i < sizeof(handle); i++) {
        snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)&handle)[i]);
    }
    snprintf(number, sizeof(number), "%llu", (unsigned long long)offset);
    char mode[] = "--child-open-memory";
    char *arguments[] = {(char *)(uintptr_t)m->program, mode, hex, number, NULL};
    fflush(stdout);
    CHECK(run_child(m, arguments) == 0);
    CHECK_OK(gpu_copy(stream, &got, NULL, buffer->data, m->device, 1));
    CHECK_OK(gpu_stream_sync(stream, 0));
    CHECK(got == 0x66);
    buffer_unref(first);
    buffer_unref(buffer);
    gpu_stream_destroy(stream);
    gpu_pool_destroy(pool);
    return CHECK_PASSED;
}

static void note_loss(struct gpu_device *device, const char *reason, void *arg)
{
    (void)device;
    (void)reason;
    ++*(int *)arg;
}

// A kernel writes where it may not; the device is lost, everybody is told, and all can still be given back.
int child_fault(void)
{
    struct gpu_system *system = NULL;
    struct gpu_module *module = NULL;
    struct gpu_stream *stream = NULL;
    struct gpu_event *event = NULL;
    struct gpu_pool *pool = NULL;
    struct tensor_buffer *buffer = NULL;
    struct cu_function *function = NULL;
    int told = 0;
    struct gpu_watch watch = {.lost = note_loss, .arg = &told};
    struct nvrtc_source source = {
        .name = "fault.cu", .text = "extern \"C\" __global__ void fault(int *p) { *p = 1; }\n"};
    void *nowhere = (void *)(uintptr_t)64;
    void *params[] = {&nowhere};
    const struct gpu_grid grid = {.blocks = {1, 1, 1}, .threads = {1, 1, 1}};
    struct nrd_status *status = gpu_system_open(&system);
    if (status != NULL) {
        return 2;
    }
    struct gpu_device *d = gpu_system_device(system, 0);
    struct gpu_pool_options options = {.kind = NRD_MEMORY_GPU, .device = d, .limit_bytes = 1 << 20};
    if (gpu_module_compile(d, &source, &module) != NULL ||
        gpu_module_function(module, "fault", &function) != NULL ||
        gpu_stream_create(d, GPU_PRIORITY_NORMAL, &stream) != NULL ||
        gpu_pool_create(&options, &pool) != NULL || gpu_pool_get(pool, 100, &buffer) != NULL) {
        return 3;
    }
    gpu_device_watch(d, &watch);
    if (gpu_launch(stream, function, &grid, params) != NULL ||
        gpu_buffer_use(buffer, stream) != NULL || gpu_event_after(stream, &event) != NULL) {
        return 4;
    }
    status = gpu_event_wait(event, clock_now_ns() + UINT64_C(10000000000));
    printf("             child: %s\n", status_text(status));
    bool lost = status_code(status) == NRD_UNAVAILABLE && gpu_device_is_lost(d) && told == 1;
    status_free(status);
    status = gpu_pool_get(pool, 100, &(struct tensor_buffer *){NULL});
    status_free(status);
    struct nrd_status *health = gpu_device_health(d);
    printf("             child: %s\n", status_text(health));
    status_free(health);
    gpu_device_unwatch(d, &watch);
    buffer_unref(buffer);
    gpu_event_unref(event);
    gpu_stream_destroy(stream);
    gpu_module_unload(module);
    gpu_pool_destroy(pool);
    gpu_system_close(system);
    return lost ? 0 : 5;
}

static enum check_result faulting_kernel_loses_its_device(struct gpu_machine *m)
{
    struct nrd_status *status = nvrtc_open();
    if (status != NULL) {
        enum check_result result = check_skipped("%s", status_text(status));
        status_free(status);
        return result;
    }
    if (getenv("NEREID_NO_FAULT") != NULL) {
        return check_skipped("NEREID_NO_FAULT is set (a checker of kernels would report it)");
    }
    char mode[] = "--child-fault";
    char *arguments[] = {(char *)(uintptr_t)m->program, mode, NULL};
    fflush(stdout);
    CHECK(run_child(m, arguments) == 0);
    return CHECK_PASSED;
}

const struct gpu_test device_tests[] = {
    {"system_finds_devices", system_finds_devices},
    {"nvml_knows_the_devices", nvml_knows_the_devices},
    {"streams_and_events_keep_order", streams_and_events_keep_order},
    {"bytes_go_round_by_pinned_memory", bytes_go_round_by_pinned_memory},
    {"bytes_go_round_by_pageable_memory", bytes_go_round_by_pageable_memory},
    {"bytes_go_round_over_two_devices", bytes_go_round_over_two_devices},
    {"host_memory_is_locked", host_memory_is_locked},
    {"pool_keeps_to_its_limit", pool_keeps_to_its_limit},
    {"device_memory_is_flat_after_many_rounds", device_memory_is_flat_after_many_rounds},
    {"async_pool_gives_and_takes_in_order", async_pool_gives_and_takes_in_order},
    {"graph_replays_and_updates", graph_replays_and_updates},
    {"text_is_compiled_and_run", text_is_compiled_and_run},
    {"memory_is_opened_by_another_process", memory_is_opened_by_another_process},
    {"faulting_kernel_loses_its_device", faulting_kernel_loses_its_device},
    {NULL, NULL},
};
