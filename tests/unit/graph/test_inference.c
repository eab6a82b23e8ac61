// SPDX-License-Identifier: Apache-2.0
// Inference operators on the core in this process, with the identity backend: order, shapes, what is sent again, and what goes wrong.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/graph/app_unit.h"

#include "base/file.h"
#include "base/str.h"
#include "nereid/graph.h"

enum { FLOATS = 4 };

static char root[64];

// ---- a source and a sink of the tests ---------------------------------------------------------------------------------

struct source {
    int64_t count;
    int64_t sent;
    bool wrong_type;
};

static struct nrd_status *source_compute(struct nrd_compute *ctx, void *state)
{
    struct source *self = state;
    const int64_t dims[1] = {FLOATS};
    struct nrd_tensor *tensor = NULL;
    NRD_TRY(nrd_allocate(nrd_compute_operator(ctx), NULL,
                         self->wrong_type ? NRD_DTYPE_I32 : NRD_DTYPE_F32, dims, 1, NRD_MEMORY_CPU,
                         0, &tensor));
    for (int i = 0; i < FLOATS; i++) {
        ((float *)tensor->data)[i] = (float)(self->sent * 10 + i);
    }
    struct nrd_message *message = nrd_message_new(ctx);
    NRD_TRY(nrd_message_add_tensor(message, "x", tensor));
    NRD_TRY(nrd_metadata_set(ctx, "number", nrd_value_int(self->sent)));
    self->sent++;
    enum nrd_code code = nrd_emit(ctx, 0, message);
    return code == NRD_OK ? NULL : nrd_compute_fail(ctx, code, "full");
}

static struct nrd_status *source_start(struct nrd_operator *op, void *state)
{
    (void)op;
    ((struct source *)state)->sent = 0;
    return NULL;
}

static const struct nrd_param source_params[] = {
    {.name = "wrong_type",
     .type = NRD_PARAM_BOOL,
     .offset = offsetof(struct source, wrong_type),
     .fallback = "false"},
    {0},
};
static const struct nrd_port source_outputs[] = {
    {.name = "out", .type = "tensors", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_operator_class source_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "TestSourceOp",
    .state_size = sizeof(struct source),
    .params = source_params,
    .outputs = source_outputs,
    .start = source_start,
    .compute = source_compute,
};

// What arrived: the first number of a tensor, in order.
static float arrived[2000];
static size_t arrived_count;
static int64_t arrived_metadata;
static unsigned mismatched;
static char arrived_names[128];

static struct nrd_status *sink_compute(struct nrd_compute *ctx, void *state)
{
    (void)state;
    struct nrd_message *message = nrd_receive(ctx, 0);
    const char *name = NULL;
    arrived_names[0] = '\0';
    for (size_t i = 0; i < nrd_message_tensor_count(message); i++) {
        const struct nrd_tensor *tensor = nrd_message_tensor_at(message, i, &name);
        size_t length = strlen(arrived_names);
        snprintf(arrived_names + length, sizeof(arrived_names) - length, "%s=%g ", name,
                 ((const float *)tensor->data)[0]);
        arrived[arrived_count] = ((const float *)tensor->data)[0];
    }
    arrived_count++;
    nrd_value_get_int(nrd_value_get(nrd_message_metadata(message), "number"), &arrived_metadata);
    // Each answer has the metadata of its own question.
    mismatched += arrived[arrived_count - 1] != (float)(arrived_metadata * 10);
    nrd_message_unref(message);
    return NULL;
}

static const struct nrd_port sink_inputs[] = {
    {.name = "in", .type = "tensors", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_operator_class sink_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "TestSinkOp",
    .state_size = 1,
    .inputs = sink_inputs,
    .compute = sink_compute,
};

// ---- around each test -------------------------------------------------------------------------------------------------

static void write_model(const char *name, const char *more)
{
    char directory[160];
    char path[200];
    struct str text = STR_INIT;
    snprintf(directory, sizeof(directory), "%s/models/%s/1", root, name);
    assert_ok(file_make_dirs(directory));
    snprintf(path, sizeof(path), "%s/models/%s/config.pbtxt", root, name);
    str_printf(&text,
               "name: \"%s\"\nbackend: \"identity\"\nmax_batch_size: 8\n"
               "input { name: \"I\" data_type: TYPE_FP32 dims: [ 4 ] }\n"
               "output { name: \"O\" data_type: TYPE_FP32 dims: [ 4 ] }\ninstance_group { kind: "
               "KIND_CPU count: 1 }\n%s",
               name, more);
    assert_ok(file_write(path, str_slice(&text)));
    str_fini(&text);
}

static int set_up(void **state)
{
    (void)state;
    memcpy(root, "/tmp/nereid-infer-XXXXXX", sizeof("/tmp/nereid-infer-XXXXXX"));
    arrived_count = 0;
    arrived_metadata = -1;
    mismatched = 0;
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    status_free(file_remove_tree(root));
    return 0;
}

// source -> inference -> sink; `params` has %s where the repository goes.
static struct nrd_app *compose(const char *class_name, const char *params, int count,
                               bool wrong_type)
{
    struct nrd_app *app = NULL;
    struct nrd_operator *source = NULL;
    struct nrd_operator *inference = NULL;
    struct nrd_operator *sink = NULL;
    char text[1024];
    char limit[32];
    assert_ok(nrd_app_create("test", &app));
    struct nrd_fragment *fragment = nrd_app_fragment(app);
    struct nrd_value *source_values = yaml(wrong_type ? "{wrong_type: true}" : "{}");
    assert_ok(nrd_add_operator_class(fragment, &source_op, "source", source_values, &source));
    nrd_value_free(source_values);
    snprintf(limit, sizeof(limit), "{count: %d}", count);
    struct nrd_value *count_values = yaml(limit);
    assert_ok(nrd_add_condition(source, "CountCondition", "count", count_values, NULL));
    nrd_value_free(count_values);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof(text), params, root, root);
#pragma GCC diagnostic pop
    assert_ok(nrd_add_operator_yaml(fragment, class_name, "inference", text, &inference));
    assert_ok(nrd_add_operator_class(fragment, &sink_op, "sink", NULL, &sink));
    assert_ok(nrd_add_flow(source, "out", inference, "receivers", NULL));
    assert_ok(nrd_add_flow(inference, "transmitter", sink, "in", NULL));
    return app;
}

static void assert_in_order(size_t count)
{
    assert_int_equal(arrived_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_true(arrived[i] == (float)(i * 10));
    }
}

// ---- tests --------------------------------------------------------------------------------------------------------------

#define TRITON_HERE "{model_name: a, server_url: inprocess, model_repository: %s/models"

static void messages_leave_in_order_whatever_the_scheduler(void **state)
{
    (void)state;
    write_model("a", "");
    static const char *const schedulers[] = {"GreedyScheduler", "EventBasedScheduler",
                                             "MultiThreadScheduler"};
    static const char *const params[] = {TRITON_HERE "}", TRITON_HERE ", max_in_flight: 4}"};
    for (size_t s = 0; s < 3; s++) {
        for (size_t p = 0; p < 2; p++) {
            arrived_count = 0;
            struct nrd_app *app = compose("TritonInferenceOp", params[p], 300, false);
            struct nrd_value *workers = s == 0 ? NULL : yaml("{worker_thread_number: 2}");
            assert_ok(nrd_set_scheduler(nrd_app_fragment(app), schedulers[s], workers));
            nrd_value_free(workers);
            assert_ok(nrd_app_run(app));
            nrd_app_destroy(app);
            assert_in_order(300);
            assert_int_equal(arrived_metadata, 299);
            assert_int_equal(mismatched, 0);
        }
    }
}

// Answers are late, so each is sent by an execution that takes another question in.
static void late_answers_have_the_metadata_of_their_questions(void **state)
{
    (void)state;
    write_model("a", "parameters { key: \"execute_delay_ms\" value { string_value: \"2\" } }\n");
    struct nrd_app *app =
        compose("TritonInferenceOp", TRITON_HERE ", max_in_flight: 4}", 40, false);
    assert_ok(nrd_app_run(app));
    nrd_app_destroy(app);
    assert_in_order(40);
    assert_int_equal(mismatched, 0);
}

// A message's way is as long as its own model took, however many others were received meanwhile.
static void tracking_follows_each_message_through_the_model(void **state)
{
    (void)state;
    write_model("a", "parameters { key: \"execute_delay_ms\" value { string_value: \"2\" } }\n");
    struct nrd_app *app =
        compose("TritonInferenceOp", TRITON_HERE ", max_in_flight: 4}", 40, false);
    const struct nrd_track_options options = {0};
    struct nrd_path_report report;
    assert_ok(nrd_app_track(app, &options));
    assert_ok(nrd_app_run(app));
    assert_int_equal(nrd_app_path_count(app), 1);
    assert_true(nrd_app_path_report(app, 0, &report));
    assert_string_equal(report.path, "source,inference,sink");
    assert_int_equal(report.count, 40);
    assert_true(report.min_ns >= 2000000);
    nrd_app_destroy(app);
}

// The model of write_model() with a file of labels.
static void write_labelled_model(const char *name, const char *labels)
{
    char path[200];
    struct str config = STR_INIT;
    write_model(name, "");
    snprintf(path, sizeof(path), "%s/models/%s/config.pbtxt", root, name);
    str_printf(&config,
               "name: \"%s\"\nbackend: \"identity\"\nmax_batch_size: 8\n"
               "input { name: \"I\" data_type: TYPE_FP32 dims: [ 4 ] }\n"
               "output { name: \"O\" data_type: TYPE_FP32 dims: [ 4 ] label_filename: \"l.txt\" }\n"
               "instance_group { kind: KIND_CPU count: 1 }\n",
               name);
    assert_ok(file_write(path, str_slice(&config)));
    str_fini(&config);
    snprintf(path, sizeof(path), "%s/models/%s/l.txt", root, name);
    assert_ok(file_write(path, slice_of(labels)));
}

// Metadata "labels" of what the last compute received, as "p: cat dog; q: red".
static char seen_labels[128];

static struct nrd_status *labels_compute(struct nrd_compute *ctx, void *state)
{
    (void)state;
    size_t flows = nrd_operator_input_flows(nrd_compute_operator(ctx), 0);
    for (size_t i = 0; i < flows; i++) {
        nrd_message_unref(nrd_receive_from(ctx, 0, i));
    }
    const struct nrd_value *labels = nrd_value_get(nrd_metadata(ctx), "labels");
    struct str text = STR_INIT;
    for (size_t i = 0; i < nrd_value_count(labels); i++) {
        const struct nrd_value *names = nrd_value_at(labels, i);
        str_printf(&text, "%s%s:", i == 0 ? "" : "; ", nrd_value_key(labels, i));
        for (size_t k = 0; k < nrd_value_count(names); k++) {
            str_printf(&text, " %s", nrd_value_text(nrd_value_at(names, k)));
        }
    }
    snprintf(seen_labels, sizeof(seen_labels), "%s", str_cstr(&text));
    str_fini(&text);
    arrived_count++;
    // An operator's own value is no conflict with them, though the policy is "raise".
    return nrd_metadata_set(ctx, "labels", nrd_value_string("mine"));
}

static const struct nrd_port labels_inputs[] = {
    {.name = "in", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_ANY_SIZE}, {0}};
static const struct nrd_operator_class labels_op = {.abi = NRD_OPERATOR_ABI,
                                                    .name = "TestLabelsOp",
                                                    .state_size = 1,
                                                    .inputs = labels_inputs,
                                                    .compute = labels_compute};

// A source, two models and a reader of both; `names` are the two outputs' names.
static void run_two_labelled(const char *const names[2])
{
    struct nrd_app *app = NULL;
    struct nrd_operator *source = NULL;
    struct nrd_operator *sink = NULL;
    assert_ok(nrd_app_create("test", &app));
    struct nrd_fragment *fragment = nrd_app_fragment(app);
    assert_ok(nrd_add_operator_class(fragment, &source_op, "source", NULL, &source));
    add_condition(source, "CountCondition", "{count: 5}");
    assert_ok(nrd_add_operator_class(fragment, &labels_op, "sink", NULL, &sink));
    for (int i = 0; i < 2; i++) {
        struct nrd_operator *model = NULL;
        char text[256];
        snprintf(text, sizeof(text),
                 "{model_name: %c, server_url: inprocess, model_repository: %s/models, "
                 "out_tensor_names: [%s]}",
                 "ab"[i], root, names[i]);
        assert_ok(nrd_add_operator_yaml(fragment, "TritonInferenceOp", i == 0 ? "one" : "two", text,
                                        &model));
        assert_ok(nrd_add_flow(source, "out", model, "receivers", NULL));
        assert_ok(nrd_add_flow(model, "transmitter", sink, "in", NULL));
    }
    arrived_count = 0;
    assert_ok(nrd_app_run(app));
    assert_int_equal(arrived_count, 5);
    assert_ok(nrd_app_run(app));
    assert_int_equal(arrived_count, 10);
    nrd_app_destroy(app);
}

static void labels_of_models_travel_and_branches_agree(void **state)
{
    (void)state;
    write_labelled_model("a", "cat\r\ndog\n\nhen");
    write_labelled_model("b", "red\n");
    run_two_labelled((const char *const[]){"p", "q"});
    assert_string_equal(seen_labels, "p: cat dog  hen; q: red");
}

static void tensor_of_two_models_with_labels_has_none(void **state)
{
    (void)state;
    write_labelled_model("a", "cat\n");
    write_labelled_model("b", "red\n");
    run_two_labelled((const char *const[]){"p", "p"});
    assert_string_equal(seen_labels, "p:");
}

static void application_runs_twice(void **state)
{
    (void)state;
    write_model("a", "");
    struct nrd_app *app = compose("TritonInferenceOp", TRITON_HERE "}", 5, false);
    assert_ok(nrd_app_run(app));
    assert_ok(nrd_app_run(app));
    assert_int_equal(arrived_count, 10);
    nrd_app_destroy(app);
}

static void models_run_side_by_side_under_their_own_names(void **state)
{
    (void)state;
    write_model("a", "");
    write_model("b", "");
    static const char params[] =
        "{model_path_map: {a: %s/models/a, b: %s/models/b}, pre_processor_map: {a: [x], b: [x]}, "
        "inference_map: {a: [p], b: q}}";
    struct nrd_app *app = compose("InferenceOp", params, 20, false);
    assert_ok(nrd_app_run(app));
    nrd_app_destroy(app);
    assert_int_equal(arrived_count, 20);
    assert_string_equal(arrived_names, "p=190 q=190 ");
}

static void temporal_model_repeats_its_last_answer(void **state)
{
    (void)state;
    write_model("a", "");
    write_model("b", "");
    static const char params[] =
        "{model_path_map: {a: %s/models/a, b: %s/models/b}, pre_processor_map: {a: [x], b: [x]}, "
        "inference_map: {a: [p], b: [q]}, temporal_map: {b: 4}, parallel_inference: false}";
    struct nrd_app *app = compose("InferenceOp", params, 7, false);
    assert_ok(nrd_app_run(app));
    nrd_app_destroy(app);
    assert_string_equal(arrived_names, "p=60 q=40 "); // messages 0 and 4
}

static void model_that_is_absent_is_named(void **state)
{
    (void)state;
    write_model("other", "");
    struct nrd_app *app = compose("TritonInferenceOp", TRITON_HERE "}", 1, false);
    struct nrd_status *status = nrd_app_run(app);
    assert_non_null(status);
    assert_non_null(strstr(status_text(status), "operator 'inference'"));
    assert_non_null(strstr(status_text(status), "model 'a'"));
    status_free(status);
    nrd_app_destroy(app);
}

static void tensor_of_the_wrong_type_ends_the_run(void **state)
{
    (void)state;
    write_model("a", "");
    struct nrd_app *app = compose("TritonInferenceOp", TRITON_HERE "}", 3, true);
    struct nrd_status *status = nrd_app_run(app);
    assert_string_equal(
        status_text(status),
        "operator 'inference': model 'a': input 'I' is INT32 [4], expected FP32 [-1,4]");
    status_free(status);
    nrd_app_destroy(app);
    assert_int_equal(arrived_count, 0);
}

static void wrong_messages_are_dropped_where_asked(void **state)
{
    (void)state;
    write_model("a", "");
    struct nrd_app *app = compose("TritonInferenceOp", TRITON_HERE ", on_error: drop}", 3, true);
    assert_ok(nrd_app_run(app));
    nrd_app_destroy(app);
    assert_int_equal(arrived_count, 0);
}

static void map_that_does_not_fit_the_model_is_named(void **state)
{
    (void)state;
    write_model("a", "");
    static const char params[] = "{model_path_map: {a: %s/models/a}, pre_processor_map: {a: [x, "
                                 "y]}, inference_map: {a: [p]}}";
    struct nrd_app *app = compose("InferenceOp", params, 1, false);
    struct nrd_status *status = nrd_app_compile(app);
    assert_non_null(status);
    assert_non_null(
        strstr(status_text(status),
               "pre_processor_map: model 'a' names 2 tensors, and the model has 1 inputs"));
    status_free(status);
    nrd_app_destroy(app);
}

static void application_that_did_not_compile_may_be_tried_again(void **state)
{
    (void)state;
    write_model("a", "");
    static const char params[] =
        "{model_path_map: {a: %s/models/a, b: %s/models/b}, pre_processor_map: {a: [x], b: [x]}, "
        "inference_map: {a: [p], b: [q]}}";
    struct nrd_app *app = compose("InferenceOp", params, 3, false);
    for (int i = 0; i < 2; i++) {
        struct nrd_status *status = nrd_app_compile(app);
        assert_non_null(strstr(status_text(status), "model 'b': there is no"));
        status_free(status);
    }
    write_model("b", "");
    assert_ok(nrd_app_run(app));
    assert_int_equal(arrived_count, 3);
    nrd_app_destroy(app);

    static const char triton[] = "{model_name: b, server_url: inprocess, model_repository: "
                                 "%s/models, in_tensor_names: [x, y]}";
    app = compose("TritonInferenceOp", triton, 3, false);
    for (int i = 0; i < 2; i++) {
        struct nrd_status *status = nrd_app_compile(app);
        assert_non_null(strstr(status_text(status), "in_tensor_names has 2 names"));
        status_free(status);
    }
    nrd_app_destroy(app);
}

static void accelerators_are_refused_by_name(void **state)
{
    (void)state;
    write_model("a", "");
    static const struct {
        const char *params, *text;
    } cases[] = {
        {", dla_core: 0", "dla_core: deep learning accelerators are not built"},
        {", dla_core_map: {a: '1'}",
         "dla_core_map: model 'a' asks for a deep learning accelerator"},
        {", dla_core: -1, dla_core_map: {a: '-1'}, dla_gpu_fallback: false", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char params[300];
        snprintf(params, sizeof(params),
                 "{model_path_map: {a: %%s/models/a}, pre_processor_map: {a: [x]}, inference_map: "
                 "{a: [p]}%s}",
                 cases[i].params);
        struct nrd_app *app = compose("InferenceOp", params, 1, false);
        struct nrd_status *status = nrd_app_compile(app);
        if (cases[i].text == NULL) {
            assert_ok(status);
        } else {
            assert_non_null(strstr(status_text(status), cases[i].text));
            status_free(status);
        }
        nrd_app_destroy(app);
    }
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    write_model("a", "");
    struct nrd_app *app = compose("TritonInferenceOp", TRITON_HERE "}", 1000, false);
    assert_ok(nrd_app_run(app));
    arrived_count = 0;
    uint64_t before = mem_count();
    assert_ok(nrd_app_run(app));
    uint64_t count = mem_count() - before;
    nrd_app_destroy(app);
    // All of it is the metadata: a tree of its own for each message, made at the source and copied past the model.
    assert_in_range(count, 0, 12 * 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages_leave_in_order_whatever_the_scheduler),
        TEST(late_answers_have_the_metadata_of_their_questions),
        TEST(tracking_follows_each_message_through_the_model),
        TEST(labels_of_models_travel_and_branches_agree),
        TEST(tensor_of_two_models_with_labels_has_none),
        TEST(application_runs_twice),
        TEST(models_run_side_by_side_under_their_own_names),
        TEST(temporal_model_repeats_its_last_answer),
        TEST(model_that_is_absent_is_named),
        TEST(tensor_of_the_wrong_type_ends_the_run),
        TEST(wrong_messages_are_dropped_where_asked),
        TEST(map_that_does_not_fit_the_model_is_named),
        TEST(application_that_did_not_compile_may_be_tried_again),
        TEST(accelerators_are_refused_by_name),
        TEST(steady_state_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
