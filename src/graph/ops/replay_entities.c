// SPDX-License-Identifier: Apache-2.0
// A replayer's frames out of Holoscan's recordings. A frame that is damaged takes only itself along: the index says where the next is.
#include <string.h>

#include "base/mem.h"
#include "graph/ops/entity_file.h"
#include "graph/ops/replay_source.h"

struct entities_source {
    struct replay_source base;
    const struct replay_options *options;
    struct entity_reader *reader;
    uint64_t next;
    uint64_t damaged;
    struct entity entity; // too large for a stack
};

static struct nrd_status *read_tensors(struct entities_source *s, struct nrd_operator *op,
                                       const struct entity_index *index, struct replay_frame *frame)
{
    for (size_t i = 0; i < s->entity.count; i++) {
        const struct entity_tensor *t = &s->entity.tensors[i];
        struct nrd_tensor *tensor = NULL;
        NRD_TRY(nrd_allocate(op, s->options->allocator, t->dtype, t->dims, t->rank, NRD_MEMORY_CPU,
                             0, &tensor));
        frame->tensors[i] = tensor;
        memcpy(frame->names[i], t->name, sizeof(frame->names[i]));
        frame->count = i + 1;
        NRD_TRY(entity_reader_body(s->reader, s->next, index, t, tensor->data));
    }
    return NULL;
}

static struct nrd_status *read_frame(struct entities_source *s, struct nrd_operator *op,
                                     struct replay_frame *frame)
{
    struct entity_index index;
    NRD_TRY(entity_reader_head(s->reader, s->next, &index, &s->entity));
    frame->time_ns = (int64_t)index.log_time;
    frame->acquired_ns = s->entity.acquired_ns;
    return read_tensors(s, op, &index, frame);
}

static struct nrd_status *next(struct replay_source *source, struct nrd_operator *op,
                               struct replay_frame *frame, bool *end)
{
    struct entities_source *s = (struct entities_source *)source;
    for (; s->next < entity_reader_count(s->reader); s->next++) {
        struct nrd_status *status = read_frame(s, op, frame);
        if (status == NULL) {
            s->next++;
            return NULL;
        }
        replay_frame_clear(frame);
        enum nrd_code code = nrd_status_code(status);
        if (!s->options->ignore_damaged ||
            (code != NRD_INVALID_ARG && code != NRD_UNSUPPORTED)) { // no memory is nobody's damage
            return status;
        }
        if (s->damaged++ == 0) {
            nrd_operator_log(op, NRD_LOG_WARNING, "left out: %s", nrd_status_text(status));
        }
        nrd_status_free(status);
    }
    *end = true;
    return NULL;
}

static struct nrd_status *rewind_source(struct replay_source *source)
{
    ((struct entities_source *)source)->next = 0;
    return NULL;
}

static uint64_t damaged(const struct replay_source *source)
{
    return ((const struct entities_source *)source)->damaged;
}

static void close_source(struct replay_source *source)
{
    struct entities_source *s = (struct entities_source *)source;
    entity_reader_close(s->reader);
    mem_free(s);
}

static const struct replay_source_class entities_class = {
    .next = next,
    .rewind = rewind_source,
    .damaged = damaged,
    .close = close_source,
};

struct nrd_status *replay_open_entities(const struct replay_options *options,
                                        struct replay_source **source)
{
    struct entities_source *s = mem_calloc(1, sizeof(*s));
    if (s == NULL) {
        return status_no_memory();
    }
    s->base.class = &entities_class;
    s->options = options;
    struct nrd_status *status =
        entity_reader_open(options->directory, options->basename, &s->reader);
    if (status == NULL && entity_reader_rest(s->reader) != 0 && !options->ignore_damaged) {
        status = status_new(NRD_INVALID_ARG, "'%s/%s.gxf_index' ends within record %llu",
                            options->directory, options->basename,
                            (unsigned long long)entity_reader_count(s->reader));
    }
    if (status != NULL) {
        close_source(&s->base);
        return status;
    }
    *source = &s->base;
    return NULL;
}
