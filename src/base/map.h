// SPDX-License-Identifier: Apache-2.0
// Map: text keys to pointers, open addressing, insertion order kept for walks. Keys are copied.
// Thread: owner.
#ifndef NEREID_BASE_MAP_H
#define NEREID_BASE_MAP_H

#include "base/slice.h"
#include "base/status.h"

struct map_entry {
    char *key; // terminated; NULL in a removed entry
    size_t key_len;
    uint64_t hash;
    void *value;
};
struct map {
    struct map_entry *entries; // insertion order; removed ones have key NULL
    uint32_t *slots;           // index + 1 into entries; 0 is empty
    size_t entry_count;        // used places in entries, removed ones too
    size_t entry_cap;
    size_t slot_count; // power of two
    size_t live;       // number of keys
};

void map_init(struct map *m);
void map_fini(struct map *m);                         // values are the caller's
void *map_get(const struct map *m, struct slice key); // NULL when absent
bool map_has(const struct map *m, struct slice key);
// Adds or replaces. `old` (may be NULL) gets the replaced value, or NULL.
NRD_MUST_USE struct nrd_status *map_put(struct map *m, struct slice key, void *value, void **old);
void *map_remove(struct map *m, struct slice key); // its value, or NULL
// Walks in insertion order: `*at` starts at 0; false at the end. Removing the entry just walked is fine.
bool map_next(const struct map *m, size_t *at, struct map_entry **entry);

#endif
