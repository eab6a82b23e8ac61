// SPDX-License-Identifier: Apache-2.0
#include "image_unit.h"

#include <math.h>

#include "image/resize.h"

static double kernel(enum image_resize_mode mode, double x)
{
    x = fabs(x);
    switch (mode) {
    case IMAGE_RESIZE_LINEAR:
        return x < 1.0 ? 1.0 - x : 0.0;
    case IMAGE_RESIZE_CUBIC:
        return x < 1.0 ? 1.5 * x * x * x - 2.5 * x * x + 1.0
                       : (x < 2.0 ? -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0 : 0.0);
    case IMAGE_RESIZE_LANCZOS: {
        double v = 3.14159265358979 * x;
        return x == 0.0 ? 1.0 : (x < 3.0 ? 3.0 * sin(v) * sin(v / 3.0) / (v * v) : 0.0);
    }
    case IMAGE_RESIZE_NEAREST:
    case IMAGE_RESIZE_AREA:
        break;
    }
    return 0.0;
}

static double pixel(const struct image *image, long x, long y, uint32_t c)
{
    x = x < 0 ? 0 : (x >= (long)image->width ? (long)image->width - 1 : x);
    y = y < 0 ? 0 : (y >= (long)image->height ? (long)image->height - 1 : y);
    const void *row = image_row(image, (uint32_t)y);
    size_t at = (size_t)x * image->channels + c;
    return image->dtype == NRD_DTYPE_U8    ? ((const uint8_t *)row)[at]
           : image->dtype == NRD_DTYPE_U16 ? ((const uint16_t *)row)[at]
                                           : (double)((const float *)row)[at];
}

static double weight(const struct image_resize_options *o, double scale, long i, long at)
{
    double low = (double)i * scale, high = (double)(i + 1) * scale;
    if (o->mode == IMAGE_RESIZE_AREA) {
        double part = fmin(high, (double)at + 1.0) - fmax(low, (double)at);
        return part > 0.0 ? part : 0.0;
    }
    double widen = o->antialias && scale > 1.0 ? scale : 1.0;
    return kernel(o->mode, ((double)at + 0.5 - (low + high) / 2.0) / widen);
}

// The definition: a sum over every source pixel, and some beyond the edges.
static double reference(const struct image *from, const struct image_resize_options *o, uint32_t x,
                        uint32_t y, uint32_t c)
{
    double scale_x = (double)o->from_width / o->to_width,
           scale_y = (double)o->from_height / o->to_height;
    if (o->mode == IMAGE_RESIZE_NEAREST) {
        return pixel(from, (long)((x + 0.5) * scale_x), (long)((y + 0.5) * scale_y), c);
    }
    double sum = 0.0, all = 0.0;
    for (long v = -130; v < (long)o->from_height + 130; v++) {
        double wy = weight(o, scale_y, (long)y, v);
        for (long u = -130; wy != 0.0 && u < (long)o->from_width + 130; u++) {
            double w = wy * weight(o, scale_x, (long)x, u);
            sum += w == 0.0 ? 0.0 : w * pixel(from, u, v, c);
            all += w;
        }
    }
    return sum / all;
}

static void check(struct image_resize_options o)
{
    uint32_t seed = o.from_width * 31 + o.to_width;
    struct unit_picture from = unit_picture(o.from_width, o.from_height, o.channels, o.dtype, 3);
    struct unit_picture to = unit_picture(o.to_width, o.to_height, o.channels, o.dtype, 1);
    unit_fill(&from, &seed);
    struct image_resizer *resizer = NULL;
    assert_null(image_resizer_create(&o, &resizer));
    image_resizer_run(resizer, &from.view, &to.view);
    image_resizer_run(resizer, &from.view, &to.view);
    double most = o.dtype == NRD_DTYPE_U8 ? 255.0 : 65535.0;
    // Integers: the nearest, and a float's slack on a tie. Floats: sums of up to 400 products of numbers below 2.
    double slack = o.dtype == NRD_DTYPE_U8 ? 0.501 : (o.dtype == NRD_DTYPE_U16 ? 0.55 : 2e-6);
    for (uint32_t y = 0; y < o.to_height; y++) {
        for (uint32_t x = 0; x < o.to_width; x++) {
            for (uint32_t c = 0; c < o.channels; c++) {
                double expected = reference(&from.view, &o, x, y, c);
                if (o.dtype != NRD_DTYPE_F32) {
                    expected = expected < 0.0 ? 0.0 : (expected > most ? most : expected);
                }
                double got = pixel(&to.view, x, y, c);
                if (fabs(got - expected) > slack) {
                    fail_msg("mode %d type %d %ux%u -> %ux%u at %u,%u,%u: %g, expected %g",
                             (int)o.mode, (int)o.dtype, o.from_width, o.from_height, o.to_width,
                             o.to_height, x, y, c, got, expected);
                }
            }
        }
    }
    image_resizer_destroy(resizer);
    unit_check_and_free(&from);
    unit_check_and_free(&to);
}

static void resize_agrees_with_its_definition_in_all_modes_and_types(void **state)
{
    (void)state;
    static const enum nrd_dtype types[3] = {NRD_DTYPE_U8, NRD_DTYPE_U16, NRD_DTYPE_F32};
    static const uint32_t sizes[][4] = {{7, 5, 7, 5},    {1, 1, 4, 3},    {9, 11, 1, 1},
                                        {13, 8, 40, 31}, {40, 31, 13, 8}, {30, 2, 7, 19},
                                        {2, 30, 19, 7},  {65, 64, 32, 33}};
    for (int mode = IMAGE_RESIZE_NEAREST; mode <= IMAGE_RESIZE_AREA; mode++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            for (uint32_t k = 0; k < 6; k++) {
                check((struct image_resize_options){.from_width = sizes[s][0],
                                                    .from_height = sizes[s][1],
                                                    .to_width = sizes[s][2],
                                                    .to_height = sizes[s][3],
                                                    .channels = 1 + (k + (uint32_t)s) % 4,
                                                    .dtype = types[k % 3],
                                                    .mode = (enum image_resize_mode)mode,
                                                    .antialias = k >= 3});
            }
        }
    }
}

static void resize_to_the_same_size_is_a_copy(void **state)
{
    (void)state;
    uint32_t seed = 5;
    struct unit_picture from = unit_picture(19, 7, 3, NRD_DTYPE_U8, 0),
                        to = unit_picture(19, 7, 3, NRD_DTYPE_U8, 0);
    unit_fill(&from, &seed);
    for (int mode = IMAGE_RESIZE_NEAREST; mode <= IMAGE_RESIZE_AREA; mode++) {
        struct image_resize_options o = {
            19, 7, 19, 7, 3, NRD_DTYPE_U8, (enum image_resize_mode)mode, false};
        struct image_resizer *resizer = NULL;
        assert_null(image_resizer_create(&o, &resizer));
        image_resizer_run(resizer, &from.view, &to.view);
        assert_memory_equal(from.view.data, to.view.data, 19 * 7 * 3);
        image_resizer_destroy(resizer);
    }
    unit_check_and_free(&from);
    unit_check_and_free(&to);
}

static void resizer_refuses_by_name(void **state)
{
    (void)state;
    static const struct image_resize_options bad[] = {
        {0, 1, 1, 1, 3, NRD_DTYPE_U8, IMAGE_RESIZE_LINEAR, false},
        {1, 1, 70000, 1, 3, NRD_DTYPE_U8, IMAGE_RESIZE_LINEAR, false},
        {1, 1, 1, 1, 5, NRD_DTYPE_U8, IMAGE_RESIZE_LINEAR, false},
        {1, 1, 1, 1, 3, NRD_DTYPE_I64, IMAGE_RESIZE_LINEAR, false},
    };
    static const char *const words[] = {"0x1", "70000", "5 channels", "INT64"};
    for (size_t i = 0; i < 4; i++) {
        struct image_resizer *resizer = NULL;
        struct nrd_status *status = image_resizer_create(&bad[i], &resizer);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        assert_non_null(strstr(status_text(status), words[i]));
        assert_null(resizer);
        status_free(status);
    }
}

static void resizer_survives_running_out_of_memory(void **state)
{
    (void)state;
    struct image_resize_options o = {9, 9, 4, 4, 3, NRD_DTYPE_U8, IMAGE_RESIZE_CUBIC, false};
    bool made = false;
    for (uint64_t n = 1; !made; n++) {
        struct image_resizer *resizer = NULL;
        mem_fail_after(n);
        struct nrd_status *status = image_resizer_create(&o, &resizer);
        mem_fail_after(0);
        made = status == NULL;
        assert_int_equal(made, resizer != NULL);
        status_free(status);
        image_resizer_destroy(resizer);
    }
}

static void fit_keeps_proportions_and_centres(void **state)
{
    (void)state;
    struct image_rect r = image_fit(200, 100, 128, 128);
    assert_int_equal(r.x, 0);
    assert_int_equal(r.y, 32);
    assert_int_equal(r.width, 128);
    assert_int_equal(r.height, 64);
    r = image_fit(100, 200, 128, 128);
    assert_int_equal(r.x, 32);
    assert_int_equal(r.width, 64);
    r = image_fit(10000, 1, 8, 8);
    assert_int_equal(r.height, 1);
    r = image_fit(3, 3, 9, 9);
    assert_true(r.x == 0 && r.y == 0 && r.width == 9 && r.height == 9);
}

static void fill_around_leaves_the_hole(void **state)
{
    (void)state;
    struct unit_picture p = unit_picture(9, 6, 3, NRD_DTYPE_U8, 2);
    struct image_rect hole = {2, 1, 4, 3};
    static const uint8_t gray[3] = {10, 11, 12};
    image_fill_around(&p.view, hole, gray);
    for (uint32_t y = 0; y < 6; y++) {
        for (uint32_t x = 0; x < 9; x++) {
            bool in = x >= 2 && x < 6 && y >= 1 && y < 4;
            const uint8_t *q = (const uint8_t *)image_row(&p.view, y) + 3 * x;
            assert_int_equal(q[0], in ? GUARD : 10);
            assert_int_equal(q[2], in ? GUARD : 12);
        }
    }
    unit_check_and_free(&p);
}

static void nearest_takes_the_right_pixel_at_an_edge(void **state)
{
    (void)state;
    // The centre of new pixel 17 of 70 lies at 18 of 72 exactly; in floating point it came out just below.
    uint8_t from[72];
    uint8_t to[70];
    for (int i = 0; i < 72; i++) {
        from[i] = (uint8_t)i;
    }
    struct image_resize_options options = {.from_width = 72,
                                           .from_height = 1,
                                           .to_width = 70,
                                           .to_height = 1,
                                           .channels = 1,
                                           .dtype = NRD_DTYPE_U8,
                                           .mode = IMAGE_RESIZE_NEAREST};
    struct image_resizer *resizer = NULL;
    assert_null(image_resizer_create(&options, &resizer));
    struct image a = image_of(from, 72, 1, 1, NRD_DTYPE_U8);
    struct image b = image_of(to, 70, 1, 1, NRD_DTYPE_U8);
    image_resizer_run(resizer, &a, &b);
    for (int i = 0; i < 70; i++) {
        assert_int_equal(to[i], (2 * i + 1) * 72 / 140);
    }
    image_resizer_destroy(resizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_agrees_with_its_definition_in_all_modes_and_types),
        cmocka_unit_test(resize_to_the_same_size_is_a_copy),
        cmocka_unit_test(nearest_takes_the_right_pixel_at_an_edge),
        cmocka_unit_test(resizer_refuses_by_name),
        cmocka_unit_test(resizer_survives_running_out_of_memory),
        cmocka_unit_test(fit_keeps_proportions_and_centres),
        cmocka_unit_test(fill_around_leaves_the_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
