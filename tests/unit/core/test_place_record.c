// SPDX-License-Identifier: Apache-2.0
// Records of placement: their form, the cache, keys, and what a request costs by them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "core/place/record.h"

static struct place_record sample(void)
{
    return (struct place_record){
        .instances = 2,
        .memory_bytes = UINT64_C(5) << 30,
        .load_s = 1.25,
        .points = {{1, 0.002, 0.001}, {4, 0.005, 0.004}, {8, 0.009, 0.008}},
        .point_count = 3,
    };
}

static struct nrd_status *read_text(const char *text, struct place_record *record)
{
    return record_read(slice_of(text), record);
}

static void record_that_was_written_reads_the_same(void **unused)
{
    (void)unused;
    struct place_record record = sample();
    struct place_record again;
    struct str text = STR_INIT;
    snprintf(record.untimed, sizeof(record.untimed), "said \"no\"");
    record_write(&record, "m\"x", "GPU", &text);
    assert_null(record_read(str_slice(&text), &again));
    assert_int_equal(again.instances, 2);
    assert_int_equal(again.memory_bytes, record.memory_bytes);
    assert_int_equal(again.point_count, 3);
    assert_true(again.points[1].serial_s == 0.005 && again.points[2].busy_s == 0.008);
    assert_string_equal(again.untimed, record.untimed);
    str_fini(&text);
}

static void cost_is_in_proportion_between_the_points_and_beyond(void **unused)
{
    (void)unused;
    struct place_record record = sample();
    double serial = 0;
    double busy = 0;
    assert_true(record_cost(&record, 4, &serial, &busy));
    assert_true(serial == 0.005 && busy == 0.004);
    assert_true(record_cost(&record, 6, &serial, &busy));
    assert_float_equal(serial, 0.007, 1e-12);
    assert_float_equal(busy, 0.006, 1e-12);
    assert_true(record_cost(&record, 16, &serial, &busy));
    assert_float_equal(busy, 0.016, 1e-12);
    record.point_count = 0;
    assert_false(record_cost(&record, 1, &serial, &busy));
}

static void what_is_no_record_is_refused_by_its_member(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        const char *member;
    } cases[] = {
        {"[]", "'schema'"},
        {"{\"schema\":2}", "'schema'"},
        {"{\"schema\":1,\"instances\":0}", "'instances'"},
        {"{\"schema\":1,\"instances\":1,\"memory_bytes\":-1}", "'memory_bytes'"},
        {"{\"schema\":1,\"instances\":1,\"memory_bytes\":1,\"load_s\":1e9}", "'load_s'"},
        {"{\"schema\":1,\"instances\":1,\"memory_bytes\":1,\"load_s\":1,\"untimed\":1}",
         "'untimed'"},
        {"{\"schema\":1,\"instances\":1,\"memory_bytes\":1,\"load_s\":1,\"untimed\":\"\","
         "\"points\":["
         "{\"rows\":2,\"serial_s\":1,\"busy_s\":1},{\"rows\":2,\"serial_s\":1,\"busy_s\":1}]}",
         "'points'"},
        {"{\"schema\":1,\"instances\":1,\"memory_bytes\":1,\"load_s\":1,\"untimed\":\"\","
         "\"points\":["
         "{\"rows\":2,\"serial_s\":-1,\"busy_s\":1}]}",
         "'points'"},
        {"{", "placement record"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct place_record record;
        struct nrd_status *status = read_text(cases[i].text, &record);
        assert_non_null(status);
        assert_non_null(strstr(status_text(status), cases[i].member));
        status_free(status);
    }
}

static void cache_gives_back_what_was_stored_and_nothing_else(void **unused)
{
    (void)unused;
    char folder[] = "/tmp/nereid-test-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("NEREID_CACHE_DIR", folder, 1), 0);
    struct place_record record = sample();
    struct place_record found;
    assert_false(record_find("key", &found));
    record_store("key", &record, "m", "GPU");
    assert_true(record_find("key", &found));
    assert_int_equal(found.memory_bytes, record.memory_bytes);
    assert_false(record_find("other", &found));
    struct str path = STR_INIT;
    str_printf(&path, "%s/placement/key.json", folder);
    assert_null(file_write(str_cstr(&path), SLICE("{\"schema\":1")));
    log_set_enabled(LOG_WARNING, false);
    assert_false(record_find("key", &found));
    log_set_enabled(LOG_WARNING, true);
    str_fini(&path);
    assert_null(file_remove_tree(folder));
}

static void hash_text_of(const char *directory, char text[33])
{
    struct record_hash hash;
    record_hash_init(&hash);
    assert_null(record_hash_add_tree(&hash, directory));
    record_hash_text(&hash, text);
}

static void key_changes_with_any_byte_and_any_name(void **unused)
{
    (void)unused;
    char folder[] = "/tmp/nereid-test-XXXXXX";
    char path[64];
    char other[64];
    char keys[4][33];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/model.pt", folder);
    snprintf(other, sizeof(other), "%s/model.onnx", folder);
    assert_null(file_write(path, SLICE("0123456789abcdef")));
    hash_text_of(folder, keys[0]);
    hash_text_of(folder, keys[1]);
    assert_string_equal(keys[0], keys[1]);
    assert_null(file_write(path, SLICE("0123456789abcdeg")));
    hash_text_of(folder, keys[1]);
    assert_null(file_write(path, SLICE("0123456789abcde")));
    hash_text_of(folder, keys[2]);
    assert_null(file_write(path, SLICE("0123456789abcdef")));
    assert_int_equal(rename(path, other), 0);
    hash_text_of(folder, keys[3]);
    for (unsigned a = 0; a < 4; a++) {
        for (unsigned b = a + 1; b < 4; b++) {
            assert_string_not_equal(keys[a], keys[b]);
        }
    }
    assert_null(file_remove_tree(folder));
}

static void hash_tells_texts_apart_that_differ_in_one_bit_or_in_where_they_are_cut(void **unused)
{
    (void)unused;
    enum { COUNT = 512 };
    static char keys[COUNT + 1][33];
    char bytes[64];
    struct record_hash hash;
    memset(bytes, 0, sizeof(bytes));
    for (unsigned i = 0; i < COUNT; i++) {
        bytes[i / 8] = (char)(1u << (i % 8));
        record_hash_init(&hash);
        record_hash_add(&hash, slice_make(bytes, sizeof(bytes)));
        record_hash_text(&hash, keys[i]);
        bytes[i / 8] = 0;
    }
    record_hash_init(&hash);
    record_hash_add(&hash, slice_make(bytes, 32));
    record_hash_add(&hash, slice_make(bytes, 32));
    record_hash_text(&hash, keys[COUNT]);
    for (unsigned a = 0; a <= COUNT; a++) {
        for (unsigned b = a + 1; b <= COUNT; b++) {
            assert_string_not_equal(keys[a], keys[b]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_that_was_written_reads_the_same),
        cmocka_unit_test(cost_is_in_proportion_between_the_points_and_beyond),
        cmocka_unit_test(what_is_no_record_is_refused_by_its_member),
        cmocka_unit_test(cache_gives_back_what_was_stored_and_nothing_else),
        cmocka_unit_test(key_changes_with_any_byte_and_any_name),
        cmocka_unit_test(hash_tells_texts_apart_that_differ_in_one_bit_or_in_where_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
