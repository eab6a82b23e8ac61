// SPDX-License-Identifier: Apache-2.0
// Solve: rating, a greedy start improved by moves and exchanges, and branch and bound over the sets of GPUs.
//
// Models are decided heaviest first. A branch is cut when its bound is not better than the best known: the level with all models that
// are not decided free to stand anywhere, an instance for each of them, and a missing place for each that fits nowhere any more. GPUs
// that are alike and have been treated alike so far are filled in order, so that what differs in names only is tried once.
#include "core/place/solve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/place/split.h"

#define INSTANCE_PRICE 0.005
#define MEMORY_PRICE 1e-4
#define UNPLACED_PRICE 1000.0
#define BETTER 1e-9
// Above this a model has too many sets to try them one by one.
enum { BRANCH_GPUS_MAX = 8 };

struct search {
    const struct place_problem *problem; // its items ordered by weight
    struct split split;
    uint64_t limit; // of split.work
    bool cut;       // ran into the limit
    uint64_t *on;   // being tried
    uint64_t *wide; // `on` of the decided, everything allowed for the others
    uint64_t *best;
    double best_score;
    uint64_t *free; // [(depth) * gpu_count + gpu] bytes
};

// ---- rating -------------------------------------------------------------------------------------------------------

static uint64_t bit(unsigned gpu)
{
    return UINT64_C(1) << gpu;
}

static uint64_t every_gpu(const struct place_problem *problem)
{
    return problem->gpu_count == PLACE_GPUS_MAX ? UINT64_MAX : bit(problem->gpu_count) - 1;
}

static uint64_t allowed(const struct place_problem *problem, unsigned item)
{
    return problem->items[item].allowed & every_gpu(problem);
}

// The price of memory, and whether it is there.
static double rate_memory(const struct place_problem *problem, const uint64_t *on, bool *fits)
{
    double price = 0;
    *fits = true;
    for (unsigned g = 0; g < problem->gpu_count; g++) {
        uint64_t total = problem->gpus[g].total_bytes;
        uint64_t left = problem->gpus[g].free_bytes;
        total = total == 0 ? left : total;
        // First what the configuration wants there, which is not for us to refuse.
        for (unsigned pass = 0; pass < 2; pass++) {
            for (unsigned i = 0; i < problem->item_count; i++) {
                if ((on[i] & bit(g)) == 0 || problem->items[i].fixed != (pass == 0)) {
                    continue;
                }
                uint64_t bytes = problem->items[i].costs[g].memory_bytes;
                *fits = *fits && (bytes <= left || pass == 0);
                left = bytes < left ? left - bytes : 0;
            }
        }
        double used = total == 0 ? 0 : 1 - (double)left / (double)total;
        price += MEMORY_PRICE * used * used;
    }
    return price;
}

static double level_price(double level)
{
    return level > 0 ? log(level) : 0;
}

// A model without a place is counted as if it could stand anywhere: else it would pay to leave the heaviest out. `wide` has room for
// the sets.
static void rate(struct split *split, const struct place_problem *problem, const uint64_t *on,
                 uint64_t *wide, struct place_rating *rating)
{
    *rating = (struct place_rating){0};
    rating->score = rate_memory(problem, on, &rating->fits);
    for (unsigned i = 0; i < problem->item_count; i++) {
        rating->instances += (unsigned)__builtin_popcountll(on[i]);
        rating->unplaced += on[i] == 0;
        wide[i] = on[i] != 0 ? on[i] : allowed(problem, i);
    }
    rating->level = split_level(split, problem, wide, problem->item_count, NULL);
    rating->score += level_price(rating->level) + INSTANCE_PRICE * rating->instances +
                     UNPLACED_PRICE * rating->unplaced;
    if (!rating->fits) {
        rating->score = INFINITY;
    }
}

static double score_of(struct search *search, const uint64_t *on)
{
    struct place_rating rating;
    rate(&search->split, search->problem, on, search->wide, &rating);
    return rating.score;
}

struct nrd_status *place_rate(const struct place_problem *problem, const uint64_t *on,
                              struct place_rating *rating, double *shares, double *load)
{
    struct split split;
    size_t cells = (size_t)problem->item_count * problem->gpu_count;
    double *own = mem_calloc(cells + 1, sizeof(*own));
    uint64_t *wide = mem_calloc(problem->item_count + 1, sizeof(*wide));
    struct nrd_status *status = split_init(&split, problem);
    if (status == NULL && (own == NULL || wide == NULL)) {
        status = status_no_memory();
    }
    if (status == NULL) {
        rate(&split, problem, on, wide, rating);
        rating->level = split_level(&split, problem, on, problem->item_count, own);
        for (unsigned g = 0; load != NULL && g < problem->gpu_count; g++) {
            load[g] = problem->gpus[g].busy;
            for (unsigned i = 0; i < problem->item_count; i++) {
                const struct place_item *item = &problem->items[i];
                load[g] += own[i * problem->gpu_count + g] * item->demand * item->costs[g].busy_s;
            }
        }
        if (shares != NULL) {
            memcpy(shares, own, cells * sizeof(*own));
        }
    }
    split_fini(&split);
    mem_free(own);
    mem_free(wide);
    return status;
}

// ---- a good start -------------------------------------------------------------------------------------------------

static bool spent(struct search *search)
{
    search->cut = search->cut || search->split.work > search->limit;
    return search->cut;
}

static void keep(struct search *search, const uint64_t *on, double score)
{
    if (score < search->best_score - BETTER) {
        search->best_score = score;
        memcpy(search->best, on, search->problem->item_count * sizeof(*on));
    }
}

// Models heaviest first, each to the one GPU where the whole comes out best.
static void greedy(struct search *search, uint64_t *on)
{
    const struct place_problem *problem = search->problem;
    for (unsigned i = 0; i < problem->item_count; i++) {
        on[i] = problem->items[i].fixed ? allowed(problem, i) : 0;
    }
    for (unsigned i = 0; i < problem->item_count; i++) {
        if (problem->items[i].fixed) {
            continue;
        }
        uint64_t choice = 0;
        double least = INFINITY;
        for (uint64_t rest = allowed(problem, i); rest != 0; rest &= rest - 1) {
            on[i] = rest & -rest;
            double score = score_of(search, on);
            if (score < least - BETTER) {
                least = score;
                choice = on[i];
            }
        }
        on[i] = choice;
    }
}

// Puts model `i` where it is wanted as far as there is room, or where there is most; a fixed one where it is.
static uint64_t settle(const struct place_problem *problem, unsigned i, uint64_t wanted,
                       uint64_t *left)
{
    const struct place_cost *costs = problem->items[i].costs;
    bool fixed = problem->items[i].fixed;
    uint64_t set = fixed ? allowed(problem, i) : 0;
    unsigned roomiest = problem->gpu_count;
    for (unsigned g = 0; g < problem->gpu_count; g++) {
        bool room = costs[g].memory_bytes <= left[g] && (allowed(problem, i) & bit(g)) != 0;
        set |= room && !fixed ? wanted & bit(g) : 0;
        roomiest =
            room && (roomiest == problem->gpu_count || left[g] > left[roomiest]) ? g : roomiest;
    }
    if (set == 0 && roomiest < problem->gpu_count) {
        set = bit(roomiest);
    }
    for (uint64_t rest = set; rest != 0; rest &= rest - 1) {
        unsigned g = (unsigned)__builtin_ctzll(rest);
        left[g] -= costs[g].memory_bytes < left[g] ? costs[g].memory_bytes : left[g];
    }
    return set;
}

// Where the linear program without memory and prices would have the models: what has a share there, as far as there is room.
static void relaxed(struct search *search, uint64_t *on)
{
    const struct place_problem *problem = search->problem;
    unsigned gpus = problem->gpu_count;
    double *shares = mem_calloc((size_t)problem->item_count * gpus + 1, sizeof(*shares));
    if (shares == NULL) {
        return;
    }
    for (unsigned i = 0; i < problem->item_count; i++) {
        search->wide[i] = allowed(problem, i);
    }
    split_level(&search->split, problem, search->wide, problem->item_count, shares);
    for (unsigned g = 0; g < gpus; g++) {
        search->free[g] = problem->gpus[g].free_bytes;
    }
    for (unsigned i = 0; i < problem->item_count; i++) {
        uint64_t wanted = 0;
        for (unsigned g = 0; g < gpus; g++) {
            wanted |= shares[i * gpus + g] > 1e-6 ? bit(g) : 0;
        }
        on[i] = settle(problem, i, wanted, search->free);
    }
    mem_free(shares);
}

// Tries `on` with models `a` and `b` (the same: one model) on other sets; keeps it in `on` if the score gets better.
static bool try_change(struct search *search, uint64_t *on, double *score, unsigned a,
                       uint64_t on_a, unsigned b, uint64_t on_b)
{
    uint64_t was_a = on[a];
    uint64_t was_b = on[b];
    on[a] = on_a;
    on[b] = on_b;
    double now = score_of(search, on);
    if (now < *score - BETTER) {
        *score = now;
        return true;
    }
    on[b] = was_b;
    on[a] = was_a;
    return false;
}

// One copy more, one less, one elsewhere; all of these for one model.
static bool improve_one(struct search *search, uint64_t *on, double *score, unsigned i)
{
    const struct place_problem *problem = search->problem;
    bool better = false;
    for (uint64_t rest = allowed(problem, i); rest != 0 && !spent(search); rest &= rest - 1) {
        uint64_t to = rest & -rest;
        better |= try_change(search, on, score, i, on[i] ^ to, i, on[i] ^ to);
        better |= try_change(search, on, score, i, to, i, to);
        for (uint64_t from = on[i]; from != 0 && (on[i] & to) == 0; from &= from - 1) {
            uint64_t moved = (on[i] & ~(from & -from)) | to;
            better |= try_change(search, on, score, i, moved, i, moved);
        }
    }
    return better;
}

// Two models change places; or one gives way to the other, by moving to another GPU.
static bool improve_two(struct search *search, uint64_t *on, double *score, unsigned a, unsigned b)
{
    const struct place_problem *problem = search->problem;
    uint64_t both = allowed(problem, a) & allowed(problem, b);
    bool better = false;
    if (on[a] != on[b] && ((on[a] | on[b]) & ~both) == 0) {
        better = try_change(search, on, score, a, on[b], b, on[a]);
    }
    for (uint64_t rest = allowed(problem, b); rest != 0 && !spent(search); rest &= rest - 1) {
        uint64_t to = rest & -rest;
        for (uint64_t way = on[b]; way != 0; way &= way - 1) {
            uint64_t place = (way & -way) & allowed(problem, a);
            if (place == 0 || place == to || (on[a] & place) != 0) {
                continue;
            }
            uint64_t moved = (on[b] & ~place) | to;
            better |= try_change(search, on, score, a, on[a] | place, b, moved) ||
                      try_change(search, on, score, a, place, b, moved);
        }
    }
    return better;
}

static void improve(struct search *search, uint64_t *on)
{
    const struct place_problem *problem = search->problem;
    double score = score_of(search, on);
    bool better = true;
    while (better && !spent(search)) {
        better = false;
        for (unsigned i = 0; i < problem->item_count; i++) {
            better |= !problem->items[i].fixed && improve_one(search, on, &score, i);
        }
        for (unsigned a = 0; !better && a < problem->item_count; a++) {
            for (unsigned b = 0; b < problem->item_count && !spent(search); b++) {
                better |= a != b && !problem->items[a].fixed && !problem->items[b].fixed &&
                          improve_two(search, on, &score, a, b);
            }
        }
    }
    keep(search, on, score);
}

// From the best so far with one model forced elsewhere and the others around it.
static void force(struct search *search, unsigned forced, uint64_t set)
{
    const struct place_problem *problem = search->problem;
    for (unsigned g = 0; g < problem->gpu_count; g++) {
        search->free[g] = problem->gpus[g].free_bytes;
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < problem->item_count; i++) {
            bool first = i == forced || problem->items[i].fixed;
            if (first == (pass == 0)) {
                uint64_t wanted = i == forced ? set : search->best[i];
                search->on[i] = settle(problem, i, wanted, search->free);
            }
        }
    }
    improve(search, search->on);
}

// Until nothing gets better: every model forced onto every GPU, and onto all.
static void shake(struct search *search)
{
    const struct place_problem *problem = search->problem;
    double before = INFINITY;
    while (search->best_score < before - BETTER && !spent(search)) {
        before = search->best_score;
        for (unsigned i = 0; i < problem->item_count; i++) {
            uint64_t all = allowed(problem, i);
            for (uint64_t rest = all; rest != 0 && !problem->items[i].fixed && !spent(search);
                 rest &= rest - 1) {
                force(search, i, rest & -rest);
            }
            if (!problem->items[i].fixed && !spent(search)) {
                force(search, i, all);
            }
        }
    }
}

// ---- branch and bound ---------------------------------------------------------------------------------------------

static bool is_alike(const struct search *search, unsigned a, unsigned b, unsigned depth)
{
    const struct place_problem *problem = search->problem;
    const struct place_gpu *x = &problem->gpus[a];
    const struct place_gpu *y = &problem->gpus[b];
    bool same =
        x->free_bytes == y->free_bytes && x->busy == y->busy && x->total_bytes == y->total_bytes;
    for (unsigned i = 0; i < problem->item_count && same; i++) {
        const struct place_item *item = &problem->items[i];
        same = ((item->allowed >> a) & 1) == ((item->allowed >> b) & 1) &&
               memcmp(&item->costs[a], &item->costs[b], sizeof(item->costs[a])) == 0 &&
               (i >= depth || ((search->on[i] >> a) & 1) == ((search->on[i] >> b) & 1));
    }
    return same;
}

// Bit g: an earlier GPU is like g, and that one is `earlier[g]`.
static void find_twins(const struct search *search, unsigned depth, unsigned *earlier)
{
    for (unsigned g = 0; g < search->problem->gpu_count; g++) {
        earlier[g] = g;
        for (unsigned h = g; h-- > 0 && earlier[g] == g;) {
            earlier[g] = is_alike(search, h, g, depth) ? h : g;
        }
    }
}

static double bound(struct search *search, unsigned depth)
{
    const struct place_problem *problem = search->problem;
    const uint64_t *left = &search->free[(size_t)depth * problem->gpu_count];
    unsigned instances = 0;
    unsigned unplaced = 0;
    for (unsigned i = 0; i < problem->item_count; i++) {
        if (i < depth) {
            instances += (unsigned)__builtin_popcountll(search->on[i]);
            unplaced += search->on[i] == 0;
            search->wide[i] = search->on[i] != 0 ? search->on[i] : allowed(problem, i);
            continue;
        }
        uint64_t room = allowed(problem, i);
        for (unsigned g = 0; g < problem->gpu_count && !problem->items[i].fixed; g++) {
            room &= problem->items[i].costs[g].memory_bytes > left[g] ? ~bit(g) : UINT64_MAX;
        }
        search->wide[i] = room != 0 ? room : allowed(problem, i);
        unplaced += room == 0;
        instances += problem->items[i].fixed ? (unsigned)__builtin_popcountll(room) : room != 0;
    }
    double level = split_level(&search->split, problem, search->wide, problem->item_count, NULL);
    return level_price(level) + INSTANCE_PRICE * instances + UNPLACED_PRICE * unplaced;
}

static void branch(struct search *search, unsigned depth);

static void try_set(struct search *search, unsigned depth, uint64_t set)
{
    const struct place_problem *problem = search->problem;
    const uint64_t *left = &search->free[(size_t)depth * problem->gpu_count];
    uint64_t *after = &search->free[(size_t)(depth + 1) * problem->gpu_count];
    const struct place_item *item = &problem->items[depth];
    for (unsigned g = 0; g < problem->gpu_count; g++) {
        uint64_t bytes = (set & bit(g)) != 0 ? item->costs[g].memory_bytes : 0;
        if (bytes > left[g] && !item->fixed) {
            return;
        }
        after[g] = bytes < left[g] ? left[g] - bytes : 0;
    }
    search->on[depth] = set;
    if (depth + 1 == problem->item_count) {
        keep(search, search->on, score_of(search, search->on));
    } else if (bound(search, depth + 1) < search->best_score - BETTER) {
        branch(search, depth + 1);
    }
    search->on[depth] = 0;
}

static void branch(struct search *search, unsigned depth)
{
    const struct place_problem *problem = search->problem;
    uint64_t all = allowed(problem, depth);
    if (problem->items[depth].fixed || all == 0) {
        try_set(search, depth, all);
        return;
    }
    unsigned earlier[PLACE_GPUS_MAX];
    find_twins(search, depth, earlier);
    // Every set that is not empty, then none.
    for (uint64_t set = all & -all; !spent(search); set = (set - all) & all) {
        bool in_order = true;
        for (uint64_t rest = set; rest != 0 && in_order; rest &= rest - 1) {
            unsigned g = (unsigned)__builtin_ctzll(rest);
            in_order = earlier[g] == g || (set & bit(earlier[g])) != 0;
        }
        if (in_order) {
            try_set(search, depth, set);
        }
        if (set == 0) {
            break;
        }
    }
}

// ---- solving ------------------------------------------------------------------------------------------------------

static struct nrd_status *check(const struct place_problem *problem)
{
    if (problem->gpu_count == 0 || problem->gpu_count > PLACE_GPUS_MAX) {
        return status_new(NRD_INVALID_ARG, "placement is over 1 to %d GPUs, not %u", PLACE_GPUS_MAX,
                          problem->gpu_count);
    }
    for (unsigned i = 0; i < problem->item_count; i++) {
        const struct place_item *item = &problem->items[i];
        bool good = isfinite(item->demand) && item->demand >= 0;
        for (unsigned g = 0; g < problem->gpu_count; g++) {
            const struct place_cost *cost = &item->costs[g];
            good = good && isfinite(cost->busy_s) && cost->busy_s >= 0 &&
                   isfinite(cost->serial_s) && cost->serial_s >= 0;
        }
        if (!good) {
            return status_new(NRD_INVALID_ARG, "model %u has a demand or a cost that is no number",
                              i);
        }
    }
    return NULL;
}

struct ranked {
    double weight;
    unsigned item;
};

static int heavier_first(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->weight != y->weight) {
        return x->weight > y->weight ? -1 : 1;
    }
    return x->item < y->item ? -1 : 1;
}

// The order in which models are decided: those that cannot move, then by what they take, in time or in memory.
static void rank(const struct place_problem *problem, struct ranked *order)
{
    double time = 0;
    double memory = 0;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < problem->item_count; i++) {
            const struct place_item *item = &problem->items[i];
            double own_time = INFINITY;
            double own_memory = INFINITY;
            for (unsigned g = 0; g < problem->gpu_count; g++) {
                own_time = fmin(own_time, item->demand * item->costs[g].busy_s);
                own_memory = fmin(own_memory, (double)item->costs[g].memory_bytes);
            }
            time = fmax(time, own_time);
            memory = fmax(memory, own_memory);
            double weight =
                fmax(time > 0 ? own_time / time : 0, memory > 0 ? own_memory / memory : 0);
            order[i] = (struct ranked){item->fixed ? 2 + weight : weight, i};
        }
    }
    qsort(order, problem->item_count, sizeof(*order), heavier_first);
}

static struct nrd_status *search_init(struct search *search, const struct place_problem *problem)
{
    size_t count = problem->item_count + 1;
    *search = (struct search){.problem = problem, .limit = PLACE_EFFORT, .best_score = INFINITY};
    search->on = mem_calloc(count, sizeof(uint64_t));
    search->wide = mem_calloc(count, sizeof(uint64_t));
    search->best = mem_calloc(count, sizeof(uint64_t));
    search->free = mem_calloc((count + 1) * problem->gpu_count, sizeof(uint64_t));
    NRD_TRY(split_init(&search->split, problem));
    bool made =
        search->on != NULL && search->wide != NULL && search->best != NULL && search->free != NULL;
    return made ? NULL : status_no_memory();
}

static void search_fini(struct search *search)
{
    split_fini(&search->split);
    mem_free(search->on);
    mem_free(search->wide);
    mem_free(search->best);
    mem_free(search->free);
}

static bool run_search(struct search *search, uint64_t effort)
{
    const struct place_problem *problem = search->problem;
    greedy(search, search->on);
    keep(search, search->on, score_of(search, search->on));
    improve(search, search->on);
    relaxed(search, search->on);
    improve(search, search->on);
    shake(search);
    if (problem->gpu_count > BRANCH_GPUS_MAX || search->cut) {
        return false;
    }
    search->limit = search->split.work + effort;
    memset(search->on, 0, problem->item_count * sizeof(*search->on));
    for (unsigned g = 0; g < problem->gpu_count; g++) {
        search->free[g] = problem->gpus[g].free_bytes;
    }
    branch(search, 0);
    return !search->cut;
}

static struct nrd_status *answer_init(struct place_answer *answer,
                                      const struct place_problem *problem)
{
    *answer = (struct place_answer){
        .on = mem_calloc(problem->item_count + 1, sizeof(uint64_t)),
        .shares = mem_calloc((size_t)problem->item_count * problem->gpu_count + 1, sizeof(double)),
        .load = mem_calloc(problem->gpu_count, sizeof(double)),
    };
    return answer->on != NULL && answer->shares != NULL && answer->load != NULL
               ? NULL
               : status_no_memory();
}

void place_answer_fini(struct place_answer *answer)
{
    mem_free(answer->on);
    mem_free(answer->shares);
    mem_free(answer->load);
    *answer = (struct place_answer){0};
}

// Solves with the items in the order of `order`, and puts what was found into `answer`.
static struct nrd_status *solve_ordered(const struct place_problem *problem,
                                        const struct ranked *order, struct place_item *items,
                                        uint64_t effort, struct place_answer *answer)
{
    for (unsigned i = 0; i < problem->item_count; i++) {
        items[i] = problem->items[order[i].item];
    }
    struct place_problem ordered = *problem;
    ordered.items = items;
    struct search search;
    struct nrd_status *status = search_init(&search, &ordered);
    if (status == NULL) {
        answer->exact = problem->item_count == 0 || run_search(&search, effort);
        for (unsigned i = 0; i < problem->item_count; i++) {
            answer->on[order[i].item] = search.best[i];
        }
    }
    search_fini(&search);
    return status;
}

struct nrd_status *place_solve(const struct place_problem *problem, uint64_t effort,
                               struct place_answer *answer)
{
    NRD_TRY(check(problem));
    struct place_answer made;
    struct ranked *order = mem_calloc(problem->item_count + 1, sizeof(*order));
    struct place_item *items = mem_calloc(problem->item_count + 1, sizeof(*items));
    struct nrd_status *status = answer_init(&made, problem);
    if (status == NULL && (order == NULL || items == NULL)) {
        status = status_no_memory();
    }
    if (status == NULL) {
        rank(problem, order);
        status = solve_ordered(problem, order, items, effort, &made);
    }
    if (status == NULL) {
        status = place_rate(problem, made.on, &made.rating, made.shares, made.load);
    }
    mem_free(order);
    mem_free(items);
    if (status != NULL) {
        place_answer_fini(&made);
        return status;
    }
    *answer = made;
    return NULL;
}
