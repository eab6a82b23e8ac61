// SPDX-License-Identifier: Apache-2.0
#include "small_ops.h"

// A part with one input and one output: two operators in a row.
static struct nrd_status *compose_pair(struct nrd_subgraph *s, struct nrd_fragment *f, void *arg)
{
    (void)arg;
    struct nrd_operator *first = NULL;
    struct nrd_operator *second = NULL;
    NRD_TRY(nrd_add_operator_class(f, &pass_op, "first", NULL, &first));
    NRD_TRY(nrd_add_operator_class(f, &pass_op, "second", NULL, &second));
    NRD_TRY(nrd_add_flow(first, "", second, "", NULL));
    NRD_TRY(nrd_subgraph_expose_input(s, "in", first, ""));
    return nrd_subgraph_expose_output(s, "out", second, "out");
}

// A part made of two of those.
static struct nrd_status *compose_two_pairs(struct nrd_subgraph *s, struct nrd_fragment *f,
                                            void *arg)
{
    struct nrd_subgraph *left = NULL;
    struct nrd_subgraph *right = NULL;
    struct nrd_operator *op[4];
    const char *port[4];
    NRD_TRY(nrd_add_subgraph(f, "l", compose_pair, arg, &left));
    NRD_TRY(nrd_add_subgraph(f, "r", compose_pair, arg, &right));
    NRD_TRY(nrd_subgraph_port(left, "in", &op[0], &port[0]));
    NRD_TRY(nrd_subgraph_port(left, "out", &op[1], &port[1]));
    NRD_TRY(nrd_subgraph_port(right, "in", &op[2], &port[2]));
    NRD_TRY(nrd_subgraph_port(right, "out", &op[3], &port[3]));
    NRD_TRY(nrd_add_flow(op[1], port[1], op[2], port[2], NULL));
    NRD_TRY(nrd_subgraph_expose_input(s, "in", op[0], port[0]));
    return nrd_subgraph_expose_output(s, "out", op[3], port[3]);
}

static void join(struct nrd_operator *from, struct nrd_subgraph *s, struct nrd_operator *to)
{
    struct nrd_operator *op = NULL;
    const char *port = NULL;
    ok(nrd_subgraph_port(s, "in", &op, &port));
    ok(nrd_add_flow(from, "", op, port, NULL));
    ok(nrd_subgraph_port(s, "out", &op, &port));
    ok(nrd_add_flow(op, port, to, "", NULL));
}

static void subgraph_runs_as_part_of_its_fragment(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_subgraph *one = NULL;
    struct nrd_subgraph *two = NULL;
    ok(nrd_add_subgraph(f, "one", compose_pair, NULL, &one));
    ok(nrd_add_subgraph(f, "two", compose_two_pairs, NULL, &two));
    struct nrd_operator *tx = add_source(f, "tx", 10);
    struct nrd_operator *rx = add(f, &sink_op, "rx", NULL);
    join(tx, one, rx);
    join(tx, two, rx);
    static const char *const NAMES[] = {"one_first",    "one_second",  "two_l_first",
                                        "two_l_second", "two_r_first", "two_r_second"};
    for (size_t i = 0; i < 6; i++) {
        assert_non_null(nrd_fragment_operator(f, NAMES[i]));
    }
    assert_null(nrd_fragment_operator(f, "first"));
    ok(nrd_app_run(app));
    assert_int_equal(small(rx)->got, 20);
    nrd_app_destroy(app);
}

static void subgraph_names_clash_by_name(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    ok(nrd_add_subgraph(f, "one", compose_pair, NULL, NULL));
    assert_fails(nrd_add_subgraph(f, "one", compose_pair, NULL, NULL), NRD_ALREADY_EXISTS,
                 "the fragment already has a subgraph 'one'");
    add(f, &pass_op, "two_first", NULL); // by chance what the subgraph will call its own
    fails(nrd_add_subgraph(f, "two", compose_pair, NULL, NULL), "subgraph 'two': ");
    fails(nrd_add_subgraph(f, "a.b", compose_pair, NULL, NULL),
          "subgraph 'a.b': a name may not have '.', ':' or '/' in it");
    fails(nrd_add_subgraph(f, "", compose_pair, NULL, NULL), "a subgraph has no instance name");
    nrd_app_destroy(app);
}

static struct nrd_status *compose_wrongly(struct nrd_subgraph *s, struct nrd_fragment *f, void *arg)
{
    struct nrd_operator *op = NULL;
    NRD_TRY(nrd_add_operator_class(f, &pass_op, "op", NULL, &op));
    fails(nrd_subgraph_expose_input(s, "x.y", op, ""), "'x.y' is no name for an exposed input");
    fails(nrd_subgraph_expose_input(s, "x", op, "inn"),
          "subgraph 'bad': input 'x': operator 'bad_op' has no input 'inn', it has 'in'");
    ok(nrd_subgraph_expose_input(s, "port", op, ""));
    fails(nrd_subgraph_expose_output(s, "port", op, ""),
          "subgraph 'bad' already exposes a port 'port'");
    return nrd_subgraph_expose_input(s, "other", arg, "");
}

static void subgraph_errors_name_it_and_its_ports(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_fragment *g = NULL;
    ok(nrd_app_add_fragment(app, "g", &g));
    struct nrd_operator *elsewhere = add(g, &pass_op, "far", NULL);
    assert_fails(nrd_add_subgraph(f, "bad", compose_wrongly, elsewhere, NULL), NRD_INVALID_ARG,
                 "subgraph 'bad': subgraph 'bad': input 'other': operator 'far' is of another "
                 "fragment");
    struct nrd_subgraph *one = NULL;
    struct nrd_operator *op = NULL;
    const char *port = NULL;
    ok(nrd_add_subgraph(f, "one", compose_pair, NULL, &one));
    assert_fails(nrd_subgraph_port(one, "outt", &op, &port), NRD_NOT_FOUND,
                 "subgraph 'one' exposes no port 'outt', it has input 'in', output 'out' (did you "
                 "mean 'out'?)");
    nrd_app_destroy(app);
}

static struct nrd_status *compose_with_a_pool(struct nrd_subgraph *s, struct nrd_fragment *f,
                                              void *arg)
{
    (void)s;
    (void)arg;
    struct nrd_resource *r = NULL;
    NRD_TRY(nrd_add_resource(f, "UnboundedAllocator", "pool", NULL, &r));
    assert_ptr_equal(nrd_fragment_resource(f, "pool"), r);
    assert_non_null(nrd_fragment_resource(f, "common"));
    assert_non_null(nrd_start_operator(f));
    return NULL;
}

static void subgraph_has_resources_of_its_own_and_sees_the_fragments(void **state)
{
    (void)state;
    struct nrd_app *app = make_app();
    struct nrd_fragment *f = nrd_app_fragment(app);
    struct nrd_resource *outer = add_resource(f, "UnboundedAllocator", "pool", NULL);
    add_resource(f, "UnboundedAllocator", "common", NULL);
    ok(nrd_add_subgraph(f, "one", compose_with_a_pool, NULL, NULL));
    assert_ptr_equal(nrd_fragment_resource(f, "pool"), outer);
    assert_non_null(nrd_fragment_resource(f, "one_pool"));
    assert_string_equal(nrd_operator_name(nrd_start_operator(f)), "<|start|>");
    nrd_app_destroy(app);
}

static void subgraph_survives_each_failing_allocation(void **state)
{
    (void)state;
    TORTURE_LOOP(n)
    {
        struct nrd_app *app = NULL;
        struct nrd_status *status = nrd_app_create("t", &app);
        if (status == NULL) {
            status = nrd_add_subgraph(nrd_app_fragment(app), "two", compose_two_pairs, NULL, NULL);
        }
        status_free(status);
        nrd_app_destroy(app);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SMALL_TEST(subgraph_runs_as_part_of_its_fragment),
        SMALL_TEST(subgraph_names_clash_by_name),
        SMALL_TEST(subgraph_errors_name_it_and_its_ports),
        SMALL_TEST(subgraph_has_resources_of_its_own_and_sees_the_fragments),
        SMALL_TEST(subgraph_survives_each_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
