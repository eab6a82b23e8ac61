// SPDX-License-Identifier: Apache-2.0
// Graphs on a real GPU: operators that hand tensors on by events, and a chain that is captured once and launched again and again.
// A program of its own beside check_gpu, since it needs the libraries of src/graph. Without a GPU it says so and skips.
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gpu/copy.h"
#include "nereid/resident.h"

enum { BYTES = 256 << 10, HALF = BYTES / 2, OPERATORS = 8 };

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("[  ERROR   ] --- %s:%d: %s\n", __FILE__, __LINE__, #condition);                \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        struct nrd_status *status_ = (call);                                                       \
        if (status_ != NULL) {                                                                     \
            printf("[  ERROR   ] --- %s:%d: %s: %s\n", __FILE__, __LINE__, #call,                  \
                   nrd_status_text(status_));                                                      \
            nrd_status_free(status_);                                                              \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

// ---- operators: each copies what it got, by halves and swapped, so that work that comes too early shows ----

static struct gpu_device *device;
static struct nrd_tensor *input, *output; // of a resident graph

static struct nrd_tensor *allocate(struct nrd_operator *op)
{
    struct nrd_tensor *t = NULL;
    CHECK_OK(nrd_allocate(op, NULL, NRD_DTYPE_U8, (int64_t[]){BYTES}, 1, NRD_MEMORY_GPU, 0, &t));
    return t;
}

static struct nrd_status *swap(struct nrd_compute *ctx, const struct nrd_tensor *from,
                               struct nrd_tensor *to)
{
    void *handle = NULL;
    struct gpu_stream *stream = NULL;
    NRD_TRY(nrd_compute_stream(ctx, 0, &handle));
    NRD_TRY(nrd_stream_wait_tensor(ctx, handle, from));
    NRD_TRY(gpu_stream_wrap(device, handle, &stream));
    const char *bytes = from->data;
    struct nrd_status *status = gpu_copy(stream, to->data, device, bytes + HALF, device, HALF);
    if (status == NULL) {
        status = gpu_copy(stream, (char *)to->data + HALF, device, bytes, device, HALF);
    }
    gpu_stream_destroy(stream); // only the view of it
    return status;
}

static struct nrd_status *emit_swapped(struct nrd_compute *ctx, const struct nrd_tensor *from)
{
    struct nrd_tensor *to = allocate(nrd_compute_operator(ctx));
    NRD_TRY(swap(ctx, from, to));
    struct nrd_message *m = nrd_message_new(ctx);
    NRD_TRY(nrd_message_add_tensor(m, "", to));
    enum nrd_code code = nrd_emit(ctx, 0, m);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "emit");
}

static struct nrd_status *source_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    return emit_swapped(ctx, input);
}

static struct nrd_status *pass_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    struct nrd_message *m = nrd_receive(ctx, 0);
    struct nrd_status *status = emit_swapped(ctx, nrd_message_tensor(m, ""));
    nrd_message_unref(m);
    return status;
}

static struct nrd_status *sink_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    struct nrd_message *m = nrd_receive(ctx, 0);
    struct nrd_status *status = swap(ctx, nrd_message_tensor(m, ""), output);
    nrd_message_unref(m);
    return status;
}

static const struct nrd_port IN[] = {{.name = "in", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_port OUT[] = {{.name = "out", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_operator_class CLASSES[] = {
    {.abi = NRD_OPERATOR_ABI, .name = "Source", .outputs = OUT, .compute = source_compute},
    {.abi = NRD_OPERATOR_ABI,
     .name = "Pass",
     .inputs = IN,
     .outputs = OUT,
     .compute = pass_compute},
    {.abi = NRD_OPERATOR_ABI, .name = "Sink", .inputs = IN, .compute = sink_compute},
};

// source -> pass ... -> sink: OPERATORS in a row. The source is the first operator.
static struct nrd_app *chain(struct nrd_operator **source)
{
    struct nrd_app *app = NULL;
    struct nrd_operator *last = NULL;
    CHECK_OK(nrd_app_create("gpu", &app));
    for (int i = 0; i < OPERATORS; i++) {
        char name[16];
        struct nrd_operator *op = NULL;
        snprintf(name, sizeof(name), "op%d", i);
        int which = i == 0 ? 0 : i == OPERATORS - 1 ? 2 : 1;
        CHECK_OK(nrd_add_operator_class(nrd_app_fragment(app), &CLASSES[which], name, NULL, &op));
        if (last != NULL) {
            CHECK_OK(nrd_add_flow(last, "", op, "", NULL));
        } else {
            *source = op;
        }
        last = op;
    }
    input = allocate(*source);
    output = allocate(*source);
    return app;
}

static void give_up(struct nrd_app *app)
{
    nrd_tensor_unref(input);
    nrd_tensor_unref(output);
    nrd_app_destroy(app);
}

// ---- the host's side ----

static struct gpu_stream *host_stream;
static unsigned char *host;

static void write_input(unsigned seed)
{
    for (size_t i = 0; i < BYTES; i++) {
        host[i] = (unsigned char)(i * 7 + i / HALF + seed);
    }
    CHECK_OK(gpu_copy(host_stream, input->data, device, host, NULL, BYTES));
    CHECK_OK(gpu_stream_sync(host_stream, clock_now_ns() + 10000000000ull));
}

// After an even number of swaps the output is the input.
static void check_output(unsigned seed)
{
    memset(host, 0, BYTES);
    CHECK_OK(gpu_copy(host_stream, host, NULL, output->data, device, BYTES));
    CHECK_OK(gpu_stream_sync(host_stream, clock_now_ns() + 10000000000ull));
    size_t wrong = 0;
    for (size_t i = 0; i < BYTES; i++) {
        wrong += host[i] != (unsigned char)(i * 7 + i / HALF + seed);
    }
    CHECK(wrong == 0);
}

static void run_chain(const char *scheduler, int passes)
{
    struct nrd_operator *source = NULL;
    struct nrd_app *app = chain(&source);
    struct nrd_value *params = NULL;
    char text[32];
    snprintf(text, sizeof(text), "{count: %d}", passes);
    CHECK_OK(nrd_value_parse(text, strlen(text), "", &params));
    CHECK_OK(nrd_add_condition(source, "CountCondition", NULL, params, NULL));
    nrd_value_free(params);
    CHECK_OK(nrd_set_scheduler(nrd_app_fragment(app), scheduler, NULL));
    for (unsigned seed = 1; seed < 4; seed++) {
        write_input(seed);
        uint64_t began = clock_now_ns();
        CHECK_OK(nrd_app_run(app));
        uint64_t queued = clock_now_ns();
        CHECK_OK(gpu_device_synchronize(device));
        uint64_t done = clock_now_ns();
        check_output(seed);
        printf("             %s: %d passes of %d operators queued in %.1f us each, done in %.1f us "
               "each\n",
               scheduler, passes, OPERATORS, (double)(queued - began) / 1e3 / passes,
               (double)(done - began) / 1e3 / passes);
    }
    give_up(app);
}

static void chain_hands_tensors_on_by_events(void)
{
    run_chain("GreedyScheduler", 200);
    run_chain("EventBasedScheduler", 200);
}

static void resident_chain_is_captured_and_launched(void)
{
    enum { PASSES = 1000 };
    struct nrd_operator *source = NULL;
    struct nrd_resident *r = NULL;
    struct nrd_app *app = chain(&source);
    CHECK_OK(nrd_resident_create(app, NULL, &r));
    if (r == NULL) {
        give_up(app);
        return;
    }
    CHECK(nrd_resident_node_count(r) == 2 * OPERATORS);
    for (unsigned seed = 1; seed < 4; seed++) {
        bool ready = false;
        write_input(seed);
        CHECK_OK(nrd_resident_data_ready(r));
        CHECK_OK(nrd_resident_wait(r));
        CHECK_OK(nrd_resident_result_ready(r, &ready));
        CHECK(ready);
        check_output(seed);
    }
    uint64_t began = clock_now_ns();
    for (int i = 0; i < PASSES; i++) {
        CHECK_OK(nrd_resident_data_ready(r));
    }
    uint64_t queued = clock_now_ns();
    CHECK_OK(nrd_resident_wait(r));
    uint64_t done = clock_now_ns();
    printf(
        "             resident: %d passes of %d operators queued in %.1f us each, done in %.1f us "
        "each\n",
        PASSES, OPERATORS, (double)(queued - began) / 1e3 / PASSES,
        (double)(done - began) / 1e3 / PASSES);
    CHECK_OK(nrd_resident_tear_down(r));
    give_up(app);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } TESTS[] = {
        {"chain_hands_tensors_on_by_events", chain_hands_tensors_on_by_events},
        {"resident_chain_is_captured_and_launched", resident_chain_is_captured_and_launched},
    };
    enum { COUNT = sizeof(TESTS) / sizeof(*TESTS) };
    struct gpu_system *system = NULL;
    struct nrd_status *status = gpu_system_open(&system);
    if (status != NULL) {
        printf("**** NO GPU: every test below is skipped: %s ****\n", nrd_status_text(status));
        nrd_status_free(status);
        for (int i = 0; i < COUNT; i++) {
            printf("[ RUN      ] %s\n[  SKIPPED ] %s\n", TESTS[i].name, TESTS[i].name);
        }
        printf("0 passed, 0 failed, %d skipped\n", COUNT);
        return 0;
    }
    device = gpu_system_device(system, 0);
    host = mem_alloc(BYTES);
    if (host == NULL) {
        return 1;
    }
    CHECK_OK(gpu_stream_create(device, GPU_PRIORITY_NORMAL, &host_stream));
    int passed = 0;
    for (int i = 0; i < COUNT; i++) {
        int before = failures;
        printf("[ RUN      ] %s\n", TESTS[i].name);
        TESTS[i].run();
        printf("%s %s\n", failures == before ? "[       OK ]" : "[  FAILED  ]", TESTS[i].name);
        passed += failures == before;
    }
    gpu_stream_destroy(host_stream);
    gpu_system_close(system);
    mem_free(host);
    printf("%d passed, %d failed, 0 skipped\n", passed, COUNT - passed);
    return failures == 0 ? 0 : 1;
}
