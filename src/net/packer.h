// SPDX-License-Identifier: Apache-2.0
// Packer: the output of one connection, made of small pieces that are copied into blocks and large ones that are pointed to.
//
// Whatever was packed since the last seal is one chunk of the stream, so a turn's worth of frames leaves in few parts. Blocks and
// chunks come back to a stock that all packers of a loop share. Thread: loop.
#ifndef NEREID_NET_PACKER_H
#define NEREID_NET_PACKER_H

#include "net/stream.h"

struct packer_block;
struct packer_chunk;

// What the packers of one loop share. Zero is the empty stock.
struct packer_stock {
    struct packer_block *blocks;
    struct packer_chunk *chunks;
    unsigned block_count;
};
void packer_stock_fini(struct packer_stock *stock); // all chunks must have come back

struct packer {
    struct packer_stock *stock;
    struct stream *stream;
    struct packer_block *block; // open; NULL: none
    size_t sealed;              // bytes of it that are queued
};

// Room for `size` bytes behind what is packed, to be filled before the next call. NULL: no memory.
char *packer_room(struct packer *p, size_t size);
// Queues what has been packed on the stream. False: no memory.
bool packer_seal(struct packer *p);
// Seals, then queues bytes that stay where they are; `release(owner)` is called when they are sent. False: no memory, nothing queued.
bool packer_point(struct packer *p, const void *ptr, size_t size, void (*release)(void *owner),
                  void *owner);
// Bytes packed and not yet sealed.
size_t packer_pending(const struct packer *p);
// After a flush of the stream: lets go of the block, or begins it anew, when all of it was sent.
void packer_tidy(struct packer *p);
void packer_fini(struct packer *p);

#endif
