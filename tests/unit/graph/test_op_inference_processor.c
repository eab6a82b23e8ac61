// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "picture_unit.h"

static char folder[] = "/tmp/nereid-processor-XXXXXX";

// Runs with standard output in a file; returns what was written, in a static buffer.
static const char *printed(const char *params)
{
    static char text[4096];
    char path[128];
    snprintf(path, sizeof(path), "%s/out", folder);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO), file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(saved >= 0 && file >= 0);
    dup2(file, STDOUT_FILENO);
    struct nrd_status *status = unit_run(&inference_processor_op, params);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    close(file);
    ok(status);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void maxima_are_scaled_by_the_size(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("heat", NRD_DTYPE_F32, 1, 4, 5, 3);
    float *v = t->data;
    v[(2 * 5 + 3) * 3 + 1] = 9.0f;
    v[(3 * 5 + 4) * 3 + 1] = 9.0f; // equal, later
    v[(1 * 5 + 0) * 3 + 2] = 0.5f;
    v[(3 * 5 + 3) * 3 + 0] = 5.0f; // the background is not looked for
    ok(unit_run(&inference_processor_op, "{process_operations: {heat: [max_per_channel_scaled]}, "
                                         "processed_map: {heat: [points]}, in_tensor_names: [heat],"
                                         " out_tensor_names: [points]}"));
    const float *p = unit_result("points", NRD_DTYPE_F32, 1, 6)->data;
    static const float expected[6] = {0.0f, 0.0f, 0.5f, 0.6f, 0.25f, 0.0f};
    assert_memory_equal(p, expected, sizeof(expected));
    unit_forget();
}

static void histograms_are_made_even(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("m", NRD_DTYPE_F32, 1, 2, 2);
    static const float v[4] = {0.0f, 1.0f, 1.0f, 2.0f};
    memcpy(t->data, v, sizeof(v));
    ok(unit_run(&inference_processor_op,
                "{process_operations: {m: scale_intensity_cpu}, processed_map: {m: gray}}"));
    // One value of the lowest level; three quarters and all above it: (3 - 1) / 3 and (4 - 1) / 3 of 255.
    const uint8_t *p = unit_result("gray", NRD_DTYPE_U8, 2, 2, 3)->data;
    assert_memory_equal(p, ((uint8_t[]){0, 0, 0, 170, 170, 170, 170, 170, 170, 255, 255, 255}), 12);
    unit_forget();
}

static void an_even_map_has_no_range_and_is_black(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("m", NRD_DTYPE_F32, 1, 1, 3);
    for (int i = 0; i < 3; i++) {
        ((float *)t->data)[i] = 7.0f;
    }
    ok(unit_run(&inference_processor_op,
                "{process_operations: {m: scale_intensity_cpu}, processed_map: {m: gray}}"));
    const uint8_t *p = unit_result("gray", NRD_DTYPE_U8, 1, 3, 3)->data;
    assert_int_equal(p[0], p[8]);
    unit_forget();
}

static void numbers_are_printed_as_holoscan_prints_them(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("a", NRD_DTYPE_F32, 3), *u = unit_give("b", NRD_DTYPE_I32, 2);
    static const float v[3] = {0.5f, -2.0f, 1e-7f};
    static const int32_t w[2] = {-3, 4};
    memcpy(t->data, v, sizeof(v));
    memcpy(u->data, w, sizeof(w));
    assert_string_equal(
        printed("{process_operations: {a: [print], b: [print_int32]}}"),
        "Printing results from a -> 0.5, -2, 1e-07\nPrinting results from b -> -3, 4\n");
    assert_null(unit.kept); // no operation has a result, so nothing is sent
    unit_forget();
}

static void binary_classifications_are_printed_and_exported(void **state)
{
    (void)state;
    struct nrd_tensor *t = unit_give("c", NRD_DTYPE_F32, 1, 2);
    static const float v[2] = {2.0f, -1.0f};
    memcpy(t->data, v, sizeof(v));
    assert_string_equal(
        printed("{process_operations: {c: ['print_custom_binary_classification,Polyp,Nothing']}}"),
        "Polyp. Confidence: 0.880797\n");
    setenv("HOLOSCAN_ANALYTICS_DATA_DIRECTORY", folder, 1);
    unit.sends = 2;
    ok(unit_run(
        &inference_processor_op,
        "{process_operations: {c: ['export_binary_classification_to_csv,app,A,B,Confidence']}}"));
    unsetenv("HOLOSCAN_ANALYTICS_DATA_DIRECTORY");
    char path[128];
    snprintf(path, sizeof(path), "%s/app", folder);
    struct file_list list;
    ok(file_list(path, &list));
    assert_int_equal(list.count, 1);
    snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s/data.csv", list.names[0]);
    file_list_fini(&list);
    struct str text = STR_INIT;
    ok(file_read(path, 0, &text));
    assert_string_equal(str_cstr(&text), "A,B,Confidence\n1,0,0.880797\n1,0,0.880797\n");
    str_fini(&text);
    unit_forget();
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    ok(file_write(path, slice_of(text)));
}

static void give_detections(void)
{
    struct nrd_tensor *scores = unit_give("scores", NRD_DTYPE_F32, 4),
                      *labels = unit_give("labels", NRD_DTYPE_I64, 4),
                      *boxes = unit_give("boxes", NRD_DTYPE_F32, 4, 4);
    static const float s[4] = {0.9f, 0.2f, 0.8f, 0.95f};
    static const int64_t l[4] = {1, 1, 1, 7};
    static const float b[16] = {10, 20, 50, 60, 0, 0, 1, 1, 20, 40, 100, 200, 0, 0, 100, 200};
    memcpy(scores->data, s, sizeof(s));
    memcpy(labels->data, l, sizeof(l));
    memcpy(boxes->data, b, sizeof(b));
}

static void check_floats(const char *name, const float *expected, uint32_t count)
{
    struct nrd_tensor *t = nrd_message_tensor(unit.kept, name);
    assert_non_null(t);
    assert_int_equal(nrd_tensor_elements(t), count);
    for (uint32_t i = 0; i < count; i++) {
        float off = ((const float *)t->data)[i] - expected[i];
        assert_true(off < 1e-6f && off > -1e-6f);
    }
}

static void boxes_are_made_for_each_object_that_is_configured(void **state)
{
    (void)state;
    write_file("boxes.yaml", "generate_boxes:\n  display: {width: 100, height: 200}\n"
                             "  params: {label_file: labels.txt, threshold: 0.5}\n"
                             "  objects: {person: 2, object: 1, cat: 1}\n");
    write_file("labels.txt", "nothing\nperson\ncat\n");
    give_detections();
    char params[256];
    snprintf(params, sizeof(params),
             "{process_operations: {'scores:labels:boxes': [generate_boxes]}, config_path: "
             "%s/boxes.yaml}",
             folder);
    ok(unit_run(&inference_processor_op, params));
    static const float none[4] = {0}, hidden[3] = {1.1f, 1.1f, 0.05f};
    check_floats("person0", (float[]){0.1f, 0.1f, 0.5f, 0.3f}, 4);
    check_floats("persontext0", (float[]){0.5f, 0.1f, 0.05f}, 3);
    check_floats("person1", (float[]){0.2f, 0.2f, 1.0f, 1.0f}, 4);
    check_floats("object0", (float[]){0.0f, 0.0f, 1.0f, 1.0f}, 4); // class 7 has no label
    check_floats("cat0", none, 4);
    check_floats("cattext0", hidden, 3);
    unit_forget();
}

static void masks_are_painted_in_their_colours(void **state)
{
    (void)state;
    write_file("masks.yaml", "generate_boxes:\n  display: {width: 2, height: 1}\n"
                             "  params: {label_file: labels.txt}\n  objects: {person: 1}\n  color: "
                             "{person: 1 0.5 0 0.25}\n");
    write_file("labels.txt", "nothing\nperson\n");
    struct nrd_tensor *scores = unit_give("scores", NRD_DTYPE_F32, 1),
                      *labels = unit_give("labels", NRD_DTYPE_I64, 1),
                      *masks = unit_give("masks", NRD_DTYPE_F32, 1, 1, 2);
    ((float *)scores->data)[0] = 0.8f;
    ((int64_t *)labels->data)[0] = 1;
    ((float *)masks->data)[1] = 0.9f;
    char params[256];
    snprintf(
        params, sizeof(params),
        "{process_operations: {'scores:labels:masks': generate_boxes}, config_path: %s/masks.yaml}",
        folder);
    ok(unit_run(&inference_processor_op, params));
    check_floats("holoviz_masks", (float[]){0, 0, 0, 0, 1.0f, 0.5f, 0.0f, 0.25f}, 8);
    unit_forget();
}

static void processor_refuses_by_name(void **state)
{
    (void)state;
    unit_give("a", NRD_DTYPE_F32, 3);
    fails(unit_run(&inference_processor_op, "{process_operations: {a: [shrink]}}"),
          "t.yaml:1:26: unknown operation 'shrink'");
    static const struct {
        const char *params, *part;
    } kernels[] = {
        {"{process_operations: {a: custom_cuda_kernel-1}, processed_map: {a: b}}",
         "no 'cuda_kernel-1'"},
        {"{process_operations: {a: custom_cuda_kernel-1}}", "processed_map"},
        {"{process_operations: {a: custom_cuda_kernel}, processed_map: {a: b}}",
         "is not custom_cuda_kernel-<id>"},
        {"{process_operations: {a: custom_cuda_kernel-x}, processed_map: {a: b}, custom_kernels: "
         "{cuda_kernel-x: t, out_dtype-x: float}}",
         "'float'"},
        {"{process_operations: {a: custom_cuda_kernel-x}, processed_map: {a: b}, custom_kernels: "
         "{cuda_kernel-x: t, thread_per_block-x: '64,32'}}",
         "at most 1024 threads"},
        {"{process_operations: {a: custom_cuda_kernel-x}, processed_map: {a: b}, custom_kernels: "
         "{cuda_kernel-x: t, output_dimensions-x: '4,,2'}}",
         "numbers with commas"},
        {"{process_operations: {a: custom_cuda_kernel-x}, processed_map: {a: b}, custom_kernels: "
         "{cuda_kernel-x: /proc/nowhere.cu}}",
         "/proc/nowhere.cu"},
    };
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        fails(unit_run(&inference_processor_op, kernels[i].params), kernels[i].part);
    }
    fails(unit_run(&inference_processor_op, "{process_operations: {a: [print, print]}}"),
          "'a' has 2");
    fails(unit_run(&inference_processor_op, "{process_operations: [a]}"), "no map");
    fails(unit_run(&inference_processor_op,
                   "{process_operations: {a: 'print_custom_binary_classification,A'}}"),
          "3 words");
    fails(unit_run(&inference_processor_op, "{process_operations: {a: max_per_channel_scaled}}"),
          "processed_map");
    fails(unit_run(&inference_processor_op,
                   "{process_operations: {a: max_per_channel_scaled}, processed_map: {a: b}}"),
          "tensor 'a' of FP32 [3]");
    fails(unit_run(&inference_processor_op, "{process_operations: {b: print}}"), "'b'");
    fails(unit_run(&inference_processor_op, "{process_operations: {a: print_int32}}"),
          "expected INT32");
    fails(unit_run(&inference_processor_op,
                   "{process_operations: {'scores:labels:boxes': generate_boxes}}"),
          "config_path");
    fails(unit_run(&inference_processor_op, "{process_operations: {'scores:labels:boxes': "
                                            "generate_boxes}, config_path: /proc/nowhere.yaml}"),
          "/proc/nowhere.yaml");
    unit_forget();
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}
static int remove_folder(void **state)
{
    (void)state;
    ok(file_remove_tree(folder));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maxima_are_scaled_by_the_size),
        cmocka_unit_test(histograms_are_made_even),
        cmocka_unit_test(an_even_map_has_no_range_and_is_black),
        cmocka_unit_test(numbers_are_printed_as_holoscan_prints_them),
        cmocka_unit_test(binary_classifications_are_printed_and_exported),
        cmocka_unit_test(boxes_are_made_for_each_object_that_is_configured),
        cmocka_unit_test(masks_are_painted_in_their_colours),
        cmocka_unit_test(processor_refuses_by_name),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
