// SPDX-License-Identifier: Apache-2.0
// What an inference in this process costs beyond the model: source -> TritonInferenceOp (in process, identity backend) -> sink, against
// the same graph with an operator that passes on. The backend's own time is in the core's statistics; what is left of the
// difference is the way through. For a large tensor the time shows how often its bytes are copied: the backend's echo is one copy.
//
//     graph_infer [messages]      one JSON line a size
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "nereid/graph.h"

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void check(struct nrd_status *status)
{
    if (status != NULL) {
        fprintf(stderr, "graph_infer: %s\n", nrd_status_text(status));
        exit(1);
    }
}

// One tensor, made once and sent again and again: a reference moves, no bytes.
static struct nrd_tensor *sent;

static struct nrd_status *source_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    struct nrd_message *message = nrd_message_new(ctx);
    NRD_TRY(nrd_message_add_tensor(message, "x", nrd_tensor_ref(sent)));
    enum nrd_code code = nrd_emit(ctx, 0, message);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "emit");
}

static struct nrd_status *pass_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    enum nrd_code code = nrd_emit(ctx, 0, nrd_receive(ctx, 0));
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "emit");
}

static struct nrd_status *sink_compute(struct nrd_compute *ctx, void *self)
{
    (void)self;
    nrd_message_unref(nrd_receive(ctx, 0));
    return NULL;
}

static const struct nrd_port in[] = {{.name = "in", .type = "tensors", .policy = NRD_QUEUE_FAULT},
                                     {0}};
static const struct nrd_port out[] = {{.name = "out", .type = "tensors", .policy = NRD_QUEUE_FAULT},
                                      {0}};
static const struct nrd_operator_class source_op = {.abi = NRD_OPERATOR_ABI,
                                                    .name = "BenchSource",
                                                    .state_size = 1,
                                                    .outputs = out,
                                                    .compute = source_compute};
static const struct nrd_operator_class pass_op = {.abi = NRD_OPERATOR_ABI,
                                                  .name = "BenchPass",
                                                  .state_size = 1,
                                                  .inputs = in,
                                                  .outputs = out,
                                                  .compute = pass_compute};
static const struct nrd_operator_class sink_op = {.abi = NRD_OPERATOR_ABI,
                                                  .name = "BenchSink",
                                                  .state_size = 1,
                                                  .inputs = in,
                                                  .compute = sink_compute};

static void write_repository(const char *root, int64_t floats)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/echo", root);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/echo/1", root);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/echo/config.pbtxt", root);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    fprintf(file,
            "name: \"echo\" backend: \"identity\" max_batch_size: 0\n"
            "input { name: \"I\" data_type: TYPE_FP32 dims: [ %lld ] }\noutput { name: \"O\" "
            "data_type: TYPE_FP32 dims: [ %lld ] }\n"
            "instance_group { kind: KIND_CPU count: 1 }\n",
            (long long)floats, (long long)floats);
    fclose(file);
}

struct result {
    double wall_ns, cpu_ns; // a message
};

static struct result run(const char *repository, long messages)
{
    struct nrd_app *app = NULL;
    struct nrd_operator *source, *middle, *sink;
    struct nrd_condition *condition = NULL;
    char params[600];
    check(nrd_app_create("graph_infer", &app));
    struct nrd_fragment *fragment = nrd_app_fragment(app);
    check(nrd_add_operator_class(fragment, &source_op, "source", NULL, &source));
    if (repository == NULL) {
        check(nrd_add_operator_class(fragment, &pass_op, "middle", NULL, &middle));
    } else {
        snprintf(params, sizeof(params),
                 "{model_name: echo, server_url: inprocess, model_repository: %s}", repository);
        check(nrd_add_operator_yaml(fragment, "TritonInferenceOp", "middle", params, &middle));
    }
    check(nrd_add_operator_class(fragment, &sink_op, "sink", NULL, &sink));
    struct nrd_value *count = nrd_value_map();
    check(nrd_value_set(count, "count", nrd_value_int(messages)));
    check(nrd_add_condition(source, "CountCondition", "count", count, &condition));
    nrd_value_free(count);
    check(nrd_add_flow(source, "", middle, "", NULL));
    check(nrd_add_flow(middle, "", sink, "", NULL));
    check(nrd_app_compile(app));
    int64_t wall = clock_ns(CLOCK_MONOTONIC);
    int64_t cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    check(nrd_app_run(app));
    struct result result = {
        .wall_ns = (double)(clock_ns(CLOCK_MONOTONIC) - wall) / (double)messages,
        .cpu_ns = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)messages};
    nrd_app_destroy(app);
    return result;
}

// What one copy of that many bytes costs here and now, by the same route through memory.
static double copy_ns(size_t size, long times)
{
    char *from = malloc(size);
    char *to = malloc(size);
    if (from == NULL || to == NULL) {
        exit(1);
    }
    memset(from, 1, size);
    memset(to, 2, size);
    int64_t begin = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < times; i++) {
        memcpy(to, from, size);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    double ns = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin) / (double)times;
    free(from);
    free(to);
    return ns;
}

int main(int argc, char **argv)
{
    long messages = argc > 1 ? strtol(argv[1], NULL, 10) : 100000;
    const int64_t sizes[] = {16, 150528, 4194304}; // floats: 64 bytes, a picture of 224x224, 16 MiB
    char root[] = "/tmp/graph-infer-XXXXXX";
    if (mkdtemp(root) == NULL) {
        return 1;
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t bytes = (size_t)sizes[i] * sizeof(float);
        long count = bytes > 1000000 ? messages / 500 : bytes > 100000 ? messages / 20 : messages;
        write_repository(root, sizes[i]);
        check(nrd_tensor_create(NRD_DTYPE_F32, &sizes[i], 1, &sent));
        memset(sent->data, 1, bytes);
        run(root, count / 10 + 1);
        struct result without = run(NULL, count);
        struct result with = run(root, count);
        double copy = copy_ns(bytes, count);
        printf("{\"bench\": \"graph_infer\", \"bytes\": %zu, \"messages\": %ld, \"pass_ns\": %.0f, "
               "\"infer_ns\": %.0f, \"added_us\": %.2f, "
               "\"added_cpu_us\": %.2f, \"one_copy_us\": %.2f}\n",
               bytes, count, without.wall_ns, with.wall_ns, (with.wall_ns - without.wall_ns) / 1000,
               (with.cpu_ns - without.cpu_ns) / 1000, copy / 1000);
        nrd_tensor_unref(sent);
    }
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command) == 0 ? 0 : 1;
}
