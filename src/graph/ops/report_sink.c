// SPDX-License-Identifier: Apache-2.0
// ReportSinkOp: says in text what arrives: the best classes of a classification, the share of each class in a segmentation, the norm of a
// feature vector. A line at most every `interval`; at the end a summary that counts all. `format: json` writes one JSON object a line.
//
//   resnet_report #12 gear_steel.png: kind_probabilities: gear 99.8 %, bearing 0.1 %
//   unet_report #12 gear_steel.png: region_probabilities: belt 71.2 %, drive_part 28.8 %
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "graph/ops/ops.h"
#include "graph/ops/pixels.h"
#include "graph/ops/results.h"

#define TENSORS_MAX 32
#define FLOWS_MAX 32
#define ITEMS_SHOWN 4
#define NAME_MAX_BYTES 64

enum format { FORMAT_TEXT, FORMAT_JSON };
static const char *const formats[] = {"text", "json", NULL};
static const char *const kinds[] = {[RESULT_AUTO] = "auto",
                                    [RESULT_CLASSIFICATION] = "classification",
                                    [RESULT_SEGMENTATION] = "segmentation",
                                    [RESULT_FEATURES] = "features",
                                    [RESULT_TEXT] = "text",
                                    [RESULT_OTHER] = "other",
                                    [RESULT_IGNORE] = "ignore"};

// One tensor's name as it was seen, and what was counted for it.
struct seen {
    char name[NAME_MAX_BYTES];
    enum result_kind kind;
    bool given; // by the parameter
    struct labels labels;
    uint8_t *map;
    size_t map_size;
    uint64_t items;
    uint64_t
        best[256]; // how often each class was the best one (classes past the last are the last)
    double shares[256];  // segmentation: sum of shares
    double score, norms; // sum of the best scores, and of norms
};

struct report_sink {
    const struct nrd_value *labels, *kinds;
    int64_t top, interval;
    int format;
    const char *path;
    bool print, summary;

    struct seen *seen; // TENSORS_MAX of them
    size_t seen_count;
    uint64_t messages;
    int64_t begin, last, printed;
    bool has_printed;
    struct str line;
    int fd;
    bool terminal; // it is one
    bool write_failed;
    struct pixel_place place;
};

#define FIELD(name) offsetof(struct report_sink, name)
static const struct nrd_param params[] = {
    {.name = "labels",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(labels),
     .help = "Names of classes: {tensor: [names] or path of a file with one a line}; a list or a "
             "path is for all tensors."},
    {.name = "kinds",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(kinds),
     .help = "What a tensor is: {tensor: auto, classification, segmentation, features, text, other "
             "or ignore}."},
    {.name = "top",
     .type = NRD_PARAM_INT,
     .offset = FIELD(top),
     .fallback = "3",
     .min = 1,
     .max = RESULT_TOP_MAX,
     .help = "How many classes a line names."},
    {.name = "interval",
     .type = NRD_PARAM_DURATION,
     .flags = NRD_PARAM_DYNAMIC,
     .offset = FIELD(interval),
     .fallback = "1s",
     .unit = "ns",
     .help = "Least time between two lines; 0: a line for each message."},
    {.name = "print",
     .type = NRD_PARAM_BOOL,
     .flags = NRD_PARAM_DYNAMIC,
     .offset = FIELD(print),
     .fallback = "true",
     .help = "Whether there are lines while messages come."},
    {.name = "format",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(format),
     .fallback = "text",
     .choices = formats,
     .help = "text, or json: an object a line."},
    {.name = "path",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(path),
     .fallback = "\"-\"",
     .help = "A file that lines are appended to; - is standard output."},
    {.name = "summary",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(summary),
     .fallback = "true",
     .help = "A summary at the end."},
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

// ---- life -----------------------------------------------------------------------------------------------------------

static struct nrd_status *check_kinds(const struct nrd_value *value)
{
    if (value == NULL || nrd_value_kind(value) == NRD_VALUE_NULL) {
        return NULL;
    }
    if (nrd_value_kind(value) != NRD_VALUE_MAP) {
        return status_new(NRD_INVALID_ARG, "parameter 'kinds' is no map {tensor: kind}");
    }
    for (size_t i = 0; i < nrd_value_count(value); i++) {
        const char *text = nrd_value_text(nrd_value_at(value, i));
        bool known = false;
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            known = known || strcmp(kinds[k], text) == 0;
        }
        if (!known) {
            return status_new(NRD_INVALID_ARG,
                              "parameter 'kinds' has '%s' for '%s': auto, classification, "
                              "segmentation, features, text, other or ignore",
                              text, nrd_value_key(value, i));
        }
    }
    return NULL;
}

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    (void)op;
    struct report_sink *r = self;
    r->fd = -1;
    NRD_TRY(check_kinds(r->kinds));
    r->seen = mem_calloc(TENSORS_MAX, sizeof(*r->seen));
    return r->seen == NULL ? status_no_memory() : NULL;
}

static void forget(struct report_sink *r)
{
    for (size_t i = 0; i < r->seen_count; i++) {
        labels_fini(&r->seen[i].labels);
        mem_free(r->seen[i].map);
        memset(&r->seen[i], 0, sizeof(r->seen[i]));
    }
    r->seen_count = 0;
}

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    struct report_sink *r = self;
    forget(r);
    r->messages = 0;
    r->has_printed = false;
    r->write_failed = false;
    if (strcmp(r->path, "-") == 0) {
        r->fd = STDOUT_FILENO;
        r->terminal = isatty(r->fd) == 1;
        return NULL;
    }
    r->fd = open(r->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return r->fd >= 0
               ? NULL
               : status_new(NRD_INVALID_ARG, "cannot open '%s': %s", r->path, strerror(errno));
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    struct report_sink *r = self;
    if (r->seen != NULL) {
        forget(r);
    }
    mem_free(r->seen);
    str_fini(&r->line);
}

// ---- writing --------------------------------------------------------------------------------------------------------

// One write a line, so that lines of several operators do not mix. After an error nothing more is tried.
static struct nrd_status *write_line(struct report_sink *r)
{
    struct slice rest = str_slice(&r->line);
    if (r->terminal && write(r->fd, "\r\x1b[K", 4) < 0) { // a progress line may be there
        r->terminal = false;
    }
    while (rest.len > 0 && !r->write_failed) {
        ssize_t n = write(r->fd, rest.ptr, rest.len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            r->write_failed = true;
            return status_new(NRD_UNAVAILABLE, "cannot write to %s: %s",
                              r->fd == STDOUT_FILENO ? "standard output" : r->path,
                              strerror(errno));
        }
        rest.ptr += n;
        rest.len -= (size_t)n;
    }
    return NULL;
}

static void text_classes(struct str *out, const struct seen *s, const struct result *result)
{
    for (uint32_t i = 0; i < result->count; i++) {
        char number[LABEL_TEXT_MAX];
        str_printf(out, "%s%s ", i == 0 ? "" : ", ",
                   labels_name(&s->labels, result->top[i].index, number));
        float score = result->top[i].score;
        if (score >= 0.0f && score <= 1.0f) {
            str_printf(out, "%.1f %%", (double)score * 100.0);
        } else {
            str_printf(out, "%.4g", (double)score);
        }
    }
}

// BYTES: each element its length (32 bits, little endian) and its bytes.
static bool next_text(struct slice *rest, struct slice *text)
{
    if (rest->len < 4) {
        return false;
    }
    const uint8_t *p = (const uint8_t *)rest->ptr;
    uint32_t length = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    length = length > rest->len - 4 ? (uint32_t)(rest->len - 4) : length;
    *text = (struct slice){rest->ptr + 4, length};
    rest->ptr += 4 + length;
    rest->len -= 4 + length;
    return true;
}

static void text_result(struct str *out, const struct seen *s, const struct nrd_tensor *tensor,
                        const struct result *result, uint32_t top)
{
    char shape[PIXELS_SHAPE_MAX];
    if (s->kind == RESULT_TEXT) {
        struct slice rest = slice_make(tensor->data, tensor->byte_size), text;
        for (uint32_t i = 0; i < top && next_text(&rest, &text); i++) {
            str_append_cstr(out, i == 0 ? "" : ", ");
            str_append_slice(out, text);
        }
    } else if (s->kind == RESULT_FEATURES || s->kind == RESULT_OTHER) {
        str_printf(out, "%s %s", nrd_dtype_name(tensor->dtype), pixels_shape(tensor, shape));
        if (result->numbers > 0) {
            str_printf(out, ", norm %.4g, mean %.4g, %.4g to %.4g", result->norm, result->mean,
                       result->min, result->max);
        }
    } else {
        text_classes(out, s, result);
    }
}

static void json_result(struct json_writer *w, const struct seen *s,
                        const struct nrd_tensor *tensor, const struct result *result, uint32_t top)
{
    json_object_begin(w);
    json_key(w, "kind");
    json_cstring(w, kinds[s->kind]);
    if (s->kind == RESULT_TEXT) {
        json_key(w, "texts");
        json_array_begin(w);
        struct slice rest = slice_make(tensor->data, tensor->byte_size), text;
        for (uint32_t i = 0; i < top && next_text(&rest, &text); i++) {
            json_string(w, text);
        }
        json_array_end(w);
    } else if (s->kind == RESULT_FEATURES || s->kind == RESULT_OTHER) {
        static const char *const keys[4] = {"norm", "mean", "min", "max"};
        const double values[4] = {result->norm, result->mean, result->min, result->max};
        json_key(w, "count");
        json_u64(w, result->numbers);
        for (int i = 0; i < 4 && result->numbers > 0; i++) {
            json_key(w, keys[i]);
            json_f64(w, values[i]);
        }
    } else {
        json_key(w, "classes");
        json_array_begin(w);
        for (uint32_t i = 0; i < result->count; i++) {
            char number[LABEL_TEXT_MAX];
            json_object_begin(w);
            json_key(w, "class");
            json_u64(w, result->top[i].index);
            json_key(w, "label");
            json_cstring(w, labels_name(&s->labels, result->top[i].index, number));
            json_key(w, s->kind == RESULT_SEGMENTATION ? "share" : "score");
            json_f64(w, (double)result->top[i].score);
            json_object_end(w);
        }
        json_array_end(w);
    }
    json_object_end(w);
}

// ---- one message ----------------------------------------------------------------------------------------------------

static struct nrd_status *first_sight(struct report_sink *r, struct nrd_compute *ctx,
                                      const char *name, const struct nrd_tensor *tensor,
                                      struct seen *s)
{
    snprintf(s->name, sizeof(s->name), "%s", name);
    const char *kind = nrd_value_text(nrd_value_get(r->kinds, name));
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        if (strcmp(kinds[k], kind) == 0) {
            s->kind = (enum result_kind)k;
        }
    }
    s->given = s->kind != RESULT_AUTO;
    if (!s->given) {
        s->kind = result_guess(tensor);
    }
    NRD_TRY(labels_read(r->labels, name, &s->labels));
    if (s->labels.count == 0) {
        NRD_TRY(labels_read(nrd_value_get(nrd_metadata(ctx), "labels"), name, &s->labels));
    }
    return NULL;
}

// The record of a tensor's name; NULL when there are too many of them.
static struct nrd_status *find_seen(struct report_sink *r, struct nrd_compute *ctx,
                                    const char *name, const struct nrd_tensor *tensor,
                                    struct seen **seen)
{
    *seen = NULL;
    for (size_t i = 0; i < r->seen_count && *seen == NULL; i++) {
        if (strcmp(r->seen[i].name, name) == 0) {
            *seen = &r->seen[i];
        }
    }
    if (*seen == NULL && r->seen_count < TENSORS_MAX) {
        *seen = &r->seen[r->seen_count++];
        NRD_TRY(first_sight(r, ctx, name, tensor, *seen));
    }
    struct seen *s = *seen;
    if (s != NULL && !result_fits(tensor, s->kind)) {
        if (s->given) {
            char shape[PIXELS_SHAPE_MAX];
            return status_new(NRD_INVALID_ARG, "tensor '%s' of %s %s cannot be read as %s", name,
                              nrd_dtype_name(tensor->dtype), pixels_shape(tensor, shape),
                              kinds[s->kind]);
        }
        s->kind = result_guess(tensor);
    }
    size_t size = s == NULL ? 0 : result_map_size(tensor, s->kind);
    if (s != NULL && size > s->map_size) {
        uint8_t *map = mem_realloc(s->map, size);
        if (map == NULL) {
            return status_no_memory();
        }
        s->map = map;
        s->map_size = size;
    }
    return NULL;
}

static void count_result(struct seen *s, const struct result *result)
{
    s->items++;
    s->norms += result->norm;
    if (result->count > 0) {
        uint32_t best = result->top[0].index;
        s->best[best < 256 ? best : 255]++;
        s->score += (double)result->top[0].score;
    }
    for (uint32_t i = 0; s->kind == RESULT_SEGMENTATION && i < result->count; i++) {
        s->shares[result->top[i].index] += (double)result->top[i].score;
    }
}

// Counts a tensor, and writes it into the line when `shown`.
static void report_tensor(struct report_sink *r, struct seen *s, const struct nrd_tensor *tensor,
                          bool shown, struct json_writer *w)
{
    size_t items = result_items(tensor, s->kind);
    if (shown && w != NULL) {
        json_key(w, s->name);
        json_array_begin(w);
    } else if (shown) {
        str_printf(&r->line, "%s: ", s->name[0] == '\0' ? "tensor" : s->name);
    }
    for (size_t item = 0; item < items; item++) {
        struct result result;
        // Of a map the RESULT_TOP_MAX largest classes are counted; the line names `top` of them.
        uint32_t top = s->kind == RESULT_SEGMENTATION ? RESULT_TOP_MAX : (uint32_t)r->top;
        result_read(tensor, s->kind, item, top, s->map, &result);
        count_result(s, &result);
        result.count = result.count > (uint32_t)r->top ? (uint32_t)r->top : result.count;
        if (shown && w != NULL) {
            json_result(w, s, tensor, &result, (uint32_t)r->top);
        } else if (shown && item < ITEMS_SHOWN) {
            str_append_cstr(&r->line, item == 0 ? "" : " | ");
            text_result(&r->line, s, tensor, &result, (uint32_t)r->top);
        }
    }
    if (shown && w != NULL) {
        json_array_end(w);
    } else if (shown && items > ITEMS_SHOWN) {
        str_printf(&r->line, " | and %zu more", items - ITEMS_SHOWN);
    }
}

static struct nrd_status *report_message(struct report_sink *r, struct nrd_compute *ctx,
                                         const struct nrd_message *message, bool shown,
                                         struct json_writer *w, bool *first)
{
    for (size_t i = 0; i < nrd_message_tensor_count(message); i++) {
        const char *name = "";
        struct nrd_tensor *tensor = nrd_message_tensor_at(message, i, &name), *host = NULL;
        NRD_TRY(pixels_on_host(&r->place, ctx, tensor, &host));
        struct seen *s = NULL;
        struct nrd_status *status = find_seen(r, ctx, name, host, &s);
        if (status == NULL && s != NULL && s->kind != RESULT_IGNORE) {
            if (shown && w == NULL && !*first) {
                str_append_cstr(&r->line, "; ");
            }
            report_tensor(r, s, host, shown, w);
            *first = false;
        }
        nrd_tensor_unref(host);
        NRD_TRY(status);
    }
    return NULL;
}

static void begin_line(struct report_sink *r, struct nrd_compute *ctx, struct json_writer *w)
{
    const char *name = nrd_operator_name(nrd_compute_operator(ctx));
    const char *file = nrd_value_text(nrd_value_get(nrd_metadata(ctx), "file"));
    str_clear(&r->line);
    if (w == NULL) {
        str_printf(&r->line, "%s #%llu%s%s: ", name, (unsigned long long)r->messages,
                   file[0] == '\0' ? "" : " ", path_base(file));
        return;
    }
    json_begin(w, &r->line);
    json_object_begin(w);
    json_key(w, "operator");
    json_cstring(w, name);
    json_key(w, "message");
    json_u64(w, r->messages);
    json_key(w, "time_ns");
    json_i64(w, r->last);
    if (file[0] != '\0') {
        json_key(w, "file");
        json_cstring(w, file);
    }
    json_key(w, "tensors");
    json_object_begin(w);
}

// One line for one execution: the messages of all flows.
static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct report_sink *r = self;
    struct nrd_message *messages[FLOWS_MAX];
    size_t count = 0, flows = nrd_operator_input_flows(nrd_compute_operator(ctx), 0);
    for (size_t i = 0; i < flows && i < FLOWS_MAX; i++) { // all, so that their metadata is there
        messages[count] = nrd_receive_from(ctx, 0, i);
        count += messages[count] != NULL;
    }
    r->last = nrd_compute_now(ctx);
    r->begin = r->messages == 0 ? r->last : r->begin;
    bool shown = r->print && (!r->has_printed || r->last - r->printed >= r->interval);
    bool first = true;
    struct json_writer writer = {0};
    struct json_writer *w = r->format == FORMAT_JSON ? &writer : NULL;
    if (shown) {
        begin_line(r, ctx, w);
    }
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < count; i++) {
        if (status == NULL) {
            status = report_message(r, ctx, messages[i], shown, w, &first);
        }
        nrd_message_unref(messages[i]);
    }
    r->messages++;
    if (status != NULL || !shown) {
        return status;
    }
    if (w != NULL) {
        json_object_end(w);
        json_object_end(w);
    }
    str_append_char(&r->line, '\n');
    NRD_TRY(str_status(&r->line));
    NRD_TRY(write_line(r));
    r->has_printed = true;
    r->printed = r->last;
    return NULL;
}

// ---- the summary ----------------------------------------------------------------------------------------------------

static void summarize_classes(struct str *out, const struct seen *s)
{
    bool shares = s->kind == RESULT_SEGMENTATION;
    uint32_t shown = 0;
    bool done[256] = {false};
    for (; shown < RESULT_TOP_MAX; shown++) {
        int best = -1;
        for (int c = 0; c < 256; c++) {
            double value = shares ? s->shares[c] : (double)s->best[c];
            double most = best < 0 ? 0.0 : (shares ? s->shares[best] : (double)s->best[best]);
            best = !done[c] && value > most ? c : best;
        }
        if (best < 0) {
            break;
        }
        done[best] = true;
        char number[LABEL_TEXT_MAX];
        const char *name = labels_name(&s->labels, (size_t)best, number);
        if (shares) {
            str_printf(out, "%s%s %.1f %%", shown == 0 ? "" : ", ", name,
                       100.0 * s->shares[best] / (double)s->items);
        } else {
            str_printf(out, "%s%s %llu", shown == 0 ? "" : ", ", name,
                       (unsigned long long)s->best[best]);
        }
    }
    if (!shares && shown > 0) {
        str_printf(out, " (mean best score %.3f)", s->score / (double)s->items);
    }
}

static void summarize_text(struct report_sink *r, const char *name)
{
    double seconds = (double)(r->last - r->begin) / 1e9;
    str_printf(&r->line, r->messages == 1 ? "%s: %llu message" : "%s: %llu messages", name,
               (unsigned long long)r->messages);
    if (r->messages > 1 && seconds > 0.0) {
        str_printf(&r->line, " in %.2f s, %.1f a second", seconds,
                   (double)(r->messages - 1) / seconds);
    }
    str_append_char(&r->line, '\n');
    for (size_t i = 0; i < r->seen_count; i++) {
        struct seen *s = &r->seen[i];
        if (s->kind == RESULT_IGNORE || s->items == 0) {
            continue;
        }
        str_printf(&r->line, "  %s: ", s->name[0] == '\0' ? "tensor" : s->name);
        if (s->kind == RESULT_CLASSIFICATION || s->kind == RESULT_SEGMENTATION) {
            summarize_classes(&r->line, s);
        } else if (s->kind == RESULT_FEATURES) {
            str_printf(&r->line, "%llu vectors, mean norm %.4g", (unsigned long long)s->items,
                       s->norms / (double)s->items);
        } else {
            str_printf(&r->line, "%llu tensors", (unsigned long long)s->items);
        }
        str_append_char(&r->line, '\n');
    }
}

static void summarize_json(struct report_sink *r, const char *name)
{
    struct json_writer w;
    json_begin(&w, &r->line);
    json_object_begin(&w);
    json_key(&w, "operator");
    json_cstring(&w, name);
    json_key(&w, "messages");
    json_u64(&w, r->messages);
    json_key(&w, "seconds");
    json_f64(&w, r->messages == 0 ? 0.0 : (double)(r->last - r->begin) / 1e9);
    json_key(&w, "summary");
    json_object_begin(&w);
    for (size_t i = 0; i < r->seen_count; i++) {
        struct seen *s = &r->seen[i];
        json_key(&w, s->name);
        json_object_begin(&w);
        json_key(&w, "items");
        json_u64(&w, s->items);
        for (size_t c = 0; c < 256; c++) {
            char number[LABEL_TEXT_MAX];
            if (s->kind == RESULT_SEGMENTATION && s->shares[c] > 0.0) {
                json_key(&w, labels_name(&s->labels, c, number));
                json_f64(&w, s->shares[c] / (double)s->items);
            } else if (s->kind == RESULT_CLASSIFICATION && s->best[c] > 0) {
                json_key(&w, labels_name(&s->labels, c, number));
                json_u64(&w, s->best[c]);
            }
        }
        json_object_end(&w);
    }
    json_object_end(&w);
    json_object_end(&w);
    str_append_char(&r->line, '\n');
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    struct report_sink *r = self;
    struct nrd_status *status = NULL;
    if (r->summary) {
        str_clear(&r->line);
        if (r->format == FORMAT_JSON) {
            summarize_json(r, nrd_operator_name(op));
        } else {
            summarize_text(r, nrd_operator_name(op));
        }
        status = str_status(&r->line);
        if (status == NULL) {
            status = write_line(r);
        }
    }
    if (r->fd != STDOUT_FILENO) {
        close(r->fd);
    }
    r->fd = -1;
    return status;
}

const struct nrd_operator_class report_sink_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "ReportSinkOp",
    .summary = "Says in text what networks answer: best classes, shares of classes, norms.",
    .state_size = sizeof(struct report_sink),
    .params = params,
    .inputs = inputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
