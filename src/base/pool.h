// SPDX-License-Identifier: Apache-2.0
// Pools: objects and buffers that come back instead of being freed, so that steady state allocates nothing.
//
// An object pool keeps at most `max_idle` objects of one size, and 32 more in each thread that uses it.
// A buffer pool keeps buffers by size class, at most `max_idle_bytes` in all: powers of two from 256 B to 1 MiB, then four steps a
// doubling to 1 GiB; larger ones go straight to the system. From 4 MiB on they are pages of their own (mem_map), so that one
// that comes back warm costs no page faults, and one that is freed leaves no hole in the heap.
// Buffers that devices read may be page-locked by whoever knows how (buffer_pool_lock_by).
// Both are safe from any thread: a short spin-free mutex around a free list, with a small cache per thread
// in front of the object pool. What a pool hands out is not zeroed.
#ifndef NEREID_BASE_POOL_H
#define NEREID_BASE_POOL_H

#include <stddef.h>

#include "base/status.h"

struct object_pool;
// Returns owned; NULL when memory is out.
struct object_pool *object_pool_create(size_t object_size, size_t max_idle);
// All objects must have come back, and no thread that used the pool may be ending just now. NULL is fine.
void object_pool_destroy(struct object_pool *p);
void *object_pool_get(struct object_pool *p) __attribute__((warn_unused_result)); // NULL: no memory
void object_pool_put(struct object_pool *p, void *object);

struct buffer_pool;
struct buffer_pool *buffer_pool_create(size_t max_idle_bytes);
// A limit for pools of request bodies, whose users call buffer_pool_trim() when it is quiet: a sixteenth of the machine's memory,
// at least 64 MiB, at most 1 GiB.
size_t buffer_pool_body_limit(void);
void buffer_pool_destroy(struct buffer_pool *p); // all buffers must have come back; NULL is fine
// At least `size` bytes, aligned to 64; `*capacity` (may be NULL) is what may be used. NULL: no memory.
void *buffer_pool_get(struct buffer_pool *p, size_t size, size_t *capacity)
    __attribute__((warn_unused_result));
// The same, but a page-locked buffer before one that is not; buffer_pool_get() has it the other way round.
void *buffer_pool_get_locked(struct buffer_pool *p, size_t size, size_t *capacity)
    __attribute__((warn_unused_result));
void buffer_pool_put(struct buffer_pool *p, void *buffer); // NULL is fine
size_t buffer_pool_idle_bytes(const struct buffer_pool *p);
// Frees idle buffers, largest first, until at most `keep_bytes` are idle, and gives the system back what the heap can spare. For a
// quiet moment: it may take a millisecond.
void buffer_pool_trim(struct buffer_pool *p, size_t keep_bytes);

// ---- page-locked buffers: a device copies out of them without a copy on the host before ---------------------------------
// A buffer of BUFFER_LOCK_MIN bytes or more of which BUFFER_LOCK_AFTER times somebody said that it goes to a device is locked when it comes
// back, on a thread that may block, and stays so until it is freed. Where that is refused, the buffer goes on as it is, and is tried again
// when it has gone to a device BUFFER_LOCK_AGAIN times more.
enum { BUFFER_LOCK_MIN = 256 << 10, BUFFER_LOCK_AFTER = 4, BUFFER_LOCK_AGAIN = 64 };
struct buffer_locker {
    void *user;
    // Locks whole pages. What is returned is owned, for `unlock`; NULL: not now.
    void *(*lock)(void *user, void *at, size_t size);
    void (*unlock)(void *user, void *lock);
    // Has `run(arg)` called soon by another thread, for which `lock` and `unlock` are not too slow. False: it will not be.
    bool (*post)(void *user, void (*run)(void *arg), void *arg);
};
// Before the pool's first use; `locker` is copied, and its user outlives the pool. All that was posted must have run before the pool's end.
void buffer_pool_lock_by(struct buffer_pool *p, const struct buffer_locker *locker);
// The bytes of a buffer that is out go to a device this time. Thread: whoever has the buffer.
void buffer_pool_goes_to_device(void *buffer);
bool buffer_pool_is_locked(const void *buffer);

#endif
