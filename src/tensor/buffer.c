// SPDX-License-Identifier: Apache-2.0
// Buffer: the bytes of a created one follow its head in one allocation.
#include "tensor/buffer.h"

#include "base/mem.h"

enum { BUFFER_ALIGN = 64, BUFFER_HEAD = 64 };
_Static_assert(sizeof(struct tensor_buffer) <= BUFFER_HEAD, "a head is one cache line");

const char *memory_kind_name(enum nrd_memory kind)
{
    switch (kind) {
    case NRD_MEMORY_CPU:
        return "CPU";
    case NRD_MEMORY_PINNED:
        return "CPU_PINNED";
    case NRD_MEMORY_GPU:
        return "GPU";
    }
    return "<invalid>";
}

static void buffer_setup(struct tensor_buffer *b, void *data, size_t size, enum nrd_memory kind,
                         int64_t device_id)
{
    b->data = data;
    b->size = size;
    b->kind = kind;
    b->device_id = device_id;
    b->release = NULL;
    b->release_arg = NULL;
    b->placed = false;
    atomic_init(&b->references, 1);
}

struct tensor_buffer *buffer_create(size_t size)
{
    if (size > SIZE_MAX - BUFFER_HEAD) {
        return NULL;
    }
    struct tensor_buffer *b = mem_aligned(BUFFER_ALIGN, BUFFER_HEAD + size);
    if (b != NULL) {
        buffer_setup(b, (char *)b + BUFFER_HEAD, size, NRD_MEMORY_CPU, 0);
    }
    return b;
}

struct tensor_buffer *buffer_wrap(void *data, size_t size, enum nrd_memory kind, int64_t device_id,
                                  buffer_release_fn release, void *release_arg)
{
    struct tensor_buffer *b = mem_alloc(sizeof(*b));
    if (b != NULL) {
        buffer_setup(b, data, size, kind, device_id);
        b->release = release;
        b->release_arg = release_arg;
    }
    return b;
}

void buffer_init(struct tensor_buffer *b, void *data, size_t size, enum nrd_memory kind,
                 int64_t device_id, buffer_release_fn release, void *release_arg)
{
    buffer_setup(b, data, size, kind, device_id);
    b->release = release;
    b->release_arg = release_arg;
    b->placed = true;
}

struct tensor_buffer *buffer_ref(struct tensor_buffer *b)
{
    // Relaxed: who shares a reference has one, so nothing can be released meanwhile.
    atomic_fetch_add_explicit(&b->references, 1, memory_order_relaxed);
    return b;
}

void buffer_unref(struct tensor_buffer *b)
{
    // Release what this holder did to the bytes; acquire what the others did, before they are released.
    if (b == NULL || atomic_fetch_sub_explicit(&b->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    bool placed = b->placed;
    if (b->release != NULL) {
        b->release(b->data, b->size, b->release_arg);
    }
    if (!placed) {
        mem_free(b);
    }
}

bool buffer_is_writable(const struct tensor_buffer *b)
{
    return atomic_load_explicit(&b->references, memory_order_acquire) == 1;
}
