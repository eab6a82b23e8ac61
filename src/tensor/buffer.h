// SPDX-License-Identifier: Apache-2.0
// Buffer: refcounted bytes that know which device they are on. Whoever holds the only reference may write.
#ifndef NEREID_TENSOR_BUFFER_H
#define NEREID_TENSOR_BUFFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nereid/types.h"

const char *
memory_kind_name(enum nrd_memory kind); // "CPU", "CPU_PINNED", "GPU", as Triton prints them

typedef void (*buffer_release_fn)(void *data, size_t size, void *arg);

struct tensor_buffer {
    void *data;
    size_t size;
    int64_t device_id; // of the GPU, or of the NUMA node
    enum nrd_memory kind;
    _Atomic uint32_t references;
    buffer_release_fn release; // NULL: nothing to release
    void *release_arg;
    bool placed; // lies in memory that the release function also disposes of
};

// `size` bytes of the host's memory, aligned to 64, not zeroed. Returns owned; NULL when memory is out. Thread: any.
struct tensor_buffer *buffer_create(size_t size) __attribute__((warn_unused_result));
// A buffer over memory of someone else: takes `data`, which `release` (may be NULL: borrows) gets back at the last unref.
// On failure (NULL) `data` stays the caller's. Thread: any.
struct tensor_buffer *buffer_wrap(void *data, size_t size, enum nrd_memory kind, int64_t device_id,
                                  buffer_release_fn release, void *release_arg)
    __attribute__((warn_unused_result));
// The same in memory of the caller's, for pools that keep the head with the bytes: `release` (never NULL) gets both back, and the
// library does not touch `b` any more once it runs. Thread: any.
void buffer_init(struct tensor_buffer *b, void *data, size_t size, enum nrd_memory kind,
                 int64_t device_id, buffer_release_fn release, void *release_arg);
// Shares; returns `b`. Thread: any.
struct tensor_buffer *buffer_ref(struct tensor_buffer *b);
// Gives one reference up; the last one releases. NULL is fine. Thread: any.
void buffer_unref(struct tensor_buffer *b);
// True when the caller's reference is the only one: it may write. Thread: any.
bool buffer_is_writable(const struct tensor_buffer *b);

#endif
