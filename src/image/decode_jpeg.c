// SPDX-License-Identifier: Apache-2.0
// Decode: JPEG by libjpeg-turbo. The library reports errors by a longjmp out of its error_exit; what is jumped over lies in one struct,
// which the caller of setjmp destroys. It goes on after damage and warns; here such a warning is an error.
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h> // jpeglib.h wants FILE
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "image/decode_private.h"

struct failure {
    struct jpeg_error_mgr base;
    jmp_buf jump;
    char text[JMSG_LENGTH_MAX];
};

static void fail_exit(j_common_ptr info)
{
    struct failure *f = (struct failure *)info->err;
    info->err->format_message(info, f->text);
    longjmp(f->jump, 1);
}

static void note_message(j_common_ptr info, int level)
{
    int code = info->err->msg_code;
    bool harmless = code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM ||
                    code == JWRN_JFIF_MAJOR || code == JWRN_BOGUS_ICC;
    if (level < 0 && !harmless) {
        fail_exit(info);
    }
}

static struct jpeg_error_mgr *fail_init(struct failure *f)
{
    jpeg_std_error(&f->base);
    f->base.error_exit = fail_exit;
    f->base.emit_message = note_message;
    f->text[0] = '\0';
    return &f->base;
}

static struct nrd_status *fail(const struct failure *f)
{
    return status_new(NRD_INVALID_ARG, "a damaged JPEG: %s", f->text);
}

struct reading {
    struct jpeg_decompress_struct info;
    struct failure failure;
};

static void begin(struct reading *r, const void *bytes, size_t size)
{
    jpeg_create_decompress(&r->info);
    jpeg_mem_src(&r->info, bytes, (unsigned long)size);
    jpeg_read_header(&r->info, TRUE);
}

struct nrd_status *jpeg_inspect(const void *bytes, size_t size, struct image_head *head)
{
    struct reading r;
    memset(&r, 0, sizeof(r));
    r.info.err = fail_init(&r.failure);
    if (setjmp(r.failure.jump) != 0) {
        jpeg_destroy_decompress(&r.info);
        return fail(&r.failure);
    }
    begin(&r, bytes, size);
    *head = (struct image_head){r.info.image_width, r.info.image_height,
                                r.info.num_components == 1 ? 1 : 3};
    jpeg_destroy_decompress(&r.info);
    return NULL;
}

// CMYK as Adobe writes it (inverted) to RGB or RGBA.
static void from_cmyk(const uint8_t *row, uint32_t width, uint32_t channels, uint8_t *to)
{
    for (uint32_t x = 0; x < width; x++, row += 4, to += channels) {
        uint32_t black = row[3];
        for (int c = 0; c < 3; c++) {
            to[c] = (uint8_t)((row[c] * black + 127) / 255);
        }
        if (channels == 4) {
            to[3] = 255;
        }
    }
}

static struct nrd_status *read_rows(struct reading *r, const struct image *to)
{
    struct jpeg_decompress_struct *info = &r->info;
    bool cmyk = info->num_components == 4;
    info->out_color_space = cmyk                ? JCS_CMYK
                            : to->channels == 1 ? JCS_GRAYSCALE
                            : to->channels == 4 ? JCS_EXT_RGBA
                                                : JCS_RGB;
    jpeg_start_decompress(info);
    if (info->output_width != to->width || info->output_height != to->height) {
        return status_new(NRD_INVALID_ARG, "a JPEG of %ux%u, and %ux%u was said",
                          info->output_width, info->output_height, to->width, to->height);
    }
    JSAMPARRAY scratch = NULL;
    if (cmyk) {
        scratch = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, 4 * to->width, 1);
    }
    while (info->output_scanline < info->output_height) {
        uint8_t *row = image_row(to, info->output_scanline);
        if (jpeg_read_scanlines(info, cmyk ? scratch : &row, 1) != 1) {
            return status_new(NRD_INVALID_ARG, "a JPEG that ends at row %u of %u",
                              info->output_scanline, info->output_height);
        }
        if (cmyk) {
            from_cmyk(scratch[0], to->width, to->channels, row);
        }
    }
    jpeg_finish_decompress(info);
    return NULL;
}

struct nrd_status *jpeg_read(const void *bytes, size_t size, const struct image *to)
{
    struct reading r;
    memset(&r, 0, sizeof(r));
    r.info.err = fail_init(&r.failure);
    if (setjmp(r.failure.jump) != 0) {
        jpeg_destroy_decompress(&r.info);
        return fail(&r.failure);
    }
    begin(&r, bytes, size);
    struct nrd_status *status = NULL;
    if (r.info.num_components == 4 && to->channels == 1) {
        status = status_new(NRD_UNSUPPORTED, "a CMYK JPEG is not read as gray");
    } else {
        status = read_rows(&r, to);
    }
    jpeg_destroy_decompress(&r.info);
    return status;
}
