// SPDX-License-Identifier: Apache-2.0
// PatternSourceOp: test pictures out of nothing, at a pace or as fast as they are wanted.
#include "base/status.h"
#include "graph/ops/ops.h"
#include "graph/ops/pacer.h"
#include "graph/ops/pattern.h"

struct pattern_source {
    int kind, pixel_format;
    int64_t width, height, seed, count;
    double rate;
    const char *out_tensor_name;
    struct nrd_resource *allocator;

    struct pacer pacer;
    struct pattern pattern;
    uint64_t sent;
    int64_t start_ns;
};

static const char *const kinds[] = {[PATTERN_BARS] = "bars",
                                    [PATTERN_CHECKER] = "checker",
                                    [PATTERN_GRADIENT] = "gradient",
                                    [PATTERN_NOISE] = "noise",
                                    NULL};
enum { PIXELS_RGB, PIXELS_RGBA, PIXELS_GRAY };
static const char *const pixel_formats[] = {
    [PIXELS_RGB] = "rgb", [PIXELS_RGBA] = "rgba", [PIXELS_GRAY] = "gray", NULL};
static const char *const allocator_kind[] = {"allocator", NULL};

#define FIELD(name) offsetof(struct pattern_source, name)
static const struct nrd_param params[] = {
    {.name = "pattern",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(kind),
     .fallback = "bars",
     .choices = kinds,
     .help = "What is seen: moving bars, squares or slopes, or noise that is new in each frame."},
    {.name = "width",
     .type = NRD_PARAM_INT,
     .offset = FIELD(width),
     .fallback = "640",
     .min = 1,
     .max = 32768,
     .unit = "pixels"},
    {.name = "height",
     .type = NRD_PARAM_INT,
     .offset = FIELD(height),
     .fallback = "480",
     .min = 1,
     .max = 32768,
     .unit = "pixels"},
    {.name = "pixel_format",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(pixel_format),
     .fallback = "rgb",
     .choices = pixel_formats,
     .help = "8-bit, [height, width, channels]."},
    {.name = "seed",
     .type = NRD_PARAM_INT,
     .offset = FIELD(seed),
     .fallback = "0",
     .help = "Frames are a function of it and their number."},
    {.name = "rate",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(rate),
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .unit = "frames/s",
     .help = "Pace; 0: as soon as there is room."},
    {.name = "count",
     .type = NRD_PARAM_INT,
     .offset = FIELD(count),
     .fallback = "0",
     .min = 0,
     .max = 9007199254740992.0,
     .unit = "frames",
     .help = "Frames after which the source ends; 0: no limit."},
    {.name = "out_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(out_tensor_name),
     .fallback = "\"\"",
     .help = "Name of the tensor."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
     .choices = allocator_kind,
     .help = "Where frames are allocated; the fragment's default when absent."},
    {.name = NULL},
};

static const struct nrd_port outputs[] = {
    {.name = "output", .type = "tensors", .policy = NRD_QUEUE_FAULT, .help = "A frame."},
    {.name = NULL},
};

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    static const uint32_t channels[] = {[PIXELS_RGB] = 3, [PIXELS_RGBA] = 4, [PIXELS_GRAY] = 1};
    struct pattern_source *s = self;
    s->pattern =
        (struct pattern){(enum pattern_kind)s->kind, (uint32_t)s->width, (uint32_t)s->height,
                         channels[s->pixel_format], (uint64_t)s->seed};
    return pacer_add(op, &s->pacer);
}

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    struct pattern_source *s = self;
    s->sent = 0;
    pacer_begin(&s->pacer);
    return NULL;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct pattern_source *s = self;
    const int64_t dims[] = {s->height, s->width, s->pattern.channels};
    struct nrd_tensor *tensor = NULL;
    int64_t now = nrd_compute_now(ctx);
    if (s->sent == 0) {
        s->start_ns = now;
    }
    NRD_TRY(nrd_allocate(nrd_compute_operator(ctx), s->allocator, NRD_DTYPE_U8, dims, 3,
                         NRD_MEMORY_CPU, 0, &tensor));
    pattern_fill(&s->pattern, s->sent, tensor->data);
    struct nrd_message *message = nrd_message_new(ctx);
    struct nrd_status *status = message == NULL
                                    ? status_no_memory()
                                    : nrd_message_add_tensor(message, s->out_tensor_name, tensor);
    if (status != NULL) {
        nrd_tensor_unref(tensor);
        nrd_message_unref(message);
        return status;
    }
    nrd_message_set_acquired(message, now);
    enum nrd_code code = nrd_emit(ctx, 0, message);
    if (code != NRD_OK) {
        return nrd_compute_fail(ctx, code, "a frame could not be sent");
    }
    s->sent++;
    if (s->count > 0 && s->sent == (uint64_t)s->count) {
        pacer_end(&s->pacer);
    } else if (s->rate > 0) {
        pacer_due(&s->pacer, pacer_time(s->start_ns, s->sent, s->rate));
    }
    return NULL;
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    (void)op;
    struct pattern_source *s = self;
    pacer_reset(&s->pacer);
    return NULL;
}

const struct nrd_operator_class pattern_source_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "PatternSourceOp",
    .summary = "Sends test pictures: bars, squares, slopes or noise.",
    .state_size = sizeof(struct pattern_source),
    .params = params,
    .outputs = outputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
};
