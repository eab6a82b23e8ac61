// SPDX-License-Identifier: Apache-2.0
// Reads the call specification of a package: [version, {"type", "context", "children_spec"}], where
// a type is builtins.tuple, builtins.list or builtins.dict (its keys are the context, JSON in a
// string), and a leaf has none. Inputs are a tuple of the positional arguments and a dict of the
// others. See torch_model.h.
#include "backends/pytorch/torch_model.h"

#include "base/json.h"
#include "base/str.h"

enum { DEPTH_MAX = 32, TEXT_MAX = 1 << 20 };

struct spec {
    struct arena *arena;
    const char **names;
    uint32_t count;
    uint32_t capacity;
};

static struct nrd_status *unreadable(const char *what)
{
    return status_new(NRD_INVALID_ARG, "the package's call specification cannot be read: %s", what);
}

static struct nrd_status *add_name(struct spec *s, const struct str *name)
{
    if (s->count == s->capacity) {
        uint32_t more = s->capacity == 0 ? 16 : 2 * s->capacity;
        const char **grown =
            arena_grow(s->arena, s->names, s->capacity * sizeof(*grown), more * sizeof(*grown));
        if (grown == NULL) {
            return status_no_memory();
        }
        s->names = grown;
        s->capacity = more;
    }
    s->names[s->count] = arena_strdup(s->arena, str_slice(name));
    if (name->failed || s->names[s->count] == NULL) {
        return status_no_memory();
    }
    s->count++;
    return NULL;
}

// The keys of a dict: an array, or a string that holds one.
static struct nrd_status *read_keys(struct spec *s, const struct json_node *node,
                                    const struct json_node **keys)
{
    const struct json_node *context = json_get(node, "context");
    if (context != NULL && context->type == JSON_STRING) {
        struct json_error why = {0};
        struct slice text = json_text(context);
        // The tape borrows the text of a string that had no escapes, which outlives it.
        if (!json_parse(s->arena, text, JSON_STRICT, &context, &why)) {
            return unreadable("the keys of a dict are no JSON");
        }
    }
    if (context == NULL || context->type != JSON_ARRAY) {
        return unreadable("a dict has no keys");
    }
    *keys = context;
    return NULL;
}

static struct nrd_status *walk(struct spec *s, const struct json_node *node, struct str *prefix,
                               int depth);

static struct nrd_status *walk_children(struct spec *s, const struct json_node *children,
                                        const struct json_node *keys, struct str *prefix, int depth)
{
    const struct json_node *child = json_first(children);
    const struct json_node *key = keys == NULL ? NULL : json_first(keys);
    for (uint32_t i = 0; i < children->count; i++, child = json_next(child)) {
        size_t length = prefix->len;
        str_append_char(prefix, '[');
        if (key == NULL) {
            str_append_u64(prefix, i);
        } else if (key->type == JSON_STRING) {
            str_append_slice(prefix, json_text(key));
        } else {
            return unreadable("a key of a dict is no text");
        }
        str_append_char(prefix, ']');
        NRD_TRY(walk(s, child, prefix, depth + 1));
        str_truncate(prefix, length);
        key = key == NULL ? NULL : json_next(key);
    }
    return NULL;
}

static struct nrd_status *walk(struct spec *s, const struct json_node *node, struct str *prefix,
                               int depth)
{
    if (depth > DEPTH_MAX || prefix->len > TEXT_MAX) {
        return unreadable("it is nested too deeply");
    }
    if (node->type != JSON_OBJECT) {
        return unreadable("a part is no object");
    }
    const struct json_node *type = json_get(node, "type");
    const struct json_node *children = json_get(node, "children_spec");
    if (type == NULL || type->type != JSON_STRING) {
        return add_name(s, prefix);
    }
    if (children == NULL || children->type != JSON_ARRAY) {
        return unreadable("a part has no children");
    }
    struct slice name = json_text(type);
    const struct json_node *keys = NULL;
    if (slice_is(name, "builtins.dict")) {
        NRD_TRY(read_keys(s, node, &keys));
        if (keys->count != children->count) {
            return unreadable("a dict has another number of keys than of values");
        }
    } else if (!slice_is(name, "builtins.tuple") && !slice_is(name, "builtins.list")) {
        return unreadable("only dict, tuple, list and Tensor are supported");
    }
    return walk_children(s, children, keys, prefix, depth);
}

static struct nrd_status *walk_inputs(struct spec *s, const struct json_node *root)
{
    const struct json_node *children =
        root->type == JSON_OBJECT ? json_get(root, "children_spec") : NULL;
    if (children == NULL || children->type != JSON_ARRAY || children->count != 2) {
        return unreadable("inputs are not a tuple and a dict");
    }
    static const char *const prefixes[] = {"ARGS", "KWARGS"};
    const struct json_node *side = json_first(children);
    for (int i = 0; i < 2; i++, side = json_next(side)) {
        struct str prefix = STR_INIT;
        str_append_cstr(&prefix, prefixes[i]);
        struct nrd_status *status = walk(s, side, &prefix, 0);
        str_fini(&prefix);
        NRD_TRY(status);
    }
    return NULL;
}

struct nrd_status *torch_spec_read(struct arena *arena, const char *spec, bool inputs,
                                   const char ***names, uint32_t *count)
{
    struct spec s = {.arena = arena};
    struct json_error why = {0};
    const struct json_node *root = NULL;
    if (!json_parse(arena, slice_of(spec), JSON_STRICT, &root, &why)) {
        return unreadable("it is no JSON");
    }
    if (root->type != JSON_ARRAY || root->count != 2) {
        return unreadable("it is no pair of a version and a specification");
    }
    const struct json_node *body = json_next(json_first(root));
    if (inputs) {
        NRD_TRY(walk_inputs(&s, body));
    } else {
        struct str prefix = STR_INIT;
        str_append_cstr(&prefix, "RESULT");
        struct nrd_status *status = walk(&s, body, &prefix, 0);
        str_fini(&prefix);
        NRD_TRY(status);
    }
    *names = s.names;
    *count = s.count;
    return NULL;
}
