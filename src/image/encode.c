// SPDX-License-Identifier: Apache-2.0
// PNG (ISO/IEC 15948) needs no more than zlib: a signature, a header, one stream of filtered rows, an end. Each row is
// filtered by difference to the left pixel or to the row above, whichever has the smaller sum, as the standard advises.
// JPEG is libjpeg's work; its errors come by longjmp, so what must be freed lives in a struct outside of the jump.
#include "image/encode.h"

#include <stdio.h>

#include <jpeglib.h>
#include <setjmp.h>
#include <zlib.h>

#include "base/mem.h"

static struct nrd_status *check(const struct image *from, const char *what)
{
    if (from->dtype != NRD_DTYPE_U8 || from->channels == 2 || from->channels > 4 ||
        from->channels == 0 || from->width == 0 || from->height == 0 || from->width > 65500 ||
        from->height > 65500) {
        return status_new(NRD_INVALID_ARG,
                          "cannot write a picture of %ux%u with %u channels of %s as %s",
                          from->width, from->height, from->channels, dtype_name(from->dtype), what);
    }
    return NULL;
}

// ---- PNG ------------------------------------------------------------------------------------------------------------

static void put_u32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static void append_chunk(struct str *out, const char *type, const uint8_t *data, uint32_t size)
{
    uint8_t number[4];
    put_u32(number, size);
    str_append(out, number, 4);
    str_append(out, type, 4);
    str_append(out, data, size);
    uLong crc = crc32(0, (const Bytef *)type, 4);
    crc = size == 0 ? crc : crc32(crc, data, size);
    put_u32(number, (uint32_t)crc);
    str_append(out, number, 4);
}

static int distance(uint8_t v)
{
    return v < 128 ? v : 256 - v;
}

// Writes the filter's number and the filtered row to `to`; `other` is room for the second attempt.
static const uint8_t *filter_row(const uint8_t *row, const uint8_t *above, size_t size, size_t step,
                                 uint8_t *to, uint8_t *other)
{
    unsigned long left_sum = 0, up_sum = 0;
    to[0] = 1;
    for (size_t i = 0; i < size; i++) {
        to[i + 1] = (uint8_t)(row[i] - (i < step ? 0 : row[i - step]));
        left_sum += (unsigned long)distance(to[i + 1]);
    }
    if (above == NULL) {
        return to;
    }
    other[0] = 2;
    for (size_t i = 0; i < size; i++) {
        other[i + 1] = (uint8_t)(row[i] - above[i]);
        up_sum += (unsigned long)distance(other[i + 1]);
    }
    return up_sum < left_sum ? other : to;
}

// Compresses all rows into `out`, after what is there. False: no memory.
static bool deflate_rows(const struct image *from, z_stream *z, uint8_t *rows, struct str *out)
{
    size_t size = (size_t)from->width * from->channels;
    const uint8_t *above = NULL;
    for (uint32_t y = 0; y < from->height; y++) {
        const uint8_t *row = image_row(from, y);
        const uint8_t *filtered =
            filter_row(row, above, size, from->channels, rows, rows + size + 1);
        above = row;
        z->next_in = (Bytef *)(uintptr_t)filtered;
        z->avail_in = (uInt)(size + 1);
        int flush = y + 1 < from->height ? Z_NO_FLUSH : Z_FINISH;
        int result;
        do {
            char *room = str_reserve(out, 65536);
            if (room == NULL) {
                return false;
            }
            z->next_out = (Bytef *)room;
            z->avail_out = 65536;
            result = deflate(z, flush);
            out->len += 65536 - z->avail_out;
        } while (z->avail_out == 0 || (flush == Z_FINISH && result == Z_OK));
    }
    return true;
}

struct nrd_status *image_write_png(const struct image *from, int level, struct str *out)
{
    static const uint8_t color_types[5] = {0, 0, 0, 2, 6};
    NRD_TRY(check(from, "PNG"));
    z_stream z = {0};
    struct str packed = STR_INIT;
    uint8_t *rows = mem_alloc(2 * ((size_t)from->width * from->channels + 1));
    bool ok = rows != NULL && deflateInit(&z, level) == Z_OK;
    if (ok) {
        ok = deflate_rows(from, &z, rows, &packed) && packed.len <= UINT32_MAX;
        deflateEnd(&z);
    }
    if (ok) {
        uint8_t head[13] = {[8] = 8, [9] = color_types[from->channels]};
        put_u32(head, from->width);
        put_u32(head + 4, from->height);
        str_append(out, "\x89PNG\r\n\x1a\n", 8);
        append_chunk(out, "IHDR", head, sizeof(head));
        append_chunk(out, "IDAT", (const uint8_t *)packed.ptr, (uint32_t)packed.len);
        append_chunk(out, "IEND", NULL, 0);
    }
    str_fini(&packed);
    mem_free(rows);
    return ok ? str_status(out) : status_no_memory();
}

// ---- JPEG -----------------------------------------------------------------------------------------------------------

struct jpeg_job {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr destination;
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
    struct str *out;
};

#define JPEG_PIECE 32768

// Gives the encoder the next piece of the output to write to.
static void jpeg_room(j_compress_ptr jpeg)
{
    struct jpeg_job *job = jpeg->client_data;
    char *room = str_reserve(job->out, JPEG_PIECE);
    if (room == NULL) {
        longjmp(job->back, 1); // the output is marked as failed
    }
    job->destination.next_output_byte = (JOCTET *)room;
    job->destination.free_in_buffer = JPEG_PIECE;
}

static boolean jpeg_piece_full(j_compress_ptr jpeg)
{
    struct jpeg_job *job = jpeg->client_data;
    job->out->len += JPEG_PIECE;
    jpeg_room(jpeg);
    return TRUE;
}

static void jpeg_end(j_compress_ptr jpeg)
{
    struct jpeg_job *job = jpeg->client_data;
    job->out->len += JPEG_PIECE - job->destination.free_in_buffer;
}

static void jpeg_failed(j_common_ptr common)
{
    struct jpeg_job *job = common->client_data;
    common->err->format_message(common, job->text);
    longjmp(job->back, 1);
}

static void jpeg_quiet(j_common_ptr common)
{
    (void)common;
}

// The work between the jump and its target: no local of this function is looked at after a jump.
static void jpeg_run(struct jpeg_job *job, const struct image *from, int quality)
{
    struct jpeg_compress_struct *jpeg = &job->jpeg;
    jpeg_create_compress(jpeg);
    job->destination.init_destination = jpeg_room;
    job->destination.empty_output_buffer = jpeg_piece_full;
    job->destination.term_destination = jpeg_end;
    jpeg->dest = &job->destination;
    jpeg->image_width = from->width;
    jpeg->image_height = from->height;
    jpeg->input_components = (int)from->channels;
    jpeg->in_color_space = from->channels == 1   ? JCS_GRAYSCALE
                           : from->channels == 3 ? JCS_RGB
                                                 : JCS_EXT_RGBX;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, quality, TRUE);
    jpeg->dct_method = JDCT_IFAST;
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = image_row(from, jpeg->next_scanline);
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
}

struct nrd_status *image_write_jpeg(const struct image *from, int quality, struct str *out)
{
    NRD_TRY(check(from, "JPEG"));
    struct jpeg_job *job = mem_calloc(1, sizeof(*job));
    if (job == NULL) {
        return status_no_memory();
    }
    job->jpeg.err = jpeg_std_error(&job->errors);
    job->jpeg.client_data = job;
    job->out = out;
    job->errors.error_exit = jpeg_failed;
    job->errors.output_message = jpeg_quiet;
    struct nrd_status *status = NULL;
    if (setjmp(job->back) == 0) {
        jpeg_run(job, from, quality);
        status = str_status(out);
    } else if (out->failed) {
        status = status_no_memory();
    } else {
        status = status_new(NRD_INTERNAL, "cannot write a picture of %ux%u as JPEG: %s",
                            from->width, from->height, job->text);
    }
    jpeg_destroy_compress(&job->jpeg);
    mem_free(job);
    return status;
}
