// SPDX-License-Identifier: Apache-2.0
// Blocks: which streams use a buffer, and up to where.
//
// A block keeps one event for each stream that uses it, the latest, and four streams at most. A fifth one waits for the
// oldest and takes its place: the order stays right, at the price of a wait in the GPU that nobody needed.
#include "gpu/block_private.h"

#include <string.h>

static void block_release(void *data, size_t size, void *arg)
{
    (void)data;
    (void)size;
    struct gpu_block *block = arg;
    block->give_back(block);
}

void block_init(struct gpu_block *block, void *data, size_t size, enum nrd_memory kind,
                int64_t device_id, void (*give_back)(struct gpu_block *), void *owner)
{
    memset(block, 0, sizeof(*block));
    block->give_back = give_back;
    block->owner = owner;
    buffer_init(&block->buffer, data, size, kind, device_id, block_release, block);
}

// NULL for buffers of other folders.
static struct gpu_block *block_of(const struct tensor_buffer *buffer)
{
    return buffer->release == block_release ? buffer->release_arg : NULL;
}

static void drop_use(struct gpu_block *block, unsigned at)
{
    gpu_event_unref(block->uses[at]);
    block->use_count--;
    for (unsigned i = at; i < block->use_count; i++) {
        block->uses[i] = block->uses[i + 1];
        block->use_streams[i] = block->use_streams[i + 1];
    }
}

void block_drop_events(struct gpu_block *block)
{
    while (block->use_count > 0) {
        drop_use(block, block->use_count - 1);
    }
    gpu_event_unref(block->ready);
    block->ready = NULL;
}

bool block_is_idle(struct gpu_block *block)
{
    while (block->use_count > 0) {
        bool reached = false;
        struct nrd_status *status = gpu_event_query(block->uses[0], &reached);
        // A device that fails runs nothing any more.
        bool failed = status != NULL;
        status_free(status);
        if (!failed && !reached) {
            return false;
        }
        drop_use(block, 0);
    }
    return true;
}

struct nrd_status *block_wait_uses(struct gpu_block *block, struct gpu_stream *stream)
{
    struct nrd_status *first = NULL;
    for (unsigned i = 0; i < block->use_count; i++) {
        struct nrd_status *status = block->use_streams[i] == gpu_stream_handle(stream)
                                        ? NULL
                                        : gpu_stream_wait_event(stream, block->uses[i]);
        if (first == NULL) {
            first = status;
        } else {
            status_free(status);
        }
    }
    return first;
}

void block_wait_idle(struct gpu_block *block)
{
    while (block->use_count > 0) {
        status_free(gpu_event_wait(block->uses[0], 0));
        drop_use(block, 0);
    }
}

// Puts `event` (takes) as the last point of `stream`.
static struct nrd_status *add_use(struct gpu_block *block, struct gpu_stream *stream,
                                  struct gpu_event *event)
{
    struct cu_stream *handle = gpu_stream_handle(stream);
    for (unsigned i = 0; i < block->use_count; i++) {
        if (block->use_streams[i] == handle &&
            gpu_event_device(block->uses[i]) == gpu_event_device(event)) {
            gpu_event_unref(block->uses[i]);
            block->uses[i] = event;
            return NULL;
        }
    }
    if (block->use_count == BLOCK_USES_MAX) {
        struct nrd_status *status = gpu_stream_wait_event(stream, block->uses[0]);
        if (status == NULL) {
            status = gpu_event_record(event, stream);
        }
        if (status != NULL) {
            gpu_event_unref(event);
            return status;
        }
        drop_use(block, 0);
    }
    block->uses[block->use_count] = event;
    block->use_streams[block->use_count++] = handle;
    return NULL;
}

struct nrd_status *gpu_buffer_use(struct tensor_buffer *buffer, struct gpu_stream *stream)
{
    struct gpu_block *block = block_of(buffer);
    struct gpu_event *event = NULL;
    if (block == NULL) {
        return NULL;
    }
    NRD_TRY(gpu_event_after(stream, &event));
    return add_use(block, stream, event);
}

struct nrd_status *gpu_buffer_set_ready(struct tensor_buffer *buffer, struct gpu_stream *stream)
{
    struct gpu_block *block = block_of(buffer);
    struct gpu_event *event = NULL;
    if (block == NULL) {
        return NULL;
    }
    NRD_TRY(gpu_event_after(stream, &event));
    struct gpu_event *shared = gpu_event_ref(event);
    struct nrd_status *status = add_use(block, stream, event);
    if (status != NULL) {
        gpu_event_unref(shared);
        return status;
    }
    gpu_event_unref(block->ready);
    block->ready = shared;
    return NULL;
}

struct nrd_status *gpu_buffer_wait(struct tensor_buffer *buffer, struct gpu_stream *stream)
{
    struct gpu_event *ready = gpu_buffer_ready_event(buffer);
    return ready == NULL ? NULL : gpu_stream_wait_event(stream, ready);
}

struct nrd_status *gpu_buffer_wait_host(struct tensor_buffer *buffer, uint64_t deadline_ns)
{
    struct gpu_event *ready = gpu_buffer_ready_event(buffer);
    return ready == NULL ? NULL : gpu_event_wait(ready, deadline_ns);
}

struct gpu_event *gpu_buffer_ready_event(const struct tensor_buffer *buffer)
{
    struct gpu_block *block = block_of(buffer);
    return block == NULL ? NULL : block->ready;
}
