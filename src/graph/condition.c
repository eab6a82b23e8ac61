// SPDX-License-Identifier: Apache-2.0
// Conditions: the table of types, and how one is added to an operator. What each type does is in condition_port.c (messages and
// room), condition_time.c (counts and times) and condition_async.c (what others decide).
#include "graph/condition.h"

#include <string.h>

#include "base/mem.h"
#include "graph/condition_types.h"
#include "graph/registry.h"

static const struct condition_type *const TYPES[] = {
    &condition_message_available,
    &condition_downstream_affordable,
    &condition_multi_message,
    &condition_multi_message_timeout,
    &condition_expiring_message,
    &condition_first_pick_over,
    &condition_count,
    &condition_boolean,
    &condition_periodic,
    &condition_timeout,
    &condition_deadline,
    &condition_asynchronous,
    &condition_memory_available,
    &condition_cuda_stream,
    &condition_cuda_event,
    &condition_cuda_buffer_available,
};

enum { TYPE_COUNT = sizeof(TYPES) / sizeof(TYPES[0]) };

const struct condition_type *condition_type_find(const char *name)
{
    const char *bare = registry_bare_name(name);
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        size_t length = strlen(bare);
        if (strncmp(TYPES[i]->name, bare, length) == 0 &&
            (TYPES[i]->name[length] == '\0' || strcmp(TYPES[i]->name + length, "Condition") == 0)) {
            return TYPES[i];
        }
    }
    return NULL;
}

static bool is_none(const char *type)
{
    const char *bare = registry_bare_name(type);
    return strcmp(bare, "NoneCondition") == 0 || strcmp(bare, "None") == 0;
}

static struct nrd_status *unknown_type(const struct nrd_operator *op, const char *type)
{
    struct str list = STR_INIT;
    for (size_t i = 0; i < TYPE_COUNT; i++) {
        str_printf(&list, "%s, ", TYPES[i]->name);
    }
    struct nrd_status *status = status_new(
        NRD_NOT_FOUND, "operator '%s': unknown condition '%s'; there are %sNoneCondition", op->name,
        type, str_cstr(&list));
    str_fini(&list);
    return status;
}

// Allocates one and hangs it on the operator.
static struct nrd_status *create(struct nrd_operator *op, const struct condition_type *type,
                                 const char *name, struct nrd_condition **condition)
{
    struct nrd_app *app = op->fragment->app;
    struct nrd_condition *c = arena_calloc(&app->arena, 1, sizeof(*c));
    if (c == NULL) {
        return status_no_memory();
    }
    c->type = type;
    c->op = op;
    c->name = type->name;
    if (name != NULL && name[0] != '\0') {
        c->name = arena_strdup(&app->arena, slice_of(name));
    }
    c->state = arena_calloc(&app->arena, 1, type->state_size == 0 ? 1 : type->state_size);
    if (c->name == NULL || c->state == NULL) {
        return status_no_memory();
    }
    param_store_init(&c->store);
    if (!graph_list_add(app, &op->conditions, c)) {
        param_store_fini(&c->store);
        return status_no_memory();
    }
    app_invalidate(app);
    *condition = c;
    return NULL;
}

// Takes a condition that turned out wrong off the operator again: it was the last.
static struct nrd_status *give_up(struct nrd_condition *c, struct nrd_status *status)
{
    param_store_fini(&c->store);
    c->op->conditions.count--;
    return status;
}

static struct nrd_status *set_ports(struct nrd_condition *c, struct graph_port *const *ports,
                                    size_t count)
{
    c->ports = arena_calloc(&c->op->fragment->app->arena, count, sizeof(struct graph_port *));
    if (c->ports == NULL) {
        return status_no_memory();
    }
    memcpy(c->ports, ports, count * sizeof(struct graph_port *));
    c->port_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        ports[i]->condition = PORT_CONDITION_REPLACED;
    }
    return NULL;
}

// The parameters without `receiver` and `transmitter`, which name the port. Returns owned (NULL for none).
static struct nrd_status *split_params(const struct nrd_value *params, struct nrd_value **rest,
                                       const char **receiver, const char **transmitter)
{
    *rest = NULL;
    if (nrd_value_kind(params) != NRD_VALUE_MAP) {
        return NULL;
    }
    for (size_t i = 0; i < nrd_value_count(params); i++) {
        const char *key = nrd_value_key(params, i);
        const struct nrd_value *value = nrd_value_at(params, i);
        if (strcmp(key, "receiver") == 0) {
            *receiver = nrd_value_text(value);
            continue;
        }
        if (strcmp(key, "transmitter") == 0) {
            *transmitter = nrd_value_text(value);
            continue;
        }
        if (*rest == NULL && (*rest = nrd_value_map()) == NULL) {
            return status_no_memory();
        }
        struct nrd_status *status = nrd_value_set(*rest, key, nrd_value_copy(value));
        if (status != NULL) {
            nrd_value_free(*rest);
            *rest = NULL;
            return status;
        }
    }
    return NULL;
}

static struct nrd_status *apply_params(struct nrd_condition *c, const struct nrd_value *params)
{
    struct str what = STR_INIT;
    str_printf(&what, "operator '%s': condition '%s'", c->op->name, c->name);
    struct param_scope scope = {.what = str_cstr(&what),
                                .store = &c->store,
                                .resource = fragment_resolve_resource,
                                .resource_arg = c->op->fragment};
    struct nrd_status *status = param_apply(&scope, c->type->params, params, c->state);
    str_fini(&what);
    if (status == NULL && c->type->prepare != NULL) {
        status = c->type->prepare(c, c->state);
        if (status != NULL) {
            status = status_wrap(status, "operator '%s': condition '%s': ", c->op->name, c->name);
        }
    }
    return status;
}

// The port that a port's condition is about.
static struct nrd_status *find_port(struct nrd_operator *op, const struct condition_type *type,
                                    const char *receiver, const char *transmitter,
                                    struct graph_port **port)
{
    bool output = transmitter != NULL ||
                  (receiver == NULL && type != NULL && type == &condition_downstream_affordable);
    return operator_find_port(op, output ? transmitter : receiver, output, port);
}

static struct nrd_status *remove_default(struct nrd_operator *op, const char *receiver,
                                         const char *transmitter)
{
    if (receiver == NULL && transmitter == NULL) {
        return status_new(NRD_INVALID_ARG,
                          "operator '%s': NoneCondition needs a receiver or a transmitter",
                          op->name);
    }
    struct graph_port *port;
    NRD_TRY(find_port(op, NULL, receiver, transmitter, &port));
    port->condition = PORT_CONDITION_NONE;
    app_invalidate(op->fragment->app);
    return NULL;
}

struct nrd_status *nrd_add_condition(struct nrd_operator *op, const char *type, const char *name,
                                     const struct nrd_value *params,
                                     struct nrd_condition **condition)
{
    struct nrd_value *rest = NULL;
    const char *receiver = NULL;
    const char *transmitter = NULL;
    const struct condition_type *found = condition_type_find(type);
    if (found == NULL && !is_none(type)) {
        return unknown_type(op, type);
    }
    if (found == &condition_asynchronous && op->async != NULL) {
        return status_new(NRD_ALREADY_EXISTS, "operator '%s' already has an %s", op->name,
                          found->name);
    }
    NRD_TRY(split_params(params, &rest, &receiver, &transmitter));
    struct nrd_status *status = NULL;
    if (found == NULL) {
        status = remove_default(op, receiver, transmitter);
        goto done;
    }
    struct nrd_condition *c;
    struct graph_port *port = NULL;
    if (found->is_port) {
        status = find_port(op, found, receiver, transmitter, &port);
    } else if (found->is_multi) {
        status = status_new(NRD_INVALID_ARG,
                            "operator '%s': %s is over several ports: name them with "
                            "nrd_add_multi_port_condition()",
                            op->name, found->name);
    }
    if (status != NULL || (status = create(op, found, name, &c)) != NULL) {
        goto done;
    }
    status = port == NULL ? NULL : set_ports(c, &port, 1);
    if (status == NULL) {
        status = apply_params(c, rest);
    }
    if (status != NULL) {
        status = give_up(c, status);
        goto done;
    }
    if (found == &condition_asynchronous) {
        op->async = c;
    }
    if (condition != NULL) {
        *condition = c;
    }
done:
    nrd_value_free(rest);
    return status;
}

struct nrd_status *nrd_add_multi_port_condition(struct nrd_operator *op, const char *type,
                                                const char *const *ports, size_t count,
                                                const struct nrd_value *params)
{
    enum { PORTS_MAX = 256 };
    const struct condition_type *found = condition_type_find(type);
    if (found == NULL || !found->is_multi) {
        return found == NULL ? unknown_type(op, type)
                             : status_new(NRD_INVALID_ARG,
                                          "operator '%s': %s is about one port, not about several",
                                          op->name, found->name);
    }
    if (count == 0 || count > PORTS_MAX) {
        return status_new(NRD_INVALID_ARG, "operator '%s': %s over %zu ports (1 to %d)", op->name,
                          found->name, count, PORTS_MAX);
    }
    struct graph_port *list[PORTS_MAX];
    for (size_t i = 0; i < count; i++) {
        NRD_TRY(operator_find_port(op, ports[i], false, &list[i]));
    }
    struct nrd_condition *c;
    NRD_TRY(create(op, found, NULL, &c));
    struct nrd_status *status = set_ports(c, list, count);
    if (status == NULL) {
        status = apply_params(c, params);
    }
    return status == NULL ? NULL : give_up(c, status);
}

// ---- "or" ----

struct or_state {
    struct nrd_condition **members;
    uint32_t count;
};

static enum nrd_condition_state or_check(struct nrd_condition *c, void *state, int64_t now,
                                         int64_t *target)
{
    struct or_state *s = state;
    (void)c;
    bool ready = false;
    bool timed = false;
    bool event = false;
    int64_t earliest = INT64_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        struct nrd_condition *member = s->members[i];
        int64_t when = 0;
        switch (member->type->check(member, member->state, now, &when)) {
        case NRD_CONDITION_NEVER:
            return NRD_CONDITION_NEVER;
        case NRD_CONDITION_READY:
            ready = true;
            break;
        case NRD_CONDITION_WAIT_TIME:
            timed = true;
            earliest = when < earliest ? when : earliest;
            break;
        case NRD_CONDITION_WAIT_EVENT:
            event = true;
            break;
        case NRD_CONDITION_WAIT:
            break;
        }
    }
    *target = earliest;
    return ready   ? NRD_CONDITION_READY
           : timed ? NRD_CONDITION_WAIT_TIME
           : event ? NRD_CONDITION_WAIT_EVENT
                   : NRD_CONDITION_WAIT;
}

static void or_executed(struct nrd_condition *c, void *state, int64_t now)
{
    struct or_state *s = state;
    (void)c;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->members[i]->type->executed != NULL) {
            s->members[i]->type->executed(s->members[i], s->members[i]->state, now);
        }
    }
}

static const struct condition_type condition_or = {
    .name = "OrConditionCombiner",
    .state_size = sizeof(struct or_state),
    .is_timed = true,
    .check = or_check,
    .executed = or_executed,
};

// The condition of a port, made as its default when it has none of its own.
static struct nrd_status *port_condition(struct graph_port *port, struct nrd_condition **condition)
{
    struct nrd_operator *op = port->op;
    for (uint32_t i = 0; i < op->conditions.count; i++) {
        struct nrd_condition *c = op->conditions.items[i];
        if (c->port_count == 1 && c->ports[0] == port && c->any == NULL) {
            *condition = c;
            return NULL;
        }
    }
    struct nrd_condition *c;
    NRD_TRY(create(
        op, port->is_output ? &condition_downstream_affordable : &condition_message_available, NULL,
        &c));
    struct nrd_status *status = set_ports(c, &port, 1);
    if (status == NULL) {
        status = apply_params(c, NULL);
    }
    if (status == NULL) {
        *condition = c;
        return NULL;
    }
    return give_up(c, status);
}

struct nrd_status *nrd_combine_or(struct nrd_operator *op, const char *const *ports, size_t count)
{
    struct nrd_condition *any;
    struct arena *arena = &op->fragment->app->arena;
    struct nrd_condition **members = arena_calloc(arena, count, sizeof(*members));
    if (members == NULL) {
        return status_no_memory();
    }
    for (size_t i = 0; i < count; i++) {
        struct graph_port *port = NULL;
        struct nrd_status *status = operator_find_port(op, ports[i], false, &port);
        if (status != NULL) {
            struct nrd_status *as_output = operator_find_port(op, ports[i], true, &port);
            if (as_output != NULL) {
                status_free(as_output);
                return status;
            }
            status_free(status);
        }
        NRD_TRY(port_condition(port, &members[i]));
    }
    NRD_TRY(create(op, &condition_or, NULL, &any));
    struct or_state *s = any->state;
    s->members = members;
    s->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        members[i]->any = any;
    }
    return NULL;
}

// ---- the caller's own ----

struct custom_state {
    const struct nrd_condition_class *table;
    void *self;
};

static enum nrd_condition_state custom_check(struct nrd_condition *c, void *state, int64_t now,
                                             int64_t *target)
{
    const struct custom_state *s = state;
    (void)c;
    return s->table->check(s->self, now, target);
}

static void custom_executed(struct nrd_condition *c, void *state, int64_t now)
{
    const struct custom_state *s = state;
    (void)c;
    if (s->table->executed != NULL) {
        s->table->executed(s->self, now);
    }
}

static const struct condition_type condition_custom = {
    .name = "CustomCondition",
    .state_size = sizeof(struct custom_state),
    .is_timed = true,
    .check = custom_check,
    .executed = custom_executed,
    .looks_at_all = true,
};

struct nrd_status *nrd_add_condition_class(struct nrd_operator *op,
                                           const struct nrd_condition_class *table, void *self,
                                           struct nrd_condition **condition)
{
    if (table->check == NULL) {
        return status_new(NRD_INVALID_ARG, "operator '%s': condition '%s' has no check", op->name,
                          table->name == NULL ? "" : table->name);
    }
    struct nrd_condition *c;
    NRD_TRY(create(op, &condition_custom, table->name, &c));
    *(struct custom_state *)c->state = (struct custom_state){.table = table, .self = self};
    if (condition != NULL) {
        *condition = c;
    }
    return NULL;
}

void nrd_condition_notify(struct nrd_condition *condition)
{
    if (condition->exec != NULL) {
        exec_wake_outside(condition->exec);
    }
}

void condition_describe(const struct nrd_condition *c, struct str *out)
{
    if (c->type == &condition_or) {
        const struct or_state *s = c->state;
        for (uint32_t i = 0; i < s->count; i++) {
            str_append_cstr(out, i == 0 ? "" : " or ");
            condition_describe(s->members[i], out);
        }
        return;
    }
    if (c->port_count == 0) {
        str_printf(out, "its %s", c->name);
        return;
    }
    str_append_cstr(out, c->ports[0]->is_output ? "room for output " : "messages on input ");
    for (uint32_t i = 0; i < c->port_count; i++) {
        str_printf(out, "%s'%s'", i == 0 ? "" : ", ", c->ports[i]->table.name);
    }
}
