// SPDX-License-Identifier: Apache-2.0
// Holoscan's recordings, as files: pread and writev, nothing mapped (a file that is cut while it is mapped kills its reader).
#include "graph/ops/entity_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define INDEX_EXTENSION ".gxf_index"
#define ENTITIES_EXTENSION ".gxf_entities"

struct data_file {
    char *path;
    int fd;
    uint64_t size;
};

static char *make_path(const char *directory, const char *basename, const char *extension)
{
    struct str path = STR_INIT;
    bool joined = directory[0] == '\0' || directory[strlen(directory) - 1] == '/';
    str_printf(&path, "%s%s%s%s", directory, joined ? "" : "/", basename, extension);
    char *text = str_take(&path);
    str_fini(&path);
    return text;
}

static void close_file(struct data_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
    }
    mem_free(file->path);
}

static struct nrd_status *open_file(const char *directory, const char *basename,
                                    const char *extension, int flags, struct data_file *file)
{
    file->path = make_path(directory, basename, extension);
    if (file->path == NULL) {
        return status_no_memory();
    }
    file->fd = open(file->path, flags | O_CLOEXEC, 0644);
    struct stat st;
    if (file->fd < 0 || fstat(file->fd, &st) != 0) {
        return status_new(errno == ENOENT ? NRD_NOT_FOUND : NRD_UNAVAILABLE, "cannot open '%s': %s",
                          file->path, strerror(errno));
    }
    file->size = (uint64_t)st.st_size;
    return NULL;
}

// ---- reading ---------------------------------------------------------------------------------------------------------

struct entity_reader {
    struct data_file index, entities;
    uint8_t *scratch; // a body that is not row-major
    size_t scratch_size;
};

struct nrd_status *entity_reader_open(const char *directory, const char *basename,
                                      struct entity_reader **reader)
{
    struct entity_reader *r = mem_calloc(1, sizeof(*r));
    if (r == NULL) {
        return status_no_memory();
    }
    r->index.fd = r->entities.fd = -1;
    struct nrd_status *status =
        open_file(directory, basename, INDEX_EXTENSION, O_RDONLY, &r->index);
    if (status == NULL) {
        status = open_file(directory, basename, ENTITIES_EXTENSION, O_RDONLY, &r->entities);
    }
    if (status != NULL) {
        entity_reader_close(r);
        return status;
    }
    *reader = r;
    return NULL;
}

void entity_reader_close(struct entity_reader *r)
{
    if (r != NULL) {
        close_file(&r->index);
        close_file(&r->entities);
        mem_free(r->scratch);
        mem_free(r);
    }
}

uint64_t entity_reader_count(const struct entity_reader *r)
{
    return r->index.size / ENTITY_INDEX_SIZE;
}

uint64_t entity_reader_rest(const struct entity_reader *r)
{
    return r->index.size % ENTITY_INDEX_SIZE;
}

static bool read_at(int fd, uint64_t offset, void *to, size_t size)
{
    uint8_t *p = to;
    while (size > 0) {
        ssize_t got = pread(fd, p, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        p += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return true;
}

struct span {
    int fd;
    uint64_t start;
};

static bool read_span(void *arg, uint64_t offset, void *to, size_t size)
{
    const struct span *span = arg;
    return read_at(span->fd, span->start + offset, to, size);
}

struct nrd_status *entity_reader_head(struct entity_reader *r, uint64_t frame,
                                      struct entity_index *index, struct entity *entity)
{
    uint8_t record[ENTITY_INDEX_SIZE];
    if (frame >= entity_reader_count(r) ||
        !read_at(r->index.fd, frame * ENTITY_INDEX_SIZE, record, sizeof(record))) {
        return status_new(NRD_INVALID_ARG, "'%s': frame %llu cannot be read", r->index.path,
                          (unsigned long long)frame);
    }
    *index = entity_index_get(record);
    if (index->data_offset > r->entities.size ||
        index->data_size > r->entities.size - index->data_offset) {
        return status_new(
            NRD_INVALID_ARG,
            "'%s': frame %llu is said to take %llu bytes from byte %llu, and the file has %llu",
            r->entities.path, (unsigned long long)frame, (unsigned long long)index->data_size,
            (unsigned long long)index->data_offset, (unsigned long long)r->entities.size);
    }
    struct span span = {r->entities.fd, index->data_offset};
    return status_wrap(entity_parse(read_span, &span, index->data_size, entity),
                       "'%s': frame %llu at byte %llu: ", r->entities.path,
                       (unsigned long long)frame, (unsigned long long)index->data_offset);
}

static bool need_scratch(struct entity_reader *r, size_t size)
{
    if (size > r->scratch_size) {
        mem_free(r->scratch);
        r->scratch = mem_alloc(size);
        r->scratch_size = r->scratch == NULL ? 0 : size;
    }
    return r->scratch != NULL;
}

struct nrd_status *entity_reader_body(struct entity_reader *r, uint64_t frame,
                                      const struct entity_index *index,
                                      const struct entity_tensor *tensor, void *to)
{
    void *body = to;
    if (!tensor->row_major) {
        if (!need_scratch(r, tensor->body_size)) {
            return status_no_memory();
        }
        body = r->scratch;
    }
    uint64_t at = index->data_offset + tensor->body_offset;
    if (!read_at(r->entities.fd, at, body, tensor->body_size)) {
        return status_new(
            NRD_INVALID_ARG,
            "'%s': frame %llu: the %llu bytes of tensor '%s' at byte %llu cannot be read",
            r->entities.path, (unsigned long long)frame, (unsigned long long)tensor->body_size,
            tensor->name, (unsigned long long)at);
    }
    if (!tensor->row_major) {
        entity_reorder(tensor, body, to);
    }
    return NULL;
}

// ---- writing ---------------------------------------------------------------------------------------------------------

struct entity_writer {
    struct data_file index, entities;
    uint64_t frames;
    uint8_t heads[ENTITY_TENSORS_MAX][ENTITY_TENSOR_HEAD_MAX];
};

struct nrd_status *entity_writer_create(const char *directory, const char *basename,
                                        struct entity_writer **writer)
{
    if (directory[0] != '\0') {
        NRD_TRY(file_make_dirs(directory));
    }
    struct entity_writer *w = mem_calloc(1, sizeof(*w));
    if (w == NULL) {
        return status_no_memory();
    }
    const int flags = O_WRONLY | O_CREAT | O_TRUNC;
    w->index.fd = w->entities.fd = -1;
    struct nrd_status *status = open_file(directory, basename, INDEX_EXTENSION, flags, &w->index);
    if (status == NULL) {
        status = open_file(directory, basename, ENTITIES_EXTENSION, flags, &w->entities);
    }
    if (status != NULL) {
        close_file(&w->index);
        close_file(&w->entities);
        mem_free(w);
        return status;
    }
    *writer = w;
    return NULL;
}

// Writes all parts; false with errno set when the system took less.
static bool write_parts(int fd, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t done = writev(fd, parts, count);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return false;
        }
        size_t left = (size_t)done;
        while (count > 0 && left >= parts->iov_len) {
            left -= parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return true;
}

// Cuts both files back to the frames that are whole.
static struct nrd_status *fail_write(struct entity_writer *w, const struct data_file *file)
{
    int error = errno;
    struct nrd_status *status = status_new(
        NRD_UNAVAILABLE, "cannot write frame %llu to '%s' at byte %llu: %s",
        (unsigned long long)w->frames, file->path, (unsigned long long)file->size, strerror(error));
    if (ftruncate(w->entities.fd, (off_t)w->entities.size) == 0) {
        lseek(w->entities.fd, (off_t)w->entities.size, SEEK_SET);
    }
    if (ftruncate(w->index.fd, (off_t)w->index.size) == 0) {
        lseek(w->index.fd, (off_t)w->index.size, SEEK_SET);
    }
    return status;
}

struct nrd_status *entity_writer_add(struct entity_writer *w, const struct entity_part *parts,
                                     size_t count, uint64_t log_time, int64_t acquired_ns,
                                     bool sync)
{
    uint8_t header[ENTITY_HEADER_SIZE], stamp[ENTITY_TIMESTAMP_HEAD_MAX];
    struct iovec io[2 + 2 * ENTITY_TENSORS_MAX];
    int ios = 0;
    bool stamped = acquired_ns >= 0;
    if (count > ENTITY_TENSORS_MAX) {
        return status_new(NRD_UNSUPPORTED, "a frame of %zu tensors: '%s' takes at most %d", count,
                          w->entities.path, ENTITY_TENSORS_MAX);
    }
    entity_header_put(w->frames, count + (stamped ? 1 : 0), header);
    io[ios++] = (struct iovec){header, sizeof(header)};
    for (size_t i = 0; i < count; i++) {
        const struct nrd_tensor *tensor = parts[i].tensor;
        size_t size = 0;
        if (tensor->memory == NRD_MEMORY_GPU) {
            return status_new(
                NRD_UNSUPPORTED,
                "tensor '%s' is in the memory of GPU %d: copy it to the host before it is recorded",
                parts[i].name, tensor->device);
        }
        NRD_TRY(entity_tensor_put(parts[i].name, tensor, w->heads[i], &size));
        io[ios++] = (struct iovec){w->heads[i], size};
        io[ios++] = (struct iovec){tensor->data, tensor->byte_size};
    }
    if (stamped) {
        io[ios++] = (struct iovec){stamp, entity_timestamp_put(acquired_ns, stamp)};
    }
    struct entity_index index = {log_time, 0, w->entities.size};
    for (int i = 0; i < ios; i++) {
        index.data_size += io[i].iov_len;
    }
    if (!write_parts(w->entities.fd, io, ios) || (sync && fdatasync(w->entities.fd) != 0)) {
        return fail_write(w, &w->entities);
    }
    uint8_t record[ENTITY_INDEX_SIZE];
    entity_index_put(&index, record);
    struct iovec one = {record, sizeof(record)};
    if (!write_parts(w->index.fd, &one, 1) || (sync && fdatasync(w->index.fd) != 0)) {
        return fail_write(w, &w->index);
    }
    w->entities.size += index.data_size;
    w->index.size += sizeof(record);
    w->frames++;
    return NULL;
}

uint64_t entity_writer_count(const struct entity_writer *w)
{
    return w->frames;
}

struct nrd_status *entity_writer_close(struct entity_writer *w)
{
    if (w == NULL) {
        return NULL;
    }
    struct nrd_status *status = NULL;
    struct data_file *files[] = {&w->entities, &w->index};
    for (size_t i = 0; i < 2; i++) {
        // Some file systems report a failed write only here.
        if (close(files[i]->fd) != 0 && errno != EINTR && status == NULL) {
            status = status_new(NRD_UNAVAILABLE, "cannot close '%s': %s", files[i]->path,
                                strerror(errno));
        }
        files[i]->fd = -1;
        close_file(files[i]);
    }
    mem_free(w);
    return status;
}
