// SPDX-License-Identifier: Apache-2.0
// Values: making, reading, copying and freeing trees. A map keeps its entries in a list, in the order of the file; one with many
// keys gets an index beside it, so that a large map costs no quadratic time. Start at value_add().
#include "graph/value.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"

enum { INDEX_FROM = 16 }; // entries from which on a map has an index

// ---- the file's name ------------------------------------------------------------------------------------------------

struct value_file {
    _Atomic size_t references;
    char *name;
};

struct value_file *value_file_create(const char *name)
{
    struct value_file *file = mem_calloc(1, sizeof(*file));
    if (file == NULL) {
        return NULL;
    }
    file->name = mem_strdup(name);
    if (file->name == NULL) {
        mem_free(file);
        return NULL;
    }
    atomic_init(&file->references, 1);
    return file;
}

struct value_file *value_file_ref(struct value_file *file)
{
    if (file != NULL) {
        atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
    }
    return file;
}

void value_file_unref(struct value_file *file)
{
    if (file != NULL &&
        atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) == 1) {
        mem_free(file->name);
        mem_free(file);
    }
}

// ---- making ---------------------------------------------------------------------------------------------------------

static struct nrd_value *make(enum nrd_value_kind kind, const char *text)
{
    struct nrd_value *value = mem_calloc(1, sizeof(*value));
    if (value == NULL) {
        return NULL;
    }
    value->kind = kind;
    value->nodes = 1;
    if (text != NULL) {
        value->text = mem_strdup(text);
        if (value->text == NULL) {
            mem_free(value);
            return NULL;
        }
    }
    return value;
}

struct nrd_value *nrd_value_null(void)
{
    return make(NRD_VALUE_NULL, "null");
}

struct nrd_value *nrd_value_bool(bool truth)
{
    struct nrd_value *value = make(NRD_VALUE_BOOL, truth ? "true" : "false");
    if (value != NULL) {
        value->truth = truth;
    }
    return value;
}

struct nrd_value *nrd_value_int(int64_t integer)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)integer);
    struct nrd_value *value = make(NRD_VALUE_INT, text);
    if (value != NULL) {
        value->integer = integer;
    }
    return value;
}

struct nrd_value *nrd_value_real(double real)
{
    struct str text = STR_INIT;
    str_append_f64(&text, real);
    struct nrd_value *value = text.failed ? NULL : make(NRD_VALUE_REAL, str_cstr(&text));
    if (value != NULL) {
        value->real = real;
    }
    str_fini(&text);
    return value;
}

struct nrd_value *nrd_value_string(const char *text)
{
    return make(NRD_VALUE_STRING, text);
}

struct nrd_value *nrd_value_list(void)
{
    return make(NRD_VALUE_LIST, NULL);
}

struct nrd_value *nrd_value_map(void)
{
    return make(NRD_VALUE_MAP, NULL);
}

static bool is_container(const struct nrd_value *value)
{
    return value != NULL && (value->kind == NRD_VALUE_LIST || value->kind == NRD_VALUE_MAP);
}

struct nrd_value *value_share(struct nrd_value *value)
{
    if (value != NULL) {
        atomic_fetch_add_explicit(&value->others, 1, memory_order_relaxed);
    }
    return value;
}

bool value_is_shared(const struct nrd_value *value)
{
    return atomic_load_explicit(&value->others, memory_order_acquire) != 0;
}

void nrd_value_free(struct nrd_value *value)
{
    if (value == NULL) {
        return;
    }
    // Alone is alone: nobody else can share what only this owner has.
    if (value_is_shared(value) &&
        atomic_fetch_sub_explicit(&value->others, 1, memory_order_acq_rel) != 0) {
        return;
    }
    if (is_container(value)) {
        for (size_t i = 0; i < value->count; i++) {
            mem_free(value->entries[i].key);
            nrd_value_free(value->entries[i].value);
        }
        mem_free(value->entries);
        if (value->index != NULL) {
            map_fini(value->index);
            mem_free(value->index);
        }
    }
    value_file_unref(value->file);
    mem_free(value->text);
    mem_free(value);
}

// ---- adding ---------------------------------------------------------------------------------------------------------

// The place of a key, or `count`.
static size_t find(const struct nrd_value *map, const char *key)
{
    if (map->index != NULL) {
        size_t found = (size_t)(uintptr_t)map_get(map->index, slice_of(key));
        return found == 0 ? map->count : found - 1;
    }
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->entries[i].key, key) == 0) {
            return i;
        }
    }
    return map->count;
}

static struct nrd_status *index_entry(struct nrd_value *map, size_t i)
{
    return map_put(map->index, slice_of(map->entries[i].key), (void *)(uintptr_t)(i + 1), NULL);
}

// Makes the index of a map that has grown to INDEX_FROM entries. On failure the map stays without one.
static struct nrd_status *make_index(struct nrd_value *map)
{
    map->index = mem_calloc(1, sizeof(*map->index));
    if (map->index == NULL) {
        return status_no_memory();
    }
    map_init(map->index);
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < map->count && status == NULL; i++) {
        status = index_entry(map, i);
    }
    if (status != NULL) {
        map_fini(map->index);
        mem_free(map->index);
        map->index = NULL;
    }
    return status;
}

static struct nrd_status *push(struct nrd_value *to, const char *key,
                               struct value_position position, struct nrd_value *item)
{
    if (to->count == to->cap) {
        size_t cap = to->cap == 0 ? 4 : to->cap * 2;
        struct value_entry *entries = mem_realloc(to->entries, cap * sizeof(*entries));
        if (entries == NULL) {
            return status_no_memory();
        }
        to->entries = entries;
        to->cap = cap;
    }
    char *copy = key == NULL ? NULL : mem_strdup(key);
    if (key != NULL && copy == NULL) {
        return status_no_memory();
    }
    to->entries[to->count] = (struct value_entry){copy, position, item};
    to->count++;
    struct nrd_status *status = NULL;
    if (key != NULL && to->index != NULL) {
        status = index_entry(to, to->count - 1);
    } else if (key != NULL && to->count == INDEX_FROM) {
        status = make_index(to);
    }
    if (status != NULL) {
        to->count--;
        mem_free(copy);
    }
    return status;
}

struct nrd_status *value_add(struct nrd_value *to, const char *key, struct value_position position,
                             struct nrd_value *item)
{
    struct nrd_status *status = NULL;
    if (item == NULL) {
        return status_no_memory();
    }
    if (to == NULL || to->kind != (key == NULL ? NRD_VALUE_LIST : NRD_VALUE_MAP)) {
        status = status_new(NRD_INVALID_ARG, "the value is no %s", key == NULL ? "list" : "map");
    } else {
        size_t at = key == NULL ? to->count : find(to, key);
        if (at < to->count) {
            to->nodes -= to->entries[at].value->nodes;
            nrd_value_free(to->entries[at].value);
            to->entries[at].value = item;
            to->entries[at].position = position;
        } else {
            status = push(to, key, position, item);
        }
    }
    if (status != NULL) {
        nrd_value_free(item);
    } else {
        to->nodes += item->nodes;
    }
    return status;
}

struct nrd_status *nrd_value_append(struct nrd_value *to, struct nrd_value *item)
{
    return value_add(to, NULL, (struct value_position){0, 0}, item);
}

struct nrd_status *nrd_value_set(struct nrd_value *to, const char *key, struct nrd_value *item)
{
    return value_add(to, key == NULL ? "" : key, (struct value_position){0, 0}, item);
}

struct nrd_value *nrd_value_copy(const struct nrd_value *value)
{
    if (value == NULL) {
        return NULL;
    }
    struct nrd_value *copy = make(value->kind, value->text);
    if (copy == NULL) {
        return NULL;
    }
    copy->position = value->position;
    copy->file = value_file_ref(value->file);
    if (!is_container(value)) {
        if (value->kind == NRD_VALUE_BOOL) {
            copy->truth = value->truth;
        } else if (value->kind == NRD_VALUE_INT) {
            copy->integer = value->integer;
        } else if (value->kind == NRD_VALUE_REAL) {
            copy->real = value->real;
        }
        return copy;
    }
    for (size_t i = 0; i < value->count; i++) {
        const struct value_entry *entry = &value->entries[i];
        struct nrd_status *status =
            value_add(copy, entry->key, entry->position, nrd_value_copy(entry->value));
        if (status != NULL) {
            status_free(status);
            nrd_value_free(copy);
            return NULL;
        }
    }
    return copy;
}

struct nrd_value *value_copy_shallow(const struct nrd_value *value)
{
    struct nrd_value *copy = make(value->kind, NULL);
    if (copy == NULL) {
        return NULL;
    }
    copy->position = value->position;
    copy->file = value_file_ref(value->file);
    for (size_t i = 0; i < value->count; i++) {
        const struct value_entry *entry = &value->entries[i];
        struct nrd_status *status =
            value_add(copy, entry->key, entry->position, value_share(entry->value));
        if (status != NULL) {
            status_free(status);
            nrd_value_free(copy);
            return NULL;
        }
    }
    return copy;
}

// ---- reading --------------------------------------------------------------------------------------------------------

enum nrd_value_kind nrd_value_kind(const struct nrd_value *value)
{
    return value == NULL ? NRD_VALUE_NULL : value->kind;
}

const char *nrd_value_text(const struct nrd_value *value)
{
    return value == NULL || value->text == NULL ? "" : value->text;
}

bool nrd_value_get_bool(const struct nrd_value *value, bool *out)
{
    if (nrd_value_kind(value) != NRD_VALUE_BOOL) {
        return false;
    }
    *out = value->truth;
    return true;
}

bool nrd_value_get_int(const struct nrd_value *value, int64_t *out)
{
    if (nrd_value_kind(value) != NRD_VALUE_INT) {
        return false;
    }
    *out = value->integer;
    return true;
}

bool nrd_value_get_real(const struct nrd_value *value, double *out)
{
    if (nrd_value_kind(value) == NRD_VALUE_INT) {
        *out = (double)value->integer;
        return true;
    }
    if (nrd_value_kind(value) != NRD_VALUE_REAL) {
        return false;
    }
    *out = value->real;
    return true;
}

size_t nrd_value_count(const struct nrd_value *value)
{
    return is_container(value) ? value->count : 0;
}

const struct nrd_value *nrd_value_at(const struct nrd_value *value, size_t index)
{
    return index < nrd_value_count(value) ? value->entries[index].value : NULL;
}

const char *nrd_value_key(const struct nrd_value *map, size_t index)
{
    return index < nrd_value_count(map) ? map->entries[index].key : NULL;
}

const struct nrd_value *nrd_value_get(const struct nrd_value *map, const char *key)
{
    if (nrd_value_kind(map) != NRD_VALUE_MAP) {
        return NULL;
    }
    return nrd_value_at(map, find(map, key));
}

const char *nrd_value_file(const struct nrd_value *value)
{
    return value == NULL || value->file == NULL ? "" : value->file->name;
}

int nrd_value_line(const struct nrd_value *value)
{
    return value == NULL ? 0 : value->position.line;
}

int nrd_value_column(const struct nrd_value *value)
{
    return value == NULL ? 0 : value->position.column;
}

// ---- errors ---------------------------------------------------------------------------------------------------------

struct value_position value_key_position(const struct nrd_value *map, size_t index)
{
    return index < nrd_value_count(map) ? map->entries[index].position
                                        : (struct value_position){0, 0};
}

static struct nrd_status *place(struct nrd_status *status, const struct nrd_value *at,
                                struct value_position position)
{
    if (position.line == 0) {
        return status;
    }
    return status_wrap(status, "%s:%d:%d: ", nrd_value_file(at), position.line, position.column);
}

struct nrd_status *value_error(enum nrd_code code, const struct nrd_value *at, const char *format,
                               ...)
{
    va_list args;
    va_start(args, format);
    struct nrd_status *status = status_newv(code, format, args);
    va_end(args);
    return at == NULL ? status : place(status, at, at->position);
}

struct nrd_status *value_key_error(enum nrd_code code, const struct nrd_value *map, size_t index,
                                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct nrd_status *status = status_newv(code, format, args);
    va_end(args);
    return place(status, nrd_value_at(map, index), value_key_position(map, index));
}
