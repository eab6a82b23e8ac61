// SPDX-License-Identifier: Apache-2.0
// YAML to values, by libyaml's events: one frame a list or map that is open.
//
//   event ──▶ scalar, alias ──▶ put() into the innermost frame      map frame: KEY ──scalar──▶ VALUE ──node──▶ KEY
//             start ──▶ push a frame; end ──▶ pop it and put() it   "<<" as a plain key: its maps fill what is missing
//
// An anchor's value is remembered when it is complete, so nothing can hold itself; an alias is a deep copy, and all nodes are
// counted before they are made. Start at parse_document().
#include <yaml.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "graph/value.h"

struct frame {
    struct nrd_value *value;  // owned until it is put into the frame below
    char *anchor;             // of the list or map itself; NULL: none
    char *key;                // of the value to come; NULL: a key comes next (maps)
    struct value_position at; // of that key
    struct nrd_value *merges; // a list of maps behind "<<"; NULL: none
    bool merge;               // the value to come is behind "<<"
};

struct parser {
    yaml_parser_t yaml;
    struct value_file *file;
    const char *name;
    const char *text;
    size_t length;
    struct frame frames[VALUE_DEPTH_MAX];
    size_t depth;
    size_t nodes;
    struct map anchors; // name to a copy of its value, owned
    struct nrd_value *root;
};

static struct nrd_status *fail_at(const struct parser *p, yaml_mark_t mark, const char *what)
{
    return status_new(NRD_INVALID_ARG, "%s:%zu:%zu: %s", p->name, mark.line + 1, mark.column + 1,
                      what);
}

// libyaml's own findings. The reader (bad UTF-8) has only an offset.
static struct nrd_status *fail_yaml(const struct parser *p)
{
    const yaml_parser_t *y = &p->yaml;
    if (y->error == YAML_MEMORY_ERROR) {
        return status_no_memory();
    }
    const char *problem = y->problem == NULL ? "not YAML" : y->problem;
    if (y->error == YAML_READER_ERROR) {
        yaml_mark_t mark = {0};
        size_t end = y->problem_offset < p->length ? y->problem_offset : p->length;
        for (size_t i = 0; i < end; i++) {
            mark.column = p->text[i] == '\n' ? 0 : mark.column + 1;
            mark.line += p->text[i] == '\n';
        }
        return fail_at(p, mark, problem);
    }
    if (y->context == NULL) {
        return fail_at(p, y->problem_mark, problem);
    }
    return status_new(NRD_INVALID_ARG, "%s:%zu:%zu: %s (%s at line %zu)", p->name,
                      y->problem_mark.line + 1, y->problem_mark.column + 1, problem, y->context,
                      y->context_mark.line + 1);
}

static struct value_position position_of(yaml_mark_t mark)
{
    return (struct value_position){(int)mark.line + 1, (int)mark.column + 1};
}

// Gives a new value its place; NULL stays NULL.
static struct nrd_value *placed(const struct parser *p, struct nrd_value *value, yaml_mark_t mark)
{
    if (value != NULL) {
        value->position = position_of(mark);
        value->file = value_file_ref(p->file);
    }
    return value;
}

static struct nrd_status *count_nodes(struct parser *p, size_t more, yaml_mark_t mark)
{
    if (more > VALUE_NODES_MAX - p->nodes) {
        return fail_at(p, mark, "the document has more than 1000000 nodes (aliases counted)");
    }
    p->nodes += more;
    return NULL;
}

// Remembers a copy of an anchor's value; a later anchor of the same name replaces it.
static struct nrd_status *remember(struct parser *p, const char *anchor,
                                   const struct nrd_value *value, yaml_mark_t mark)
{
    if (anchor == NULL) {
        return NULL;
    }
    NRD_TRY(count_nodes(p, value->nodes, mark));
    struct nrd_value *copy = nrd_value_copy(value);
    void *old = NULL;
    if (copy == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = map_put(&p->anchors, slice_of(anchor), copy, &old);
    nrd_value_free(status == NULL ? old : copy);
    return status;
}

// What is behind "<<": a map, or a list of maps. Takes `value`.
static struct nrd_status *keep_merge(struct parser *p, struct frame *frame, struct nrd_value *value,
                                     yaml_mark_t mark)
{
    bool good = value->kind == NRD_VALUE_MAP || value->kind == NRD_VALUE_LIST;
    for (size_t i = 0; value->kind == NRD_VALUE_LIST && i < value->count; i++) {
        good = good && value->entries[i].value->kind == NRD_VALUE_MAP;
    }
    if (!good) {
        nrd_value_free(value);
        return fail_at(p, mark, "'<<' wants a map or a list of maps");
    }
    if (frame->merges == NULL) {
        frame->merges = nrd_value_list();
    }
    if (frame->merges == NULL) {
        nrd_value_free(value);
        return status_no_memory();
    }
    return value_add(frame->merges, NULL, position_of(mark), value);
}

// Puts a complete value where it belongs. Takes `value`; NULL is "out of memory".
static struct nrd_status *put(struct parser *p, struct nrd_value *value, yaml_mark_t mark)
{
    if (value == NULL) {
        return status_no_memory();
    }
    if (p->depth == 0) {
        p->root = value;
        return NULL;
    }
    struct frame *frame = &p->frames[p->depth - 1];
    if (frame->value->kind == NRD_VALUE_LIST) {
        return value_add(frame->value, NULL, value->position, value);
    }
    char *key = frame->key;
    frame->key = NULL;
    struct nrd_status *status;
    if (key == NULL) {
        nrd_value_free(value);
        status = fail_at(p, mark, "a key must be a scalar");
    } else if (frame->merge) {
        status = keep_merge(p, frame, value, mark);
    } else {
        status = value_add(frame->value, key, frame->at, value);
    }
    mem_free(key);
    return status;
}

// True when the next scalar is the key of a map.
static bool wants_key(const struct parser *p)
{
    const struct frame *frame = p->depth == 0 ? NULL : &p->frames[p->depth - 1];
    return frame != NULL && frame->value->kind == NRD_VALUE_MAP && frame->key == NULL;
}

static struct nrd_status *take_key(struct parser *p, const char *text, bool plain, yaml_mark_t mark)
{
    struct frame *frame = &p->frames[p->depth - 1];
    frame->at = position_of(mark);
    frame->merge = plain && strcmp(text, "<<") == 0;
    frame->key = mem_strdup(text);
    return frame->key == NULL ? status_no_memory() : NULL;
}

static struct nrd_value *make_scalar(const char *text, bool plain)
{
    struct nrd_value *value = nrd_value_string(text);
    struct value_scalar scalar;
    if (value == NULL || !plain) {
        return value;
    }
    value_scan(text, &scalar);
    value->kind = scalar.kind;
    if (scalar.kind == NRD_VALUE_BOOL) {
        value->truth = scalar.truth;
    } else if (scalar.kind == NRD_VALUE_INT) {
        value->integer = scalar.integer;
    } else if (scalar.kind == NRD_VALUE_REAL) {
        value->real = scalar.real;
    }
    return value;
}

static struct nrd_status *on_scalar(struct parser *p, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    const char *anchor = (const char *)event->data.scalar.anchor;
    bool tagged = event->data.scalar.tag != NULL &&
                  strcmp((const char *)event->data.scalar.tag, YAML_STR_TAG) == 0;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !tagged;
    if (memchr(text, '\0', event->data.scalar.length) != NULL) {
        return fail_at(p, event->start_mark, "a text may not hold a NUL");
    }
    if (wants_key(p) && anchor == NULL) {
        return take_key(p, text, plain, event->start_mark);
    }
    NRD_TRY(count_nodes(p, 1, event->start_mark));
    struct nrd_value *value = placed(p, make_scalar(text, plain), event->start_mark);
    if (value == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = remember(p, anchor, value, event->start_mark);
    if (status != NULL || wants_key(p)) {
        nrd_value_free(value);
        return status != NULL ? status : take_key(p, text, plain, event->start_mark);
    }
    return put(p, value, event->start_mark);
}

static struct nrd_status *on_alias(struct parser *p, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct nrd_value *value = map_get(&p->anchors, slice_of(name));
    if (value == NULL) {
        return status_new(NRD_INVALID_ARG, "%s:%zu:%zu: there is no anchor '%s' before this alias",
                          p->name, event->start_mark.line + 1, event->start_mark.column + 1, name);
    }
    if (wants_key(p) && value->text != NULL) {
        return take_key(p, value->text, false, event->start_mark);
    }
    NRD_TRY(count_nodes(p, value->nodes, event->start_mark));
    return put(p, nrd_value_copy(value), event->start_mark);
}

static struct nrd_status *open_frame(struct parser *p, struct nrd_value *value,
                                     const yaml_char_t *anchor, yaml_mark_t mark)
{
    struct nrd_status *status = count_nodes(p, 1, mark);
    if (status == NULL && wants_key(p)) {
        status = fail_at(p, mark, "a key must be a scalar");
    }
    if (status == NULL && p->depth == VALUE_DEPTH_MAX) {
        status = fail_at(p, mark, "nested deeper than 128 levels");
    }
    char *copy = anchor == NULL ? NULL : mem_strdup((const char *)anchor);
    if (status == NULL && (value == NULL || (anchor != NULL && copy == NULL))) {
        status = status_no_memory();
    }
    if (status != NULL) {
        nrd_value_free(value);
        mem_free(copy);
        return status;
    }
    p->frames[p->depth++] = (struct frame){.value = placed(p, value, mark), .anchor = copy};
    return NULL;
}

// Adds the keys of one merged map that are not there.
static struct nrd_status *merge_map(struct parser *p, struct nrd_value *to,
                                    const struct nrd_value *from, yaml_mark_t mark)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct value_entry *entry = &from->entries[i];
        if (nrd_value_get(to, entry->key) == NULL) {
            NRD_TRY(count_nodes(p, entry->value->nodes, mark));
            NRD_TRY(value_add(to, entry->key, entry->position, nrd_value_copy(entry->value)));
        }
    }
    return NULL;
}

static struct nrd_status *apply_merges(struct parser *p, struct frame *frame, yaml_mark_t mark)
{
    for (size_t i = 0; i < nrd_value_count(frame->merges); i++) {
        const struct nrd_value *merge = nrd_value_at(frame->merges, i);
        if (merge->kind == NRD_VALUE_MAP) {
            NRD_TRY(merge_map(p, frame->value, merge, mark));
        }
        for (size_t j = 0; merge->kind == NRD_VALUE_LIST && j < merge->count; j++) {
            NRD_TRY(merge_map(p, frame->value, merge->entries[j].value, mark));
        }
    }
    return NULL;
}

static void frame_fini(struct frame *frame)
{
    nrd_value_free(frame->value);
    nrd_value_free(frame->merges);
    mem_free(frame->anchor);
    mem_free(frame->key);
}

static struct nrd_status *close_frame(struct parser *p, yaml_mark_t mark)
{
    struct frame frame = p->frames[--p->depth];
    struct nrd_status *status = apply_merges(p, &frame, mark);
    if (status == NULL) {
        status = remember(p, frame.anchor, frame.value, mark);
    }
    if (status == NULL) {
        status = put(p, frame.value, mark);
        frame.value = NULL;
    }
    frame_fini(&frame);
    return status;
}

static struct nrd_status *on_event(struct parser *p, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(p, event);
    case YAML_ALIAS_EVENT:
        return on_alias(p, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_frame(p, nrd_value_list(), event->data.sequence_start.anchor,
                          event->start_mark);
    case YAML_MAPPING_START_EVENT:
        return open_frame(p, nrd_value_map(), event->data.mapping_start.anchor, event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_frame(p, event->start_mark);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return NULL;
}

// Reads up to the first document's end and one event further, so that what follows a document on the same
// level ("{} {}") is found, and so is a second document.
static struct nrd_status *parse_document(struct parser *p, bool *more)
{
    bool ended = false;
    for (;;) {
        yaml_event_t event;
        if (yaml_parser_parse(&p->yaml, &event) == 0) {
            return fail_yaml(p);
        }
        yaml_event_type_t type = event.type;
        struct nrd_status *status = ended ? NULL : on_event(p, &event);
        yaml_event_delete(&event);
        if (status != NULL || type == YAML_STREAM_END_EVENT) {
            return status;
        }
        if (ended) {
            *more = type == YAML_DOCUMENT_START_EVENT;
            return NULL;
        }
        ended = type == YAML_DOCUMENT_END_EVENT;
    }
}

static void parser_fini(struct parser *p)
{
    struct map_entry *entry;
    for (size_t i = 0; i < p->depth; i++) {
        frame_fini(&p->frames[i]);
    }
    for (size_t at = 0; map_next(&p->anchors, &at, &entry);) {
        nrd_value_free(entry->value);
    }
    map_fini(&p->anchors);
    nrd_value_free(p->root);
    value_file_unref(p->file);
}

struct nrd_status *value_parse_first(const char *text, size_t length, const char *file,
                                     struct nrd_value **value, bool *more)
{
    struct parser *p = mem_calloc(1, sizeof(*p));
    if (p == NULL) {
        return status_no_memory();
    }
    p->name = file == NULL || file[0] == '\0' ? "text" : file;
    p->text = text;
    p->length = length;
    map_init(&p->anchors);
    p->file = value_file_create(p->name);
    struct nrd_status *status = NULL;
    if (p->file == NULL || yaml_parser_initialize(&p->yaml) == 0) {
        status = status_no_memory();
    } else {
        bool second = false;
        yaml_parser_set_encoding(&p->yaml, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&p->yaml, (const unsigned char *)text, length);
        status = parse_document(p, &second);
        yaml_parser_delete(&p->yaml);
        if (status == NULL && p->root == NULL) {
            p->root = placed(p, nrd_value_null(), (yaml_mark_t){0});
            status = p->root == NULL ? status_no_memory() : NULL;
        }
        if (status == NULL) {
            *value = p->root;
            p->root = NULL;
            *more = second;
        }
    }
    parser_fini(p);
    mem_free(p);
    return status;
}

struct nrd_status *nrd_value_parse(const char *text, size_t length, const char *file,
                                   struct nrd_value **value)
{
    bool more = false;
    return value_parse_first(text, length, file, value, &more);
}

struct nrd_status *nrd_value_load(const char *path, struct nrd_value **value)
{
    struct str text = STR_INIT;
    struct nrd_status *status = NULL;
    if (!file_exists(path)) {
        status = status_new(NRD_NOT_FOUND, "there is no file '%s'", path);
    } else {
        status = file_read(path, VALUE_FILE_MAX, &text);
    }
    if (status == NULL) {
        status = nrd_value_parse(str_cstr(&text), text.len, path, value);
    }
    str_fini(&text);
    return status;
}
