// SPDX-License-Identifier: Apache-2.0
// Drives the public C client for tests: client_probe URL [OPTION=VALUE ...]. Commands come on standard input, a line each, words
// separated by tabs; each is answered by one line of JSON on standard output: {"error":{"code":...,"text":...}} or what the
// call gave. tests/api/test_client.py is the other side. Start at main() and the table of commands.
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nereid/client.h"

enum { WORDS_MAX = 64, TENSORS_MAX = 8, RANK_MAX = 8, LINE_MAX_SIZE = 1 << 22 };

static struct nrd_client *client;
static struct nrd_shm *region;
static char *words[WORDS_MAX];
static unsigned word_count;

// ---- JSON out -----------------------------------------------------------------------------------------------------------

static void put_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            putchar('\\');
        }
        c < ' ' ? (void)printf("\\u%04x", c) : (void)putchar(c);
    }
    putchar('"');
}

static void put_status(const struct nrd_status *status)
{
    printf("{\"error\":{\"code\":");
    put_text(nrd_code_name(nrd_status_code(status)));
    printf(",\"text\":");
    put_text(nrd_status_text(status));
    printf("}}");
}

static void put_tensor(const struct nrd_client_tensor *t)
{
    printf("{\"name\":");
    put_text(t->name);
    printf(",\"dtype\":\"%s\",\"size\":%zu,\"shape\":[", nrd_dtype_name(t->dtype), t->size);
    for (size_t i = 0; i < t->rank; i++) {
        printf("%s%" PRId64, i > 0 ? "," : "", t->shape[i]);
    }
    printf("],\"data\":");
    if (t->region != NULL) {
        printf("null,\"region\":");
        put_text(t->region);
    } else {
        putchar('"');
        for (size_t i = 0; i < t->size; i++) {
            printf("%02x", ((const unsigned char *)t->data)[i]);
        }
        size_t unit = nrd_dtype_size(t->dtype);
        printf("\",\"aligned\":%s", unit == 0 || (uintptr_t)t->data % unit == 0 ? "true" : "false");
    }
    putchar('}');
}

static void put_response(const struct nrd_client_response *r)
{
    printf("{\"model\":");
    put_text(nrd_client_response_model(r));
    printf(",\"version\":");
    put_text(nrd_client_response_version(r));
    printf(",\"id\":");
    put_text(nrd_client_response_id(r));
    printf(",\"final\":%s,\"outputs\":[", nrd_client_response_is_final(r) ? "true" : "false");
    for (size_t i = 0; i < nrd_client_response_count(r); i++) {
        i > 0 ? (void)putchar(',') : (void)0;
        put_tensor(nrd_client_response_output(r, i));
    }
    printf("],\"parameters\":{");
    for (size_t i = 0; i < nrd_client_response_parameter_count(r); i++) {
        const struct nrd_client_parameter *p = nrd_client_response_parameter(r, i);
        i > 0 ? (void)putchar(',') : (void)0;
        put_text(p->name);
        putchar(':');
        switch (p->kind) {
        case NRD_CLIENT_PARAMETER_STRING:
            put_text(p->as.s);
            break;
        case NRD_CLIENT_PARAMETER_BOOL:
            printf("%s", p->as.b ? "true" : "false");
            break;
        case NRD_CLIENT_PARAMETER_INT:
            printf("%" PRId64, p->as.i);
            break;
        case NRD_CLIENT_PARAMETER_DOUBLE:
            printf("%.17g", p->as.d);
            break;
        }
    }
    printf("}}");
}

// ---- words in -----------------------------------------------------------------------------------------------------------

static const char *word(unsigned index)
{
    return index < word_count && words[index][0] != '\0' ? words[index] : NULL;
}

// The value of "key=value" among the words; NULL when it is not there.
static const char *option(const char *key)
{
    size_t length = strlen(key);
    for (unsigned i = 1; i < word_count; i++) {
        if (strncmp(words[i], key, length) == 0 && words[i][length] == '=') {
            return words[i] + length + 1;
        }
    }
    return NULL;
}

static unsigned long long number(const char *key)
{
    const char *text = option(key);
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

static enum nrd_dtype dtype_of(const char *name)
{
    for (unsigned i = 1; i < NRD_DTYPE_COUNT; i++) {
        if (strcmp(nrd_dtype_name((enum nrd_dtype)i), name) == 0) {
            return (enum nrd_dtype)i;
        }
    }
    return NRD_DTYPE_INVALID;
}

static size_t unhex(const char *text, unsigned char *out)
{
    size_t size = strlen(text) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte = 0;
        (void)sscanf(text + 2 * i, "%2x", &byte);
        out[i] = (unsigned char)byte;
    }
    return size;
}

// ---- inference ----------------------------------------------------------------------------------------------------------

// A request made of the words: MODEL, and options; input=NAME:DTYPE:D,D:HEX or input=NAME:DTYPE:D,D:@REGION:OFFSET:SIZE.
struct request {
    struct nrd_client_request public;
    struct nrd_client_input inputs[TENSORS_MAX];
    int64_t shapes[TENSORS_MAX][RANK_MAX];
    struct nrd_client_output outputs[TENSORS_MAX];
    struct nrd_client_parameter parameters[TENSORS_MAX];
    char *owned[4 * TENSORS_MAX];
    unsigned owned_count;
    unsigned char *into;
};

static char *own(struct request *r, char *memory)
{
    return r->owned[r->owned_count++] = memory;
}

static void parse_input(struct request *r, const char *text)
{
    struct nrd_client_input *input = &r->inputs[r->public.input_count];
    char *at = own(r, strdup(text));
    input->name = strsep(&at, ":");
    input->dtype = dtype_of(strsep(&at, ":"));
    char *dims = strsep(&at, ":");
    input->shape = r->shapes[r->public.input_count];
    for (char *dim; dims != NULL && dims[0] != '\0' && (dim = strsep(&dims, ",")) != NULL;) {
        r->shapes[r->public.input_count][input->rank++] = strtoll(dim, NULL, 10);
    }
    if (at != NULL && at[0] == '@') {
        at++;
        input->region = strsep(&at, ":");
        input->region_offset = strtoull(strsep(&at, ":"), NULL, 10);
        input->size = strtoull(at, NULL, 10);
    } else {
        unsigned char *bytes = malloc(strlen(at) / 2 + 1);
        input->size = unhex(at, bytes);
        input->data = own(r, (char *)bytes);
    }
    r->public.input_count++;
}

// output=NAME[:classes=K | :into=SIZE | :@REGION:OFFSET:SIZE]
static void parse_output(struct request *r, const char *text)
{
    struct nrd_client_output *output = &r->outputs[r->public.output_count++];
    char *at = own(r, strdup(text));
    output->name = strsep(&at, ":");
    if (at == NULL) {
        return;
    }
    if (strncmp(at, "classes=", 8) == 0) {
        output->classes = (uint32_t)strtoul(at + 8, NULL, 10);
    } else if (strncmp(at, "into=", 5) == 0) {
        output->capacity = strtoull(at + 5, NULL, 10);
        output->data = r->into = (unsigned char *)own(r, calloc(1, output->capacity + 1));
    } else {
        at++;
        output->region = strsep(&at, ":");
        output->region_offset = strtoull(strsep(&at, ":"), NULL, 10);
        output->capacity = strtoull(at, NULL, 10);
    }
}

// param=NAME:KIND:VALUE with KIND s, b, i or d.
static void parse_parameter(struct request *r, const char *text)
{
    struct nrd_client_parameter *p = &r->parameters[r->public.parameter_count++];
    char *at = own(r, strdup(text));
    p->name = strsep(&at, ":");
    char kind = strsep(&at, ":")[0];
    p->kind = kind == 's'   ? NRD_CLIENT_PARAMETER_STRING
              : kind == 'b' ? NRD_CLIENT_PARAMETER_BOOL
              : kind == 'i' ? NRD_CLIENT_PARAMETER_INT
                            : NRD_CLIENT_PARAMETER_DOUBLE;
    switch (p->kind) {
    case NRD_CLIENT_PARAMETER_STRING:
        p->as.s = at;
        break;
    case NRD_CLIENT_PARAMETER_BOOL:
        p->as.b = at[0] == 't';
        break;
    case NRD_CLIENT_PARAMETER_INT:
        p->as.i = strtoll(at, NULL, 10);
        break;
    case NRD_CLIENT_PARAMETER_DOUBLE:
        p->as.d = strtod(at, NULL);
        break;
    }
}

static void parse_request(struct request *r)
{
    memset(r, 0, sizeof(*r));
    r->public.model = word(1);
    r->public.inputs = r->inputs;
    r->public.outputs = r->outputs;
    r->public.parameters = r->parameters;
    for (unsigned i = 2; i < word_count; i++) {
        if (strncmp(words[i], "input=", 6) == 0) {
            parse_input(r, words[i] + 6);
        } else if (strncmp(words[i], "output=", 7) == 0) {
            parse_output(r, words[i] + 7);
        } else if (strncmp(words[i], "param=", 6) == 0) {
            parse_parameter(r, words[i] + 6);
        }
    }
    r->public.version = option("version");
    r->public.id = option("id");
    r->public.sequence_id = number("sequence");
    r->public.sequence_name = option("sequence_name");
    r->public.sequence_start = number("start") != 0;
    r->public.sequence_end = number("end") != 0;
    r->public.priority = number("priority");
    r->public.timeout_us = number("timeout_us");
    r->public.timeout_ms = (uint32_t)number("timeout_ms");
    r->public.empty_final_response = number("empty_final") != 0;
}

static void free_request(struct request *r)
{
    for (unsigned i = 0; i < r->owned_count; i++) {
        free(r->owned[i]);
    }
}

static struct nrd_status *run_infer(void)
{
    struct request r;
    parse_request(&r);
    struct nrd_client_response *response = NULL;
    struct nrd_status *status = nrd_client_infer(client, &r.public, &response);
    if (status == NULL) {
        put_response(response);
        nrd_client_response_free(response);
    }
    free_request(&r);
    return status;
}

// Several asynchronous calls at once; cancel=1 cancels each at once. Answers {"done":N,"failed":N,"first_error":...}.
struct crowd {
    pthread_mutex_t lock;
    pthread_cond_t all;
    unsigned done;
    unsigned failed;
    char first[512];
};

static void crowd_done(void *user, struct nrd_status *status, struct nrd_client_response *response)
{
    struct crowd *crowd = user;
    pthread_mutex_lock(&crowd->lock);
    crowd->done++;
    if (status != NULL && crowd->failed++ == 0) {
        snprintf(crowd->first, sizeof(crowd->first), "%s: %s",
                 nrd_code_name(nrd_status_code(status)), nrd_status_text(status));
    }
    pthread_cond_signal(&crowd->all);
    pthread_mutex_unlock(&crowd->lock);
    nrd_status_free(status);
    nrd_client_response_free(response);
}

static struct nrd_status *run_crowd(void)
{
    struct request r;
    parse_request(&r);
    struct crowd crowd = {.lock = PTHREAD_MUTEX_INITIALIZER, .all = PTHREAD_COND_INITIALIZER};
    unsigned count = (unsigned)number("count");
    struct nrd_status *status = NULL;
    unsigned begun = 0;
    for (; begun < count && status == NULL; begun++) {
        struct nrd_client_call *call = NULL;
        status = nrd_client_infer_async(client, &r.public, crowd_done, &crowd, &call);
        if (status == NULL && number("cancel") != 0) {
            nrd_client_call_cancel(call);
        }
        nrd_client_call_release(call);
    }
    begun -= status != NULL;
    pthread_mutex_lock(&crowd.lock);
    while (crowd.done < begun) {
        pthread_cond_wait(&crowd.all, &crowd.lock);
    }
    pthread_mutex_unlock(&crowd.lock);
    if (status == NULL) {
        printf("{\"done\":%u,\"failed\":%u,\"first_error\":", crowd.done, crowd.failed);
        put_text(crowd.first);
        putchar('}');
    }
    free_request(&r);
    return status;
}

// ---- streams ------------------------------------------------------------------------------------------------------------

// What came, in order, as JSON: written by the loop, read when the stream is over.
struct stream_log {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool ended;
    unsigned sent;
    unsigned responses;
    struct nrd_status *end;
    struct {
        struct nrd_status *status;
        struct nrd_client_response *response;
    } items[256];
};

static void stream_response(void *user, struct nrd_status *status,
                            struct nrd_client_response *response)
{
    struct stream_log *log = user;
    pthread_mutex_lock(&log->lock);
    if (log->responses < 256) {
        log->items[log->responses].status = status;
        log->items[log->responses++].response = response;
    }
    pthread_mutex_unlock(&log->lock);
}

static void stream_closed(void *user, struct nrd_status *status)
{
    struct stream_log *log = user;
    pthread_mutex_lock(&log->lock);
    log->ended = true;
    log->end = status;
    pthread_cond_signal(&log->over);
    pthread_mutex_unlock(&log->lock);
}

static void stream_sent(void *user, void *request_user)
{
    (void)request_user;
    struct stream_log *log = user;
    pthread_mutex_lock(&log->lock);
    log->sent++;
    pthread_mutex_unlock(&log->lock);
}

static void put_stream(struct stream_log *log)
{
    printf("{\"sent\":%u,\"responses\":[", log->sent);
    for (unsigned i = 0; i < log->responses; i++) {
        i > 0 ? (void)putchar(',') : (void)0;
        log->items[i].status != NULL ? put_status(log->items[i].status)
                                     : put_response(log->items[i].response);
        nrd_status_free(log->items[i].status);
        nrd_client_response_free(log->items[i].response);
    }
    printf("],\"end\":");
    log->end != NULL ? put_status(log->end) : (void)printf("null");
    nrd_status_free(log->end);
    putchar('}');
}

// stream MODEL count=N [borrow=1] [cancel=1] ...: the request N times, then the end.
static struct nrd_status *run_stream(void)
{
    struct request r;
    parse_request(&r);
    static struct stream_log log;
    log = (struct stream_log){.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};
    const struct nrd_client_stream_options options = {
        .response = stream_response,
        .closed = stream_closed,
        .sent = number("borrow") != 0 ? stream_sent : NULL,
        .user = &log,
        .timeout_ms = (uint32_t)number("stream_ms"),
    };
    struct nrd_client_stream *stream = NULL;
    struct nrd_status *status = nrd_client_stream_open(client, &options, &stream);
    if (status != NULL) {
        free_request(&r);
        return status;
    }
    for (unsigned i = 0; i < number("count") && status == NULL; i++) {
        char id[16];
        snprintf(id, sizeof(id), "r%u", i);
        r.public.id = id;
        status = nrd_client_stream_send(stream, &r.public, NULL);
    }
    if (number("cancel") != 0 || status != NULL) {
        nrd_client_stream_cancel(stream);
    } else if (number("open") == 0) {
        nrd_client_stream_finish(stream);
    }
    pthread_mutex_lock(&log.lock);
    while (!log.ended) {
        pthread_cond_wait(&log.over, &log.lock);
    }
    pthread_mutex_unlock(&log.lock);
    nrd_client_stream_release(stream);
    free_request(&r);
    if (status == NULL) {
        put_stream(&log);
    }
    return status;
}

// ---- all else -----------------------------------------------------------------------------------------------------------

static struct nrd_status *put_bool(struct nrd_status *status, const bool *value)
{
    if (status == NULL) {
        printf("%s", *value ? "true" : "false");
    }
    return status;
}

static struct nrd_status *put_json(struct nrd_status *status, char **json)
{
    if (status == NULL) {
        printf("%s", (*json)[0] != '\0' ? *json : "null");
        nrd_client_text_free(*json);
    }
    return status;
}

static struct nrd_status *put_null(struct nrd_status *status)
{
    if (status == NULL) {
        printf("null");
    }
    return status;
}

static struct nrd_status *run_live(void)
{
    bool live = false;
    return put_bool(nrd_client_server_live(client, &live), &live);
}

static struct nrd_status *run_ready(void)
{
    bool ready = false;
    return put_bool(nrd_client_server_ready(client, &ready), &ready);
}

static struct nrd_status *run_model_ready(void)
{
    bool ready = false;
    return put_bool(nrd_client_model_ready(client, word(1), word(2), &ready), &ready);
}

static struct nrd_status *run_local(void)
{
    bool local = nrd_client_is_local(client);
    return put_bool(NULL, &local);
}

static struct nrd_status *run_server_metadata(void)
{
    struct nrd_client_server_metadata *m = NULL;
    NRD_TRY(nrd_client_server_metadata(client, &m));
    printf("{\"name\":");
    put_text(m->name);
    printf(",\"extensions\":[");
    for (size_t i = 0; i < m->extension_count; i++) {
        i > 0 ? (void)putchar(',') : (void)0;
        put_text(m->extensions[i]);
    }
    printf("]}");
    nrd_client_server_metadata_free(m);
    return NULL;
}

static void put_tensors(const struct nrd_client_tensor_metadata *tensors, size_t count)
{
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        printf("%s{\"name\":", i > 0 ? "," : "");
        put_text(tensors[i].name);
        printf(",\"datatype\":\"%s\",\"shape\":[", nrd_dtype_name(tensors[i].dtype));
        for (size_t k = 0; k < tensors[i].rank; k++) {
            printf("%s%" PRId64, k > 0 ? "," : "", tensors[i].shape[k]);
        }
        printf("]}");
    }
    putchar(']');
}

static struct nrd_status *run_metadata(void)
{
    struct nrd_client_model_metadata *m = NULL;
    NRD_TRY(nrd_client_model_metadata(client, word(1), word(2), &m));
    printf("{\"name\":");
    put_text(m->name);
    printf(",\"platform\":");
    put_text(m->platform);
    printf(",\"versions\":[");
    for (size_t i = 0; i < m->version_count; i++) {
        i > 0 ? (void)putchar(',') : (void)0;
        put_text(m->versions[i]);
    }
    printf("],\"inputs\":");
    put_tensors(m->inputs, m->input_count);
    printf(",\"outputs\":");
    put_tensors(m->outputs, m->output_count);
    putchar('}');
    nrd_client_model_metadata_free(m);
    return NULL;
}

static struct nrd_status *run_config(void)
{
    char *json = NULL;
    return put_json(nrd_client_model_config(client, word(1), word(2), &json), &json);
}

static struct nrd_status *run_statistics(void)
{
    char *json = NULL;
    return put_json(nrd_client_model_statistics(client, word(1), word(2), &json), &json);
}

static struct nrd_status *run_index(void)
{
    struct nrd_client_index *index = NULL;
    NRD_TRY(nrd_client_repository_index(client, word(1) != NULL, &index));
    putchar('[');
    for (size_t i = 0; i < index->count; i++) {
        printf("%s{\"name\":", i > 0 ? "," : "");
        put_text(index->entries[i].name);
        printf(",\"version\":");
        put_text(index->entries[i].version);
        printf(",\"state\":");
        put_text(index->entries[i].state);
        printf(",\"reason\":");
        put_text(index->entries[i].reason);
        putchar('}');
    }
    putchar(']');
    nrd_client_index_free(index);
    return NULL;
}

// load MODEL [CONFIG [PATH HEX]]
static struct nrd_status *run_load(void)
{
    unsigned char *bytes = word(4) != NULL ? malloc(strlen(word(4))) : NULL;
    const struct nrd_client_file file = {
        .path = word(3), .data = bytes, .size = bytes != NULL ? unhex(word(4), bytes) : 0};
    struct nrd_status *status =
        nrd_client_model_load(client, word(1), word(2), &file, word(3) != NULL);
    free(bytes);
    return put_null(status);
}

static struct nrd_status *run_unload(void)
{
    return put_null(nrd_client_model_unload(client, word(1), word(2) != NULL));
}

static struct nrd_status *run_shm_register(void)
{
    return put_null(nrd_client_shm_register(client, word(1), word(2), strtoull(words[3], NULL, 10),
                                            strtoull(words[4], NULL, 10)));
}

static struct nrd_status *run_shm_unregister(void)
{
    return put_null(nrd_client_shm_unregister(client, word(1)));
}

static struct nrd_status *run_shm_status(void)
{
    char *json = NULL;
    return put_json(nrd_client_shm_status(client, word(1), &json), &json);
}

static struct nrd_status *run_cuda_shm(void)
{
    char handle[64] = {0};
    char *json = NULL;
    NRD_TRY(put_json(nrd_client_cuda_shm_status(client, NULL, &json), &json));
    printf("\n");
    NRD_TRY(nrd_client_cuda_shm_unregister(client, NULL));
    return put_null(nrd_client_cuda_shm_register(client, "cuda", handle, sizeof(handle), 0, 64));
}

// shm_create SIZE; shm_write OFFSET HEX; shm_read OFFSET SIZE; shm_destroy
static struct nrd_status *run_shm_create(void)
{
    NRD_TRY(nrd_shm_create(client, strtoull(words[1], NULL, 10), &region));
    put_text(nrd_shm_name(region));
    return NULL;
}

static struct nrd_status *run_shm_write(void)
{
    unhex(words[2], (unsigned char *)nrd_shm_data(region) + strtoull(words[1], NULL, 10));
    return put_null(NULL);
}

static struct nrd_status *run_shm_read(void)
{
    const unsigned char *at = (unsigned char *)nrd_shm_data(region) + strtoull(words[1], NULL, 10);
    putchar('"');
    for (unsigned long long i = 0; i < strtoull(words[2], NULL, 10); i++) {
        printf("%02x", at[i]);
    }
    putchar('"');
    return NULL;
}

static struct nrd_status *run_shm_destroy(void)
{
    nrd_shm_destroy(region);
    region = NULL;
    return put_null(NULL);
}

static struct nrd_status *run_trace(void)
{
    char *json = NULL;
    return put_json(nrd_client_trace_settings(client, word(1), word(2), &json), &json);
}

static struct nrd_status *run_log(void)
{
    char *json = NULL;
    return put_json(nrd_client_log_settings(client, word(1), &json), &json);
}

static const struct {
    const char *name;
    struct nrd_status *(*run)(void);
} commands[] = {
    {"live", run_live},
    {"ready", run_ready},
    {"model_ready", run_model_ready},
    {"local", run_local},
    {"server_metadata", run_server_metadata},
    {"metadata", run_metadata},
    {"config", run_config},
    {"statistics", run_statistics},
    {"index", run_index},
    {"load", run_load},
    {"unload", run_unload},
    {"shm_register", run_shm_register},
    {"shm_unregister", run_shm_unregister},
    {"shm_status", run_shm_status},
    {"cuda_shm", run_cuda_shm},
    {"shm_create", run_shm_create},
    {"shm_write", run_shm_write},
    {"shm_read", run_shm_read},
    {"shm_destroy", run_shm_destroy},
    {"trace", run_trace},
    {"log", run_log},
    {"infer", run_infer},
    {"crowd", run_crowd},
    {"stream", run_stream},
};

static void run_line(char *line)
{
    struct nrd_status *status = NULL;
    line[strcspn(line, "\n")] = '\0';
    word_count = 0;
    for (char *at = line; at != NULL && word_count < WORDS_MAX;) {
        words[word_count++] = strsep(&at, "\t");
    }
    unsigned i = 0;
    while (i < sizeof(commands) / sizeof(commands[0]) && strcmp(commands[i].name, words[0]) != 0) {
        i++;
    }
    status = i < sizeof(commands) / sizeof(commands[0])
                 ? commands[i].run()
                 : nrd_status_new(NRD_INVALID_ARG, "unknown command '%s'", words[0]);
    if (status != NULL) {
        put_status(status);
        nrd_status_free(status);
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static char line[LINE_MAX_SIZE];
    struct nrd_client_header headers[8];
    struct nrd_client_options options = {.headers = headers};
    word_count = 1;
    words[0] = argv[0];
    for (int i = 2; i < argc && word_count < WORDS_MAX; i++) {
        words[word_count++] = argv[i];
        char *colon = strncmp(argv[i], "header=", 7) == 0 ? strchr(argv[i], ':') : NULL;
        if (colon != NULL && options.header_count < 8) {
            *colon = '\0';
            headers[options.header_count++] = (struct nrd_client_header){argv[i] + 7, colon + 1};
        }
    }
    options.connect_timeout_ms = (uint32_t)number("connect_ms");
    options.timeout_ms = (uint32_t)number("timeout_ms");
    options.retries = (uint32_t)number("retries");
    options.backoff_ms = (uint32_t)number("backoff_ms");
    options.max_connections = (uint32_t)number("connections");
    options.max_response = number("max_response");
    options.tls_ca = option("ca");
    options.tls_certificate = option("certificate");
    options.tls_key = option("key");
    options.tls_name = option("name");
    options.tls_insecure = number("insecure") != 0;
    options.request_compression = (enum nrd_client_compression)number("request_compression");
    options.response_compression = (enum nrd_client_compression)number("response_compression");
    struct nrd_status *status = nrd_client_create(argv[1], &options, &client);
    if (status != NULL) {
        put_status(status);
        printf("\n");
        nrd_status_free(status);
        return 1;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        run_line(line);
    }
    nrd_shm_destroy(region);
    nrd_client_destroy(client);
    return 0;
}
