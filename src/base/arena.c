// SPDX-License-Identifier: Apache-2.0
// Arena: a chain of blocks, cut from the front. Reset frees all but the first, and that too if it is larger than usual.
//
// A request that does not fit the current block starts a new one; what was left over in the old one is
// lost until the reset. The first block stays, so a document of the usual size costs no malloc.
#include "base/arena.h"

#include "base/mem.h"

enum { ARENA_ALIGN = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size; // of the bytes that follow
};
_Static_assert(sizeof(struct arena_block) % ARENA_ALIGN == 0, "blocks begin aligned");

static char *block_bytes(struct arena_block *block)
{
    return (char *)(block + 1);
}

static void arena_enter(struct arena *a, struct arena_block *block)
{
    a->current = block;
    a->at = block_bytes(block);
    a->end = a->at + block->size;
}

void arena_init(struct arena *a, size_t block_size)
{
    *a = (struct arena){.block_size = block_size == 0 ? 4096 : block_size};
}

static void free_chain(struct arena_block *block)
{
    while (block != NULL) {
        struct arena_block *next = block->next;
        mem_free(block);
        block = next;
    }
}

void arena_fini(struct arena *a)
{
    free_chain(a->first);
    *a = (struct arena){.block_size = a->block_size};
}

void arena_reset(struct arena *a)
{
    if (a->first != NULL && a->first->size > a->block_size) {
        arena_fini(a); // what once began with something huge must not keep its room for ever
    } else if (a->first != NULL) {
        free_chain(a->first->next);
        a->first->next = NULL;
        arena_enter(a, a->first);
    }
}

static void *alloc_in_new_block(struct arena *a, size_t size)
{
    size_t block_size = size > a->block_size ? size : a->block_size;
    if (block_size > SIZE_MAX - sizeof(struct arena_block)) {
        return NULL;
    }
    struct arena_block *block = mem_alloc(sizeof(struct arena_block) + block_size);
    if (block == NULL) {
        return NULL;
    }
    block->next = NULL;
    block->size = block_size;
    if (a->first == NULL) {
        a->first = block;
    } else {
        a->current->next = block;
    }
    arena_enter(a, block);
    void *ptr = a->at;
    a->at += size;
    return ptr;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - ARENA_ALIGN) {
        return NULL;
    }
    size = size == 0 ? ARENA_ALIGN : (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (size <= (size_t)(a->end - a->at)) {
        void *ptr = a->at;
        a->at += size;
        return ptr;
    }
    return alloc_in_new_block(a, size);
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        return NULL;
    }
    void *ptr = arena_alloc(a, bytes);
    if (ptr != NULL) {
        memset(ptr, 0, bytes);
    }
    return ptr;
}

char *arena_strdup(struct arena *a, struct slice text)
{
    if (text.len == SIZE_MAX) {
        return NULL;
    }
    char *copy = arena_alloc(a, text.len + 1);
    if (copy != NULL) {
        if (text.len != 0) {
            memcpy(copy, text.ptr, text.len);
        }
        copy[text.len] = '\0';
    }
    return copy;
}

void *arena_grow(struct arena *a, void *ptr, size_t old_size, size_t new_size)
{
    if (ptr == NULL || new_size > SIZE_MAX - ARENA_ALIGN) {
        return ptr == NULL ? arena_alloc(a, new_size) : NULL;
    }
    if (new_size <= old_size) {
        return ptr;
    }
    size_t old_room =
        old_size == 0 ? ARENA_ALIGN : (old_size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    size_t new_room = (new_size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    char *start = ptr;
    if (start + old_room == a->at && new_room - old_room <= (size_t)(a->end - a->at)) {
        a->at += new_room - old_room;
        return ptr;
    }
    void *copy = arena_alloc(a, new_size);
    if (copy != NULL && old_size != 0) {
        memcpy(copy, ptr, old_size);
    }
    return copy;
}
