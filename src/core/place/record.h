// SPDX-License-Identifier: Apache-2.0
// Record: what was measured of a model on a kind of GPU, and its file in the cache.
//
// A record is about bytes, not names: its key is a hash of the model's files and of its configuration (less where its instances go),
// of the GPU's name and of this program's version. So a model is measured once for each kind of GPU, and again when it changes. Files are
// FOLDER/placement/KEY.json with the folder of the other caches: $NEREID_CACHE_DIR, $XDG_CACHE_HOME/nereid or ~/.cache/nereid.
#ifndef NEREID_CORE_PLACE_RECORD_H
#define NEREID_CORE_PLACE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/str.h"

// Files of another number are not read.
enum { RECORD_SCHEMA = 1, RECORD_POINTS_MAX = 24, RECORD_TEXT_MAX = 256 };

// Of requests of `rows` rows each, all instances together.
struct record_point {
    uint32_t rows;
    double serial_s; // from one answer to the next, the model's own instances
    double busy_s;   // the same with so many instances that the GPU is the bound
};

struct place_record {
    uint32_t instances;                            // that it was measured with
    uint64_t memory_bytes;                         // of the GPU, theirs together
    double load_s;                                 // how long loading took
    struct record_point points[RECORD_POINTS_MAX]; // by ascending rows
    unsigned point_count;                          // 0: times are not known
    char untimed[RECORD_TEXT_MAX];                 // why not; "" if they are
};

// A request of `rows` rows, between the points in proportion; beyond the last one it grows as its rows do. False: times are not known.
bool record_cost(const struct place_record *record, uint32_t rows, double *serial_s,
                 double *busy_s);

// ---- files --------------------------------------------------------------------------------------------------------

// Appends the record as JSON, with what it is of for people to read.
void record_write(const struct place_record *record, const char *model, const char *gpu,
                  struct str *out);
// Reads it. INVALID_ARG for what is no record of this schema, naming the member. Thread: any.
NRD_MUST_USE struct nrd_status *record_read(struct slice text, struct place_record *record);

// Puts a record into the cache / takes it out; without a folder nothing is kept and nothing found. A file that cannot be read counts
// as absent, and the log says so. Blocks on files.
void record_store(const char *key, const struct place_record *record, const char *model,
                  const char *gpu);
bool record_find(const char *key, struct place_record *record);

// A hash to make keys of; not against forgers. Begin with record_hash_init().
struct record_hash {
    uint64_t a;
    uint64_t b;
};
void record_hash_init(struct record_hash *hash);
void record_hash_add(struct record_hash *hash, struct slice bytes); // with its length
// The names and the bytes of all files in `directory` and below. Blocks on files.
NRD_MUST_USE struct nrd_status *record_hash_add_tree(struct record_hash *hash,
                                                     const char *directory);
// 32 hexadecimal digits and a NUL.
void record_hash_text(const struct record_hash *hash, char text[33]);

#endif
