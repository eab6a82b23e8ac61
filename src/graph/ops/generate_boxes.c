// SPDX-License-Identifier: Apache-2.0
// The "generate_boxes" operation. Its configuration, as Holoscan has it:
//
//   generate_boxes:
//     display: {width: 1920, height: 1080}     # what boxes are measured in
//     params: {label_file: labels.txt, threshold: 0.75}    # relative to this file
//     objects: {person: 5, object: 3}          # how many of each are shown; unknown labels are "object"
//     color: {person: "1 0 0 1"}               # of masks
//
// Tensors of objects that were not found hold an empty box and a text outside of the picture, so that a visualiser finds all of them
// always.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "graph/ops/labels.h"
#include "graph/ops/processes.h"

#define OBJECTS_MAX 256
#define COUNT_MAX 1000
#define NAME_BYTES 48

enum key { KEY_SCORES, KEY_LABELS, KEY_BOXES, KEY_MASKS, KEY_COUNT };
static const char *const key_words[KEY_COUNT] = {"scores", "labels", "boxes", "masks"};

struct object {
    char name[NAME_BYTES];
    uint32_t count, found; // shown at most; found in this frame
    float color[4];
    bool has_color;
    const float **boxes; // `count` of them
};
struct box_maker {
    int64_t width, height;
    float threshold;
    struct labels labels;
    struct object *objects;
    size_t object_count;
    int places[KEY_COUNT]; // in the keys; -1: none
};

// ---- configuration --------------------------------------------------------------------------------------------------

static struct nrd_status *bad(const struct nrd_value *at, const char *what)
{
    return status_new(NRD_INVALID_ARG, "%s:%d:%d: generate_boxes: %s", nrd_value_file(at),
                      nrd_value_line(at), nrd_value_column(at), what);
}

static struct nrd_status *read_size(const struct nrd_value *display, const char *key, int64_t *size)
{
    const struct nrd_value *value = nrd_value_get(display, key);
    if (value != NULL && (!nrd_value_get_int(value, size) || *size < 1 || *size > 65536)) {
        return bad(value, "a display's size is 1 to 65536");
    }
    return NULL;
}

static struct nrd_status *read_params(struct box_maker *m, const struct nrd_value *root,
                                      const char *config_path)
{
    const struct nrd_value *params = nrd_value_get(root, "params");
    const struct nrd_value *file = nrd_value_get(params, "label_file");
    const struct nrd_value *threshold = nrd_value_get(params, "threshold");
    double number = 0.75;
    if (params == NULL || file == NULL) {
        return bad(params == NULL ? root : params, "'params' with 'label_file' is missing");
    }
    // Holoscan reads numbers from texts, so "0.5" in quotes is one.
    if (threshold != NULL && !nrd_value_get_real(threshold, &number) &&
        !slice_to_f64(slice_of(nrd_value_text(threshold)), &number)) {
        return bad(threshold, "'threshold' is no number");
    }
    m->threshold = (float)number;
    char path[4096];
    const char *name = nrd_value_text(file), *slash = strrchr(config_path, '/');
    int folder = slash == NULL || name[0] == '/' ? 0 : (int)(slash - config_path) + 1;
    snprintf(path, sizeof(path), "%.*s%s", folder, config_path, name);
    struct nrd_value *as_path = nrd_value_string(path);
    struct nrd_status *status =
        as_path == NULL ? status_no_memory() : labels_read(as_path, "", &m->labels);
    nrd_value_free(as_path);
    return status;
}

static struct object *find_object(const struct box_maker *m, const char *name)
{
    for (size_t i = 0; i < m->object_count; i++) {
        if (strcmp(m->objects[i].name, name) == 0) {
            return &m->objects[i];
        }
    }
    return NULL;
}

static struct nrd_status *read_objects(struct box_maker *m, const struct nrd_value *objects)
{
    size_t count = nrd_value_count(objects);
    if (count > OBJECTS_MAX) {
        return bad(objects, "more than 256 objects");
    }
    m->objects = mem_calloc(count + 1, sizeof(*m->objects));
    if (m->objects == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < count; i++) {
        const struct nrd_value *value = nrd_value_at(objects, i);
        struct object *object = &m->objects[i];
        int64_t number;
        if ((!nrd_value_get_int(value, &number) &&
             !slice_to_i64(slice_of(nrd_value_text(value)), &number)) ||
            number < 0 || number > COUNT_MAX || strlen(nrd_value_key(objects, i)) >= NAME_BYTES) {
            return bad(value, "an object has a name below 48 bytes and a count of 0 to 1000");
        }
        snprintf(object->name, sizeof(object->name), "%s", nrd_value_key(objects, i));
        object->count = (uint32_t)number;
        object->boxes = mem_calloc((size_t)number + 1, sizeof(*object->boxes));
        m->object_count = i + 1;
        if (object->boxes == NULL) {
            return status_no_memory();
        }
    }
    return NULL;
}

// "r g b" or "r g b a", 0 to 1.
static struct nrd_status *read_colors(struct box_maker *m, const struct nrd_value *colors)
{
    for (size_t i = 0; i < nrd_value_count(colors); i++) {
        struct object *object = find_object(m, nrd_value_key(colors, i));
        const struct nrd_value *value = nrd_value_at(colors, i);
        struct slice rest = slice_of(nrd_value_text(value)), part;
        float color[4] = {0.0f, 0.0f, 0.0f, 1.0f};
        int count = 0;
        while (rest.len > 0 && slice_cut(&rest, ' ', &part)) {
            double number;
            if (part.len == 0) {
                continue;
            }
            if (count == 4 || !slice_to_f64(part, &number)) {
                return bad(value, "a colour is three or four numbers of 0 to 1");
            }
            color[count++] = (float)number;
        }
        if (object != NULL) {
            memcpy(object->color, color, sizeof(color));
            object->has_color = true;
        }
    }
    return NULL;
}

static struct nrd_status *read_keys(struct box_maker *m, const char *const *keys, size_t key_count)
{
    for (int k = 0; k < KEY_COUNT; k++) {
        m->places[k] = -1;
        for (size_t i = 0; i < key_count; i++) {
            if (strstr(keys[i], key_words[k]) == NULL) {
                continue;
            }
            if (m->places[k] >= 0) {
                return status_new(NRD_INVALID_ARG,
                                  "generate_boxes: more than one tensor has '%s' in its name",
                                  key_words[k]);
            }
            m->places[k] = (int)i;
        }
    }
    if (m->places[KEY_SCORES] < 0 || m->places[KEY_LABELS] < 0 ||
        (m->places[KEY_BOXES] < 0 && m->places[KEY_MASKS] < 0)) {
        return status_new(NRD_INVALID_ARG, "generate_boxes: tensors with 'scores', 'labels', and "
                                           "'boxes' or 'masks' in their names are needed");
    }
    return NULL;
}

static struct nrd_status *read_config(struct box_maker *m, const struct nrd_value *file,
                                      const char *config_path)
{
    const struct nrd_value *root = nrd_value_get(file, "generate_boxes");
    if (root == NULL) {
        return bad(file, "the key 'generate_boxes' is missing");
    }
    const struct nrd_value *display = nrd_value_get(root, "display");
    NRD_TRY(read_size(display, "width", &m->width));
    NRD_TRY(read_size(display, "height", &m->height));
    NRD_TRY(read_params(m, root, config_path));
    NRD_TRY(read_objects(m, nrd_value_get(root, "objects")));
    return read_colors(m, nrd_value_get(root, "color"));
}

struct nrd_status *box_maker_create(const char *config_path, const char *const *keys,
                                    size_t key_count, struct box_maker **maker)
{
    if (config_path[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "generate_boxes: parameter 'config_path' is empty");
    }
    struct box_maker *m = mem_calloc(1, sizeof(*m));
    if (m == NULL) {
        return status_no_memory();
    }
    m->width = 1920;
    m->height = 1080;
    struct nrd_value *file = NULL;
    struct nrd_status *status = nrd_value_load(config_path, &file);
    if (status == NULL) {
        status = read_config(m, file, config_path);
    }
    if (status == NULL) {
        status = read_keys(m, keys, key_count);
    }
    nrd_value_free(file);
    if (status != NULL) {
        box_maker_destroy(m);
        return status;
    }
    *maker = m;
    return NULL;
}

void box_maker_destroy(struct box_maker *maker)
{
    if (maker == NULL) {
        return;
    }
    for (size_t i = 0; i < maker->object_count; i++) {
        mem_free((void *)maker->objects[i].boxes);
    }
    mem_free(maker->objects);
    labels_fini(&maker->labels);
    mem_free(maker);
}

// ---- one frame ------------------------------------------------------------------------------------------------------

// The object that a detection is; NULL: one that is not shown.
static struct object *object_of(const struct box_maker *m, int64_t label)
{
    struct object *object = NULL;
    if (label >= 0 && (uint64_t)label < m->labels.count) {
        object = find_object(m, m->labels.names[label]);
    }
    return object != NULL ? object : find_object(m, "object");
}

static struct nrd_status *add_floats(struct nrd_operator *op, struct nrd_resource *allocator,
                                     struct nrd_message *out, const char *name, const int64_t *dims,
                                     const float *values, size_t count)
{
    struct nrd_tensor *tensor = NULL;
    NRD_TRY(nrd_allocate(op, allocator, NRD_DTYPE_F32, dims, 3, NRD_MEMORY_CPU, 0, &tensor));
    memcpy(tensor->data, values, count * sizeof(*values));
    struct nrd_status *status = nrd_message_add_tensor(out, name, tensor);
    if (status != NULL) {
        nrd_tensor_unref(tensor);
    }
    return status;
}

static struct nrd_status *send_boxes(const struct box_maker *m, struct nrd_operator *op,
                                     struct nrd_resource *allocator, struct nrd_message *out)
{
    static const int64_t box_dims[3] = {1, 2, 2}, text_dims[3] = {1, 1, 3};
    float width = (float)m->width, height = (float)m->height;
    for (size_t i = 0; i < m->object_count; i++) {
        const struct object *object = &m->objects[i];
        for (uint32_t k = 0; k < object->count; k++) {
            float box[4] = {0.0f}, text[3] = {1.1f, 1.1f, 0.05f};
            char name[NAME_BYTES + 16];
            if (k < object->found) {
                const float *b = object->boxes[k];
                const float scaled[4] = {b[0] / width, b[1] / height, b[2] / width, b[3] / height};
                memcpy(box, scaled, sizeof(box));
                text[0] = scaled[2];
                text[1] = scaled[1];
            }
            snprintf(name, sizeof(name), "%s%u", object->name, k);
            NRD_TRY(add_floats(op, allocator, out, name, box_dims, box, 4));
            snprintf(name, sizeof(name), "%stext%u", object->name, k);
            NRD_TRY(add_floats(op, allocator, out, name, text_dims, text, 3));
        }
    }
    return NULL;
}

static void paint_mask(const struct box_maker *m, const struct object *object, const float *mask,
                       float *pixels)
{
    static const float white[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    const float *color = object != NULL && object->has_color ? object->color : white;
    for (int64_t i = 0; i < m->width * m->height; i++) {
        if (mask[i] > m->threshold) {
            memcpy(pixels + 4 * i, color, 4 * sizeof(*color));
        }
    }
}

static struct nrd_status *send_masks(const struct box_maker *m, struct nrd_operator *op,
                                     struct nrd_resource *allocator, const float *scores,
                                     const int64_t *labels, size_t count, const float *masks,
                                     struct nrd_message *out)
{
    const int64_t dims[3] = {m->height, m->width, 4};
    struct nrd_tensor *tensor = NULL;
    NRD_TRY(nrd_allocate(op, allocator, NRD_DTYPE_F32, dims, 3, NRD_MEMORY_CPU, 0, &tensor));
    memset(tensor->data, 0, tensor->byte_size);
    for (size_t i = 0; i < count; i++) {
        if (scores[i] > m->threshold) {
            paint_mask(m, object_of(m, labels[i]), masks + (int64_t)i * m->width * m->height,
                       tensor->data);
        }
    }
    struct nrd_status *status = nrd_message_add_tensor(out, "holoviz_masks", tensor);
    if (status != NULL) {
        nrd_tensor_unref(tensor);
    }
    return status;
}

struct nrd_status *box_maker_run(struct box_maker *m, struct nrd_operator *op,
                                 struct nrd_resource *allocator, struct nrd_tensor *const *tensors,
                                 struct nrd_message *out)
{
    const struct nrd_tensor *scores = tensors[m->places[KEY_SCORES]];
    const struct nrd_tensor *labels = tensors[m->places[KEY_LABELS]];
    bool masked = m->places[KEY_MASKS] >= 0;
    const struct nrd_tensor *shapes = tensors[m->places[masked ? KEY_MASKS : KEY_BOXES]];
    size_t count = (size_t)nrd_tensor_elements(scores);
    int64_t each = masked ? m->width * m->height : 4;
    if (scores->dtype != NRD_DTYPE_F32 || labels->dtype != NRD_DTYPE_I64 ||
        shapes->dtype != NRD_DTYPE_F32 || (size_t)nrd_tensor_elements(labels) < count ||
        nrd_tensor_elements(shapes) / each < (int64_t)count) {
        return status_new(NRD_INVALID_ARG,
                          "generate_boxes: %zu scores (FP32) need as many labels (INT64) and %lld "
                          "numbers each of %s (FP32); there are %lld %s labels and %lld %s numbers",
                          count, (long long)each, masked ? "masks" : "boxes",
                          (long long)nrd_tensor_elements(labels), nrd_dtype_name(labels->dtype),
                          (long long)nrd_tensor_elements(shapes), nrd_dtype_name(shapes->dtype));
    }
    if (masked) {
        return send_masks(m, op, allocator, scores->data, labels->data, count, shapes->data, out);
    }
    for (size_t i = 0; i < m->object_count; i++) {
        m->objects[i].found = 0;
    }
    for (size_t i = 0; i < count; i++) {
        struct object *object = ((const float *)scores->data)[i] > m->threshold
                                    ? object_of(m, ((const int64_t *)labels->data)[i])
                                    : NULL;
        if (object != NULL && object->found < object->count) {
            object->boxes[object->found++] = (const float *)shapes->data + 4 * i;
        }
    }
    return send_boxes(m, op, allocator, out);
}
