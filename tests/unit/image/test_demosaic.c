// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include "image/demosaic.h"

// Which colour (0 red, 1 green, 2 blue) the sensor has at a place.
static int color_at(enum image_bayer grid, long x, long y)
{
    static const int colors[4][4] = {[IMAGE_BAYER_BGGR] = {2, 1, 1, 0},
                                     [IMAGE_BAYER_RGGB] = {0, 1, 1, 2},
                                     [IMAGE_BAYER_GBRG] = {1, 2, 0, 1},
                                     [IMAGE_BAYER_GRBG] = {1, 0, 2, 1}};
    return colors[grid][(y & 1) * 2 + (x & 1)];
}

static uint32_t mirrored(const struct image *image, long x, long y)
{
    long w = (long)image->width, h = (long)image->height;
    x = x < 0 ? -x : (x >= w ? 2 * w - 2 - x : x);
    y = y < 0 ? -y : (y >= h ? 2 * h - 2 - y : y);
    const void *row = image_row(image, (uint32_t)y);
    return image->dtype == NRD_DTYPE_U8 ? ((const uint8_t *)row)[x] : ((const uint16_t *)row)[x];
}

// The mean of those of the 3 x 3 neighbours that have the colour, of the nearest ones.
static uint32_t reference(const struct image *from, enum image_bayer grid, long x, long y,
                          int color)
{
    if (color_at(grid, x, y) == color) {
        return mirrored(from, x, y);
    }
    for (int distance = 1; distance <= 2; distance++) {
        uint32_t sum = 0, count = 0;
        for (long dy = -1; dy <= 1; dy++) {
            for (long dx = -1; dx <= 1; dx++) {
                if (dx * dx + dy * dy == distance &&
                    color_at(grid, x + dx + 2, y + dy + 2) == color) {
                    sum += mirrored(from, x + dx, y + dy);
                    count++;
                }
            }
        }
        if (count > 0) {
            return (sum + count / 2) / count;
        }
    }
    return 0;
}

static void demosaic_is_the_mean_of_neighbours_in_all_grids(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = {{2, 2}, {3, 3}, {4, 2}, {5, 8}, {66, 7}, {131, 4}};
    uint32_t seed = 9;
    for (uint32_t k = 0; k < 4 * 6 * 4; k++) {
        enum image_bayer grid = (enum image_bayer)(k % 4);
        const uint32_t *size = sizes[k / 4 % 6];
        enum nrd_dtype dtype = k / 24 % 2 == 0 ? NRD_DTYPE_U8 : NRD_DTYPE_U16;
        uint32_t channels = 3 + k / 48;
        struct unit_picture from = unit_picture(size[0], size[1], 1, dtype, 3);
        struct unit_picture to = unit_picture(size[0], size[1], channels, dtype, 1);
        unit_fill(&from, &seed);
        image_demosaic(&from.view, grid, &to.view, 200);
        for (uint32_t y = 0; y < size[1]; y++) {
            for (uint32_t x = 0; x < size[0]; x++) {
                for (uint32_t c = 0; c < channels; c++) {
                    uint32_t at = x * channels + c;
                    const void *row = image_row(&to.view, y);
                    uint32_t got = dtype == NRD_DTYPE_U8 ? ((const uint8_t *)row)[at]
                                                         : ((const uint16_t *)row)[at];
                    assert_int_equal(got, c == 3 ? 200 : reference(&from.view, grid, x, y, (int)c));
                }
            }
        }
        unit_check_and_free(&from);
        unit_check_and_free(&to);
    }
}

static void demosaic_of_an_even_picture_is_even(void **state)
{
    (void)state;
    for (int grid = 0; grid < 4; grid++) {
        uint8_t raw[6 * 4], rgb[6 * 4 * 3];
        for (int i = 0; i < 24; i++) {
            static const uint8_t values[3] = {200, 100, 50};
            raw[i] = values[color_at((enum image_bayer)grid, i % 6, i / 6)];
        }
        struct image from = image_of(raw, 6, 4, 1, NRD_DTYPE_U8),
                     to = image_of(rgb, 6, 4, 3, NRD_DTYPE_U8);
        image_demosaic(&from, (enum image_bayer)grid, &to, 0);
        for (int i = 0; i < 24; i++) {
            assert_memory_equal(rgb + 3 * i, ((uint8_t[]){200, 100, 50}), 3);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demosaic_is_the_mean_of_neighbours_in_all_grids),
        cmocka_unit_test(demosaic_of_an_even_picture_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
