// SPDX-License-Identifier: Apache-2.0
// Record: JSON form, files, keys.
#include "core/place/record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

bool record_cost(const struct place_record *record, uint32_t rows, double *serial_s, double *busy_s)
{
    if (record->point_count == 0) {
        return false;
    }
    const struct record_point *last = &record->points[record->point_count - 1];
    unsigned at = 0;
    while (at < record->point_count && record->points[at].rows < rows) {
        at++;
    }
    if (at == record->point_count) {
        double times = (double)rows / last->rows;
        *serial_s = last->serial_s * times;
        *busy_s = last->busy_s * times;
        return true;
    }
    const struct record_point *above = &record->points[at];
    const struct record_point *below = at == 0 ? above : above - 1;
    double part = above->rows == below->rows
                      ? 0
                      : ((double)rows - below->rows) / ((double)above->rows - below->rows);
    *serial_s = below->serial_s + part * (above->serial_s - below->serial_s);
    *busy_s = below->busy_s + part * (above->busy_s - below->busy_s);
    return true;
}

// ---- JSON ---------------------------------------------------------------------------------------------------------

void record_write(const struct place_record *record, const char *model, const char *gpu,
                  struct str *out)
{
    struct json_writer w;
    json_begin(&w, out);
    json_object_begin(&w);
    json_key(&w, "schema");
    json_u64(&w, RECORD_SCHEMA);
    json_key(&w, "model");
    json_cstring(&w, model);
    json_key(&w, "gpu");
    json_cstring(&w, gpu);
    json_key(&w, "instances");
    json_u64(&w, record->instances);
    json_key(&w, "memory_bytes");
    json_u64(&w, record->memory_bytes);
    json_key(&w, "load_s");
    json_f64(&w, record->load_s);
    json_key(&w, "untimed");
    json_cstring(&w, record->untimed);
    json_key(&w, "points");
    json_array_begin(&w);
    for (unsigned i = 0; i < record->point_count; i++) {
        json_object_begin(&w);
        json_key(&w, "rows");
        json_u64(&w, record->points[i].rows);
        json_key(&w, "serial_s");
        json_f64(&w, record->points[i].serial_s);
        json_key(&w, "busy_s");
        json_f64(&w, record->points[i].busy_s);
        json_object_end(&w);
    }
    json_array_end(&w);
    json_object_end(&w);
    str_append_char(out, '\n');
}

static struct nrd_status *refuse(const char *member)
{
    return status_new(NRD_INVALID_ARG, "no record of schema %d: '%s'", RECORD_SCHEMA, member);
}

static bool read_u32(const struct json_node *object, const char *key, uint32_t *value)
{
    const struct json_node *node = json_get(object, key);
    uint64_t wide = 0;
    if (node == NULL || !json_as_u64(node, &wide) || wide > UINT32_MAX) {
        return false;
    }
    *value = (uint32_t)wide;
    return true;
}

// Seconds: a number from 0 to a day.
static bool read_seconds(const struct json_node *object, const char *key, double *value)
{
    const struct json_node *node = json_get(object, key);
    return node != NULL && json_as_f64(node, value) && *value >= 0 && *value <= 86400;
}

static struct nrd_status *read_points(const struct json_node *root, struct place_record *record)
{
    const struct json_node *list = json_get(root, "points");
    if (list == NULL || list->type != JSON_ARRAY || list->count > RECORD_POINTS_MAX) {
        return refuse("points");
    }
    const struct json_node *at = json_first(list);
    for (unsigned i = 0; i < list->count; i++, at = json_next(at)) {
        struct record_point *point = &record->points[i];
        bool good = at->type == JSON_OBJECT && read_u32(at, "rows", &point->rows) &&
                    read_seconds(at, "serial_s", &point->serial_s) &&
                    read_seconds(at, "busy_s", &point->busy_s) && point->rows > 0 &&
                    (i == 0 || point->rows > record->points[i - 1].rows);
        if (!good) {
            return refuse("points");
        }
    }
    record->point_count = list->count;
    return NULL;
}

static struct nrd_status *read_root(const struct json_node *root, struct place_record *record)
{
    uint32_t schema = 0;
    if (root->type != JSON_OBJECT || !read_u32(root, "schema", &schema) ||
        schema != RECORD_SCHEMA) {
        return refuse("schema");
    }
    if (!read_u32(root, "instances", &record->instances) || record->instances == 0) {
        return refuse("instances");
    }
    const struct json_node *memory = json_get(root, "memory_bytes");
    if (memory == NULL || !json_as_u64(memory, &record->memory_bytes)) {
        return refuse("memory_bytes");
    }
    if (!read_seconds(root, "load_s", &record->load_s)) {
        return refuse("load_s");
    }
    const struct json_node *untimed = json_get(root, "untimed");
    if (untimed == NULL || untimed->type != JSON_STRING) {
        return refuse("untimed");
    }
    struct slice text = json_text(untimed);
    snprintf(record->untimed, sizeof(record->untimed), "%.*s",
             (int)(text.len < RECORD_TEXT_MAX ? text.len : RECORD_TEXT_MAX - 1), text.ptr);
    return read_points(root, record);
}

struct nrd_status *record_read(struct slice text, struct place_record *record)
{
    struct arena arena;
    arena_init(&arena, 0);
    const struct json_node *root = NULL;
    struct place_record made = {0};
    struct nrd_status *status =
        json_parse_status(&arena, text, JSON_STRICT, "placement record", &root);
    if (status == NULL) {
        status = read_root(root, &made);
    }
    arena_fini(&arena);
    if (status == NULL) {
        *record = made;
    }
    return status;
}

// ---- files --------------------------------------------------------------------------------------------------------

enum { RECORD_FILE_MAX = 64 << 10 };

// The folder; empty where there is none.
static void folder_of(struct str *path)
{
    const char *own = getenv("NEREID_CACHE_DIR");
    const char *user = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (own != NULL) {
        str_append_cstr(path, own);
    } else if (user != NULL && user[0] == '/') {
        str_printf(path, "%s/nereid", user);
    } else if (home != NULL && home[0] == '/') {
        str_printf(path, "%s/.cache/nereid", home);
    }
    if (path->len > 0) {
        str_append_cstr(path, "/placement");
    }
}

// Written beside and renamed: two servers that store the same record both leave a whole one.
static struct nrd_status *store(const char *folder, const char *key, struct slice text)
{
    struct str path = STR_INIT;
    struct str beside = STR_INIT;
    str_printf(&path, "%s/%s.json", folder, key);
    str_printf(&beside, "%s/%s.%d", folder, key, (int)getpid());
    struct nrd_status *status = path.failed || beside.failed ? status_no_memory() : NULL;
    if (status == NULL) {
        status = file_make_dirs(folder);
    }
    if (status == NULL) {
        status = file_write(str_cstr(&beside), text);
    }
    if (status == NULL && rename(str_cstr(&beside), str_cstr(&path)) != 0) {
        status = status_new(NRD_INTERNAL, "failed to rename to %s: %s", str_cstr(&path),
                            strerror(errno));
    }
    str_fini(&path);
    str_fini(&beside);
    return status;
}

void record_store(const char *key, const struct place_record *record, const char *model,
                  const char *gpu)
{
    struct str folder = STR_INIT;
    struct str text = STR_INIT;
    folder_of(&folder);
    record_write(record, model, gpu, &text);
    struct nrd_status *status = text.failed || folder.failed ? status_no_memory() : NULL;
    if (status == NULL && folder.len > 0) {
        status = store(str_cstr(&folder), key, str_slice(&text));
    }
    if (status != NULL) {
        LOG_WARN("what was measured of model '%s' is not kept: %s", model, status_text(status));
        status_free(status);
    }
    str_fini(&folder);
    str_fini(&text);
}

bool record_find(const char *key, struct place_record *record)
{
    struct str path = STR_INIT;
    struct str text = STR_INIT;
    bool found = false;
    folder_of(&path);
    if (path.len > 0) {
        str_printf(&path, "/%s.json", key);
    }
    if (path.len > 0 && !path.failed && file_exists(str_cstr(&path))) {
        struct nrd_status *status = file_read(str_cstr(&path), RECORD_FILE_MAX, &text);
        if (status == NULL) {
            status = record_read(str_slice(&text), record);
        }
        found = status == NULL;
        if (!found) {
            LOG_WARN("%s is not used: %s", str_cstr(&path), status_text(status));
            status_free(status);
        }
    }
    str_fini(&path);
    str_fini(&text);
    return found;
}

// ---- keys ---------------------------------------------------------------------------------------------------------

void record_hash_init(struct record_hash *hash)
{
    *hash = (struct record_hash){UINT64_C(0x243f6a8885a308d3), UINT64_C(0x13198a2e03707344)};
}

// Both halves take each word in by a multiplication of 128 bits folded, with constants of their own.
__extension__ typedef unsigned __int128 wide;

static uint64_t fold(uint64_t x, uint64_t y)
{
    wide product = (wide)x * y;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static void mix(struct record_hash *hash, uint64_t word)
{
    hash->a = fold(hash->a ^ word, UINT64_C(0x9e3779b97f4a7c15)) + UINT64_C(0xa4093822299f31d1);
    hash->b = fold(hash->b + word, UINT64_C(0xd6e8feb86659fd93)) ^ hash->a;
}

void record_hash_add(struct record_hash *hash, struct slice bytes)
{
    size_t at = 0;
    for (; at + 8 <= bytes.len; at += 8) {
        uint64_t word;
        memcpy(&word, bytes.ptr + at, sizeof(word));
        mix(hash, word);
    }
    uint64_t last = 0;
    if (at < bytes.len) {
        memcpy(&last, bytes.ptr + at, bytes.len - at);
    }
    mix(hash, last);
    mix(hash, bytes.len);
}

// By pieces: models can be larger than memory.
static struct nrd_status *hash_file(struct record_hash *hash, const char *path)
{
    enum { PIECE = 1 << 20 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *piece = mem_alloc(PIECE);
    struct nrd_status *status = piece == NULL ? status_no_memory() : NULL;
    if (fd < 0 && status == NULL) {
        status = status_new(NRD_INTERNAL, "failed to open %s: %s", path, strerror(errno));
    }
    ssize_t got = 1;
    while (status == NULL && got > 0) {
        size_t have = 0;
        while (have < PIECE && (got = read(fd, piece + have, PIECE - have)) > 0) {
            have += (size_t)got;
        }
        if (got < 0) {
            status = status_new(NRD_INTERNAL, "failed to read %s: %s", path, strerror(errno));
        }
        record_hash_add(hash, slice_make(piece, have));
    }
    if (fd >= 0) {
        close(fd);
    }
    mem_free(piece);
    return status;
}

static struct nrd_status *hash_tree(struct record_hash *hash, const char *directory, unsigned depth)
{
    struct file_list names = {0};
    if (depth > 32) {
        return status_new(NRD_INVALID_ARG, "directories in %s are too deep", directory);
    }
    NRD_TRY(file_list(directory, &names));
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < names.count && status == NULL; i++) {
        char *path = path_join(directory, names.names[i]);
        record_hash_add(hash, slice_of(names.names[i]));
        if (path == NULL) {
            status = status_no_memory();
        } else {
            status = file_is_dir(path) ? hash_tree(hash, path, depth + 1) : hash_file(hash, path);
        }
        mem_free(path);
    }
    file_list_fini(&names);
    return status;
}

struct nrd_status *record_hash_add_tree(struct record_hash *hash, const char *directory)
{
    return hash_tree(hash, directory, 0);
}

void record_hash_text(const struct record_hash *hash, char text[33])
{
    struct record_hash last = *hash;
    mix(&last, UINT64_C(0x452821e638d01377));
    snprintf(text, 33, "%016" PRIx64 "%016" PRIx64, last.a, last.b);
}
