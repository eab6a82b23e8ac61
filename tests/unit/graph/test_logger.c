// SPDX-License-Identifier: Apache-2.0
#include "small_ops.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

// ---- a logger of the caller's ----

struct record {
    char text[32][48];
    size_t count;
};

static void note(void *self, const struct nrd_operator *op, const char *port, bool emitted,
                 const struct nrd_message *message, int64_t now_ns)
{
    struct record *r = self;
    const int64_t *number = nrd_message_value(message, NULL, NULL);
    assert_true(now_ns >= 0);
    if (r->count < 32) {
        snprintf(r->text[r->count++], 48, "%s.%s %s %d", nrd_operator_name(op), port,
                 emitted ? "sent" : "got", (int)*number);
    }
}

static void logger_of_the_caller_sees_every_message_twice(void **state)
{
    (void)state;
    struct record record = {.count = 0};
    static const struct nrd_logger_class NOTES = {.name = "notes", .logged = note};
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    flow(add_source(f, "tx", 2), add(f, &sink_op, "rx", NULL));
    ok(nrd_app_add_logger(app, &NOTES, &record));
    ok(nrd_app_run(app));
    assert_int_equal(record.count, 4);
    assert_string_equal(record.text[0], "tx.out sent 0");
    assert_string_equal(record.text[1], "rx.in got 0");
    assert_string_equal(record.text[2], "tx.out sent 1");
    assert_string_equal(record.text[3], "rx.in got 1");
    fails(nrd_app_add_logger(app, &(struct nrd_logger_class){.name = "none"}, NULL),
          "data logger 'none' has no function 'logged'");
    nrd_app_destroy(app);
}

// ---- the built-in ones, into a file ----

static char log_path[64];

static int log_to_file(void **state)
{
    snprintf(log_path, sizeof(log_path), "/tmp/nereid-data-log-%d.txt", (int)getpid());
    unlink(log_path);
    ok(log_set_file(log_path));
    return no_hooks(state);
}

static int log_back(void **state)
{
    (void)state;
    ok(log_set_file(""));
    unlink(log_path);
    return 0;
}
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, log_to_file, log_back)

static void read_log(struct str *text)
{
    str_clear(text);
    ok(file_read(log_path, 0, text));
}

static size_t count_of(const struct str *text, const char *part)
{
    size_t count = 0;
    for (const char *at = str_cstr(text); (at = strstr(at, part)) != NULL; at++) {
        count++;
    }
    return count;
}

static void add_logger(struct nrd_fragment *f, const char *type, const char *params)
{
    struct nrd_value *map = params == NULL ? NULL : yaml(params);
    ok(nrd_add_data_logger(f, type, map));
    nrd_value_free(map);
}

static struct nrd_status *source_sends_tensors(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    struct nrd_tensor *t = NULL;
    struct nrd_message *m = nrd_message_new(ctx);
    ok(nrd_allocate(nrd_compute_operator(ctx), NULL, NRD_DTYPE_F32, (int64_t[]){2, 6}, 2,
                    NRD_MEMORY_CPU, 0, &t));
    for (int i = 0; i < 12; i++) {
        ((float *)t->data)[i] = (float)i / 2;
    }
    ok(nrd_message_add_tensor(m, "image", t));
    ok(nrd_metadata_set(ctx, "frame", nrd_value_int((int64_t)nrd_compute_count(ctx))));
    nrd_message_set_acquired(m, 42);
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static void run_logged(const char *type, const char *params, int messages, small_hook_fn source)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    add_resource(f, "SyntheticClock", "clock", "{initial_timestamp: 77}");
    source_hook = source;
    struct nrd_operator *tx = add_source(f, "tx", messages);
    struct nrd_operator *mx = add(f, &pass_op, "mx", NULL);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(tx, mx);
    flow(mx, rx);
    add_logger(f, type, params);
    ok(nrd_app_run(app));
    assert_int_equal(small(rx)->got, messages);
    nrd_app_destroy(app);
}

static void logger_writes_holoscans_line_with_content_and_metadata(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    run_logged("BasicConsoleLogger", "{clock: clock, allowlist_patterns: ['rx[.]in']}", 1,
               source_sends_tensors);
    read_log(&text);
    assert_int_equal(count_of(&text, "BasicConsoleLogger["), 1);
    assert_non_null(
        strstr(str_cstr(&text),
               "BasicConsoleLogger[ID:rx.in:0][Acquisition Timestamp:42][Receive Timestamp:77]"
               "[Category:TensorMap][Type Name: tensors] TensorMap(size=1) {'image': "
               "Tensor(shape=[2, 6], dtype=FP32, device=CPU:0, size=12, nbytes=48, data=[0.000000, "
               "0.500000, 1.000000, 1.500000, 2.000000, 2.500000, 3.000000, 3.500000, 4.000000, "
               "4.500000, ... (2 more)])}\\nMetadataDictionary(size=1) {'frame': 0}"));
    str_fini(&text);
}

static void logger_prints_plain_values_and_says_who_sent_and_got(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    run_logged("holoscan::BasicConsoleLogger", NULL, 3, NULL);
    read_log(&text);
    assert_int_equal(count_of(&text, "BasicConsoleLogger["), 12);
    assert_int_equal(count_of(&text, "Emit Timestamp:"), 6);
    assert_int_equal(count_of(&text, "[ID:mx.in]"), 3);
    assert_int_equal(count_of(&text, "[Category:Message][Type Name: int64] 2\""), 4);
    str_fini(&text);
}

static void logger_patterns_and_switches_choose_ports(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    static const struct {
        const char *params;
        size_t lines;
    } CASES[] = {
        {"{log_inputs: false}", 2},
        {"{log_outputs: false}", 2},
        {"{denylist_patterns: ['^tx', 'rx']}", 2},
        {"{allowlist_patterns: ['^mx'], denylist_patterns: ['out$']}", 1},
        {"{allowlist_patterns: ['in:\\d']}", 1}, // the one any-size input
        {"{allowlist_patterns: ['no such']}", 0},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_operator *tx = add_source(f, "tx", 1);
        struct nrd_operator *mx = add(f, &pass_op, "mx", NULL);
        struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
        flow(tx, mx);
        flow(mx, rx);
        add_logger(f, "BasicConsoleLogger", CASES[i].params);
        read_log(&text);
        size_t before = count_of(&text, "ConsoleLogger[");
        ok(nrd_app_run(app));
        read_log(&text);
        assert_int_equal(count_of(&text, "ConsoleLogger[") - before, CASES[i].lines);
        nrd_app_destroy(app);
    }
    str_fini(&text);
}

static void logger_errors_name_the_pattern_and_the_type(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_value *bad = yaml("{allowlist_patterns: ['a', '(']}");
    fails(nrd_add_data_logger(f, "BasicConsoleLogger", bad),
          "BasicConsoleLogger: allowlist_patterns: '(a)|(()': ");
    fails(nrd_add_data_logger(f, "AsyncConsoleLogger", bad), "AsyncConsoleLogger");
    assert_fails(nrd_add_data_logger(f, "AsyncConsolLogger", NULL), NRD_NOT_FOUND,
                 "there is no data logger 'AsyncConsolLogger' (did you mean "
                 "'AsyncConsoleLogger'?)");
    nrd_value_free(bad);
    nrd_app_destroy(app);
}

static void logger_async_writes_every_line_before_the_run_is_over(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    run_logged("AsyncConsoleLogger", NULL, 200, source_sends_tensors);
    read_log(&text);
    assert_int_equal(count_of(&text, "AsyncConsoleLogger[ID:"), 800);
    assert_int_equal(count_of(&text, "data=[0.000000"), 800);
    str_fini(&text);
}

static void logger_async_without_its_large_queue_prints_no_elements(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    run_logged("AsyncConsoleLogger", "{enable_large_data_queue: false}", 5, source_sends_tensors);
    read_log(&text);
    assert_int_equal(count_of(&text, "Tensor(shape=[2, 6]"), 20);
    assert_int_equal(count_of(&text, "data=["), 0);
    str_fini(&text);
}

static void logger_async_drops_and_counts_what_does_not_fit(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    run_logged("AsyncConsoleLogger",
               "{max_queue_size: 1, large_data_max_queue_size: 1, queue_policy: raise}", 2000,
               source_sends_tensors);
    read_log(&text);
    size_t lines = count_of(&text, "AsyncConsoleLogger[ID:");
    assert_true(lines >= 1 && lines < 8000);
    // Said once, however many did not fit.
    assert_int_equal(count_of(&text, "AsyncConsoleLogger: its queue of 1 messages is full"), 1);
    char expected[64];
    snprintf(expected, sizeof(expected), "AsyncConsoleLogger: %zu messages were not logged",
             8000 - lines);
    assert_non_null(strstr(str_cstr(&text), expected));
    str_fini(&text);
}

static void logger_async_may_drop_what_waits_at_the_end(void **state)
{
    (void)state;
    struct str text = STR_INIT;
    run_logged("AsyncConsoleLogger", "{shutdown_wait_period_ms: 0}", 3000, NULL);
    run_logged("AsyncConsoleLogger", "{shutdown_wait_period_ms: 10000}", 10, NULL);
    read_log(&text);
    assert_true(count_of(&text, "[ID:tx.out]") >= 10);
    str_fini(&text);
}

static void logger_survives_each_failing_allocation(void **state)
{
    (void)state;
    static const char *const TYPES[] = {"BasicConsoleLogger", "AsyncConsoleLogger"};
    struct nrd_value *params = yaml("{allowlist_patterns: [a], denylist_patterns: [b, c]}");
    for (int i = 0; i < 2; i++) {
        TORTURE_LOOP(n)
        {
            struct nrd_app *app = NULL;
            struct nrd_status *status = nrd_app_create("t", &app);
            if (status == NULL) {
                status = nrd_add_data_logger(nrd_app_fragment(app), TYPES[i], params);
            }
            status_free(status);
            nrd_app_destroy(app);
        }
    }
    nrd_value_free(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL_TEST(logger_of_the_caller_sees_every_message_twice),
        LOG_TEST(logger_writes_holoscans_line_with_content_and_metadata),
        LOG_TEST(logger_prints_plain_values_and_says_who_sent_and_got),
        LOG_TEST(logger_patterns_and_switches_choose_ports),
        LOG_TEST(logger_errors_name_the_pattern_and_the_type),
        LOG_TEST(logger_async_writes_every_line_before_the_run_is_over),
        LOG_TEST(logger_async_without_its_large_queue_prints_no_elements),
        LOG_TEST(logger_async_drops_and_counts_what_does_not_fit),
        LOG_TEST(logger_async_may_drop_what_waits_at_the_end),
        SMALL_TEST(logger_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
