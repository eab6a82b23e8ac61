// SPDX-License-Identifier: Apache-2.0
// A replayer's frames out of video files.
#include <string.h>

#include "base/mem.h"
#include "graph/ops/codecs.h"
#include "graph/ops/replay_source.h"

struct video_source {
    struct replay_source base;
    const struct replay_options *options;
    const struct video_codec *codec;
    struct video_reader *reader;
};

static struct nrd_status *next(struct replay_source *source, struct nrd_operator *op,
                               struct replay_frame *frame, bool *end)
{
    struct video_source *s = (struct video_source *)source;
    struct video_frame decoded;
    NRD_TRY(s->codec->next(s->reader, &decoded, end));
    if (*end) {
        return NULL;
    }
    const int64_t dims[] = {decoded.height, decoded.width,
                            (int64_t)video_channels(s->options->pixels)};
    struct nrd_tensor *tensor = NULL;
    NRD_TRY(
        nrd_allocate(op, s->options->allocator, NRD_DTYPE_U8, dims, 3, NRD_MEMORY_CPU, 0, &tensor));
    frame->tensors[0] = tensor;
    frame->count = 1;
    frame->time_ns = decoded.time_ns;
    frame->acquired_ns = -1;
    memcpy(frame->names[0], s->options->tensor_name, strlen(s->options->tensor_name) + 1);
    return s->codec->convert(s->reader, s->options->pixels, tensor->data);
}

static struct nrd_status *rewind_source(struct replay_source *source)
{
    struct video_source *s = (struct video_source *)source;
    return s->codec->rewind(s->reader);
}

static uint64_t damaged(const struct replay_source *source)
{
    const struct video_source *s = (const struct video_source *)source;
    return s->codec->damaged(s->reader);
}

static void close_source(struct replay_source *source)
{
    struct video_source *s = (struct video_source *)source;
    if (s->codec != NULL) {
        s->codec->close(s->reader);
    }
    mem_free(s);
}

static const struct replay_source_class video_class = {
    .next = next,
    .rewind = rewind_source,
    .damaged = damaged,
    .close = close_source,
};

struct nrd_status *replay_open_video(const struct replay_options *options,
                                     struct replay_source **source)
{
    if (strlen(options->tensor_name) > ENTITY_NAME_MAX) {
        return status_new(NRD_INVALID_ARG, "out_tensor_name '%s' is longer than %d bytes",
                          options->tensor_name, ENTITY_NAME_MAX);
    }
    struct video_source *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return status_no_memory();
    }
    s->base.class = &video_class;
    s->options = options;
    struct nrd_status *status = codecs_video(&s->codec);
    if (status == NULL) {
        status = s->codec->open(options->path, options->ignore_damaged, &s->reader);
    }
    if (status != NULL) {
        close_source(&s->base);
        return status;
    }
    struct video_description description;
    s->codec->describe(s->reader, &description);
    s->base.rate = description.rate;
    *source = &s->base;
    return NULL;
}
