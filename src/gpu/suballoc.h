// SPDX-License-Identifier: Apache-2.0
// Suballocator: places of any size within stretches of memory that it never touches, since they may be a GPU's.
//
// Two-level segregated fit (M. Masmano et al., "TLSF: a new dynamic memory allocator for real-time systems", 2004): a free
// place goes to a list by its size, 32 lists to a doubling, and two words of bits tell which lists hold any. So get and put
// take a few steps whatever is there. A place is as large as asked for, rounded up to SUBALLOC_ALIGN; neighbours that are
// free are joined. Descriptors are beside the memory, from the heap, and are kept for later. Thread: owner.
#ifndef NEREID_GPU_SUBALLOC_H
#define NEREID_GPU_SUBALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SUBALLOC_ALIGN = 256, SUBALLOC_SECOND = 32, SUBALLOC_FIRST = 40 };

struct suballoc_place; // one place, in use or free

struct suballoc {
    uint64_t first_bits;
    uint32_t second_bits[SUBALLOC_FIRST];
    struct suballoc_place *free_lists[SUBALLOC_FIRST][SUBALLOC_SECOND];
    struct suballoc_place *spare; // descriptors without a place
};

void suballoc_init(struct suballoc *s);
// All places must be back, and all stretches removed.
void suballoc_fini(struct suballoc *s);
// Adds `size` bytes (a multiple of SUBALLOC_ALIGN) at `base` as one free place. Returns it: its owner's handle for
// suballoc_remove_stretch(). NULL: no memory.
struct suballoc_place *suballoc_add_stretch(struct suballoc *s, uint64_t base, uint64_t size)
    __attribute__((warn_unused_result));
// True when the whole stretch is free; then it is removed, and `first` is no more.
bool suballoc_remove_stretch(struct suballoc *s, struct suballoc_place *first);
// A place of at least `size` bytes, aligned to SUBALLOC_ALIGN. False: none is large enough, or no memory for a descriptor
// (then nothing changed).
bool suballoc_get(struct suballoc *s, uint64_t size, struct suballoc_place **place);
void suballoc_put(struct suballoc *s, struct suballoc_place *place);
uint64_t suballoc_address(const struct suballoc_place *place);
uint64_t suballoc_size(const struct suballoc_place *place);
// The size of the place that a request of `size` bytes gets at least: rounded up to SUBALLOC_ALIGN.
uint64_t suballoc_rounded(uint64_t size);

#endif
