// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include <math.h>

#include "image/blend.h"

static void check_pixel(const uint8_t *got, const uint8_t *below, const uint8_t *over, double a)
{
    for (int c = 0; c < 4; c++) {
        double expected = a * (c == 3 ? 255.0 : over[c]) + (1.0 - a) * below[c];
        assert_true(fabs(got[c] - expected) <= 1.0);
    }
}

static void blend_is_source_over(void **state)
{
    (void)state;
    static const uint32_t kinds[3] = {1, 3, 4};
    static const float opacities[4] = {0.0f, 0.3f, 1.0f, 7.0f};
    uint32_t seed = 4;
    for (uint32_t k = 0; k < 12; k++) {
        uint32_t channels = kinds[k % 3];
        float opacity = opacities[k / 3];
        struct unit_picture canvas = unit_picture(45, 4, 4, NRD_DTYPE_U8, 4),
                            before = unit_picture(45, 4, 4, NRD_DTYPE_U8, 4);
        struct unit_picture over = unit_picture(45, 4, channels, NRD_DTYPE_U8, 1);
        unit_fill(&canvas, &seed);
        unit_fill(&over, &seed);
        memcpy(before.memory, canvas.memory, canvas.size);
        image_blend(&canvas.view, &over.view, opacity);
        for (uint32_t i = 0; i < 45 * 4; i++) {
            uint32_t x = i % 45, y = i / 45;
            const uint8_t *q = (const uint8_t *)image_row(&over.view, y) + x * channels;
            uint8_t color[3] = {q[0], q[channels == 1 ? 0 : 1], q[channels == 1 ? 0 : 2]};
            double a = (channels == 4 ? q[3] / 255.0 : 1.0) * fmin((double)opacity, 1.0);
            check_pixel((const uint8_t *)image_row(&canvas.view, y) + x * 4,
                        (const uint8_t *)image_row(&before.view, y) + x * 4, color, a);
        }
        unit_check_and_free(&canvas);
        unit_check_and_free(&before);
        unit_check_and_free(&over);
    }
}

static void blend_opaque_copies_and_clear_leaves(void **state)
{
    (void)state;
    for (int v = 0; v < 256; v++) {
        uint8_t below[4] = {(uint8_t)(255 - v), 9, 200, 77}, over[4] = {(uint8_t)v, 1, 2, 255};
        struct image canvas = image_of(below, 1, 1, 4, NRD_DTYPE_U8),
                     view = image_of(over, 1, 1, 4, NRD_DTYPE_U8);
        image_blend(&canvas, &view, 1.0f);
        assert_memory_equal(below, over, 4);
        over[0] = 99;
        over[3] = 0;
        image_blend(&canvas, &view, 1.0f);
        assert_int_equal(below[0], v);
        assert_int_equal(below[3], 255);
    }
}

static void blend_lut_takes_the_pixel_under_the_centre(void **state)
{
    (void)state;
    static const struct image_rgba lut[3] = {{10, 0, 0, 255}, {20, 0, 0, 255}, {30, 0, 0, 255}};
    static const enum nrd_dtype types[4] = {NRD_DTYPE_U8, NRD_DTYPE_U16, NRD_DTYPE_U32,
                                            NRD_DTYPE_I32};
    for (int k = 0; k < 4; k++) {
        uint32_t numbers[6] = {0, 1, 2, 7, 1, 0};
        uint8_t narrow[6] = {0, 1, 2, 7, 1, 0};
        uint16_t middle[6] = {0, 1, 2, 7, 1, 0};
        struct image map =
            image_of(k == 0 ? (void *)narrow : (k == 1 ? (void *)middle : (void *)numbers), 3, 2, 1,
                     types[k]);
        struct unit_picture canvas = unit_picture(13, 5, 4, NRD_DTYPE_U8, 4);
        image_blend_lut(&canvas.view, &map, lut, 3, 1.0f);
        for (uint32_t y = 0; y < 5; y++) {
            for (uint32_t x = 0; x < 13; x++) {
                uint32_t number =
                    numbers[(uint32_t)((y + 0.5) * 2 / 5) * 3 + (uint32_t)((x + 0.5) * 3 / 13)];
                const uint8_t *p = (const uint8_t *)image_row(&canvas.view, y) + 4 * x;
                assert_int_equal(p[0], lut[number < 3 ? number : 2].r);
            }
        }
        unit_check_and_free(&canvas);
    }
}

static void rgba_clamps(void **state)
{
    (void)state;
    struct image_rgba c = image_rgba_of(-1.0f, 0.5f, 2.0f, NAN);
    assert_int_equal(c.r, 0);
    assert_int_equal(c.g, 128);
    assert_int_equal(c.b, 255);
    assert_int_equal(c.a, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blend_is_source_over),
        cmocka_unit_test(blend_opaque_copies_and_clear_leaves),
        cmocka_unit_test(blend_lut_takes_the_pixel_under_the_centre),
        cmocka_unit_test(rgba_clamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
