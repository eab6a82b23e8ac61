// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <zlib.h>

#include "image/encode.h"

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// Reads a PNG back by the standard's own words: chunks with their sums, inflate, filters 1 and 2.
static void check_png(const struct image *from, int level)
{
    struct str out = STR_INIT;
    assert_null(image_write_png(from, level, &out));
    const uint8_t *p = (const uint8_t *)out.ptr;
    assert_memory_equal(p, "\x89PNG\r\n\x1a\n", 8);
    static const char *const types[3] = {"IHDR", "IDAT", "IEND"};
    size_t at = 8, row = (size_t)from->width * from->channels;
    uLongf size = (uLongf)((row + 1) * from->height);
    uint8_t *rows = mem_calloc(1, size);
    for (int i = 0; i < 3; i++) {
        uint32_t length = get_u32(p + at);
        assert_memory_equal(p + at + 4, types[i], 4);
        assert_int_equal(get_u32(p + at + 8 + length), crc32(0, p + at + 4, length + 4));
        if (i == 0) {
            assert_int_equal(get_u32(p + at + 8), from->width);
            assert_int_equal(get_u32(p + at + 12), from->height);
        } else if (i == 1) {
            assert_int_equal(uncompress(rows, &size, p + at + 8, length), Z_OK);
        }
        at += 12 + length;
    }
    assert_int_equal(at, out.len);
    assert_int_equal(size, (row + 1) * from->height);
    for (uint32_t y = 0; y < from->height; y++) {
        uint8_t *line = rows + y * (row + 1);
        for (size_t i = 0; i < row; i++) {
            uint8_t left = i < from->channels ? 0 : line[1 + i - from->channels];
            uint8_t up = y == 0 ? 0 : line[i + 1 - (row + 1)];
            line[i + 1] = (uint8_t)(line[i + 1] + (line[0] == 1 ? left : up));
        }
        assert_memory_equal(line + 1, image_row(from, y), row);
    }
    mem_free(rows);
    str_fini(&out);
}

static void png_reads_back_the_same(void **state)
{
    (void)state;
    static const uint32_t kinds[3] = {1, 3, 4};
    uint32_t seed = 6;
    for (uint32_t k = 0; k < 9; k++) {
        struct unit_picture from =
            unit_picture(k % 2 == 0 ? 1 : 300, 97, kinds[k % 3], NRD_DTYPE_U8, 3);
        unit_fill(&from, &seed);
        for (uint32_t y = 0; k < 6 && y < 97; y++) { // a smooth part, so that both filters are used
            memset(image_row(&from.view, y), (int)y, from.view.width);
        }
        check_png(&from.view, (int)(k % 3) * 4);
        unit_check_and_free(&from);
    }
}

static void jpeg_reads_back_nearly_the_same(void **state)
{
    (void)state;
    for (uint32_t channels = 1; channels <= 4; channels++) {
        if (channels == 2) {
            continue;
        }
        struct unit_picture from = unit_picture(333, 111, channels, NRD_DTYPE_U8, 1);
        for (uint32_t y = 0; y < 111; y++) {
            for (uint32_t i = 0; i < 333 * channels; i++) {
                ((uint8_t *)image_row(&from.view, y))[i] =
                    (uint8_t)((i / channels + y * 2) / 3 + 20);
            }
        }
        struct str out = STR_INIT;
        assert_null(image_write_jpeg(&from.view, 90, &out));
        struct jpeg_decompress_struct jpeg;
        struct jpeg_error_mgr errors;
        jpeg.err = jpeg_std_error(&errors);
        jpeg_create_decompress(&jpeg);
        jpeg_mem_src(&jpeg, (const unsigned char *)out.ptr, out.len);
        assert_int_equal(jpeg_read_header(&jpeg, TRUE), JPEG_HEADER_OK);
        jpeg.out_color_space = JCS_GRAYSCALE;
        assert_true(jpeg_start_decompress(&jpeg));
        assert_int_equal(jpeg.output_width, 333);
        assert_int_equal(jpeg.output_height, 111);
        uint8_t line[333];
        for (uint32_t y = 0; y < 111; y++) {
            JSAMPROW row = line;
            assert_int_equal(jpeg_read_scanlines(&jpeg, &row, 1), 1);
            for (uint32_t x = 0; x < 333; x++) {
                assert_true(
                    abs(line[x] - ((const uint8_t *)image_row(&from.view, y))[x * channels]) < 8);
            }
        }
        assert_true(jpeg_finish_decompress(&jpeg));
        jpeg_destroy_decompress(&jpeg);
        str_fini(&out);
        unit_check_and_free(&from);
    }
}

static void encoders_refuse_by_name(void **state)
{
    (void)state;
    uint8_t data[64] = {0};
    struct image bad[4] = {
        image_of(data, 2, 2, 2, NRD_DTYPE_U8), image_of(data, 0, 2, 3, NRD_DTYPE_U8),
        image_of(data, 2, 2, 3, NRD_DTYPE_F32), image_of(data, 70000, 1, 1, NRD_DTYPE_U8)};
    struct str out = STR_INIT;
    for (int i = 0; i < 4; i++) {
        struct nrd_status *status = image_write_png(&bad[i], 1, &out);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        status_free(status);
        status = image_write_jpeg(&bad[i], 80, &out);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        assert_non_null(strstr(status_text(status), "JPEG"));
        status_free(status);
    }
    assert_int_equal(out.len, 0);
}

static void encoders_survive_running_out_of_memory(void **state)
{
    (void)state;
    struct unit_picture from = unit_picture(200, 150, 3, NRD_DTYPE_U8, 0);
    uint32_t seed = 8;
    unit_fill(&from, &seed);
    for (int kind = 0; kind < 2; kind++) {
        bool done = false;
        for (uint64_t n = 1; !done; n++) {
            struct str out = STR_INIT;
            mem_fail_after(n);
            struct nrd_status *status = kind == 0 ? image_write_png(&from.view, 1, &out)
                                                  : image_write_jpeg(&from.view, 80, &out);
            mem_fail_after(0);
            done = status == NULL;
            assert_true(done || status_code(status) == NRD_UNAVAILABLE);
            status_free(status);
            str_fini(&out);
            assert_true(n < 100);
        }
    }
    unit_check_and_free(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_reads_back_the_same),
        cmocka_unit_test(jpeg_reads_back_nearly_the_same),
        cmocka_unit_test(encoders_refuse_by_name),
        cmocka_unit_test(encoders_survive_running_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
