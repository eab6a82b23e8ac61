// SPDX-License-Identifier: Apache-2.0
// The solver of placement, against trying everything, and its linear program against a bound from its dual.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "core/place/solve.h"

enum { GPUS = 4, ITEMS = 6 };

// ---- random problems ----------------------------------------------------------------------------------------------

struct random_problem {
    struct place_problem problem;
    struct place_gpu gpus[GPUS];
    struct place_item items[ITEMS];
    struct place_cost costs[ITEMS][GPUS];
};

static uint64_t state;

static uint64_t next(void)
{
    state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double uniform(double low, double high)
{
    return low + (high - low) * (double)(next() >> 11) / 9007199254740992.0;
}

// `tight`: how scarce memory is, 0 (none is used) to 1 (hardly anything fits).
static void make(struct random_problem *p, uint64_t seed, unsigned gpus, unsigned items,
                 double tight)
{
    state = seed;
    memset(p, 0, sizeof(*p));
    bool alike = next() % 2 == 0;
    bool serial = next() % 2 == 0;
    for (unsigned g = 0; g < gpus; g++) {
        double size = alike ? 1 : uniform(0.3, 1);
        p->gpus[g] = (struct place_gpu){.free_bytes = (uint64_t)(size * 1e9)};
        p->gpus[g].busy = next() % 4 == 0 && !alike ? uniform(0, 0.2) : 0;
    }
    for (unsigned i = 0; i < items; i++) {
        double time = exp(uniform(-7, -3));
        double memory = tight * uniform(0.05, 2) * 1e9 * gpus / items;
        double own_pace = serial && next() % 2 == 0 ? uniform(1, 2.5) : 0;
        for (unsigned g = 0; g < gpus; g++) {
            double speed = alike ? 1 : uniform(0.5, 2);
            p->costs[i][g] = (struct place_cost){.busy_s = time * speed,
                                                 .serial_s = time * speed * own_pace,
                                                 .memory_bytes = (uint64_t)memory};
        }
        uint64_t all = (UINT64_C(1) << gpus) - 1;
        p->items[i] = (struct place_item){.demand = next() % 8 == 0 ? 0 : exp(uniform(0, 3)),
                                          .allowed = all,
                                          .costs = p->costs[i]};
        if (next() % 6 == 0) {
            p->items[i].fixed = true;
            p->items[i].allowed = next() % all + 1;
        }
    }
    p->problem = (struct place_problem){
        .gpus = p->gpus, .gpu_count = gpus, .items = p->items, .item_count = items};
}

// ---- trying everything --------------------------------------------------------------------------------------------

static void try_all(const struct place_problem *problem, unsigned depth, uint64_t *on,
                    struct place_rating *best)
{
    if (depth == problem->item_count) {
        struct place_rating rating;
        assert_null(place_rate(problem, on, &rating, NULL, NULL));
        if (rating.score < best->score) {
            *best = rating;
        }
        return;
    }
    const struct place_item *item = &problem->items[depth];
    for (uint64_t set = 0; set < UINT64_C(1) << problem->gpu_count; set++) {
        if (item->fixed ? set == item->allowed : (set & ~item->allowed) == 0) {
            on[depth] = set;
            try_all(problem, depth + 1, on, best);
        }
    }
}

// How much worse than the best the solver's answer is, as a part of throughput; 1 if it leaves out a model more.
static double solve_against_all(const struct place_problem *problem, uint64_t effort, bool *exact)
{
    struct place_answer answer;
    assert_null(place_solve(problem, effort, &answer));
    struct place_rating best = {.score = INFINITY};
    uint64_t on[ITEMS];
    try_all(problem, 0, on, &best);
    *exact = answer.exact;
    double loss = 1;
    if (isinf(best.score)) { // what is fixed does not fit by itself
        loss = 0;
    } else if (answer.exact) {
        loss = answer.rating.score > best.score + 1e-8 ? 1 : 0;
    } else if (answer.rating.unplaced <= best.unplaced) {
        loss = best.level > 0 ? 1 - best.level / answer.rating.level : 0;
    }
    place_answer_fini(&answer);
    return loss;
}

static void check_random(unsigned rounds, unsigned gpus, unsigned items, uint64_t effort)
{
    double worst = 0;
    unsigned exact_count = 0;
    unsigned off = 0;
    for (unsigned r = 0; r < rounds; r++) {
        struct random_problem p;
        static const double tightness[] = {0, 0.3, 0.6, 0.9};
        make(&p, r * 7919 + gpus * 31 + items, gpus, items, tightness[r % 4]);
        bool exact = false;
        double loss = solve_against_all(&p.problem, effort, &exact);
        if (loss > 0.03 && effort > 0) {
            fail_msg("round %u: %u models on %u GPUs lose %.4f (exact: %d)", r, items, gpus, loss,
                     exact);
        }
        off += loss > 0.03;
        worst = fmax(worst, loss);
        exact_count += exact;
    }
    print_message("%u models on %u GPUs, effort %llu: %u of %u exact, %u off, worst loss %.4f\n",
                  items, gpus, (unsigned long long)effort, exact_count, rounds, off, worst);
    assert_true(effort < PLACE_EFFORT || exact_count == rounds);
    assert_true(off * 200 <= rounds);
}

static void solver_equals_trying_everything(void **unused)
{
    (void)unused;
    check_random(3000, 2, 3, PLACE_EFFORT);
    check_random(1000, 2, 5, PLACE_EFFORT);
    check_random(600, 3, 3, PLACE_EFFORT);
    check_random(60, 3, 5, PLACE_EFFORT);
    check_random(60, 4, 3, PLACE_EFFORT);
}

static void improvement_alone_is_off_in_one_case_of_two_hundred(void **unused)
{
    (void)unused;
    check_random(2000, 2, 4, 0);
    check_random(600, 3, 4, 0);
    check_random(4, 3, 6, 0);
}

// ---- the linear program -------------------------------------------------------------------------------------------

// A bound from below on the level of `on`: any weights of the rows give one; multiplicative updates find good ones.
static double dual_bound(const struct place_problem *problem, const uint64_t *on)
{
    double weight[GPUS + ITEMS * GPUS];
    double load[GPUS + ITEMS * GPUS];
    unsigned gpus = problem->gpu_count;
    unsigned rows = gpus + problem->item_count * gpus;
    for (unsigned r = 0; r < rows; r++) {
        weight[r] = 1.0 / rows;
    }
    double best = 0;
    for (unsigned step = 0; step < 4000; step++) {
        double total = 0;
        double bound = 0;
        double most = 0;
        for (unsigned r = 0; r < rows; r++) {
            total += weight[r];
            load[r] = r < gpus ? problem->gpus[r].busy : 0;
            bound += weight[r] * load[r];
        }
        for (unsigned i = 0; i < problem->item_count; i++) {
            const struct place_item *item = &problem->items[i];
            double least = INFINITY;
            unsigned at = 0;
            for (unsigned g = 0; g < gpus; g++) {
                const struct place_cost *cost = &item->costs[g];
                double serial = fmax(cost->serial_s, cost->busy_s);
                double price = item->demand *
                               (weight[g] * cost->busy_s + weight[gpus + i * gpus + g] * serial);
                if ((on[i] >> g & 1) != 0 && price < least) {
                    least = price;
                    at = g;
                }
            }
            if (on[i] != 0) {
                bound += least;
                load[at] += item->demand * item->costs[at].busy_s;
                load[gpus + i * gpus + at] +=
                    item->demand * fmax(item->costs[at].serial_s, item->costs[at].busy_s);
            }
        }
        best = fmax(best, bound / total);
        for (unsigned r = 0; r < rows; r++) {
            most = fmax(most, load[r]);
        }
        for (unsigned r = 0; r < rows && most > 0; r++) {
            weight[r] *= exp(0.02 * load[r] / most);
            weight[r] /= total;
        }
    }
    return best;
}

static void shares_reach_the_level_and_nothing_less_is_possible(void **unused)
{
    (void)unused;
    for (unsigned r = 0; r < 400; r++) {
        struct random_problem p;
        make(&p, r * 104729 + 5, 2 + r % 3, 2 + r % 5, 0);
        uint64_t on[ITEMS];
        for (unsigned i = 0; i < p.problem.item_count; i++) {
            on[i] = next() % ((UINT64_C(1) << p.problem.gpu_count) - 1) + 1;
        }
        struct place_rating rating;
        double shares[ITEMS * GPUS];
        double load[GPUS];
        assert_null(place_rate(&p.problem, on, &rating, shares, load));
        double reached = 0;
        for (unsigned g = 0; g < p.problem.gpu_count; g++) {
            reached = fmax(reached, load[g]);
        }
        for (unsigned i = 0; i < p.problem.item_count; i++) {
            double sum = 0;
            for (unsigned g = 0; g < p.problem.gpu_count; g++) {
                double share = shares[i * p.problem.gpu_count + g];
                assert_true(share >= 0 && share <= 1 + 1e-9);
                assert_true(share == 0 || (on[i] >> g & 1) != 0);
                sum += share;
                if (p.costs[i][g].serial_s > p.costs[i][g].busy_s) {
                    reached = fmax(reached, share * p.items[i].demand * p.costs[i][g].serial_s);
                }
            }
            assert_true(fabs(sum - 1) < 1e-9);
        }
        assert_true(fabs(reached - rating.level) <= 1e-9 * (1 + rating.level));
        assert_true(dual_bound(&p.problem, on) >= 0.985 * rating.level);
    }
}

// ---- cases with a name --------------------------------------------------------------------------------------------

static struct random_problem plain(unsigned gpus, unsigned items)
{
    struct random_problem p;
    make(&p, 1, gpus, items, 0);
    for (unsigned g = 0; g < gpus; g++) {
        p.gpus[g] = (struct place_gpu){.free_bytes = 1000};
    }
    for (unsigned i = 0; i < items; i++) {
        p.items[i].demand = 1;
        p.items[i].fixed = false;
        p.items[i].allowed = (UINT64_C(1) << gpus) - 1;
        for (unsigned g = 0; g < gpus; g++) {
            p.costs[i][g] = (struct place_cost){.busy_s = 1, .memory_bytes = 100};
        }
    }
    return p;
}

// Fixes the pointers of a copied problem.
static struct place_problem problem_of(struct random_problem *p)
{
    p->problem.gpus = p->gpus;
    p->problem.items = p->items;
    for (unsigned i = 0; i < ITEMS; i++) {
        p->items[i].costs = p->costs[i];
    }
    return p->problem;
}

static void three_equal_models_share_two_gpus_by_one_copy(void **unused)
{
    (void)unused;
    struct random_problem p = plain(2, 3);
    struct place_problem problem = problem_of(&p);
    struct place_answer answer;
    assert_null(place_solve(&problem, PLACE_EFFORT, &answer));
    assert_true(answer.exact);
    assert_true(fabs(answer.rating.level - 1.5) < 1e-9);
    assert_int_equal(answer.rating.instances, 4);
    place_answer_fini(&answer);
}

static void copy_that_gains_nothing_is_not_made(void **unused)
{
    (void)unused;
    struct random_problem p = plain(2, 2);
    struct place_problem problem = problem_of(&p);
    struct place_answer answer;
    assert_null(place_solve(&problem, PLACE_EFFORT, &answer));
    assert_int_equal(answer.rating.instances, 2);
    assert_int_equal(answer.on[0] | answer.on[1], 3);
    place_answer_fini(&answer);
}

static void memory_decides_where_time_would_not(void **unused)
{
    (void)unused;
    struct random_problem p = plain(2, 3);
    p.gpus[0].free_bytes = 100;
    p.gpus[1].free_bytes = 250;
    struct place_problem problem = problem_of(&p);
    struct place_answer answer;
    assert_null(place_solve(&problem, PLACE_EFFORT, &answer));
    assert_int_equal(answer.rating.instances, 3);
    assert_int_equal(answer.rating.unplaced, 0);
    assert_true(fabs(answer.rating.level - 2) < 1e-9);
    place_answer_fini(&answer);
}

static void model_that_fits_nowhere_is_left_out_alone(void **unused)
{
    (void)unused;
    struct random_problem p = plain(2, 3);
    p.costs[1][0].memory_bytes = p.costs[1][1].memory_bytes = 1001;
    struct place_problem problem = problem_of(&p);
    struct place_answer answer;
    assert_null(place_solve(&problem, PLACE_EFFORT, &answer));
    assert_int_equal(answer.on[1], 0);
    assert_int_equal(answer.rating.unplaced, 1);
    assert_true(answer.on[0] != 0 && answer.on[2] != 0);
    place_answer_fini(&answer);
}

static void faster_gpu_gets_the_heavier_model(void **unused)
{
    (void)unused;
    struct random_problem p = plain(2, 2);
    p.gpus[0].free_bytes = p.gpus[1].free_bytes = 100; // no copies
    for (unsigned i = 0; i < 2; i++) {
        p.costs[i][0].busy_s = i == 0 ? 4 : 2;
        p.costs[i][1].busy_s = p.costs[i][0].busy_s / 2;
    }
    struct place_problem problem = problem_of(&p);
    struct place_answer answer;
    assert_null(place_solve(&problem, PLACE_EFFORT, &answer));
    assert_int_equal(answer.on[0], 2);
    assert_int_equal(answer.on[1], 1);
    assert_true(fabs(answer.rating.level - 2) < 1e-9);
    place_answer_fini(&answer);
}

static void model_that_cannot_fill_a_gpu_alone_is_copied(void **unused)
{
    (void)unused;
    struct random_problem p = plain(2, 1);
    p.costs[0][0].serial_s = p.costs[0][1].serial_s = 3; // three times as long as it keeps the GPU
    p.costs[0][0].busy_s = p.costs[0][1].busy_s = 1;
    struct place_problem problem = problem_of(&p);
    struct place_answer answer;
    assert_null(place_solve(&problem, PLACE_EFFORT, &answer));
    assert_int_equal(answer.on[0], 3);
    assert_true(fabs(answer.rating.level - 1.5) < 1e-9);
    assert_true(fabs(answer.load[0] - 0.5) < 1e-9);
    place_answer_fini(&answer);
}

static void fixed_models_stay_and_others_go_around_them(void **unused)
{
    (void)unused;
    struct random_problem p = plain(2, 3);
    p.items[0].fixed = p.items[1].fixed = true;
    p.items[0].allowed = p.items[1].allowed = 1;
    struct place_problem problem = problem_of(&p);
    struct place_answer answer;
    assert_null(place_solve(&problem, PLACE_EFFORT, &answer));
    assert_int_equal(answer.on[0], 1);
    assert_int_equal(answer.on[1], 1);
    assert_int_equal(answer.on[2], 2);
    place_answer_fini(&answer);
}

static void same_problem_has_the_same_answer_whatever_its_size(void **unused)
{
    (void)unused;
    static struct place_cost costs[40][8];
    static struct place_item items[40];
    struct place_gpu gpus[8];
    state = 7;
    for (unsigned i = 0; i < 40; i++) {
        for (unsigned g = 0; g < 8; g++) {
            costs[i][g] =
                (struct place_cost){.busy_s = uniform(0.01, 0.1), .memory_bytes = next() % 300};
            gpus[g] = (struct place_gpu){.free_bytes = 2000};
        }
        items[i] = (struct place_item){.demand = uniform(0, 9), .allowed = 255, .costs = costs[i]};
    }
    struct place_problem problem = {gpus, 8, items, 40};
    struct place_answer a;
    struct place_answer b;
    assert_null(place_solve(&problem, PLACE_EFFORT / 8, &a));
    assert_null(place_solve(&problem, PLACE_EFFORT / 8, &b));
    assert_memory_equal(a.on, b.on, sizeof(*a.on) * 40);
    assert_true(a.rating.fits);
    assert_int_equal(a.rating.unplaced, 0);
    place_answer_fini(&a);
    place_answer_fini(&b);
}

static void nonsense_is_refused(void **unused)
{
    (void)unused;
    struct random_problem p = plain(2, 1);
    struct place_problem problem = problem_of(&p);
    struct place_answer answer;
    p.costs[0][1].busy_s = NAN;
    struct nrd_status *status = place_solve(&problem, 0, &answer);
    assert_int_equal(status_code(status), NRD_INVALID_ARG);
    status_free(status);
    problem.gpu_count = 0;
    status = place_solve(&problem, 0, &answer);
    assert_int_equal(status_code(status), NRD_INVALID_ARG);
    status_free(status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_equal_models_share_two_gpus_by_one_copy),
        cmocka_unit_test(copy_that_gains_nothing_is_not_made),
        cmocka_unit_test(memory_decides_where_time_would_not),
        cmocka_unit_test(model_that_fits_nowhere_is_left_out_alone),
        cmocka_unit_test(faster_gpu_gets_the_heavier_model),
        cmocka_unit_test(model_that_cannot_fill_a_gpu_alone_is_copied),
        cmocka_unit_test(fixed_models_stay_and_others_go_around_them),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(shares_reach_the_level_and_nothing_less_is_possible),
        cmocka_unit_test(solver_equals_trying_everything),
        cmocka_unit_test(improvement_alone_is_off_in_one_case_of_two_hundred),
        cmocka_unit_test(same_problem_has_the_same_answer_whatever_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
