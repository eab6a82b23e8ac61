// SPDX-License-Identifier: Apache-2.0
#include "graph_unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "nereid/graph.h"

// ---- operators of the test ------------------------------------------------------------------------------------------

struct test_state {
    int64_t number;
    const char *model;
    struct nrd_resource *allocator;
    uint64_t received;
    int preprocess;
};

#define FIELD(name) offsetof(struct test_state, name)
static const char *const allocator_kind[] = {"allocator", NULL};
static const struct nrd_param test_params[] = {
    {.name = "number",
     .type = NRD_PARAM_INT,
     .flags = NRD_PARAM_DYNAMIC,
     .offset = FIELD(number),
     .fallback = "1",
     .min = 0,
     .max = 100},
    {.name = "allocator",
     .type = NRD_PARAM_RESOURCE,
     .flags = NRD_PARAM_OPTIONAL,
     .offset = FIELD(allocator),
     .choices = allocator_kind},
    {0},
};
static const struct nrd_param model_params[] = {
    {.name = "model_name", .type = NRD_PARAM_STRING, .offset = FIELD(model)},
    {.name = "preprocess",
     .type = NRD_PARAM_CHOICE,
     .offset = FIELD(preprocess),
     .fallback = "none",
     .choices = (const char *const[]){"none", "auto", NULL}},
    {0},
};
static const struct nrd_port in_port[] = {{.name = "in", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_port out_port[] = {{.name = "out", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_port two_ports[] = {
    {.name = "left", .policy = NRD_QUEUE_FAULT}, {.name = "right", .policy = NRD_QUEUE_FAULT}, {0}};

static struct nrd_status *send(struct nrd_compute *ctx, void *self)
{
    struct test_state *state = self;
    return nrd_emit_value(ctx, 0, "int", &state->number, sizeof state->number) == NRD_OK
               ? NULL
               : nrd_compute_fail(ctx, NRD_UNAVAILABLE, "no room");
}

static struct nrd_status *pass(struct nrd_compute *ctx, void *self)
{
    (void)self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message == NULL) {
        return NULL;
    }
    return nrd_emit(ctx, 0, message) == NRD_OK ? NULL
                                               : nrd_compute_fail(ctx, NRD_UNAVAILABLE, "no room");
}

static struct nrd_status *count(struct nrd_compute *ctx, void *self)
{
    struct test_state *state = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (message != NULL) {
        state->received += 1;
        nrd_message_unref(message);
    }
    return NULL;
}

static struct nrd_status *count_two(struct nrd_compute *ctx, void *self)
{
    struct test_state *state = self;
    for (size_t i = 0; i < 2; i++) {
        struct nrd_message *message = nrd_receive(ctx, i);
        state->received += message != NULL;
        nrd_message_unref(message);
    }
    return NULL;
}

#define CLASS(title, table_params, ins, outs, fn)                                                  \
    {                                                                                              \
        .abi = NRD_OPERATOR_ABI, .name = (title), .state_size = sizeof(struct test_state),         \
        .params = (table_params), .inputs = (ins), .outputs = (outs), .compute = (fn)              \
    }
static const struct nrd_operator_class classes[] = {
    CLASS("TestSourceOp", test_params, NULL, out_port, send),
    CLASS("TestPassOp", test_params, in_port, out_port, pass),
    CLASS("TestSinkOp", test_params, in_port, NULL, count),
    CLASS("TestJoinOp", test_params, two_ports, NULL, count_two),
    CLASS("TestModelOp", model_params, in_port, out_port, pass),
    CLASS("PatternSourceOp", test_params, NULL, out_port, send),
};

// ---- files and applications -----------------------------------------------------------------------------------------

static char folder[] = "/tmp/nereid-yaml-XXXXXX";
static char app_path[64];

static int group_setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (nrd_find_operator(classes[i].name) == NULL) {
            assert_ok(nrd_register_operator(&classes[i]));
        }
    }
    assert_non_null(mkdtemp(folder));
    snprintf(app_path, sizeof app_path, "%s/app.yaml", folder);
    nrd_log_set_level(-1);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    assert_ok(file_remove_tree(folder));
    return 0;
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(file_write(path, slice_of(text)));
}

// Loads a text as an application; the caller destroys it.
static struct nrd_status *load(const char *text, const char *options, struct nrd_app **app)
{
    struct nrd_value *map = options == NULL ? NULL : yaml(options);
    write_file("app.yaml", text);
    assert_ok(nrd_app_create("test", app));
    struct nrd_status *status = nrd_app_load_yaml(*app, app_path, map);
    nrd_value_free(map);
    return status;
}

// The texts of findings have "@" for "PATH/app.yaml:".
static void check_findings(const char *text, const char *options, const char *findings)
{
    struct nrd_app *app = NULL;
    struct str expected = STR_INIT;
    for (const char *c = findings; *c != '\0'; c++) {
        if (*c == '@') {
            str_printf(&expected, "%s:", app_path);
        } else {
            str_append_char(&expected, *c);
        }
    }
    struct nrd_status *status = load(text, options, &app);
    assert_string_equal(status_text(status), str_cstr(&expected));
    status_free(status);
    str_fini(&expected);
    nrd_app_destroy(app);
}

static struct test_state *state_of(struct nrd_app *app, const char *name)
{
    struct nrd_operator *op = nrd_fragment_operator(nrd_app_fragment(app), name);
    assert_non_null(op);
    return nrd_operator_state(op);
}

// ---- tests ----------------------------------------------------------------------------------------------------------

static void yaml_app_runs_what_it_says(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "operators:\n"
        "  - {name: a, type: TestSourceOp, conditions: [{type: CountCondition, count: 7}]}\n"
        "  - {name: b, type: TestPassOp}\n"
        "  - {name: c, type: TestSinkOp}\n"
        "flows: [\"a.out -> b.in\", {from: b, to: c, capacity: 4}]\n",
        "operators:\n"
        "  a: {type: 'holoscan::ops::TestSourceOp'}\n"
        "  b: {type: TestPass}\n"
        "  c: {type: TestSinkOp}\n"
        "flows: a -> b -> c\n"
        "conditions: [{operator: a, type: CountCondition, parameters: {count: 7}}]\n"
        "scheduler: {type: event_based_scheduler, worker_thread_number: 2}\n",
        "operators:\n"
        "  a: {type: TestSourceOp, conditions: {n: {type: CountCondition, count: 7}}}\n"
        "  b: {type: TestPassOp}\n"
        "  c: {type: TestSinkOp}\n"
        "flows: [{from: a, to: b, ports: {out: in}}, {from: b, to: [c.in]}]\n"
        "scheduler: greedy\n",
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct nrd_app *app = NULL;
        assert_ok(load(forms[i], NULL, &app));
        assert_ok(nrd_app_run(app));
        assert_int_equal(state_of(app, "c")->received, 7);
        nrd_app_destroy(app);
    }
}

static void yaml_app_fans_out_over_lists(void **state)
{
    (void)state;
    struct nrd_app *app = NULL;
    assert_ok(load("operators:\n"
                   "  a: {type: TestSourceOp, conditions: [{type: CountCondition, count: 5}]}\n"
                   "  b: {type: TestPassOp}\n"
                   "  c: {type: TestPassOp}\n"
                   "  j: {type: TestJoinOp}\n"
                   "flows: [\"a -> b, c\", b -> j.left, c -> j.right]\n",
                   NULL, &app));
    assert_ok(nrd_app_run(app));
    assert_int_equal(state_of(app, "j")->received, 10);
    nrd_app_destroy(app);
}

static void yaml_app_parameters_come_from_groups_entries_and_options(void **state)
{
    (void)state;
    struct nrd_app *app = NULL;
    assert_ok(load("resources: [{name: pool, type: UnboundedAllocator}]\n"
                   "first: {number: 11}\n"
                   "deep: {inner: {number: 12, allocator: pool}}\n"
                   "number: 13\n"
                   "operators:\n"
                   "  a: {type: TestSourceOp, parameters_from: first}\n"
                   "  b: {type: TestSourceOp, parameters_from: [deep.inner]}\n"
                   "  c: {type: TestSourceOp, parameters_from: number}\n"
                   "  d: {type: TestSourceOp, parameters_from: first, parameters: {number: 14}}\n"
                   "  e: {type: TestSourceOp, parameters_from: first, parameters: {number: 14}}\n",
                   "{set: {e.number: 15}}", &app));
    assert_int_equal(state_of(app, "a")->number, 11);
    assert_int_equal(state_of(app, "b")->number, 12);
    assert_non_null(state_of(app, "b")->allocator);
    assert_int_equal(state_of(app, "c")->number, 13);
    assert_int_equal(state_of(app, "d")->number, 14);
    assert_int_equal(state_of(app, "e")->number, 15);
    nrd_app_destroy(app);
}

static void yaml_app_includes_join_lists_and_fill_maps(void **state)
{
    (void)state;
    struct nrd_app *app = NULL;
    write_file("more.yaml", "operators: [{name: b, type: TestSinkOp}]\n"
                            "group: {number: 3, other: 4}\nflows: [a -> b]\n");
    assert_ok(load("include: more.yaml\n"
                   "group: {number: 5}\n"
                   "operators: [{name: a, type: TestSourceOp, parameters_from: group.number,\n"
                   "             conditions: [{type: CountCondition, count: 2}]}]\n",
                   NULL, &app));
    assert_int_equal(state_of(app, "a")->number, 5);
    assert_ok(nrd_app_run(app));
    assert_int_equal(state_of(app, "b")->received, 2);
    nrd_app_destroy(app);
    write_file("loop.yaml", "include: [loop.yaml]\noperators: {}\n");
    struct nrd_status *status = load("include: [loop.yaml]\noperators: {}\n", NULL, &app);
    assert_non_null(strstr(status_text(status), "loop.yaml:1:11: more than 16 files are included"));
    status_free(status);
    nrd_app_destroy(app);
    status = load("include: [gone.yaml]\noperators: {}\n", NULL, &app);
    assert_non_null(strstr(status_text(status), "app.yaml:1:11: there is no file '"));
    status_free(status);
    nrd_app_destroy(app);
}

static void yaml_app_fragments_have_flows_between_them(void **state)
{
    (void)state;
    struct nrd_app *app = NULL;
    assert_ok(load("fragments:\n"
                   "  one:\n"
                   "    operators: {a: {type: TestSourceOp, parameters: {number: 2},\n"
                   "                conditions: [{type: CountCondition, count: 3}]},\n"
                   "                b: {type: TestPassOp}}\n"
                   "    flows: [a -> b]\n"
                   "  two:\n"
                   "    operators: {c: {type: TestSinkOp}}\n"
                   "    scheduler: event\n"
                   "flows: [one.b.out -> two.c]\n",
                   "{set: {one.a.number: 9}}", &app));
    assert_ok(nrd_app_run(app));
    struct nrd_fragment *two = nrd_app_fragment_at(app, 2);
    struct test_state *c = nrd_operator_state(nrd_fragment_operator(two, "c"));
    assert_int_equal(c->received, 3);
    nrd_app_destroy(app);
}

static void yaml_app_subgraphs_are_composed_for_each_instance(void **state)
{
    (void)state;
    struct nrd_app *app = NULL;
    assert_ok(load("subgraphs:\n"
                   "  chain:\n"
                   "    operators: {x: {type: TestPassOp}, y: {type: TestPassOp}}\n"
                   "    flows: [x -> y]\n"
                   "    inputs: {in: x.in}\n"
                   "    outputs: {out: y}\n"
                   "operators:\n"
                   "  a: {type: TestSourceOp, conditions: [{type: CountCondition, count: 4}]}\n"
                   "  p: {subgraph: chain, parameters: {y: {number: 5}}}\n"
                   "  q: {subgraph: chain}\n"
                   "  z: {type: TestSinkOp}\n"
                   "flows: [a -> p.in, p.out -> q.in, q.out -> z]\n",
                   NULL, &app));
    assert_ok(nrd_app_run(app));
    assert_int_equal(state_of(app, "z")->received, 4);
    assert_int_equal(state_of(app, "p_y")->number, 5);
    assert_int_equal(state_of(app, "q_y")->number, 1);
    nrd_app_destroy(app);
}

static void yaml_app_seed_form_gets_one_source_and_reports(void **state)
{
    (void)state;
    struct nrd_app *app = NULL;
    assert_ok(load("gxf_application:\n"
                   "  - name: \"pipeline\"\n"
                   "    components:\n"
                   "      - name: \"unet\"\n"
                   "        type: \"holoscan::TestModelOp\"\n"
                   "        parameters:\n"
                   "          model_name: \"unet_model\"\n"
                   "      - name: \"resnet\"\n"
                   "        type: \"holoscan::TestModelOp\"\n"
                   "        parameters: {model_name: \"resnet_model\", preprocess: none}\n",
                   "{source: pattern}", &app));
    assert_string_equal(state_of(app, "unet")->model, "unet_model");
    assert_int_equal(state_of(app, "unet")->preprocess, 1);
    assert_int_equal(state_of(app, "resnet")->preprocess, 0);
    struct nrd_operator *source = nrd_fragment_operator(nrd_app_fragment(app), "source");
    assert_ok(nrd_app_compile(app));
    assert_int_equal(nrd_operator_output_flows(source, 0), 2);
    assert_non_null(nrd_fragment_operator(nrd_app_fragment(app), "unet_report"));
    assert_non_null(nrd_fragment_operator(nrd_app_fragment(app), "resnet_report"));
    nrd_app_destroy(app);
}

#define FIVE "b, b, b, b, b"
#define TWENTY FIVE ", " FIVE ", " FIVE ", " FIVE
#define SIXTY_FIVE TWENTY ", " TWENTY ", " TWENTY ", " FIVE

static void yaml_app_findings_have_file_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *findings;
    } cases[] = {
        {"operators: {a: {type: TestSuorceOp}}\n",
         "@1:23: operator 'a': unknown operator class 'TestSuorceOp' (did you mean "
         "'TestSourceOp'?)"},
        {"operators:\n  - {type: TestSinkOp}\n", "@2:5: an operator needs a name"},
        {"operators:\n  - {name: a}\n", "@2:5: operator 'a' needs a type"},
        {"operators: {a: {type: TestSourceOp, parameter: {}}}\n",
         "@1:37: operator 'a': there is no key 'parameter' (did you mean 'parameters'?)"},
        {"operators: {a: {type: TestSourceOp, parameters: {number: 101}}}\n",
         "@1:58: operator 'a' (TestSourceOp): parameter 'number': 101 is not within 0 and 100"},
        {"operators: {a: {type: TestSourceOp, parameters: {nubmer: 1}}}\n",
         "@1:50: operator 'a' (TestSourceOp): there is no parameter 'nubmer' (did you mean "
         "'number'?)"},
        {"operators: {a: {type: TestModelOp}}\n",
         "@1:16: operator 'a' (TestModelOp): parameter 'model_name' (text) is required"},
        {"operators: {a: {type: TestSourceOp, parameters_from: nowhere}}\n",
         "@1:54: there are no parameters 'nowhere'"},
        {"operators: {a: {type: TestSourceOp}}\nflows: [a -> b]\n",
         "@2:9: flow: there is no operator 'b'"},
        {"operators: {source: {type: TestSourceOp}, b: {type: TestSinkOp}}\n"
         "flows: [suorce.out -> b]\n",
         "@2:9: flow: there is no operator 'suorce' (did you mean 'source'?)"},
        {"operators: {a: {type: TestSourceOp}}\nflows: [a]\n",
         "@2:9: 'a' is no flow (such as 'a.out -> b.in')"},
        {"operators: {a: {type: TestSourceOp}}\nflows: [{from: a, to: }]\n",
         "@2:9: a flow needs 'from' and 'to'"},
        {"operators: {a: {type: TestSourceOp}}\nflow: []\n",
         "@2:1: there is no section 'flow' (did you mean 'flows'?)"},
        {"application: {name: x}\n",
         "@1:1: there are no operators: an application has 'operators:' and 'flows:', or "
         "'fragments:', or 'gxf_application:'"},
        {"operators: 3\n", "@1:12: 'operators' must be a list, or a map by name"},
        {"operators: [3]\n", "@1:13: an entry of 'operators' must be a map"},
        {"[]\n", "@1:1: an application must be a map"},
        {"operators: [\n", "@2:1: did not find expected node content (while parsing a flow node "
                           "at line 2)"},
        {"name: x\ncomponents: []\n---\nname: y\n",
         "@1:1: this is a GXF graph (several documents), which is not read: an application has "
         "'operators:' and 'flows:', or 'gxf_application:'"},
        {"name: x\ncomponents: [{name: y, type: 'nvidia::gxf::Clock'}]\n",
         "@1:1: this is a GXF graph (entities with components), which is not read: an application "
         "has 'operators:' and 'flows:', or 'gxf_application:'"},
        {"gxf_application: [{name: p, components: [{name: a, type: NoSuchThing}]}]\n",
         "@1:58: operator 'a': unknown operator class 'NoSuchThing'"},
        {"operators: {a: {type: TestSourceOp, conditions: [{count: 3}]}}\n",
         "@1:50: operator 'a': a condition needs a type"},
        {"operators: {a: {subgraph: none}}\n", "@1:16: operator 'a': there is no subgraph 'none'"},
        {"operators: {a: {type: TestSourceOp}}\nthread_pools: {p: {operators: [b]}}\n",
         "@2:32: thread pool: there is no operator 'b'"},
        {"operators: {a: {type: TestSourceOp}, b: {type: TestX}}\n"
         "flows: [{from: a, to: c, capactiy: 2}]\n",
         "@1:48: operator 'b': unknown operator class 'TestX'\n"
         "@2:26: flow: there is no parameter 'capactiy' (did you mean 'capacity'?)"},
        {"operators: {a: {type: TestSourceOp}}\nmetadata: maybe\n",
         "@2:11: 'maybe' is no metadata policy: it is one of reject, update, raise"},
        {"extensions: {a: b}\noperators: {a: {type: TestSourceOp}}\n",
         "@1:13: an extension is the path of a library"},
        {"operators: {a: {type: TestSourceOp}}\nflows:\n  - from: a\n    to: [" SIXTY_FIVE "]\n",
         "@4:9: 'to' names 65 inputs, at most 64 can be named"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_findings(cases[i].text, NULL, cases[i].findings);
    }
    struct nrd_app *app = NULL;
    struct nrd_status *status =
        load("extensions: ./nowhere.so\noperators: {a: {type: TestSourceOp}}\n", NULL, &app);
    assert_non_null(status);
    assert_non_null(strstr(status_text(status), "app.yaml:1:13: "));
    assert_non_null(strstr(status_text(status), "./nowhere.so"));
    status_free(status);
    nrd_app_destroy(app);
    check_findings("operators: {a: {type: TestSourceOp}}\n", "{set: {b.x: 1}}",
                   "--set b.x: there is no such operator");
}

static void yaml_app_ports_that_are_not_there_list_those_that_are(void **state)
{
    (void)state;
    struct nrd_app *app = NULL;
    struct nrd_status *status = load("operators: {a: {type: TestSourceOp}, j: {type: TestJoinOp}}\n"
                                     "flows:\n  - a.out -> j.middle\n",
                                     NULL, &app);
    assert_non_null(strstr(status_text(status), "app.yaml:3:5: "));
    assert_non_null(strstr(status_text(status), "middle"));
    assert_non_null(strstr(status_text(status), "left"));
    assert_non_null(strstr(status_text(status), "right"));
    status_free(status);
    nrd_app_destroy(app);
}

static void yaml_app_draws_itself(void **state)
{
    (void)state;
    struct nrd_app *app = NULL;
    char path[128];
    struct str text = STR_INIT;
    assert_ok(load("operators: {'a<b': {type: TestSourceOp}, s: {type: TestSinkOp}}\n"
                   "flows: [{from: 'a<b', to: s, capacity: 8, policy: pop}]\n",
                   NULL, &app));
    assert_ok(nrd_app_compile(app));
    snprintf(path, sizeof path, "%s/app.svg", folder);
    assert_ok(nrd_app_write_svg(app, path));
    assert_ok(file_read(path, 0, &text));
    static const char *const parts[] = {"<svg ", "a&lt;b", "TestSinkOp", ">out<",
                                        ">in<",  "8, pop", "</svg>"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_non_null(strstr(str_cstr(&text), parts[i]));
    }
    str_fini(&text);
    nrd_app_destroy(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_app_runs_what_it_says),
        cmocka_unit_test(yaml_app_fans_out_over_lists),
        cmocka_unit_test(yaml_app_parameters_come_from_groups_entries_and_options),
        cmocka_unit_test(yaml_app_includes_join_lists_and_fill_maps),
        cmocka_unit_test(yaml_app_fragments_have_flows_between_them),
        cmocka_unit_test(yaml_app_subgraphs_are_composed_for_each_instance),
        cmocka_unit_test(yaml_app_seed_form_gets_one_source_and_reports),
        cmocka_unit_test(yaml_app_findings_have_file_line_and_column),
        cmocka_unit_test(yaml_app_ports_that_are_not_there_list_those_that_are),
        cmocka_unit_test(yaml_app_draws_itself),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
