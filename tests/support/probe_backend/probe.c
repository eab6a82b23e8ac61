// SPDX-License-Identifier: Apache-2.0
// Probe: a backend that tells what its host has made of an instance. It takes any kind, works on nothing, and loads into Nereid
// and into NVIDIA's server.
//
// Output REPORT (TYPE_STRING [ 1 ]) is one line of JSON: name, kind, device, passive, host policy, profiles, secondary devices,
// and where the thread that executes may run (cpus) and takes its memory (nodes). Parameters of the model:
//   work_us      an Execute takes that long
//   hold         KIND:BYTES, memory that each instance takes from the host's memory manager for its life; KIND is gpu, pinned or cpu;
//                a failure fails the instance
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "triton/core/tritonbackend.h"

#define TRY(call)                                                                                  \
    do {                                                                                           \
        TRITONSERVER_Error *try_error_ = (call);                                                   \
        if (try_error_ != NULL) {                                                                  \
            return try_error_;                                                                     \
        }                                                                                          \
    } while (0)

struct probe {
    TRITONBACKEND_MemoryManager *memory;
    void *held;
    TRITONSERVER_MemoryType held_type;
    int64_t held_id;
    long work_us;
};

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// ---- the model's parameters ----

// The string_value of a parameter; false when there is none.
static bool parameter(const char *config, const char *name, char *value, size_t size)
{
    char key[64];
    snprintf(key, sizeof(key), "\"%s\":{\"string_value\":\"", name);
    const char *at = strstr(config, key);
    if (at == NULL) {
        return false;
    }
    at += strlen(key);
    size_t length = strcspn(at, "\"");
    snprintf(value, size, "%.*s", (int)length, at);
    return true;
}

static TRITONSERVER_Error *hold(struct probe *probe, const char *what, int32_t device)
{
    char kind[16] = "";
    unsigned long long bytes = 0;
    if (sscanf(what, "%15[^:]:%llu", kind, &bytes) != 2) {
        return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INVALID_ARG, "hold is KIND:BYTES");
    }
    probe->held_type = strcmp(kind, "gpu") == 0      ? TRITONSERVER_MEMORY_GPU
                       : strcmp(kind, "pinned") == 0 ? TRITONSERVER_MEMORY_CPU_PINNED
                                                     : TRITONSERVER_MEMORY_CPU;
    probe->held_id = probe->held_type == TRITONSERVER_MEMORY_GPU ? device : 0;
    return TRITONBACKEND_MemoryManagerAllocate(probe->memory, &probe->held, probe->held_type,
                                               probe->held_id, bytes);
}

static TRITONSERVER_Error *configure(struct probe *probe, TRITONBACKEND_Model *model,
                                     int32_t device)
{
    TRITONSERVER_Message *message = NULL;
    const char *json = NULL;
    size_t length = 0;
    char text[128];
    TRITONSERVER_Error *error = NULL;
    TRY(TRITONBACKEND_ModelConfig(model, 1, &message));
    error = TRITONSERVER_MessageSerializeToJson(message, &json, &length);
    char *copy = error == NULL ? strndup(json, length) : NULL;
    if (copy != NULL && parameter(copy, "work_us", text, sizeof(text))) {
        probe->work_us = strtol(text, NULL, 10);
    }
    if (copy != NULL && parameter(copy, "hold", text, sizeof(text))) {
        error = hold(probe, text, device);
    }
    free(copy);
    TRITONSERVER_ErrorDelete(TRITONSERVER_MessageDelete(message));
    return error;
}

// ---- the report ----

// "0-3,8": processors or nodes, whose bits are in `mask`.
static void print_set(const unsigned char *mask, size_t bits, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < bits && used + 16 < size; i++) {
        size_t last = i;
        while (last < bits && (mask[last / 8] >> (last % 8) & 1) != 0) {
            last++;
        }
        if (last == i) {
            continue;
        }
        used += (size_t)snprintf(text + used, size - used, last - i > 1 ? "%s%zu-%zu" : "%s%zu",
                                 used == 0 ? "" : ",", i, last - 1);
        i = last;
    }
}

static void where_it_runs(char *cpus, char *nodes, size_t size)
{
    cpu_set_t set;
    unsigned char mask[128] = {0};
    int policy = 0;
    CPU_ZERO(&set);
    cpus[0] = nodes[0] = '\0';
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        print_set((const unsigned char *)&set, sizeof(set) * 8, cpus, size);
    }
    if (syscall(SYS_get_mempolicy, &policy, mask, sizeof(mask) * 8, NULL, 0) == 0 && policy != 0) {
        print_set(mask, sizeof(mask) * 8, nodes, size);
    }
}

static TRITONSERVER_Error *report(TRITONBACKEND_ModelInstance *instance, char *text, size_t size)
{
    const char *name = NULL;
    TRITONSERVER_InstanceGroupKind kind;
    int32_t device = 0;
    bool passive = false;
    TRITONSERVER_Message *policy = NULL;
    const char *json = NULL;
    size_t length = 0;
    uint32_t count = 0;
    char cpus[256];
    char nodes[256];
    TRY(TRITONBACKEND_ModelInstanceName(instance, &name));
    TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
    TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &device));
    TRY(TRITONBACKEND_ModelInstanceIsPassive(instance, &passive));
    TRY(TRITONBACKEND_ModelInstanceHostPolicy(instance, &policy));
    TRY(TRITONSERVER_MessageSerializeToJson(policy, &json, &length));
    where_it_runs(cpus, nodes, sizeof(cpus));
    size_t used = (size_t)snprintf(
        text, size,
        "{\"name\":\"%s\",\"kind\":\"%s\",\"device\":%d,\"passive\":%s,\"policy\":%.*s,"
        "\"cpus\":\"%s\",\"nodes\":\"%s\",\"profiles\":[",
        name, TRITONSERVER_InstanceGroupKindString(kind), device, passive ? "true" : "false",
        (int)length, json, cpus, nodes);
    TRY(TRITONBACKEND_ModelInstanceProfileCount(instance, &count));
    for (uint32_t i = 0; i < count && used < size; i++) {
        const char *profile = NULL;
        TRY(TRITONBACKEND_ModelInstanceProfileName(instance, i, &profile));
        used += (size_t)snprintf(text + used, size - used, "%s\"%s\"", i == 0 ? "" : ",", profile);
    }
    used += (size_t)snprintf(text + used, size - used, "],\"secondary\":[");
    TRY(TRITONBACKEND_ModelInstanceSecondaryDeviceCount(instance, &count));
    for (uint32_t i = 0; i < count && used < size; i++) {
        const char *other = NULL;
        int64_t id = 0;
        TRY(TRITONBACKEND_ModelInstanceSecondaryDeviceProperties(instance, i, &other, &id));
        used += (size_t)snprintf(text + used, size - used, "%s[\"%s\",%lld]", i == 0 ? "" : ",",
                                 other, (long long)id);
    }
    snprintf(text + used, used < size ? size - used : 0, "]}");
    return NULL;
}

// ---- the interface ----

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(TRITONBACKEND_ModelInstance *instance)
{
    struct probe *probe = calloc(1, sizeof(*probe));
    TRITONBACKEND_Model *model = NULL;
    TRITONBACKEND_Backend *backend = NULL;
    int32_t device = 0;
    char text[4096];
    if (probe == NULL) {
        return TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_UNAVAILABLE, "out of memory");
    }
    TRY(TRITONBACKEND_ModelInstanceSetState(instance, probe));
    TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
    TRY(TRITONBACKEND_ModelBackend(model, &backend));
    TRY(TRITONBACKEND_BackendMemoryManager(backend, &probe->memory));
    TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &device));
    TRY(report(instance, text, sizeof(text)));
    // Instances that take no request are seen in the log only.
    TRY(TRITONSERVER_LogMessage(TRITONSERVER_LOG_INFO, "probe.c", 1, text));
    return configure(probe, model, device);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceFinalize(TRITONBACKEND_ModelInstance *instance)
{
    void *state = NULL;
    TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    struct probe *probe = state;
    TRITONSERVER_Error *error = NULL;
    if (probe != NULL && probe->held != NULL) {
        error = TRITONBACKEND_MemoryManagerFree(probe->memory, probe->held, probe->held_type,
                                                probe->held_id);
    }
    free(probe);
    return error;
}

static TRITONSERVER_Error *answer(TRITONBACKEND_Request *request, const char *text)
{
    TRITONBACKEND_Response *response = NULL;
    TRITONBACKEND_Output *output = NULL;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
    int64_t id = 0;
    void *buffer = NULL;
    uint32_t length = (uint32_t)strlen(text);
    const int64_t shape[] = {1, 1};
    TRY(TRITONBACKEND_ResponseNew(&response, request));
    TRY(TRITONBACKEND_ResponseOutput(response, &output, "REPORT", TRITONSERVER_TYPE_BYTES, shape,
                                     2));
    TRY(TRITONBACKEND_OutputBuffer(output, &buffer, sizeof(length) + length, &type, &id));
    memcpy(buffer, &length, sizeof(length));
    memcpy((char *)buffer + sizeof(length), text, length);
    return TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, NULL);
}

TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance *instance,
                                                       TRITONBACKEND_Request **requests,
                                                       uint32_t count)
{
    uint64_t start = now();
    char text[4096];
    void *state = NULL;
    TRY(TRITONBACKEND_ModelInstanceState(instance, &state));
    TRY(report(instance, text, sizeof(text)));
    const struct probe *probe = state;
    if (probe->work_us > 0) {
        usleep((useconds_t)probe->work_us);
    }
    uint64_t end = now();
    for (uint32_t i = 0; i < count; i++) {
        TRITONSERVER_Error *error = answer(requests[i], text);
        TRITONSERVER_ErrorDelete(TRITONBACKEND_ModelInstanceReportStatistics(
            instance, requests[i], error == NULL, start, start, end, now()));
        TRITONSERVER_ErrorDelete(error);
        TRITONSERVER_ErrorDelete(
            TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL));
    }
    return TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, start, start, end,
                                                            now());
}
