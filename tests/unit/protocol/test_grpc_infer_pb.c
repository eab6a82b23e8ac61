// SPDX-License-Identifier: Apache-2.0
// The hand-written reader and writer are held against protobuf-c's: what one writes, the other reads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "proto/grpc_service.pb-c.h"
#include "protocol/grpc_infer_pb.h"

struct message {
    struct arena arena;
    char *bytes;
    struct infer_request q;
    bool ok;
};

// A copy with a byte to spare, read.
static void read_bytes(struct message *m, const void *bytes, size_t size)
{
    arena_init(&m->arena, 0);
    m->bytes = mem_alloc(size + 1);
    assert_non_null(m->bytes);
    if (size > 0) {
        memcpy(m->bytes, bytes, size);
    }
    m->bytes[size] = 'x';
    m->ok = infer_pb_read(&m->arena, m->bytes, size, &m->q);
}

static void message_fini(struct message *m)
{
    arena_fini(&m->arena);
    mem_free(m->bytes);
}

static void read_packed(struct message *m, const Inference__ModelInferRequest *from)
{
    size_t size = inference__model_infer_request__get_packed_size(from);
    uint8_t *bytes = mem_alloc(size + 1);
    assert_non_null(bytes);
    inference__model_infer_request__pack(from, bytes);
    read_bytes(m, bytes, size);
    mem_free(bytes);
}

static void an_empty_message_has_empty_texts(void **state)
{
    (void)state;
    struct message m;
    read_bytes(&m, "", 0);
    assert_true(m.ok);
    assert_string_equal(m.q.model_name.ptr, "");
    assert_string_equal(m.q.model_version.ptr, "");
    assert_int_equal(m.q.input_count, 0);
    message_fini(&m);
}

static void everything_is_read_and_terminated(void **state)
{
    (void)state;
    char names[][8] = {"m", "2", "id", "IN", "FP32", "OUT", "key", "text", "p"};
    int64_t shape[] = {1, -1, INT64_C(1) << 40};
    Inference__InferParameter text;
    inference__infer_parameter__init(&text);
    text.parameter_choice_case = INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE_STRING_PARAM;
    text.string_param = names[7];
    Inference__InferParameter negative;
    inference__infer_parameter__init(&negative);
    negative.parameter_choice_case = INFERENCE__INFER_PARAMETER__PARAMETER_CHOICE_INT64_PARAM;
    negative.int64_param = -5;
    Inference__ModelInferRequest__ParametersEntry entry;
    inference__model_infer_request__parameters_entry__init(&entry);
    entry.key = names[6];
    entry.value = &text;
    Inference__ModelInferRequest__ParametersEntry *entries[] = {&entry};
    Inference__ModelInferRequest__InferInputTensor__ParametersEntry in_entry;
    inference__model_infer_request__infer_input_tensor__parameters_entry__init(&in_entry);
    in_entry.key = names[8];
    in_entry.value = &negative;
    Inference__ModelInferRequest__InferInputTensor__ParametersEntry *in_entries[] = {&in_entry};
    Inference__ModelInferRequest__InferInputTensor input;
    inference__model_infer_request__infer_input_tensor__init(&input);
    input.name = names[3];
    input.datatype = names[4];
    input.n_shape = 3;
    input.shape = shape;
    input.n_parameters = 1;
    input.parameters = in_entries;
    Inference__ModelInferRequest__InferInputTensor *inputs[] = {&input, &input, &input,
                                                                &input, &input, &input};
    Inference__ModelInferRequest__InferRequestedOutputTensor output;
    inference__model_infer_request__infer_requested_output_tensor__init(&output);
    output.name = names[5];
    Inference__ModelInferRequest__InferRequestedOutputTensor *outputs[] = {&output};
    ProtobufCBinaryData raw = {4, (uint8_t *)names[0]};
    Inference__ModelInferRequest q;
    inference__model_infer_request__init(&q);
    q.model_name = names[0];
    q.model_version = names[1];
    q.id = names[2];
    q.n_parameters = 1;
    q.parameters = entries;
    q.n_inputs = 6;
    q.inputs = inputs;
    q.n_outputs = 1;
    q.outputs = outputs;
    q.n_raw_input_contents = 1;
    q.raw_input_contents = &raw;
    struct message m;
    read_packed(&m, &q);
    assert_true(m.ok);
    assert_string_equal(m.q.model_name.ptr, "m");
    assert_string_equal(m.q.model_version.ptr, "2");
    assert_string_equal(m.q.id.ptr, "id");
    assert_int_equal(m.q.input_count, 6);
    assert_string_equal(m.q.inputs[5].name.ptr, "IN");
    assert_string_equal(m.q.inputs[5].datatype.ptr, "FP32");
    assert_int_equal(m.q.inputs[5].dim_count, 3);
    assert_memory_equal(m.q.inputs[5].shape, shape, sizeof(shape));
    const struct infer_param *p = infer_params_get(&m.q.inputs[0].params, "p");
    assert_non_null(p);
    assert_int_equal(p->kind, INFER_PARAM_INT64);
    assert_int_equal(p->as.i, -5);
    assert_string_equal(m.q.outputs[0].name.ptr, "OUT");
    p = infer_params_get(&m.q.params, "key");
    assert_int_equal(p->kind, INFER_PARAM_STRING);
    assert_string_equal(p->text.ptr, "text");
    assert_int_equal(m.q.raw.count, 1);
    assert_memory_equal(m.q.raw.items[0].ptr, names[0], 4);
    assert_true(m.q.raw.items[0].ptr >= m.bytes); // borrowed
    message_fini(&m);
}

struct contents_case {
    enum infer_contents_kind kind;
    size_t size;
    const char *bytes; // of InferTensorContents
    size_t byte_count;
    const char *tensor;
    size_t tensor_size;
};
#define BYTES(s) s, sizeof(s) - 1

static void typed_contents_become_tensors(void **state)
{
    (void)state;
    static const struct contents_case cases[] = {
        {INFER_CONTENTS_BOOL, 1, BYTES("\x0a\x03\x01\x00\x01"), BYTES("\x01\x00\x01")},
        {INFER_CONTENTS_BOOL, 1, BYTES("\x08\x05\x08\x00"), BYTES("\x01\x00")},
        {INFER_CONTENTS_INT, 4, BYTES("\x12\x0c\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02"),
         BYTES("\x01\0\0\0\xff\xff\xff\xff\x02\0\0\0")},
        {INFER_CONTENTS_INT, 1, BYTES("\x12\x0b\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
         BYTES("\x01\xff")},
        {INFER_CONTENTS_INT64, 8, BYTES("\x18\x96\x01"), BYTES("\x96\0\0\0\0\0\0\0")},
        {INFER_CONTENTS_UINT, 2, BYTES("\x22\x03\x80\x02\x07"), BYTES("\x00\x01\x07\x00")},
        {INFER_CONTENTS_UINT64, 8, BYTES("\x2a\x01\x07"), BYTES("\x07\0\0\0\0\0\0\0")},
        {INFER_CONTENTS_FP32, 4, BYTES("\x32\x08\0\0\x80\x3f\0\0\0\x40"),
         BYTES("\0\0\x80\x3f\0\0\0\x40")},
        {INFER_CONTENTS_FP32, 4, BYTES("\x35\0\0\x80\x3f\x35\0\0\0\x40"),
         BYTES("\0\0\x80\x3f\0\0\0\x40")},
        {INFER_CONTENTS_FP64, 8, BYTES("\x39\0\0\0\0\0\0\xf0\x3f"), BYTES("\0\0\0\0\0\0\xf0\x3f")},
        {INFER_CONTENTS_BYTES, 0, BYTES("\x42\x02hi\x42\x00"), BYTES("\x02\0\0\0hi\0\0\0\0")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct contents_case *c = &cases[i];
        char bytes[64] = "\x2a\x00\x2a\x00";
        bytes[1] = (char)(c->byte_count + 2);
        bytes[3] = (char)c->byte_count;
        memcpy(bytes + 4, c->bytes, c->byte_count);
        struct message m;
        read_bytes(&m, bytes, c->byte_count + 4);
        assert_true(m.ok);
        struct slice tensor;
        assert_true(infer_array_tensor(&m.arena, &m.q.inputs[0].contents->arrays[c->kind], c->kind,
                                       c->size, &tensor));
        assert_int_equal(tensor.len, c->tensor_size);
        assert_memory_equal(tensor.ptr, c->tensor, c->tensor_size);
        message_fini(&m);
    }
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {BYTES("\x0a")}, // no length
        {BYTES("\x0a\x05"
               "ab")}, // length over the end
        {BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
        {BYTES("\x00\x00")},                                         // field 0
        {BYTES("\x0b\x0c")},                                         // a group
        {BYTES("\x0f\x00")},                                         // wire type 7
        {BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")}, // a varint of eleven bytes
        {BYTES("\x0a\x01\xff")},                                     // not UTF-8
        {BYTES("\x0a\x02\xc0\x80")},                                 // overlong
        {BYTES("\x0a\x03\xed\xa0\x80")},                             // a surrogate
        {BYTES("\x2a\x03\x0a\x05x")},            // an input whose name is over its end
        {BYTES("\x2a\x05\x2a\x03\x32\x01\0")},   // packed floats of one byte
        {BYTES("\x2a\x05\x2a\x03\x12\x01\x80")}, // a packed varint cut off
        {BYTES("\x2a\x03\x1a\x01\x80")},         // a dimension cut off
        {BYTES("\x22\x03\x12\x05x")},            // a parameter's value over its end
        {BYTES("\x22\x05\x12\x03\x21\0\0")},     // a double cut off
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct message m;
        read_bytes(&m, cases[i].bytes, cases[i].size);
        assert_false(m.ok);
        message_fini(&m);
    }
}

static void unknown_fields_are_passed_over(void **state)
{
    (void)state;
    struct message m;
    read_bytes(&m, BYTES("\xf8\x06\x01\xf9\x06"
                         "12345678"
                         "\xfa\x06\x02xy\xfd\x06"
                         "1234"
                         "\x0a\x01m"));
    assert_true(m.ok);
    assert_string_equal(m.q.model_name.ptr, "m");
    message_fini(&m);
}

static void the_last_of_equal_parameters_counts(void **state)
{
    (void)state;
    struct message m;
    read_bytes(&m, BYTES("\x22\x07\x0a\x01k\x12\x02\x10\x01\x22\x07\x0a\x01k\x12\x02\x08\x01"));
    assert_true(m.ok);
    assert_int_equal(m.q.params.count, 1);
    assert_int_equal(m.q.params.items[0].kind, INFER_PARAM_BOOL);
    message_fini(&m);
}

// Writes the response and joins its parts.
static char *write_all(const struct infer_pb_response *r, size_t *size)
{
    struct infer_pb_plan plan;
    struct iovec parts[32];
    infer_pb_measure(r, 5, &plan);
    assert_in_range(plan.part_count, 1, 32);
    char *head = mem_alloc(plan.head_size + 1);
    assert_non_null(head);
    memset(head, 0x55, plan.head_size + 1);
    unsigned count = infer_pb_write(r, 5, head, parts);
    assert_true(count <= plan.part_count);
    assert_int_equal(head[plan.head_size], 0x55);
    char *whole = mem_alloc(plan.message_size + 6);
    assert_non_null(whole);
    size_t at = 0;
    for (unsigned i = 0; i < count; i++) {
        memcpy(whole + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    assert_int_equal(at, plan.message_size + 5);
    *size = plan.message_size;
    mem_free(head);
    return whole;
}

static void answers_are_what_protobuf_c_reads(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, INFER_PB_INLINE, INFER_PB_INLINE + 1, 200000};
    static char data[200000];
    memset(data, 7, sizeof(data));
    int64_t shape[] = {2, 300, -1};
    struct infer_param params[] = {
        {.key = SLICE("b"), .kind = INFER_PARAM_BOOL, .as.b = false},
        {.key = SLICE("i"), .kind = INFER_PARAM_INT64, .as.i = -1},
        {.key = SLICE("s"), .kind = INFER_PARAM_STRING, .text = SLICE("")},
        {.key = SLICE("d"), .kind = INFER_PARAM_DOUBLE, .as.d = 0.5},
        {.key = SLICE("u"), .kind = INFER_PARAM_UINT64, .as.u = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct infer_pb_output outputs[] = {
            {SLICE("A"), SLICE("FP32"), shape, 3, data, sizes[i]},
            {SLICE("B"), SLICE("BYTES"), shape, 0, data, sizes[4 - i]},
        };
        struct infer_pb_response r = {.model_name = SLICE("m"),
                                      .model_version = SLICE("1"),
                                      .id = SLICE(""),
                                      .params = params,
                                      .param_count = 5,
                                      .outputs = outputs,
                                      .output_count = 2};
        size_t size;
        char *bytes = write_all(&r, &size);
        Inference__ModelInferResponse *read =
            inference__model_infer_response__unpack(NULL, size, (uint8_t *)bytes + 5);
        assert_non_null(read);
        assert_string_equal(read->model_name, "m");
        assert_string_equal(read->id, "");
        assert_int_equal(read->n_parameters, 5);
        assert_int_equal(read->parameters[1]->value->int64_param, -1);
        assert_int_equal(read->n_outputs, 2);
        assert_int_equal(read->outputs[0]->n_shape, 3);
        assert_int_equal(read->outputs[0]->shape[2], -1);
        assert_int_equal(read->n_raw_output_contents, 2);
        assert_int_equal(read->raw_output_contents[0].len, sizes[i]);
        assert_int_equal(read->raw_output_contents[1].len, sizes[4 - i]);
        inference__model_infer_response__free_unpacked(read, NULL);
        mem_free(bytes);
        r.streamed = true;
        r.error = i % 2 == 0 ? SLICE("bad") : SLICE("");
        bytes = write_all(&r, &size);
        Inference__ModelStreamInferResponse *streamed =
            inference__model_stream_infer_response__unpack(NULL, size, (uint8_t *)bytes + 5);
        assert_non_null(streamed);
        assert_string_equal(streamed->error_message, i % 2 == 0 ? "bad" : "");
        assert_int_equal(streamed->infer_response->raw_output_contents[0].len, sizes[i]);
        inference__model_stream_infer_response__free_unpacked(streamed, NULL);
        mem_free(bytes);
    }
}

static void running_out_of_memory_is_a_failure_not_a_crash(void **state)
{
    (void)state;
    static const char bytes[] =
        "\x2a\x0a\x0a\x01n\x1a\x01\x01\x2a\x02\x42\x00\x32\x03\x0a\x01o\x3a\x01r";
    for (uint64_t n = 1; n < 4; n++) {
        struct arena arena;
        arena_init(&arena, 64);
        char copy[sizeof(bytes)];
        memcpy(copy, bytes, sizeof(bytes));
        struct infer_request q;
        mem_fail_after(n);
        (void)infer_pb_read(&arena, copy, sizeof(bytes) - 1, &q);
        mem_fail_after(0);
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_message_has_empty_texts),
        cmocka_unit_test(everything_is_read_and_terminated),
        cmocka_unit_test(typed_contents_become_tensors),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(unknown_fields_are_passed_over),
        cmocka_unit_test(the_last_of_equal_parameters_counts),
        cmocka_unit_test(answers_are_what_protobuf_c_reads),
        cmocka_unit_test(running_out_of_memory_is_a_failure_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
