// SPDX-License-Identifier: Apache-2.0
// Pictures: what the sink writes the source reads to the bit, in order, at its pace; what cannot be read is named.
#include "op_unit.h"

#include "graph/ops/pattern.h"

static struct nrd_app *run_one(const char *type, const char *params, struct probe **probe)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    use_manual_clock(f);
    *probe = add_probe(f, add_named(f, type, "source", in_root(params)), "");
    ok(nrd_app_run(app));
    return app;
}

// Writes `count` frames of noise of these channels by the sink.
static void write_pictures(const char *pixels, const char *sink, int count)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    char source[160];
    snprintf(source, sizeof(source),
             "{pattern: noise, width: 21, height: 13, pixel_format: %s, seed: 3, count: %d}",
             pixels, count);
    flow(add_named(f, "PatternSourceOp", "source", source),
         add_named(f, "PictureSinkOp", "sink", in_root(sink)));
    ok(nrd_app_run(app));
    nrd_app_destroy(app);
}

static void assert_noise(const struct probe *p, size_t index, uint32_t channels, uint64_t frame)
{
    const struct pattern noise = {PATTERN_NOISE, 21, 13, channels, 3};
    uint8_t want[21 * 13 * 4];
    const struct nrd_tensor *tensor = probe_tensor(p, index);
    assert_int_equal(tensor->rank, 3);
    assert_int_equal(tensor->dims[2], channels);
    pattern_fill(&noise, frame, want);
    assert_memory_equal(tensor->data, want, 21 * 13 * channels);
}

static void pictures_come_back_to_the_bit_in_the_order_of_names(void **state)
{
    (void)state;
    static const struct {
        const char *pixels;
        uint32_t channels;
    } kinds[] = {{"gray", 1}, {"rgb", 3}, {"rgba", 4}};
    for (size_t k = 0; k < 3; k++) {
        struct probe *p;
        write_pictures(kinds[k].pixels, "{directory: $/p, pattern: 'n-%02d.png'}", 11);
        struct nrd_app *app = run_one("PictureSourceOp", "{path: $/p, pixel_format: own}", &p);
        assert_int_equal(p->count, 11);
        for (size_t i = 0; i < 11; i++) {
            char name[128];
            assert_noise(p, i, kinds[k].channels, i);
            snprintf(name, sizeof(name), "%s/p/n-%02zu.png", unit_root, i);
            const struct nrd_value *metadata = nrd_message_metadata(p->messages[i]);
            assert_string_equal(nrd_value_text(nrd_value_get(metadata, "file")), name);
        }
        nrd_app_destroy(app);
    }
}

static void globs_files_repeats_counts_and_rates_are_kept(void **state)
{
    (void)state;
    struct probe *p;
    write_pictures("rgb", "{directory: $/q, pattern: '%d.png'}", 4);
    struct nrd_app *app = run_one("PictureSourceOp", "{path: '$/q/[12].png'}", &p);
    assert_int_equal(p->count, 2);
    assert_noise(p, 1, 3, 2);
    nrd_app_destroy(app);
    app = run_one("PictureSourceOp", "{path: $/q/3.png, repeat: true, count: 3, rate: 10}", &p);
    assert_int_equal(p->count, 3);
    assert_noise(p, 2, 3, 3);
    assert_int_equal(p->times[2] - p->times[0], 200000000);
    probe_clear(p);
    ok(nrd_app_run(app));
    assert_int_equal(p->count, 3);
    nrd_app_destroy(app);
}

static void the_sink_names_files_after_those_they_came_from(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    write_pictures("rgb", "{directory: $/r, pattern: 'cat.%d.png'}", 2);
    flow(add_named(f, "PictureSourceOp", "source", in_root("{path: $/r}")),
         add_named(f, "PictureSinkOp", "sink",
                   in_root("{directory: $/s, pattern: 'seen-{file}-%03d.jpg'}")));
    ok(nrd_app_run(app));
    struct file_list list;
    ok(file_list(in_root("$/s"), &list));
    assert_int_equal(list.count, 2); // and no half-written ones
    assert_string_equal(list.names[0], "seen-cat.0-000.jpg");
    assert_string_equal(list.names[1], "seen-cat.1-001.jpg");
    file_list_fini(&list);
    nrd_app_destroy(app);
}

static void damaged_pictures_end_the_run_or_are_left_out(void **state)
{
    (void)state;
    struct probe *p;
    write_pictures("rgb", "{directory: $/d, pattern: '%d.png'}", 3);
    struct str bytes = STR_INIT;
    ok(file_read(in_root("$/d/2.png"), 0, &bytes));
    str_truncate(&bytes, bytes.len - 20);
    ok(file_write(in_root("$/d/2.png"), str_slice(&bytes)));
    str_fini(&bytes);
    struct nrd_app *app = run_one("PictureSourceOp", "{path: $/d, ignore_damaged: true}", &p);
    assert_int_equal(p->count, 2);
    nrd_app_destroy(app);

    static const char *const cases[][2] = {
        {"{path: $/d}", "'$/d/2.png': a damaged PNG: the data ends early"},
        {"{path: $/d/2.png, ignore_damaged: true}", "no picture at '$/d/2.png' can be read"},
        {"{path: $/none}", "there is no picture at '$/none'"},
        {"{path: $/d, max_pixels: 100}", "'$/d/0.png': 21x13 pixels are more than max_pixels, 100"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        add_probe(f, add_named(f, "PictureSourceOp", "source", in_root(cases[i][0])), "");
        fails(nrd_app_run(app), in_root(cases[i][1]));
        nrd_app_destroy(app);
    }
}

static void patterns_that_name_no_file_are_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{pattern: 'a/%d.png'}", "is not the name of a file"},
        {"{pattern: '%s.png'}", "after % only d"},
        {"{pattern: '%d.gif'}", "say the format"},
    };
    for (size_t i = 0; i < 3; i++) {
        struct nrd_app *app = make_app();
        struct nrd_operator *op = NULL;
        fails(nrd_add_operator_yaml(nrd_app_fragment(app), "PictureSinkOp", "s", cases[i][0], &op),
              cases[i][1]);
        nrd_app_destroy(app);
    }
}

static void test_patterns_are_functions_of_seed_and_number(void **state)
{
    (void)state;
    static const char *const kinds[] = {"bars", "checker", "gradient", "noise"};
    for (size_t k = 0; k < 4; k++) {
        char params[160];
        struct probe *p, *again;
        snprintf(params, sizeof(params),
                 "{pattern: %s, width: 40, height: 6, seed: 9, count: 4, rate: 50}", kinds[k]);
        struct nrd_app *app = run_one("PatternSourceOp", params, &p);
        struct nrd_app *other = run_one("PatternSourceOp", params, &again);
        assert_int_equal(p->count, 4);
        assert_int_equal(p->times[3] - p->times[0], 60000000);
        for (size_t i = 0; i < 4; i++) {
            const struct nrd_tensor *a = probe_tensor(p, i), *b = probe_tensor(again, i);
            assert_int_equal(a->byte_size, 40 * 6 * 3);
            assert_memory_equal(a->data, b->data, a->byte_size);
            assert_memory_not_equal(a->data, probe_tensor(p, (i + 1) % 4)->data, a->byte_size);
        }
        nrd_app_destroy(app);
        nrd_app_destroy(other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_come_back_to_the_bit_in_the_order_of_names),
        cmocka_unit_test(globs_files_repeats_counts_and_rates_are_kept),
        cmocka_unit_test(the_sink_names_files_after_those_they_came_from),
        cmocka_unit_test(damaged_pictures_end_the_run_or_are_left_out),
        cmocka_unit_test(patterns_that_name_no_file_are_refused),
        cmocka_unit_test(test_patterns_are_functions_of_seed_and_number),
    };
    return cmocka_run_group_tests(tests, unit_setup, unit_teardown);
}
