// SPDX-License-Identifier: Apache-2.0
// BayerDemosaicOp and SegmentationPostprocessorOp; the numbers themselves are tested in tests/unit/image.
#include <stdio.h>

#include "picture_unit.h"

static void demosaic_sends_rgb_or_rgba_of_the_same_type(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("raw", NRD_DTYPE_U8, 2, 2, 1);
    memcpy(t->data, "\x01\x02\x03\x04", 4); // G B / R G: gbrg, Holoscan's default
    ok(unit_run(&bayer_demosaic_op, "{out_tensor_name: rgb}"));
    assert_memory_equal(unit_result("rgb", NRD_DTYPE_U8, 2, 2, 3)->data,
                        "\x03\x01\x02\x03\x03\x02\x03\x03\x02\x03\x04\x02", 12);
    unit_forget();
    t = unit_give("raw", NRD_DTYPE_U16, 2, 2);
    static const uint16_t raw[4] = {1000, 2000, 3000, 4000};
    memcpy(t->data, raw, 8);
    ok(unit_run(&bayer_demosaic_op,
                "{bayer_grid_pos: 1, generate_alpha: true, alpha_value: 60000}")); // rggb
    const uint16_t *p = unit_result("", NRD_DTYPE_U16, 2, 2, 4)->data;
    assert_true(p[0] == 1000 && p[1] == 2500 && p[2] == 4000 && p[3] == 60000);
    unit_forget();
}

static void demosaic_refuses_by_name(void **state)
{
    (void)state;
    unit_give("raw", NRD_DTYPE_U8, 3, 2);
    fails(unit_run(&bayer_demosaic_op, NULL), "[3,2] is no Bayer picture");
    fails(unit_run(&bayer_demosaic_op, "{interpolation_mode: 1}"), "interpolation_mode");
    fails(unit_run(&bayer_demosaic_op, "{bayer_grid_pos: rgbg}"), "bayer_grid_pos");
    unit_forget();
}

static void segmentation_reads_each_layout(void **state)
{
    (void)state;
    static const float packed[6] = {0.1f, 0.9f, 0.6f,
                                    0.4f, 0.2f, 0.8f}; // three pixels, two classes
    static const float planes[6] = {0.1f, 0.6f, 0.2f, 0.9f, 0.4f, 0.8f};
    static const char *const formats[] = {"hwc", "nhwc", "nchw", "chw"};
    for (int i = 0; i < 4; i++) {
        struct nrd_tensor *t = i == 0   ? unit_give("s", NRD_DTYPE_F32, 1, 3, 2)
                               : i == 1 ? unit_give("s", NRD_DTYPE_F32, 1, 1, 3, 2)
                               : i == 2 ? unit_give("s", NRD_DTYPE_F32, 1, 2, 1, 3)
                                        : unit_give("s", NRD_DTYPE_F32, 2, 1, 3);
        memcpy(t->data, i < 2 ? packed : planes, sizeof(packed));
        char params[128];
        snprintf(params, sizeof(params), "{in_tensor_name: s, data_format: %s}", formats[i]);
        ok(unit_run(&segmentation_postprocessor_op, params));
        assert_memory_equal(unit_result("out_tensor", NRD_DTYPE_U8, 1, 3, 1)->data, "\x01\x00\x01",
                            3);
        unit_forget();
    }
}

static void segmentation_thresholds(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("s", NRD_DTYPE_F32, 1, 3, 1);
    static const float scores[3] = {0.5f, 0.49f, -0.1f};
    memcpy(t->data, scores, sizeof(scores));
    ok(unit_run(&segmentation_postprocessor_op, "{network_output_type: sigmoid}"));
    assert_memory_equal(unit_result("out_tensor", NRD_DTYPE_U8, 1, 3, 1)->data, "\x01\x00\x00", 3);
    ok(unit_run(&segmentation_postprocessor_op, "{network_output_type: raw}"));
    assert_memory_equal(unit_result("out_tensor", NRD_DTYPE_U8, 1, 3, 1)->data, "\x01\x01\x00", 3);
    unit_forget();
}

static void segmentation_refuses_by_name(void **state)
{
    (void)state;
    unit_give("s", NRD_DTYPE_F32, 2, 4, 4, 3);
    fails(unit_run(&segmentation_postprocessor_op, "{data_format: nhwc}"), "the first of them 1");
    fails(unit_run(&segmentation_postprocessor_op, NULL), "three dimensions");
    fails(unit_run(&segmentation_postprocessor_op, "{network_output_type: argmax}"),
          "network_output_type");
    unit_forget();
    unit_give("s", NRD_DTYPE_F32, 4, 4, 300);
    fails(unit_run(&segmentation_postprocessor_op, NULL), "300 channels");
    unit_forget();
}

// An input whose condition somebody took away is empty at times.
static void empty_input_is_no_work(void **state)
{
    (void)state;
    static const struct nrd_operator_class *const tables[] = {
        &bayer_demosaic_op, &format_converter_op, &segmentation_postprocessor_op};
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        char none[64];
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_operator *source = add(f, &unit_source_op, "source", NULL);
        struct nrd_operator *op = add(
            f, tables[i], "op", tables[i] == &format_converter_op ? "{out_dtype: float32}" : NULL);
        struct nrd_operator *sink = add(f, &unit_sink_op, "sink", NULL);
        add_condition(source, "CountCondition", "{count: 0}");
        add_condition(op, "CountCondition", "{count: 3}");
        snprintf(none, sizeof(none), "{receiver: %s}", tables[i]->inputs[0].name);
        struct nrd_value *map = yaml(none);
        ok(nrd_add_condition(op, "NoneCondition", NULL, map, NULL));
        nrd_value_free(map);
        flow(source, op);
        flow(op, sink);
        ok(nrd_app_run(app));
        assert_int_equal(counts_of(op).computes, 3);
        assert_int_equal(counts_of(op).emitted, 0);
        nrd_app_destroy(app);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_input_is_no_work),
        cmocka_unit_test(demosaic_sends_rgb_or_rgba_of_the_same_type),
        cmocka_unit_test(demosaic_refuses_by_name),
        cmocka_unit_test(segmentation_reads_each_layout),
        cmocka_unit_test(segmentation_thresholds),
        cmocka_unit_test(segmentation_refuses_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
