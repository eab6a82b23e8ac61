// SPDX-License-Identifier: Apache-2.0
// Fake CUDA as shared libraries: set up by the variable FAKE_CUDA when a program calls cuInit or nvmlInit.
//
//   FAKE_CUDA="gpus=4,memory=8G,speed=1:2:1:1,peers=pairs,time=real,host=16,fault=0@100"
// gpus: how many (1). memory: bytes each, with K, M or G, one or one a GPU. The same: speed; cc, compute capabilities; mig, 1 for
// a slice. peers: all, none, pairs. time: real (the default here) or manual with poll=NS. host, device, peer: GB/s of copies.
// fault=GPU@N, unplug=GPU@N: that GPU's Nth kernel faults, or is the last thing that it does; faults=shared: a fault breaks all GPUs.
// report=1: at the end, how often each function was called, on standard error ("fake_cuda: cuEventQuery 12"). What cannot be
// read ends the program.
#include "tests/support/fake_cuda/fake_private.h"
#include "tests/support/host_kernels/host_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const char *text)
{
    fprintf(stderr, "FAKE_CUDA: cannot read \"%s\"\n", text);
    exit(2);
}

static double number(const char **at)
{
    char *end;
    double value = strtod(*at, &end);
    if (end == *at) {
        refuse(*at);
    }
    if (*end == 'K' || *end == 'M' || *end == 'G') {
        value *= *end == 'K' ? 1024.0 : *end == 'M' ? 1048576.0 : 1073741824.0;
        end++;
    }
    *at = end;
    return value;
}

// "a:b:c" over the GPUs; the last one counts for the rest.
static void numbers(const char *text, double *values)
{
    double last = 0;
    for (int i = 0; i < FAKE_GPUS_MAX; i++) {
        if (*text != '\0') {
            last = number(&text);
            text += *text == ':';
        }
        values[i] = last;
    }
    if (*text != '\0') {
        refuse(text);
    }
}

// "GPU@N", for that GPU alone.
static void set_end(struct fake_cuda_options *o, const char *text, bool unplug)
{
    char *end;
    unsigned long gpu = strtoul(text, &end, 10);
    if (end == text || *end != '@' || gpu >= FAKE_GPUS_MAX) {
        refuse(text);
    }
    const char *at = end + 1;
    uint64_t kernel = (uint64_t)number(&at);
    if (*at != '\0' || kernel == 0) {
        refuse(text);
    }
    *(unplug ? &o->gpus[gpu].unplug_at : &o->gpus[gpu].fault_at) = kernel;
}

static void report(void)
{
#define FAKE_NAME(name, symbol, needed, args) #symbol,
    static const char *const names[] = {GPU_DRIVER_FUNCTIONS(FAKE_NAME)};
#undef FAKE_NAME
    for (int fn = 0; fn < GPU_FN_COUNT; fn++) {
        uint64_t calls = fake_cuda_calls((enum gpu_fn)fn);
        if (calls > 0) {
            fprintf(stderr, "fake_cuda: %s %llu\n", names[fn], (unsigned long long)calls);
        }
    }
}

static void set(struct fake_cuda_options *o, const char *key, const char *value)
{
    double values[FAKE_GPUS_MAX];
    if (strcmp(key, "peers") == 0) {
        o->no_peers = strcmp(value, "none") == 0;
        o->peers_by_pair = strcmp(value, "pairs") == 0;
        return;
    }
    if (strcmp(key, "report") == 0) {
        atexit(report);
        return;
    }
    if (strcmp(key, "faults") == 0) {
        o->faults_are_shared = strcmp(value, "shared") == 0;
        return;
    }
    if (strcmp(key, "time") == 0) {
        o->time = strcmp(value, "manual") == 0 ? FAKE_TIME_MANUAL : FAKE_TIME_REAL;
        return;
    }
    if (strcmp(key, "fault") == 0 || strcmp(key, "unplug") == 0) {
        set_end(o, value, key[0] == 'u');
        return;
    }
    numbers(value, values);
    if (strcmp(key, "gpus") == 0) {
        o->count = (int)values[0];
    } else if (strcmp(key, "host") == 0) {
        o->host_gbytes_s = values[0];
    } else if (strcmp(key, "device") == 0) {
        o->device_gbytes_s = values[0];
    } else if (strcmp(key, "peer") == 0) {
        o->peer_gbytes_s = values[0];
    } else if (strcmp(key, "poll") == 0) {
        o->poll_ns = (uint64_t)values[0];
    } else if (strcmp(key, "memory") == 0) {
        for (int i = 0; i < FAKE_GPUS_MAX; i++) {
            o->gpus[i].memory_bytes = (uint64_t)values[i];
        }
    } else if (strcmp(key, "speed") == 0) {
        for (int i = 0; i < FAKE_GPUS_MAX; i++) {
            o->gpus[i].speed = values[i];
        }
    } else if (strcmp(key, "cc") == 0) {
        for (int i = 0; i < FAKE_GPUS_MAX; i++) {
            o->gpus[i].compute_major = (int)values[i];
            o->gpus[i].compute_minor = (int)(values[i] * 10 + 0.5) % 10;
        }
    } else if (strcmp(key, "mig") == 0) {
        for (int i = 0; i < FAKE_GPUS_MAX; i++) {
            o->gpus[i].is_slice = values[i] != 0;
        }
    } else {
        refuse(key);
    }
}

static void start_from_environment(void)
{
    struct fake_cuda_options options = {.count = 1, .time = FAKE_TIME_REAL};
    const char *text = getenv("FAKE_CUDA");
    char *copy = strdup(text == NULL ? "" : text);
    for (char *rest = copy; rest != NULL && *rest != '\0';) {
        char *item = strsep(&rest, ",");
        char *equals = strchr(item, '=');
        if (equals == NULL) {
            refuse(item);
        }
        *equals = '\0';
        set(&options, item, equals + 1);
    }
    free(copy);
    fake_cuda_start(&options);
    host_kernels_register();
}

__attribute__((constructor)) static void register_autostart(void)
{
    fake_autostart = start_from_environment;
}

// NVRTC looks into the driver for private tables by this function, and ends the process where it is missing.
FAKE_EXPORT int cuGetExportTable(const void **table, const struct cu_uuid *id);
int cuGetExportTable(const void **table, const struct cu_uuid *id)
{
    (void)id;
    *table = NULL;
    return CU_NOT_FOUND;
}
