// SPDX-License-Identifier: Apache-2.0
// Recorder and replayer: what is recorded is replayed to the bit, at its pace, as often as asked; damage and ends are as they say.
#include "op_unit.h"

#include "graph/ops/pattern.h"

// Records `count` frames of noise, 48 x 32, with these parameters of the recorder.
static void record(const char *params, int count)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    char source[128];
    snprintf(source, sizeof(source), "{pattern: noise, width: 48, height: 32, rate: 25, count: %d}",
             count);
    use_manual_clock(f);
    flow(add_named(f, "PatternSourceOp", "source", source),
         add_named(f, "VideoStreamRecorderOp", "recorder", in_root(params)));
    ok(nrd_app_run(app));
    nrd_app_destroy(app);
}

// Replays with these parameters; the probe lives as long as the app.
static struct nrd_app *replay(const char *params, struct probe **probe)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    use_manual_clock(f);
    *probe = add_probe(f, add_named(f, "VideoStreamReplayerOp", "replayer", in_root(params)), "");
    ok(nrd_app_run(app));
    return app;
}

// The index-th message is frame `frame` of what record() wrote.
static void assert_frame(const struct probe *p, size_t index, uint64_t frame)
{
    static const struct pattern noise = {PATTERN_NOISE, 48, 32, 3, 0};
    uint8_t want[48 * 32 * 3];
    const struct nrd_tensor *tensor = probe_tensor(p, index);
    assert_int_equal(tensor->rank, 3);
    assert_int_equal(tensor->dims[0], 32);
    assert_int_equal(tensor->dims[1], 48);
    assert_int_equal(tensor->dims[2], 3);
    pattern_fill(&noise, frame, want);
    assert_memory_equal(tensor->data, want, sizeof(want));
}

static const char *const kinds[][2] = {
    {"{directory: $/deep/er, basename: a}", "{directory: $/deep/er, basename: a"},
    {"{directory: $, basename: a}", "{path: $/a.gxf_entities"},
    {"{path: $/made/a.mkv, codec: ffv1, frame_rate: 25}", "{path: $/made/a.mkv"},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

// The replayer's parameters of kind `k` with more of them.
static const char *with(size_t k, const char *more)
{
    static char text[512];
    snprintf(text, sizeof(text), "%s%s}", kinds[k][1], more);
    return text;
}

static void what_is_recorded_is_replayed_to_the_bit_at_its_pace(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct probe *p;
        record(kinds[k][0], 12);
        struct nrd_app *app = replay(with(k, ""), &p);
        assert_int_equal(p->count, 12);
        for (size_t i = 0; i < 12; i++) {
            assert_frame(p, i, i);
            // Containers keep milliseconds.
            assert_in_range(p->times[i] - p->times[0], i * 40000000, i * 40000000 + 1000000);
        }
        probe_clear(p);
        ok(nrd_app_run(app)); // again, from the start
        assert_int_equal(p->count, 12);
        assert_frame(p, 0, 0);
        nrd_app_destroy(app);
    }
}

static void another_rate_and_none_at_all_are_kept(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct probe *p;
        record(kinds[k][0], 5);
        struct nrd_app *app = replay(with(k, ", frame_rate: 4"), &p);
        assert_int_equal(p->count, 5);
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(p->times[i] - p->times[0], i * 250000000);
        }
        nrd_app_destroy(app);
        app = replay(with(k, ", realtime: false, frame_rate: 4"), &p);
        assert_int_equal(p->count, 5);
        assert_int_equal(p->times[4], p->times[0]); // no time passed
        nrd_app_destroy(app);
    }
}

static void repeat_goes_on_in_time_and_count_ends_it(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct probe *p;
        record(kinds[k][0], 3);
        struct nrd_app *app = replay(with(k, ", repeat: true, count: 8"), &p);
        assert_int_equal(p->count, 8);
        for (size_t i = 0; i < 8; i++) {
            assert_frame(p, i, i % 3);
            assert_in_range(p->times[i] - p->times[0], i * 40000000, i * 40000000 + 2000000);
        }
        nrd_app_destroy(app);
        app = replay(with(k, ", count: 2"), &p);
        assert_int_equal(p->count, 2);
        nrd_app_destroy(app);
    }
}

static void a_batch_is_sent_in_one_execution(void **state)
{
    (void)state;
    record(kinds[0][0], 7);
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *replayer =
        add_named(f, "VideoStreamReplayerOp", "replayer",
                  in_root("{directory: $/deep/er, basename: a, batch_size: 3, realtime: false}"));
    struct nrd_operator *op = add(f, &probe_op, "probe", NULL);
    const struct nrd_flow_options wide = {.capacity = 3, .policy = -1};
    ok(nrd_add_flow(replayer, "", op, "", &wide));
    add_condition(op, "MessageAvailableCondition", "{receiver: in, min_size: 1}");
    ok(nrd_app_run(app));
    struct probe *p = nrd_operator_state(op);
    assert_int_equal(p->count, 7);
    assert_int_equal(counts_of(replayer).computes, 3);
    assert_frame(p, 6, 6);
    nrd_app_destroy(app);
}

static void scribble(const char *name)
{
    struct str bytes = STR_INIT;
    ok(file_read(in_root(name), 0, &bytes));
    memset(bytes.ptr + 4853 + 40, 0,
           400); // the second frame's heads: each takes 40 + 32 + 116 + 4608 + 57 bytes
    ok(file_write(in_root(name), str_slice(&bytes)));
    str_fini(&bytes);
}

static void a_damaged_frame_is_left_out_or_ends_the_run(void **state)
{
    (void)state;
    struct probe *p;
    record("{directory: $, basename: b}", 4);
    scribble("$/b.gxf_entities");
    struct nrd_app *app = replay("{directory: $, basename: b, realtime: false}", &p);
    assert_int_equal(p->count, 3);
    assert_frame(p, 0, 0);
    assert_frame(p, 1, 2);
    nrd_app_destroy(app);

    app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    add_probe(f,
              add_named(f, "VideoStreamReplayerOp", "replayer",
                        in_root("{directory: $, basename: b, ignore_corrupted_entities: false}")),
              "");
    fails(nrd_app_run(app),
          "b.gxf_entities': frame 1 at byte 4853: byte 72: component '' is of the unknown type");
    nrd_app_destroy(app);
}

static void what_cannot_be_replayed_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{directory: /proc/nowhere, basename: x}", "cannot open '/proc/nowhere/x.gxf_index'"},
        {"{path: /proc/nowhere/x.mp4}", "'/proc/nowhere/x.mp4': cannot be opened as a video file"},
        {"{directory: $, basename: none}", "no frame of '$/none.gxf_entities' can be read"},
    };
    record("{directory: $, basename: none}", 1);
    ok(file_write(in_root("$/none.gxf_index"), SLICE("")));
    for (size_t i = 0; i < 3; i++) {
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        add_probe(f, add_named(f, "VideoStreamReplayerOp", "replayer", in_root(cases[i][0])), "");
        fails(nrd_app_run(app), in_root(cases[i][1]));
        nrd_app_destroy(app);
    }
    struct nrd_app *app = make_app();
    fails(nrd_add_operator_yaml(nrd_app_fragment(app), "VideoStreamReplayerOp", "r",
                                "{path: a.mp4, basename: b}", &(struct nrd_operator *){NULL}),
          "exclude each other");
    nrd_app_destroy(app);
}

// Stops the run at its third frame, and drains.
static struct nrd_status *stopper_compute(struct nrd_compute *ctx, void *self)
{
    int *count = self;
    struct nrd_message *message = nrd_receive(ctx, 0);
    if (++*count == 3) {
        nrd_operator_stop_run(nrd_compute_operator(ctx), true);
    }
    if (nrd_emit(ctx, 0, message) != NRD_OK) {
        return nrd_compute_fail(ctx, NRD_INTERNAL, "emit");
    }
    return NULL;
}

static const struct nrd_port stopper_outputs[] = {{.name = "out", .policy = NRD_QUEUE_FAULT}, {0}};
static const struct nrd_operator_class stopper_op = {
    .abi = NRD_OPERATOR_ABI,
    .name = "StopperOp",
    .summary = "Stops the run.",
    .state_size = sizeof(int),
    .inputs = probe_inputs,
    .outputs = stopper_outputs,
    .compute = stopper_compute,
};

static void what_was_recorded_when_the_run_is_stopped_is_whole(void **state)
{
    (void)state;
    static const char *const schedulers[][2] = {
        {"GreedyScheduler", NULL}, {"EventBasedScheduler", "{worker_thread_number: 2}"}};
    for (size_t k = 0; k < KINDS; k++) {
        for (size_t s = 0; s < 2; s++) {
            struct nrd_app *app = make_app();
            struct nrd_fragment *f = nrd_app_fragment(app);
            set_scheduler(f, schedulers[s][0], schedulers[s][1]);
            struct nrd_operator *source = add_named(f, "PatternSourceOp", "source",
                                                    "{pattern: noise, width: 48, height: 32}");
            struct nrd_operator *stopper = add(f, &stopper_op, "stopper", NULL);
            struct nrd_operator *recorder =
                add_named(f, "VideoStreamRecorderOp", "recorder", in_root(kinds[k][0]));
            flow(source, stopper);
            flow(stopper, recorder);
            ok(nrd_app_run(app));
            uint64_t recorded = counts_of(recorder).received;
            assert_true(recorded >= 3);
            assert_int_equal(recorded, counts_of(stopper).emitted); // drained
            nrd_app_destroy(app);
            struct probe *p;
            app = replay(with(k, ", realtime: false, ignore_corrupted_entities: false"), &p);
            assert_int_equal(p->count, recorded);
            assert_frame(p, recorded - 1, recorded - 1);
            nrd_app_destroy(app);
        }
    }
}

// Allocations of a run from one operator to another that is not their first.
static uint64_t allocations(const char *from, const char *from_params, const char *to,
                            const char *to_params)
{
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    char first[512];
    snprintf(first, sizeof(first), "%s", in_root(from_params));
    flow(add_named(f, from, "from", first), add_named(f, to, "to", in_root(to_params)));
    ok(nrd_app_run(app)); // what is kept for further runs
    uint64_t before = mem_count();
    ok(nrd_app_run(app));
    uint64_t made = mem_count() - before;
    nrd_app_destroy(app);
    return made;
}

static void further_frames_take_nothing_from_the_heap(void **state)
{
    (void)state;
    static const char *const pairs[][5] = {
        {"PatternSourceOp", "{width: 48, height: 32, count: 10}",
         "{width: 48, height: 32, count: 400}", "VideoStreamRecorderOp",
         "{directory: $, basename: heap}"},
        {"VideoStreamReplayerOp", "{directory: $, basename: heap, realtime: false, count: 10}",
         "{directory: $, basename: heap, realtime: false}", "PingTensorRxOp", "{quiet: true}"},
    };
    for (size_t i = 0; i < 2; i++) {
        const char *const *p = pairs[i];
        assert_int_equal(allocations(p[0], p[1], p[3], p[4]), allocations(p[0], p[2], p[3], p[4]));
    }
}

static void frames_that_do_not_fit_a_video_are_named(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *tx =
        add_named(f, "PingTensorTxOp", "tx", "{data_type: float, channels: 3}");
    add_condition(tx, "CountCondition", "{count: 1}");
    flow(tx, add_named(f, "VideoStreamRecorderOp", "recorder", in_root("{path: $/x.mp4}")));
    fails(nrd_app_run(app), "a video's frame is UINT8 [height, width, 1, 3 or 4], not FP32");
    nrd_app_destroy(app);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_recorded_is_replayed_to_the_bit_at_its_pace),
        cmocka_unit_test(another_rate_and_none_at_all_are_kept),
        cmocka_unit_test(repeat_goes_on_in_time_and_count_ends_it),
        cmocka_unit_test(a_batch_is_sent_in_one_execution),
        cmocka_unit_test(a_damaged_frame_is_left_out_or_ends_the_run),
        cmocka_unit_test(what_cannot_be_replayed_is_named),
        cmocka_unit_test(what_was_recorded_when_the_run_is_stopped_is_whole),
        cmocka_unit_test(further_frames_take_nothing_from_the_heap),
        cmocka_unit_test(frames_that_do_not_fit_a_video_are_named),
    };
    return cmocka_run_group_tests(tests, unit_setup, unit_teardown);
}
