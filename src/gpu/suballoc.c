// SPDX-License-Identifier: Apache-2.0
// Suballocator. A place knows its neighbours in the stretch by address; the first one of a stretch has none before it, so it
// is the stretch's handle: splitting leaves it in front, and joining always goes into the one with the lower address.
#include "gpu/suballoc.h"

#include <string.h>

#include "base/mem.h"

struct suballoc_place {
    uint64_t address;
    uint64_t size;
    struct suballoc_place *before; // by address; NULL at a stretch's end
    struct suballoc_place *after;
    struct suballoc_place *next; // in its free list, or among the spare ones
    struct suballoc_place *previous;
    bool is_free;
};

enum { UNIT_BITS = 8, SECOND_BITS = 5 };
_Static_assert(1 << UNIT_BITS == SUBALLOC_ALIGN, "sizes are counted in units");
_Static_assert(1 << SECOND_BITS == SUBALLOC_SECOND, "");

struct list_index {
    unsigned first;
    unsigned second;
};

// Which list a free place of `size` bytes is in. Sizes below 32 units have a list each.
static struct list_index index_of(uint64_t size)
{
    uint64_t units = size >> UNIT_BITS;
    if (units < SUBALLOC_SECOND) {
        return (struct list_index){0, (unsigned)units};
    }
    unsigned top = 63u - (unsigned)__builtin_clzll(units);
    struct list_index at = {top - SECOND_BITS + 1,
                            (unsigned)(units >> (top - SECOND_BITS)) - SUBALLOC_SECOND};
    if (at.first >= SUBALLOC_FIRST) {
        at = (struct list_index){SUBALLOC_FIRST - 1, SUBALLOC_SECOND - 1};
    }
    return at;
}

uint64_t suballoc_rounded(uint64_t size)
{
    uint64_t least = size == 0 ? 1 : size;
    return (least + SUBALLOC_ALIGN - 1) & ~(uint64_t)(SUBALLOC_ALIGN - 1);
}

static void list_add(struct suballoc *s, struct suballoc_place *p)
{
    struct list_index at = index_of(p->size);
    struct suballoc_place **head = &s->free_lists[at.first][at.second];
    p->is_free = true;
    p->previous = NULL;
    p->next = *head;
    if (*head != NULL) {
        (*head)->previous = p;
    }
    *head = p;
    s->second_bits[at.first] |= 1u << at.second;
    s->first_bits |= (uint64_t)1 << at.first;
}

static void list_take(struct suballoc *s, struct suballoc_place *p)
{
    struct list_index at = index_of(p->size);
    if (p->next != NULL) {
        p->next->previous = p->previous;
    }
    if (p->previous != NULL) {
        p->previous->next = p->next;
    } else {
        s->free_lists[at.first][at.second] = p->next;
        if (p->next == NULL) {
            s->second_bits[at.first] &= ~(1u << at.second);
            if (s->second_bits[at.first] == 0) {
                s->first_bits &= ~((uint64_t)1 << at.first);
            }
        }
    }
    p->is_free = false;
}

static struct suballoc_place *descriptor_get(struct suballoc *s)
{
    struct suballoc_place *p = s->spare;
    if (p == NULL) {
        return mem_calloc(1, sizeof(*p));
    }
    s->spare = p->next;
    memset(p, 0, sizeof(*p));
    return p;
}

static void descriptor_put(struct suballoc *s, struct suballoc_place *p)
{
    p->next = s->spare;
    s->spare = p;
}

void suballoc_init(struct suballoc *s)
{
    memset(s, 0, sizeof(*s));
}

void suballoc_fini(struct suballoc *s)
{
    while (s->spare != NULL) {
        struct suballoc_place *p = s->spare;
        s->spare = p->next;
        mem_free(p);
    }
}

struct suballoc_place *suballoc_add_stretch(struct suballoc *s, uint64_t base, uint64_t size)
{
    struct suballoc_place *p = descriptor_get(s);
    if (p != NULL) {
        p->address = base;
        p->size = size;
        list_add(s, p);
    }
    return p;
}

bool suballoc_remove_stretch(struct suballoc *s, struct suballoc_place *first)
{
    if (!first->is_free || first->after != NULL) {
        return false;
    }
    list_take(s, first);
    descriptor_put(s, first);
    return true;
}

// A free place of at least `size` bytes: the first of the next list whose every member is large enough, or else one of the
// list below, which may hold both larger and smaller ones.
static struct suballoc_place *find_free(const struct suballoc *s, uint64_t size)
{
    struct list_index at = index_of(size);
    uint32_t here = at.second + 1 < SUBALLOC_SECOND
                        ? s->second_bits[at.first] & (~(uint32_t)0 << (at.second + 1))
                        : 0;
    unsigned first = at.first;
    if (here == 0) {
        uint64_t above = s->first_bits & (~(uint64_t)1 << first);
        if (above != 0) {
            first = (unsigned)__builtin_ctzll(above);
            here = s->second_bits[first];
        }
    }
    struct suballoc_place *own = s->free_lists[at.first][at.second];
    // Eight tries in the list of its own size first: a place that fits exactly leaves no rest behind.
    for (int tries = 0; own != NULL && (tries < 8 || here == 0); own = own->next, tries++) {
        if (own->size >= size) {
            return own;
        }
    }
    return here == 0 ? NULL : s->free_lists[first][__builtin_ctz(here)];
}

bool suballoc_get(struct suballoc *s, uint64_t size, struct suballoc_place **place)
{
    uint64_t wanted = suballoc_rounded(size);
    struct suballoc_place *p = wanted < size ? NULL : find_free(s, wanted);
    if (p == NULL) {
        return false;
    }
    struct suballoc_place *rest = NULL;
    if (p->size > wanted) {
        rest = descriptor_get(s);
        if (rest == NULL) {
            return false;
        }
    }
    list_take(s, p);
    if (rest != NULL) {
        rest->address = p->address + wanted;
        rest->size = p->size - wanted;
        rest->before = p;
        rest->after = p->after;
        if (rest->after != NULL) {
            rest->after->before = rest;
        }
        p->after = rest;
        p->size = wanted;
        list_add(s, rest);
    }
    *place = p;
    return true;
}

// Makes `low` cover `high`, which comes right after it and is in no list.
static void join(struct suballoc *s, struct suballoc_place *low, struct suballoc_place *high)
{
    low->size += high->size;
    low->after = high->after;
    if (low->after != NULL) {
        low->after->before = low;
    }
    descriptor_put(s, high);
}

void suballoc_put(struct suballoc *s, struct suballoc_place *place)
{
    struct suballoc_place *p = place;
    if (p->after != NULL && p->after->is_free) {
        list_take(s, p->after);
        join(s, p, p->after);
    }
    if (p->before != NULL && p->before->is_free) {
        struct suballoc_place *low = p->before;
        list_take(s, low);
        join(s, low, p);
        p = low;
    }
    list_add(s, p);
}

uint64_t suballoc_address(const struct suballoc_place *place)
{
    return place->address;
}

uint64_t suballoc_size(const struct suballoc_place *place)
{
    return place->size;
}
