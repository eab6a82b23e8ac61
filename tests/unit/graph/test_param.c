// SPDX-License-Identifier: Apache-2.0
#include "graph_unit.h"

#include <math.h>

#include "graph/nearest.h"
#include "graph/param.h"

struct everything {
    bool truth;
    int64_t integer;
    double real;
    const char *text;
    int64_t duration;
    int64_t milliseconds;
    uint64_t bytes;
    int choice;
    struct nrd_int_list integers;
    struct nrd_real_list reals;
    struct nrd_string_list texts;
    const struct nrd_value *value;
    struct nrd_resource *allocator;
};

#define FIELD(member) offsetof(struct everything, member)
static const char *const choices[] = {"pop", "reject", "fault", NULL};
static const char *const allocator_kind[] = {"allocator", NULL};
static const struct nrd_param everything_params[] = {
    {"truth", NRD_PARAM_BOOL, NRD_PARAM_DYNAMIC, FIELD(truth), "on"},
    {"integer", NRD_PARAM_INT, 0, FIELD(integer), "7", NULL, 0, 100},
    {"real", NRD_PARAM_REAL, 0, FIELD(real), "0.5", NULL, 0, INFINITY},
    {"text", NRD_PARAM_STRING, NRD_PARAM_OPTIONAL, FIELD(text)},
    {"duration", NRD_PARAM_DURATION, 0, FIELD(duration), "10Hz"},
    {"milliseconds", NRD_PARAM_DURATION, 0, FIELD(milliseconds), "5", NULL, 0, 0, "ms"},
    {"bytes", NRD_PARAM_BYTES, 0, FIELD(bytes), "16MB"},
    {"choice", NRD_PARAM_CHOICE, 0, FIELD(choice), "fault", choices},
    {"integers", NRD_PARAM_INT_LIST, 0, FIELD(integers), "[1, 2]", NULL, 0, 9},
    {"reals", NRD_PARAM_REAL_LIST, 0, FIELD(reals), "[]"},
    {"texts", NRD_PARAM_STRING_LIST, 0, FIELD(texts), "one"},
    {"value", NRD_PARAM_VALUE, 0, FIELD(value), "{a: [1]}"},
    {"allocator", NRD_PARAM_RESOURCE, NRD_PARAM_OPTIONAL, FIELD(allocator), NULL, allocator_kind},
    {NULL},
};

static struct param_store store;

static struct nrd_status *find_resource(void *arg, const char *name, const char *kind,
                                        struct nrd_resource **resource)
{
    assert_string_equal(kind, "allocator");
    if (strcmp(name, "pool") != 0) {
        return status_new(NRD_NOT_FOUND, "there is no resource '%s'", name);
    }
    *resource = arg;
    return NULL;
}

static int marker;
static const struct param_scope scope = {"operator 'o' (EverythingOp)", &store, find_resource,
                                         &marker};

static int setup(void **state)
{
    (void)state;
    param_store_init(&store);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    param_store_fini(&store);
    return 0;
}

static void param_fallbacks_fill_every_type(void **state)
{
    (void)state;
    struct everything e = {0};
    assert_ok(param_apply(&scope, everything_params, NULL, &e));
    assert_true(e.truth);
    assert_int_equal(e.integer, 7);
    assert_true(e.real == 0.5);
    assert_null(e.text);
    assert_int_equal(e.duration, 100000000);
    assert_int_equal(e.milliseconds, 5000000);
    assert_int_equal(e.bytes, 16 << 20);
    assert_int_equal(e.choice, 2);
    assert_int_equal(e.integers.count, 2);
    assert_int_equal(e.integers.items[1], 2);
    assert_int_equal(e.reals.count, 0);
    assert_int_equal(e.texts.count, 1);
    assert_string_equal(e.texts.items[0], "one");
    assert_string_equal(nrd_value_text(nrd_value_at(nrd_value_get(e.value, "a"), 0)), "1");
    assert_null(e.allocator);
}

static void param_values_outlive_their_file(void **state)
{
    (void)state;
    struct everything e = {0};
    struct nrd_value *map = yaml("{truth: off, integer: 0x10, real: 3, text: 12, duration: 20 ms, "
                                 "bytes: 100, choice: REJECT, integers: 5, reals: [1, 2.5], "
                                 "texts: [a, 1, true], value: [x], allocator: pool, "
                                 "milliseconds: ~}");
    assert_ok(param_apply(&scope, everything_params, map, &e));
    nrd_value_free(map);
    assert_false(e.truth);
    assert_int_equal(e.integer, 16);
    assert_true(e.real == 3);
    assert_string_equal(e.text, "12");
    assert_int_equal(e.duration, 20000000);
    assert_int_equal(e.milliseconds, 5000000);
    assert_int_equal(e.bytes, 100);
    assert_int_equal(e.choice, 1);
    assert_int_equal(e.integers.count, 1);
    assert_true(e.reals.items[1] == 2.5);
    assert_string_equal(e.texts.items[2], "true");
    assert_string_equal(nrd_value_text(nrd_value_at(e.value, 0)), "x");
    assert_ptr_equal(e.allocator, &marker);
}

static void param_errors_name_place_owner_parameter_and_value(void **state)
{
    (void)state;
#define O "operator 'o' (EverythingOp): "
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"{truth: 2}", "t.yaml:1:9: " O "parameter 'truth': '2' is not true or false"},
        {"{integer: 30x}", "t.yaml:1:11: " O "parameter 'integer': '30x' is not an integer"},
        {"{integer: 101}", "t.yaml:1:11: " O "parameter 'integer': 101 is not within 0 and 100"},
        {"{integer: [1]}", "t.yaml:1:11: " O "parameter 'integer': a list is not an integer"},
        {"{real: x}", "t.yaml:1:8: " O "parameter 'real': 'x' is not a number"},
        {"{real: -1}", "t.yaml:1:8: " O "parameter 'real': -1 is less than 0"},
        {"{real: .nan}", "t.yaml:1:8: " O "parameter 'real': .nan is less than 0"},
        {"{text: {}}", "t.yaml:1:8: " O "parameter 'text': a map is not a text"},
        {"{duration: 3 parsecs}",
         "t.yaml:1:12: " O
         "parameter 'duration': '3 parsecs' is not a duration (such as 20ms, 1.5s, 10Hz)"},
        {"{bytes: -1}",
         "t.yaml:1:9: " O "parameter 'bytes': '-1' is not a size (such as 4096, 64KB, 16MB)"},
        {"{choice: popp}",
         "t.yaml:1:10: " O
         "parameter 'choice': 'popp' is none of: pop, reject, fault (did you mean 'pop'?)"},
        {"{integers: [1, 2, 10]}",
         "t.yaml:1:12: " O "parameter 'integers': item 2: 10 is not within 0 and 9"},
        {"{texts: {a: 1}}", "t.yaml:1:9: " O "parameter 'texts': a map is not a list"},
        {"{allocator: pond}",
         "t.yaml:1:13: " O "parameter 'allocator': there is no resource 'pond'"},
        {"{intger: 5}",
         "t.yaml:1:2: " O "there is no parameter 'intger' (did you mean 'integer'?)"},
        {"{quux: 5}", "t.yaml:1:2: " O "there is no parameter 'quux'"},
        {"{quux: 5,\n real: x}", "t.yaml:1:2: " O "there is no parameter 'quux'\n"
                                 "t.yaml:2:8: " O "parameter 'real': 'x' is not a number"},
        {"[1]", "t.yaml:1:1: " O "parameters must be a map"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct everything e = {0};
        struct nrd_value *map = yaml(cases[i].text);
        assert_fails(param_apply(&scope, everything_params, map, &e), NRD_INVALID_ARG,
                     cases[i].error);
        nrd_value_free(map);
    }
}

static void param_required_ones_are_named(void **state)
{
    (void)state;
    static const struct nrd_param params[] = {{"model", NRD_PARAM_STRING, 0, 0}, {NULL}};
    const char *text = NULL;
    assert_fails(param_apply(&scope, params, NULL, &text), NRD_INVALID_ARG,
                 O "parameter 'model' (text) is required");
    struct nrd_value *map = yaml("\n {model: ~}");
    assert_fails(param_apply(&scope, params, map, &text), NRD_INVALID_ARG,
                 "t.yaml:2:2: " O "parameter 'model' (text) is required");
    nrd_value_free(map);
}

static void param_durations_and_sizes_know_their_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns; // -1: refused
    } times[] = {
        {"5", 5},
        {"20ms", 20000000},
        {"1.5s", 1500000000},
        {"500us", 500000},
        {"7ns", 7},
        {"10Hz", 100000000},
        {"0.5 hz", 2000000000},
        {"1m", 60000000000},
        {"2min", 120000000000},
        {"1h", 3600000000000},
        {"1e3us", 1000000},
        {"2kHz", 500000},
        {"0Hz", -1},
        {"", -1},
        {"ms", -1},
        {"1e400s", -1},
        {"3 d", -1},
        {"1 MS", -1},
        {"99999999999h", -1},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        int64_t ns = -1;
        assert_int_equal(param_read_duration(times[i].text, NULL, &ns), times[i].ns != -1);
        assert_int_equal(ns, times[i].ns);
    }
    static const struct {
        const char *text;
        int64_t bytes;
    } sizes[] = {
        {"0", 0},
        {"4096", 4096},
        {"4KB", 4096},
        {"16MB", 16 << 20},
        {"16 MiB", 16 << 20},
        {"1.5k", 1536},
        {"2GB", (int64_t)2 << 30},
        {"1TiB", (int64_t)1 << 40},
        {"-1", -1},
        {"MB", -1},
        {"5x", -1},
        {"99999999TB", -1},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t bytes = (uint64_t)-1;
        assert_int_equal(param_read_bytes(sizes[i].text, &bytes), sizes[i].bytes != -1);
        assert_int_equal(bytes, (uint64_t)sizes[i].bytes);
    }
}

static void param_may_be_set_while_running_when_dynamic(void **state)
{
    (void)state;
    const struct nrd_param *param = NULL;
    assert_ok(param_find_settable(&scope, everything_params, "truth", true, &param));
    assert_string_equal(param->name, "truth");
    assert_ok(param_find_settable(&scope, everything_params, "integer", false, &param));
    assert_fails(param_find_settable(&scope, everything_params, "integer", true, &param),
                 NRD_INVALID_ARG, O "parameter 'integer' may not be set while the graph runs");
    assert_fails(param_find_settable(&scope, everything_params, "thruth", true, &param),
                 NRD_NOT_FOUND, O "there is no parameter 'thruth' (did you mean 'truth'?)");
    assert_int_equal(param_size(param->type), sizeof(int64_t));
}

static void param_quoted_scalars_count_as_what_they_say(void **state)
{
    (void)state;
    struct everything e = {0};
    struct nrd_value *map = yaml("{truth: 'no', integer: '12', real: \"1e1\"}");
    assert_ok(param_apply(&scope, everything_params, map, &e));
    assert_true(!e.truth && e.integer == 12 && e.real == 10);
    nrd_value_free(map);
}

static void nearest_finds_what_was_meant_and_nothing_else(void **state)
{
    (void)state;
    static const char *const names[] = {"PingTxOp", "PingRxOp", "TritonInferenceOp",
                                        "VideoStreamReplayerOp"};
    static const struct {
        const char *written;
        const char *meant;
    } cases[] = {
        {"TritonInferenceOP", "TritonInferenceOp"},
        {"TirtonInferenceOp", "TritonInferenceOp"},
        {"PingTx", "PingTxOp"},
        {"PnigRxOp", "PingRxOp"},
        {"Holoviz", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nearest near;
        nearest_init(&near, cases[i].written);
        for (size_t j = 0; j < sizeof names / sizeof names[0]; j++) {
            nearest_offer(&near, names[j]);
        }
        if (cases[i].meant == NULL) {
            assert_null(near.best);
        } else {
            assert_non_null(near.best);
            assert_string_equal(near.best, cases[i].meant);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(param_fallbacks_fill_every_type, setup, teardown),
        cmocka_unit_test_setup_teardown(param_values_outlive_their_file, setup, teardown),
        cmocka_unit_test_setup_teardown(param_errors_name_place_owner_parameter_and_value, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(param_required_ones_are_named, setup, teardown),
        cmocka_unit_test(param_durations_and_sizes_know_their_units),
        cmocka_unit_test_setup_teardown(param_may_be_set_while_running_when_dynamic, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(param_quoted_scalars_count_as_what_they_say, setup,
                                        teardown),
        cmocka_unit_test(nearest_finds_what_was_meant_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
