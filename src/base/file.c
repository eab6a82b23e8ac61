// SPDX-License-Identifier: Apache-2.0
// Files: plain POSIX calls with texts that name the path. The stat text is Triton's.
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

struct nrd_status *file_stat(const char *path, struct file_info *info)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return status_new(NRD_INTERNAL, "failed to stat file %s", path);
    }
    *info = (struct file_info){
        .is_dir = S_ISDIR(st.st_mode),
        .size = (uint64_t)st.st_size,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
    return NULL;
}

bool file_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static struct nrd_status *fail(const char *what, const char *path)
{
    int error = errno;
    return status_new(NRD_INTERNAL, "failed to %s %s: %s", what, path, strerror(error));
}

// Appends up to `max` bytes (0: all) and one more, so that too large a file shows.
static struct nrd_status *read_all(int fd, const char *path, size_t guess, size_t max,
                                   struct str *out)
{
    size_t start = out->len;
    for (;;) {
        size_t want = guess > 4096 ? guess : 4096;
        char *to = str_reserve(out, want);
        if (to == NULL) {
            return status_no_memory();
        }
        ssize_t got = read(fd, to, want);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail("read file", path);
        }
        out->len += (size_t)got;
        to[got] = '\0';
        if (max != 0 && out->len - start > max) {
            return status_new(NRD_INVALID_ARG, "file %s is larger than %zu bytes", path, max);
        }
        if (got == 0) {
            return NULL;
        }
        guess = guess > (size_t)got ? guess - (size_t)got : 0;
    }
}

struct nrd_status *file_read(const char *path, size_t max, struct str *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail("open file", path);
    }
    struct stat st;
    // One byte more than the size, so that the usual file needs one read and one that finds its end.
    size_t guess = fstat(fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size + 1 : 0;
    size_t before = out->len;
    struct nrd_status *status = read_all(fd, path, guess, max, out);
    close(fd);
    if (status != NULL) {
        str_truncate(out, before);
    }
    return status;
}

struct nrd_status *file_write(const char *path, struct slice bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return fail("open file", path);
    }
    struct nrd_status *status = NULL;
    while (bytes.len > 0 && status == NULL) {
        ssize_t wrote = write(fd, bytes.ptr, bytes.len);
        if (wrote >= 0) {
            bytes.ptr += wrote;
            bytes.len -= (size_t)wrote;
        } else if (errno != EINTR) {
            status = fail("write file", path);
        }
    }
    if (close(fd) != 0 && status == NULL) {
        status = fail("write file", path);
    }
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list_add(struct file_list *list, size_t *cap, const char *name)
{
    if (list->count == *cap) {
        size_t more = *cap == 0 ? 16 : *cap * 2;
        char **names = mem_realloc(list->names, more * sizeof(*names));
        if (names == NULL) {
            return false;
        }
        list->names = names;
        *cap = more;
    }
    char *copy = mem_strdup(name);
    if (copy == NULL) {
        return false;
    }
    list->names[list->count++] = copy;
    return true;
}

struct nrd_status *file_list(const char *path, struct file_list *list)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return fail("open directory", path);
    }
    struct file_list found = {0};
    size_t cap = 0;
    struct nrd_status *status = NULL;
    const struct dirent *entry;
    while (status == NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !list_add(&found, &cap, entry->d_name)) {
            status = status_no_memory();
        }
    }
    closedir(dir);
    if (status != NULL) {
        file_list_fini(&found);
        return status;
    }
    if (found.count > 1) {
        qsort(found.names, found.count, sizeof(*found.names), compare_names);
    }
    *list = found;
    return NULL;
}

void file_list_fini(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        mem_free(list->names[i]);
    }
    mem_free(list->names);
    *list = (struct file_list){0};
}

char *path_join(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    while (a_len > 1 && a[a_len - 1] == '/') {
        a_len--;
    }
    bool rooted = a_len == 1 && a[0] == '/';
    while (a_len != 0 && b[0] == '/') {
        b++;
    }
    size_t b_len = strlen(b);
    if (a_len == 0 || b_len == 0) {
        return a_len == 0 ? mem_strndup(b, b_len) : mem_strndup(a, a_len);
    }
    char *path = mem_alloc(a_len + b_len + 2);
    if (path != NULL) {
        memcpy(path, a, a_len);
        if (!rooted) {
            path[a_len++] = '/';
        }
        memcpy(path + a_len, b, b_len + 1);
    }
    return path;
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

struct nrd_status *file_make_dirs(const char *path)
{
    char *copy = mem_strdup(path);
    if (copy == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = NULL;
    for (char *at = copy; status == NULL && *at != '\0';) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char cut = *at;
        *at = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST) {
            status = fail("make directory", copy);
        }
        *at = cut;
    }
    if (status == NULL && path[0] != '\0' && !file_is_dir(path)) {
        status = status_new(NRD_INTERNAL, "failed to make directory %s: it is a file", path);
    }
    mem_free(copy);
    return status;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

struct nrd_status *file_remove_tree(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return fail("remove", path);
    }
    return NULL;
}
