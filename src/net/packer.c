// SPDX-License-Identifier: Apache-2.0
// Packer: see packer.h. A block counts the chunks that point into it and, while it is open, its packer.
#include "net/packer.h"

#include "base/mem.h"

enum { BLOCK_SIZE = 32 * 1024, IDLE_BLOCKS = 64 };

struct packer_block {
    struct packer_block *next; // in the stock
    unsigned references;
    size_t used;
    size_t size;
    char bytes[];
};

struct packer_chunk {
    struct stream_chunk chunk;
    struct packer_stock *stock;
    struct packer_block *block; // NULL: `release` is set
    void (*release)(void *owner);
    void *owner;
    struct packer_chunk *next; // in the stock
};

static void block_unref(struct packer_stock *stock, struct packer_block *block)
{
    if (--block->references > 0) {
        return;
    }
    if (block->size == BLOCK_SIZE && stock->block_count < IDLE_BLOCKS) {
        block->next = stock->blocks;
        stock->blocks = block;
        stock->block_count++;
    } else {
        mem_free(block);
    }
}

static struct packer_block *block_new(struct packer_stock *stock, size_t size)
{
    struct packer_block *block = stock->blocks;
    if (block != NULL && size <= BLOCK_SIZE) {
        stock->blocks = block->next;
        stock->block_count--;
    } else {
        size = size < BLOCK_SIZE ? BLOCK_SIZE : size;
        block = mem_alloc(sizeof(*block) + size);
        if (block == NULL) {
            return NULL;
        }
        block->size = size;
    }
    block->references = 1;
    block->used = 0;
    return block;
}

static void chunk_released(struct stream_chunk *base)
{
    struct packer_chunk *chunk = CONTAINER_OF(base, struct packer_chunk, chunk);
    struct packer_stock *stock = chunk->stock;
    if (chunk->block != NULL) {
        block_unref(stock, chunk->block);
    } else {
        chunk->release(chunk->owner);
    }
    chunk->next = stock->chunks;
    stock->chunks = chunk;
}

static struct packer_chunk *chunk_new(struct packer_stock *stock, const void *ptr, size_t size)
{
    struct packer_chunk *chunk = stock->chunks;
    if (chunk != NULL) {
        stock->chunks = chunk->next;
    } else {
        chunk = mem_alloc(sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
    }
    *chunk = (struct packer_chunk){.chunk = {.ptr = ptr, .len = size, .release = chunk_released},
                                   .stock = stock};
    return chunk;
}

bool packer_seal(struct packer *p)
{
    struct packer_block *block = p->block;
    if (block == NULL || block->used == p->sealed) {
        return true;
    }
    struct packer_chunk *chunk =
        chunk_new(p->stock, block->bytes + p->sealed, block->used - p->sealed);
    if (chunk == NULL) {
        return false;
    }
    chunk->block = block;
    block->references++;
    p->sealed = block->used;
    stream_queue(p->stream, &chunk->chunk);
    return true;
}

char *packer_room(struct packer *p, size_t size)
{
    if (p->block != NULL && p->block->size - p->block->used < size) {
        if (!packer_seal(p)) {
            return NULL;
        }
        packer_fini(p);
    }
    if (p->block == NULL) {
        p->block = block_new(p->stock, size);
        p->sealed = 0;
        if (p->block == NULL) {
            return NULL;
        }
    }
    char *at = p->block->bytes + p->block->used;
    p->block->used += size;
    return at;
}

bool packer_point(struct packer *p, const void *ptr, size_t size, void (*release)(void *owner),
                  void *owner)
{
    struct packer_chunk *chunk = packer_seal(p) ? chunk_new(p->stock, ptr, size) : NULL;
    if (chunk == NULL) {
        return false;
    }
    chunk->release = release;
    chunk->owner = owner;
    stream_queue(p->stream, &chunk->chunk);
    return true;
}

size_t packer_pending(const struct packer *p)
{
    return p->block == NULL ? 0 : p->block->used - p->sealed;
}

void packer_tidy(struct packer *p)
{
    if (p->block != NULL && p->block->references == 1) {
        p->block->used = 0;
        p->sealed = 0;
        if (stream_pending(p->stream) == 0) {
            packer_fini(p);
        }
    }
}

void packer_fini(struct packer *p)
{
    if (p->block != NULL) {
        block_unref(p->stock, p->block);
        p->block = NULL;
        p->sealed = 0;
    }
}

void packer_stock_fini(struct packer_stock *stock)
{
    while (stock->blocks != NULL) {
        struct packer_block *block = stock->blocks;
        stock->blocks = block->next;
        mem_free(block);
    }
    while (stock->chunks != NULL) {
        struct packer_chunk *chunk = stock->chunks;
        stock->chunks = chunk->next;
        mem_free(chunk);
    }
}
