// SPDX-License-Identifier: Apache-2.0
// Draw: lines and shapes with smooth edges on a canvas (image/blend.h), in pixels.
//
// A shape is one or more closed outlines; a pixel gets the colour by the part of its area that lies inside (parts of one shape that
// overlap count once, where they go round the same way). Coordinates are pixels: (0, 0) is the corner of the canvas, pixel (x, y) has
// its centre at (x + 0.5, y + 0.5). What lies outside of the canvas is clipped; not-a-number coordinates draw nothing.
// A drawer keeps its list of edges, so in steady state it allocates nothing; when memory is out a shape is left out.
#ifndef NEREID_IMAGE_DRAW_H
#define NEREID_IMAGE_DRAW_H

#include "image/blend.h"

struct draw_edge;
struct drawer {
    struct image canvas; // borrowed
    struct draw_edge *edges;
    size_t count, capacity;
    float *row; // one coverage sum a pixel of a row, and one more
    uint32_t row_size;
};
struct draw_point {
    float x, y;
};

// Zero a struct drawer before the first use. `canvas` is RGBA; may be set anew for each frame. False: no memory. Thread: owner.
bool drawer_begin(struct drawer *d, const struct image *canvas) __attribute__((warn_unused_result));
void drawer_fini(struct drawer *d);

// A shape in parts: add outlines, then fill. Points of an outline are joined in order, the last with the first.
void draw_add(struct drawer *d, const struct draw_point *points, size_t count);
// A stroke from a to b: a rectangle of that width; with `round` ends half a circle more on both.
void draw_add_line(struct drawer *d, struct draw_point a, struct draw_point b, float width,
                   bool round);
void draw_fill(struct drawer *d, struct image_rgba color);

// Whole shapes.
void draw_line(struct drawer *d, struct draw_point a, struct draw_point b, float width,
               struct image_rgba color);
void draw_strip(struct drawer *d, const struct draw_point *points, size_t count, float width,
                struct image_rgba color);
void draw_polygon(struct drawer *d, const struct draw_point *points, size_t count,
                  struct image_rgba color);
// An outline of that width, inside and outside of the rectangle's edge by halves; `width` 0: filled.
void draw_rectangle(struct drawer *d, struct draw_point a, struct draw_point b, float width,
                    struct image_rgba color);
// Centre and radii; `width` 0: filled, else an outline.
void draw_oval(struct drawer *d, struct draw_point center, float radius_x, float radius_y,
               float width, struct image_rgba color);
// Two lines of length `size_x` and `size_y` through the centre.
void draw_cross(struct drawer *d, struct draw_point center, float size_x, float size_y, float width,
                struct image_rgba color);
// A filled circle of that diameter.
void draw_dot(struct drawer *d, struct draw_point center, float diameter, struct image_rgba color);

#endif
