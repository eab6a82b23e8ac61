// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include <math.h>

#include "image/convert.h"
#include "image/yuv.h"

// The definitions: luma weights of red and blue, ranges, offset. The analogue one has its own numbers.
struct definition {
    double kr, kb, y_range, c_range, offset;
};
static const struct definition definitions[] = {
    [IMAGE_YUV_BT601] = {0.299, 0.114, 219, 224, 16},
    [IMAGE_YUV_BT601_FULL] = {0.299, 0.114, 255, 255, 0},
    [IMAGE_YUV_BT709] = {0.2126, 0.0722, 219, 224, 16},
    [IMAGE_YUV_BT709_FULL] = {0.2126, 0.0722, 255, 255, 0},
};

static double clamp(double v)
{
    return v < 0.0 ? 0.0 : (v > 255.0 ? 255.0 : v);
}

static void to_rgb(enum image_yuv_matrix matrix, const double yuv[3], double rgb[3])
{
    double y = yuv[0], u = yuv[1] - 128.0, v = yuv[2] - 128.0;
    if (matrix == IMAGE_YUV_ANALOG) {
        rgb[0] = clamp(y + 1.140 * v);
        rgb[1] = clamp(y - 0.394 * u - 0.581 * v);
        rgb[2] = clamp(y + 2.032 * u);
        return;
    }
    const struct definition *d = &definitions[matrix];
    y = (y - d->offset) * 255.0 / d->y_range;
    double r = y + 2.0 * (1.0 - d->kr) * v * 255.0 / d->c_range;
    double b = y + 2.0 * (1.0 - d->kb) * u * 255.0 / d->c_range;
    rgb[0] = clamp(r);
    rgb[1] = clamp((y - d->kr * r - d->kb * b) / (1.0 - d->kr - d->kb));
    rgb[2] = clamp(b);
}

static void from_rgb(enum image_yuv_matrix matrix, const double rgb[3], double yuv[3])
{
    if (matrix == IMAGE_YUV_ANALOG) {
        double y = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        yuv[0] = clamp(y);
        yuv[1] = clamp(0.492 * (rgb[2] - y) + 128.0);
        yuv[2] = clamp(0.877 * (rgb[0] - y) + 128.0);
        return;
    }
    const struct definition *d = &definitions[matrix];
    double y = d->kr * rgb[0] + (1.0 - d->kr - d->kb) * rgb[1] + d->kb * rgb[2];
    yuv[0] = clamp(y * d->y_range / 255.0 + d->offset);
    yuv[1] = clamp((rgb[2] - y) / (2.0 * (1.0 - d->kb)) * d->c_range / 255.0 + 128.0);
    yuv[2] = clamp((rgb[0] - y) / (2.0 * (1.0 - d->kr)) * d->c_range / 255.0 + 128.0);
}

// One sample of plane `which` (Y, U, V) for pixel (x, y), and where it lies.
static uint8_t *sample(const struct image_yuv *yuv, uint32_t x, uint32_t y, int which)
{
    if (yuv->layout == IMAGE_YUYV || yuv->layout == IMAGE_UYVY) {
        uint32_t luma = yuv->layout == IMAGE_YUYV ? 0 : 1;
        uint32_t at = which == 0 ? 2 * x + luma : x / 2 * 4 + (which == 1 ? 0 : 2) + 1 - luma;
        return yuv->planes[0] + y * yuv->strides[0] + at;
    }
    if (which == 0) {
        return yuv->planes[0] + y * yuv->strides[0] + x;
    }
    return yuv->layout == IMAGE_NV12
               ? yuv->planes[1] + y / 2 * yuv->strides[1] + x / 2 * 2 + (which - 1)
               : yuv->planes[which] + y / 2 * yuv->strides[which] + x / 2;
}

static const uint32_t sizes[][2] = {{1, 1}, {2, 2}, {5, 3}, {256, 2}, {257, 5}, {600, 4}};

static void each(void (*one)(enum image_yuv_layout, enum image_yuv_matrix, uint32_t, uint32_t,
                             uint32_t))
{
    for (int layout = IMAGE_YUYV; layout <= IMAGE_YUV420; layout++) {
        for (int matrix = IMAGE_YUV_ANALOG; matrix <= IMAGE_YUV_BT709_FULL; matrix++) {
            for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                one((enum image_yuv_layout)layout, (enum image_yuv_matrix)matrix, sizes[i][0],
                    sizes[i][1], 3 + i % 2);
            }
        }
    }
}

static void check_to_rgb(enum image_yuv_layout layout, enum image_yuv_matrix matrix, uint32_t width,
                         uint32_t height, uint32_t channels)
{
    uint32_t seed = width + 10u * (uint32_t)layout;
    size_t size = image_yuv_size(layout, width, height);
    uint8_t *data = mem_alloc(size);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)unit_random(&seed);
    }
    struct image_yuv yuv = image_yuv_of(data, layout, width, height);
    struct unit_picture to = unit_picture(width, height, channels, NRD_DTYPE_U8, 3);
    static const int8_t order[4] = {2, 1, 0, IMAGE_ALPHA};
    image_from_yuv(&yuv, matrix, &to.view, order, 77);
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            double in[3], rgb[3];
            for (int k = 0; k < 3; k++) {
                in[k] = *sample(&yuv, x, y, k);
            }
            to_rgb(matrix, in, rgb);
            const uint8_t *p = (const uint8_t *)image_row(&to.view, y) + x * channels;
            for (int c = 0; c < 3; c++) {
                assert_true(fabs(p[c] - rgb[order[c]]) < 0.55);
            }
            assert_true(channels == 3 || p[3] == 77);
        }
    }
    unit_check_and_free(&to);
    mem_free(data);
}
static void yuv_becomes_rgb_as_each_matrix_defines(void **state)
{
    (void)state;
    each(check_to_rgb);
}

static void check_from_rgb(enum image_yuv_layout layout, enum image_yuv_matrix matrix,
                           uint32_t width, uint32_t height, uint32_t channels)
{
    uint32_t seed = width + 7u;
    struct unit_picture from = unit_picture(width, height, channels, NRD_DTYPE_U8, 1);
    unit_fill(&from, &seed);
    size_t size = image_yuv_size(layout, width, height);
    uint8_t *data = mem_alloc(size + 8);
    memset(data + size, GUARD, 8);
    struct image_yuv yuv = image_yuv_of(data, layout, width, height);
    uint32_t red = channels == 3 ? 0 : 2;
    image_to_yuv(&from.view, red, matrix, &yuv);
    uint32_t rows = layout == IMAGE_YUYV || layout == IMAGE_UYVY ? 1 : 2;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            double rgb[3], mean[3] = {0}, out[3], chroma[3];
            for (uint32_t c = 0; c < 3; c++) {
                uint32_t at = c == 1 ? 1 : (c == 0 ? red : 2 - red);
                rgb[c] = ((const uint8_t *)image_row(&from.view, y))[x * channels + at];
                for (uint32_t k = 0; k < 4;
                     k++) { // the last row or column stands in for one that is not there
                    uint32_t px = x / 2 * 2 + k % 2, py = y / rows * rows + (k / 2) % rows;
                    px = px < width ? px : width - 1;
                    py = py < height ? py : height - 1;
                    mean[c] +=
                        ((const uint8_t *)image_row(&from.view, py))[px * channels + at] / 4.0;
                }
            }
            from_rgb(matrix, rgb, out);
            from_rgb(matrix, mean, chroma);
            assert_true(fabs(*sample(&yuv, x, y, 0) - out[0]) < 0.55);
            assert_true(fabs(*sample(&yuv, x, y, 1) - chroma[1]) < 0.55);
            assert_true(fabs(*sample(&yuv, x, y, 2) - chroma[2]) < 0.55);
        }
    }
    assert_memory_equal(data + size,
                        ((uint8_t[]){GUARD, GUARD, GUARD, GUARD, GUARD, GUARD, GUARD, GUARD}), 8);
    unit_check_and_free(&from);
    mem_free(data);
}
static void rgb_becomes_yuv_as_each_matrix_defines(void **state)
{
    (void)state;
    each(check_from_rgb);
}

static void yuv_sizes_round_up(void **state)
{
    (void)state;
    assert_int_equal(image_yuv_size(IMAGE_NV12, 4, 4), 24);
    assert_int_equal(image_yuv_size(IMAGE_YUV420, 5, 3), 15 + 2 * 3 * 2);
    assert_int_equal(image_yuv_size(IMAGE_YUYV, 5, 3), 12 * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yuv_becomes_rgb_as_each_matrix_defines),
        cmocka_unit_test(rgb_becomes_yuv_as_each_matrix_defines),
        cmocka_unit_test(yuv_sizes_round_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
