// SPDX-License-Identifier: Apache-2.0
// The tracker alone, moved by hand: a "message" here is the ways it carries.
#include "../base/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/thread.h"
#include "graph/track.h"

static int64_t now;

static int64_t read_now(void *arg)
{
    (void)arg;
    return now;
}

static const char *const out_name[] = {"out"};

// "a" is a source, "z" and "y" are sinks, all others are in between; three inputs each.
static struct track *track_of(const char *names, struct nrd_track_options options)
{
    static char texts[16][2];
    struct track_spec_operator operators[16];
    size_t count = strlen(names);
    for (size_t i = 0; i < count; i++) {
        texts[i][0] = names[i];
        operators[i] = (struct track_spec_operator){
            .name = texts[i],
            .input_count = 3,
            .output_count = 1,
            .outputs = out_name,
            .is_source = names[i] == 'a',
            .is_sink = names[i] >= 'y',
        };
    }
    struct track *t = NULL;
    assert_null(track_create(&(struct track_spec){operators, count, options, read_now, NULL}, &t));
    return t;
}

// One compute of a source at `at`.
static struct track_way *source(struct track *t, size_t op, int64_t at)
{
    now = at;
    track_begin(track_operator_at(t, op), now);
    struct track_way *way = track_emitted(track_operator_at(t, op), 0);
    track_end_compute(track_operator_at(t, op), now);
    return way;
}

// One compute from `at` to `end` that takes one message and sends one on.
static struct track_way *pass(struct track *t, size_t op, const struct track_way *way, int64_t at,
                              int64_t end)
{
    now = at;
    track_begin(track_operator_at(t, op), now);
    track_received(track_operator_at(t, op), 0, way, false);
    now = end;
    struct track_way *on = track_emitted(track_operator_at(t, op), 0);
    track_end_compute(track_operator_at(t, op), now);
    return on;
}

static void sink(struct track *t, size_t op, const struct track_way *way, int64_t at, int64_t end)
{
    now = at;
    track_begin(track_operator_at(t, op), now);
    track_received(track_operator_at(t, op), 0, way, false);
    now = end;
    track_end_compute(track_operator_at(t, op), now);
}

static struct nrd_path_report report_of(const struct track *t, const char *path)
{
    struct nrd_path_report report = {0};
    for (size_t i = 0; track_path_report(t, i, &report); i++) {
        if (strcmp(report.path, path) == 0) {
            return report;
        }
    }
    fail_msg("no path %s", path);
    return report;
}

static void track_measures_from_the_sources_begin_to_the_sinks_end(void **state)
{
    (void)state;
    struct track *t = track_of("abz", (struct nrd_track_options){0});
    for (int64_t i = 0; i < 100; i++) {
        struct track_way *first = source(t, 0, i * 1000);
        struct track_way *second = pass(t, 1, first, i * 1000 + 10, i * 1000 + 20);
        sink(t, 2, second, i * 1000 + 30, i * 1000 + 40 + i);
        track_release(first);
        track_release(second);
    }
    assert_int_equal(track_path_count(t), 1);
    struct nrd_path_report r = report_of(t, "a,b,z");
    assert_int_equal(r.count, 100);
    assert_int_equal(r.min_ns, 40);
    assert_int_equal(r.max_ns, 139);
    assert_int_equal(r.mean_ns, 89);
    assert_int_equal(r.p50_ns, 89);
    assert_int_equal(r.min_message, 1);
    assert_int_equal(r.max_message, 100);
    assert_int_equal(track_lost(t), 0);
    track_destroy(t);
}

static void track_gives_each_branch_of_a_fan_out_and_a_join_its_path(void **state)
{
    (void)state;
    struct track *t = track_of("abcz", (struct nrd_track_options){0});
    for (int64_t at = 0; at < 5000; at += 1000) {
        struct track_way *root = source(t, 0, at);
        struct track_way *left = pass(t, 1, root, at + 10, at + 20);
        struct track_way *right = pass(t, 2, root, at + 20, at + 30);
        track_begin(track_operator_at(t, 3), at + 40);
        track_received(track_operator_at(t, 3), 0, left, false);
        track_received(track_operator_at(t, 3), 1, right, false);
        track_received(track_operator_at(t, 3), 2, root, false);
        track_end_compute(track_operator_at(t, 3), at + 50);
        track_release(root);
        track_release(left);
        track_release(right);
    }
    assert_int_equal(track_path_count(t), 3);
    assert_int_equal(report_of(t, "a,b,z").count, 5);
    assert_int_equal(report_of(t, "a,c,z").count, 5);
    assert_int_equal(report_of(t, "a,z").count, 5);
    assert_int_equal(report_of(t, "a,z").max_ns, 50);
    track_destroy(t);
}

static void track_counts_each_of_a_batch_taken_from_one_input(void **state)
{
    (void)state;
    struct track *t = track_of("abz", (struct nrd_track_options){0});
    struct track_operator *b = track_operator_at(t, 1);
    track_begin(b, 100);
    for (int64_t i = 0; i < 7; i++) {
        struct track_way *way = source(t, 0, i);
        track_received(b, 0, way, false);
        track_release(way);
    }
    struct track_way *batch = track_emitted(b, 0);
    track_end_compute(b, 110);
    sink(t, 2, batch, 120, 130);
    track_release(batch);
    struct nrd_path_report r = report_of(t, "a,b,z");
    assert_int_equal(r.count, 7);
    assert_int_equal(r.min_ns, 124);
    assert_int_equal(r.max_ns, 130);
    track_destroy(t);
}

static void track_ends_a_cycle_where_it_comes_back(void **state)
{
    (void)state;
    struct track *t = track_of("abcz", (struct nrd_track_options){0});
    struct track_way *back = NULL;
    for (int64_t at = 0; at < 3000; at += 1000) {
        struct track_way *root = source(t, 0, at);
        track_begin(track_operator_at(t, 1), at + 10);
        track_received(track_operator_at(t, 1), 0, root, false);
        track_received(track_operator_at(t, 1), 1, back, false);
        track_release(back);
        struct track_way *on = track_emitted(track_operator_at(t, 1), 0);
        track_end_compute(track_operator_at(t, 1), at + 20);
        back = pass(t, 2, on, at + 30, at + 40);
        sink(t, 3, on, at + 50, at + 60);
        track_release(root);
        track_release(on);
    }
    track_release(back);
    assert_int_equal(track_path_count(t), 2);
    assert_int_equal(report_of(t, "a,b,z").count, 3);
    struct nrd_path_report cycle = report_of(t, "a,b,c,b");
    assert_int_equal(cycle.count, 2);
    assert_int_equal(cycle.max_ns, 1010); // to the begin of the second time, as Holoscan has it
    track_destroy(t);
}

static void track_of_a_ring_without_a_source_begins_where_it_was_started(void **state)
{
    (void)state;
    struct track *t = track_of("bc", (struct nrd_track_options){0});
    struct track_way *way = source(t, 0, 0);
    for (int64_t at = 100; at < 1000; at += 100) {
        struct track_way *on = pass(t, 1, way, at, at + 10);
        track_release(way);
        way = pass(t, 0, on, at + 20, at + 30);
        track_release(on);
    }
    track_release(way);
    assert_int_equal(track_path_count(t), 1);
    assert_int_equal(report_of(t, "b,c,b").count, 9);
    assert_int_equal(report_of(t, "b,c,b").min_ns, 100);
    track_destroy(t);
}

static void track_forgets_what_a_filter_dropped_and_keeps_what_a_collector_waits_with(void **state)
{
    (void)state;
    struct track *t = track_of("abz", (struct nrd_track_options){0});
    struct track_operator *b = track_operator_at(t, 1);
    struct track_way *dropped = source(t, 0, 0);
    track_begin(b, 10);
    track_received(b, 0, dropped, false);
    track_end_compute(b, 11);
    struct track_way *kept = source(t, 0, 100);
    track_begin(b, 110);
    track_received(b, 0, kept, false);
    track_end_compute(b, 111);
    struct track_way *other = source(t, 0, 200);
    track_begin(b, 210);
    track_received(b, 1, other, false);
    struct track_way *joined = track_emitted(b, 0);
    track_end_compute(b, 211);
    sink(t, 2, joined, 220, 230);
    track_release(joined);
    assert_int_equal(report_of(t, "a,b,z").count, 2);
    assert_int_equal(report_of(t, "a,b,z").max_ns, 130);
    // What was sent on is not sent with the next message of another input.
    track_begin(b, 310);
    track_received(b, 1, other, false);
    joined = track_emitted(b, 0);
    track_end_compute(b, 311);
    sink(t, 2, joined, 320, 330);
    assert_int_equal(report_of(t, "a,b,z").count, 3);
    track_release(joined);
    track_release(dropped);
    track_release(kept);
    track_release(other);
    track_destroy(t);
}

static void track_names_the_sender_of_a_message_that_is_read_again(void **state)
{
    (void)state;
    struct track *t = track_of("az", (struct nrd_track_options){0});
    struct track_way *way = source(t, 0, 0);
    for (int i = 0; i < 3; i++) {
        track_begin(track_operator_at(t, 1), 10);
        track_received(track_operator_at(t, 1), 0, way, i > 0);
        track_end_compute(track_operator_at(t, 1), 20);
    }
    track_release(way);
    assert_int_equal(report_of(t, "a,z").count, 1);
    assert_int_equal(report_of(t, "a_old,z").count, 2);
    track_destroy(t);
}

static void track_skips_first_and_last_and_below_the_threshold(void **state)
{
    (void)state;
    struct track *t = track_of(
        "az", (struct nrd_track_options){.skip_first = 10, .skip_last = 10, .threshold_ns = 1000});
    for (int64_t i = 0; i < 100; i++) {
        struct track_way *way = source(t, 0, 0);
        sink(t, 1, way, 0, i % 2 == 0 ? 999 : 1000 + i); // every second one counts
        track_release(way);
    }
    struct nrd_path_report r = report_of(t, "a,z");
    assert_int_equal(r.count, 30);
    assert_int_equal(r.min_ns, 1021); // 1, 3 .. 19 were skipped
    assert_int_equal(r.max_ns, 1079);
    track_destroy(t);
}

static void track_refuses_to_hold_more_than_its_maximum(void **state)
{
    (void)state;
    struct track *t = NULL;
    struct nrd_status *status =
        track_create(&(struct track_spec){.options = {.skip_last = TRACK_SKIP_LAST_MAX + 1}}, &t);
    assert_int_equal(status_code(status), NRD_INVALID_ARG);
    assert_string_equal(status_text(status), "flow tracking: skip_last is 65537, at most 65536");
    status_free(status);
}

static void track_leaves_out_and_counts_what_is_too_much(void **state)
{
    (void)state;
    struct track *t = track_of("abz", (struct nrd_track_options){0});
    struct track_operator *b = track_operator_at(t, 1);
    track_begin(b, 100);
    for (int64_t i = 0; i < TRACK_WAYS_MAX + 6; i++) {
        struct track_way *way = source(t, 0, i);
        track_received(b, 0, way, false);
        track_release(way);
    }
    struct track_way *batch = track_emitted(b, 0);
    sink(t, 2, batch, 120, 130);
    track_release(batch);
    assert_int_equal(report_of(t, "a,b,z").count, TRACK_WAYS_MAX);
    assert_int_equal(track_lost(t), 6);
    track_destroy(t);
}

// Twelve layers of two: 4096 paths, of which the first 1024 that are walked are kept.
static void track_bounds_the_number_of_paths(void **state)
{
    (void)state;
    struct track *t = track_of("abcdefghijklmnz", (struct nrd_track_options){0});
    uint64_t walked = 0;
    for (uint32_t bits = 0; bits < 4096; bits++) {
        struct track_way *way = source(t, 0, 0);
        // Each of twelve operators is on the path, or not: as many different paths.
        for (size_t op = 1; op <= 12; op++) {
            if ((bits >> (op - 1) & 1) != 0) {
                struct track_way *on = pass(t, op, way, 1, 2);
                track_release(way);
                way = on;
            }
        }
        sink(t, 14, way, 3, 4);
        track_release(way);
        walked++;
    }
    assert_int_equal(track_path_count(t), TRACK_PATHS_MAX);
    uint64_t counted = 0;
    struct nrd_path_report r;
    for (size_t i = 0; track_path_report(t, i, &r); i++) {
        counted += r.count;
    }
    assert_int_equal(counted, TRACK_PATHS_MAX);
    assert_true(track_lost(t) >= walked - counted);
    track_destroy(t);
}

static void track_steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct track *t = track_of("abcz", (struct nrd_track_options){.skip_last = 10});
    uint64_t before = 0;
    for (int64_t i = 0; i < 1000; i++) {
        if (i == 10) {
            before = mem_count();
        }
        struct track_way *root = source(t, 0, i);
        struct track_way *left = pass(t, 1, root, i, i);
        struct track_way *right = pass(t, 2, root, i, i);
        sink(t, 3, left, i, i);
        sink(t, 3, right, i, i);
        track_release(root);
        track_release(left);
        track_release(right);
    }
    assert_int_equal(mem_count(), before);
    track_destroy(t);
}

static void track_prints_holoscans_text_and_a_csv(void **state)
{
    (void)state;
    struct track *t = track_of("abz", (struct nrd_track_options){0});
    struct track_way *first = source(t, 0, 0);
    struct track_way *second = pass(t, 1, first, 1000, 2000);
    sink(t, 2, second, 3000000, 77000);
    sink(t, 2, first, 3000000, 1234567);
    track_release(first);
    track_release(second);
    struct str out = STR_INIT;
    assert_null(track_print(t, false, &out));
    assert_string_equal(str_cstr(&out), "Data Flow Tracking Results:\n"
                                        "Total paths: 2\n"
                                        "\n"
                                        "Path 1: a,b,z\n"
                                        "Number of messages: 1\n"
                                        "Min Latency Message No: 1\n"
                                        "Min end-to-end Latency (ms): 0.077\n"
                                        "Avg end-to-end Latency (ms): 0.077\n"
                                        "Max Latency Message No: 1\n"
                                        "Max end-to-end Latency (ms): 0.077\n"
                                        "\n"
                                        "Path 2: a,z\n"
                                        "Number of messages: 1\n"
                                        "Min Latency Message No: 1\n"
                                        "Min end-to-end Latency (ms): 1.23457\n"
                                        "Avg end-to-end Latency (ms): 1.23457\n"
                                        "Max Latency Message No: 1\n"
                                        "Max end-to-end Latency (ms): 1.23457\n"
                                        "\n"
                                        "Number of source messages [format: source operator->"
                                        "transmitter name: number of messages]:\n"
                                        "a->out: 1\n");
    str_clear(&out);
    assert_null(track_print(t, true, &out));
    assert_string_equal(str_cstr(&out),
                        "path,messages,min_ms,mean_ms,max_ms,p50_ms,p90_ms,p99_ms,p99.9_ms,"
                        "min_message,max_message\n"
                        "\"a,b,z\",1,0.077,0.077,0.077,0.077,0.077,0.077,0.077,1,1\n"
                        "\"a,z\",1,1.23457,1.23457,1.23457,1.23457,1.23457,1.23457,1.23457,1,1\n");
    str_fini(&out);
    track_destroy(t);
}

static void track_logs_each_messages_way(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/nereid-track-%d.log", (int)getpid());
    struct track *t = track_of("abz", (struct nrd_track_options){.log_path = path});
    struct track_way *first = source(t, 0, 5000);
    struct track_way *second = pass(t, 1, first, 6000, 8000);
    track_begin(track_operator_at(t, 2), 9000);
    now = 10000;
    track_received(track_operator_at(t, 2), 0, second, false);
    track_received(track_operator_at(t, 2), 1, first, false);
    track_end_compute(track_operator_at(t, 2), 12000);
    sink(t, 2, first, 20000, 21000);
    track_release(first);
    track_release(second);
    assert_null(track_end(t));
    struct str text = STR_INIT;
    assert_null(file_read(path, 0, &text));
    assert_string_equal(str_cstr(&text), "1:\n"
                                         "(a,5,5) -> (b,6,8) -> (z,10,12)\n"
                                         "(a,5,5) -> (z,10,12)\n"
                                         "\n"
                                         "2:\n"
                                         "(a,5,5) -> (z,20,21)\n"
                                         "\n");
    str_fini(&text);
    track_destroy(t);
    unlink(path);
}

static void track_restarted_counts_from_nothing_and_keeps_its_paths(void **state)
{
    (void)state;
    struct track *t = track_of("az", (struct nrd_track_options){.skip_first = 1});
    struct track_way *way = source(t, 0, 0);
    for (int run = 0; run < 2; run++) {
        assert_null(track_restart(t));
        sink(t, 1, way, 10, 20); // a message that outlived the run before
        sink(t, 1, way, 10, 30 + run);
        assert_int_equal(track_path_count(t), 1);
        assert_int_equal(report_of(t, "a,z").count, 1);
        assert_int_equal(report_of(t, "a,z").max_ns, 30 + run);
        assert_null(track_end(t));
    }
    track_release(way);
    track_destroy(t);
}

static void track_says_which_log_it_cannot_write(void **state)
{
    (void)state;
    struct track *t = NULL;
    struct nrd_status *status =
        track_create(&(struct track_spec){.options = {.log_path = "/no/such/folder/x.log"}}, &t);
    assert_string_equal(status_text(status), "flow tracking: cannot write /no/such/folder/x.log: "
                                             "No such file or directory");
    status_free(status);
    assert_null(t);
}

static void track_survives_each_failing_allocation(void **state)
{
    (void)state;
    TORTURE(n)
    {
        struct track_spec_operator operators[2] = {{"a", 0, 1, out_name, true, false},
                                                   {"z", 1, 0, NULL, false, true}};
        struct track *t = NULL;
        struct nrd_status *status =
            track_create(&(struct track_spec){operators, 2, {.skip_last = 1}, read_now, NULL}, &t);
        if (status != NULL) {
            assert_null(t);
            status_free(status);
            continue;
        }
        for (int i = 0; i < 3; i++) {
            struct track_way *way = source(t, 0, 0);
            track_begin(track_operator_at(t, 1), 0);
            track_received(track_operator_at(t, 1), 0, way, false);
            track_end_compute(track_operator_at(t, 1), 5);
            track_release(way);
        }
        struct str out = STR_INIT;
        status_free(track_print(t, false, &out));
        str_fini(&out);
        status_free(track_end(t));
        track_destroy(t);
    }
}

struct walker {
    struct track *track;
    size_t op; // of the walker's own
};

// Each thread runs its own operator; all share the source's message.
static const struct track_way *shared_way;
static void walk(void *arg)
{
    struct walker *w = arg;
    for (int i = 0; i < 2000; i++) {
        struct track_operator *op = track_operator_at(w->track, w->op);
        track_begin(op, 10);
        track_received(op, 0, shared_way, i % 2 == 1);
        track_release(track_emitted(op, 0));
        track_end_compute(op, 20);
    }
}

static void track_is_walked_by_many_threads_and_read_meanwhile(void **state)
{
    (void)state;
    struct track *t = track_of("ayz", (struct nrd_track_options){0});
    struct track_way *way = source(t, 0, 0);
    shared_way = way;
    struct walker walkers[2] = {{t, 1}, {t, 2}};
    struct thread threads[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        assert_null(thread_start(&threads[i], "walk", 0, walk, &walkers[i]));
    }
    struct str out = STR_INIT;
    for (int i = 0; i < 50; i++) {
        str_clear(&out);
        assert_null(track_print(t, true, &out));
    }
    str_fini(&out);
    for (int i = 0; i < 2; i++) {
        thread_join(&threads[i]);
    }
    track_release(way);
    assert_int_equal(track_path_count(t), 4);
    assert_int_equal(report_of(t, "a,y").count, 1000);
    assert_int_equal(report_of(t, "a_old,z").count, 1000);
    track_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(track_measures_from_the_sources_begin_to_the_sinks_end),
        cmocka_unit_test(track_gives_each_branch_of_a_fan_out_and_a_join_its_path),
        cmocka_unit_test(track_counts_each_of_a_batch_taken_from_one_input),
        cmocka_unit_test(track_ends_a_cycle_where_it_comes_back),
        cmocka_unit_test(track_of_a_ring_without_a_source_begins_where_it_was_started),
        cmocka_unit_test(track_forgets_what_a_filter_dropped_and_keeps_what_a_collector_waits_with),
        cmocka_unit_test(track_names_the_sender_of_a_message_that_is_read_again),
        cmocka_unit_test(track_skips_first_and_last_and_below_the_threshold),
        cmocka_unit_test(track_refuses_to_hold_more_than_its_maximum),
        cmocka_unit_test(track_leaves_out_and_counts_what_is_too_much),
        cmocka_unit_test(track_bounds_the_number_of_paths),
        cmocka_unit_test(track_steady_state_allocates_nothing),
        cmocka_unit_test(track_prints_holoscans_text_and_a_csv),
        cmocka_unit_test(track_logs_each_messages_way),
        cmocka_unit_test(track_restarted_counts_from_nothing_and_keeps_its_paths),
        cmocka_unit_test(track_says_which_log_it_cannot_write),
        cmocka_unit_test(track_survives_each_failing_allocation),
        cmocka_unit_test(track_is_walked_by_many_threads_and_read_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
