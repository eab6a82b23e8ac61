// SPDX-License-Identifier: Apache-2.0
// Blocks: what lies behind a buffer of this folder: its place, the events of its users, and who gets it back.
#ifndef NEREID_GPU_BLOCK_PRIVATE_H
#define NEREID_GPU_BLOCK_PRIVATE_H

#include "gpu/memory.h"

enum { BLOCK_USES_MAX = 4 };

struct gpu_block {
    struct tensor_buffer buffer; // its release argument is the block
    void (*give_back)(struct gpu_block *block);
    void *owner;                            // the pool, or the device
    void *place;                            // of a suballocator, or the chunk
    struct gpu_event *ready;                // owned; NULL: ready
    struct gpu_event *uses[BLOCK_USES_MAX]; // owned; the last point of each stream that uses it
    struct cu_stream *use_streams[BLOCK_USES_MAX];
    unsigned use_count;
    struct gpu_block *next; // in a pool's pending list
};

// Sets the buffer up over `data`; the rest of the block is zeroed but for `give_back` and `owner`.
void block_init(struct gpu_block *block, void *data, size_t size, enum nrd_memory kind,
                int64_t device_id, void (*give_back)(struct gpu_block *), void *owner);
// True when no stream uses the block any more (a lost device uses nothing); drops the events that were reached.
bool block_is_idle(struct gpu_block *block);
// Makes `stream` wait for all users; NULL-safe on failure: the first error is returned, the others are tried.
NRD_MUST_USE struct nrd_status *block_wait_uses(struct gpu_block *block, struct gpu_stream *stream);
// Waits on the host until no stream uses the block, without a deadline: for the end of a pool.
void block_wait_idle(struct gpu_block *block);
void block_drop_events(struct gpu_block *block);

#endif
