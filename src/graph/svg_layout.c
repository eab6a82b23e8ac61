// SPDX-License-Identifier: Apache-2.0
// The usual four steps of layered drawing (Sugiyama, Tagawa, Toda 1981): edges that close cycles are set aside; each node gets the
// column after its farthest source; columns are ordered by the mean place of what their nodes are joined to; then nodes are moved
// towards their neighbours without overlap. An edge over several columns gets a thin item in each. Start at layout_run().
#include "graph/svg_layout.h"

#include <stdlib.h>

enum { COLUMN_GAP = 96, ROW_GAP = 26, SWEEPS = 12, MOVES = 16, THIN = 10, CROSSINGS_MAX = 1200 };

// What stands in a column: a node, or an edge that passes.
struct item {
    double height, y;
    size_t layer, place;
    double wish; // where its neighbours want it
    size_t index;
};
struct segment {
    size_t from, to; // items of neighbouring columns
};
struct work {
    struct layout *l;
    struct arena *arena;
    struct item *items; // nodes first
    size_t item_count;
    struct segment *segments;
    size_t segment_count;
    size_t layers;
    size_t **columns; // items of each column, in order
    size_t *column_counts;
    double *column_widths;
    double *column_x;
};

// ---- columns --------------------------------------------------------------------------------------------------------

enum color { WHITE, GRAY, BLACK };

// Marks the edges that lead back into a walk from the first nodes. Iterative: a chain may be long.
static struct nrd_status *mark_back(struct work *w)
{
    struct layout *l = w->l;
    unsigned char *color = arena_calloc(w->arena, l->node_count + 1, 1);
    size_t *stack = arena_calloc(w->arena, l->node_count + 1, sizeof(*stack));
    size_t *next = arena_calloc(w->arena, l->node_count + 1, sizeof(*next)); // edge to look at
    if (color == NULL || stack == NULL || next == NULL) {
        return status_no_memory();
    }
    for (size_t root = 0; root < l->node_count; root++) {
        size_t depth = 0;
        if (color[root] != WHITE) {
            continue;
        }
        stack[depth++] = root;
        color[root] = GRAY;
        while (depth > 0) {
            size_t node = stack[depth - 1];
            while (next[node] < l->edge_count && l->edges[next[node]].from != node) {
                next[node]++;
            }
            if (next[node] == l->edge_count) {
                color[node] = BLACK;
                depth--;
                continue;
            }
            struct layout_edge *edge = &l->edges[next[node]++];
            if (color[edge->to] == GRAY) {
                edge->back = true;
            } else if (color[edge->to] == WHITE) {
                color[edge->to] = GRAY;
                stack[depth++] = edge->to;
            }
        }
    }
    return NULL;
}

// The longest way from a source; then sources move next to what they feed.
static void assign_layers(struct work *w)
{
    struct layout *l = w->l;
    bool changed = true;
    for (size_t round = 0; changed && round <= l->node_count; round++) {
        changed = false;
        for (size_t i = 0; i < l->edge_count; i++) {
            const struct layout_edge *e = &l->edges[i];
            if (!e->back && l->nodes[e->to].layer < l->nodes[e->from].layer + 1) {
                l->nodes[e->to].layer = l->nodes[e->from].layer + 1;
                changed = true;
            }
        }
    }
    for (size_t n = 0; n < l->node_count; n++) {
        size_t nearest = SIZE_MAX;
        bool fed = false;
        for (size_t i = 0; i < l->edge_count; i++) {
            const struct layout_edge *e = &l->edges[i];
            fed = fed || (!e->back && e->to == n);
            if (!e->back && e->from == n && l->nodes[e->to].layer < nearest) {
                nearest = l->nodes[e->to].layer;
            }
        }
        if (!fed && nearest != SIZE_MAX) {
            l->nodes[n].layer = nearest - 1;
        }
        w->layers = l->nodes[n].layer >= w->layers ? l->nodes[n].layer + 1 : w->layers;
    }
}

// ---- items ----------------------------------------------------------------------------------------------------------

static size_t span(const struct layout *l, const struct layout_edge *e)
{
    return e->back ? 0 : l->nodes[e->to].layer - l->nodes[e->from].layer;
}

static struct nrd_status *make_items(struct work *w)
{
    struct layout *l = w->l;
    size_t thin = 0;
    size_t segments = 0;
    for (size_t i = 0; i < l->edge_count; i++) {
        size_t s = span(l, &l->edges[i]);
        thin += s > 1 ? s - 1 : 0;
        segments += s;
    }
    w->items = arena_calloc(w->arena, l->node_count + thin + 1, sizeof(*w->items));
    w->segments = arena_calloc(w->arena, segments + 1, sizeof(*w->segments));
    w->columns = arena_calloc(w->arena, w->layers + 1, sizeof(*w->columns));
    w->column_counts = arena_calloc(w->arena, w->layers + 1, sizeof(*w->column_counts));
    w->column_widths = arena_calloc(w->arena, w->layers + 1, sizeof(*w->column_widths));
    w->column_x = arena_calloc(w->arena, w->layers + 1, sizeof(*w->column_x));
    if (w->items == NULL || w->segments == NULL || w->columns == NULL || w->column_counts == NULL ||
        w->column_widths == NULL || w->column_x == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < l->node_count; i++) {
        w->items[i] = (struct item){.height = l->nodes[i].height, .layer = l->nodes[i].layer};
    }
    w->item_count = l->node_count;
    for (size_t i = 0; i < l->edge_count; i++) {
        const struct layout_edge *e = &l->edges[i];
        size_t last = e->from;
        for (size_t s = 1; s < span(l, e); s++) {
            w->items[w->item_count] =
                (struct item){.height = THIN, .layer = l->nodes[e->from].layer + s};
            w->segments[w->segment_count++] = (struct segment){last, w->item_count};
            last = w->item_count++;
        }
        if (span(l, e) > 0) {
            w->segments[w->segment_count++] = (struct segment){last, e->to};
        }
    }
    return NULL;
}

static struct nrd_status *fill_columns(struct work *w)
{
    for (size_t i = 0; i < w->item_count; i++) {
        w->column_counts[w->items[i].layer]++;
    }
    for (size_t c = 0; c < w->layers; c++) {
        w->columns[c] = arena_calloc(w->arena, w->column_counts[c] + 1, sizeof(**w->columns));
        if (w->columns[c] == NULL) {
            return status_no_memory();
        }
        w->column_counts[c] = 0;
    }
    for (size_t i = 0; i < w->item_count; i++) {
        struct item *item = &w->items[i];
        item->index = i;
        item->place = w->column_counts[item->layer];
        w->columns[item->layer][w->column_counts[item->layer]++] = i;
        if (i < w->l->node_count && w->l->nodes[i].width > w->column_widths[item->layer]) {
            w->column_widths[item->layer] = w->l->nodes[i].width;
        }
    }
    return NULL;
}

// ---- order ----------------------------------------------------------------------------------------------------------

static size_t crossings(const struct work *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->segment_count; i++) {
        const struct item *a = &w->items[w->segments[i].from];
        const struct item *b = &w->items[w->segments[i].to];
        for (size_t j = i + 1; j < w->segment_count; j++) {
            const struct item *c = &w->items[w->segments[j].from];
            const struct item *d = &w->items[w->segments[j].to];
            count += a->layer == c->layer && a->place != c->place && b->place != d->place &&
                     (a->place < c->place) != (b->place < d->place);
        }
    }
    return count;
}

// The mean of what an item is joined to on one side; its own value where there is nothing.
static double mean_of(const struct work *w, size_t item, bool before, bool places)
{
    double sum = 0;
    size_t count = 0;
    for (size_t i = 0; i < w->segment_count; i++) {
        const struct segment *s = &w->segments[i];
        if ((before ? s->to : s->from) == item) {
            const struct item *other = &w->items[before ? s->from : s->to];
            sum += places ? (double)other->place : other->y + other->height / 2;
            count++;
        }
    }
    const struct item *self = &w->items[item];
    double own = places ? (double)self->place : self->y + self->height / 2;
    return count == 0 ? own : sum / (double)count;
}

static int by_wish(const void *a, const void *b)
{
    const struct item *const *left = a;
    const struct item *const *right = b;
    if ((*left)->wish < (*right)->wish || (*left)->wish > (*right)->wish) {
        return (*left)->wish < (*right)->wish ? -1 : 1;
    }
    return (*left)->place < (*right)->place ? -1 : 1;
}

static void sort_column(struct work *w, size_t column, bool before, struct item **sorted)
{
    size_t count = w->column_counts[column];
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &w->items[w->columns[column][i]];
        sorted[i]->wish = mean_of(w, w->columns[column][i], before, true);
    }
    qsort(sorted, count, sizeof(*sorted), by_wish);
    for (size_t i = 0; i < count; i++) {
        w->columns[column][i] = sorted[i]->index;
        sorted[i]->place = i;
    }
}

// Sweeps to and fro; the order with the fewest crossings stays.
static struct nrd_status *order(struct work *w)
{
    struct item **sorted = arena_calloc(w->arena, w->item_count + 1, sizeof(*sorted));
    size_t *best = arena_calloc(w->arena, w->item_count + 1, sizeof(*best));
    if (sorted == NULL || best == NULL) {
        return status_no_memory();
    }
    bool counts = w->segment_count <= CROSSINGS_MAX;
    size_t least = SIZE_MAX;
    for (size_t sweep = 0; sweep < SWEEPS; sweep++) {
        size_t now = counts ? crossings(w) : 0;
        for (size_t i = 0; now < least && i < w->item_count; i++) {
            best[i] = w->items[i].place;
        }
        least = now < least ? now : least;
        for (size_t c = 0; c < w->layers; c++) {
            bool forward = sweep % 2 == 0;
            sort_column(w, forward ? c : w->layers - 1 - c, forward, sorted);
        }
    }
    if (counts && crossings(w) > least) {
        for (size_t i = 0; i < w->item_count; i++) {
            w->items[i].place = best[i];
            w->columns[w->items[i].layer][best[i]] = i;
        }
    }
    return NULL;
}

// ---- places ---------------------------------------------------------------------------------------------------------

// Moves a column's items towards their wishes. Packing down from the top and up from the bottom both keep the order and the
// gaps, and so does their mean.
static void move_column(struct work *w, size_t column, double *down)
{
    size_t count = w->column_counts[column];
    double edge = 0;
    for (size_t i = 0; i < count; i++) {
        struct item *item = &w->items[w->columns[column][i]];
        double top = item->wish - item->height / 2;
        down[i] = i > 0 && top < edge ? edge : top;
        edge = down[i] + item->height + ROW_GAP;
    }
    for (size_t i = count; i-- > 0;) {
        struct item *item = &w->items[w->columns[column][i]];
        double top = item->wish - item->height / 2;
        double most = edge - item->height - ROW_GAP;
        double up = i + 1 < count && top > most ? most : top;
        edge = up;
        item->y = (down[i] + up) / 2;
    }
}

static struct nrd_status *place(struct work *w)
{
    double *down = arena_calloc(w->arena, w->item_count + 1, sizeof(*down));
    if (down == NULL) {
        return status_no_memory();
    }
    for (size_t c = 0; c < w->layers; c++) {
        double y = 0;
        for (size_t i = 0; i < w->column_counts[c]; i++) {
            struct item *item = &w->items[w->columns[c][i]];
            item->y = y;
            y += item->height + ROW_GAP;
        }
    }
    for (size_t move = 0; move < MOVES; move++) {
        for (size_t at = 0; at < w->layers; at++) {
            size_t c = move % 2 == 0 ? at : w->layers - 1 - at;
            for (size_t i = 0; i < w->column_counts[c]; i++) {
                size_t index = w->columns[c][i];
                w->items[index].wish = mean_of(w, index, move % 2 == 0, false);
            }
            move_column(w, c, down);
        }
    }
    return NULL;
}

static struct nrd_status *finish(struct work *w)
{
    struct layout *l = w->l;
    double top = 0;
    for (size_t i = 0; i < w->item_count; i++) {
        top = i == 0 || w->items[i].y < top ? w->items[i].y : top;
    }
    double x = 0;
    for (size_t c = 0; c < w->layers; c++) {
        w->column_x[c] = x;
        x += w->column_widths[c] + COLUMN_GAP;
    }
    l->width = x > COLUMN_GAP ? x - COLUMN_GAP : 0;
    for (size_t i = 0; i < w->item_count; i++) {
        w->items[i].y -= top;
        double bottom = w->items[i].y + w->items[i].height;
        l->height = bottom > l->height ? bottom : l->height;
    }
    for (size_t i = 0; i < l->node_count; i++) {
        l->nodes[i].x = w->column_x[l->nodes[i].layer];
        l->nodes[i].y = w->items[i].y;
    }
    size_t thin = l->node_count;
    for (size_t i = 0; i < l->edge_count; i++) {
        struct layout_edge *e = &l->edges[i];
        size_t between = span(l, e) > 1 ? span(l, e) - 1 : 0;
        e->via = arena_calloc(w->arena, 2 * between + 1, sizeof(*e->via));
        if (e->via == NULL) {
            return status_no_memory();
        }
        for (size_t s = 0; s < between; s++, thin++) {
            const struct item *item = &w->items[thin];
            double y = item->y + item->height / 2;
            double left = w->column_x[item->layer];
            e->via[e->via_count++] = (struct layout_point){left, y};
            e->via[e->via_count++] = (struct layout_point){left + w->column_widths[item->layer], y};
        }
    }
    return NULL;
}

struct nrd_status *layout_run(struct layout *l, struct arena *arena)
{
    struct work w = {.l = l, .arena = arena};
    NRD_TRY(mark_back(&w));
    assign_layers(&w);
    NRD_TRY(make_items(&w));
    NRD_TRY(fill_columns(&w));
    NRD_TRY(order(&w));
    NRD_TRY(place(&w));
    return finish(&w);
}
