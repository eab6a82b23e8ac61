// SPDX-License-Identifier: Apache-2.0
// Fake CUDA: start and stop, devices, contexts, peers, errors and failures on demand.
#include "tests/support/fake_cuda/fake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_state fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
void (*fake_autostart)(void);

enum { CONTEXTS_DEEP = 32 };
static _Thread_local struct {
    unsigned generation;
    unsigned depth;
    int ordinals[CONTEXTS_DEEP];
} context_stack;

// ---- start and stop -----------------------------------------------------------------------------------------------

static void device_start(struct fake_device *d, int ordinal, const struct fake_gpu *gpu)
{
    memset(d, 0, sizeof(*d));
    d->gpu = *gpu;
    snprintf(d->name, sizeof(d->name), "%s", gpu->name == NULL ? "Fake GPU" : gpu->name);
    if (gpu->pci_bus_id == NULL) {
        snprintf(d->pci_bus_id, sizeof(d->pci_bus_id), "FFFF:%02X:1F.0", (unsigned)ordinal & 0xff);
    } else {
        snprintf(d->pci_bus_id, sizeof(d->pci_bus_id), "%s", gpu->pci_bus_id);
    }
    if (d->gpu.memory_bytes == 0) {
        d->gpu.memory_bytes = (uint64_t)1 << 30;
    }
    if (d->gpu.speed <= 0) {
        d->gpu.speed = 1;
    }
    if (d->gpu.compute_major == 0) {
        d->gpu.compute_major = 9;
    }
    d->context.ordinal = ordinal;
    d->default_stream.ordinal = ordinal;
    fake_memory_start(d);
}

void fake_cuda_start(const struct fake_cuda_options *options)
{
    pthread_mutex_lock(&fake.lock);
    if (fake.started || options->count < 1 || options->count > FAKE_GPUS_MAX) {
        fprintf(stderr, "fake_cuda_start: %d GPUs, started already: %d\n", options->count,
                fake.started);
        abort();
    }
    fake.options = *options;
    struct fake_cuda_options *o = &fake.options;
    o->host_gbytes_s = o->host_gbytes_s > 0 ? o->host_gbytes_s : 16;
    o->device_gbytes_s = o->device_gbytes_s > 0 ? o->device_gbytes_s : 1000;
    o->peer_gbytes_s = o->peer_gbytes_s > 0 ? o->peer_gbytes_s : 100;
    o->driver_version = o->driver_version > 0 ? o->driver_version : 13000;
    for (int i = 0; i < o->count; i++) {
        device_start(&fake.devices[i], i, &o->gpus[i]);
    }
    fake.started = true;
    fake.stopping = false;
    fake.generation++;
    fake.streams = NULL;
    fake.now_ns = 0;
    fake.sequence = 0;
    memset(fake.injections, 0, sizeof(fake.injections));
    memset(fake.calls, 0, sizeof(fake.calls));
    memset(&fake.counts, 0, sizeof(fake.counts));
    fake.kernel_count = 0;
    pthread_mutex_unlock(&fake.lock);
    fake_clock_start();
}

static unsigned count_live(bool print)
{
    const struct fake_counts *c = &fake.counts;
    const struct {
        const char *what;
        unsigned count;
    } rows[] = {
        {"context", c->contexts},
        {"device allocation", c->allocations},
        {"pinned allocation", c->host_allocations},
        {"stream", c->streams},
        {"event", c->events},
        {"module", c->modules},
        {"graph", c->graphs},
        {"instantiated graph", c->execs},
        {"memory pool", c->pools},
        {"opened IPC handle", c->imports},
    };
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sum += rows[i].count;
        if (print && rows[i].count > 0) {
            fprintf(stderr, "fake CUDA: not given back: %u x %s\n", rows[i].count, rows[i].what);
        }
    }
    return sum;
}

unsigned fake_cuda_live(void)
{
    pthread_mutex_lock(&fake.lock);
    unsigned live = count_live(false);
    pthread_mutex_unlock(&fake.lock);
    return live;
}

static void drop_ops(struct cu_stream *stream)
{
    while (stream->head != NULL) {
        struct fake_op *op = stream->head;
        stream->head = op->next;
        fake_op_fini(op);
        free(op);
    }
    stream->tail = NULL;
}

unsigned fake_cuda_stop(void)
{
    fake_clock_stop();
    pthread_mutex_lock(&fake.lock);
    unsigned live = count_live(true);
    while (fake.streams != NULL) {
        struct cu_stream *stream = fake.streams;
        fake.streams = stream->next;
        drop_ops(stream);
        free(stream);
    }
    for (int i = 0; i < fake.options.count; i++) {
        drop_ops(&fake.devices[i].default_stream);
        fake_memory_stop(&fake.devices[i]);
    }
    fake.started = false;
    pthread_mutex_unlock(&fake.lock);
    return live;
}

const struct gpu_driver *fake_cuda_driver(void)
{
    static const struct gpu_driver table = {
#define FAKE_MEMBER(name, symbol, needed, args) .name = symbol,
        GPU_DRIVER_FUNCTIONS(FAKE_MEMBER)
#undef FAKE_MEMBER
    };
    return &table;
}

// ---- every call ---------------------------------------------------------------------------------------------------

struct fake_device *fake_device_at(int ordinal)
{
    return ordinal >= 0 && ordinal < fake.options.count ? &fake.devices[ordinal] : NULL;
}

int fake_begin(enum gpu_fn fn, int ordinal)
{
    pthread_mutex_lock(&fake.lock);
    fake.calls[fn]++;
    if (!fake.started) {
        return CU_NOT_INITIALIZED;
    }
    for (int i = 0; i < FAKE_INJECTIONS; i++) {
        struct fake_injection *in = &fake.injections[i];
        if (in->nth > 0 && in->fn == fn && (in->ordinal < 0 || in->ordinal == ordinal) &&
            --in->nth == 0) {
            if (ordinal >= 0 && gpu_result_is_sticky(in->result)) {
                fake_poison(ordinal, in->result);
            }
            return in->result;
        }
    }
    const struct fake_device *d = fake_device_at(ordinal);
    return d == NULL ? CU_SUCCESS : d->sticky;
}

int fake_end(int result)
{
    pthread_mutex_unlock(&fake.lock);
    return result;
}

#define BEGIN(fn, ordinal)                                                                         \
    do {                                                                                           \
        int begin_ = fake_begin(GPU_FN_##fn, (ordinal));                                           \
        if (begin_ != CU_SUCCESS) {                                                                \
            return fake_end(begin_);                                                               \
        }                                                                                          \
    } while (0)

void fake_cuda_fail(enum gpu_fn fn, int ordinal, unsigned nth, int result)
{
    pthread_mutex_lock(&fake.lock);
    for (int i = 0; i < FAKE_INJECTIONS; i++) {
        if (fake.injections[i].nth == 0) {
            fake.injections[i] = (struct fake_injection){fn, ordinal, nth, result};
            break;
        }
    }
    pthread_mutex_unlock(&fake.lock);
}

void fake_cuda_lose(int ordinal, int result)
{
    pthread_mutex_lock(&fake.lock);
    fake_poison(ordinal, result);
    pthread_mutex_unlock(&fake.lock);
}

void fake_cuda_unplug(int ordinal)
{
    pthread_mutex_lock(&fake.lock);
    fake.devices[ordinal].unplugged = true;
    fake_poison(ordinal, CU_UNKNOWN);
    pthread_mutex_unlock(&fake.lock);
}

void fake_cuda_set_used_by_others(int ordinal, uint64_t bytes)
{
    pthread_mutex_lock(&fake.lock);
    fake.devices[ordinal].used_by_others = bytes;
    pthread_mutex_unlock(&fake.lock);
}

uint64_t fake_cuda_calls(enum gpu_fn fn)
{
    pthread_mutex_lock(&fake.lock);
    uint64_t calls = fake.calls[fn];
    pthread_mutex_unlock(&fake.lock);
    return calls;
}

// ---- the driver itself --------------------------------------------------------------------------------------------

int cuInit(unsigned flags)
{
    pthread_mutex_lock(&fake.lock);
    bool start = !fake.started && fake_autostart != NULL;
    pthread_mutex_unlock(&fake.lock);
    if (start) {
        fake_autostart();
    }
    BEGIN(init, -1);
    return fake_end(flags == 0 ? CU_SUCCESS : CU_INVALID_VALUE);
}

int cuDriverGetVersion(int *version)
{
    *version = fake.options.driver_version;
    return CU_SUCCESS;
}

static const struct {
    int result;
    const char *name;
    const char *text;
} error_rows[] = {
    {CU_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CU_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CU_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CU_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CU_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CU_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CU_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CU_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CU_ECC_UNCORRECTABLE, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {CU_PEER_ACCESS_UNSUPPORTED, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED",
     "peer access is not supported between these two devices"},
    {CU_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CU_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CU_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CU_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {CU_PEER_ACCESS_ALREADY_ENABLED, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED",
     "peer access is already enabled"},
    {CU_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CU_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CU_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CU_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CU_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT",
     "operation not permitted on an event last recorded in a capturing stream"},
    {CU_GRAPH_EXEC_UPDATE_FAILURE, "CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE",
     "the graph update was not performed because it included changes which violated constraints"},
};

static const char *find_error(int error, bool name)
{
    for (size_t i = 0; i < sizeof(error_rows) / sizeof(error_rows[0]); i++) {
        if (error_rows[i].result == error) {
            return name ? error_rows[i].name : error_rows[i].text;
        }
    }
    return NULL;
}

int cuGetErrorName(int error, const char **text)
{
    *text = find_error(error, true);
    return *text == NULL ? CU_INVALID_VALUE : CU_SUCCESS;
}

int cuGetErrorString(int error, const char **text)
{
    *text = find_error(error, false);
    return *text == NULL ? CU_INVALID_VALUE : CU_SUCCESS;
}

// ---- devices ------------------------------------------------------------------------------------------------------

int cuDeviceGetCount(int *count)
{
    BEGIN(device_count, -1);
    *count = fake.options.count;
    return fake_end(CU_SUCCESS);
}

int cuDeviceGet(int *device, int ordinal)
{
    BEGIN(device_get, -1);
    *device = ordinal;
    return fake_end(fake_device_at(ordinal) == NULL ? CU_INVALID_DEVICE : CU_SUCCESS);
}

int cuDeviceGetName(char *name, int length, int device)
{
    BEGIN(device_name, -1);
    const struct fake_device *d = fake_device_at(device);
    if (d == NULL) {
        return fake_end(CU_INVALID_DEVICE);
    }
    snprintf(name, (size_t)length, "%s", d->name);
    return fake_end(CU_SUCCESS);
}

int cuDeviceGetUuid_v2(struct cu_uuid *uuid, int device)
{
    BEGIN(device_uuid, -1);
    memset(uuid, 0xfa, sizeof(*uuid));
    uuid->bytes[0] = (unsigned char)device;
    return fake_end(fake_device_at(device) == NULL ? CU_INVALID_DEVICE : CU_SUCCESS);
}

int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    BEGIN(device_total_mem, -1);
    const struct fake_device *d = fake_device_at(device);
    *bytes = d == NULL ? 0 : d->gpu.memory_bytes;
    return fake_end(d == NULL ? CU_INVALID_DEVICE : CU_SUCCESS);
}

int cuDeviceGetPCIBusId(char *id, int length, int device)
{
    BEGIN(device_pci_bus_id, -1);
    const struct fake_device *d = fake_device_at(device);
    if (d == NULL) {
        return fake_end(CU_INVALID_DEVICE);
    }
    snprintf(id, (size_t)length, "%s", d->pci_bus_id);
    return fake_end(CU_SUCCESS);
}

int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    BEGIN(device_attribute, -1);
    const struct fake_device *d = fake_device_at(device);
    if (d == NULL) {
        return fake_end(CU_INVALID_DEVICE);
    }
    switch (attribute) {
    case CU_ATTR_COMPUTE_CAPABILITY_MAJOR:
        *value = d->gpu.compute_major;
        break;
    case CU_ATTR_COMPUTE_CAPABILITY_MINOR:
        *value = d->gpu.compute_minor;
        break;
    case CU_ATTR_MULTIPROCESSOR_COUNT:
        *value = (int)(100 * d->gpu.speed);
        break;
    case CU_ATTR_CLOCK_RATE:
        *value = 1500000;
        break;
    case CU_ATTR_ASYNC_ENGINE_COUNT:
        *value = 2;
        break;
    case CU_ATTR_UNIFIED_ADDRESSING:
    case CU_ATTR_MEMORY_POOLS_SUPPORTED:
        *value = 1;
        break;
    default:
        *value = 0;
        break;
    }
    return fake_end(CU_SUCCESS);
}

// ---- peers --------------------------------------------------------------------------------------------------------

static bool reaches(int device, int peer)
{
    const struct fake_cuda_options *o = &fake.options;
    return device != peer && !o->no_peers && (!o->peers_by_pair || device / 2 == peer / 2);
}

int cuDeviceCanAccessPeer(int *can, int device, int peer)
{
    BEGIN(device_can_access_peer, -1);
    *can = reaches(device, peer);
    return fake_end(CU_SUCCESS);
}

int cuDeviceGetP2PAttribute(int *value, int attribute, int from, int to)
{
    BEGIN(device_p2p_attribute, -1);
    *value = attribute == CU_P2P_ACCESS_SUPPORTED && reaches(from, to);
    return fake_end(CU_SUCCESS);
}

int cuCtxEnablePeerAccess(struct cu_context *peer, unsigned flags)
{
    int device = fake_current();
    BEGIN(ctx_enable_peer, device);
    if (device < 0 || peer == NULL || flags != 0) {
        return fake_end(device < 0 ? CU_INVALID_CONTEXT : CU_INVALID_VALUE);
    }
    if (!reaches(device, peer->ordinal)) {
        return fake_end(CU_PEER_ACCESS_UNSUPPORTED);
    }
    uint64_t bit = (uint64_t)1 << peer->ordinal;
    bool already = (fake.devices[device].peers & bit) != 0;
    fake.devices[device].peers |= bit;
    return fake_end(already ? CU_PEER_ACCESS_ALREADY_ENABLED : CU_SUCCESS);
}

// ---- contexts -----------------------------------------------------------------------------------------------------

int cuDevicePrimaryCtxRetain(struct cu_context **context, int device)
{
    BEGIN(primary_retain, device);
    struct fake_device *d = fake_device_at(device);
    if (d == NULL) {
        return fake_end(CU_INVALID_DEVICE);
    }
    fake.counts.contexts += d->retained++ == 0;
    *context = &d->context;
    return fake_end(CU_SUCCESS);
}

int cuDevicePrimaryCtxRelease_v2(int device)
{
    (void)fake_begin(GPU_FN_primary_release, -1);
    struct fake_device *d = fake_device_at(device);
    if (d == NULL || d->retained == 0) {
        return fake_end(CU_INVALID_CONTEXT);
    }
    fake.counts.contexts -= --d->retained == 0;
    return fake_end(CU_SUCCESS);
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active)
{
    BEGIN(primary_state, -1); // a fault does not change it
    const struct fake_device *d = fake_device_at(device);
    if (d == NULL) {
        return fake_end(CU_INVALID_DEVICE);
    }
    *flags = 0;
    *active = d->retained > 0;
    return fake_end(CU_SUCCESS);
}

int fake_current(void)
{
    bool valid = context_stack.generation == fake.generation && context_stack.depth > 0;
    return valid ? context_stack.ordinals[context_stack.depth - 1] : -1;
}

int cuCtxPushCurrent_v2(struct cu_context *context)
{
    BEGIN(ctx_push, -1); // a lost device's context can be made current
    if (context_stack.generation != fake.generation) {
        context_stack.generation = fake.generation;
        context_stack.depth = 0;
    }
    if (context == NULL || context_stack.depth == CONTEXTS_DEEP) {
        return fake_end(CU_INVALID_CONTEXT);
    }
    context_stack.ordinals[context_stack.depth++] = context->ordinal;
    return fake_end(CU_SUCCESS);
}

int cuCtxPopCurrent_v2(struct cu_context **context)
{
    int current = fake_current();
    BEGIN(ctx_pop, -1);
    if (current < 0) {
        return fake_end(CU_INVALID_CONTEXT);
    }
    context_stack.depth--;
    *context = &fake.devices[current].context;
    return fake_end(CU_SUCCESS);
}

int cuCtxGetCurrent(struct cu_context **context)
{
    int current = fake_current();
    BEGIN(ctx_get_current, -1);
    *context = current < 0 ? NULL : &fake.devices[current].context;
    return fake_end(CU_SUCCESS);
}

int cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    BEGIN(ctx_priority_range, fake_current());
    *least = 0;
    *greatest = -5;
    return fake_end(CU_SUCCESS);
}
