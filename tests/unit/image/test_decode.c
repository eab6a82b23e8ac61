// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include "image/decode.h"
#include "image/encode.h"

static void assert_fails(struct nrd_status *status, enum nrd_code code, const char *part)
{
    assert_int_equal(status_code(status), code);
    if (strstr(status_text(status), part) == NULL) {
        fail_msg("'%s' does not have '%s'", status_text(status), part);
    }
    status_free(status);
}

// ---- PNGs of the kinds that our encoder does not write; RGBA as Pillow reads them ----

static const uint8_t palette_2_bits[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x02, 0x02, 0x03, 0x00, 0x00, 0x00, 0xe0, 0x1a, 0x8e,
    0x89, 0x00, 0x00, 0x00, 0x0c, 0x50, 0x4c, 0x54, 0x45, 0x0a, 0x14, 0x1e, 0xc8, 0x64, 0x32, 0x00,
    0xff, 0x00, 0xff, 0xff, 0xff, 0x5a, 0x0e, 0x83, 0x11, 0x00, 0x00, 0x00, 0x0c, 0x49, 0x44, 0x41,
    0x54, 0x78, 0xda, 0x63, 0x90, 0x60, 0x38, 0x02, 0x00, 0x01, 0x10, 0x00, 0xdd, 0x2f, 0x18, 0xdc,
    0x8e, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
static const uint8_t palette_2_bits_rgba[] = {10, 20,  30, 255, 200, 100, 50,  255,
                                              0,  255, 0,  255, 255, 255, 255, 255,
                                              10, 20,  30, 255, 200, 100, 50,  255};
static const uint8_t palette_with_alpha[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x03, 0x00, 0x00, 0x00, 0xc3, 0xfc, 0x8f,
    0xb8, 0x00, 0x00, 0x00, 0x0c, 0x50, 0x4c, 0x54, 0x45, 0x0a, 0x14, 0x1e, 0xc8, 0x64, 0x32, 0x00,
    0xff, 0x00, 0xff, 0xff, 0xff, 0x5a, 0x0e, 0x83, 0x11, 0x00, 0x00, 0x00, 0x02, 0x74, 0x52, 0x4e,
    0x53, 0xff, 0x80, 0x08, 0x0f, 0xb3, 0x6a, 0x00, 0x00, 0x00, 0x0b, 0x49, 0x44, 0x41, 0x54, 0x78,
    0xda, 0x63, 0x60, 0x64, 0x02, 0x00, 0x00, 0x07, 0x00, 0x04, 0xe5, 0xed, 0x94, 0xcf, 0x00, 0x00,
    0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
static const uint8_t palette_with_alpha_rgba[] = {200, 100, 50, 128, 0, 255, 0, 255};
static const uint8_t gray_1_bit[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
    0x44, 0x52, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x24, 0xb9, 0xb9, 0xd0, 0x00, 0x00, 0x00, 0x0b, 0x49, 0x44, 0x41, 0x54, 0x78,
    0xda, 0x63, 0xd8, 0xd4, 0x00, 0x00, 0x01, 0xe7, 0x01, 0x33, 0x3d, 0xbb, 0x94, 0xfd,
    0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
static const uint8_t gray_1_bit_rgba[] = {255, 255, 255, 255, 0, 0, 0, 255, 255, 255, 255, 255,
                                          255, 255, 255, 255, 0, 0, 0, 255, 0,   0,   0,   255,
                                          255, 255, 255, 255, 0, 0, 0, 255, 255, 255, 255, 255};
static const uint8_t gray_16_bits[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44,
    0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x10, 0x00, 0x00, 0x00, 0x00, 0x07,
    0x4d, 0x8e, 0xbb, 0x00, 0x00, 0x00, 0x12, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x10,
    0x32, 0xf9, 0xff, 0x9f, 0x81, 0x81, 0xa1, 0xa1, 0x01, 0x00, 0x10, 0xbf, 0x03, 0x45, 0xa9,
    0x87, 0x99, 0xde, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
static const uint8_t gray_16_bits_rgba[] = {18, 18, 18, 255, 255, 255, 255, 255,
                                            0,  0,  0,  255, 128, 128, 128, 255};
static const uint8_t gray_alpha[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
    0x44, 0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x04, 0x00, 0x00,
    0x00, 0x5e, 0x2b, 0xb7, 0x01, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
    0xda, 0x63, 0xf0, 0xfd, 0x9f, 0xcc, 0x03, 0x00, 0x05, 0x08, 0x01, 0xbc, 0x33, 0xc0,
    0x2a, 0x93, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
static const uint8_t gray_alpha_rgba[] = {77, 77, 77, 255, 99, 99, 99, 12};
static const uint8_t interlaced[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44,
    0x52, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x04, 0x08, 0x02, 0x00, 0x00, 0x01, 0x51,
    0x94, 0x39, 0xbf, 0x00, 0x00, 0x00, 0x30, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x0d, 0xc4,
    0x49, 0x01, 0x00, 0x20, 0x10, 0x03, 0xb1, 0xd9, 0x03, 0xde, 0x95, 0x50, 0x09, 0xf5, 0xaf,
    0x0e, 0xf2, 0x08, 0x7c, 0xa6, 0x7f, 0x6d, 0x2f, 0xa2, 0xc2, 0x20, 0x4f, 0x7c, 0x40, 0x25,
    0xb5, 0x35, 0xd1, 0x42, 0x46, 0x59, 0xe7, 0x24, 0xf7, 0x01, 0x44, 0xdd, 0x03, 0x31, 0x51,
    0x2a, 0x51, 0x84, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
static const uint8_t interlaced_rgba[] = {
    0,  0,  0, 255, 16, 0,  1, 255, 32, 0,  2, 255, 48, 0,  3, 255, 0,  16, 1, 255, 16, 16, 2, 255,
    32, 16, 3, 255, 48, 16, 4, 255, 0,  32, 2, 255, 16, 32, 3, 255, 32, 32, 4, 255, 48, 32, 5, 255,
    0,  48, 3, 255, 16, 48, 4, 255, 32, 48, 5, 255, 48, 48, 6, 255};

static void kinds_of_png_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const uint8_t *png;
        size_t size;
        const uint8_t *rgba;
        uint32_t width, height, channels;
    } cases[] = {
        {"palette_2_bits", palette_2_bits, sizeof(palette_2_bits), palette_2_bits_rgba, 3, 2, 3},
        {"palette_with_alpha", palette_with_alpha, sizeof(palette_with_alpha),
         palette_with_alpha_rgba, 2, 1, 4},
        {"gray_1_bit", gray_1_bit, sizeof(gray_1_bit), gray_1_bit_rgba, 9, 1, 1},
        {"gray_16_bits", gray_16_bits, sizeof(gray_16_bits), gray_16_bits_rgba, 2, 2, 1},
        {"gray_alpha", gray_alpha, sizeof(gray_alpha), gray_alpha_rgba, 2, 1, 4},
        {"interlaced", interlaced, sizeof(interlaced), interlaced_rgba, 4, 4, 3},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct image_head head;
        assert_null(image_inspect(cases[i].png, cases[i].size, &head));
        assert_int_equal(head.width, cases[i].width);
        assert_int_equal(head.height, cases[i].height);
        assert_int_equal(head.channels, cases[i].channels);
        struct unit_picture to = unit_picture(head.width, head.height, 4, NRD_DTYPE_U8, 3);
        assert_null(image_read(cases[i].png, cases[i].size, &to.view));
        for (uint32_t y = 0; y < head.height; y++) {
            if (memcmp(image_row(&to.view, y), cases[i].rgba + 4 * y * head.width,
                       4 * head.width) != 0) {
                fail_msg("%s: row %u", cases[i].name, y);
            }
        }
        unit_check_and_free(&to);
    }
}

static void pngs_we_write_are_read_exactly(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {1, 3, 4};
    uint32_t seed = 5;
    for (size_t i = 0; i < 3; i++) {
        struct unit_picture from = unit_picture(17, 9, kinds[i], NRD_DTYPE_U8, 0);
        struct unit_picture to = unit_picture(17, 9, kinds[i], NRD_DTYPE_U8, 1);
        struct str png = STR_INIT;
        struct image_head head;
        unit_fill(&from, &seed);
        assert_null(image_write_png(&from.view, 6, &png));
        assert_null(image_inspect(png.ptr, png.len, &head));
        assert_int_equal(head.channels, kinds[i]);
        assert_null(image_read(png.ptr, png.len, &to.view));
        for (uint32_t y = 0; y < 9; y++) {
            assert_memory_equal(image_row(&to.view, y), image_row(&from.view, y), 17 * kinds[i]);
        }
        str_fini(&png);
        unit_check_and_free(&from);
        unit_check_and_free(&to);
    }
}

// A JPEG of a flat colour, whose pixels survive.
static void make_jpeg(uint32_t channels, const uint8_t *color, struct str *jpeg)
{
    struct unit_picture from = unit_picture(33, 20, channels, NRD_DTYPE_U8, 0);
    for (uint32_t i = 0; i < 33 * 20 * channels; i++) {
        ((uint8_t *)from.view.data)[i] = color[i % channels];
    }
    assert_null(image_write_jpeg(&from.view, 95, jpeg));
    unit_check_and_free(&from);
}

static void jpegs_are_read_in_the_channels_asked_for(void **state)
{
    (void)state;
    static const uint8_t color[] = {200, 60, 30};
    struct str jpeg = STR_INIT;
    struct image_head head;
    make_jpeg(3, color, &jpeg);
    assert_null(image_inspect(jpeg.ptr, jpeg.len, &head));
    assert_int_equal(head.width, 33);
    assert_int_equal(head.height, 20);
    assert_int_equal(head.channels, 3);
    static const uint8_t want[][4] = {[1] = {98}, [3] = {200, 60, 30}, [4] = {200, 60, 30, 255}};
    for (uint32_t channels = 1; channels <= 4; channels += channels == 1 ? 2 : 1) {
        struct unit_picture to = unit_picture(33, 20, channels, NRD_DTYPE_U8, 2);
        assert_null(image_read(jpeg.ptr, jpeg.len, &to.view));
        for (uint32_t c = 0; c < channels; c++) {
            int got = ((uint8_t *)image_row(&to.view, 19))[32 * channels + c];
            assert_in_range(got, want[channels][c] > 2 ? want[channels][c] - 2 : 0,
                            want[channels][c] + 2);
        }
        unit_check_and_free(&to);
    }
    str_fini(&jpeg);
}

static void damage_is_an_error(void **state)
{
    (void)state;
    static const uint8_t color[] = {10, 200, 90};
    struct str jpeg = STR_INIT, png = STR_INIT;
    struct unit_picture to = unit_picture(33, 20, 3, NRD_DTYPE_U8, 0);
    struct image_head head;
    make_jpeg(3, color, &jpeg);
    assert_null(image_write_png(&to.view, 6, &png));
    assert_fails(image_read(jpeg.ptr, jpeg.len - 20, &to.view), NRD_INVALID_ARG, "a damaged JPEG");
    assert_fails(image_read(png.ptr, png.len - 20, &to.view), NRD_INVALID_ARG,
                 "a damaged PNG: the data ends early");
    png.ptr[50] ^= 1; // within the pixels: the sum no longer agrees
    assert_fails(image_read(png.ptr, png.len, &to.view), NRD_INVALID_ARG, "a damaged PNG: ");
    assert_fails(image_inspect("BM123", 5, &head), NRD_INVALID_ARG,
                 "5 bytes that are neither JPEG nor PNG");
    assert_fails(image_inspect(jpeg.ptr, 20, &head), NRD_INVALID_ARG, "a damaged JPEG");
    to.view.width--; // not what the head says
    assert_fails(image_read(jpeg.ptr, jpeg.len, &to.view), NRD_INVALID_ARG, "33x20");
    to.view.width++;
    unit_check_and_free(&to);
    str_fini(&jpeg);
    str_fini(&png);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_of_png_are_read),
        cmocka_unit_test(pngs_we_write_are_read_exactly),
        cmocka_unit_test(jpegs_are_read_in_the_channels_asked_for),
        cmocka_unit_test(damage_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
