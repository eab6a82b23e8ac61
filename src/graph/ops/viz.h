// SPDX-License-Identifier: Apache-2.0
// Viz: what HolovizOp's files share: what a tensor is to be shown as, and showing it.
//
//   holoviz.c    the operator: ports, parameters, one frame, where it goes
//   viz_spec.c   `tensors:` and `color_lut:` read into specs
//   viz_layer.c  pictures, class maps, what networks say
//   viz_shape.c  points, lines, boxes, text ...
//   viz_window.c a window, by X11
#ifndef NEREID_GRAPH_OPS_VIZ_H
#define NEREID_GRAPH_OPS_VIZ_H

#include "base/str.h"
#include "graph/ops/labels.h"
#include "graph/ops/pixels.h"
#include "graph/ops/results.h"
#include "image/colormap.h"
#include "image/draw.h"

enum viz_type {
    VIZ_UNKNOWN, // told from the tensor when it is first seen
    VIZ_COLOR,
    VIZ_COLOR_LUT,
    VIZ_POINTS,
    VIZ_LINES,
    VIZ_LINE_STRIP,
    VIZ_TRIANGLES,
    VIZ_CROSSES,
    VIZ_RECTANGLES,
    VIZ_OVALS,
    VIZ_TEXT,
    VIZ_DEPTH_MAP,
    VIZ_SEGMENTATION,   // ours: scores for each pixel
    VIZ_CLASSIFICATION, // ours: a score for each class
    VIZ_HIDDEN,         // ours: nothing is drawn
};
const char *viz_type_name(enum viz_type type);

// Where on the canvas a layer goes, in parts of it.
struct viz_view {
    float x, y, width, height;
};
#define VIZ_VIEWS_MAX 16

struct viz_lut {
    struct image_rgba *colors; // owned
    uint32_t count;
};

struct viz_spec {
    char *name;                   // owned
    enum viz_type type, shown_as; // as given; as it is shown (VIZ_UNKNOWN until seen)
    float opacity;
    int64_t priority;
    struct image_rgba color, background;
    float line_width, point_size;
    bool bgr;             // image_format says so
    struct labels texts;  // `text`
    struct labels labels; // names of classes
    struct viz_lut lut;
    enum image_colormap colormap;
    uint32_t top; // classification: how many classes
    struct viz_view views[VIZ_VIEWS_MAX];
    size_t view_count;
    struct image_resizer *resizer; // of the last picture's size
    uint8_t *map;                  // of the last segmentation
    size_t map_size;
    struct str said; // what a classification said last
};
struct viz_specs {
    struct viz_spec *items; // owned; sorted by priority, equal ones in their order
    size_t count, capacity;
};

// Reads `tensors:` (a list of maps) and adds them. Errors name file, position and key. Allocates. Thread: owner.
NRD_MUST_USE struct nrd_status *viz_specs_read(struct viz_specs *specs,
                                               const struct nrd_value *list,
                                               const struct nrd_value *labels);
// Adds a spec of unknown type for a tensor that none was given for.
NRD_MUST_USE struct nrd_status *viz_specs_add(struct viz_specs *specs, const char *name,
                                              const struct nrd_value *labels);
struct viz_spec *viz_specs_find(struct viz_specs *specs, const char *name); // NULL: none
void viz_specs_fini(struct viz_specs *specs);
// `color_lut:`, a list of [r, g, b, a] of 0 to 1.
NRD_MUST_USE struct nrd_status *viz_lut_read(const struct nrd_value *list, struct viz_lut *lut);

// [r, g, b, a] of 0 to 1; missing ones are 1.
NRD_MUST_USE struct nrd_status *viz_color_read(const struct nrd_value *list,
                                               struct image_rgba *color);

// One frame that is being drawn.
struct viz_scene {
    struct nrd_compute *ctx;
    struct image canvas;
    struct drawer *drawer;
    const struct viz_lut *lut; // the operator's
    bool keep_aspect;
    float panel_y; // where the next classification's text goes, in parts of the height
};
// Draws one tensor of the host by its spec, which learns what it is when it is unknown. Errors name the tensor. Thread: the operator's.
NRD_MUST_USE struct nrd_status *viz_draw(struct viz_scene *scene, struct viz_spec *spec,
                                         const struct nrd_tensor *tensor);
// In viz_layer.c and viz_shape.c, for viz_draw().
NRD_MUST_USE struct nrd_status *viz_draw_layer(struct viz_scene *scene, struct viz_spec *spec,
                                               const struct nrd_tensor *tensor);
NRD_MUST_USE struct nrd_status *viz_draw_shapes(struct viz_scene *scene, struct viz_spec *spec,
                                                const struct nrd_tensor *tensor);
// A colour with its alpha times the layer's opacity.
struct image_rgba viz_color(struct image_rgba color, float opacity);

// ---- the window -----------------------------------------------------------------------------------------------------

struct viz_window;
// Opens a window on the display that DISPLAY names. NRD_UNAVAILABLE: no display, or no libX11. Returns owned.
NRD_MUST_USE struct nrd_status *viz_window_open(const char *title, uint32_t width, uint32_t height,
                                                bool fullscreen, struct viz_window **window);
// Shows an RGBA picture of the window's size. False: the user has closed the window. Thread: the one that opened it, or one at a time.
bool viz_window_show(struct viz_window *window, const struct image *picture);
void viz_window_close(struct viz_window *window); // NULL is fine

#endif
