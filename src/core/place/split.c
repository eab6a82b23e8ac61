// SPDX-License-Identifier: Apache-2.0
// Split: the linear program of split.h.
//
// Variables: the share x of a model on each of its GPUs but the first (which gets the rest), and the level L. Rows, each kept at or
// above zero: the first GPU's share; L less the load of each GPU; L less the load of each instance that saturates before its GPU
// does; L less what models on one GPU need in any case. x = 0 is made feasible by raising L, so there is no first phase.
#include "core/place/split.h"

#include <math.h>

#include "base/mem.h"

#define TINY 1e-11

struct nrd_status *split_init(struct split *split, const struct place_problem *problem)
{
    *split = (struct split){0};
    size_t shares = (size_t)problem->item_count * problem->gpu_count;
    size_t rows = problem->item_count + problem->gpu_count + shares + 1;
    size_t columns = shares + 2;
    split->cells = mem_calloc(rows * columns, sizeof(double));
    split->row = mem_calloc(columns, sizeof(double));
    split->basic = mem_calloc(rows, sizeof(unsigned));
    split->nonbasic = mem_calloc(columns, sizeof(unsigned));
    split->owner = mem_calloc(shares + 1, sizeof(unsigned));
    split->base = mem_calloc(problem->gpu_count, sizeof(double));
    bool made = split->cells != NULL && split->row != NULL && split->basic != NULL &&
                split->nonbasic != NULL && split->owner != NULL && split->base != NULL;
    return made ? NULL : status_no_memory();
}

void split_fini(struct split *split)
{
    mem_free(split->cells);
    mem_free(split->row);
    mem_free(split->basic);
    mem_free(split->nonbasic);
    mem_free(split->owner);
    mem_free(split->base);
    *split = (struct split){0};
}

static unsigned first_bit(uint64_t mask)
{
    return (unsigned)__builtin_ctzll(mask);
}

// What an instance group's own pace adds to its GPU's: 0 where the GPU is the bound.
static double serial(const struct place_item *item, unsigned gpu)
{
    const struct place_cost *cost = &item->costs[gpu];
    return cost->serial_s > cost->busy_s ? item->demand * cost->serial_s : 0;
}

// ---- the dictionary -----------------------------------------------------------------------------------------------

struct dictionary {
    struct split *split;
    double *cells;
    unsigned rows;
    unsigned columns; // the constant first, the level last
    unsigned shares;  // variables below this are shares, then the level, then slacks
};

static double *row_at(const struct dictionary *d, unsigned row)
{
    return d->cells + (size_t)row * d->columns;
}

// Exchanges the basic variable of `row` and the nonbasic one of `column`.
static void pivot(struct dictionary *d, unsigned row, unsigned column)
{
    struct split *split = d->split;
    double *from = row_at(d, row);
    double scale = -1 / from[column];
    for (unsigned c = 0; c < d->columns; c++) {
        from[c] *= scale;
    }
    from[column] = -scale; // the variable that leaves
    for (unsigned r = 0; r < d->rows; r++) {
        double *to = row_at(d, r);
        double factor = to[column];
        if (r == row || factor == 0) {
            continue;
        }
        to[column] = 0;
        for (unsigned c = 0; c < d->columns; c++) {
            to[c] += factor * from[c];
        }
    }
    unsigned leaves = split->basic[row];
    split->basic[row] = split->nonbasic[column - 1];
    split->nonbasic[column - 1] = leaves;
    split->work += (uint64_t)d->rows * d->columns;
}

// The row whose variable first reaches zero as that of `column` grows; rows if none does. Ties go to the smallest variable.
static unsigned leaving(const struct dictionary *d, unsigned column)
{
    unsigned best = d->rows;
    double least = 0;
    for (unsigned r = 0; r < d->rows; r++) {
        const double *cells = row_at(d, r);
        if (cells[column] > -TINY || d->split->basic[r] == d->shares) {
            continue; // the level itself has a row that keeps it above zero
        }
        double room = (cells[0] < 0 ? 0 : cells[0]) / -cells[column];
        bool tie = best < d->rows && fabs(room - least) <= TINY;
        if (best == d->rows || (tie ? d->split->basic[r] < d->split->basic[best] : room < least)) {
            best = r;
            least = room;
        }
    }
    return best;
}

// The column to enter: the steepest at first; by number when that has gone on for long, which cannot go round in circles.
static unsigned entering(const struct dictionary *d, const double *objective, unsigned pivots)
{
    unsigned best = 0;
    for (unsigned c = 1; c < d->columns; c++) {
        if (objective[c] > -TINY) {
            continue;
        }
        bool better = best == 0 || (pivots < 4 * d->rows
                                        ? objective[c] < objective[best]
                                        : d->split->nonbasic[c - 1] < d->split->nonbasic[best - 1]);
        best = better ? c : best;
    }
    return best;
}

static unsigned row_of(const struct dictionary *d, unsigned variable)
{
    unsigned r = 0;
    while (r < d->rows && d->split->basic[r] != variable) {
        r++;
    }
    return r;
}

static void minimise(struct dictionary *d)
{
    // Raise the level until every row is at or above zero: afterwards the level is basic.
    unsigned lowest = 0;
    for (unsigned r = 1; r < d->rows; r++) {
        lowest = row_at(d, r)[0] < row_at(d, lowest)[0] ? r : lowest;
    }
    pivot(d, lowest, d->columns - 1);
    unsigned limit = 50 * (d->rows + d->columns);
    for (unsigned pivots = 0; pivots < limit; pivots++) {
        unsigned level = row_of(d, d->shares);
        unsigned column = level == d->rows ? 0 : entering(d, row_at(d, level), pivots);
        unsigned row = column == 0 ? d->rows : leaving(d, column);
        if (row == d->rows) {
            return;
        }
        pivot(d, row, column);
    }
}

// ---- the program --------------------------------------------------------------------------------------------------

// Numbers the shares that are variables and sets `base` and what is needed in any case; returns the variables.
static unsigned number_shares(struct split *split, const struct place_problem *problem,
                              const uint64_t *on, unsigned count, double *floor)
{
    unsigned shares = 0;
    for (unsigned g = 0; g < problem->gpu_count; g++) {
        split->base[g] = problem->gpus[g].busy;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct place_item *item = &problem->items[i];
        if (on[i] == 0 || item->demand <= 0) {
            continue;
        }
        unsigned first = first_bit(on[i]);
        if ((on[i] & (on[i] - 1)) == 0) {
            split->base[first] += item->demand * item->costs[first].busy_s;
            *floor = fmax(*floor, serial(item, first));
            continue;
        }
        for (uint64_t rest = on[i] & (on[i] - 1); rest != 0; rest &= rest - 1) {
            split->owner[shares++] = i * problem->gpu_count + first_bit(rest);
        }
    }
    return shares;
}

// Adds `factor` times the share of item `i` on `gpu` to `row`: of the first GPU it is 1 less the others.
static void add_share(const struct dictionary *d, const struct place_problem *problem,
                      const uint64_t *on, double *row, unsigned i, unsigned gpu, double factor)
{
    bool rest = gpu == first_bit(on[i]);
    if (rest) {
        row[0] += factor;
    }
    for (unsigned v = 0; v < d->shares; v++) {
        unsigned owner = d->split->owner[v];
        if (owner / problem->gpu_count == i && (rest || owner % problem->gpu_count == gpu)) {
            row[v + 1] += rest ? -factor : factor;
        }
    }
}

static double *new_row(struct dictionary *d)
{
    double *row = row_at(d, d->rows);
    for (unsigned c = 0; c < d->columns; c++) {
        row[c] = 0;
    }
    d->split->basic[d->rows] = d->shares + 1 + d->rows;
    d->rows++;
    return row;
}

static void fill(struct dictionary *d, const struct place_problem *problem, const uint64_t *on,
                 unsigned count, double scale, double floor)
{
    struct split *split = d->split;
    unsigned level = d->columns - 1;
    for (unsigned c = 1; c < d->columns; c++) {
        split->nonbasic[c - 1] = c - 1; // the shares, then the level
    }
    double *least = new_row(d);
    least[0] = -floor / scale;
    least[level] = 1;
    for (unsigned g = 0; g < problem->gpu_count; g++) {
        double *row = new_row(d);
        row[0] = -split->base[g] / scale;
        row[level] = 1;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct place_item *item = &problem->items[i];
        if ((on[i] & (on[i] - 1)) == 0 || item->demand <= 0) {
            continue;
        }
        add_share(d, problem, on, new_row(d), i, first_bit(on[i]), 1);
        for (uint64_t rest = on[i]; rest != 0; rest &= rest - 1) {
            unsigned g = first_bit(rest);
            add_share(d, problem, on, row_at(d, 1 + g), i, g,
                      -item->demand * item->costs[g].busy_s / scale);
            if (serial(item, g) > 0) {
                double *row = new_row(d);
                row[level] = 1;
                add_share(d, problem, on, row, i, g, -serial(item, g) / scale);
            }
        }
    }
}

static void read_shares(const struct dictionary *d, const struct place_problem *problem,
                        const uint64_t *on, unsigned count, double *shares)
{
    for (unsigned i = 0; i < count * problem->gpu_count; i++) {
        shares[i] = 0;
    }
    for (unsigned r = 0; r < d->rows; r++) {
        unsigned variable = d->split->basic[r];
        if (variable < d->shares) {
            shares[d->split->owner[variable]] = fmin(fmax(row_at(d, r)[0], 0), 1);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        double rest = 1;
        for (unsigned g = 0; g < problem->gpu_count; g++) {
            rest -= shares[i * problem->gpu_count + g];
        }
        if (on[i] != 0) {
            shares[i * problem->gpu_count + first_bit(on[i])] = fmax(rest, 0);
        }
    }
}

double split_level(struct split *split, const struct place_problem *problem, const uint64_t *on,
                   unsigned count, double *shares)
{
    double floor = 0;
    unsigned variables = number_shares(split, problem, on, count, &floor);
    struct dictionary d = {
        .split = split, .cells = split->cells, .columns = variables + 2, .shares = variables};
    double level = floor;
    for (unsigned g = 0; g < problem->gpu_count; g++) {
        level = fmax(level, split->base[g]);
    }
    split->work += problem->gpu_count + count;
    if (variables > 0) {
        // Numbers about one: by what the largest model takes where it is dearest.
        double scale = level;
        for (unsigned v = 0; v < variables; v++) {
            const struct place_item *item = &problem->items[split->owner[v] / problem->gpu_count];
            unsigned g = split->owner[v] % problem->gpu_count;
            scale = fmax(scale, item->demand * item->costs[g].busy_s);
        }
        scale = scale > 0 ? scale : 1;
        fill(&d, problem, on, count, scale, floor);
        minimise(&d);
        unsigned row = row_of(&d, variables);
        level = row == d.rows ? level : row_at(&d, row)[0] * scale;
    }
    if (shares != NULL) {
        read_shares(&d, problem, on, count, shares);
    }
    return level;
}
