// SPDX-License-Identifier: Apache-2.0
// ReportSinkOp: tells people what comes out of a graph, a line at a time and a summary at the end.
//
// What a tensor means is read off its shape: probabilities of classes (they add up to 1) give the best few, maps of classes
// (C,H,W) the share of each, other vectors their norm, the rest its shape. Every message counts into the summary but for maps, which are
// only looked into when a line is due. Lines go to standard output. Start at compute().
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "graph/ops/ops.h"
#include "graph/value.h"

enum { TENSORS_MAX = 16, CLASSES_MAX = 1024, TOP_MAX = 20, LINE_MAX_BYTES = 1024 };

enum kind { KIND_AUTO, KIND_CLASSES, KIND_MAP, KIND_FEATURES, KIND_SHAPE };

struct seen {
    char name[64];
    enum kind kind;   // KIND_AUTO: not seen yet
    uint64_t looks;   // messages that were looked into
    size_t classes;   // of the last one
    uint64_t *firsts; // KIND_CLASSES: how often each class was the best
    double *shares;   // KIND_MAP: sums of shares
    double norms;     // KIND_FEATURES: sum
    char shape[96];   // KIND_SHAPE
    char **labels;    // NULL: none
    size_t label_count;
};

struct report_sink {
    const struct nrd_value *labels;
    int64_t top;
    int64_t interval;
    int kind;
    bool summary;
    bool print;

    struct seen seen[TENSORS_MAX];
    size_t seen_count;
    struct arena arena;
    bool terminal; // standard output is one
    uint64_t messages;
    int64_t first_ns, last_ns; // of the graph's clock
    uint64_t due_ns;           // of clock_now_ns()
    char line[LINE_MAX_BYTES];
    size_t length;
    double best[TOP_MAX];
    size_t best_at[TOP_MAX];
    double counts[CLASSES_MAX];
};

#define FIELD(name) offsetof(struct report_sink, name)
static const char *const kinds[] = {"auto", "classes", "map", "features", "shape", NULL};
static const struct nrd_param params[] = {
    {.name = "labels",
     .type = NRD_PARAM_VALUE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(labels),
     .help = "A file with the name of a class a line, or a map from tensor to such a file."},
    {.name = "top",
     .type = NRD_PARAM_INT,
     .offset = FIELD(top),
     .fallback = "3",
     .min = 1,
     .max = TOP_MAX,
     .unit = "classes",
     .help = "How many classes of a classification a line names."},
    {.name = "interval",
     .type = NRD_PARAM_DURATION,
     .offset = FIELD(interval),
     .fallback = "1s",
     .unit = "ns",
     .help = "Least time between two lines; 0: a line for each message."},
    {.name = "kind",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(kind),
     .fallback = "auto",
     .choices = kinds,
     .help = "What the tensors are; auto: as their shapes and values say."},
    {.name = "print",
     .type = NRD_PARAM_BOOL,
     .flags = NRD_PARAM_DYNAMIC,
     .offset = FIELD(print),
     .fallback = "true",
     .help = "Whether lines are printed while messages come."},
    {.name = "summary",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(summary),
     .fallback = "true",
     .help = "Whether the end of the run prints what came."},
    {0},
};
static const struct nrd_port inputs[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .help = "Messages of any kind."},
    {0},
};

// ---- lines ----------------------------------------------------------------------------------------------------------

NRD_PRINTF(2, 3) static void put(struct report_sink *self, const char *format, ...)
{
    va_list args;
    size_t room = sizeof self->line - self->length;
    va_start(args, format);
    int length = vsnprintf(self->line + self->length, room, format, args);
    va_end(args);
    if (length > 0) {
        self->length += (size_t)length < room ? (size_t)length : room - 1;
    }
}

static void put_class(struct report_sink *self, const struct seen *seen, size_t class)
{
    if (class < seen->label_count && seen->label_count == seen->classes) {
        put(self, "%s", seen->labels[class]);
    } else {
        put(self, "class %zu", class);
    }
}

static void flush_line(struct report_sink *self)
{
    put(self, "\n");
    if (self->terminal) {
        fputs("\x1b[K", stdout); // a progress line may be there
    }
    fputs(self->line, stdout);
    fflush(stdout);
    self->length = 0;
}

// ---- numbers --------------------------------------------------------------------------------------------------------

static double half(uint16_t bits)
{
    int exponent = bits >> 10 & 31;
    double fraction = bits & 1023;
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                                    : ldexp(fraction + 1024, exponent - 25);
    return (bits >> 15) != 0 ? -value : value;
}

static double element(const struct nrd_tensor *t, size_t i)
{
    switch (t->dtype) {
    case NRD_DTYPE_F32:
        return (double)((const float *)t->data)[i];
    case NRD_DTYPE_F64:
        return ((const double *)t->data)[i];
    case NRD_DTYPE_F16:
        return half(((const uint16_t *)t->data)[i]);
    case NRD_DTYPE_BOOL:
    case NRD_DTYPE_U8:
        return ((const uint8_t *)t->data)[i];
    case NRD_DTYPE_I8:
        return ((const int8_t *)t->data)[i];
    case NRD_DTYPE_U16:
        return ((const uint16_t *)t->data)[i];
    case NRD_DTYPE_I16:
        return ((const int16_t *)t->data)[i];
    case NRD_DTYPE_U32:
        return ((const uint32_t *)t->data)[i];
    case NRD_DTYPE_I32:
        return ((const int32_t *)t->data)[i];
    case NRD_DTYPE_U64:
        return (double)((const uint64_t *)t->data)[i];
    case NRD_DTYPE_I64:
        return (double)((const int64_t *)t->data)[i];
    case NRD_DTYPE_INVALID:
    case NRD_DTYPE_BYTES:
    case NRD_DTYPE_BF16:
        break;
    }
    return 0;
}

static bool is_number(const struct nrd_tensor *t)
{
    return t->memory != NRD_MEMORY_GPU && nrd_dtype_size(t->dtype) > 0 &&
           t->dtype != NRD_DTYPE_BF16;
}

// The dimensions that say something: leading ones of 1 are left out. Returns how many there are.
static size_t essential(const struct nrd_tensor *t, const int64_t **dims)
{
    size_t first = 0;
    while (first + 1 < t->rank && t->dims[first] == 1) {
        first++;
    }
    *dims = t->dims + first;
    return t->rank - first;
}

// Elements of the first row of a vector, or of a batch of vectors.
static size_t vector_length(const struct nrd_tensor *t)
{
    return t->rank == 0 ? 0 : (size_t)t->dims[t->rank - 1];
}

static bool adds_up_to_one(const struct nrd_tensor *t, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double value = element(t, i);
        if (!(value >= -1e-6 && value <= 1.000001)) {
            return false;
        }
        sum += value;
    }
    return fabs(sum - 1) < 0.02;
}

static enum kind guess(const struct nrd_tensor *t)
{
    const int64_t *dims;
    size_t rank = essential(t, &dims);
    if (!is_number(t) || t->byte_size == 0) {
        return KIND_SHAPE;
    }
    if (rank == 3 && t->dtype != NRD_DTYPE_U8 && dims[0] >= 2 && dims[0] <= CLASSES_MAX &&
        dims[1] >= 4 && dims[2] >= 4) {
        return KIND_MAP;
    }
    if (rank > 2 || rank == 0 || vector_length(t) < 2) {
        return KIND_SHAPE;
    }
    size_t count = vector_length(t);
    return count <= CLASSES_MAX && adds_up_to_one(t, count) ? KIND_CLASSES : KIND_FEATURES;
}

// ---- looking into tensors -------------------------------------------------------------------------------------------

// The record of a tensor's name; NULL: there are too many. What it is, is decided at first sight.
static struct seen *find_seen(struct report_sink *self, const char *name,
                              const struct nrd_tensor *t)
{
    size_t i = 0;
    while (i < self->seen_count && strcmp(self->seen[i].name, name) != 0) {
        i++;
    }
    if (i == TENSORS_MAX) {
        return NULL;
    }
    struct seen *seen = &self->seen[i];
    if (i == self->seen_count) {
        snprintf(seen->name, sizeof seen->name, "%s", name);
        self->seen_count++;
    }
    if (seen->kind == KIND_AUTO) {
        seen->kind = is_number(t) && self->kind != KIND_AUTO ? (enum kind)self->kind : guess(t);
    }
    return seen;
}

// The best few of the first row, by value.
static size_t rank_classes(struct report_sink *self, const struct nrd_tensor *t, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        double value = element(t, i);
        size_t at = kept;
        while (at > 0 && self->best[at - 1] < value) {
            at--;
        }
        if (at >= (size_t)self->top) {
            continue;
        }
        kept += kept < (size_t)self->top;
        for (size_t j = kept - 1; j > at; j--) {
            self->best[j] = self->best[j - 1];
            self->best_at[j] = self->best_at[j - 1];
        }
        self->best[at] = value;
        self->best_at[at] = i;
    }
    return kept;
}

static void look_classes(struct report_sink *self, struct seen *seen, const struct nrd_tensor *t,
                         bool due)
{
    size_t count = vector_length(t);
    count = count < CLASSES_MAX ? count : CLASSES_MAX;
    seen->classes = count;
    size_t kept = rank_classes(self, t, count);
    if (kept > 0) {
        seen->firsts[self->best_at[0]]++;
    }
    for (size_t i = 0; due && i < kept; i++) {
        put(self, "%s", i == 0 ? " " : ", ");
        put_class(self, seen, self->best_at[i]);
        put(self, " %.1f%%", self->best[i] * 100);
    }
}

// Shares of the classes of a map (C,H,W): the greatest of each place.
static void look_map(struct report_sink *self, struct seen *seen, const struct nrd_tensor *t)
{
    const int64_t *dims;
    size_t rank = essential(t, &dims);
    if (rank != 3 || dims[0] > CLASSES_MAX) {
        put(self, " (no map of classes)");
        return;
    }
    size_t classes = (size_t)dims[0];
    size_t places = (size_t)(dims[1] * dims[2]);
    memset(self->counts, 0, classes * sizeof(self->counts[0]));
    for (size_t p = 0; p < places; p++) {
        size_t best = 0;
        for (size_t c = 1; c < classes; c++) {
            if (element(t, c * places + p) > element(t, best * places + p)) {
                best = c;
            }
        }
        self->counts[best]++;
    }
    seen->classes = classes;
    seen->looks++;
    for (size_t c = 0; c < classes; c++) {
        double share = places == 0 ? 0 : self->counts[c] / (double)places;
        seen->shares[c] += share;
        if (share >= 0.001) {
            put(self, " ");
            put_class(self, seen, c);
            put(self, " %.1f%%", share * 100);
        }
    }
}

static void look_features(struct report_sink *self, struct seen *seen, const struct nrd_tensor *t,
                          bool due)
{
    size_t count = vector_length(t);
    double sum = 0;
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
        double value = element(t, i);
        sum += value;
        squares += value * value;
    }
    seen->classes = count;
    seen->norms += sqrt(squares);
    if (due) {
        put(self, " norm %.4g mean %.4g of %zu", sqrt(squares),
            count == 0 ? 0 : sum / (double)count, count);
    }
}

static void look_shape(struct report_sink *self, struct seen *seen, const struct nrd_tensor *t,
                       bool due)
{
    size_t length = 0;
    seen->shape[0] = '\0';
    for (uint32_t i = 0; i < t->rank && length + 24 < sizeof seen->shape; i++) {
        length += (size_t)snprintf(seen->shape + length, sizeof seen->shape - length, "%s%" PRId64,
                                   i == 0 ? "" : "x", t->dims[i]);
    }
    if (due) {
        put(self, " %s %s%s", nrd_dtype_name(t->dtype), seen->shape,
            t->memory == NRD_MEMORY_GPU ? " (on a GPU, not read)" : "");
    }
}

static struct nrd_status *look(struct report_sink *self, const struct nrd_tensor *t,
                               const char *name, bool due)
{
    struct seen *seen = find_seen(self, name, t);
    if (seen == NULL) {
        return NULL;
    }
    NRD_TRY(nrd_tensor_synchronize(t));
    if (due) {
        put(self, "  %s:", name[0] == '\0' ? "tensor" : name);
    }
    enum kind kind = is_number(t) ? seen->kind : KIND_SHAPE;
    if (kind == KIND_MAP) {
        if (due) {
            look_map(self, seen, t);
        }
        return NULL;
    }
    seen->looks++;
    if (kind == KIND_CLASSES) {
        look_classes(self, seen, t, due);
    } else if (kind == KIND_FEATURES) {
        look_features(self, seen, t, due);
    } else {
        look_shape(self, seen, t, due);
    }
    return NULL;
}

// ---- labels ---------------------------------------------------------------------------------------------------------

static struct nrd_status *read_labels(struct report_sink *self, const char *path, struct seen *seen)
{
    struct str text = STR_INIT;
    struct nrd_status *status = file_read(path, 1 << 20, &text);
    char *copy = status == NULL ? arena_strdup(&self->arena, str_slice(&text)) : NULL;
    struct slice rest = {copy, text.len};
    struct slice line;
    str_fini(&text);
    if (status != NULL) {
        return status;
    }
    seen->labels = arena_calloc(&self->arena, CLASSES_MAX, sizeof(*seen->labels));
    if (copy == NULL || seen->labels == NULL) {
        return status_no_memory();
    }
    while (seen->label_count < CLASSES_MAX && slice_cut(&rest, '\n', &line)) {
        if (rest.ptr == NULL && line.len == 0) {
            break;
        }
        seen->labels[seen->label_count] = arena_strdup(&self->arena, slice_trim(line));
        if (seen->labels[seen->label_count++] == NULL) {
            return status_no_memory();
        }
    }
    return NULL;
}

// The names of classes that every tensor has, or that the map gives to some.
static struct nrd_status *load_labels(struct report_sink *self)
{
    enum nrd_value_kind kind = nrd_value_kind(self->labels);
    if (kind == NRD_VALUE_NULL) {
        return NULL;
    }
    if (kind == NRD_VALUE_LIST || nrd_value_count(self->labels) > TENSORS_MAX) {
        return value_error(NRD_INVALID_ARG, self->labels,
                           "'labels' must be a file, or a map of at most %d", TENSORS_MAX);
    }
    if (kind == NRD_VALUE_MAP) {
        for (size_t i = 0; i < nrd_value_count(self->labels); i++) {
            struct seen *seen = &self->seen[i];
            snprintf(seen->name, sizeof seen->name, "%s", nrd_value_key(self->labels, i));
            NRD_TRY(read_labels(self, nrd_value_text(nrd_value_at(self->labels, i)), seen));
        }
        self->seen_count = nrd_value_count(self->labels);
        return NULL;
    }
    NRD_TRY(read_labels(self, nrd_value_text(self->labels), &self->seen[0]));
    for (size_t i = 1; i < TENSORS_MAX; i++) {
        self->seen[i].labels = self->seen[0].labels;
        self->seen[i].label_count = self->seen[0].label_count;
    }
    return NULL;
}

// ---- the operator ---------------------------------------------------------------------------------------------------

static struct nrd_status *initialize(struct nrd_operator *op, void *state)
{
    struct report_sink *self = state;
    (void)op;
    self->terminal = isatty(STDOUT_FILENO) == 1;
    arena_init(&self->arena, 0);
    for (size_t i = 0; i < TENSORS_MAX; i++) {
        struct seen *seen = &self->seen[i];
        seen->firsts = arena_calloc(&self->arena, CLASSES_MAX, sizeof(*seen->firsts));
        seen->shares = arena_calloc(&self->arena, CLASSES_MAX, sizeof(*seen->shares));
        if (seen->firsts == NULL || seen->shares == NULL) {
            return status_no_memory();
        }
    }
    return load_labels(self);
}

static struct nrd_status *start(struct nrd_operator *op, void *state)
{
    struct report_sink *self = state;
    (void)op;
    self->messages = 0;
    self->due_ns = 0;
    for (size_t i = 0; i < self->seen_count; i++) {
        struct seen *seen = &self->seen[i];
        seen->looks = 0;
        seen->norms = 0;
        memset(seen->firsts, 0, CLASSES_MAX * sizeof(*seen->firsts));
        memset(seen->shares, 0, CLASSES_MAX * sizeof(*seen->shares));
    }
    return NULL;
}

// A line for this message is begun when one is due.
static bool begin_line(struct report_sink *self, struct nrd_compute *ctx)
{
    uint64_t now = clock_now_ns();
    if (!self->print || now < self->due_ns) {
        return false;
    }
    self->due_ns = now + (uint64_t)self->interval;
    self->length = 0;
    put(self, "%s #%" PRIu64, nrd_operator_name(nrd_compute_operator(ctx)), self->messages);
    return true;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *state)
{
    struct report_sink *self = state;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message == NULL) {
        return NULL;
    }
    self->last_ns = nrd_compute_now(ctx);
    if (self->messages++ == 0) {
        self->first_ns = self->last_ns;
    }
    bool due = begin_line(self, ctx);
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < nrd_message_tensor_count(message) && status == NULL; i++) {
        const char *name = "";
        const struct nrd_tensor *t = nrd_message_tensor_at(message, i, &name);
        status = look(self, t, name, due);
    }
    const char *type = NULL;
    const void *value = nrd_message_value(message, &type, NULL);
    if (due && value != NULL) {
        put(self, "  %s", type);
    }
    if (due) {
        flush_line(self);
    }
    nrd_message_unref(message);
    return status;
}

static void summarize_classes(struct report_sink *self, const struct seen *seen)
{
    for (size_t shown = 0; shown < TOP_MAX; shown++) {
        size_t best = 0;
        for (size_t c = 1; c < CLASSES_MAX; c++) {
            best = seen->firsts[c] > seen->firsts[best] ? c : best;
        }
        if (seen->firsts[best] == 0) {
            break;
        }
        put(self, "%s", shown == 0 ? " " : ", ");
        put_class(self, seen, best);
        put(self, " %" PRIu64, seen->firsts[best]);
        seen->firsts[best] = 0;
    }
}

static void summarize(struct report_sink *self, const struct seen *seen)
{
    put(self, "  %s:", seen->name[0] == '\0' ? "tensor" : seen->name);
    if (seen->kind == KIND_CLASSES) {
        summarize_classes(self, seen);
    } else if (seen->kind == KIND_MAP) {
        for (size_t c = 0; c < seen->classes && seen->looks > 0; c++) {
            double share = seen->shares[c] / (double)seen->looks;
            if (share >= 0.001) {
                put(self, "%s", " ");
                put_class(self, seen, c);
                put(self, " %.1f%%", share * 100);
            }
        }
        put(self, " (mean of %" PRIu64 " looked into)", seen->looks);
    } else if (seen->kind == KIND_FEATURES) {
        put(self, " mean norm %.4g of %zu",
            seen->looks == 0 ? 0 : seen->norms / (double)seen->looks, seen->classes);
    } else {
        put(self, " %s", seen->shape);
    }
}

static struct nrd_status *stop(struct nrd_operator *op, void *state)
{
    struct report_sink *self = state;
    if (!self->summary) {
        return NULL;
    }
    double seconds = (double)(self->last_ns - self->first_ns) * 1e-9;
    self->length = 0;
    put(self, "%s: %" PRIu64 " messages", nrd_operator_name(op), self->messages);
    if (self->messages > 1 && seconds > 0) {
        put(self, ", %.1f/s", (double)(self->messages - 1) / seconds);
    }
    for (size_t i = 0; i < self->seen_count; i++) {
        if (self->seen[i].kind != KIND_AUTO) {
            summarize(self, &self->seen[i]);
        }
    }
    flush_line(self);
    return NULL;
}

static void destroy(struct nrd_operator *op, void *state)
{
    struct report_sink *self = state;
    (void)op;
    arena_fini(&self->arena);
}

const struct nrd_operator_class report_sink_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "ReportSinkOp",
    .summary = "Prints what its messages say: best classes, shares of a map, norms of features.",
    .state_size = sizeof(struct report_sink),
    .params = params,
    .inputs = inputs,
    .initialize = initialize,
    .start = start,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
