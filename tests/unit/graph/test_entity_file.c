// SPDX-License-Identifier: Apache-2.0
// Holoscan's recordings: what is written is read again, the bytes are those that Holoscan writes, and damage is named.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "graph/ops/entity_file.h"

static char root[64];

static int setup(void **state)
{
    (void)state;
    memcpy(root, "/tmp/nereid-entity-XXXXXX", sizeof("/tmp/nereid-entity-XXXXXX"));
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    struct nrd_status *status = file_remove_tree(root);
    int bad = status != NULL ? -1 : 0;
    status_free(status);
    return bad;
}

static void assert_fails(struct nrd_status *status, enum nrd_code code, const char *part)
{
    assert_int_equal(status_code(status), code);
    if (strstr(status_text(status), part) == NULL) {
        fail_msg("'%s' does not have '%s'", status_text(status), part);
    }
    status_free(status);
}

static struct nrd_tensor tensor_of(void *data, enum nrd_dtype dtype, int64_t a, int64_t b,
                                   int64_t c)
{
    struct nrd_tensor t = {.data = data, .dtype = dtype, .rank = 3, .dims = {a, b, c}};
    t.byte_size = (size_t)(a * b * c) * nrd_dtype_size(dtype);
    return t;
}

// Records `frames` frames of 2 x 3 x 3 bytes named "frame", counting up.
static void record(const char *basename, uint64_t frames)
{
    struct entity_writer *w = NULL;
    uint8_t bytes[18];
    assert_null(entity_writer_create(root, basename, &w));
    for (uint64_t f = 0; f < frames; f++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)(f + i);
        }
        struct nrd_tensor t = tensor_of(bytes, NRD_DTYPE_U8, 2, 3, 3);
        struct entity_part part = {"frame", &t};
        assert_null(entity_writer_add(w, &part, 1, 1000 + 40 * f, -1, false));
    }
    assert_int_equal(entity_writer_count(w), frames);
    assert_null(entity_writer_close(w));
}

static char *file_of(const char *name)
{
    char *path = path_join(root, name);
    assert_non_null(path);
    return path;
}

// Reads a whole file, lets `change` edit it, and writes it again.
static void edit(const char *name, void (*change)(struct str *bytes))
{
    char *path = file_of(name);
    struct str bytes = STR_INIT;
    assert_null(file_read(path, 0, &bytes));
    change(&bytes);
    assert_null(file_write(path, str_slice(&bytes)));
    str_fini(&bytes);
    mem_free(path);
}

static void frames_are_read_as_they_were_written(void **state)
{
    (void)state;
    record("plain", 3);
    struct entity_reader *r = NULL;
    assert_null(entity_reader_open(root, "plain", &r));
    assert_int_equal(entity_reader_count(r), 3);
    assert_int_equal(entity_reader_rest(r), 0);
    for (uint64_t f = 3; f-- > 0;) { // any order
        struct entity_index index;
        struct entity entity;
        uint8_t bytes[18];
        assert_null(entity_reader_head(r, f, &index, &entity));
        assert_int_equal(index.log_time, 1000 + 40 * f);
        assert_int_equal(entity.sequence, f);
        assert_int_equal(entity.count, 1);
        assert_string_equal(entity.tensors[0].name, "frame");
        assert_int_equal(entity.tensors[0].dtype, NRD_DTYPE_U8);
        assert_int_equal(entity.tensors[0].rank, 3);
        assert_int_equal(entity.tensors[0].dims[1], 3);
        assert_int_equal(entity.tensors[0].body_size, sizeof(bytes));
        assert_null(entity_reader_body(r, f, &index, &entity.tensors[0], bytes));
        for (size_t i = 0; i < sizeof(bytes); i++) {
            assert_int_equal(bytes[i], (uint8_t)(f + i));
        }
    }
    entity_reader_close(r);
}

static void bytes_are_those_that_holoscan_writes(void **state)
{
    (void)state;
    // A frame {"frame": uint8 2x3x3} as Holoscan 4.6's recorder wrote it, but for the elements.
    static const char want[] = "0000000000000000"
                               "00000000"
                               "0000000000000000"
                               "00000000"
                               "0100000000000000"
                               "0000000000000000"
                               "0000000000000000"
                               "7c44bf9ad6017537"
                               "b83af3d4140117a6"
                               "0500000000000000"
                               "6672616d65"
                               "02000000"
                               "02000000"
                               "0100000000000000"
                               "03000000"
                               "0200000003000000030000000100000001000000010000000100000001000000"
                               "0900000000000000"
                               "0300000000000000"
                               "0100000000000000"
                               "0000000000000000"
                               "0000000000000000"
                               "0000000000000000"
                               "0000000000000000"
                               "0000000000000000";
    record("bytes", 1);
    char *path = file_of("bytes.gxf_entities");
    struct str bytes = STR_INIT;
    assert_null(file_read(path, 0, &bytes));
    assert_int_equal(bytes.len, 40 + 32 + 5 + 116 + 18);
    for (size_t i = 0; i < bytes.len - 18; i++) {
        char hex[3] = {want[2 * i], want[2 * i + 1], 0};
        assert_int_equal((uint8_t)bytes.ptr[i], strtoul(hex, NULL, 16));
    }
    str_fini(&bytes);
    mem_free(path);
}

static void several_tensors_and_a_timestamp_are_kept(void **state)
{
    (void)state;
    struct entity_writer *w = NULL;
    float a[2] = {1.5f, -2};
    int64_t b[3] = {7, 8, 9};
    struct nrd_tensor ta = tensor_of(a, NRD_DTYPE_F32, 1, 2, 1);
    struct nrd_tensor tb = tensor_of(b, NRD_DTYPE_I64, 3, 1, 1);
    struct nrd_tensor scalar = {.data = a, .byte_size = 4, .dtype = NRD_DTYPE_F32};
    struct entity_part parts[] = {{"a", &ta}, {"", &tb}, {"one", &scalar}};
    assert_null(entity_writer_create(root, "several", &w));
    assert_null(entity_writer_add(w, parts, 3, 5, 123456789, true));
    assert_null(entity_writer_close(w));

    struct entity_reader *r = NULL;
    struct entity_index index;
    struct entity entity;
    assert_null(entity_reader_open(root, "several", &r));
    assert_null(entity_reader_head(r, 0, &index, &entity));
    assert_int_equal(entity.count, 3);
    assert_int_equal(entity.size, index.data_size);
    assert_true(entity.has_timestamp);
    assert_int_equal(entity.acquired_ns, 123456789);
    assert_string_equal(entity.tensors[1].name, "");
    assert_int_equal(entity.tensors[1].dtype, NRD_DTYPE_I64);
    int64_t got[3];
    assert_null(entity_reader_body(r, 0, &index, &entity.tensors[1], got));
    assert_memory_equal(got, b, sizeof(b));
    assert_int_equal(entity.tensors[2].rank, 1);
    assert_int_equal(entity.tensors[2].dims[0], 1);
    entity_reader_close(r);
}

static void column_major(struct str *bytes)
{
    // Strides of a 2 x 3 x 3 tensor whose first index runs fastest.
    static const uint8_t strides[] = {1, 2, 6};
    for (size_t i = 0; i < 3; i++) {
        bytes->ptr[40 + 32 + 5 + 52 + 8 * i] = (char)strides[i];
    }
}

static void other_orders_of_elements_are_made_row_major(void **state)
{
    (void)state;
    record("order", 1);
    edit("order.gxf_entities", column_major);
    struct entity_reader *r = NULL;
    struct entity_index index;
    struct entity entity;
    uint8_t got[18];
    assert_null(entity_reader_open(root, "order", &r));
    assert_null(entity_reader_head(r, 0, &index, &entity));
    assert_false(entity.tensors[0].row_major);
    assert_null(entity_reader_body(r, 0, &index, &entity.tensors[0], got));
    for (int y = 0; y < 2; y++) {
        for (int x = 0; x < 3; x++) {
            for (int c = 0; c < 3; c++) {
                assert_int_equal(got[9 * y + 3 * x + c], y + 2 * x + 6 * c);
            }
        }
    }
    entity_reader_close(r);
}

static void cut_entities(struct str *bytes)
{
    str_truncate(bytes, bytes->len - 1);
}
static void cut_index(struct str *bytes)
{
    str_truncate(bytes, bytes->len - 5);
}
static void break_type(struct str *bytes)
{
    bytes->ptr[40 + 8] = 0;
}
static void break_rank(struct str *bytes)
{
    bytes->ptr[40 + 32 + 5 + 16] = 9;
}
static void break_strides(struct str *bytes)
{
    bytes->ptr[40 + 32 + 5 + 52 + 7] = 1;
}
static void break_element(struct str *bytes)
{
    bytes->ptr[40 + 32 + 5 + 4] = 11;
}
static void break_name(struct str *bytes)
{
    bytes->ptr[40 + 24 + 6] = 1;
}

static void damage_is_named(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct str *bytes);
        enum nrd_code code;
        const char *text;
    } cases[] = {
        {break_type, NRD_UNSUPPORTED,
         "frame 0 at byte 0: byte 77: component 'frame' is of the unknown type"},
        {break_rank, NRD_INVALID_ARG, "a rank over 8"},
        {break_strides, NRD_INVALID_ARG, "strides reach past"},
        {break_element, NRD_UNSUPPORTED, "tensor 'frame' has elements of GXF's type 11"},
        {break_name, NRD_INVALID_ARG, "name is longer than 63"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        record("damaged", 2);
        edit("damaged.gxf_entities", cases[i].change);
        struct entity_reader *r = NULL;
        struct entity_index index;
        struct entity entity;
        assert_null(entity_reader_open(root, "damaged", &r));
        assert_fails(entity_reader_head(r, 0, &index, &entity), cases[i].code, cases[i].text);
        assert_null(entity_reader_head(r, 1, &index, &entity)); // the next one is whole
        entity_reader_close(r);
    }
}

static void cut_files_are_named(void **state)
{
    (void)state;
    struct entity_reader *r = NULL;
    struct entity_index index;
    struct entity entity;
    record("cut", 2);
    edit("cut.gxf_entities", cut_entities);
    assert_null(entity_reader_open(root, "cut", &r));
    assert_null(entity_reader_head(r, 0, &index, &entity));
    assert_fails(
        entity_reader_head(r, 1, &index, &entity), NRD_INVALID_ARG,
        "cut.gxf_entities': frame 1 is said to take 211 bytes from byte 211, and the file has 421");
    entity_reader_close(r);

    record("cut", 2);
    edit("cut.gxf_index", cut_index);
    assert_null(entity_reader_open(root, "cut", &r));
    assert_int_equal(entity_reader_count(r), 1);
    assert_int_equal(entity_reader_rest(r), 19);
    entity_reader_close(r);
    assert_fails(entity_reader_open(root, "absent", &r), NRD_NOT_FOUND, "absent.gxf_index");
}

static void what_the_format_lacks_is_refused(void **state)
{
    (void)state;
    struct entity_writer *w = NULL;
    uint8_t bytes[4] = {0};
    struct nrd_tensor bf16 = tensor_of(bytes, NRD_DTYPE_BF16, 1, 1, 1);
    struct nrd_tensor gpu = tensor_of(bytes, NRD_DTYPE_U8, 1, 1, 1);
    gpu.memory = NRD_MEMORY_GPU;
    struct entity_part part = {"x", &bf16};
    assert_null(entity_writer_create(root, "refused", &w));
    assert_fails(entity_writer_add(w, &part, 1, 0, -1, false), NRD_UNSUPPORTED, "type BF16");
    part.tensor = &gpu;
    assert_fails(entity_writer_add(w, &part, 1, 0, -1, false), NRD_UNSUPPORTED, "memory of GPU 0");
    assert_int_equal(entity_writer_count(w), 0);
    assert_null(entity_writer_close(w));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_read_as_they_were_written),
        cmocka_unit_test(bytes_are_those_that_holoscan_writes),
        cmocka_unit_test(several_tensors_and_a_timestamp_are_kept),
        cmocka_unit_test(other_orders_of_elements_are_made_row_major),
        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(cut_files_are_named),
        cmocka_unit_test(what_the_format_lacks_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
