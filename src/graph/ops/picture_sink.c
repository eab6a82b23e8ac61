// SPDX-License-Identifier: Apache-2.0
// PictureSinkOp: writes each frame it receives as a JPEG or PNG file.
//
// A file appears whole: it is written beside its name and then renamed to it. Names come from a pattern: %d or %06d is the number of the
// frame, {file} the name of the file that the frame came from (metadata of PictureSourceOp) without folder and ending.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "graph/ops/ops.h"
#include "image/decode.h"
#include "image/encode.h"

struct picture_sink {
    const char *directory, *pattern, *in_tensor_name;
    int format;
    int64_t quality, level;

    uint64_t count;
    struct str name, temporary, bytes; // kept from frame to frame
};

enum { FORMAT_AUTO, FORMAT_PNG, FORMAT_JPEG };
static const char *const formats[] = {
    [FORMAT_AUTO] = "auto", [FORMAT_PNG] = "png", [FORMAT_JPEG] = "jpeg", NULL};

#define FIELD(name) offsetof(struct picture_sink, name)
static const struct nrd_param params[] = {
    {.name = "directory",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(directory),
     .fallback = ".",
     .help = "Folder of the pictures; made when it is not there."},
    {.name = "pattern",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(pattern),
     .fallback = "frame-%06d.png",
     .help = "Name of a file: %d or %06d is the frame's number from 0, {file} the name of the file "
             "it came from."},
    {.name = "format",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(format),
     .fallback = "auto",
     .choices = formats,
     .help = "auto: by the pattern's ending."},
    {.name = "in_tensor_name",
     .type = NRD_PARAM_STRING,
     .offset = FIELD(in_tensor_name),
     .fallback = "\"\"",
     .help = "The tensor that is written; empty: the only one."},
    {.name = "quality",
     .type = NRD_PARAM_INT,
     .offset = FIELD(quality),
     .fallback = "90",
     .min = 1,
     .max = 100,
     .help = "Of a JPEG."},
    {.name = "compression",
     .type = NRD_PARAM_INT,
     .offset = FIELD(level),
     .fallback = "3",
     .min = 0,
     .max = 9,
     .help = "Of a PNG: 0 is fastest, 9 smallest."},
    {.name = NULL},
};

static const struct nrd_port inputs[] = {
    {.name = "input",
     .type = "tensors",
     .policy = NRD_QUEUE_FAULT,
     .help = "UINT8 [height, width, channels] (1, 3 or 4; a JPEG leaves the fourth out), or "
             "[height, width]."},
    {.name = NULL},
};

// "%d", "%0Nd" with N of one digit: its length and N; 0: something else.
static size_t number_field(const char *text, int *digits)
{
    *digits = 1;
    if (strncmp(text, "%d", 2) == 0) {
        return 2;
    }
    if (strncmp(text, "%0", 2) == 0 && text[2] >= '1' && text[2] <= '9' && text[3] == 'd') {
        *digits = text[2] - '0';
        return 4;
    }
    return 0;
}

static struct nrd_status *check_pattern(const struct picture_sink *s)
{
    int digits;
    if (s->pattern[0] == '\0' || strchr(s->pattern, '/') != NULL) {
        return status_new(NRD_INVALID_ARG, "pattern '%s' is not the name of a file", s->pattern);
    }
    for (const char *p = s->pattern; *p != '\0'; p++) {
        if (*p == '%' && number_field(p, &digits) == 0) {
            return status_new(NRD_INVALID_ARG,
                              "pattern '%s': after %% only d, or 0N and d, is known", s->pattern);
        }
    }
    return NULL;
}

static struct nrd_status *setup(struct nrd_operator *op, void *self)
{
    (void)op;
    struct picture_sink *s = self;
    const char *dot = strrchr(s->pattern, '.');
    NRD_TRY(check_pattern(s));
    if (s->format == FORMAT_AUTO) {
        bool png = dot != NULL && strcasecmp(dot, ".png") == 0;
        bool jpeg = dot != NULL && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
        if (!png && !jpeg) {
            return status_new(NRD_INVALID_ARG,
                              "pattern '%s' ends with none of .png, .jpg, .jpeg: say the format",
                              s->pattern);
        }
        s->format = png ? FORMAT_PNG : FORMAT_JPEG;
    }
    return NULL;
}

static struct nrd_status *start(struct nrd_operator *op, void *self)
{
    (void)op;
    struct picture_sink *s = self;
    s->count = 0;
    return file_make_dirs(s->directory);
}

// What the frame's file was called, without folder and ending; "" when nobody said. It is a name here, whatever it was there.
static struct slice source_name(struct nrd_compute *ctx)
{
    const char *file = nrd_value_text(nrd_value_get(nrd_metadata(ctx), "file"));
    const char *base = path_base(file);
    const char *dot = strrchr(base, '.');
    return slice_make(base, dot == NULL || dot == base ? strlen(base) : (size_t)(dot - base));
}

static struct nrd_status *make_name(struct nrd_compute *ctx, struct picture_sink *s)
{
    int digits;
    str_clear(&s->name);
    str_printf(&s->name, "%s/", s->directory);
    for (const char *p = s->pattern; *p != '\0'; p++) {
        size_t length = *p == '%' ? number_field(p, &digits) : 0;
        if (length > 0) {
            str_printf(&s->name, "%0*llu", digits, (unsigned long long)s->count);
            p += length - 1;
        } else if (strncmp(p, "{file}", 6) == 0) {
            str_append_slice(&s->name, source_name(ctx));
            p += 5;
        } else {
            str_append_char(&s->name, *p);
        }
    }
    str_clear(&s->temporary);
    str_printf(&s->temporary, "%s.part", str_cstr(&s->name));
    NRD_TRY(str_status(&s->name));
    return str_status(&s->temporary);
}

static struct nrd_status *check_frame(const struct nrd_tensor *t, struct image *image)
{
    int64_t channels = t->rank == 2 ? 1 : t->dims[2];
    if (t->memory == NRD_MEMORY_GPU) {
        return status_new(
            NRD_UNSUPPORTED,
            "frames are in the memory of GPU %d: copy them to the host before they are written",
            t->device);
    }
    if (t->dtype != NRD_DTYPE_U8 || t->rank < 2 || t->rank > 3 || t->dims[0] < 1 ||
        t->dims[1] < 1 || t->dims[0] > IMAGE_SIDE_MAX || t->dims[1] > IMAGE_SIDE_MAX ||
        channels < 1 || channels > 4) {
        return status_new(NRD_INVALID_ARG,
                          "a picture is UINT8 [height, width, 1, 3 or 4], not %s of rank %u",
                          nrd_dtype_name(t->dtype), t->rank);
    }
    *image = image_of(t->data, (uint32_t)t->dims[1], (uint32_t)t->dims[0], (uint32_t)channels,
                      NRD_DTYPE_U8);
    return NULL;
}

static struct nrd_status *write_picture(struct picture_sink *s, const struct nrd_message *message)
{
    struct nrd_tensor *tensor = NULL;
    struct image image;
    NRD_TRY(nrd_message_find_tensor(message, s->in_tensor_name, &tensor));
    NRD_TRY(check_frame(tensor, &image));
    str_clear(&s->bytes);
    struct nrd_status *status = s->format == FORMAT_PNG
                                    ? image_write_png(&image, (int)s->level, &s->bytes)
                                    : image_write_jpeg(&image, (int)s->quality, &s->bytes);
    if (status != NULL) {
        return status_wrap(status, "'%s': ", str_cstr(&s->name));
    }
    status = file_write(str_cstr(&s->temporary), str_slice(&s->bytes));
    if (status == NULL && rename(str_cstr(&s->temporary), str_cstr(&s->name)) != 0) {
        status = status_new(NRD_UNAVAILABLE, "cannot write '%s': %s", str_cstr(&s->name),
                            strerror(errno));
    }
    if (status != NULL) {
        unlink(str_cstr(&s->temporary));
    }
    return status;
}

static struct nrd_status *compute(struct nrd_compute *ctx, void *self)
{
    struct picture_sink *s = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message == NULL) {
        return NULL;
    }
    struct nrd_status *status = make_name(ctx, s);
    if (status == NULL) {
        status = write_picture(s, message);
    }
    nrd_message_unref(message);
    s->count += status == NULL;
    return status;
}

static void destroy(struct nrd_operator *op, void *self)
{
    (void)op;
    struct picture_sink *s = self;
    str_fini(&s->name);
    str_fini(&s->temporary);
    str_fini(&s->bytes);
}

const struct nrd_operator_class picture_sink_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "PictureSinkOp",
    .summary = "Writes each frame as a JPEG or PNG file.",
    .state_size = sizeof(struct picture_sink),
    .params = params,
    .inputs = inputs,
    .setup = setup,
    .start = start,
    .compute = compute,
    .destroy = destroy,
};
