// SPDX-License-Identifier: Apache-2.0
// Layers that cover an area: pictures, maps of class numbers, depths, what networks say. A picture is brought to its view's size in its own
// type, then to bytes, then laid over the canvas; each step is left out where nothing changes.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "graph/ops/viz.h"
#include "image/text.h"

#define PANEL_X 0.02f // where classifications are written, and how large, in parts of the canvas
#define PANEL_SIZE 0.05f
#define CLASS_ALPHA 150 // of a class' colour where no table says otherwise

struct image_rgba viz_color(struct image_rgba color, float opacity)
{
    float a = (float)color.a * (opacity > 0.0f ? (opacity < 1.0f ? opacity : 1.0f) : 0.0f);
    color.a = (uint8_t)(a + 0.5f);
    return color;
}

// ---- what a tensor is -----------------------------------------------------------------------------------------------

static struct nrd_status *refuse(const struct viz_spec *spec, const struct nrd_tensor *t,
                                 const char *wanted)
{
    char shape[PIXELS_SHAPE_MAX];
    return status_new(NRD_INVALID_ARG, "tensor '%s' of %s %s cannot be shown as %s: %s", spec->name,
                      nrd_dtype_name(t->dtype), pixels_shape(t, shape),
                      viz_type_name(spec->shown_as), wanted);
}

// Holoscan's rules first (a table and one component; two floats; a picture), then what networks answer.
static struct nrd_status *detect(const struct viz_scene *scene, struct viz_spec *spec,
                                 const struct nrd_tensor *t)
{
    bool has_lut = scene->lut->count > 0 || spec->lut.count > 0;
    uint32_t rank = t->rank;
    bool one = rank == 2 || (rank == 3 && t->dims[2] == 1);
    bool integers = t->dtype == NRD_DTYPE_U8 || t->dtype == NRD_DTYPE_U16 ||
                    t->dtype == NRD_DTYPE_U32 || t->dtype == NRD_DTYPE_I32;
    enum result_kind kind = result_guess(t);
    struct image image;
    if (spec->texts.count > 0) {
        spec->shown_as = VIZ_TEXT;
    } else if (one && integers && rank >= 2 && t->dims[0] > 1 && has_lut) {
        spec->shown_as = VIZ_COLOR_LUT;
    } else if (kind == RESULT_SEGMENTATION && t->dtype == NRD_DTYPE_F32) {
        spec->shown_as = VIZ_SEGMENTATION;
    } else if (kind == RESULT_CLASSIFICATION || kind == RESULT_TEXT) {
        spec->shown_as = VIZ_CLASSIFICATION;
    } else if (t->dtype == NRD_DTYPE_F32 && rank >= 2 && t->dims[rank - 1] == 2) {
        spec->shown_as = VIZ_CROSSES;
    } else {
        struct nrd_status *status = pixels_of_tensor(t, spec->name, &image);
        bool picture =
            status == NULL && image.channels != 2 && image.width >= 8 && image.height >= 8;
        status_free(status);
        if (!picture && kind == RESULT_FEATURES) {
            spec->shown_as = VIZ_HIDDEN;
        } else if (!picture) {
            return refuse(spec, t, "give its type in `tensors`");
        } else {
            spec->shown_as = VIZ_COLOR;
        }
    }
    nrd_operator_log(nrd_compute_operator(scene->ctx), NRD_LOG_INFO, "tensor '%s' is shown as %s",
                     spec->name, viz_type_name(spec->shown_as));
    return NULL;
}

struct nrd_status *viz_draw(struct viz_scene *scene, struct viz_spec *spec,
                            const struct nrd_tensor *tensor)
{
    if (spec->shown_as == VIZ_UNKNOWN) {
        spec->shown_as = spec->type;
        if (spec->type == VIZ_UNKNOWN) {
            NRD_TRY(detect(scene, spec, tensor));
        }
    }
    switch (spec->shown_as) {
    case VIZ_COLOR:
    case VIZ_COLOR_LUT:
    case VIZ_DEPTH_MAP:
    case VIZ_SEGMENTATION:
    case VIZ_CLASSIFICATION:
        return viz_draw_layer(scene, spec, tensor);
    case VIZ_POINTS:
    case VIZ_LINES:
    case VIZ_LINE_STRIP:
    case VIZ_TRIANGLES:
    case VIZ_CROSSES:
    case VIZ_RECTANGLES:
    case VIZ_OVALS:
    case VIZ_TEXT:
        return viz_draw_shapes(scene, spec, tensor);
    case VIZ_UNKNOWN:
    case VIZ_HIDDEN:
        break;
    }
    return NULL;
}

// ---- pictures -------------------------------------------------------------------------------------------------------

// The canvas' pixels of a view; false when it has none.
static bool part_of_canvas(const struct viz_scene *scene, const struct viz_view *view,
                           struct image *part)
{
    float w = (float)scene->canvas.width, h = (float)scene->canvas.height;
    float x0 = roundf(view->x * w), y0 = roundf(view->y * h);
    float x1 = roundf((view->x + view->width) * w), y1 = roundf((view->y + view->height) * h);
    x0 = x0 > 0.0f ? x0 : 0.0f;
    y0 = y0 > 0.0f ? y0 : 0.0f;
    x1 = x1 < w ? x1 : w;
    y1 = y1 < h ? y1 : h;
    if (!(x1 > x0 && y1 > y0)) {
        return false;
    }
    *part = image_part(&scene->canvas, (uint32_t)x0, (uint32_t)y0, (uint32_t)(x1 - x0),
                       (uint32_t)(y1 - y0));
    return true;
}

// What a step of a picture's way needs in memory, from the fragment's allocator, which keeps it.
static struct nrd_status *scratch(const struct viz_scene *scene, const struct image *like,
                                  enum nrd_dtype dtype, struct nrd_tensor **tensor,
                                  struct image *image)
{
    const int64_t dims[3] = {like->height, like->width, like->channels};
    NRD_TRY(nrd_allocate(nrd_compute_operator(scene->ctx), NULL, dtype, dims, 3, NRD_MEMORY_CPU, 0,
                         tensor));
    *image = image_of((*tensor)->data, like->width, like->height, like->channels, dtype);
    return NULL;
}

// Pictures that get much smaller are averaged, others are interpolated.
static struct nrd_status *resize(const struct viz_scene *scene, struct viz_spec *spec,
                                 const struct image *from, uint32_t width, uint32_t height,
                                 struct nrd_tensor **tensor, struct image *to)
{
    struct image wanted = *from;
    wanted.width = width;
    wanted.height = height;
    bool smaller = from->width >= 2 * width || from->height >= 2 * height;
    struct image_resize_options options = {
        .from_width = from->width,
        .from_height = from->height,
        .to_width = width,
        .to_height = height,
        .channels = from->channels,
        .dtype = from->dtype,
        .mode = smaller ? IMAGE_RESIZE_AREA : IMAGE_RESIZE_LINEAR,
    };
    struct pixel_run run = {.ctx = scene->ctx};
    NRD_TRY(scratch(scene, &wanted, from->dtype, tensor, to));
    return pixel_host.resize(&run, &spec->resizer, &options, from, to);
}

static struct nrd_status *blend_picture(const struct viz_scene *scene, struct viz_spec *spec,
                                        struct image picture, const struct image *part)
{
    struct nrd_tensor *resized = NULL, *bytes = NULL;
    struct image to = *part;
    struct nrd_status *status = NULL;
    if (scene->keep_aspect) {
        struct image_rect r = image_fit(picture.width, picture.height, part->width, part->height);
        to = image_part(part, r.x, r.y, r.width, r.height);
    }
    if (picture.width != to.width || picture.height != to.height) {
        struct image from = picture;
        status = resize(scene, spec, &from, to.width, to.height, &resized, &picture);
    }
    if (status == NULL && (picture.dtype != NRD_DTYPE_U8 || spec->bgr)) {
        struct image from = picture;
        struct image_conversion how = image_conversion_default(from.channels, from.channels);
        if (spec->bgr && from.channels >= 3) {
            how.order[0] = 2;
            how.order[2] = 0;
        }
        status = scratch(scene, &from, NRD_DTYPE_U8, &bytes, &picture);
        if (status == NULL) {
            image_convert(&from, &picture, &how);
        }
    }
    if (status == NULL) {
        image_blend(&to, &picture, spec->opacity);
    }
    nrd_tensor_unref(resized);
    nrd_tensor_unref(bytes);
    return status;
}

static struct nrd_status *draw_color(const struct viz_scene *scene, struct viz_spec *spec,
                                     const struct nrd_tensor *t)
{
    struct image picture;
    NRD_TRY(pixels_of_tensor(t, spec->name, &picture));
    if (picture.channels == 2 || picture.width == 0 || picture.height == 0) {
        return refuse(spec, t, "1, 3 or 4 channels");
    }
    for (size_t i = 0; i < spec->view_count; i++) {
        struct image part;
        if (part_of_canvas(scene, &spec->views[i], &part)) {
            NRD_TRY(blend_picture(scene, spec, picture, &part));
        }
    }
    return NULL;
}

// ---- maps -----------------------------------------------------------------------------------------------------------

static void blend_map(const struct viz_scene *scene, const struct viz_spec *spec,
                      const struct image *map, const struct viz_lut *lut)
{
    for (size_t i = 0; i < spec->view_count; i++) {
        struct image part;
        if (part_of_canvas(scene, &spec->views[i], &part)) {
            if (scene->keep_aspect && map->width > 0 && map->height > 0) {
                struct image_rect r = image_fit(map->width, map->height, part.width, part.height);
                part = image_part(&part, r.x, r.y, r.width, r.height);
            }
            image_blend_lut(&part, map, lut->colors, lut->count, spec->opacity);
        }
    }
}

static struct nrd_status *draw_lut(const struct viz_scene *scene, struct viz_spec *spec,
                                   const struct nrd_tensor *t)
{
    const struct viz_lut *lut = spec->lut.count > 0 ? &spec->lut : scene->lut;
    const int64_t *dims = t->dims;
    uint32_t rank = t->rank;
    if (rank == 4 && dims[0] == 1) {
        dims++;
        rank--;
    }
    bool ok = (rank == 2 || (rank == 3 && dims[2] == 1)) && dims[0] <= 65536 && dims[1] <= 65536;
    if (lut->count == 0) {
        return refuse(spec, t, "there is no color_lut");
    }
    if (!ok || (t->dtype != NRD_DTYPE_U8 && t->dtype != NRD_DTYPE_U16 &&
                t->dtype != NRD_DTYPE_U32 && t->dtype != NRD_DTYPE_I32)) {
        return refuse(spec, t, "one channel of 8, 16 or 32 bit numbers");
    }
    struct image map = image_of(t->data, (uint32_t)dims[1], (uint32_t)dims[0], 1, t->dtype);
    blend_map(scene, spec, &map, lut);
    return NULL;
}

// Class 0 is the background, which is left free.
static struct nrd_status *make_class_colors(struct viz_spec *spec)
{
    struct image_rgba *colors = mem_calloc(256, sizeof(*colors));
    if (colors == NULL) {
        return status_no_memory();
    }
    for (uint32_t i = 1; i < 256; i++) {
        colors[i] = image_class_color(i);
        colors[i].a = CLASS_ALPHA;
    }
    spec->lut = (struct viz_lut){colors, 256};
    return NULL;
}

static struct nrd_status *draw_segmentation(const struct viz_scene *scene, struct viz_spec *spec,
                                            const struct nrd_tensor *t)
{
    if (!result_fits(t, RESULT_SEGMENTATION)) {
        return refuse(spec, t, "scores for each pixel, or a map of class numbers");
    }
    size_t size = result_map_size(t, RESULT_SEGMENTATION);
    if (size > spec->map_size) {
        uint8_t *map = mem_realloc(spec->map, size);
        if (map == NULL) {
            return status_no_memory();
        }
        spec->map = map;
        spec->map_size = size;
    }
    if (spec->lut.count == 0 && scene->lut->count == 0) {
        NRD_TRY(make_class_colors(spec));
    }
    struct image_scores s;
    const uint8_t *given;
    struct result result;
    result_scores(t, 0, &s, &given);
    result_read(t, RESULT_SEGMENTATION, 0, RESULT_TOP_MAX, spec->map, &result);
    struct image map = image_of(spec->map, s.width, s.height, 1, NRD_DTYPE_U8);
    blend_map(scene, spec, &map, spec->lut.count > 0 ? &spec->lut : scene->lut);
    str_clear(&spec->said);
    for (uint32_t i = 0; i < result.count; i++) {
        char number[LABEL_TEXT_MAX];
        str_printf(&spec->said, "%s%s %.1f %%", i == 0 ? "" : ", ",
                   labels_name(&spec->labels, result.top[i].index, number),
                   (double)result.top[i].score * 100.0);
    }
    return NULL;
}

// Depths, nearer ones brighter on the scale of the map itself.
static struct nrd_status *draw_depth(const struct viz_scene *scene, struct viz_spec *spec,
                                     const struct nrd_tensor *t)
{
    struct image from, to;
    NRD_TRY(pixels_of_tensor(t, spec->name, &from));
    if (from.channels != 1 || from.dtype == NRD_DTYPE_U16) {
        return refuse(spec, t, "one channel of UINT8 or FP32");
    }
    size_t count = (size_t)from.width * from.height;
    float least = 0.0f, most = 255.0f;
    const float *v = from.data;
    for (size_t i = 0; from.dtype == NRD_DTYPE_F32 && i < count; i++) {
        least = i == 0 || v[i] < least ? v[i] : least;
        most = i == 0 || v[i] > most ? v[i] : most;
    }
    struct image_rgba colors[256];
    for (uint32_t i = 0; i < 256; i++) {
        colors[i] = image_colormap_at(spec->colormap, (float)i / 255.0f);
    }
    struct viz_lut lut = {colors, 256};
    if (from.dtype == NRD_DTYPE_U8) {
        blend_map(scene, spec, &from, &lut);
        return NULL;
    }
    struct nrd_tensor *bytes = NULL;
    NRD_TRY(scratch(scene, &from, NRD_DTYPE_U8, &bytes, &to));
    struct image_conversion how = image_conversion_default(1, 1);
    how.scale_min = least;
    how.scale_max = most > least ? most : least + 1.0f;
    image_convert(&from, &to, &how);
    blend_map(scene, spec, &to, &lut);
    nrd_tensor_unref(bytes);
    return NULL;
}

// ---- classifications ------------------------------------------------------------------------------------------------

// "hex_nut 99.8 %", or, without `best`, a BYTES tensor's first text. Into `said`.
static void say_class(struct viz_spec *spec, const struct nrd_tensor *t,
                      const struct result_class *best)
{
    char number[LABEL_TEXT_MAX];
    str_clear(&spec->said);
    if (best == NULL) {
        uint32_t length = 0;
        if (t->byte_size >= 4) {
            memcpy(&length, t->data, sizeof(length));
            length = length > t->byte_size - 4 ? (uint32_t)(t->byte_size - 4) : length;
            str_append(&spec->said, (const char *)t->data + 4, length);
        }
        return;
    }
    str_append_cstr(&spec->said, labels_name(&spec->labels, best->index, number));
    if (best->score >= 0.0f && best->score <= 1.0f) {
        str_printf(&spec->said, " %.1f %%", (double)best->score * 100.0);
    } else {
        str_printf(&spec->said, " %.3g", (double)best->score);
    }
}

// One line of the panel, on a dark ground unless another was given.
static void draw_line_of_panel(struct viz_scene *scene, const struct viz_spec *spec,
                               float size_part)
{
    float width = (float)scene->canvas.width, height = (float)scene->canvas.height;
    float size = size_part * height, x = PANEL_X * width, y = scene->panel_y * height;
    const char *text = str_cstr(&spec->said);
    struct image_rgba ground =
        spec->background.a > 0 ? spec->background : (struct image_rgba){0, 0, 0, 140};
    draw_rectangle(scene->drawer, (struct draw_point){x - size * 0.2f, y - size * 0.1f},
                   (struct draw_point){x + text_width(text, size) + size * 0.2f, y + size * 1.05f},
                   0.0f, viz_color(ground, spec->opacity));
    draw_text(scene->drawer, text, x, y, size, 1.0f, viz_color(spec->color, spec->opacity));
    scene->panel_y += size_part * 1.2f;
}

static struct nrd_status *draw_classification(struct viz_scene *scene, struct viz_spec *spec,
                                              const struct nrd_tensor *t)
{
    if (t->dtype == NRD_DTYPE_BYTES) {
        say_class(spec, t, NULL);
        draw_line_of_panel(scene, spec, PANEL_SIZE);
        return NULL;
    }
    if (!result_fits(t, RESULT_CLASSIFICATION)) {
        return refuse(spec, t, "a score for each class");
    }
    struct result result;
    result_read(t, RESULT_CLASSIFICATION, 0, spec->top, NULL, &result);
    for (uint32_t i = result.count; i-- > 0;) { // the best is said last, so that `said` keeps it
        say_class(spec, t, &result.top[result.count - 1 - i]);
        draw_line_of_panel(scene, spec, i + 1 == result.count ? PANEL_SIZE : PANEL_SIZE * 0.7f);
    }
    if (result.count > 1) {
        say_class(spec, t, &result.top[0]);
    }
    return NULL;
}

struct nrd_status *viz_draw_layer(struct viz_scene *scene, struct viz_spec *spec,
                                  const struct nrd_tensor *tensor)
{
    switch (spec->shown_as) {
    case VIZ_COLOR:
        return draw_color(scene, spec, tensor);
    case VIZ_COLOR_LUT:
        return draw_lut(scene, spec, tensor);
    case VIZ_DEPTH_MAP:
        return draw_depth(scene, spec, tensor);
    case VIZ_SEGMENTATION:
        return draw_segmentation(scene, spec, tensor);
    case VIZ_CLASSIFICATION:
        return draw_classification(scene, spec, tensor);
    case VIZ_UNKNOWN:
    case VIZ_POINTS:
    case VIZ_LINES:
    case VIZ_LINE_STRIP:
    case VIZ_TRIANGLES:
    case VIZ_CROSSES:
    case VIZ_RECTANGLES:
    case VIZ_OVALS:
    case VIZ_TEXT:
    case VIZ_HIDDEN:
        break;
    }
    return NULL;
}
