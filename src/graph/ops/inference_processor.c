// SPDX-License-Identifier: Apache-2.0
// InferenceProcessorOp: one operation on each of some tensors, and the results in one message. Parameters and operations are Holoscan's;
// custom CUDA kernels need a GPU. A tensor is looked for in the messages of all flows. Several tensors of one operation are
// written "scores:labels:boxes".
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "graph/ops/custom_kernels.h"
#include "graph/ops/picture_ops.h"
#include "graph/ops/pixels.h"
#include "graph/ops/processes.h"

#define FLOWS_MAX 32
#define KEYS_MAX 8
#define WORDS_MAX 5

enum operation {
    OPERATION_MAX_PER_CHANNEL,
    OPERATION_SCALE_INTENSITY,
    OPERATION_BOXES,
    OPERATION_PRINT,
    OPERATION_PRINT_INT32,
    OPERATION_PRINT_BINARY,
    OPERATION_EXPORT_BINARY,
    OPERATION_CUSTOM_KERNELS,
};
static const struct {
    const char *name;
    int words;    // with the name, commas between them
    bool outputs; // it has a tensor in processed_map
} operations[] = {
    [OPERATION_MAX_PER_CHANNEL] = {"max_per_channel_scaled", 1, true},
    [OPERATION_SCALE_INTENSITY] = {"scale_intensity_cpu", 1, true},
    [OPERATION_BOXES] = {"generate_boxes", 1, false},
    [OPERATION_PRINT] = {"print", 1, false},
    [OPERATION_PRINT_INT32] = {"print_int32", 1, false},
    [OPERATION_PRINT_BINARY] = {"print_custom_binary_classification", 3, false},
    [OPERATION_EXPORT_BINARY] = {"export_binary_classification_to_csv", 5, false},
    [OPERATION_CUSTOM_KERNELS] = {"custom_cuda_kernel", 1, true},
};
#define OPERATION_COUNT (sizeof(operations) / sizeof(operations[0]))

// One entry of process_operations.
struct process {
    char *text; // what the words and keys point into; owned
    const char *keys[KEYS_MAX];
    size_t key_count;
    enum operation operation;
    const char *words[WORDS_MAX];
    const char *out_name; // of processed_map
    struct box_maker *boxes;
    struct custom_kernels *kernels;
    FILE *csv;
};

struct inference_processor {
    const struct nrd_value *process_operations, *processed_map, *custom_kernels;
    struct nrd_string_list in_tensor_names, out_tensor_names;
    const char *config_path;
    bool disable_transmitter, input_on_cuda, output_on_cuda, transmit_on_cuda, use_cuda_graphs;
    struct nrd_resource *allocator, *stream_pool;

    struct process *processes;
    size_t process_count;
    struct str line;
    struct pixel_place place;
};

static const char *const allocator_kind[] = {"allocator", NULL};
static const char *const stream_kind[] = {"cuda_stream_pool", NULL};
#define FIELD(name) offsetof(struct inference_processor, name)
#define FLAG(field, text)                                                                          \
    {                                                                                              \
        .name = #field, .type = NRD_PARAM_BOOL, .offset = FIELD(field), .fallback = "false",       \
        .help = text                                                                               \
    }
static const struct nrd_param params[] = {
    {.name = "process_operations",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(process_operations),
     .help = "{tensor: [operation]}: max_per_channel_scaled, scale_intensity_cpu, generate_boxes, "
             "print, print_int32, "
             "print_custom_binary_classification,A,B, "
             "export_binary_classification_to_csv,app,column,column,column."},
    {.name = "processed_map",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(processed_map),
     .help = "{tensor: [name of the result]}."},
    {.name = "in_tensor_names",
     .type = NRD_PARAM_STRING_LIST,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(in_tensor_names),
     .help = "Tensors that are read; those of process_operations when absent."},
    {.name = "out_tensor_names",
     .type = NRD_PARAM_STRING_LIST,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(out_tensor_names),
     .help = "Results that are sent; all when absent."},
    {.name = "custom_kernels",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(custom_kernels),
     .help = "CUDA kernels: {cuda_kernel-<id>: text or path, out_dtype-<id>, "
             "output_dimensions-<id>, thread_per_block-<id>}."},
    {.name = "config_path",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(config_path),
     .fallback = "\"\"",
     .help = "YAML file of generate_boxes."},
    FLAG(disable_transmitter, "Sends nothing."),
    FLAG(input_on_cuda, "For Holoscan's files: tensors are taken where they are."),
    FLAG(output_on_cuda, "For Holoscan's files: results are on the host."),
    FLAG(transmit_on_cuda, "Results of custom kernels stay on the GPU; others are on the host."),
    FLAG(use_cuda_graphs, "For Holoscan's files: about custom kernels."),
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
     .choices = allocator_kind,
     .help = "Memory of the results; the fragment's default when absent."},
    {.name = "cuda_stream_pool",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(stream_pool),
     .choices = stream_kind,
     .help = "For Holoscan's files: streams are the fragment's."},
    {.name = NULL},
};
static const struct nrd_port inputs[] = {
    {.name = "receivers",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .flags = NRD_PORT_ANY_SIZE,
     .help = "Outputs of networks."},
    {.name = NULL},
};
static const struct nrd_port outputs[] = {
    {.name = "transmitter",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .flags = NRD_PORT_OPTIONAL,
     .help = "The results; no message when no operation has one."},
    {.name = NULL},
};

// ---- parameters -----------------------------------------------------------------------------------------------------

// Cuts `text` in place at `separator` into at most `most` parts; returns how many there are in all.
static size_t cut(char *text, char separator, const char **parts, size_t most)
{
    size_t count = 0;
    while (text != NULL) {
        if (count < most) {
            parts[count] = text;
        }
        count++;
        text = strchr(text, separator);
        if (text != NULL) {
            *text++ = '\0';
        }
    }
    return count;
}

static struct nrd_status *find_operation(struct process *p, size_t words)
{
    const char *custom = operations[OPERATION_CUSTOM_KERNELS].name;
    if (strncmp(p->words[0], custom, strlen(custom)) == 0) {
        p->operation = OPERATION_CUSTOM_KERNELS; // which ones is read by custom_kernels_create()
        return NULL;
    }
    for (size_t i = 0; i < OPERATION_COUNT; i++) {
        if (strcmp(operations[i].name, p->words[0]) == 0) {
            p->operation = (enum operation)i;
            return words == (size_t)operations[i].words
                       ? NULL
                       : status_new(NRD_INVALID_ARG,
                                    "operation '%s' has %d words with commas between, not %zu",
                                    p->words[0], operations[i].words, words);
        }
    }
    return status_new(NRD_INVALID_ARG,
                      "unknown operation '%s': max_per_channel_scaled, scale_intensity_cpu, "
                      "generate_boxes, print, print_int32, print_custom_binary_classification, "
                      "export_binary_classification_to_csv or custom_cuda_kernel-<id>",
                      p->words[0]);
}

// A scalar, or a list of one.
static const struct nrd_value *only(const struct nrd_value *value)
{
    return nrd_value_kind(value) == NRD_VALUE_LIST && nrd_value_count(value) == 1
               ? nrd_value_at(value, 0)
               : value;
}

static struct nrd_status *read_process(struct inference_processor *ip, const char *key,
                                       const struct nrd_value *value, struct process *p)
{
    const struct nrd_value *operation = only(value);
    if (nrd_value_kind(operation) == NRD_VALUE_LIST || nrd_value_kind(operation) == NRD_VALUE_MAP) {
        return status_new(NRD_INVALID_ARG, "one operation for a tensor, '%s' has %zu", key,
                          nrd_value_count(operation));
    }
    const char *text = nrd_value_text(operation);
    size_t key_size = strlen(key) + 1, size = strlen(text) + 1;
    p->text = mem_alloc(key_size + size);
    if (p->text == NULL) {
        return status_no_memory();
    }
    memcpy(p->text, key, key_size);
    memcpy(p->text + key_size, text, size);
    NRD_TRY(find_operation(p, cut(p->text + key_size, ',', p->words, WORDS_MAX)));
    // A name with ':' is several tensors, for the operation that takes several.
    if (p->operation == OPERATION_BOXES) {
        p->key_count = cut(p->text, ':', p->keys, KEYS_MAX);
        if (p->key_count > KEYS_MAX) {
            return status_new(NRD_INVALID_ARG, "'%s' names more than %d tensors", key, KEYS_MAX);
        }
        return box_maker_create(ip->config_path, p->keys, p->key_count, &p->boxes);
    }
    p->keys[0] = p->text;
    p->key_count = 1;
    if (operations[p->operation].outputs) {
        const struct nrd_value *out = only(nrd_value_get(ip->processed_map, key));
        p->out_name = nrd_value_text(out);
        if (out == NULL || p->out_name[0] == '\0') {
            return status_new(NRD_INVALID_ARG,
                              "operation '%s' of tensor '%s' has no name for its result in "
                              "processed_map",
                              p->words[0], key);
        }
    }
    return p->operation == OPERATION_CUSTOM_KERNELS
               ? custom_kernels_create(ip->custom_kernels, p->words[0], &p->kernels)
               : NULL;
}

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    (void)op;
    struct inference_processor *ip = self;
    if (ip->process_operations != NULL && nrd_value_kind(ip->process_operations) != NRD_VALUE_MAP &&
        nrd_value_kind(ip->process_operations) != NRD_VALUE_NULL) {
        return status_new(NRD_INVALID_ARG,
                          "parameter 'process_operations' is no map {tensor: [operation]}");
    }
    size_t count = nrd_value_count(ip->process_operations);
    ip->processes = mem_calloc(count + 1, sizeof(*ip->processes));
    if (ip->processes == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < count; i++) {
        const struct nrd_value *value = nrd_value_at(ip->process_operations, i);
        ip->process_count = i + 1;
        struct nrd_status *status =
            read_process(ip, nrd_value_key(ip->process_operations, i), value, &ip->processes[i]);
        if (status != NULL) {
            return nrd_value_line(value) == 0
                       ? status
                       : status_wrap(status, "%s:%d:%d: ", nrd_value_file(value),
                                     nrd_value_line(value), nrd_value_column(value));
        }
    }
    return NULL;
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    struct inference_processor *ip = self;
    for (size_t i = 0; i < ip->process_count; i++) {
        mem_free(ip->processes[i].text);
        box_maker_destroy(ip->processes[i].boxes);
        custom_kernels_destroy(ip->processes[i].kernels);
    }
    mem_free(ip->processes);
    str_fini(&ip->line);
}

// ---- the CSV of export_binary_classification_to_csv -----------------------------------------------------------------

// <HOLOSCAN_ANALYTICS_DATA_DIRECTORY, or the current one>/<app>/<time>/<HOLOSCAN_ANALYTICS_DATA_FILE_NAME, or data.csv>
static struct nrd_status *open_csv(struct process *p)
{
    const char *folder = getenv("HOLOSCAN_ANALYTICS_DATA_DIRECTORY");
    const char *name = getenv("HOLOSCAN_ANALYTICS_DATA_FILE_NAME");
    char stamp[32], path[4096];
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &local);
    int length =
        snprintf(path, sizeof(path), "%s/%s/%s", folder == NULL ? "." : folder, p->words[1], stamp);
    if (length < 0 || (size_t)length >= sizeof(path)) {
        return status_new(NRD_INVALID_ARG, "the path of '%s' is too long", p->words[1]);
    }
    NRD_TRY(file_make_dirs(path));
    snprintf(path + length, sizeof(path) - (size_t)length, "/%s",
             name == NULL || name[0] == '\0' ? "data.csv" : name);
    p->csv = fopen(path, "ae");
    if (p->csv == NULL) {
        return status_new(NRD_INVALID_ARG, "cannot open '%s': %s", path, strerror(errno));
    }
    fprintf(p->csv, "%s,%s,%s\n", p->words[2], p->words[3], p->words[4]);
    return NULL;
}

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    struct inference_processor *ip = self;
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < ip->process_count && status == NULL; i++) {
        if (ip->processes[i].operation == OPERATION_EXPORT_BINARY) {
            status = open_csv(&ip->processes[i]);
        }
    }
    return status;
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    (void)op;
    struct inference_processor *ip = self;
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < ip->process_count; i++) {
        FILE *csv = ip->processes[i].csv;
        ip->processes[i].csv = NULL;
        struct nrd_status *done = custom_kernels_finish(ip->processes[i].kernels);
        if (status == NULL) {
            status = done;
        } else {
            status_free(done);
        }
        if (csv != NULL && fclose(csv) != 0 && status == NULL) {
            status = status_new(NRD_INTERNAL, "cannot write the CSV of '%s': %s",
                                ip->processes[i].words[1], strerror(errno));
        }
    }
    return status;
}

// ---- one execution --------------------------------------------------------------------------------------------------

// The messages of one execution, and what is made of them.
struct job {
    struct inference_processor *ip;
    struct nrd_compute *ctx;
    struct nrd_message *messages[FLOWS_MAX];
    size_t count;
    struct nrd_message *out; // NULL: nothing yet
};

static struct nrd_status *find_tensor(struct job *job, const char *name, bool to_host,
                                      struct nrd_tensor **host)
{
    struct nrd_tensor *tensor = NULL;
    for (size_t i = 0; i < job->count && tensor == NULL; i++) {
        tensor = nrd_message_tensor(job->messages[i], name);
    }
    if (tensor == NULL && job->count == 1) {
        NRD_TRY(nrd_message_find_tensor(job->messages[0], name, &tensor));
    }
    if (tensor == NULL) {
        return status_new(NRD_NOT_FOUND, "none of %zu messages has tensor '%s'", job->count, name);
    }
    if (!to_host) {
        *host = nrd_tensor_ref(tensor);
        return NULL;
    }
    return pixels_on_host(&job->ip->place, job->ctx, tensor, host);
}

static struct nrd_status *refuse(const struct process *p, const struct nrd_tensor *t,
                                 const char *wanted)
{
    char shape[PIXELS_SHAPE_MAX];
    return status_new(NRD_INVALID_ARG, "%s: tensor '%s' of %s %s, expected %s", p->words[0],
                      p->keys[0], nrd_dtype_name(t->dtype), pixels_shape(t, shape), wanted);
}

// Room for a result, in the output message.
static struct nrd_status *add_result(struct job *job, const struct process *p, enum nrd_dtype dtype,
                                     const int64_t *dims, uint32_t rank, struct nrd_tensor **result)
{
    NRD_TRY(nrd_allocate(nrd_compute_operator(job->ctx), job->ip->allocator, dtype, dims, rank,
                         NRD_MEMORY_CPU, 0, result));
    struct nrd_status *status = nrd_message_add_tensor(job->out, p->out_name, *result);
    if (status != NULL) {
        nrd_tensor_unref(*result);
    }
    return status;
}

static struct nrd_status *run_picture(struct job *job, const struct process *p,
                                      const struct nrd_tensor *t)
{
    struct nrd_tensor *result = NULL;
    if (p->operation == OPERATION_MAX_PER_CHANNEL) {
        if (t->dtype != NRD_DTYPE_F32 || t->rank != 4 || nrd_tensor_elements(t) == 0) {
            return refuse(p, t, "FP32 [1, height, width, channels]");
        }
        const int64_t dims[2] = {1, 2 * t->dims[3]};
        NRD_TRY(add_result(job, p, NRD_DTYPE_F32, dims, 2, &result));
        process_max_per_channel(t, result->data);
        return NULL;
    }
    if (t->dtype != NRD_DTYPE_F32 || t->rank != 3 || t->dims[0] != 1 ||
        nrd_tensor_elements(t) == 0) {
        return refuse(p, t, "FP32 [1, height, width]");
    }
    const int64_t dims[3] = {t->dims[1], t->dims[2], 3};
    NRD_TRY(add_result(job, p, NRD_DTYPE_U8, dims, 3, &result));
    process_scale_intensity(t, result->data);
    return NULL;
}

static struct nrd_status *run_text(struct job *job, struct process *p, const struct nrd_tensor *t)
{
    struct str *line = &job->ip->line;
    str_clear(line);
    if (p->operation == OPERATION_PRINT_BINARY) {
        if (!process_print_binary(t, p->words[1], p->words[2], line)) {
            return refuse(p, t, "two FP32 numbers");
        }
    } else {
        enum nrd_dtype wanted =
            p->operation == OPERATION_PRINT_INT32 ? NRD_DTYPE_I32 : NRD_DTYPE_F32;
        if (t->dtype != wanted) {
            return refuse(p, t, nrd_dtype_name(wanted));
        }
        str_printf(line, "Printing results from %s -> ", p->keys[0]);
        process_print(t, line);
    }
    NRD_TRY(str_status(line));
    fwrite(line->ptr, 1, line->len, stdout);
    fflush(stdout);
    return NULL;
}

static struct nrd_status *run_export(struct process *p, const struct nrd_tensor *t)
{
    int which;
    double confidence;
    if (!process_binary(t, &which, &confidence)) {
        return refuse(p, t, "two FP32 numbers");
    }
    fprintf(p->csv, "%s,%g\n", which == 0 ? "1,0" : "0,1", confidence);
    return NULL;
}

// The result goes on where it is, or from the host, as transmit_on_cuda says.
static struct nrd_status *run_kernels(struct job *job, const struct process *p,
                                      struct nrd_tensor *t)
{
    struct nrd_tensor *result = NULL;
    NRD_TRY(custom_kernels_run(p->kernels, job->ctx, job->ip->allocator, t, &result));
    if (!job->ip->transmit_on_cuda) {
        struct nrd_tensor *host = NULL;
        struct nrd_status *status = pixels_copy_to_host(job->ctx, result, &host);
        nrd_tensor_unref(result);
        NRD_TRY(status);
        result = host;
    }
    struct nrd_status *status = nrd_message_add_tensor(job->out, p->out_name, result);
    if (status != NULL) {
        nrd_tensor_unref(result);
    }
    return status;
}

static struct nrd_status *run_process(struct job *job, struct process *p)
{
    struct nrd_tensor *tensors[KEYS_MAX] = {NULL};
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < p->key_count && status == NULL; i++) {
        status =
            find_tensor(job, p->keys[i], p->operation != OPERATION_CUSTOM_KERNELS, &tensors[i]);
    }
    if (status != NULL) {
        goto done;
    }
    switch (p->operation) {
    case OPERATION_MAX_PER_CHANNEL:
    case OPERATION_SCALE_INTENSITY:
        status = run_picture(job, p, tensors[0]);
        break;
    case OPERATION_BOXES:
        status = box_maker_run(p->boxes, nrd_compute_operator(job->ctx), job->ip->allocator,
                               tensors, job->out);
        break;
    case OPERATION_PRINT:
    case OPERATION_PRINT_INT32:
    case OPERATION_PRINT_BINARY:
        status = run_text(job, p, tensors[0]);
        break;
    case OPERATION_EXPORT_BINARY:
        status = run_export(p, tensors[0]);
        break;
    case OPERATION_CUSTOM_KERNELS:
        status = run_kernels(job, p, tensors[0]);
        break;
    }
done:
    for (size_t i = 0; i < p->key_count; i++) {
        nrd_tensor_unref(tensors[i]);
    }
    return status;
}

static bool is_sent(const struct inference_processor *ip, const char *name)
{
    for (size_t i = 0; i < ip->out_tensor_names.count; i++) {
        if (strcmp(ip->out_tensor_names.items[i], name) == 0) {
            return true;
        }
    }
    return ip->out_tensor_names.count == 0;
}

// With out_tensor_names some results may have to stay behind: a second message without them.
static struct nrd_status *send(struct job *job)
{
    struct nrd_message *all = job->out;
    if (job->ip->out_tensor_names.count > 0) {
        struct nrd_message *some = nrd_message_new(job->ctx);
        struct nrd_status *status = some == NULL ? status_no_memory() : NULL;
        for (size_t i = 0; status == NULL && i < nrd_message_tensor_count(all); i++) {
            const char *name;
            struct nrd_tensor *tensor = nrd_message_tensor_at(all, i, &name);
            if (is_sent(job->ip, name)) {
                status = nrd_message_add_tensor(some, name, nrd_tensor_ref(tensor));
                if (status != NULL) {
                    nrd_tensor_unref(tensor);
                }
            }
        }
        nrd_message_unref(all);
        job->out = some;
        NRD_TRY(status);
    }
    nrd_message_set_acquired(job->out, nrd_message_acquired(job->messages[0]));
    enum nrd_code code = nrd_emit(job->ctx, 0, job->out);
    job->out = NULL;
    return code == NRD_OK ? NULL : nrd_compute_fail(job->ctx, code, "its output is full");
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct inference_processor *ip = self;
    struct job job = {.ip = ip, .ctx = ctx, .out = nrd_message_new(ctx)};
    struct nrd_status *status = job.out == NULL ? status_no_memory() : NULL;
    size_t flows = nrd_operator_input_flows(nrd_compute_operator(ctx), 0);
    for (size_t i = 0; i < flows && i < FLOWS_MAX; i++) {
        struct nrd_message *message = nrd_receive_from(ctx, 0, i);
        if (message != NULL) {
            job.messages[job.count++] = message;
        }
    }
    for (size_t i = 0; i < ip->process_count && status == NULL; i++) {
        status = run_process(&job, &ip->processes[i]);
    }
    if (status == NULL && job.count > 0 && nrd_message_tensor_count(job.out) > 0 &&
        !ip->disable_transmitter) {
        status = send(&job);
    }
    nrd_message_unref(job.out);
    for (size_t i = 0; i < job.count; i++) {
        nrd_message_unref(job.messages[i]);
    }
    return status;
}

const struct nrd_operator_class inference_processor_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "InferenceProcessorOp",
    .summary = "Operations on what networks answer: maxima, equal histograms, boxes, text, CSV.",
    .state_size = sizeof(struct inference_processor),
    .params = params,
    .inputs = inputs,
    .outputs = outputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
