// SPDX-License-Identifier: Apache-2.0
#include "small_ops.h"

#include "graph/message_private.h"
#include "graph/metadata.h"
#include "graph/value.h"

static char seen[256]; // what the sink's metadata was, last

static void print_map(const struct nrd_value *map)
{
    size_t at = 0;
    seen[0] = '\0';
    for (size_t i = 0; i < nrd_value_count(map); i++) {
        at += (size_t)snprintf(seen + at, sizeof(seen) - at, "%s%s=%s", i == 0 ? "" : " ",
                               nrd_value_key(map, i), nrd_value_text(nrd_value_at(map, i)));
    }
}

static struct nrd_status *source_sets_its_name(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    const char *name = nrd_operator_name(nrd_compute_operator(ctx));
    assert_null(nrd_metadata(ctx));
    ok(nrd_metadata_set(ctx, "from", nrd_value_string(name)));
    ok(nrd_metadata_set(ctx, name, nrd_value_int((int64_t)nrd_compute_count(ctx))));
    return nrd_emit_value(ctx, 0, "int64", &(int64_t){1}, 8) == NRD_OK
               ? NULL
               : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static struct nrd_status *sink_takes_all(struct nrd_compute *ctx, struct small_op *self)
{
    struct nrd_message *m;
    while ((m = nrd_receive(ctx, 0)) != NULL) {
        self->got++;
        nrd_message_unref(m);
    }
    print_map(nrd_metadata(ctx));
    return NULL;
}

// Two sources into one sink, under a policy; the run's status.
static struct nrd_status *join(const char *policy)
{
    source_hook = source_sets_its_name;
    sink_hook = sink_takes_all;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_source(f, "a", 2);
    struct nrd_operator *b = add_source(f, "b", 2);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(a, rx);
    flow(b, rx);
    if (policy != NULL) {
        ok(nrd_operator_set_metadata(rx, true, policy));
    }
    struct nrd_status *status = nrd_app_run(app);
    nrd_app_destroy(app);
    return status;
}

static void metadata_policies_say_who_wins(void **state)
{
    (void)state;
    ok(join("reject"));
    assert_string_equal(seen, "from=a a=1 b=1");
    ok(join("update"));
    assert_string_equal(seen, "from=b a=1 b=1");
    assert_fails(join("raise"), NRD_ALREADY_EXISTS,
                 "operator 'rx': metadata has the key 'from' already, with 'a' and now with 'b': "
                 "choose another key, or the policy 'reject' (the first counts) or 'update' (the "
                 "last), as with 'metadata: reject' in the file");
    fails(join(NULL),
          "metadata has the key 'from' already"); // raise is what counts when none was set
}

// One source, two ways, one sink: what comes by both is the same.
static void metadata_that_came_by_two_ways_is_no_conflict(void **state)
{
    (void)state;
    source_hook = source_sets_its_name;
    sink_hook = sink_takes_all;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_source(f, "a", 2);
    struct nrd_operator *left = add(f, &pass_op, "left", NULL),
                        *right = add(f, &pass_op, "right", NULL);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(a, left);
    flow(a, right);
    flow(left, rx);
    flow(right, rx);
    ok(nrd_operator_set_metadata(rx, true, "raise"));
    ok(nrd_app_run(app));
    assert_string_equal(seen, "from=a a=1");
    nrd_app_destroy(app);
}

static void metadata_setting_of_the_nearest_counts(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *op = add(f, &sink_op, "rx", NULL);
    bool on = false;
    enum metadata_policy policy;
    metadata_resolve(op, &on, &policy);
    assert_true(on && policy == METADATA_RAISE);
    ok(nrd_app_set_metadata(app, true, "update"));
    metadata_resolve(op, &on, &policy);
    assert_true(on && policy == METADATA_UPDATE);
    ok(nrd_fragment_set_metadata(f, false, NULL)); // and leaves the policy to the application
    metadata_resolve(op, &on, &policy);
    assert_true(!on && policy == METADATA_UPDATE);
    ok(nrd_operator_set_metadata(op, true, "reject"));
    metadata_resolve(op, &on, &policy);
    assert_true(on && policy == METADATA_REJECT);
    assert_fails(nrd_app_set_metadata(app, true, "merge"), NRD_INVALID_ARG,
                 "'merge' is no metadata policy: it is one of reject, update, raise");
    nrd_app_destroy(app);
}

static struct nrd_status *pass_on(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    struct nrd_message *m = nrd_receive(ctx, 0);
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static struct nrd_status *pass_changes(struct nrd_compute *ctx, struct small_op *self)
{
    ok(nrd_metadata_set(ctx, "changed", nrd_value_int(7)));
    return pass_on(ctx, self);
}

static struct nrd_status *pass_clears(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    nrd_message_unref(nrd_receive(ctx, 0));
    assert_non_null(nrd_metadata(ctx));
    nrd_metadata_clear(ctx);
    assert_null(nrd_metadata(ctx));
    return nrd_emit_value(ctx, 0, "int64", &(int64_t){1}, 8) == NRD_OK
               ? NULL
               : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static void run_chain(small_hook_fn pass, bool off)
{
    source_hook = source_sets_its_name;
    pass_hook = pass;
    sink_hook = sink_takes_all;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_operator *a = add_source(f, "a", 3);
    struct nrd_operator *mid = add(f, &pass_op, "mid", NULL);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    flow(a, mid);
    flow(mid, rx);
    if (off) {
        ok(nrd_operator_set_metadata(mid, false, NULL));
    }
    ok(nrd_app_run(app));
    nrd_app_destroy(app);
}

static void metadata_travels_changes_and_is_dropped(void **state)
{
    (void)state;
    run_chain(pass_on, false);
    assert_string_equal(seen, "from=a a=2");
    run_chain(pass_changes, false);
    assert_string_equal(seen, "from=a a=2 changed=7");
    run_chain(pass_clears, false);
    assert_string_equal(seen, "");
}

static struct nrd_status *pass_new(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    nrd_message_unref(nrd_receive(ctx, 0));
    assert_null(nrd_metadata(ctx));
    ok(nrd_metadata_set(ctx, "mine", nrd_value_int(1)));
    return nrd_emit_value(ctx, 0, "int64", &(int64_t){1}, 8) == NRD_OK
               ? NULL
               : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static void metadata_that_is_off_is_neither_received_nor_sent(void **state)
{
    (void)state;
    run_chain(pass_new, true);
    assert_string_equal(seen, "");
}

// One branch changes what both branches of a fan-out got; the other must not see it.
static struct nrd_status *pass_by_name(struct nrd_compute *ctx, struct small_op *self)
{
    const char *name = nrd_operator_name(nrd_compute_operator(ctx));
    struct nrd_message *m = nrd_receive(ctx, 0);
    print_map(nrd_metadata(ctx));
    assert_string_equal(seen, self->computes == 1 ? "from=a a=0" : "from=a a=1");
    ok(nrd_metadata_set(ctx, "from", nrd_value_string(name)));
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static void metadata_changed_by_one_branch_is_not_seen_by_another(void **state)
{
    (void)state;
    source_hook = source_sets_its_name;
    pass_hook = pass_by_name;
    sink_hook = sink_takes_all;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    ok(nrd_app_set_metadata(app, true, "update"));
    struct nrd_operator *a = add_source(f, "a", 2);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    static const char *const NAMES[] = {"l", "r"};
    for (int i = 0; i < 2; i++) {
        struct nrd_operator *mid = add(f, &pass_op, NAMES[i], NULL);
        flow(a, mid);
        flow(mid, rx);
    }
    ok(nrd_app_run(app));
    assert_string_equal(seen, "from=r a=1");
    nrd_app_destroy(app);
}

static void metadata_of_a_message_alone_is_its_own(void **state)
{
    (void)state;
    struct nrd_message *m = nrd_message_create();
    assert_null(nrd_message_metadata(m));
    ok(nrd_message_set_metadata(m, "k", nrd_value_int(1)));
    ok(nrd_message_set_metadata(m, "k", nrd_value_int(2)));
    struct nrd_value *shared = value_share(m->metadata);
    ok(nrd_message_set_metadata(m, "j", nrd_value_int(3)));
    print_map(shared);
    assert_string_equal(seen, "k=2");
    print_map(nrd_message_metadata(m));
    assert_string_equal(seen, "k=2 j=3");
    nrd_value_free(shared);
    nrd_message_unref(m);
}

static uint64_t allocations;
static struct nrd_status *sink_counts_allocations(struct nrd_compute *ctx, struct small_op *self)
{
    nrd_message_unref(nrd_receive(ctx, 0));
    if (self->computes == 10) {
        allocations = mem_count();
    } else if (self->computes == 1000) {
        allocations = mem_count() - allocations;
    }
    return NULL;
}

static struct nrd_value *constant;
static struct nrd_status *source_sends_constant(struct nrd_compute *ctx, struct small_op *self)
{
    (void)self;
    struct nrd_message *m = nrd_message_new(ctx);
    m->metadata = value_share(constant);
    return nrd_emit(ctx, 0, m) == NRD_OK ? NULL : nrd_status_new(NRD_UNAVAILABLE, "emit");
}

static void metadata_that_nobody_changes_allocates_nothing_on_its_way(void **state)
{
    (void)state;
    constant = yaml("{a: 1, b: [2, 3], c: {d: e}}");
    for (int with = 0; with < 2; with++) {
        source_hook = with ? source_sends_constant : NULL;
        pass_hook = pass_on;
        sink_hook = sink_counts_allocations;
        struct nrd_app *app = make_app();
        struct nrd_fragment *f = nrd_app_fragment(app);
        struct nrd_operator *a = add_source(f, "a", 1000);
        struct nrd_operator *mid = add(f, &pass_op, "mid", NULL);
        struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
        flow(a, mid);
        flow(mid, rx);
        ok(nrd_app_run(app));
        assert_int_equal(allocations, 0);
        nrd_app_destroy(app);
    }
    nrd_value_free(constant);
}

static void metadata_survives_each_failing_allocation(void **state)
{
    (void)state;
    struct nrd_compute ctx = {.metadata_on = true, .metadata_policy = METADATA_UPDATE};
    TORTURE_LOOP(n)
    {
        struct nrd_message *m = nrd_message_create();
        status_free(m == NULL ? NULL : nrd_message_set_metadata(m, "k", nrd_value_int(1)));
        status_free(nrd_metadata_set(&ctx, "k", nrd_value_int(2)));
        if (m != NULL) {
            status_free(metadata_merge(&ctx, m));
            status_free(nrd_metadata_set(&ctx, "l", nrd_value_int(3)));
            status_free(metadata_attach(&ctx, m));
            nrd_message_unref(m);
        }
        nrd_metadata_clear(&ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL_TEST(metadata_policies_say_who_wins),
        SMALL_TEST(metadata_that_came_by_two_ways_is_no_conflict),
        SMALL_TEST(metadata_setting_of_the_nearest_counts),
        SMALL_TEST(metadata_travels_changes_and_is_dropped),
        SMALL_TEST(metadata_that_is_off_is_neither_received_nor_sent),
        SMALL_TEST(metadata_changed_by_one_branch_is_not_seen_by_another),
        SMALL_TEST(metadata_of_a_message_alone_is_its_own),
        SMALL_TEST(metadata_that_nobody_changes_allocates_nothing_on_its_way),
        SMALL_TEST(metadata_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
