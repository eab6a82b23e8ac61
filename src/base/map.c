// SPDX-License-Identifier: Apache-2.0
// Map: linear probing over indexes into an array of entries that keeps the order of insertion.
//
// A removed entry keeps its place (key NULL) so that the probe chains through its slot stay whole; the next
// growth squeezes removed entries out and fills the slots anew. Slots are at most three quarters used.
#include "base/map.h"

#include "base/mem.h"

// FNV-1a, then a multiply to spread the high bits down: names are short, and the map is not fed by strangers
// in number (a request's names go through it, its bytes do not).
static uint64_t hash_bytes(struct slice key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.len; i++) {
        h = (h ^ (unsigned char)key.ptr[i]) * 0x100000001b3u;
    }
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_fini(struct map *m)
{
    for (size_t i = 0; i < m->entry_count; i++) {
        mem_free(m->entries[i].key);
    }
    mem_free(m->entries);
    mem_free(m->slots);
    map_init(m);
}

static struct map_entry *find(const struct map *m, struct slice key, uint64_t hash)
{
    if (m->slot_count == 0) {
        return NULL;
    }
    size_t mask = m->slot_count - 1;
    for (size_t at = (size_t)hash & mask; m->slots[at] != 0; at = (at + 1) & mask) {
        struct map_entry *entry = &m->entries[m->slots[at] - 1];
        if (entry->key != NULL && entry->hash == hash && entry->key_len == key.len &&
            (key.len == 0 || memcmp(entry->key, key.ptr, key.len) == 0)) {
            return entry;
        }
    }
    return NULL;
}

void *map_get(const struct map *m, struct slice key)
{
    struct map_entry *entry = find(m, key, hash_bytes(key));
    return entry == NULL ? NULL : entry->value;
}

bool map_has(const struct map *m, struct slice key)
{
    return find(m, key, hash_bytes(key)) != NULL;
}

static void fill_slot(struct map *m, size_t index)
{
    size_t mask = m->slot_count - 1;
    size_t at = (size_t)m->entries[index].hash & mask;
    while (m->slots[at] != 0) {
        at = (at + 1) & mask;
    }
    m->slots[at] = (uint32_t)(index + 1);
}

// Drops the removed entries in place; churn at a steady size costs no allocation.
static void squeeze(struct map *m)
{
    size_t count = 0;
    for (size_t i = 0; i < m->entry_count; i++) {
        if (m->entries[i].key != NULL) {
            m->entries[count++] = m->entries[i];
        }
    }
    memset(&m->entries[count], 0, (m->entry_count - count) * sizeof(m->entries[0]));
    m->entry_count = count;
    memset(m->slots, 0, m->slot_count * sizeof(m->slots[0]));
    for (size_t i = 0; i < count; i++) {
        fill_slot(m, i);
    }
}

// Room for one entry more: squeezes removed entries out, or doubles. False: no memory, map unchanged.
static bool make_room(struct map *m)
{
    if (m->entry_count < m->entry_cap) {
        return true;
    }
    if (m->live <= m->entry_cap / 2 && m->entry_cap != 0) {
        squeeze(m);
        return true;
    }
    size_t cap = m->live * 2 < 6 ? 6 : m->live * 2;
    if (cap > UINT32_MAX / 2) {
        return false;
    }
    size_t slot_count = 8;
    while (slot_count * 3 / 4 < cap) {
        slot_count *= 2;
    }
    struct map_entry *entries = mem_calloc(cap, sizeof(*entries));
    uint32_t *slots = mem_calloc(slot_count, sizeof(*slots));
    if (entries == NULL || slots == NULL) {
        mem_free(entries);
        mem_free(slots);
        return false;
    }
    size_t count = 0;
    for (size_t i = 0; i < m->entry_count; i++) {
        if (m->entries[i].key != NULL) {
            entries[count++] = m->entries[i];
        }
    }
    mem_free(m->entries);
    mem_free(m->slots);
    m->entries = entries;
    m->entry_cap = cap;
    m->entry_count = count;
    m->slots = slots;
    m->slot_count = slot_count;
    for (size_t i = 0; i < count; i++) {
        fill_slot(m, i);
    }
    return true;
}

struct nrd_status *map_put(struct map *m, struct slice key, void *value, void **old)
{
    uint64_t hash = hash_bytes(key);
    struct map_entry *entry = find(m, key, hash);
    if (entry != NULL) {
        if (old != NULL) {
            *old = entry->value;
        }
        entry->value = value;
        return NULL;
    }
    char *copy = mem_strndup(key.ptr, key.len);
    if (copy == NULL || !make_room(m)) {
        mem_free(copy);
        return status_no_memory();
    }
    m->entries[m->entry_count] =
        (struct map_entry){.key = copy, .key_len = key.len, .hash = hash, .value = value};
    fill_slot(m, m->entry_count);
    m->entry_count++;
    m->live++;
    if (old != NULL) {
        *old = NULL;
    }
    return NULL;
}

void *map_remove(struct map *m, struct slice key)
{
    struct map_entry *entry = find(m, key, hash_bytes(key));
    if (entry == NULL) {
        return NULL;
    }
    void *value = entry->value;
    mem_free(entry->key);
    *entry = (struct map_entry){0};
    m->live--;
    return value;
}

bool map_next(const struct map *m, size_t *at, struct map_entry **entry)
{
    while (*at < m->entry_count) {
        struct map_entry *here = &m->entries[(*at)++];
        if (here->key != NULL) {
            *entry = here;
            return true;
        }
    }
    return false;
}
