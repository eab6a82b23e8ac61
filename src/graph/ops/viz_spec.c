// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "graph/ops/viz.h"

static const char *const type_names[] = {
    [VIZ_UNKNOWN] = "unknown",
    [VIZ_COLOR] = "color",
    [VIZ_COLOR_LUT] = "color_lut",
    [VIZ_POINTS] = "points",
    [VIZ_LINES] = "lines",
    [VIZ_LINE_STRIP] = "line_strip",
    [VIZ_TRIANGLES] = "triangles",
    [VIZ_CROSSES] = "crosses",
    [VIZ_RECTANGLES] = "rectangles",
    [VIZ_OVALS] = "ovals",
    [VIZ_TEXT] = "text",
    [VIZ_DEPTH_MAP] = "depth_map",
    [VIZ_SEGMENTATION] = "segmentation",
    [VIZ_CLASSIFICATION] = "classification",
    [VIZ_HIDDEN] = "hidden",
};
#define TYPE_COUNT (sizeof(type_names) / sizeof(type_names[0]))
#define LUT_MAX 65536

const char *viz_type_name(enum viz_type type)
{
    return type_names[type];
}

static struct nrd_status *bad(const struct nrd_value *at, const char *format, const char *text)
{
    char where[512] = "";
    if (nrd_value_line(at) > 0) {
        snprintf(where, sizeof(where), "%s:%d:%d: ", nrd_value_file(at), nrd_value_line(at),
                 nrd_value_column(at));
    }
    char what[256];
    snprintf(what, sizeof(what), "%s", text);
    return status_new(NRD_INVALID_ARG, "%stensors: '%s' %s", where, what, format);
}

// ---- values ---------------------------------------------------------------------------------------------------------

static struct nrd_status *read_type(const struct nrd_value *value, enum viz_type *type)
{
    const char *text = nrd_value_text(value);
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        if (strcmp(type_names[i], text) == 0) {
            *type = (enum viz_type)i;
            return NULL;
        }
    }
    static const char *const not_built[] = {"depth_map_color", "points_3d", "lines_3d",
                                            "line_strip_3d", "triangles_3d"};
    for (size_t i = 0; i < sizeof(not_built) / sizeof(not_built[0]); i++) {
        if (strcmp(not_built[i], text) == 0) {
            return bad(value,
                       "is a type that is not built: there is no drawing in three dimensions",
                       text);
        }
    }
    return bad(
        value,
        "is no type: color, color_lut, points, lines, line_strip, triangles, crosses, "
        "rectangles, ovals, text, depth_map, segmentation, classification, hidden or unknown",
        text);
}

struct nrd_status *viz_color_read(const struct nrd_value *value, struct image_rgba *color)
{
    double c[4] = {1.0, 1.0, 1.0, 1.0};
    size_t count = nrd_value_count(value);
    bool ok = nrd_value_kind(value) == NRD_VALUE_LIST && count <= 4;
    for (size_t i = 0; ok && i < count; i++) {
        ok = nrd_value_get_real(nrd_value_at(value, i), &c[i]);
    }
    if (!ok) {
        return bad(value, "is no colour: [r, g, b, a] of 0 to 1", nrd_value_text(value));
    }
    *color = image_rgba_of((float)c[0], (float)c[1], (float)c[2], (float)c[3]);
    return NULL;
}

static struct nrd_status *read_float(const struct nrd_value *value, float *to)
{
    double number;
    if (!nrd_value_get_real(value, &number)) {
        return bad(value, "is no number", nrd_value_text(value));
    }
    *to = (float)number;
    return NULL;
}

static struct nrd_status *read_texts(const struct nrd_value *value, struct labels *texts)
{
    labels_fini(texts);
    if (nrd_value_kind(value) == NRD_VALUE_LIST) {
        return labels_read(value, "", texts);
    }
    struct nrd_value *list = nrd_value_list();
    struct nrd_status *status =
        list == NULL ? status_no_memory() : nrd_value_append(list, nrd_value_copy(value));
    if (status == NULL) {
        status = labels_read(list, "", texts);
    }
    nrd_value_free(list);
    return status;
}

static struct nrd_status *read_image_format(const struct nrd_value *value, bool *bgr)
{
    // By the number of components; the tensor's own type says the rest.
    static const char *const known[] = {
        "auto_detect",        "r8_uint",      "r8_unorm",       "r16_uint",
        "r16_unorm",          "r32_uint",     "r32_sfloat",     "r8g8b8_unorm",
        "r8g8b8a8_unorm",     "b8g8r8_unorm", "b8g8r8a8_unorm", "r16g16b16a16_unorm",
        "r32g32b32a32_sfloat"};
    const char *text = nrd_value_text(value);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i], text) == 0) {
            *bgr = strncmp(text, "b8g8r8", 6) == 0;
            return NULL;
        }
    }
    return bad(value, "is an image_format that is not built (use FormatConverterOp before)", text);
}

static struct nrd_status *read_views(const struct nrd_value *list, struct viz_spec *spec)
{
    size_t count = nrd_value_count(list);
    if (nrd_value_kind(list) != NRD_VALUE_LIST || count > VIZ_VIEWS_MAX) {
        return bad(list, "is no list of at most 16 views", nrd_value_text(list));
    }
    for (size_t i = 0; i < count; i++) {
        const struct nrd_value *item = nrd_value_at(list, i);
        struct viz_view view = {0.0f, 0.0f, 1.0f, 1.0f};
        static const char *const keys[4] = {"offset_x", "offset_y", "width", "height"};
        float *const places[4] = {&view.x, &view.y, &view.width, &view.height};
        if (nrd_value_get(item, "matrix") != NULL) {
            return bad(item, "of a view is not built: no drawing in three dimensions", "matrix");
        }
        for (int k = 0; k < 4; k++) {
            const struct nrd_value *value = nrd_value_get(item, keys[k]);
            if (value != NULL) {
                NRD_TRY(read_float(value, places[k]));
            }
        }
        spec->views[i] = view;
    }
    spec->view_count = count;
    return NULL;
}

struct nrd_status *viz_lut_read(const struct nrd_value *list, struct viz_lut *lut)
{
    size_t count = nrd_value_count(list);
    if (list == NULL || nrd_value_kind(list) == NRD_VALUE_NULL) {
        return NULL;
    }
    if (nrd_value_kind(list) != NRD_VALUE_LIST || count > LUT_MAX) {
        return bad(list, "is no list of at most 65536 colours", "color_lut");
    }
    struct image_rgba *colors = mem_calloc(count + 1, sizeof(*colors));
    if (colors == NULL) {
        return status_no_memory();
    }
    mem_free(lut->colors);
    lut->colors = colors;
    lut->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        NRD_TRY(viz_color_read(nrd_value_at(list, i), &colors[i]));
    }
    return NULL;
}

// ---- specs ----------------------------------------------------------------------------------------------------------

static void spec_fini(struct viz_spec *spec)
{
    mem_free(spec->name);
    labels_fini(&spec->texts);
    labels_fini(&spec->labels);
    mem_free(spec->lut.colors);
    image_resizer_destroy(spec->resizer);
    mem_free(spec->map);
    str_fini(&spec->said);
}

static struct nrd_status *spec_init(struct viz_spec *spec, const char *name,
                                    const struct nrd_value *labels)
{
    *spec = (struct viz_spec){
        .opacity = 1.0f,
        .color = {255, 255, 255, 255},
        .line_width = 1.0f,
        .point_size = 1.0f,
        .colormap = IMAGE_MAP_HEAT,
        .top = 1,
        .views = {{0.0f, 0.0f, 1.0f, 1.0f}},
        .view_count = 1,
        .name = mem_strdup(name),
    };
    return spec->name == NULL ? status_no_memory() : labels_read(labels, name, &spec->labels);
}

static struct nrd_status *read_key(struct viz_spec *spec, const char *key,
                                   const struct nrd_value *value)
{
    int64_t number;
    if (strcmp(key, "name") == 0) {
        return NULL;
    } else if (strcmp(key, "type") == 0) {
        return read_type(value, &spec->type);
    } else if (strcmp(key, "opacity") == 0) {
        return read_float(value, &spec->opacity);
    } else if (strcmp(key, "priority") == 0) {
        return nrd_value_get_int(value, &spec->priority)
                   ? NULL
                   : bad(value, "is no whole number", nrd_value_text(value));
    } else if (strcmp(key, "color") == 0) {
        return viz_color_read(value, &spec->color);
    } else if (strcmp(key, "background") == 0) {
        return viz_color_read(value, &spec->background);
    } else if (strcmp(key, "line_width") == 0) {
        return read_float(value, &spec->line_width);
    } else if (strcmp(key, "point_size") == 0) {
        return read_float(value, &spec->point_size);
    } else if (strcmp(key, "text") == 0) {
        return read_texts(value, &spec->texts);
    } else if (strcmp(key, "image_format") == 0) {
        return read_image_format(value, &spec->bgr);
    } else if (strcmp(key, "views") == 0) {
        return read_views(value, spec);
    } else if (strcmp(key, "color_lut") == 0) {
        return viz_lut_read(value, &spec->lut);
    } else if (strcmp(key, "labels") == 0) {
        labels_fini(&spec->labels);
        return labels_read(value, spec->name, &spec->labels);
    } else if (strcmp(key, "colormap") == 0) {
        return image_colormap_named(slice_of(nrd_value_text(value)), &spec->colormap)
                   ? NULL
                   : bad(value, "is no colormap: gray, heat, sea or spectrum",
                         nrd_value_text(value));
    } else if (strcmp(key, "top") == 0) {
        if (!nrd_value_get_int(value, &number) || number < 1 || number > RESULT_TOP_MAX) {
            return bad(value, "is no number of classes: 1 to 16", nrd_value_text(value));
        }
        spec->top = (uint32_t)number;
        return NULL;
    } else if (strncmp(key, "yuv_", 4) == 0 || strcmp(key, "x_chroma_location") == 0 ||
               strcmp(key, "y_chroma_location") == 0 || strcmp(key, "depth_map_render_mode") == 0) {
        return NULL; // about formats that are refused, or about three dimensions
    }
    return bad(value, "is no key of a tensor", key);
}

static struct nrd_status *grow(struct viz_specs *specs)
{
    if (specs->count < specs->capacity) {
        return NULL;
    }
    size_t capacity = specs->capacity == 0 ? 8 : specs->capacity * 2;
    struct viz_spec *items = mem_realloc(specs->items, capacity * sizeof(*items));
    if (items == NULL) {
        return status_no_memory();
    }
    specs->items = items;
    specs->capacity = capacity;
    return NULL;
}

// Moves the newest spec to its place: behind those of lower or equal priority.
static void settle(struct viz_specs *specs)
{
    for (size_t i = specs->count - 1;
         i > 0 && specs->items[i - 1].priority > specs->items[i].priority; i--) {
        struct viz_spec t = specs->items[i];
        specs->items[i] = specs->items[i - 1];
        specs->items[i - 1] = t;
    }
}

struct nrd_status *viz_specs_add(struct viz_specs *specs, const char *name,
                                 const struct nrd_value *labels)
{
    NRD_TRY(grow(specs));
    struct viz_spec *spec = &specs->items[specs->count];
    struct nrd_status *status = spec_init(spec, name, labels);
    if (status != NULL) {
        spec_fini(spec);
        return status;
    }
    specs->count++;
    return NULL;
}

struct nrd_status *viz_specs_read(struct viz_specs *specs, const struct nrd_value *list,
                                  const struct nrd_value *labels)
{
    if (list == NULL || nrd_value_kind(list) == NRD_VALUE_NULL) {
        return NULL;
    }
    if (nrd_value_kind(list) != NRD_VALUE_LIST) {
        return bad(list, "is no list of maps", "tensors");
    }
    for (size_t i = 0; i < nrd_value_count(list); i++) {
        const struct nrd_value *item = nrd_value_at(list, i);
        const struct nrd_value *name = nrd_value_get(item, "name");
        if (nrd_value_kind(item) != NRD_VALUE_MAP || name == NULL) {
            return bad(item, "is missing", "name");
        }
        NRD_TRY(viz_specs_add(specs, nrd_value_text(name), labels));
        struct viz_spec *spec = &specs->items[specs->count - 1];
        for (size_t k = 0; k < nrd_value_count(item); k++) {
            NRD_TRY(read_key(spec, nrd_value_key(item, k), nrd_value_at(item, k)));
        }
        settle(specs);
    }
    return NULL;
}

struct viz_spec *viz_specs_find(struct viz_specs *specs, const char *name)
{
    for (size_t i = 0; i < specs->count; i++) {
        if (strcmp(specs->items[i].name, name) == 0) {
            return &specs->items[i];
        }
    }
    return NULL;
}

void viz_specs_fini(struct viz_specs *specs)
{
    for (size_t i = 0; i < specs->count; i++) {
        spec_fini(&specs->items[i]);
    }
    mem_free(specs->items);
    *specs = (struct viz_specs){0};
}
