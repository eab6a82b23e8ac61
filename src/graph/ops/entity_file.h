// SPDX-License-Identifier: Apache-2.0
// Holoscan's recordings, as files: BASE.gxf_index and BASE.gxf_entities, read at any frame and written frame by frame.
//
// The reader looks at nothing but the heads and reads each tensor's elements straight to where they are wanted. The writer gives each
// frame to the system in one call and then its index record, so that whatever ends the program, the index never names what is
// not there; a frame that could not be written whole is cut off again. All of it blocks on the file system. Thread: owner.
#ifndef NEREID_GRAPH_OPS_ENTITY_FILE_H
#define NEREID_GRAPH_OPS_ENTITY_FILE_H

#include "graph/ops/entity_codec.h"

struct entity_reader;

// Opens DIRECTORY/BASENAME.gxf_index and .gxf_entities. NRD_NOT_FOUND with the path and the system's reason. Returns owned.
NRD_MUST_USE struct nrd_status *entity_reader_open(const char *directory, const char *basename,
                                                   struct entity_reader **reader);
void entity_reader_close(struct entity_reader *r); // NULL is fine
uint64_t entity_reader_count(const struct entity_reader *r);
// Bytes after the last whole record of the index: 0 unless it was cut.
uint64_t entity_reader_rest(const struct entity_reader *r);
// Reads where frame `frame` is and the heads of what it holds. Errors name the file, the frame and the byte of the file or entity; the
// next frames can still be read. Allocates nothing.
NRD_MUST_USE struct nrd_status *entity_reader_head(struct entity_reader *r, uint64_t frame,
                                                   struct entity_index *index,
                                                   struct entity *entity);
// The elements of one of its tensors, row-major: `to` has room for tensor->body_size bytes.
NRD_MUST_USE struct nrd_status *entity_reader_body(struct entity_reader *r, uint64_t frame,
                                                   const struct entity_index *index,
                                                   const struct entity_tensor *tensor, void *to);

struct entity_writer;

// Makes the directory and both files, or empties them. Returns owned.
NRD_MUST_USE struct nrd_status *entity_writer_create(const char *directory, const char *basename,
                                                     struct entity_writer **writer);
struct entity_part {
    const char *name;
    const struct nrd_tensor *tensor; // in the host's memory
};
// Adds a frame of at most ENTITY_TENSORS_MAX tensors, logged at `log_time` (nanoseconds since the epoch); `acquired_ns` -1: none. With `sync` it
// is on the disk when this returns. An error names the file and the byte; the files then end with the frame before. Allocates nothing.
NRD_MUST_USE struct nrd_status *entity_writer_add(struct entity_writer *w,
                                                  const struct entity_part *parts, size_t count,
                                                  uint64_t log_time, int64_t acquired_ns,
                                                  bool sync);
uint64_t entity_writer_count(const struct entity_writer *w);
// Closes and frees; the first error of either file. NULL is fine.
NRD_MUST_USE struct nrd_status *entity_writer_close(struct entity_writer *w);

#endif
