// SPDX-License-Identifier: Apache-2.0
// backends/tensorflow/tf_proto.c: which signature is found, and the bytes of the session's settings. Expected bytes were
// written by TensorFlow's own messages.
#include "backends/tensorflow/tf_proto.h"
#include "tests/unit/backends/host.h"

static void write_field(struct str *out, int number, struct slice bytes)
{
    str_append_char(out, (char)(number << 3 | 2));
    str_append_char(out, (char)bytes.len);
    str_append_slice(out, bytes);
}

// One signature with a tensor under `field` (1 inputs, 2 outputs), appended as field 5 of a MetaGraphDef.
static void add_signature(struct str *out, const char *key, int field, const char *name,
                          struct slice info)
{
    struct str entry = STR_INIT;
    struct str signature = STR_INIT;
    struct str whole = STR_INIT;
    write_field(&entry, 1, slice_of(name));
    write_field(&entry, 2, info);
    write_field(&signature, field, str_slice(&entry));
    write_field(&whole, 1, slice_of(key));
    write_field(&whole, 2, str_slice(&signature));
    write_field(out, 5, str_slice(&whole));
    str_fini(&entry);
    str_fini(&signature);
    str_fini(&whole);
}

#define INFO                                                                                       \
    SLICE(                                                                                         \
        "\x0a\x03"                                                                                 \
        "a:0\x10\x01\x1a\x11\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x02\x08\x02")

static void signature_is_read_whole(void **state)
{
    (void)state;
    struct str bytes = STR_INIT;
    struct arena arena;
    struct tf_signature s = {0};
    bool found = false;
    arena_init(&arena, 0);
    add_signature(&bytes, "other", 1, "q", INFO);
    add_signature(&bytes, "serving_default", 1, "x", INFO);
    assert_null(tf_read_signature(&arena, str_slice(&bytes), "", &found, &s));
    assert_true(found);
    assert_string_equal(s.key, "serving_default");
    assert_int_equal(s.inputs.count, 1);
    assert_int_equal(s.outputs.count, 0);
    assert_string_equal(s.inputs.items[0].name, "x");
    assert_string_equal(s.inputs.items[0].tensor, "a:0");
    assert_int_equal(s.inputs.items[0].type, 1);
    assert_true(s.inputs.items[0].known_rank);
    assert_int_equal(s.inputs.items[0].dim_count, 2);
    assert_int_equal(s.inputs.items[0].dims[0], -1);
    assert_int_equal(s.inputs.items[0].dims[1], 2);
    arena_fini(&arena);
    str_fini(&bytes);
}

static void signature_stands_in_by_name_only_if_nobody_is_asked_for(void **state)
{
    (void)state;
    struct str bytes = STR_INIT;
    struct arena arena;
    struct tf_signature s = {0};
    bool found = false;
    arena_init(&arena, 0);
    add_signature(&bytes, "__saved_model_init_op", 2, "o", SLICE("\x0a\x01i"));
    assert_null(tf_read_signature(&arena, str_slice(&bytes), "", &found, &s));
    assert_false(found);
    add_signature(&bytes, "zz", 1, "s", SLICE("\x22\x00"));
    add_signature(&bytes, "b", 2, "y",
                  SLICE("\x0a\x03"
                        "b:1\x10\x09\x1a\x02\x18\x01"));
    assert_null(tf_read_signature(&arena, str_slice(&bytes), "", &found, &s));
    assert_true(found);
    assert_string_equal(s.key, "b");
    assert_false(s.outputs.items[0].known_rank);
    assert_null(tf_read_signature(&arena, str_slice(&bytes), "zz", &found, &s));
    assert_true(found);
    assert_string_equal(s.inputs.items[0].tensor, "");
    assert_null(tf_read_signature(&arena, str_slice(&bytes), "nobody", &found, &s));
    assert_false(found);
    arena_fini(&arena);
    str_fini(&bytes);
}

static void signature_cut_short_is_an_error(void **state)
{
    (void)state;
    struct str bytes = STR_INIT;
    struct arena arena;
    struct tf_signature s = {0};
    bool found = false;
    add_signature(&bytes, "serving_default", 1, "x", INFO);
    for (size_t length = 1; length < bytes.len; length++) {
        arena_init(&arena, 0);
        struct nrd_status *status =
            tf_read_signature(&arena, slice_make(bytes.ptr, length), "", &found, &s);
        assert_non_null(status);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        status_free(status);
        arena_fini(&arena);
    }
    str_fini(&bytes);
}

static void settings_have_tensorflows_bytes(void **state)
{
    (void)state;
    static const char all[] = "\x0a\x07\x0a\x03\x47\x50\x55\x10\x00\x10\x03\x28\xac\x02\x32\x0b\x09"
                              "\x00\x00\x00\x00\x00\x00"
                              "\xe0\x3f\x20\x01\x38\x01\x48\x01\x52\x12\x1a\x0b\x28\xff\xff\xff\xff"
                              "\xff\xff\xff\xff\xff\x01"
                              "\x52\x03\xb8\x01\x01";
    struct tf_config config = {.intra_op_threads = 3,
                               .inter_op_threads = 300,
                               .per_session_threads = true,
                               .soft_placement = true,
                               .no_gpu = true,
                               .gpu_memory_fraction = 0.5,
                               .gpu_allow_growth = true,
                               .jit_level = -1,
                               .auto_mixed_precision = true};
    struct str out = STR_INIT;
    tf_write_config(&config, &out);
    assert_int_equal(out.len, sizeof(all) - 1);
    assert_memory_equal(out.ptr, all, out.len);
    str_clear(&out);
    config = (struct tf_config){0};
    tf_write_config(&config, &out);
    assert_int_equal(out.len, 0);
    str_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signature_is_read_whole),
        cmocka_unit_test(signature_stands_in_by_name_only_if_nobody_is_asked_for),
        cmocka_unit_test(signature_cut_short_is_an_error),
        cmocka_unit_test(settings_have_tensorflows_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
