// SPDX-License-Identifier: Apache-2.0
// What the fake's files share. Everything is under one lock, `fake.lock`.
#ifndef NEREID_TESTS_FAKE_PRIVATE_H
#define NEREID_TESTS_FAKE_PRIVATE_H

#include <pthread.h>

#include "tests/support/fake_cuda/fake_cuda.h"

#define FAKE_EXPORT __attribute__((visibility("default")))

// The exported functions, as driver_abi.h states them.
#define FAKE_PROTOTYPE(name, symbol, needed, args) FAKE_EXPORT int symbol args;
GPU_DRIVER_FUNCTIONS(FAKE_PROTOTYPE)
#undef FAKE_PROTOTYPE

struct fake_op;

struct cu_context {
    int ordinal;
};

enum fake_engine {
    FAKE_COMPUTE,
    FAKE_COPY_IN,
    FAKE_COPY_OUT,
    FAKE_COPY_WITHIN,
    FAKE_ENGINES,
    FAKE_NO_ENGINE
};

struct fake_allocation {
    struct fake_allocation *next; // by address
    uint64_t offset;
    uint64_t size;
    struct cu_mempool *pool; // NULL: cuMemAlloc
};

struct cu_stream {
    struct cu_stream *next;
    int ordinal;
    int priority;
    struct fake_op *head;
    struct fake_op *tail;
    struct cu_graph *capture; // what is queued goes there
    bool capture_origin;
    int capture_mode; // enum of the driver, where `capture_origin`
    bool capture_broken;
    bool destroyed; // freed when its work is done
};

struct fake_device {
    struct fake_gpu gpu;
    char name[64];
    char pci_bus_id[16];
    struct cu_context context;
    unsigned retained;
    uint64_t peers; // enabled, a bit an ordinal
    int sticky;     // 0: works
    bool unplugged; // for NVML, which does not mind a context's fault
    int memory_fd;
    char *base;   // device addresses: no access
    char *shadow; // the same pages, for the fake and tests
    uint64_t region_bytes;
    struct fake_allocation *allocations;
    uint64_t used;
    uint64_t used_by_others;
    struct cu_stream default_stream;
    struct fake_op *engines[FAKE_ENGINES]; // what each does now
    uint64_t busy_ns;
    uint64_t launches;
    uint64_t copied_bytes;
    uint64_t sampled_busy_ns; // NVML
    uint64_t sampled_at_ns;
};

struct cu_event {
    int ordinal;
    bool timed;
    bool destroyed;
    unsigned ops; // that refer to it
    uint64_t recorded;
    uint64_t reached;
    uint64_t reached_ns;
    struct cu_graph *captured;
};

struct fake_launch_state {
    struct fake_kernel kernel; // a copy: its module may go
    bool is_fault;
    struct fake_launch launch;
    unsigned char params[512];
};
enum fake_op_kind {
    FAKE_OP_COPY,
    FAKE_OP_FILL,
    FAKE_OP_KERNEL,
    FAKE_OP_HOST,
    FAKE_OP_RECORD,
    FAKE_OP_WAIT,
    FAKE_OP_FREE
};
struct fake_op {
    struct fake_op *next;
    enum fake_op_kind kind;
    int ordinal; // whose engine and whose counters
    enum fake_engine engine;
    uint64_t sequence;
    uint64_t duration_ns;
    uint64_t finish_ns;
    bool started;
    uint64_t to;
    uint64_t from;
    size_t size;
    int value;
    struct cu_event *event;
    uint64_t event_record;
    cu_host_fn host_fn;
    void *host_arg;
    struct fake_launch_state *launch; // owned
    void *staged;                     // owned: what a copy from pageable memory found there
};

struct fake_injection {
    enum gpu_fn fn;
    int ordinal;
    unsigned nth; // 0: unused
    int result;
};
struct fake_counts {
    unsigned contexts, allocations, host_allocations, streams, events, modules, graphs, execs,
        pools, imports;
};

enum { FAKE_INJECTIONS = 16, FAKE_KERNELS = 64 };

struct fake_state {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started;
    bool stopping;
    unsigned
        generation; // of starts, so that contexts of threads from before are not taken for today's
    struct fake_cuda_options options;
    struct fake_device devices[FAKE_GPUS_MAX];
    struct cu_stream *streams;
    uint64_t now_ns;
    uint64_t clock_start_ns;
    uint64_t sequence;
    unsigned host_calls; // running now
    pthread_t clock_thread;
    struct fake_injection injections[FAKE_INJECTIONS];
    struct fake_kernel kernels[FAKE_KERNELS];
    unsigned kernel_count;
    uint64_t calls[GPU_FN_COUNT];
    struct fake_counts counts;
};
extern struct fake_state fake;

// Takes the lock and counts the call. `fn` concerns `ordinal` (-1: none). The result to give at once (after fake_end), or
// CU_SUCCESS to go on.
int fake_begin(enum gpu_fn fn, int ordinal);
int fake_end(int result); // lets the lock go; returns `result`
int fake_current(void);   // ordinal of the thread's current context; -1: none
struct fake_device *fake_device_at(int ordinal); // NULL: there is none

// Memory: where a pointer is. `size` bytes must lie in one live allocation. -1: host memory.
bool fake_resolve(uint64_t pointer, size_t size, int *ordinal, char **bytes);
bool fake_is_pinned(uint64_t pointer); // host memory that copies reach when their time has come
int fake_region_of(uint64_t pointer);  // the device whose addresses it is in, live or not; -1
int fake_free(uint64_t pointer);       // the allocation that begins there
void fake_memory_start(struct fake_device *device);
void fake_memory_stop(struct fake_device *device);
struct fake_pool_counts {
    uint64_t used;
    uint64_t reserved;
    uint64_t threshold;
};
void fake_pool_returned(struct cu_mempool *pool, uint64_t size);

// Time: puts `op` (copied) at the end of the stream, or into its graph. Pushes the event count.
int fake_enqueue(struct cu_stream *stream, const struct fake_op *op);
struct cu_stream *fake_stream(struct cu_stream *stream); // NULL: the current device's default one
int fake_stream_ordinal(
    const struct cu_stream
        *stream); // without the lock's need; -1 for a stream that there cannot be
void fake_op_fini(struct fake_op *op); // what it owns
struct fake_op *fake_op_copy(const struct fake_op *op);
void fake_progress(void); // does what is due
bool fake_wait(bool (*done)(const void *arg),
               const void *arg); // until done; false: nothing will ever do it
void fake_polled(void);          // a query found work unfinished
void fake_clock_start(void);
void fake_clock_stop(void);
void fake_poison(int ordinal, int result);
uint64_t fake_copy_ns(int from, int to, size_t size);

struct cu_graph {
    struct fake_op *head;
    struct fake_op *tail;
    size_t count;
};
// Whether another's capture forbids the calling thread what could wait for a stream, as in the driver; the capture is broken then.
bool fake_breaks_capture(void);
void fake_graph_add(struct cu_graph *graph, const struct fake_op *op);

// Sets up from a text like "gpus=2,memory=8G,speed=1:2"; in fake_env.c, for the shared form only.
extern void (*fake_autostart)(void);

#endif
