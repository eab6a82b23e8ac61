// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "picture_unit.h"

static const uint8_t two_pixels[6] = {10, 20, 30, 200, 210, 255};

static struct nrd_tensor *give_rgb(void)
{
    struct nrd_tensor *t = unit_give("video", NRD_DTYPE_U8, 1, 2, 3);
    memcpy(t->data, two_pixels, 6);
    return t;
}

static void uint8_becomes_floats_of_the_range(void **state)
{
    (void)state;
    give_rgb();
    ok(unit_run(&format_converter_op,
                "{out_dtype: float32, scale_min: -1, scale_max: 1, out_tensor_name: out}"));
    const float *v = unit_result("out", NRD_DTYPE_F32, 1, 2, 3)->data;
    for (int i = 0; i < 6; i++) {
        float expected = (float)two_pixels[i] / 127.5f - 1.0f;
        assert_true(v[i] > expected - 1e-6f && v[i] < expected + 1e-6f);
    }
    unit_forget();
}

static void planes_and_batch_are_made_for_networks(void **state)
{
    (void)state;
    give_rgb();
    ok(unit_run(
        &format_converter_op,
        "{out_dtype: float32, scale_max: 255, out_layout: nchw, out_channel_order: [2, 1, 0]}"));
    const float *v = unit_result("", NRD_DTYPE_F32, 1, 3, 1, 2)->data;
    static const float expected[6] = {30, 255, 20, 210, 10, 200};
    assert_memory_equal(v, expected, sizeof(expected));
    unit_forget();
}

static void alpha_is_added_and_ordered_as_in_npp(void **state)
{
    (void)state;
    give_rgb();
    ok(unit_run(&format_converter_op, "{in_dtype: rgb888, out_dtype: rgba8888, alpha_value: 7, "
                                      "out_channel_order: [2, 1, 0, 3]}"));
    const uint8_t *p = unit_result("", NRD_DTYPE_U8, 1, 2, 4)->data;
    assert_memory_equal(p, ((uint8_t[]){30, 20, 10, 7, 255, 210, 200, 7}), 8);
    unit_forget();
}

static void rgba8888_to_float32_drops_alpha(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 1, 1, 4);
    memcpy(t->data, "\x00\x33\xff\x80", 4);
    ok(unit_run(&format_converter_op, "{in_dtype: rgba8888, out_dtype: float32, scale_max: 255}"));
    const float *v = unit_result("", NRD_DTYPE_F32, 1, 1, 3)->data;
    assert_true(v[0] == 0.0f && v[1] == 51.0f && v[2] == 255.0f);
    unit_forget();
}

static void sixteen_bits_become_eight(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U16, 1, 1, 4);
    static const uint16_t pixel[4] = {0, 257 * 100, 65535, 5};
    memcpy(t->data, pixel, 8);
    ok(unit_run(&format_converter_op, "{in_dtype: rgba16161616, out_dtype: rgb888}"));
    assert_memory_equal(unit_result("", NRD_DTYPE_U8, 1, 1, 3)->data, ((uint8_t[]){0, 100, 255}),
                        3);
    unit_forget();
}

static void nv12_grey_is_grey_in_every_matrix(void **state)
{
    (void)state;
    static const char *const names[] = {"nv12", "nv12_bt601_full", "nv12_bt709_hdtv", "yuv420"};
    for (size_t i = 0; i < 4; i++) {
        struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 6, 4);
        memset(t->data, 77, 16);
        memset((uint8_t *)t->data + 16, 128, 8);
        char params[128];
        snprintf(params, sizeof(params), "{in_dtype: %s, out_dtype: rgb888}", names[i]);
        ok(unit_run(&format_converter_op, params));
        const uint8_t *p = unit_result("", NRD_DTYPE_U8, 4, 4, 3)->data;
        for (int k = 0; k < 48; k++) {
            assert_int_equal(p[k], 77);
        }
        unit_forget();
    }
}

static void rgb_goes_to_yuv420_and_back(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 4, 6, 3);
    for (int i = 0; i < 24; i++) {
        memcpy((uint8_t *)t->data + 3 * i, "\x80\x90\x70", 3);
    }
    ok(unit_run(&format_converter_op, "{out_dtype: yuv420}"));
    struct nrd_tensor *yuv = nrd_tensor_ref(unit_result("", NRD_DTYPE_U8, 6, 6));
    unit_forget();
    struct nrd_tensor *again = unit_give("v", NRD_DTYPE_U8, 6, 6);
    memcpy(again->data, yuv->data, 36);
    nrd_tensor_unref(yuv);
    ok(unit_run(&format_converter_op, "{in_dtype: yuv420, out_dtype: uint8}"));
    const uint8_t *p = unit_result("", NRD_DTYPE_U8, 4, 6, 3)->data;
    for (int i = 0; i < 24 * 3; i++) {
        int expected = "\x80\x90\x70"[i % 3] & 0xff;
        assert_in_range(p[i], expected - 2, expected + 2);
    }
    unit_forget();
}

static void yuyv_is_two_channels(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 1, 2, 2);
    memcpy(t->data, "\x10\x80\xeb\x80", 4); // black and white of a camera
    ok(unit_run(&format_converter_op, "{in_dtype: yuyv, out_dtype: rgb888, color_matrix: bt601}"));
    assert_memory_equal(unit_result("", NRD_DTYPE_U8, 1, 2, 3)->data,
                        ((uint8_t[]){0, 0, 0, 255, 255, 255}), 6);
    unit_forget();
}

static void resize_comes_before_conversion(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 2, 2, 1);
    memcpy(t->data, "\x00\x64\xc8\xff", 4);
    ok(unit_run(&format_converter_op,
                "{out_dtype: uint8, resize_width: 4, resize_height: 2, resize_mode: 1}"));
    assert_memory_equal(unit_result("", NRD_DTYPE_U8, 2, 4, 1)->data,
                        ((uint8_t[]){0, 0, 100, 100, 200, 200, 255, 255}), 8);
    unit_forget();
}

static void letterbox_keeps_proportions(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 2, 4, 1);
    memset(t->data, 200, 8);
    ok(unit_run(&format_converter_op,
                "{out_dtype: uint8, resize_width: 4, resize_height: 4, resize_mode: area, "
                "resize_fit: letterbox, letterbox_value: 9}"));
    const uint8_t *p = unit_result("", NRD_DTYPE_U8, 4, 4, 1)->data;
    for (int i = 0; i < 16; i++) {
        assert_int_equal(p[i], i < 4 || i >= 12 ? 9 : 200);
    }
    unit_forget();
}

static void colour_becomes_grey_and_grey_colour(void **state)
{
    (void)state;
    give_rgb();
    ok(unit_run(&format_converter_op, "{out_dtype: gray8}"));
    const uint8_t *p = unit_result("", NRD_DTYPE_U8, 1, 2, 1)->data;
    assert_in_range(p[0], 18, 19); // 0.299 R + 0.587 G + 0.114 B
    unit_forget();
    struct nrd_tensor *t = unit_give("v", NRD_DTYPE_U8, 1, 1);
    ((uint8_t *)t->data)[0] = 42;
    ok(unit_run(&format_converter_op, "{out_dtype: rgb888}"));
    assert_memory_equal(unit_result("", NRD_DTYPE_U8, 1, 1, 3)->data, "\x2a\x2a\x2a", 3);
    unit_forget();
}

static void frames_after_the_first_take_nothing_from_the_heap(void **state)
{
    (void)state;
    static uint64_t counts[2];
    for (int i = 0; i < 2; i++) {
        unit_give("v", NRD_DTYPE_U8, 48, 64, 3);
        unit.sends = i == 0 ? 20 : 220;
        uint64_t before = mem_count();
        ok(unit_run(&format_converter_op, "{out_dtype: float32, out_layout: chw, resize_width: 32, "
                                          "resize_height: 32, resize_mode: 2}"));
        assert_int_equal(unit.kept_count, unit.sends);
        unit_forget();
        counts[i] = mem_count() - before;
    }
    assert_int_equal(counts[0], counts[1]);
}

static void what_cannot_be_is_named(void **state)
{
    (void)state;
    give_rgb();
    fails(unit_run(&format_converter_op, "{out_dtype: rgb565}"), "'rgb565'");
    fails(unit_run(&format_converter_op, "{out_dtype: uint8, resize_mode: 17}"), "'17'");
    fails(unit_run(&format_converter_op, "{out_dtype: uint8, resize_width: 9}"),
          "resize_height is 0");
    fails(unit_run(&format_converter_op, "{out_dtype: float32, scale_max: 0}"), "scale_min");
    fails(unit_run(&format_converter_op, "{out_dtype: nv12, out_layout: chw}"), "out_layout");
    fails(unit_run(&format_converter_op, "{out_dtype: nv12}"), "'nv12'");
    fails(unit_run(&format_converter_op, "{in_dtype: rgba8888, out_dtype: uint8}"),
          "[1,2,3] is no picture in 'rgba8888'");
    fails(unit_run(&format_converter_op, "{in_dtype: float32, out_dtype: uint8}"), "UINT8");
    fails(unit_run(&format_converter_op, "{in_dtype: nv12, out_dtype: rgb888}"), "even height");
    fails(unit_run(&format_converter_op, "{in_tensor_name: other, out_dtype: uint8}"), "'other'");
    fails(unit_run(&format_converter_op, "{out_dtype: uint8, out_channel_order: [0, 1]}"),
          "2 numbers");
    fails(unit_run(&format_converter_op, "{out_dtype: uint8, out_channel_order: [0, 1, 5]}"),
          "has 5");
    unit_forget();
    unit_give("v", NRD_DTYPE_I64, 2, 2);
    fails(unit_run(&format_converter_op, "{out_dtype: uint8}"), "INT64");
    unit_forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uint8_becomes_floats_of_the_range),
        cmocka_unit_test(planes_and_batch_are_made_for_networks),
        cmocka_unit_test(alpha_is_added_and_ordered_as_in_npp),
        cmocka_unit_test(rgba8888_to_float32_drops_alpha),
        cmocka_unit_test(sixteen_bits_become_eight),
        cmocka_unit_test(nv12_grey_is_grey_in_every_matrix),
        cmocka_unit_test(rgb_goes_to_yuv420_and_back),
        cmocka_unit_test(yuyv_is_two_channels),
        cmocka_unit_test(resize_comes_before_conversion),
        cmocka_unit_test(letterbox_keeps_proportions),
        cmocka_unit_test(colour_becomes_grey_and_grey_colour),
        cmocka_unit_test(frames_after_the_first_take_nothing_from_the_heap),
        cmocka_unit_test(what_cannot_be_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
