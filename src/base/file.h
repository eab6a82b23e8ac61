// SPDX-License-Identifier: Apache-2.0
// Files: whole reads, directory lists and paths. Blocking: never on a loop thread.
#ifndef NEREID_BASE_FILE_H
#define NEREID_BASE_FILE_H

#include <sys/types.h>

#include "base/status.h"
#include "base/str.h"

struct file_info {
    bool is_dir;
    uint64_t size;
    int64_t mtime_ns;
};
// Failures of the file system are NRD_INTERNAL, as in Triton ("failed to stat file PATH"); texts name the path.
// To ask whether a path is there, use file_exists().
NRD_MUST_USE struct nrd_status *file_stat(const char *path, struct file_info *info);
bool file_exists(const char *path);
bool file_is_dir(const char *path);
// Appends the whole file. `max` bytes at most (0: no limit), else NRD_INVALID_ARG.
NRD_MUST_USE struct nrd_status *file_read(const char *path, size_t max, struct str *out);
NRD_MUST_USE struct nrd_status *file_write(const char *path, struct slice bytes);

// Names in a directory without "." and "..", sorted by byte value. Returns owned: file_list_fini.
struct file_list {
    char **names;
    size_t count;
};
NRD_MUST_USE struct nrd_status *file_list(const char *path, struct file_list *list);
void file_list_fini(struct file_list *list);

// Joins with exactly one '/'. Returns owned (mem_free); NULL when memory is out.
char *path_join(const char *a, const char *b);
const char *path_base(const char *path); // borrowed: what follows the last '/'
NRD_MUST_USE struct nrd_status *file_make_dirs(const char *path); // mkdir -p, mode 0755
// rm -rf: links are removed, not followed; nothing there is success.
NRD_MUST_USE struct nrd_status *file_remove_tree(const char *path);

#endif
