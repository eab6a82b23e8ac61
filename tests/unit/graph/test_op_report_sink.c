// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "picture_unit.h"

static char path[] = "/tmp/nereid-report-XXXXXX";

// Runs with the given parameters (without braces); returns what was written.
static const char *report(const char *params)
{
    static struct str text;
    char all[512];
    ok(file_write(path, SLICE("")));
    snprintf(all, sizeof(all), "{path: %s, %s}", path, params);
    ok(unit_run(&report_sink_op, all));
    str_fini(&text);
    ok(file_read(path, 0, &text));
    static char copy[8192];
    snprintf(copy, sizeof(copy), "%s", str_cstr(&text));
    str_fini(&text);
    return copy;
}

static void give_answers(void)
{
    struct nrd_tensor *kinds = unit_give("kinds", NRD_DTYPE_F32, 1, 4),
                      *map = unit_give("map", NRD_DTYPE_F32, 1, 3, 8, 10),
                      *features = unit_give("features", NRD_DTYPE_F32, 1, 3);
    static const float k[4] = {0.1f, 0.7f, 0.15f, 0.05f}, f[3] = {3.0f, 4.0f, 0.0f};
    memcpy(kinds->data, k, sizeof(k));
    memcpy(features->data, f, sizeof(f));
    for (int i = 0; i < 80; i++) { // a quarter of class 2, the rest of class 0
        ((float *)map->data)[(i < 20 ? 2 : 0) * 80 + i] = 1.0f;
    }
}

static void each_kind_of_answer_is_told_from_its_shape(void **state)
{
    (void)state;
    give_answers();
    assert_string_equal(
        report("top: 2, summary: false, labels: {kinds: [a, nut, c, d], map: [belt, x, gear]}"),
        "op #0: kinds: nut 70.0 %, c 15.0 %; map: belt 75.0 %, gear 25.0 %; "
        "features: FP32 [1,3], norm 5, mean 2.333, 0 to 4\n");
    unit_forget();
}

static void lines_are_rare_and_the_summary_counts_all(void **state)
{
    (void)state;
    give_answers();
    unit.sends = 50;
    const char *text = report("interval: 1h, labels: {kinds: [a, nut]}");
    assert_non_null(strstr(text, "op #0: "));
    assert_null(strstr(text, "op #1: "));
    assert_non_null(strstr(text, "op: 50 messages"));
    assert_non_null(strstr(text, "  kinds: nut 50 (mean best score 0.700)\n"));
    assert_non_null(strstr(text, "  map: 0 75.0 %, 2 25.0 %\n"));
    assert_non_null(strstr(text, "  features: 50 vectors, mean norm 5\n"));
    text = report("interval: 0, summary: false");
    assert_non_null(strstr(text, "op #49: "));
    unit_forget();
}

static void json_lines_say_the_same(void **state)
{
    (void)state;
    give_answers();
    const char *text = report("format: json, top: 1, kinds: {features: ignore}");
    assert_non_null(strstr(text, "{\"operator\":\"op\",\"message\":0,\"time_ns\":"));
    assert_non_null(strstr(text, "\"kinds\":[{\"kind\":\"classification\",\"classes\":[{\"class\":"
                                 "1,\"label\":\"1\",\"score\":0.69"));
    assert_non_null(strstr(text, "\"map\":[{\"kind\":\"segmentation\",\"classes\":[{\"class\":0,"
                                 "\"label\":\"0\",\"share\":0.75}]}]"));
    assert_null(strstr(text, "\"features\":["));
    assert_non_null(strstr(text, "\"summary\":{\"kinds\":{\"items\":1,\"1\":1}"));
    unit_forget();
}

static void batches_and_texts_and_other_types_are_said(void **state)
{
    (void)state;
    struct nrd_tensor *batch = unit_give("batch", NRD_DTYPE_F32, 2, 2),
                      *number = unit_give("number", NRD_DTYPE_I64, 1);
    static const float b[4] = {0.25f, 0.75f, 1.0f, 0.0f};
    memcpy(batch->data, b, sizeof(b));
    ((int64_t *)number->data)[0] = -5;
    struct nrd_tensor *names = NULL;
    static char bytes[] = "\x07\0\0\0hex_nut\x02\0\0\0ab";
    static const int64_t dims[1] = {2};
    ok(nrd_tensor_wrap(bytes, sizeof(bytes) - 1, NRD_DTYPE_BYTES, dims, 1, NRD_MEMORY_CPU, 0, NULL,
                       NULL, &names));
    unit.tensors[unit.count++] = (struct unit_tensor){"names", names};
    assert_string_equal(report("summary: false, top: 1"),
                        "op #0: batch: 1 75.0 % | 0 100.0 %; number: INT64 [1], norm 5, mean -5, "
                        "-5 to -5; names: hex_nut\n");
    unit_forget();
}

static void pictures_are_not_taken_for_classes(void **state)
{
    (void)state;
    struct nrd_tensor *planes = unit_give("planes", NRD_DTYPE_F32, 1, 3, 16, 16);
    struct nrd_tensor *packed = unit_give("packed", NRD_DTYPE_F32, 16, 16, 3);
    for (int i = 0; i < 3 * 16 * 16; i++) {
        ((float *)planes->data)[i] = (float)i / 800.0f;
        ((float *)packed->data)[i] = (float)i / 800.0f;
    }
    unit_give("bytes", NRD_DTYPE_U8, 16, 16, 3);
    const char *text = report("summary: false");
    assert_non_null(strstr(text, "planes: FP32 [1,3,16,16], norm"));
    assert_non_null(strstr(text, "packed: FP32 [16,16,3], norm"));
    assert_non_null(strstr(text, "bytes: UINT8 [16,16,3], norm 0"));
    unit_forget();
}

static void sink_refuses_by_name(void **state)
{
    (void)state;
    give_answers();
    fails(unit_run(&report_sink_op, "{kinds: {kinds: vector}}"), "'vector'");
    fails(unit_run(&report_sink_op, "{kinds: {features: segmentation}}"),
          "tensor 'features' of FP32 [1,3] cannot be read as segmentation");
    fails(unit_run(&report_sink_op, "{path: /proc/nowhere/x}"), "/proc/nowhere/x");
    fails(unit_run(&report_sink_op, "{labels: /proc/nowhere.txt, path: /dev/null}"),
          "/proc/nowhere.txt");
    unit_forget();
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}
static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_answer_is_told_from_its_shape),
        cmocka_unit_test(lines_are_rare_and_the_summary_counts_all),
        cmocka_unit_test(json_lines_say_the_same),
        cmocka_unit_test(batches_and_texts_and_other_types_are_said),
        cmocka_unit_test(pictures_are_not_taken_for_classes),
        cmocka_unit_test(sink_refuses_by_name),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
