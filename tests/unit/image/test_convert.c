// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include <math.h>

#include "image/convert.h"

static double number_at(const struct image *image, uint32_t x, uint32_t y, uint32_t c)
{
    const void *row = image_row(image, y);
    uint32_t at = x * image->channels + c;
    return image->dtype == NRD_DTYPE_U8    ? ((const uint8_t *)row)[at]
           : image->dtype == NRD_DTYPE_U16 ? ((const uint16_t *)row)[at]
                                           : (double)((const float *)row)[at];
}

// The definition, in double precision.
static double reference(double v, enum nrd_dtype from, enum nrd_dtype to,
                        const struct image_conversion *how)
{
    if (from == to) {
        return v;
    }
    double range = (double)how->scale_max - (double)how->scale_min;
    double most = from == NRD_DTYPE_U8 ? 255.0 : 65535.0;
    if (to == NRD_DTYPE_F32) {
        return v / most * range + (double)how->scale_min;
    }
    double scaled =
        from == NRD_DTYPE_U16 ? v * 255.0 / 65535.0 : (v - (double)how->scale_min) / range * 255.0;
    return scaled < 0.0 ? 0.0 : (scaled > 255.0 ? 255.0 : scaled);
}

static void check(const struct image *from, const struct image *to,
                  const struct image_conversion *how)
{
    for (uint32_t y = 0; y < to->height; y++) {
        for (uint32_t x = 0; x < to->width; x++) {
            for (uint32_t c = 0; c < to->channels; c++) {
                int at = how->order[c];
                double expected = at < 0 ? (double)how->alpha
                                         : reference(number_at(from, x, y, (uint32_t)at),
                                                     from->dtype, to->dtype, how);
                double off = fabs(number_at(to, x, y, c) - expected);
                // Floats: a few roundings of numbers below 4. Bytes: the nearest, with the slack of a tie in float.
                double slack =
                    to->dtype == NRD_DTYPE_F32 ? 1e-6 : (from->dtype == to->dtype ? 0.0 : 0.5001);
                assert_true(off <= slack);
            }
        }
    }
}

static void convert_agrees_with_its_definition_for_all_types_and_channels(void **state)
{
    (void)state;
    static const enum nrd_dtype types[3] = {NRD_DTYPE_U8, NRD_DTYPE_U16, NRD_DTYPE_F32};
    uint32_t seed = 1;
    for (int pair = 0; pair < 9; pair++) {
        enum nrd_dtype from_type = types[pair / 3], to_type = types[pair % 3];
        if (!image_can_convert(from_type, to_type)) {
            assert_true(to_type == NRD_DTYPE_U16 && from_type != NRD_DTYPE_U16);
            continue;
        }
        for (uint32_t shape = 0; shape < 16 * 4; shape++) {
            uint32_t from_channels = 1 + shape % 4, to_channels = 1 + shape / 4 % 4;
            static const uint32_t widths[4] = {1, 7, 33, 130};
            struct unit_picture from =
                unit_picture(widths[shape / 16], 3, from_channels, from_type, 5);
            struct unit_picture to = unit_picture(widths[shape / 16], 3, to_channels, to_type, 3);
            unit_fill(&from, &seed);
            struct image_conversion how = {.scale_min = -0.5f, .scale_max = 1.5f, .alpha = 7.0f};
            for (uint32_t c = 0; c < to_channels; c++) {
                how.order[c] = (int8_t)(unit_random(&seed) % (from_channels + 1)) - 1;
                how.order[c] = shape % 3 == 0 && c < from_channels ? (int8_t)c : how.order[c];
            }
            image_convert(&from.view, &to.view, &how);
            check(&from.view, &to.view, &how);
            unit_check_and_free(&from);
            unit_check_and_free(&to);
        }
    }
}

static void convert_planar_is_convert_turned(void **state)
{
    (void)state;
    uint32_t seed = 2;
    for (uint32_t channels = 1; channels <= 4; channels++) {
        struct unit_picture from = unit_picture(37, 5, channels, NRD_DTYPE_U8, 2);
        struct unit_picture packed = unit_picture(37, 5, 3, NRD_DTYPE_F32, 0);
        unit_fill(&from, &seed);
        struct image_conversion how = image_conversion_default(channels, 3);
        how.order[1] = 0;
        image_convert(&from.view, &packed.view, &how);
        float planes[3 * 37 * 5];
        image_convert_planar(&from.view, planes, 3, NRD_DTYPE_F32, &how);
        for (uint32_t c = 0; c < 3; c++) {
            for (uint32_t i = 0; i < 37 * 5; i++) {
                assert_true(planes[c * 37 * 5 + i] == ((float *)packed.view.data)[i * 3 + c]);
            }
        }
        struct unit_picture again = unit_picture(37, 5, 3, NRD_DTYPE_F32, 1);
        image_pack_planes(planes, &again.view);
        for (uint32_t y = 0; y < 5; y++) {
            assert_memory_equal(image_row(&again.view, y), image_row(&packed.view, y), 37 * 3 * 4);
        }
        unit_check_and_free(&from);
        unit_check_and_free(&packed);
        unit_check_and_free(&again);
    }
}

static void convert_swaps_channels_in_place(void **state)
{
    (void)state;
    uint8_t pixels[2 * 3] = {1, 2, 3, 4, 5, 6};
    struct image view = image_of(pixels, 2, 1, 3, NRD_DTYPE_U8);
    struct image_conversion how = {.order = {2, 1, 0}};
    image_convert(&view, &view, &how);
    assert_memory_equal(pixels, ((uint8_t[]){3, 2, 1, 6, 5, 4}), 6);
}

static void convert_of_not_a_number_is_zero_and_of_too_much_saturates(void **state)
{
    (void)state;
    float numbers[4] = {NAN, INFINITY, -INFINITY, 0.5f};
    uint8_t bytes[4];
    struct image from = image_of(numbers, 4, 1, 1, NRD_DTYPE_F32);
    struct image to = image_of(bytes, 4, 1, 1, NRD_DTYPE_U8);
    struct image_conversion how = image_conversion_default(1, 1);
    image_convert(&from, &to, &how);
    assert_memory_equal(bytes, ((uint8_t[]){0, 255, 0, 128}), 4);
}

static void convert_of_bytes_to_floats_and_back_loses_nothing(void **state)
{
    (void)state;
    uint8_t bytes[256], again[256];
    float numbers[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)i;
    }
    struct image from = image_of(bytes, 256, 1, 1, NRD_DTYPE_U8);
    struct image middle = image_of(numbers, 256, 1, 1, NRD_DTYPE_F32);
    struct image to = image_of(again, 256, 1, 1, NRD_DTYPE_U8);
    for (int i = 0; i < 3; i++) {
        struct image_conversion how = image_conversion_default(1, 1);
        how.scale_min = i == 1 ? -1.0f : 0.0f;
        how.scale_max = i == 2 ? 255.0f : 1.0f;
        image_convert(&from, &middle, &how);
        image_convert(&middle, &to, &how);
        assert_memory_equal(bytes, again, 256);
        assert_true(numbers[255] == how.scale_max);
    }
}

static void convert_default_fills_in_alpha_and_spreads_grey(void **state)
{
    (void)state;
    struct image_conversion how = image_conversion_default(1, 4);
    assert_memory_equal(how.order, ((int8_t[]){0, 0, 0, IMAGE_ALPHA}), 4);
    how = image_conversion_default(3, 4);
    assert_memory_equal(how.order, ((int8_t[]){0, 1, 2, IMAGE_ALPHA}), 4);
    how = image_conversion_default(4, 3);
    assert_memory_equal(how.order, ((int8_t[]){0, 1, 2}), 3);
}

static void gray_weighs_as_bt601_does(void **state)
{
    (void)state;
    uint32_t seed = 3;
    for (uint32_t channels = 3; channels <= 4; channels++) {
        struct unit_picture from = unit_picture(41, 3, channels, NRD_DTYPE_U8, 1);
        struct unit_picture to = unit_picture(41, 3, 1, NRD_DTYPE_U8, 1);
        unit_fill(&from, &seed);
        image_to_gray(&from.view, &to.view);
        for (uint32_t y = 0; y < 3; y++) {
            for (uint32_t x = 0; x < 41; x++) {
                const uint8_t *p = (const uint8_t *)image_row(&from.view, y) + x * channels;
                double exact = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
                assert_true(fabs(((uint8_t *)image_row(&to.view, y))[x] - exact) < 1.0);
            }
        }
        unit_check_and_free(&from);
        unit_check_and_free(&to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convert_agrees_with_its_definition_for_all_types_and_channels),
        cmocka_unit_test(convert_planar_is_convert_turned),
        cmocka_unit_test(convert_swaps_channels_in_place),
        cmocka_unit_test(convert_of_not_a_number_is_zero_and_of_too_much_saturates),
        cmocka_unit_test(convert_of_bytes_to_floats_and_back_loses_nothing),
        cmocka_unit_test(convert_default_fills_in_alpha_and_spreads_grey),
        cmocka_unit_test(gray_weighs_as_bt601_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
