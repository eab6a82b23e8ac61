// SPDX-License-Identifier: Apache-2.0
// Arena: memory that is freed all at once. One per request or document; reset keeps the first block, so
// that the steady state allocates nothing. Alignment 16. Thread: owner.
#ifndef NEREID_BASE_ARENA_H
#define NEREID_BASE_ARENA_H

#include "base/slice.h"

struct arena_block;
struct arena {
    struct arena_block *first;
    struct arena_block *current;
    char *at;
    char *end;
    size_t block_size; // of the next block; a larger request gets a block of its own
};

// `block_size` 0 means 4096. Allocates nothing yet.
void arena_init(struct arena *a, size_t block_size);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a); // a first block larger than `block_size` does not stay
void *arena_alloc(struct arena *a, size_t size)
    __attribute__((warn_unused_result)); // NULL: no memory
void *arena_calloc(struct arena *a, size_t count, size_t size) __attribute__((warn_unused_result));
char *arena_strdup(struct arena *a, struct slice text)
    __attribute__((warn_unused_result)); // terminated
// Enlarges the newest allocation in place when it can, else copies.
void *arena_grow(struct arena *a, void *ptr, size_t old_size, size_t new_size)
    __attribute__((warn_unused_result));

#endif
