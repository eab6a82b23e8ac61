// SPDX-License-Identifier: Apache-2.0
// Replies as responses: what each protocol's reader makes of them, and what it refuses.
#include "client_unit.h"

#include "base/mem.h"
#include "client/response.h"
#include "proto/wire.h"

static struct nrd_client *client;

static int make_client(void **state)
{
    (void)state;
    assert_ok(nrd_client_create("http://127.0.0.1:1", NULL, &client));
    return 0;
}

static int free_client(void **state)
{
    (void)state;
    nrd_client_destroy(client);
    return 0;
}

// Reads `bytes`, whose first `json` are JSON, at an odd address: tensors must be aligned all the same.
static struct nrd_status *read_http(const char *bytes, size_t size, size_t json,
                                    struct nrd_client_response **out, char **memory)
{
    struct nrd_client_call *call = call_create(client, "infer");
    *memory = mem_alloc(size + 1);
    memcpy(*memory + 1, bytes, size);
    call->reply = *memory + 1;
    call->reply_size = size;
    call->json_size = json;
    *out = response_create(client);
    struct nrd_status *status = response_read_http(call, *out);
    call_unref(call);
    return status != NULL ? status : response_settle(*out, NULL, 0, false);
}

static void http_outputs_are_views_or_made_of_json(void **state)
{
    (void)state;
    static const char json[] =
        "{\"model_name\":\"m\",\"model_version\":\"2\",\"id\":\"\\u00e9\",\"parameters\":{\"i\":-3,"
        "\"b\":false,\"s\":\"t\",\"d\":0.25},\"outputs\":["
        "{\"name\":\"A\",\"datatype\":\"INT8\",\"shape\":[1],\"parameters\":{\"binary_data_size\":"
        "1}},"
        "{\"name\":\"B\",\"datatype\":\"FP64\",\"shape\":[1],\"parameters\":{\"binary_data_size\":"
        "8}},"
        "{\"name\":\"C\",\"datatype\":\"INT16\",\"shape\":[2,2],\"data\":[[1,-2],[3,-4]]},"
        "{\"name\":\"D\",\"datatype\":\"BYTES\",\"shape\":[2],\"data\":[\"\",\"xyz\"]},"
        "{\"name\":\"E\",\"datatype\":\"BOOL\",\"shape\":[2],\"data\":[true,false]},"
        "{\"name\":\"F\",\"datatype\":\"FP32\",\"shape\":[0,3],\"data\":[]}]}";
    const double value = 1.5;
    char bytes[sizeof(json) + 9];
    memcpy(bytes, json, sizeof(json) - 1);
    bytes[sizeof(json) - 1] = 7;
    memcpy(bytes + sizeof(json), &value, 8);
    struct nrd_client_response *r = NULL;
    char *memory = NULL;
    assert_ok(read_http(bytes, sizeof(json) + 8, sizeof(json) - 1, &r, &memory));
    assert_string_equal(nrd_client_response_model(r), "m");
    assert_string_equal(nrd_client_response_version(r), "2");
    assert_string_equal(nrd_client_response_id(r), "\xc3\xa9");
    assert_int_equal(nrd_client_response_count(r), 6);
    assert_int_equal(*(const int8_t *)nrd_client_response_find(r, "A")->data, 7);
    const struct nrd_client_tensor *b = nrd_client_response_find(r, "B");
    assert_int_equal((uintptr_t)b->data % 8, 0);
    assert_memory_equal(b->data, &value, 8);
    static const int16_t c[] = {1, -2, 3, -4};
    assert_memory_equal(nrd_client_response_find(r, "C")->data, c, sizeof(c));
    assert_int_equal(nrd_client_response_find(r, "D")->size, 11);
    assert_memory_equal(nrd_client_response_find(r, "D")->data, "\0\0\0\0\3\0\0\0xyz", 11);
    assert_memory_equal(nrd_client_response_find(r, "E")->data, "\1\0", 2);
    assert_non_null(nrd_client_response_find(r, "F")->data);
    assert_int_equal(nrd_client_response_find(r, "F")->size, 0);
    assert_null(nrd_client_response_find(r, "G"));
    assert_null(nrd_client_response_output(r, 6));
    assert_int_equal(nrd_client_response_parameter_count(r), 4);
    assert_int_equal(nrd_client_response_parameter(r, 0)->as.i, -3);
    assert_false(nrd_client_response_parameter(r, 1)->as.b);
    assert_string_equal(nrd_client_response_parameter(r, 2)->as.s, "t");
    assert_true(nrd_client_response_parameter(r, 3)->as.d == 0.25);
    assert_true(nrd_client_response_is_final(r));
    nrd_client_response_free(r);
    mem_free(memory);
}

static void http_replies_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const char *const outputs[] = {
        "{\"name\":\"A\",\"shape\":[1],\"data\":[1]}",
        "{\"name\":\"A\",\"datatype\":\"FP128\",\"shape\":[1],\"data\":[1]}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"data\":[1]}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[-1],\"data\":[1]}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[2],\"data\":[1]}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[\"x\"]}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[{}]}",
        "{\"name\":\"A\",\"datatype\":\"FP16\",\"shape\":[1],\"data\":[1]}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":7}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[1]}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":"
        "4}}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":-"
        "4}}",
        "{\"name\":\"A\",\"datatype\":\"FP32\",\"shape\":[4294967296,4294967296],\"data\":[]}",
        "7",
    };
    for (unsigned i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
        char json[256];
        int n = snprintf(json, sizeof(json), "{\"outputs\":[%s]}", outputs[i]);
        struct nrd_client_response *r = NULL;
        char *memory = NULL;
        struct nrd_status *status = read_http(json, (size_t)n, SIZE_MAX, &r, &memory);
        if (status_code(status) != NRD_INTERNAL) {
            fail_msg("'%s' is taken", outputs[i]);
        }
        status_free(status);
        nrd_client_response_free(r);
        mem_free(memory);
    }
}

static void put_output(struct str *out, const char *name, const char *datatype, uint64_t dim)
{
    size_t at = wire_begin(out, 5);
    wire_put_bytes(out, 1, slice_of(name));
    wire_put_bytes(out, 2, slice_of(datatype));
    wire_put_number(out, 3, dim); // not packed: readers take both
    wire_end(out, at);
}

static void grpc_outputs_are_views_and_say_whether_they_are_the_last(void **state)
{
    (void)state;
    struct str m = STR_INIT;
    const double values[2] = {1.5, -2};
    wire_put_bytes(&m, 1, SLICE("m"));
    wire_put_bytes(&m, 3, SLICE("id"));
    size_t entry = wire_begin(&m, 4);
    wire_put_bytes(&m, 1, SLICE("triton_final_response"));
    size_t value = wire_begin(&m, 2);
    wire_put_number(&m, 1, 0);
    wire_end(&m, value);
    wire_end(&m, entry);
    put_output(&m, "A", "FP64", 2);
    put_output(&m, "B", "UINT8", 3);
    put_output(&m, "SHM", "FP32", 9);
    wire_put_bytes(&m, 6, slice_make(values, sizeof(values)));
    wire_put_bytes(&m, 6, SLICE("abc"));
    wire_put_bytes(&m, 6, SLICE(""));
    wire_put_number(&m, 99, 1); // what is not known is passed over
    struct nrd_client_response *r = response_create(client);
    assert_ok(response_read_grpc(str_slice(&m), r));
    double wanted[2] = {0};
    const struct call_output places[] = {
        {.name = "A", .data = wanted, .capacity = sizeof(wanted)},
        {.name = "SHM", .capacity = 64, .region = "region", .region_offset = 8},
    };
    assert_ok(response_settle(r, places, 2, false));
    assert_false(nrd_client_response_is_final(r));
    assert_string_equal(nrd_client_response_id(r), "id");
    assert_ptr_equal(nrd_client_response_find(r, "A")->data, wanted);
    assert_memory_equal(wanted, values, sizeof(values));
    assert_memory_equal(nrd_client_response_find(r, "B")->data, "abc", 3);
    const struct nrd_client_tensor *shm = nrd_client_response_find(r, "SHM");
    assert_null(shm->data);
    assert_string_equal(shm->region, "region");
    assert_int_equal(shm->region_offset, 8);
    assert_int_equal(shm->size, 36);
    nrd_client_response_free(r);
    // The same without the one who asked: an output without bytes is an error.
    r = response_create(client);
    assert_ok(response_read_grpc(str_slice(&m), r));
    struct nrd_status *status = response_settle(r, NULL, 0, false);
    assert_string_equal(status_text(status), "malformed answer: output 'SHM' has no data");
    status_free(status);
    nrd_client_response_free(r);
    str_fini(&m);
}

static void grpc_typed_contents_become_tensors(void **state)
{
    (void)state;
    struct str m = STR_INIT;
    size_t at = wire_begin(&m, 5);
    wire_put_bytes(&m, 1, SLICE("A"));
    wire_put_bytes(&m, 2, SLICE("INT16"));
    wire_put_bytes(&m, 3, SLICE("\3"));
    size_t contents = wire_begin(&m, 5);
    wire_put_bytes(&m, 2, SLICE("\1\2")); // packed, and one by one behind it
    wire_put_number(&m, 2, (uint64_t)-3);
    wire_end(&m, contents);
    wire_end(&m, at);
    at = wire_begin(&m, 5);
    wire_put_bytes(&m, 1, SLICE("B"));
    wire_put_bytes(&m, 2, SLICE("BYTES"));
    wire_put_bytes(&m, 3, SLICE("\2"));
    contents = wire_begin(&m, 5);
    wire_put_bytes(&m, 8, SLICE("xy"));
    wire_put_bytes(&m, 8, SLICE(""));
    wire_end(&m, contents);
    wire_end(&m, at);
    struct nrd_client_response *r = response_create(client);
    assert_ok(response_read_grpc(str_slice(&m), r));
    assert_ok(response_settle(r, NULL, 0, false));
    static const int16_t a[] = {1, 2, -3};
    assert_memory_equal(nrd_client_response_find(r, "A")->data, a, sizeof(a));
    assert_int_equal(nrd_client_response_find(r, "B")->size, 10);
    assert_memory_equal(nrd_client_response_find(r, "B")->data, "\2\0\0\0xy\0\0\0\0", 10);
    nrd_client_response_free(r);
    str_fini(&m);
}

static void bytes_are_packed_and_walked(void **state)
{
    (void)state;
    static const struct nrd_bytes items[] = {{"abc", 3}, {NULL, 0}, {"\0\1", 2}};
    char packed[17];
    size_t size = 0;
    assert_int_equal(nrd_bytes_packed_size(items, 3), 17);
    assert_ok(nrd_bytes_pack(items, 3, packed, sizeof(packed), &size));
    assert_int_equal(size, 17);
    size_t at = 0;
    struct nrd_bytes item;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(nrd_bytes_next(packed, size, &at, &item));
        assert_int_equal(item.size, items[i].size);
        assert_memory_equal(item.data, items[i].size > 0 ? items[i].data : "", item.size);
    }
    assert_false(nrd_bytes_next(packed, size, &at, &item));
    for (size_t cut = 0; cut < size;
         cut++) { // a tensor that is cut off ends early and never beyond
        unsigned count = 0;
        for (at = 0; nrd_bytes_next(packed, cut, &at, &item); count++) {
            assert_true(at <= cut);
        }
        assert_true(count < 3);
        struct nrd_status *status = nrd_bytes_pack(items, 3, packed, cut, &at);
        assert_int_equal(status_code(status), NRD_INVALID_ARG);
        status_free(status);
        assert_ok(nrd_bytes_pack(items, 3, packed, sizeof(packed), &size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_outputs_are_views_or_made_of_json),
        cmocka_unit_test(http_replies_that_do_not_fit_are_refused),
        cmocka_unit_test(grpc_outputs_are_views_and_say_whether_they_are_the_last),
        cmocka_unit_test(grpc_typed_contents_become_tensors),
        cmocka_unit_test(bytes_are_packed_and_walked),
    };
    return cmocka_run_group_tests(tests, make_client, free_client);
}
