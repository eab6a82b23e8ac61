// SPDX-License-Identifier: Apache-2.0
#include "graph_unit.h"

#include "graph/svg_layout.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static bool apart(const struct layout_node *a, const struct layout_node *b)
{
    return a->x + a->width <= b->x || b->x + b->width <= a->x || a->y + a->height <= b->y ||
           b->y + b->height <= a->y;
}

// Boxes lie within the drawing and apart from each other; forward edges lead to the right.
static void check(const struct layout *l)
{
    for (size_t i = 0; i < l->node_count; i++) {
        const struct layout_node *n = &l->nodes[i];
        assert_true(n->x >= 0 && n->y >= 0);
        assert_true(n->x + n->width <= l->width + 0.01);
        assert_true(n->y + n->height <= l->height + 0.01);
        for (size_t j = 0; j < i; j++) {
            assert_true(apart(n, &l->nodes[j]));
        }
    }
    for (size_t i = 0; i < l->edge_count; i++) {
        const struct layout_edge *e = &l->edges[i];
        if (!e->back) {
            assert_true(l->nodes[e->from].layer < l->nodes[e->to].layer);
            assert_int_equal(e->via_count,
                             2 * (l->nodes[e->to].layer - l->nodes[e->from].layer - 1));
        }
    }
}

static void layout_chains_go_right_in_one_row(void **state)
{
    (void)state;
    struct layout_node nodes[4];
    struct layout_edge edges[3];
    for (size_t i = 0; i < 4; i++) {
        nodes[i] = (struct layout_node){.width = 100, .height = 40};
        if (i > 0) {
            edges[i - 1] = (struct layout_edge){.from = i - 1, .to = i};
        }
    }
    struct layout l = {nodes, 4, edges, 3, 0, 0};
    assert_ok(layout_run(&l, &arena));
    check(&l);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(nodes[i].layer, i);
        assert_true(nodes[i].y == nodes[0].y);
    }
    assert_true(l.height == 40);
}

static void layout_sets_the_edge_aside_that_closes_a_cycle(void **state)
{
    (void)state;
    struct layout_node nodes[3] = {
        {.width = 50, .height = 30}, {.width = 50, .height = 30}, {.width = 50, .height = 30}};
    struct layout_edge edges[4] = {
        {.from = 0, .to = 1}, {.from = 1, .to = 2}, {.from = 2, .to = 0}, {.from = 1, .to = 1}};
    struct layout l = {nodes, 3, edges, 4, 0, 0};
    assert_ok(layout_run(&l, &arena));
    check(&l);
    assert_false(edges[0].back || edges[1].back);
    assert_true(edges[2].back && edges[3].back);
}

static void layout_straightens_crossed_branches(void **state)
{
    (void)state;
    // 0 feeds 1, 2, 3, each of which feeds one of 6, 5, 4: in the order of their numbers all would cross.
    struct layout_node nodes[7];
    struct layout_edge edges[6];
    for (size_t i = 0; i < 7; i++) {
        nodes[i] = (struct layout_node){.width = 80, .height = 40};
    }
    for (size_t i = 0; i < 3; i++) {
        edges[2 * i] = (struct layout_edge){.from = 0, .to = i + 1};
        edges[2 * i + 1] = (struct layout_edge){.from = i + 1, .to = 6 - i};
    }
    struct layout l = {nodes, 7, edges, 6, 0, 0};
    assert_ok(layout_run(&l, &arena));
    check(&l);
    for (size_t i = 1; i < 3; i++) {
        assert_true((nodes[i].y < nodes[i + 1].y) == (nodes[7 - i].y < nodes[6 - i].y));
    }
}

static void layout_holds_for_graphs_of_any_shape(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int graph = 0; graph < 200; graph++) {
        struct layout_node nodes[24];
        struct layout_edge edges[48];
        size_t n = 1 + (size_t)graph % 24;
        size_t m = (size_t)graph % 48;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            nodes[i] = (struct layout_node){.width = 20 + seed % 97, .height = 20 + seed % 53};
        }
        for (size_t i = 0; i < m; i++) {
            seed = seed * 1664525 + 1013904223;
            edges[i] = (struct layout_edge){.from = (seed >> 8) % n, .to = (seed >> 16) % n};
        }
        struct layout l = {nodes, n, edges, m, 0, 0};
        assert_ok(layout_run(&l, &arena));
        check(&l);
    }
}

static void layout_of_nothing_is_empty(void **state)
{
    (void)state;
    struct layout l = {0};
    assert_ok(layout_run(&l, &arena));
    assert_true(l.width == 0 && l.height == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layout_chains_go_right_in_one_row, setup, teardown),
        cmocka_unit_test_setup_teardown(layout_sets_the_edge_aside_that_closes_a_cycle, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(layout_straightens_crossed_branches, setup, teardown),
        cmocka_unit_test_setup_teardown(layout_holds_for_graphs_of_any_shape, setup, teardown),
        cmocka_unit_test_setup_teardown(layout_of_nothing_is_empty, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
