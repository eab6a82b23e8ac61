// SPDX-License-Identifier: Apache-2.0
// PictureSourceOp: a file, the pictures of a folder or those that a glob names, in the order of their names, one a message.
//
// The list is made at start; a file is read when its turn comes. One that cannot be read or decoded ends the run with its name, or
// is left out and counted. A source that is not to repeat ends with its last file; one whose last files are damaged runs once more to
// find that out.
#include <glob.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "graph/ops/ops.h"
#include "graph/ops/pacer.h"
#include "image/decode.h"

#define FILE_BYTES_MAX ((size_t)1 << 30)

struct picture_source {
    const char *path, *out_tensor_name;
    int64_t count, max_pixels;
    bool repeat, ignore_damaged;
    double rate;
    int pixel_format;
    struct nrd_resource *allocator;

    struct pacer pacer;
    char **files;
    size_t file_count, file_capacity;
    size_t next;        // file
    uint64_t pass_sent; // in this pass over the list
    uint64_t sent, damaged;
    int64_t start_ns;
    struct str bytes; // of the file at hand; its memory is kept
};

enum { PIXELS_RGB, PIXELS_RGBA, PIXELS_GRAY, PIXELS_OWN };
static const char *const pixel_formats[] = {[PIXELS_RGB] = "rgb",
                                            [PIXELS_RGBA] = "rgba",
                                            [PIXELS_GRAY] = "gray",
                                            [PIXELS_OWN] = "own",
                                            NULL};
static const char *const allocator_kind[] = {"allocator", NULL};

#define FIELD(name) offsetof(struct picture_source, name)
static const struct nrd_param params[] = {
    {.name = "path",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(path),
     .help = "A picture, a folder (its .jpg, .jpeg and .png files), or a glob like 'in/*.png'."},
    {.name = "pixel_format",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(pixel_format),
     .fallback = "rgb",
     .choices = pixel_formats,
     .help = "Pixels that are sent: 8-bit, [height, width, channels]; own: gray, RGB or RGBA as "
             "the file has them."},
    {.name = "out_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(out_tensor_name),
     .fallback = "\"\"",
     .help = "Name of the tensor."},
    {.name = "rate",
     .type = NRD_PARAM_REAL,
     .offset = FIELD(rate),
     .fallback = "0",
     .min = 0,
     .max = 1e6,
     .unit = "pictures/s",
     .help = "Pace; 0: as soon as there is room."},
    {.name = "count",
     .type = NRD_PARAM_INT,
     .offset = FIELD(count),
     .fallback = "0",
     .min = 0,
     .max = 9007199254740992.0,
     .unit = "pictures",
     .help = "Pictures after which the source ends; 0: no limit."},
    {.name = "repeat",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(repeat),
     .fallback = "false",
     .help = "Begin again after the last picture."},
    {.name = "ignore_damaged",
     .type = NRD_PARAM_BOOL,
     .offset = FIELD(ignore_damaged),
     .fallback = "false",
     .help = "Leave files out that cannot be read (the first is logged, all are counted); false: "
             "they end the run."},
    {.name = "max_pixels",
     .type = NRD_PARAM_INT,
     .offset = FIELD(max_pixels),
     .fallback = "268435456",
     .min = 1,
     .max = 4294836225.0,
     .unit = "pixels",
     .help = "A picture whose head says more counts as damaged."},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
     .choices = allocator_kind,
     .help = "Where pictures are allocated; the fragment's default when absent."},
    {.name = NULL},
};

static const struct nrd_port outputs[] = {
    {.name = "output",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "A picture; its metadata has the file's path as 'file'."},
    {.name = NULL},
};

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    struct picture_source *s = self;
    return pacer_add(op, &s->pacer);
}

// ---- the list of files -----------------------------------------------------------------------------------------------

// Takes `path`; NULL is out of memory.
static struct nrd_status *add_file(struct picture_source *s, char *path)
{
    if (path != NULL && s->file_count == s->file_capacity) {
        size_t capacity = s->file_capacity == 0 ? 16 : 2 * s->file_capacity;
        char **files = mem_realloc(s->files, capacity * sizeof(*files));
        if (files == NULL) {
            mem_free(path);
            return status_no_memory();
        }
        s->files = files;
        s->file_capacity = capacity;
    }
    if (path == NULL) {
        return status_no_memory();
    }
    s->files[s->file_count++] = path;
    return NULL;
}

static bool is_picture_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 ||
                           strcasecmp(dot, ".png") == 0);
}

static struct nrd_status *add_folder(struct picture_source *s)
{
    struct file_list list;
    NRD_TRY(file_list(s->path, &list));
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < list.count && status == NULL; i++) {
        if (is_picture_name(list.names[i])) {
            status = add_file(s, path_join(s->path, list.names[i]));
        }
    }
    file_list_fini(&list);
    return status;
}

static struct nrd_status *add_glob(struct picture_source *s)
{
    glob_t found;
    int result = glob(s->path, 0, NULL, &found);
    if (result == GLOB_NOMATCH) {
        return NULL;
    }
    if (result != 0) {
        return status_new(NRD_UNAVAILABLE, "'%s' cannot be listed", s->path);
    }
    struct nrd_status *status = NULL;
    for (size_t i = 0; i < found.gl_pathc && status == NULL; i++) {
        status = add_file(s, mem_strdup(found.gl_pathv[i]));
    }
    globfree(&found);
    return status;
}

static void drop_files(struct picture_source *s)
{
    for (size_t i = 0; i < s->file_count; i++) {
        mem_free(s->files[i]);
    }
    mem_free(s->files);
    s->files = NULL;
    s->file_count = s->file_capacity = 0;
}

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    struct picture_source *s = self;
    drop_files(s);
    s->next = 0;
    s->sent = s->pass_sent = s->damaged = 0;
    NRD_TRY(file_is_dir(s->path)   ? add_folder(s)
            : file_exists(s->path) ? add_file(s, mem_strdup(s->path))
                                   : add_glob(s));
    if (s->file_count == 0) {
        return status_new(NRD_NOT_FOUND, "there is no picture at '%s'", s->path);
    }
    pacer_begin(&s->pacer);
    return NULL;
}

// ---- pictures --------------------------------------------------------------------------------------------------------

static struct nrd_status *read_picture(struct picture_source *s, struct nrd_operator *op,
                                       const char *file, struct nrd_tensor **tensor)
{
    static const uint32_t channels[] = {[PIXELS_RGB] = 3, [PIXELS_RGBA] = 4, [PIXELS_GRAY] = 1};
    struct image_head head;
    str_clear(&s->bytes);
    NRD_TRY(file_read(file, FILE_BYTES_MAX, &s->bytes));
    NRD_TRY(status_wrap(image_inspect(s->bytes.ptr, s->bytes.len, &head), "'%s': ", file));
    if ((uint64_t)head.width * head.height > (uint64_t)s->max_pixels) {
        return status_new(NRD_INVALID_ARG, "'%s': %ux%u pixels are more than max_pixels, %lld",
                          file, head.width, head.height, (long long)s->max_pixels);
    }
    if (s->pixel_format != PIXELS_OWN) {
        head.channels = channels[s->pixel_format];
    }
    const int64_t dims[] = {head.height, head.width, head.channels};
    NRD_TRY(nrd_allocate(op, s->allocator, NRD_DTYPE_U8, dims, 3, NRD_MEMORY_CPU, 0, tensor));
    struct image to =
        image_of((*tensor)->data, head.width, head.height, head.channels, NRD_DTYPE_U8);
    struct nrd_status *status = image_read(s->bytes.ptr, s->bytes.len, &to);
    if (status != NULL) {
        nrd_tensor_unref(*tensor);
        *tensor = NULL;
    }
    return status_wrap(status, "'%s': ", file);
}

// Whether a failure is the file's, and files are to be left out.
static bool may_skip(struct picture_source *s, struct nrd_operator *op,
                     const struct nrd_status *status)
{
    if (!s->ignore_damaged || nrd_status_code(status) == NRD_UNAVAILABLE) {
        return false;
    }
    if (s->damaged++ == 0) {
        nrd_operator_log(op, NRD_LOG_WARNING, "left out: %s", nrd_status_text(status));
    }
    return true;
}

static bool at_end(const struct picture_source *s)
{
    return (s->count > 0 && s->sent == (uint64_t)s->count) ||
           (s->next == s->file_count && (!s->repeat || s->pass_sent == 0));
}

// The next picture that can be read; NULL in `*tensor` when there is none.
static struct nrd_status *next_picture(struct picture_source *s, struct nrd_operator *op,
                                       struct nrd_tensor **tensor, const char **file)
{
    while (!at_end(s)) {
        if (s->next == s->file_count) {
            s->next = 0;
            s->pass_sent = 0;
        }
        *file = s->files[s->next++];
        struct nrd_status *status = read_picture(s, op, *file, tensor);
        if (status == NULL || !may_skip(s, op, status)) {
            return status;
        }
        nrd_status_free(status);
    }
    if (s->sent == 0) {
        return status_new(NRD_INVALID_ARG, "no picture at '%s' can be read", s->path);
    }
    return NULL;
}

static struct nrd_status *send_picture(struct nrd_compute *ctx, struct picture_source *s,
                                       struct nrd_tensor *tensor, const char *file)
{
    struct nrd_message *message = nrd_message_new(ctx);
    struct nrd_status *status = message == NULL
                                    ? status_no_memory()
                                    : nrd_message_add_tensor(message, s->out_tensor_name, tensor);
    if (status != NULL) {
        nrd_tensor_unref(tensor);
        nrd_message_unref(message);
        return status;
    }
    status = nrd_metadata_set(ctx, "file", nrd_value_string(file));
    if (status != NULL) {
        nrd_message_unref(message);
        return status;
    }
    nrd_message_set_acquired(message, nrd_compute_now(ctx));
    enum nrd_code code = nrd_emit(ctx, 0, message);
    if (code != NRD_OK) {
        return nrd_compute_fail(ctx, code, "a picture could not be sent");
    }
    s->sent++;
    s->pass_sent++;
    return NULL;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct picture_source *s = self;
    struct nrd_tensor *tensor = NULL;
    const char *file = NULL;
    if (s->sent == 0) {
        s->start_ns = nrd_compute_now(ctx);
    }
    NRD_TRY(next_picture(s, nrd_compute_operator(ctx), &tensor, &file));
    if (tensor != NULL) {
        NRD_TRY(send_picture(ctx, s, tensor, file));
    }
    if (at_end(s)) {
        pacer_end(&s->pacer);
    } else if (s->rate > 0) {
        pacer_due(&s->pacer, pacer_time(s->start_ns, s->sent, s->rate));
    }
    return NULL;
}

static struct nrd_status *stop(struct nrd_operator *op, void *self)
{
    struct picture_source *s = self;
    if (s->damaged > 0) {
        nrd_operator_log(op, NRD_LOG_WARNING, "%llu damaged pictures were left out, %llu were sent",
                         (unsigned long long)s->damaged, (unsigned long long)s->sent);
    }
    pacer_reset(&s->pacer);
    return NULL;
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    struct picture_source *s = self;
    drop_files(s);
    str_fini(&s->bytes);
}

const struct nrd_operator_class picture_source_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "PictureSourceOp",
    .summary = "Sends the pictures (JPEG, PNG) of a file, a folder or a glob.",
    .state_size = sizeof(struct picture_source),
    .params = params,
    .outputs = outputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .stop = stop,
    .destroy = destroy,
};
