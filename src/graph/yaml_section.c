// SPDX-License-Identifier: Apache-2.0
// What a fragment holds, in the order in which it is needed: resources (operators name them), operators with their
// conditions, conditions from outside, the scheduler (it may name a clock), thread pools, loggers. Subgraphs are composed
// by the same walk, once for each instance. Start at yaml_load_section().
#include "graph/yaml_app.h"

#include <stdio.h>

#include "graph/registry.h"

enum { INSTANCES_MAX = 16 }; // of instances within instances

// ---- resources ------------------------------------------------------------------------------------------------------

static void load_resource(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                          const struct nrd_value *entry)
{
    static const char *const reserved[] = {"name", "type", NULL};
    struct nrd_resource *resource = NULL;
    const char *type = yaml_text(l, entry, "type");
    struct nrd_value *params = yaml_parameters(entry, reserved);
    if (name[0] == '\0' || type[0] == '\0') {
        yaml_find(l, entry, status_new(NRD_INVALID_ARG, "a resource needs a name and a type"));
    } else if (params == NULL) {
        yaml_find(l, entry, status_no_memory());
    } else {
        yaml_find(l, entry, nrd_add_resource(scope->fragment, type, name, params, &resource));
    }
    nrd_value_free(params);
}

// `resources:` is also where packages of Holoscan say what machine they want: {cpu: 1, gpu: 1, memory: 1Gi}.
static bool is_packaging(const struct nrd_value *resources)
{
    return nrd_value_kind(resources) == NRD_VALUE_MAP &&
           (nrd_value_get(resources, "cpu") != NULL || nrd_value_get(resources, "gpu") != NULL ||
            nrd_value_get(resources, "memory") != NULL);
}

// ---- conditions -----------------------------------------------------------------------------------------------------

enum { PORTS_MAX = 32 };

// The texts of `ports:`; false when there is none.
static bool read_ports(struct yaml_loader *l, const struct nrd_value *entry, const char **ports,
                       size_t *count)
{
    const struct nrd_value *list = nrd_value_get(entry, "ports");
    *count = 0;
    if (list == NULL) {
        return false;
    }
    if (nrd_value_kind(list) != NRD_VALUE_LIST || nrd_value_count(list) > PORTS_MAX) {
        yaml_find(
            l, list,
            status_new(NRD_INVALID_ARG, "'ports' must be a list of at most %d names", PORTS_MAX));
        return true;
    }
    for (size_t i = 0; i < nrd_value_count(list); i++) {
        ports[(*count)++] = nrd_value_text(nrd_value_at(list, i));
    }
    return true;
}

static void add_condition(struct yaml_loader *l, struct nrd_operator *op, const char *name,
                          const struct nrd_value *entry)
{
    static const char *const reserved[] = {"name", "type", "ports", "operator", NULL};
    const char *ports[PORTS_MAX];
    size_t count = 0;
    const char *type = yaml_text(l, entry, "type");
    if (type[0] == '\0') {
        yaml_find(l, entry,
                  status_new(NRD_INVALID_ARG, "operator '%s': a condition needs a type",
                             nrd_operator_name(op)));
        return;
    }
    bool multi = read_ports(l, entry, ports, &count);
    struct nrd_value *params = yaml_parameters(entry, reserved);
    struct nrd_status *status;
    if (params == NULL) {
        status = status_no_memory();
    } else if (multi && strcmp(type, "OrConditionCombiner") == 0) {
        status = nrd_combine_or(op, ports, count);
    } else if (multi) {
        status = nrd_add_multi_port_condition(op, type, ports, count, params);
    } else {
        struct nrd_condition *condition = NULL;
        status = nrd_add_condition(op, type, name, params, &condition);
    }
    yaml_find(l, entry, status);
    nrd_value_free(params);
}

// An operator's own `conditions:`.
static void load_own_conditions(struct yaml_loader *l, struct nrd_operator *op,
                                const struct nrd_value *conditions)
{
    enum nrd_value_kind kind = nrd_value_kind(conditions);
    if (kind != NRD_VALUE_NULL && kind != NRD_VALUE_LIST && kind != NRD_VALUE_MAP) {
        yaml_find(l, conditions, status_new(NRD_INVALID_ARG, "'conditions' must be a list"));
    }
    for (size_t i = 0; i < nrd_value_count(conditions); i++) {
        const struct nrd_value *entry = nrd_value_at(conditions, i);
        if (nrd_value_kind(entry) != NRD_VALUE_MAP) {
            yaml_find(l, entry, status_new(NRD_INVALID_ARG, "a condition must be a map"));
            continue;
        }
        add_condition(l, op,
                      kind == NRD_VALUE_MAP ? nrd_value_key(conditions, i)
                                            : yaml_text(l, entry, "name"),
                      entry);
    }
}

// A condition from outside names its operator.
static void load_condition(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                           const struct nrd_value *entry)
{
    const char *owner = yaml_text(l, entry, "operator");
    struct nrd_operator *op = map_get(&scope->operators, slice_of(owner));
    if (op == NULL) {
        yaml_find(l, entry,
                  status_new(NRD_INVALID_ARG,
                             "a condition's 'operator' is '%s', which is not there", owner));
        return;
    }
    add_condition(l, op, name, entry);
}

// ---- operators ------------------------------------------------------------------------------------------------------

static const struct nrd_operator_class *find_class(struct yaml_loader *l,
                                                   const struct nrd_value *entry, const char *name)
{
    const struct nrd_operator_class *table = NULL;
    const struct nrd_value *type = nrd_value_get(entry, "type");
    const char *text = yaml_text(l, entry, "type");
    if (text[0] == '\0') {
        yaml_find(l, entry, status_new(NRD_INVALID_ARG, "operator '%s' needs a type", name));
        return NULL;
    }
    struct nrd_status *status = registry_find(text, &table);
    yaml_find(l, type, status_wrap(status, "operator '%s': ", name));
    return table;
}

// A group of parameters at the root, by its name ("replayer", "models.first"); a scalar keeps its own name.
static struct nrd_status *overlay_group(struct yaml_loader *l, struct nrd_value *params,
                                        const struct nrd_value *name)
{
    struct slice rest = slice_of(nrd_value_text(name));
    struct slice part;
    const struct nrd_value *at = l->root;
    char key[128] = "";
    bool first = true;
    while (at != NULL && slice_cut(&rest, '.', &part)) {
        if (part.len >= sizeof key) {
            at = NULL;
            break;
        }
        memcpy(key, part.ptr, part.len);
        key[part.len] = '\0';
        at = nrd_value_get(at, key);
        if (first && at != NULL) {
            NRD_TRY(map_put(&l->groups, part, l, NULL));
        }
        first = false;
    }
    if (at == NULL) {
        return value_error(NRD_INVALID_ARG, name, "there are no parameters '%s'",
                           nrd_value_text(name));
    }
    if (nrd_value_kind(at) == NRD_VALUE_MAP) {
        return yaml_overlay(params, at);
    }
    return value_add(params, key, at->position, nrd_value_copy(at));
}

struct nrd_status *yaml_overlay_sets(struct yaml_loader *l, const struct yaml_scope *scope,
                                     const char *name, struct nrd_value *params)
{
    const struct nrd_value *sets = nrd_value_get(l->options, "set");
    for (size_t i = 0; i < nrd_value_count(sets); i++) {
        const char *key = nrd_value_key(sets, i);
        const char *rest = key;
        size_t scope_length = strlen(scope->name);
        size_t length = strlen(name);
        if (scope_length > 0 && strncmp(rest, scope->name, scope_length) == 0 &&
            rest[scope_length] == '.') {
            rest += scope_length + 1;
        } else if (scope_length > 0) {
            continue;
        }
        if (strncmp(rest, name, length) == 0 && rest[length] == '.') {
            NRD_TRY(
                nrd_value_set(params, rest + length + 1, nrd_value_copy(nrd_value_at(sets, i))));
            NRD_TRY(map_put(&l->sets, slice_of(key), l, NULL));
        }
    }
    return NULL;
}

// The parameters of an operator: its groups, then its own, then its instance's, then the command line's.
static struct nrd_status *gather_parameters(struct yaml_loader *l, const struct yaml_scope *scope,
                                            const char *name, const struct nrd_value *entry,
                                            struct nrd_value *params)
{
    const struct nrd_value *own = nrd_value_get(entry, "parameters");
    const struct nrd_value *from = nrd_value_get(entry, "parameters_from");
    if (nrd_value_kind(from) == NRD_VALUE_LIST) {
        for (size_t i = 0; i < nrd_value_count(from); i++) {
            NRD_TRY(overlay_group(l, params, nrd_value_at(from, i)));
        }
    } else if (from != NULL) {
        NRD_TRY(overlay_group(l, params, from));
    }
    if (own != NULL && nrd_value_kind(own) != NRD_VALUE_MAP &&
        nrd_value_kind(own) != NRD_VALUE_NULL) {
        return value_error(NRD_INVALID_ARG, own, "operator '%s': 'parameters' must be a map", name);
    }
    NRD_TRY(yaml_overlay(params, own));
    NRD_TRY(yaml_overlay(params, nrd_value_get(scope->overrides, name)));
    return yaml_overlay_sets(l, scope, name, params);
}

// `metadata: false`, `metadata: update`, or {enabled, policy}.
static bool read_metadata(struct yaml_loader *l, const struct nrd_value *value, bool *enabled,
                          const char **policy)
{
    static const char *const keys[] = {"enabled", "policy", NULL};
    *enabled = true;
    *policy = "raise";
    if (nrd_value_kind(value) == NRD_VALUE_NULL) {
        return false;
    }
    if (nrd_value_kind(value) == NRD_VALUE_STRING) {
        *policy = nrd_value_text(value);
    } else if (nrd_value_kind(value) == NRD_VALUE_MAP) {
        const struct nrd_value *on = nrd_value_get(value, "enabled");
        yaml_check_keys(l, value, "metadata", keys);
        if (on != NULL && !nrd_value_get_bool(on, enabled)) {
            yaml_find(l, on, status_new(NRD_INVALID_ARG, "'enabled' must be true or false"));
        }
        *policy = nrd_value_get(value, "policy") == NULL ? *policy : yaml_text(l, value, "policy");
    } else if (!nrd_value_get_bool(value, enabled)) {
        yaml_find(l, value,
                  status_new(NRD_INVALID_ARG, "'metadata' must be true, false, a policy or a map"));
        return false;
    }
    return true;
}

struct nrd_operator *yaml_add_operator(struct yaml_loader *l, struct yaml_scope *scope,
                                       const char *name, const struct nrd_value *entry)
{
    struct nrd_operator *op = NULL;
    bool enabled = true;
    const char *policy = NULL;
    if (name[0] == '\0') {
        yaml_find(l, entry, status_new(NRD_INVALID_ARG, "an operator needs a name"));
        return NULL;
    }
    const struct nrd_operator_class *table = find_class(l, entry, name);
    struct nrd_value *params = nrd_value_map();
    struct nrd_status *status =
        params == NULL ? status_no_memory() : gather_parameters(l, scope, name, entry, params);
    if (status == NULL && table != NULL) {
        const struct nrd_value *own = nrd_value_get(entry, "parameters");
        own = own == NULL ? entry : own;
        params->position = own->position;
        value_file_unref(params->file);
        params->file = value_file_ref(own->file);
        status = nrd_add_operator_class(scope->fragment, table, name, params, &op);
    }
    if (status == NULL && op != NULL) {
        status = map_put(&scope->operators, slice_of(name), op, NULL);
    }
    if (status == NULL && op != NULL &&
        read_metadata(l, nrd_value_get(entry, "metadata"), &enabled, &policy)) {
        status = nrd_operator_set_metadata(op, enabled, policy);
    }
    if (status == NULL && op == NULL) {
        status = map_put(&scope->failed, slice_of(name), l, NULL);
    } else if (op == NULL) {
        status_free(map_put(&scope->failed, slice_of(name), l, NULL));
    }
    yaml_find(l, entry, status);
    nrd_value_free(params);
    return op;
}

static void load_instance(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                          const struct nrd_value *entry);

static void load_operator(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                          const struct nrd_value *entry)
{
    static const char *const keys[] = {"name",       "type",     "parameters", "parameters_from",
                                       "conditions", "metadata", "subgraph",   NULL};
    char what[160];
    snprintf(what, sizeof what, "operator '%s'", name);
    yaml_check_keys(l, entry, what, keys);
    if (nrd_value_get(entry, "subgraph") != NULL) {
        load_instance(l, scope, name, entry);
        return;
    }
    struct nrd_operator *op = yaml_add_operator(l, scope, name, entry);
    if (op != NULL) {
        load_own_conditions(l, op, nrd_value_get(entry, "conditions"));
    }
}

// ---- subgraphs ------------------------------------------------------------------------------------------------------

struct instance {
    struct yaml_loader *l;
    const struct nrd_value *definition;
    const struct nrd_value *overrides;
    const char *name;
    unsigned depth;
};

typedef struct nrd_status *(*expose_fn)(struct nrd_subgraph *subgraph, const char *name,
                                        struct nrd_operator *op, const char *port);

// `inputs: {name: operator.port}` and `outputs:` of a subgraph.
static void expose(struct yaml_loader *l, struct yaml_scope *scope, struct nrd_subgraph *subgraph,
                   const struct nrd_value *ports, bool output, expose_fn fn)
{
    for (size_t i = 0; i < nrd_value_count(ports); i++) {
        const struct nrd_value *at = nrd_value_at(ports, i);
        struct nrd_operator *op;
        const char *port;
        if (yaml_resolve(l, scope, at, slice_of(nrd_value_text(at)), output, &op, &port)) {
            yaml_find(l, at, fn(subgraph, nrd_value_key(ports, i), op, port));
        }
    }
}

static struct nrd_status *compose(struct nrd_subgraph *subgraph, struct nrd_fragment *fragment,
                                  void *arg)
{
    static const char *const keys[] = {"name",   "operators", "flows", "conditions",
                                       "inputs", "outputs",   NULL};
    struct instance *i = arg;
    struct yaml_scope scope;
    yaml_scope_init(&scope, i->name, fragment);
    scope.overrides = i->overrides;
    scope.depth = i->depth;
    yaml_check_keys(i->l, i->definition, "subgraph", keys);
    yaml_each(i->l, &scope, nrd_value_get(i->definition, "operators"), "operators", load_operator);
    yaml_each(i->l, &scope, nrd_value_get(i->definition, "conditions"), "conditions",
              load_condition);
    yaml_load_flows(i->l, &scope, nrd_value_get(i->definition, "flows"));
    expose(i->l, &scope, subgraph, nrd_value_get(i->definition, "inputs"), false,
           nrd_subgraph_expose_input);
    expose(i->l, &scope, subgraph, nrd_value_get(i->definition, "outputs"), true,
           nrd_subgraph_expose_output);
    yaml_scope_fini(&scope);
    return NULL;
}

static void load_instance(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                          const struct nrd_value *entry)
{
    const char *which = yaml_text(l, entry, "subgraph");
    const struct nrd_value *definition = nrd_value_get(nrd_value_get(l->root, "subgraphs"), which);
    struct instance i = {l, definition, nrd_value_get(entry, "parameters"), name, scope->depth + 1};
    struct nrd_subgraph *subgraph = NULL;
    if (nrd_value_kind(definition) != NRD_VALUE_MAP) {
        yaml_find(
            l, entry,
            status_new(NRD_INVALID_ARG, "operator '%s': there is no subgraph '%s'", name, which));
        return;
    }
    if (i.depth > INSTANCES_MAX) {
        yaml_find(l, entry,
                  status_new(NRD_INVALID_ARG, "operator '%s': subgraphs are nested deeper than %d",
                             name, INSTANCES_MAX));
        return;
    }
    struct nrd_status *status = nrd_add_subgraph(scope->fragment, name, compose, &i, &subgraph);
    if (status == NULL) {
        status = map_put(&scope->subgraphs, slice_of(name), subgraph, NULL);
    }
    yaml_find(l, entry, status);
}

// ---- schedulers and threads -----------------------------------------------------------------------------------------

// "event", "event_based", "event_based_scheduler", "EventBasedScheduler", "holoscan::EventBasedScheduler" are one.
static const char *scheduler_type(const char *text)
{
    static const struct {
        const char *word;
        const char *type;
    } words[] = {
        {"greedy", "GreedyScheduler"},         {"multithread", "MultiThreadScheduler"},
        {"multi", "MultiThreadScheduler"},     {"workerpool", "MultiThreadScheduler"},
        {"eventbased", "EventBasedScheduler"}, {"event", "EventBasedScheduler"},
    };
    char word[64] = "";
    size_t length = 0;
    const char *bare = strrchr(text, ':') == NULL ? text : strrchr(text, ':') + 1;
    for (; *bare != '\0' && length + 1 < sizeof word; bare++) {
        if (*bare != '_' && *bare != '-' && *bare != ' ') {
            word[length++] = *bare >= 'A' && *bare <= 'Z' ? (char)(*bare - 'A' + 'a') : *bare;
        }
    }
    if (slice_ends(slice_make(word, length), SLICE("scheduler"))) {
        word[length - strlen("scheduler")] = '\0';
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(word, words[i].word) == 0) {
            return words[i].type;
        }
    }
    return text;
}

void yaml_load_scheduler(struct yaml_loader *l, struct yaml_scope *scope,
                         const struct nrd_value *scheduler)
{
    static const char *const reserved[] = {"type", "name", NULL};
    const struct nrd_value *given = nrd_value_get(l->options, "scheduler");
    const char *type = "";
    struct nrd_value *params = NULL;
    if (scheduler == NULL && given == NULL) {
        return;
    }
    if (nrd_value_kind(scheduler) == NRD_VALUE_MAP) {
        type = yaml_text(l, scheduler, "type");
        params = yaml_parameters(scheduler, reserved);
    } else {
        type = nrd_value_text(scheduler);
        params = nrd_value_map();
    }
    struct nrd_value *more = given == NULL ? NULL : yaml_parameters(given, reserved);
    struct nrd_status *status = params == NULL || (given != NULL && more == NULL)
                                    ? status_no_memory()
                                    : yaml_overlay(params, more);
    if (nrd_value_get(given, "type") != NULL) {
        type = nrd_value_text(nrd_value_get(given, "type"));
    } else if (type[0] == '\0') {
        type = nrd_value_get(params, "worker_thread_number") == NULL ? "greedy" : "event";
    }
    if (status == NULL) {
        status = nrd_set_scheduler(scope->fragment, scheduler_type(type), params);
    }
    yaml_find(l, scheduler, status);
    nrd_value_free(more);
    nrd_value_free(params);
}

struct pinned {
    const char *name;
    struct nrd_thread_options options;
    int policy;
    int64_t priority;
};
static const char *const policies[] = {"none", "fifo", "rr", "deadline", NULL};
static const struct nrd_param pinned_params[] = {
    {"operator", NRD_PARAM_STRING, 0, offsetof(struct pinned, name)},
    {"pin", NRD_PARAM_BOOL, 0, offsetof(struct pinned, options.pin), "true"},
    {"policy", NRD_PARAM_CHOICE, 0, offsetof(struct pinned, policy), "none", policies},
    {"priority", NRD_PARAM_INT, 0, offsetof(struct pinned, priority), "0", NULL, 0, 99},
    {"cores", NRD_PARAM_STRING, NRD_PARAM_OPTIONAL, offsetof(struct pinned, options.cores)},
    {"runtime", NRD_PARAM_DURATION, 0, offsetof(struct pinned, options.runtime_ns), "0"},
    {"deadline", NRD_PARAM_DURATION, 0, offsetof(struct pinned, options.deadline_ns), "0"},
    {"period", NRD_PARAM_DURATION, 0, offsetof(struct pinned, options.period_ns), "0"},
    {NULL},
};

// One operator of a pool: its name alone, or a map.
static struct nrd_status *pool_operator(struct yaml_loader *l, struct yaml_scope *scope,
                                        struct nrd_thread_pool *pool, const struct nrd_value *entry)
{
    struct pinned p = {.options.pin = true};
    struct param_scope params = {"thread pool", &l->store, NULL, NULL};
    if (nrd_value_kind(entry) == NRD_VALUE_STRING) {
        p.name = nrd_value_text(entry);
    } else {
        NRD_TRY(param_apply(&params, pinned_params, entry, &p));
    }
    struct nrd_operator *op = map_get(&scope->operators, slice_of(p.name));
    if (op == NULL) {
        return value_error(NRD_INVALID_ARG, entry, "thread pool: there is no operator '%s'",
                           p.name);
    }
    p.options.policy = p.policy == 0 ? NULL : policies[p.policy];
    p.options.priority = (int)p.priority;
    return nrd_thread_pool_add(pool, op, &p.options);
}

static void load_thread_pool(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                             const struct nrd_value *entry)
{
    static const char *const keys[] = {"name", "threads", "operators", NULL};
    const struct nrd_value *threads = nrd_value_get(entry, "threads");
    const struct nrd_value *operators = nrd_value_get(entry, "operators");
    struct nrd_thread_pool *pool = NULL;
    int64_t count = 1;
    yaml_check_keys(l, entry, "thread pool", keys);
    if (threads != NULL && (!nrd_value_get_int(threads, &count) || count < 1 || count > 1024)) {
        yaml_find(
            l, threads,
            status_new(NRD_INVALID_ARG, "thread pool '%s': 'threads' must be 1 to 1024", name));
        return;
    }
    struct nrd_status *status = nrd_add_thread_pool(scope->fragment, name, (uint32_t)count, &pool);
    if (status != NULL) {
        yaml_find(l, entry, status);
        return;
    }
    for (size_t i = 0; i < nrd_value_count(operators); i++) {
        const struct nrd_value *at = nrd_value_at(operators, i);
        yaml_find(l, at, pool_operator(l, scope, pool, at));
    }
}

static void load_logger(struct yaml_loader *l, struct yaml_scope *scope, const char *name,
                        const struct nrd_value *entry)
{
    (void)name;
    static const char *const reserved[] = {"type", "name", NULL};
    struct nrd_value *params = yaml_parameters(entry, reserved);
    yaml_find(l, entry,
              params == NULL
                  ? status_no_memory()
                  : nrd_add_data_logger(scope->fragment, yaml_text(l, entry, "type"), params));
    nrd_value_free(params);
}

// ---- the section ----------------------------------------------------------------------------------------------------

void yaml_load_section(struct yaml_loader *l, struct yaml_scope *scope,
                       const struct nrd_value *section)
{
    const struct nrd_value *resources = nrd_value_get(section, "resources");
    bool enabled = true;
    const char *policy = NULL;
    if (!is_packaging(resources)) {
        yaml_each(l, scope, resources, "resources", load_resource);
    }
    const struct nrd_value *metadata = nrd_value_get(section, "metadata");
    if (read_metadata(l, metadata, &enabled, &policy)) {
        yaml_find(l, metadata, nrd_fragment_set_metadata(scope->fragment, enabled, policy));
    }
    yaml_each(l, scope, nrd_value_get(section, "operators"), "operators", load_operator);
    yaml_each(l, scope, nrd_value_get(section, "conditions"), "conditions", load_condition);
    yaml_load_scheduler(l, scope, nrd_value_get(section, "scheduler"));
    yaml_each(l, scope, nrd_value_get(section, "thread_pools"), "thread_pools", load_thread_pool);
    yaml_each(l, scope, nrd_value_get(section, "data_loggers"), "data_loggers", load_logger);
}
