// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/base/unit.h"

#include "proto/grpc_service.pb-c.h"
#include "proto/json.h"
#include "proto/model_config.pb-c.h"
#include "proto/text.h"

static ProtobufCMessage *from_json(const ProtobufCMessageDescriptor *type, const char *json)
{
    ProtobufCMessage *message = proto_create(type);
    assert_non_null(message);
    struct nrd_status *status = proto_json_read(slice_of(json), message);
    if (status != NULL) {
        fail_msg("%s\nof: %s", status_text(status), json);
    }
    return message;
}

static void assert_json(const ProtobufCMessageDescriptor *type, const char *json,
                        const char *expected)
{
    ProtobufCMessage *message = from_json(type, json);
    struct str out = STR_INIT;
    proto_json_write(message, NULL, &out);
    assert_string_equal(str_cstr(&out), expected);
    ProtobufCMessage *again = from_json(type, str_cstr(&out));
    assert_true(proto_equal(message, again, NULL, 0));
    proto_destroy(again);
    proto_destroy(message);
    str_fini(&out);
}

static void json_prints_defaults_in_declared_order(void **state)
{
    (void)state;
    assert_json(&inference__model_sequence_batching__initial_state__descriptor,
                "{'zero_data':true,'dims':['1',2]}",
                "{\"data_type\":\"TYPE_INVALID\",\"dims\":[1,2],\"name\":\"\",\"zero_data\":true}");
    assert_json(&inference__model_instance_group__descriptor, "{}",
                "{\"name\":\"\",\"kind\":\"KIND_AUTO\",\"count\":0,\"gpus\":[],\"secondary_"
                "devices\":[],\"profile\":[],\"passive\":false,\"host_policy\":\"\"}");
    assert_json(&inference__model_version_policy__descriptor, "{\"all\":{}}", "{\"all\":{}}");
    assert_json(&inference__model_sequence_batching__strategy_direct__descriptor,
                "{\"minimumSlotUtilization\":\"0.1\"}",
                "{\"max_queue_delay_microseconds\":0,\"minimum_slot_utilization\":0.1}");
}

static void json_carries_every_scalar(void **state)
{
    (void)state;
    assert_json(
        &inference__infer_tensor_contents__descriptor,
        "{\"boolContents\":[true,\"no\"],\"int_contents\":[-1,\"2\",3e0],\"int64_contents\":["
        "\"-9223372036854775808\"],\"uint_contents\":[4294967295],\"uint64_contents\":["
        "18446744073709551615],\"fp32_contents\":[1,\"NaN\",-0.5],\"fp64_contents\":[1e300,"
        "\"-Infinity\",0.1],\"bytes_contents\":[\"aGk=\",\"\"]}",
        "{\"bool_contents\":[true,false],\"int_contents\":[-1,2,3],\"int64_contents\":[-"
        "9223372036854775808],\"uint_contents\":[4294967295],\"uint64_contents\":["
        "18446744073709551615],\"fp32_contents\":[1,\"NaN\",-0.5],\"fp64_contents\":[1e300,\""
        "-Infinity\",0.1],\"bytes_contents\":[\"aGk=\",\"\"]}");
}

static void json_maps_are_sorted_objects(void **state)
{
    (void)state;
    assert_json(
        &inference__model_dynamic_batching__descriptor,
        "{\"priorityQueuePolicy\":{\"10\":{},\"2\":{\"max_queue_size\":1}}}",
        "{\"preferred_batch_size\":[],\"max_queue_delay_microseconds\":0,\"preserve_"
        "ordering\":false,\"priority_levels\":0,\"default_priority_level\":0,\"priority_queue_"
        "policy\":{\"2\":{\"timeout_action\":\"REJECT\",\"default_timeout_microseconds\":0,"
        "\"allow_timeout_override\":false,\"max_queue_size\":1},\"10\":{\"timeout_action\":"
        "\"REJECT\",\"default_timeout_microseconds\":0,\"allow_timeout_override\":false,\"max_"
        "queue_size\":0}}}");
}

static void json_errors_name_place_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *error;
    } rows[] = {
        {"{\"foo\":1}", "foo: Cannot find field."},
        {"{\"instance_group\":[{\"foo\":{\"a\":1}}]}",
         "(instance_group[0]) foo: Cannot find field."},
        {"{\"max_batch_size\":4.5}", "(max_batch_size): invalid value 4.5 for type TYPE_INT32"},
        {"{\"max_batch_size\":[4]}",
         "max_batch_size: Proto field is not repeating, cannot start list."},
        {"{\"max_batch_size\":{}}",
         ": invalid value Starting an object on a scalar field for type max_batch_size"},
        {"{\"instance_group\":[{\"kind\":\"KIND_FOO\"}]}",
         "(instance_group[0].kind): invalid value \"KIND_FOO\" for type "
         "type.googleapis.com/inference.ModelInstanceGroup.Kind"},
        {"{\"dynamic_batching\":{},\"sequence_batching\":{}}",
         ": invalid value oneof field 'scheduling_choice' is already set. Cannot set "
         "'sequence_batching' for type oneof"},
        {"{\"parameters\":{\"a\":{},\"a\":{}}}",
         "(parameters[0]) a: Repeated map key: 'a' is already set."},
        {"{\"parameters\":[]}",
         ": invalid value Cannot bind a list to map for field 'parameters'. for type Map"},
        {"[1]", ": Root element must be a message."},
        {"{\"name\":\"a\\u0000\"}", NULL}, // protobuf-c cannot hold it
        {"{\"foo\":1", "Unexpected end of string. Expected , or } after key:value pair.\n\n^"},
        {"nonsense", "Unexpected token.\nnonsense\n^"},
        {"{\"foo\":1,\"bar\":2}", "bar: Cannot find field."},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ProtobufCMessage *message = proto_create(&inference__model_config__descriptor);
        struct nrd_status *status = proto_json_read(slice_of(rows[i].json), message);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        if (rows[i].error != NULL) {
            assert_string_equal(status_text(status), rows[i].error);
        }
        status_free(status);
        proto_destroy(message);
    }
}

static void json_nested_too_deep_is_refused(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    str_append_cstr(&text, "{\"input\":");
    for (int i = 0; i < 100000; i++) {
        str_append_char(&text, '[');
    }
    ProtobufCMessage *message = proto_create(&inference__model_config__descriptor);
    struct nrd_status *status = proto_json_read(str_slice(&text), message);
    assert_int_equal(status_code(status), NRD_INVALID_ARG);
    status_free(status);
    proto_destroy(message);
    str_fini(&text);
}

static void json_survives_any_failed_allocation(void **state)
{
    (void)state;
    static const char json[] =
        "{\"name\":\"a\",\"input\":[{\"dims\":[1,2],\"bad\":1}],\"parameters\":{"
        "\"a\":{\"string_value\":\"x\"},\"b\":null}}";
    TORTURE(n)
    {
        ProtobufCMessage *message = proto_create(&inference__model_config__descriptor);
        if (message != NULL) {
            status_free(proto_json_read(slice_of(json), message));
            struct str out = STR_INIT;
            proto_json_write(message, NULL, &out);
            str_fini(&out);
            proto_destroy(message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_prints_defaults_in_declared_order),
        cmocka_unit_test(json_carries_every_scalar),
        cmocka_unit_test(json_maps_are_sorted_objects),
        cmocka_unit_test(json_errors_name_place_and_reason),
        cmocka_unit_test(json_nested_too_deep_is_refused),
        cmocka_unit_test(json_survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
