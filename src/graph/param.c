// SPDX-License-Identifier: Apache-2.0
// Parameters: one converter a type, each from a value to a field; then the walk over the table. A converter returns NULL or what is
// wrong with the value ("'30x' is not a number"); the walk adds where and whose. Start at param_apply().
#include "graph/param.h"

#include <math.h>

#include "base/mem.h"
#include "graph/nearest.h"
#include "graph/value.h"

// ---- what fields point to -------------------------------------------------------------------------------------------

struct param_kept {
    struct param_kept *next;
    struct nrd_value *value;
};

void param_store_init(struct param_store *store)
{
    arena_init(&store->arena, 0);
    store->kept = NULL;
}

void param_store_fini(struct param_store *store)
{
    for (struct param_kept *kept = store->kept; kept != NULL; kept = kept->next) {
        nrd_value_free(kept->value);
    }
    store->kept = NULL;
    arena_fini(&store->arena);
}

// Keeps a value as long as the store; takes it. NULL: no memory.
static const struct nrd_value *keep(struct param_store *store, struct nrd_value *value)
{
    struct param_kept *kept = value == NULL ? NULL : arena_alloc(&store->arena, sizeof(*kept));
    if (kept == NULL) {
        nrd_value_free(value);
        return NULL;
    }
    *kept = (struct param_kept){store->kept, value};
    store->kept = kept;
    return value;
}

// ---- converters -----------------------------------------------------------------------------------------------------

static bool is_scalar(const struct nrd_value *value)
{
    enum nrd_value_kind kind = nrd_value_kind(value);
    return kind != NRD_VALUE_LIST && kind != NRD_VALUE_MAP;
}

static struct nrd_status *not_a(const struct nrd_value *value, const char *what)
{
    if (!is_scalar(value)) {
        return status_new(NRD_INVALID_ARG, "a %s is not %s",
                          nrd_value_kind(value) == NRD_VALUE_LIST ? "list" : "map", what);
    }
    return status_new(NRD_INVALID_ARG, "'%s' is not %s", nrd_value_text(value), what);
}

// Quoted numbers and truths count as what they say, as yaml-cpp has it.
static struct value_scalar scan(const struct nrd_value *value)
{
    struct value_scalar scalar = {.kind = nrd_value_kind(value)};
    if (scalar.kind == NRD_VALUE_STRING) {
        value_scan(nrd_value_text(value), &scalar);
    } else if (scalar.kind == NRD_VALUE_BOOL) {
        (void)nrd_value_get_bool(value, &scalar.truth);
    } else if (scalar.kind == NRD_VALUE_INT) {
        (void)nrd_value_get_int(value, &scalar.integer);
    } else if (scalar.kind == NRD_VALUE_REAL) {
        (void)nrd_value_get_real(value, &scalar.real);
    }
    return scalar;
}

static bool has_range(const struct nrd_param *param)
{
    return param->min != param->max; // NOLINT: both are written in the table
}

static struct nrd_status *check_range(const struct nrd_param *param, const struct nrd_value *value,
                                      double number)
{
    if (!has_range(param) || (number >= param->min && number <= param->max)) {
        return NULL;
    }
    if (isinf(param->max)) {
        return status_new(NRD_INVALID_ARG, "%s is less than %g", nrd_value_text(value), param->min);
    }
    return status_new(NRD_INVALID_ARG, "%s is not within %.15g and %.15g", nrd_value_text(value),
                      param->min, param->max);
}

static struct nrd_status *to_int(const struct nrd_param *param, const struct nrd_value *value,
                                 int64_t *out)
{
    struct value_scalar scalar = scan(value);
    if (scalar.kind != NRD_VALUE_INT) {
        return not_a(value, "an integer");
    }
    NRD_TRY(check_range(param, value, (double)scalar.integer));
    *out = scalar.integer;
    return NULL;
}

static struct nrd_status *to_real(const struct nrd_param *param, const struct nrd_value *value,
                                  double *out)
{
    struct value_scalar scalar = scan(value);
    if (scalar.kind != NRD_VALUE_REAL && scalar.kind != NRD_VALUE_INT) {
        return not_a(value, "a number");
    }
    double number = scalar.kind == NRD_VALUE_INT ? (double)scalar.integer : scalar.real;
    NRD_TRY(check_range(param, value, number));
    *out = number;
    return NULL;
}

static struct nrd_status *to_bool(const struct nrd_value *value, bool *out)
{
    struct value_scalar scalar = scan(value);
    if (scalar.kind != NRD_VALUE_BOOL) {
        return not_a(value, "true or false");
    }
    *out = scalar.truth;
    return NULL;
}

static struct nrd_status *to_text(struct param_store *store, const struct nrd_value *value,
                                  const char **out)
{
    if (!is_scalar(value)) {
        return not_a(value, "a text");
    }
    char *copy = arena_strdup(&store->arena, slice_of(nrd_value_text(value)));
    if (copy == NULL) {
        return status_no_memory();
    }
    *out = copy;
    return NULL;
}

static struct nrd_status *to_duration(const struct nrd_param *param, const struct nrd_value *value,
                                      int64_t *out)
{
    int64_t ns;
    int64_t exact;
    if (!is_scalar(value) || !param_read_duration(nrd_value_text(value), param->unit, &ns)) {
        return not_a(value, "a duration (such as 20ms, 1.5s, 10Hz)");
    }
    if (nrd_value_get_int(value, &exact) &&
        (param->unit == NULL || strcmp(param->unit, "ns") == 0)) {
        ns = exact;
    }
    NRD_TRY(check_range(param, value, (double)ns));
    *out = ns;
    return NULL;
}

static struct nrd_status *to_bytes(const struct nrd_param *param, const struct nrd_value *value,
                                   uint64_t *out)
{
    uint64_t bytes;
    if (!is_scalar(value) || !param_read_bytes(nrd_value_text(value), &bytes)) {
        return not_a(value, "a size (such as 4096, 64KB, 16MB)");
    }
    NRD_TRY(check_range(param, value, (double)bytes));
    *out = bytes;
    return NULL;
}

static struct nrd_status *to_choice(const struct nrd_param *param, const struct nrd_value *value,
                                    int *out)
{
    struct nearest near;
    char hint[160];
    struct str list = STR_INIT;
    int64_t number;
    int64_t count = 0;
    if (!is_scalar(value)) {
        return not_a(value, "a text");
    }
    nearest_init(&near, nrd_value_text(value));
    for (const char *const *choice = param->choices; choice != NULL && *choice != NULL; choice++) {
        if (slice_equal_nocase(slice_of(*choice), slice_of(nrd_value_text(value)))) {
            *out = (int)count;
            str_fini(&list);
            return NULL;
        }
        nearest_offer(&near, *choice);
        str_printf(&list, "%s%s", count == 0 ? "" : ", ", *choice);
        count++;
    }
    if (nrd_value_get_int(value, &number) && number >= 0 && number < count) {
        *out = (int)number;
        str_fini(&list);
        return NULL;
    }
    struct nrd_status *status =
        status_new(NRD_INVALID_ARG, "'%s' is none of: %s%s", nrd_value_text(value), str_cstr(&list),
                   nearest_hint(&near, hint, sizeof hint));
    str_fini(&list);
    return status;
}

// A list's items into an array of `size` bytes each; a scalar is a list of one. What is wrong with an item names its place.
static struct nrd_status *to_list(const struct param_scope *scope, const struct nrd_param *param,
                                  const struct nrd_value *value, size_t size, const void **items,
                                  size_t *length)
{
    bool one = is_scalar(value);
    size_t count = one ? 1 : nrd_value_count(value);
    if (nrd_value_kind(value) == NRD_VALUE_MAP) {
        return not_a(value, "a list");
    }
    char *array = arena_calloc(&scope->store->arena, count == 0 ? 1 : count, size);
    if (array == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < count; i++) {
        const struct nrd_value *item = one ? value : nrd_value_at(value, i);
        void *place = array + i * size;
        struct nrd_status *status = param->type == NRD_PARAM_INT_LIST ? to_int(param, item, place)
                                    : param->type == NRD_PARAM_REAL_LIST
                                        ? to_real(param, item, place)
                                        : to_text(scope->store, item, place);
        if (status != NULL) {
            return one ? status : status_wrap(status, "item %zu: ", i);
        }
    }
    *items = array;
    *length = count;
    return NULL;
}

static struct nrd_status *to_value(struct param_store *store, const struct nrd_value *value,
                                   const struct nrd_value **out)
{
    const struct nrd_value *copy = keep(store, nrd_value_copy(value));
    if (copy == NULL) {
        return status_no_memory();
    }
    *out = copy;
    return NULL;
}

static struct nrd_status *to_resource(const struct param_scope *scope,
                                      const struct nrd_param *param, const struct nrd_value *value,
                                      struct nrd_resource **out)
{
    const char *kind = param->choices == NULL ? NULL : param->choices[0];
    if (!is_scalar(value)) {
        return not_a(value, "the name of a resource");
    }
    if (scope->resource == NULL) {
        return status_new(NRD_INVALID_ARG, "there is no resource '%s'", nrd_value_text(value));
    }
    return scope->resource(scope->resource_arg, nrd_value_text(value), kind, out);
}

static struct nrd_status *convert(const struct param_scope *scope, const struct nrd_param *param,
                                  const struct nrd_value *value, void *field)
{
    switch (param->type) {
    case NRD_PARAM_BOOL:
        return to_bool(value, field);
    case NRD_PARAM_INT:
        return to_int(param, value, field);
    case NRD_PARAM_REAL:
        return to_real(param, value, field);
    case NRD_PARAM_STRING:
        return to_text(scope->store, value, field);
    case NRD_PARAM_DURATION:
        return to_duration(param, value, field);
    case NRD_PARAM_BYTES:
        return to_bytes(param, value, field);
    case NRD_PARAM_CHOICE:
        return to_choice(param, value, field);
    case NRD_PARAM_INT_LIST: {
        struct nrd_int_list *list = field;
        return to_list(scope, param, value, sizeof(*list->items), (const void **)&list->items,
                       &list->count);
    }
    case NRD_PARAM_REAL_LIST: {
        struct nrd_real_list *list = field;
        return to_list(scope, param, value, sizeof(*list->items), (const void **)&list->items,
                       &list->count);
    }
    case NRD_PARAM_STRING_LIST: {
        struct nrd_string_list *list = field;
        return to_list(scope, param, value, sizeof(*list->items), (const void **)&list->items,
                       &list->count);
    }
    case NRD_PARAM_VALUE:
        return to_value(scope->store, value, field);
    case NRD_PARAM_RESOURCE:
        return to_resource(scope, param, value, field);
    }
    return status_new(NRD_INTERNAL, "a type of parameter that is not known (%d)", (int)param->type);
}

// ---- the walk -------------------------------------------------------------------------------------------------------

struct nrd_status *param_convert(const struct param_scope *scope, const struct nrd_param *param,
                                 const struct nrd_value *value, void *field)
{
    struct nrd_status *status = convert(scope, param, value, field);
    if (status == NULL || status_code(status) == NRD_UNAVAILABLE) {
        return status;
    }
    struct nrd_status *full = value_error(status_code(status), value, "%s: parameter '%s': %s",
                                          scope->what, param->name, status_text(status));
    status_free(status);
    return full;
}

// Adds a finding as a line; takes it. Out of memory shows in the text.
static void add_finding(struct str *findings, struct nrd_status *status)
{
    if (status != NULL) {
        str_printf(findings, "%s%s", findings->len == 0 ? "" : "\n", status_text(status));
        status_free(status);
    }
}

static struct nrd_status *apply_fallback(const struct param_scope *scope,
                                         const struct nrd_param *param, void *field)
{
    struct nrd_value *value = NULL;
    NRD_TRY(nrd_value_parse(param->fallback, strlen(param->fallback), "default", &value));
    struct nrd_status *status =
        nrd_value_kind(value) == NRD_VALUE_NULL ? NULL : param_convert(scope, param, value, field);
    nrd_value_free(value);
    return status;
}

static struct nrd_status *apply_one(const struct param_scope *scope, const struct nrd_param *param,
                                    const struct nrd_value *map, void *state)
{
    const struct nrd_value *value = nrd_value_get(map, param->name);
    void *field = (char *)state + param->offset;
    if (nrd_value_kind(value) != NRD_VALUE_NULL) {
        return param_convert(scope, param, value, field);
    }
    if (param->fallback != NULL) {
        return apply_fallback(scope, param, field);
    }
    if ((param->flags & NRD_PARAM_OPTIONAL) == 0) {
        return value_error(NRD_INVALID_ARG, map, "%s: parameter '%s' (%s) is required", scope->what,
                           param->name, param_type_name(param->type));
    }
    return NULL;
}

static struct nrd_status *unknown(const struct param_scope *scope, const struct nrd_param *table,
                                  const struct nrd_value *map, size_t i)
{
    struct nearest near;
    char hint[160];
    nearest_init(&near, nrd_value_key(map, i));
    for (const struct nrd_param *p = table; p != NULL && p->name != NULL; p++) {
        nearest_offer(&near, p->name);
    }
    return value_key_error(NRD_INVALID_ARG, map, i, "%s: there is no parameter '%s'%s", scope->what,
                           nrd_value_key(map, i), nearest_hint(&near, hint, sizeof hint));
}

struct nrd_status *param_apply(const struct param_scope *scope, const struct nrd_param *table,
                               const struct nrd_value *map, void *state)
{
    struct str findings = STR_INIT;
    struct nrd_status *status = NULL;
    if (nrd_value_kind(map) != NRD_VALUE_MAP && nrd_value_kind(map) != NRD_VALUE_NULL) {
        return value_error(NRD_INVALID_ARG, map, "%s: parameters must be a map", scope->what);
    }
    for (size_t i = 0; i < nrd_value_count(map); i++) {
        if (param_find(table, nrd_value_key(map, i)) == NULL) {
            add_finding(&findings, unknown(scope, table, map, i));
        }
    }
    for (const struct nrd_param *p = table; p != NULL && p->name != NULL; p++) {
        status = apply_one(scope, p, map, state);
        if (status_code(status) == NRD_UNAVAILABLE) {
            str_fini(&findings);
            return status; // out of memory is no finding
        }
        add_finding(&findings, status);
    }
    status = findings.failed ? status_no_memory()
             : findings.len == 0
                 ? NULL
                 : status_new_text(NRD_INVALID_ARG, str_cstr(&findings), findings.len);
    str_fini(&findings);
    return status;
}

size_t param_size(enum nrd_param_type type)
{
    switch (type) {
    case NRD_PARAM_BOOL:
        return sizeof(bool);
    case NRD_PARAM_CHOICE:
        return sizeof(int);
    case NRD_PARAM_INT:
    case NRD_PARAM_REAL:
    case NRD_PARAM_DURATION:
    case NRD_PARAM_BYTES:
        return sizeof(int64_t);
    case NRD_PARAM_STRING:
    case NRD_PARAM_VALUE:
    case NRD_PARAM_RESOURCE:
        return sizeof(void *);
    case NRD_PARAM_INT_LIST:
    case NRD_PARAM_REAL_LIST:
    case NRD_PARAM_STRING_LIST:
        return sizeof(struct nrd_int_list);
    }
    return 0;
}

const char *param_type_name(enum nrd_param_type type)
{
    static const char *const names[] = {
        [NRD_PARAM_BOOL] = "true or false",
        [NRD_PARAM_INT] = "integer",
        [NRD_PARAM_REAL] = "number",
        [NRD_PARAM_STRING] = "text",
        [NRD_PARAM_DURATION] = "duration",
        [NRD_PARAM_BYTES] = "size",
        [NRD_PARAM_CHOICE] = "choice",
        [NRD_PARAM_INT_LIST] = "list of integers",
        [NRD_PARAM_REAL_LIST] = "list of numbers",
        [NRD_PARAM_STRING_LIST] = "list of texts",
        [NRD_PARAM_VALUE] = "any value",
        [NRD_PARAM_RESOURCE] = "resource",
    };
    return (size_t)type < sizeof names / sizeof names[0] ? names[type] : "";
}

const struct nrd_param *param_find(const struct nrd_param *table, const char *name)
{
    for (const struct nrd_param *p = table; p != NULL && p->name != NULL; p++) {
        if (strcmp(p->name, name) == 0) {
            return p;
        }
    }
    return NULL;
}

struct nrd_status *param_find_settable(const struct param_scope *scope,
                                       const struct nrd_param *table, const char *name,
                                       bool running, const struct nrd_param **param)
{
    const struct nrd_param *found = param_find(table, name);
    if (found == NULL) {
        struct nearest near;
        char hint[160];
        nearest_init(&near, name);
        for (const struct nrd_param *p = table; p != NULL && p->name != NULL; p++) {
            nearest_offer(&near, p->name);
        }
        return status_new(NRD_NOT_FOUND, "%s: there is no parameter '%s'%s", scope->what, name,
                          nearest_hint(&near, hint, sizeof hint));
    }
    if (running && (found->flags & NRD_PARAM_DYNAMIC) == 0) {
        return status_new(NRD_INVALID_ARG, "%s: parameter '%s' may not be set while the graph runs",
                          scope->what, name);
    }
    *param = found;
    return NULL;
}
