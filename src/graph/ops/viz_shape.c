// SPDX-License-Identifier: Apache-2.0
// Layers of points, lines, boxes and texts. A tensor holds coordinates, [..., number, components], of 0 to 1 within the view; shapes
// outside of the canvas are clipped. As Holoscan draws them: a cross' size is a part of the height, both ways; an oval's sizes are its
// axes; a text's size is its height; missing sizes are 0.05.
#include "base/status.h"
#include "graph/ops/viz.h"
#include "image/text.h"

#define DEFAULT_SIZE 0.05f
#define STRIP_MAX 1024 // points of a strip that are drawn as one shape

// What coordinates a type has: components of each, and coordinates for one shape.
struct kind {
    uint32_t least, most, per_shape;
    const char *wanted;
};
static const struct kind kinds[] = {
    [VIZ_POINTS] = {2, 2, 1, "two numbers a point"},
    [VIZ_LINES] = {2, 2, 2, "two numbers an end of a line"},
    [VIZ_LINE_STRIP] = {2, 2, 1, "two numbers a point"},
    [VIZ_TRIANGLES] = {2, 2, 3, "two numbers a corner"},
    [VIZ_CROSSES] = {2, 3, 1, "two or three numbers a cross"},
    [VIZ_RECTANGLES] = {2, 2, 2, "two numbers a corner"},
    [VIZ_OVALS] = {2, 4, 1, "two, three or four numbers an oval"},
    [VIZ_TEXT] = {2, 3, 1, "two or three numbers a text"},
};

// One layer's coordinates on one view.
struct shapes {
    struct viz_scene *scene;
    const struct viz_spec *spec;
    const struct nrd_tensor *tensor;
    uint32_t components;
    size_t count;                 // of coordinates
    float x, y, scale_x, scale_y; // of the view, in pixels
    struct image_rgba color;
};

static float number(const struct shapes *s, size_t at, uint32_t component, float fallback)
{
    if (component >= s->components) {
        return fallback;
    }
    size_t i = at * s->components + component;
    return s->tensor->dtype == NRD_DTYPE_F64 ? (float)((const double *)s->tensor->data)[i]
                                             : ((const float *)s->tensor->data)[i];
}

static struct draw_point point(const struct shapes *s, size_t at)
{
    return (struct draw_point){s->x + number(s, at, 0, 0.0f) * s->scale_x,
                               s->y + number(s, at, 1, 0.0f) * s->scale_y};
}

static void draw_label(const struct shapes *s, size_t index, float x, float y, float size)
{
    const struct viz_spec *spec = s->spec;
    size_t at = index < spec->texts.count ? index : spec->texts.count - 1;
    const char *text = spec->texts.names[at];
    if (spec->background.a > 0 && text[0] != '\0') {
        float end = x + text_width(text, size);
        draw_rectangle(s->scene->drawer, (struct draw_point){x, y},
                       (struct draw_point){end, y + size}, 0.0f,
                       viz_color(spec->background, spec->opacity));
    }
    draw_text(s->scene->drawer, text, x, y, size, 1.0f, s->color);
}

// In pieces that share a point, so that any length is drawn; within a piece a transparent colour is laid on once.
static void draw_strip_pieces(const struct shapes *s)
{
    struct draw_point points[STRIP_MAX];
    for (size_t begin = 0; begin + 1 < s->count; begin += STRIP_MAX - 1) {
        size_t count = s->count - begin < STRIP_MAX ? s->count - begin : STRIP_MAX;
        for (size_t i = 0; i < count; i++) {
            points[i] = point(s, begin + i);
        }
        draw_strip(s->scene->drawer, points, count, s->spec->line_width, s->color);
    }
}

static void draw_shape(const struct shapes *s, size_t shape)
{
    struct drawer *d = s->scene->drawer;
    float width = s->spec->line_width;
    switch (s->spec->shown_as) {
    case VIZ_POINTS:
        draw_dot(d, point(s, shape), s->spec->point_size, s->color);
        break;
    case VIZ_LINES:
        draw_line(d, point(s, 2 * shape), point(s, 2 * shape + 1), width, s->color);
        break;
    case VIZ_TRIANGLES: {
        struct draw_point corners[3] = {point(s, 3 * shape), point(s, 3 * shape + 1),
                                        point(s, 3 * shape + 2)};
        draw_polygon(d, corners, 3, s->color);
        break;
    }
    case VIZ_CROSSES: {
        float size = number(s, shape, 2, DEFAULT_SIZE) * s->scale_y;
        draw_cross(d, point(s, shape), size, size, width, s->color);
        break;
    }
    case VIZ_RECTANGLES: {
        struct draw_point a = point(s, 2 * shape), b = point(s, 2 * shape + 1);
        if (a.x == b.x && a.y == b.y) {
            break; // an empty box: nothing was found
        }
        draw_rectangle(d, a, b, width, s->color);
        if (s->spec->texts.count > 0) {
            float size = DEFAULT_SIZE * s->scale_y * 0.6f;
            draw_label(s, shape, a.x < b.x ? a.x : b.x, (a.y < b.y ? a.y : b.y) - size * 1.1f,
                       size);
        }
        break;
    }
    case VIZ_OVALS:
        draw_oval(d, point(s, shape), number(s, shape, 2, DEFAULT_SIZE) * s->scale_x / 2.0f,
                  number(s, shape, 3, DEFAULT_SIZE) * s->scale_y / 2.0f, width, s->color);
        break;
    case VIZ_TEXT: {
        struct draw_point at = point(s, shape);
        draw_label(s, shape, at.x, at.y, number(s, shape, 2, DEFAULT_SIZE) * s->scale_y);
        break;
    }
    case VIZ_UNKNOWN:
    case VIZ_COLOR:
    case VIZ_COLOR_LUT:
    case VIZ_LINE_STRIP:
    case VIZ_DEPTH_MAP:
    case VIZ_SEGMENTATION:
    case VIZ_CLASSIFICATION:
    case VIZ_HIDDEN:
        break;
    }
}

struct nrd_status *viz_draw_shapes(struct viz_scene *scene, struct viz_spec *spec,
                                   const struct nrd_tensor *t)
{
    const struct kind *kind = &kinds[spec->shown_as];
    uint32_t components = t->rank == 0 ? 0 : (uint32_t)t->dims[t->rank - 1];
    char shape[PIXELS_SHAPE_MAX];
    if ((t->dtype != NRD_DTYPE_F32 && t->dtype != NRD_DTYPE_F64) || components < kind->least ||
        components > kind->most) {
        return status_new(NRD_INVALID_ARG,
                          "tensor '%s' of %s %s cannot be shown as %s: FP32 or FP64 with %s",
                          spec->name, nrd_dtype_name(t->dtype), pixels_shape(t, shape),
                          viz_type_name(spec->shown_as), kind->wanted);
    }
    if (spec->shown_as == VIZ_TEXT && spec->texts.count == 0) {
        return status_new(NRD_INVALID_ARG, "tensor '%s': no text has been specified", spec->name);
    }
    struct shapes s = {.scene = scene, .spec = spec, .tensor = t, .components = components};
    s.count = (size_t)nrd_tensor_elements(t) / components;
    s.color = viz_color(spec->color, spec->opacity);
    for (size_t v = 0; v < spec->view_count; v++) {
        const struct viz_view *view = &spec->views[v];
        s.x = view->x * (float)scene->canvas.width;
        s.y = view->y * (float)scene->canvas.height;
        s.scale_x = view->width * (float)scene->canvas.width;
        s.scale_y = view->height * (float)scene->canvas.height;
        if (spec->shown_as == VIZ_LINE_STRIP) {
            draw_strip_pieces(&s);
            continue;
        }
        for (size_t i = 0; i < s.count / kind->per_shape; i++) {
            draw_shape(&s, i);
        }
    }
    return NULL;
}
