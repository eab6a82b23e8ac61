// SPDX-License-Identifier: Apache-2.0
// Exact area coverage by signed trapezoids: each edge adds, to each row it crosses, how much area to its right it opens or closes; a
// running sum over the row is the coverage. Edges are sorted by their upper end, and a row looks only at those that reach it. Edges are
// clipped when they are added: what lies left of the canvas becomes a vertical edge at x = 0, what lies right one at the last
// column's end, so sums stay right whatever is outside.
#include "image/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define OVAL_POINTS_MAX 256
#define EDGES_MAX 1000000u // a shape with more is cut off there

struct draw_edge {
    float x0, y0, x1, y1; // y0 < y1
    float direction;      // 1: went down, -1: went up
};

bool drawer_begin(struct drawer *d, const struct image *canvas)
{
    if (canvas->width + 2 > d->row_size) {
        float *row = mem_realloc(d->row, ((size_t)canvas->width + 2) * sizeof(*row));
        if (row == NULL) {
            return false;
        }
        d->row = row;
        d->row_size = canvas->width + 2;
    }
    memset(d->row, 0, d->row_size * sizeof(*d->row));
    d->canvas = *canvas;
    d->count = 0;
    return true;
}

void drawer_fini(struct drawer *d)
{
    mem_free(d->edges);
    mem_free(d->row);
    memset(d, 0, sizeof(*d));
}

// ---- edges ----------------------------------------------------------------------------------------------------------

static void push(struct drawer *d, float x0, float y0, float x1, float y1, float direction)
{
    if (!(y1 > y0)) {
        return;
    }
    if (d->count == d->capacity) {
        size_t capacity = d->capacity == 0 ? 256 : d->capacity * 2;
        struct draw_edge *edges =
            capacity > EDGES_MAX ? NULL : mem_realloc(d->edges, capacity * sizeof(*edges));
        if (edges == NULL) {
            return;
        }
        d->edges = edges;
        d->capacity = capacity;
    }
    d->edges[d->count++] = (struct draw_edge){x0, y0, x1, y1, direction};
}

// The part of an edge between two heights that lies on one side of x = limit, pushed with its x clamped there.
static float x_at(const struct draw_edge *e, float y)
{
    float t = (y - e->y0) / (e->y1 - e->y0);
    return e->x0 + (e->x1 - e->x0) * t;
}

static float clamp(float v, float low, float high)
{
    return v < low ? low : (v > high ? high : v);
}

// Cuts an edge at the canvas' sides into at most three pieces.
static void push_clipped(struct drawer *d, struct draw_edge e)
{
    float right = (float)d->canvas.width, bottom = (float)d->canvas.height;
    float top = clamp(e.y0, 0.0f, bottom), low = clamp(e.y1, 0.0f, bottom);
    if (!(low > top)) {
        return;
    }
    float cuts[4] = {top, top, low, low};
    int count = 1;
    float sides[2] = {e.x0 < e.x1 ? 0.0f : right, e.x0 < e.x1 ? right : 0.0f};
    for (int i = 0; i < 2; i++) {
        if ((e.x0 < sides[i]) != (e.x1 < sides[i])) {
            float y = e.y0 + (sides[i] - e.x0) / (e.x1 - e.x0) * (e.y1 - e.y0);
            if (y > cuts[count - 1] && y < low) {
                cuts[count++] = y;
            }
        }
    }
    cuts[count] = low;
    for (int i = 0; i < count; i++) {
        float x0 = x_at(&e, cuts[i]), x1 = x_at(&e, cuts[i + 1]);
        push(d, clamp(x0, 0.0f, right), cuts[i], clamp(x1, 0.0f, right), cuts[i + 1], e.direction);
    }
}

void draw_add(struct drawer *d, const struct draw_point *points, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!(fabsf(points[i].x) < 1e7f) || !(fabsf(points[i].y) < 1e7f)) {
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct draw_point a = points[i], b = points[i + 1 < count ? i + 1 : 0];
        struct draw_edge e = a.y < b.y ? (struct draw_edge){a.x, a.y, b.x, b.y, 1.0f}
                                       : (struct draw_edge){b.x, b.y, a.x, a.y, -1.0f};
        push_clipped(d, e);
    }
}

// ---- filling --------------------------------------------------------------------------------------------------------

// Adds the part of an edge within one row: from (x0, y0) to (x1, y1), `height` = y1 - y0 with the edge's sign.
static void add_span(float *row, float x0, float x1, float height)
{
    if (x0 > x1) {
        float t = x0;
        x0 = x1;
        x1 = t;
    }
    uint32_t first = (uint32_t)x0, last = (uint32_t)x1;
    if (first == last) {
        float middle = (x0 + x1) / 2.0f - (float)first;
        row[first] += height * (1.0f - middle);
        row[first + 1] += height * middle;
        return;
    }
    float slope = height / (x1 - x0);
    float before = 0.0f; // area to the right of the edge that earlier columns have opened
    for (uint32_t x = first; x <= last; x++) {
        float from = x == first ? x0 : (float)x;
        float to = x == last ? x1 : (float)(x + 1);
        float part = slope * (to - from); // height that lies in this column
        float inside =
            part * ((float)(x + 1) - (from + to) / 2.0f); // and its area within the column
        row[x] += inside + before;
        before = part - inside;
    }
    row[last + 1] += before;
}

static int by_top(const void *a, const void *b)
{
    float y = ((const struct draw_edge *)a)->y0, z = ((const struct draw_edge *)b)->y0;
    return y < z ? -1 : (y > z ? 1 : 0);
}

// Sums the row up, draws it, and leaves it zero again. Columns first to last - 1 were touched.
static void draw_row(struct drawer *d, uint32_t y, uint32_t first, uint32_t last,
                     struct image_rgba color)
{
    float sum = 0.0f;
    for (uint32_t x = first; x < last; x++) {
        sum += d->row[x];
        float cover = fabsf(sum);
        d->row[x] = cover > 1.0f ? 1.0f : (cover < 1.0f / 1024.0f ? 0.0f : cover);
    }
    uint32_t end = last < d->canvas.width ? last : d->canvas.width;
    if (first < end) {
        image_blend_span(&d->canvas, first, y, d->row + first, end - first, color);
    }
    memset(d->row + first, 0, (last - first) * sizeof(*d->row));
}

void draw_fill(struct drawer *d, struct image_rgba color)
{
    if (d->count == 0) {
        return;
    }
    qsort(d->edges, d->count, sizeof(*d->edges), by_top);
    size_t begin = 0, end = 0; // edges[begin, end) may reach the row; those before have ended
    for (uint32_t y = (uint32_t)d->edges[0].y0; y < d->canvas.height && begin < d->count; y++) {
        float top = (float)y, bottom = (float)(y + 1);
        while (end < d->count && d->edges[end].y0 < bottom) {
            end++;
        }
        uint32_t first = UINT32_MAX, last = 0;
        for (size_t i = begin; i < end; i++) {
            struct draw_edge *e = &d->edges[i];
            if (e->y1 <= top) { // ended: swap it out of the window
                struct draw_edge t = *e;
                *e = d->edges[begin];
                d->edges[begin++] = t;
                continue;
            }
            float y0 = e->y0 > top ? e->y0 : top, y1 = e->y1 < bottom ? e->y1 : bottom;
            float right = (float)d->canvas.width;
            float x0 = clamp(x_at(e, y0), 0.0f, right), x1 = clamp(x_at(e, y1), 0.0f, right);
            add_span(d->row, x0, x1, (y1 - y0) * e->direction);
            uint32_t low = (uint32_t)(x0 < x1 ? x0 : x1), high = (uint32_t)(x0 < x1 ? x1 : x0) + 2;
            first = low < first ? low : first;
            last = high > last ? high : last;
        }
        if (first < last) {
            draw_row(d, y, first, last, color);
        }
        if (begin == end && end < d->count && d->edges[end].y0 > bottom) {
            y = (uint32_t)d->edges[end].y0 - 1; // a gap between parts
        }
    }
    d->count = 0;
}

// ---- shapes ---------------------------------------------------------------------------------------------------------

// Points of an ellipse, clockwise on the screen (or the other way); enough of them that the error is below 1/16 pixel.
static size_t oval_points(struct draw_point *to, struct draw_point center, float rx, float ry,
                          bool reverse)
{
    float most = rx > ry ? rx : ry;
    size_t count = 8 + (size_t)(8.9f * sqrtf(most > 0.0f && most < 1e7f ? most : 0.0f));
    count = count > OVAL_POINTS_MAX ? OVAL_POINTS_MAX : count;
    for (size_t i = 0; i < count; i++) {
        float angle = 6.2831853f * (float)i / (float)count * (reverse ? -1.0f : 1.0f);
        to[i] = (struct draw_point){center.x + rx * cosf(angle), center.y + ry * sinf(angle)};
    }
    return count;
}

static void add_oval(struct drawer *d, struct draw_point center, float rx, float ry, bool reverse)
{
    struct draw_point points[OVAL_POINTS_MAX];
    if (rx > 0.0f && ry > 0.0f) {
        size_t count = oval_points(points, center, rx, ry, reverse);
        draw_add(d, points, count);
    }
}

void draw_add_line(struct drawer *d, struct draw_point a, struct draw_point b, float width,
                   bool round)
{
    float dx = b.x - a.x, dy = b.y - a.y, length = sqrtf(dx * dx + dy * dy);
    if (round) {
        add_oval(d, a, width / 2.0f, width / 2.0f, false);
        add_oval(d, b, width / 2.0f, width / 2.0f, false);
    }
    if (!(length > 0.0f)) {
        return;
    }
    // Goes round the same way as the ovals do: from b's left to its right, then a's.
    float nx = -dy / length * width / 2.0f, ny = dx / length * width / 2.0f;
    struct draw_point quad[4] = {
        {a.x - nx, a.y - ny}, {b.x - nx, b.y - ny}, {b.x + nx, b.y + ny}, {a.x + nx, a.y + ny}};
    draw_add(d, quad, 4);
}

void draw_line(struct drawer *d, struct draw_point a, struct draw_point b, float width,
               struct image_rgba color)
{
    draw_add_line(d, a, b, width, false);
    draw_fill(d, color);
}

void draw_strip(struct drawer *d, const struct draw_point *points, size_t count, float width,
                struct image_rgba color)
{
    for (size_t i = 0; i + 1 < count; i++) {
        draw_add_line(d, points[i], points[i + 1], width, width > 1.5f);
    }
    draw_fill(d, color);
}

void draw_polygon(struct drawer *d, const struct draw_point *points, size_t count,
                  struct image_rgba color)
{
    draw_add(d, points, count);
    draw_fill(d, color);
}

static void add_box(struct drawer *d, float x0, float y0, float x1, float y1, bool reverse)
{
    if (x0 < x1 && y0 < y1) {
        struct draw_point box[4] = {{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}};
        struct draw_point turned[4] = {{x0, y0}, {x0, y1}, {x1, y1}, {x1, y0}};
        draw_add(d, reverse ? turned : box, 4);
    }
}

void draw_rectangle(struct drawer *d, struct draw_point a, struct draw_point b, float width,
                    struct image_rgba color)
{
    float x0 = a.x < b.x ? a.x : b.x, x1 = a.x < b.x ? b.x : a.x;
    float y0 = a.y < b.y ? a.y : b.y, y1 = a.y < b.y ? b.y : a.y;
    float half = width / 2.0f;
    add_box(d, x0 - half, y0 - half, x1 + half, y1 + half, false);
    if (width > 0.0f) {
        add_box(d, x0 + half, y0 + half, x1 - half, y1 - half, true);
    }
    draw_fill(d, color);
}

void draw_oval(struct drawer *d, struct draw_point center, float radius_x, float radius_y,
               float width, struct image_rgba color)
{
    float half = width / 2.0f;
    add_oval(d, center, radius_x + half, radius_y + half, false);
    if (width > 0.0f) {
        add_oval(d, center, radius_x - half, radius_y - half, true);
    }
    draw_fill(d, color);
}

void draw_cross(struct drawer *d, struct draw_point center, float size_x, float size_y, float width,
                struct image_rgba color)
{
    float x = size_x / 2.0f, y = size_y / 2.0f;
    draw_add_line(d, (struct draw_point){center.x - x, center.y},
                  (struct draw_point){center.x + x, center.y}, width, false);
    draw_add_line(d, (struct draw_point){center.x, center.y - y},
                  (struct draw_point){center.x, center.y + y}, width, false);
    draw_fill(d, color);
}

void draw_dot(struct drawer *d, struct draw_point center, float diameter, struct image_rgba color)
{
    if (diameter <= 2.0f) {
        float half = diameter / 2.0f;
        add_box(d, center.x - half, center.y - half, center.x + half, center.y + half, false);
    } else {
        add_oval(d, center, diameter / 2.0f, diameter / 2.0f, false);
    }
    draw_fill(d, color);
}
