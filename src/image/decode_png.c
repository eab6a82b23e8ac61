// SPDX-License-Identifier: Apache-2.0
// Decode: PNG by libpng. Its errors come by a longjmp; what is jumped over lies in one struct, which the caller of setjmp destroys.
// Colours are taken as they are: no gamma, no profile.
#include <png.h>

#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include "image/decode_private.h"

struct reading {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    char text[200];
    const uint8_t *bytes;
    size_t left;
};

static void fail_exit(png_structp png, png_const_charp text)
{
    struct reading *c = png_get_error_ptr(png);
    strncpy(c->text, text, sizeof(c->text) - 1);
    longjmp(c->jump, 1);
}

static void ignore_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep to, size_t size)
{
    struct reading *c = png_get_io_ptr(png);
    if (size > c->left) {
        png_error(png, "the data ends early");
    }
    memcpy(to, c->bytes, size);
    c->bytes += size;
    c->left -= size;
}

static struct nrd_status *fail(struct reading *c)
{
    png_destroy_read_struct(&c->png, &c->info, NULL);
    return status_new(NRD_INVALID_ARG, "a damaged PNG: %s", c->text);
}

static struct nrd_status *begin_reading(struct reading *c, const void *bytes, size_t size)
{
    c->bytes = bytes;
    c->left = size;
    c->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, c, fail_exit, ignore_warning);
    c->info = c->png == NULL ? NULL : png_create_info_struct(c->png);
    if (c->info == NULL) {
        png_destroy_read_struct(&c->png, NULL, NULL);
        return status_no_memory();
    }
    return NULL;
}

static void read_head(struct reading *c)
{
    png_set_read_fn(c->png, c, read_bytes);
    png_set_user_limits(c->png, IMAGE_SIDE_MAX, IMAGE_SIDE_MAX);
    png_read_info(c->png, c->info);
}

struct nrd_status *png_inspect(const void *bytes, size_t size, struct image_head *head)
{
    struct reading c;
    memset(&c, 0, sizeof(c));
    NRD_TRY(begin_reading(&c, bytes, size));
    if (setjmp(c.jump) != 0) {
        return fail(&c);
    }
    read_head(&c);
    int color = png_get_color_type(c.png, c.info);
    bool alpha =
        (color & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(c.png, c.info, PNG_INFO_tRNS) != 0;
    *head =
        (struct image_head){png_get_image_width(c.png, c.info), png_get_image_height(c.png, c.info),
                            alpha                                 ? 4
                            : (color & PNG_COLOR_MASK_COLOR) == 0 ? 1
                                                                  : 3};
    png_destroy_read_struct(&c.png, &c.info, NULL);
    return NULL;
}

// Asks for 8 bits and the wanted channels, whatever the file has.
static void convert_to(struct reading *c, uint32_t channels)
{
    int color = png_get_color_type(c->png, c->info);
    bool alpha =
        (color & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(c->png, c->info, PNG_INFO_tRNS) != 0;
    png_set_expand(c->png);
    png_set_strip_16(c->png);
    if (channels == 1) {
        if ((color & PNG_COLOR_MASK_COLOR) != 0) {
            png_set_rgb_to_gray_fixed(c->png, 1, 29900, 58700); // as JPEG's Y
        }
    } else {
        png_set_gray_to_rgb(c->png);
    }
    if (channels == 4 && !alpha) {
        png_set_add_alpha(c->png, 0xff, PNG_FILLER_AFTER);
    } else if (channels != 4) {
        png_set_strip_alpha(c->png);
    }
}

static void read_pixels(struct reading *c, const struct image *to)
{
    read_head(c);
    convert_to(c, to->channels);
    int passes = png_set_interlace_handling(c->png);
    png_read_update_info(c->png, c->info);
    if (png_get_image_width(c->png, c->info) != to->width ||
        png_get_image_height(c->png, c->info) != to->height ||
        png_get_rowbytes(c->png, c->info) != (size_t)to->width * to->channels) {
        png_error(c->png, "it is of another shape than was said");
    }
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < to->height; y++) {
            png_read_row(c->png, image_row(to, y), NULL);
        }
    }
    png_read_end(c->png, NULL);
}

struct nrd_status *png_read(const void *bytes, size_t size, const struct image *to)
{
    struct reading c;
    memset(&c, 0, sizeof(c));
    NRD_TRY(begin_reading(&c, bytes, size));
    if (setjmp(c.jump) != 0) {
        return fail(&c);
    }
    read_pixels(&c, to);
    png_destroy_read_struct(&c.png, &c.info, NULL);
    return NULL;
}
