// SPDX-License-Identifier: Apache-2.0
// Composing: operators with their ports, and flows between them.
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "graph/plan.h"
#include "graph/registry.h"

enum { STATE_ALIGN = 64 };

// ---- ports ----

static struct nrd_status *check_port(const struct nrd_operator *op, const struct nrd_port *port)
{
    if (port->name == NULL || port->name[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "operator '%s': a port has no name", op->name);
    }
    if (strpbrk(port->name, ".:/") != NULL) {
        return status_new(NRD_INVALID_ARG,
                          "operator '%s': the name of port '%s' may not have '.', ':' or '/' in it",
                          op->name, port->name);
    }
    if (port->min_size > (port->capacity == 0 ? 1 : port->capacity)) {
        return status_new(NRD_INVALID_ARG,
                          "operator '%s': port '%s' wants %u messages, but holds only %u", op->name,
                          port->name, port->min_size, port->capacity == 0 ? 1 : port->capacity);
    }
    return NULL;
}

static char *copy_text(struct nrd_operator *op, const char *text)
{
    return text == NULL ? NULL : arena_strdup(&op->fragment->app->arena, slice_of(text));
}

// Adds a port to the operator; `made` may be NULL.
static struct nrd_status *add_port(struct nrd_operator *op, const struct nrd_port *table,
                                   bool output, struct graph_port **made)
{
    NRD_TRY(check_port(op, table));
    struct graph_list *list = output ? &op->outputs : &op->inputs;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct graph_port *other = list->items[i];
        if (strcmp(other->table.name, table->name) == 0) {
            return status_new(NRD_ALREADY_EXISTS, "operator '%s' already has an %s '%s'", op->name,
                              output ? "output" : "input", table->name);
        }
    }
    struct graph_port *port = arena_calloc(&op->fragment->app->arena, 1, sizeof(*port));
    if (port == NULL) {
        return status_no_memory();
    }
    port->table = *table;
    port->table.name = copy_text(op, table->name);
    port->table.type = copy_text(op, table->type);
    port->table.help = copy_text(op, table->help);
    port->table.capacity = table->capacity == 0 ? 1 : table->capacity;
    port->table.min_size = table->min_size == 0 ? 1 : table->min_size;
    port->op = op;
    port->index = list->count;
    port->is_output = output;
    port->condition =
        (table->flags & NRD_PORT_NO_CONDITION) != 0 ? PORT_CONDITION_NONE : PORT_CONDITION_DEFAULT;
    if (port->table.name == NULL || (table->type != NULL && port->table.type == NULL) ||
        !graph_list_add(op->fragment->app, list, port)) {
        return status_no_memory();
    }
    if (made != NULL) {
        *made = port;
    }
    return NULL;
}

static struct nrd_status *add_table_ports(struct nrd_operator *op, const struct nrd_port *ports,
                                          bool output)
{
    for (; ports != NULL && ports->name != NULL; ports++) {
        NRD_TRY(add_port(op, ports, output, NULL));
    }
    return NULL;
}

static struct nrd_status *add_setup_port(struct nrd_operator *op, const struct nrd_port *port,
                                         bool output, size_t *index)
{
    if (!op->in_setup) {
        return status_new(NRD_INVALID_ARG, "operator '%s': ports can be added in setup only",
                          op->name);
    }
    struct graph_port *made;
    NRD_TRY(add_port(op, port, output, &made));
    if (index != NULL) {
        *index = made->index;
    }
    return NULL;
}

struct nrd_status *nrd_operator_add_input(struct nrd_operator *op, const struct nrd_port *port,
                                          size_t *index)
{
    return add_setup_port(op, port, false, index);
}

struct nrd_status *nrd_operator_add_output(struct nrd_operator *op, const struct nrd_port *port,
                                           size_t *index)
{
    return add_setup_port(op, port, true, index);
}

static void list_ports(const struct graph_list *ports, struct str *out)
{
    const char *separator = "";
    for (uint32_t i = 0; i < ports->count; i++) {
        const struct graph_port *port = ports->items[i];
        if (!port->is_exec) {
            str_printf(out, "%s'%s'", separator, port->table.name);
            separator = ", ";
        }
    }
}

struct nrd_status *operator_find_port(struct nrd_operator *op, const char *name, bool output,
                                      struct graph_port **port)
{
    const struct graph_list *ports = output ? &op->outputs : &op->inputs;
    bool only = name == NULL || name[0] == '\0';
    struct graph_port *found = NULL;
    struct graph_port *optional = NULL;
    uint32_t count = 0;
    uint32_t optional_count = 0;
    for (uint32_t i = 0; i < ports->count; i++) {
        struct graph_port *p = ports->items[i];
        if (only && !p->is_exec && (p->table.flags & NRD_PORT_OPTIONAL) != 0) {
            optional = p;
            optional_count++;
        } else if (only ? !p->is_exec : strcmp(p->table.name, name) == 0) {
            found = p;
            count++;
        }
    }
    if (count == 1 || (count == 0 && optional_count == 1)) {
        *port = count == 1 ? found : optional;
        return NULL;
    }
    struct str list = STR_INIT;
    list_ports(ports, &list);
    const char *kind = output ? "output" : "input";
    struct nrd_status *status =
        list.len == 0
            ? status_new(NRD_NOT_FOUND, "operator '%s' has no %ss%s%s%s", op->name, kind,
                         only ? "" : ", so none named '", only ? "" : name, only ? "" : "'")
        : only ? status_new(NRD_INVALID_ARG, "operator '%s' has more than one %s, say which: %s",
                            op->name, kind, str_cstr(&list))
               : status_new(NRD_NOT_FOUND, "operator '%s' has no %s '%s', it has %s", op->name,
                            kind, name, str_cstr(&list));
    str_fini(&list);
    return status;
}

// ---- operators ----

static struct nrd_status *fill_operator(struct nrd_operator *op, const struct nrd_value *params)
{
    struct nrd_app *app = op->fragment->app;
    op->state =
        mem_aligned(STATE_ALIGN, op->class->state_size == 0 ? STATE_ALIGN : op->class->state_size);
    if (op->state == NULL) {
        return status_no_memory();
    }
    memset(op->state, 0, op->class->state_size);
    NRD_TRY(add_table_ports(op, op->class->inputs, false));
    NRD_TRY(add_table_ports(op, op->class->outputs, true));
    struct param_scope scope = {.what = operator_title(op),
                                .store = &op->store,
                                .resource = fragment_resolve_resource,
                                .resource_arg = op->fragment};
    struct nrd_status *status = param_apply(&scope, op->class->params, params, op->state);
    if (status == NULL && !graph_list_add(app, &op->fragment->operators, op)) {
        status = status_no_memory();
    }
    return status;
}

struct nrd_status *nrd_add_operator_class(struct nrd_fragment *fragment,
                                          const struct nrd_operator_class *table, const char *name,
                                          const struct nrd_value *params, struct nrd_operator **out)
{
    if (table->abi != NRD_OPERATOR_ABI || table->compute == NULL) {
        return status_new(NRD_INVALID_ARG,
                          "operator '%s': its class has ABI %u, this library has "
                          "%d%s",
                          name, table->abi, NRD_OPERATOR_ABI,
                          table->compute == NULL ? "; and it has no compute" : "");
    }
    struct nrd_app *app = fragment->app;
    struct nrd_operator *op = arena_calloc(&app->arena, 1, sizeof(*op));
    if (op == NULL) {
        return status_no_memory();
    }
    op->class = table;
    op->fragment = fragment;
    op->index = fragment->operators.count;
    app_invalidate(app);
    NRD_TRY(fragment_claim_name(fragment, "operator", name, op, &op->name));
    param_store_init(&op->store);
    struct nrd_status *status = fill_operator(op, params);
    if (status != NULL) {
        map_remove(&fragment->names, slice_of(op->name));
        mem_free(op->state);
        param_store_fini(&op->store);
        return status;
    }
    // From here on the operator is the fragment's, also when its setup fails: destroy is then still called.
    if (table->setup != NULL) {
        op->in_setup = true;
        status = table->setup(op, op->state);
        op->in_setup = false;
        if (status != NULL) {
            op->setup_failed = true;
            return status_wrap(status, "operator '%s': ", op->name);
        }
    }
    if (out != NULL) {
        *out = op;
    }
    return NULL;
}

struct nrd_status *nrd_add_operator(struct nrd_fragment *fragment, const char *class_name,
                                    const char *name, const struct nrd_value *params,
                                    struct nrd_operator **op)
{
    const struct nrd_operator_class *table = NULL;
    struct nrd_status *status = registry_find(class_name, &table);
    if (status != NULL) {
        return status_wrap(status, "operator '%s': ", name);
    }
    return nrd_add_operator_class(fragment, table, name, params, op);
}

struct nrd_status *nrd_add_operator_yaml(struct nrd_fragment *fragment, const char *class_name,
                                         const char *name, const char *params,
                                         struct nrd_operator **op)
{
    struct nrd_value *map = NULL;
    if (params != NULL) {
        struct nrd_status *status = nrd_value_parse(params, strlen(params), name, &map);
        if (status != NULL) {
            return status_wrap(status, "operator '%s': ", name);
        }
    }
    struct nrd_status *status = nrd_add_operator(fragment, class_name, name, map, op);
    nrd_value_free(map);
    return status;
}

struct nrd_operator *nrd_fragment_operator(struct nrd_fragment *fragment, const char *name)
{
    for (uint32_t i = 0; i < fragment->operators.count; i++) {
        struct nrd_operator *op = fragment->operators.items[i];
        if (strcmp(op->name, name) == 0) {
            return op;
        }
    }
    return NULL;
}

size_t nrd_fragment_operator_count(const struct nrd_fragment *fragment)
{
    return fragment->operators.count;
}

struct nrd_operator *nrd_fragment_operator_at(struct nrd_fragment *fragment, size_t index)
{
    return index < fragment->operators.count ? fragment->operators.items[index] : NULL;
}

const char *nrd_operator_name(const struct nrd_operator *op)
{
    return op->name;
}

void *nrd_operator_state(struct nrd_operator *op)
{
    return op->state;
}

struct nrd_status *nrd_operator_set_place(struct nrd_operator *op, const char *text)
{
    char *copy = text[0] == '\0' ? NULL : mem_strdup(text);
    if (copy == NULL && text[0] != '\0') {
        return status_no_memory();
    }
    mem_free(op->place);
    op->place = copy;
    return NULL;
}

const char *nrd_operator_place(const struct nrd_operator *op)
{
    return op->place == NULL ? "" : op->place;
}

void nrd_operator_log(const struct nrd_operator *op, enum nrd_log_level level, const char *format,
                      ...)
{
    static const enum log_level LEVELS[] = {LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_VERBOSE};
    enum log_level to = LEVELS[level];
    if (to == LOG_VERBOSE ? !LOG_VERBOSE_ON(1) : !LOG_ON(to)) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_printf(to, op->class->name, 0, "%s: %s", op->name, text);
}

// ---- flows ----

static bool has_data_ports(const struct graph_list *ports)
{
    for (uint32_t i = 0; i < ports->count; i++) {
        if (!((const struct graph_port *)ports->items[i])->is_exec) {
            return true;
        }
    }
    return false;
}

// The implicit port of control, made at the first flow that needs it.
static struct nrd_status *exec_port(struct nrd_operator *op, bool output, struct graph_port **port)
{
    static const struct nrd_port INPUT = {
        .name = "__input_exec__", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_OPTIONAL};
    static const struct nrd_port OUTPUT = {
        .name = "__output_exec__", .policy = NRD_QUEUE_FAULT, .flags = NRD_PORT_OPTIONAL};
    const struct graph_list *ports = output ? &op->outputs : &op->inputs;
    for (uint32_t i = 0; i < ports->count; i++) {
        struct graph_port *p = ports->items[i];
        if (p->is_exec) {
            *port = p;
            return NULL;
        }
    }
    struct graph_port *made;
    NRD_TRY(add_port(op, output ? &OUTPUT : &INPUT, output, &made));
    made->is_exec = true;
    *port = made;
    return NULL;
}

static bool type_fits(const struct graph_port *from, const struct graph_port *to)
{
    return from->table.type == NULL || to->table.type == NULL ||
           strcmp(from->table.type, to->table.type) == 0;
}

static struct nrd_status *check_flow(const struct graph_port *from, const struct graph_port *to)
{
    if (!type_fits(from, to)) {
        return status_new(NRD_INVALID_ARG,
                          "flow '%s.%s' -> '%s.%s': the output sends '%s', the input takes '%s'",
                          from->op->name, from->table.name, to->op->name, to->table.name,
                          from->table.type, to->table.type);
    }
    for (uint32_t i = 0; i < from->flows.count; i++) {
        const struct graph_flow *other = from->flows.items[i];
        if (other->to == to) {
            return status_new(NRD_ALREADY_EXISTS, "flow '%s.%s' -> '%s.%s' is there already",
                              from->op->name, from->table.name, to->op->name, to->table.name);
        }
    }
    return NULL;
}

struct nrd_status *nrd_add_flow(struct nrd_operator *from, const char *output,
                                struct nrd_operator *to, const char *input,
                                const struct nrd_flow_options *options)
{
    struct nrd_app *app = from->fragment->app;
    if (to->fragment->app != app) {
        return status_new(NRD_INVALID_ARG, "flow '%s' -> '%s': they are of two applications",
                          from->name, to->name);
    }
    bool unnamed = (output == NULL || output[0] == '\0') && (input == NULL || input[0] == '\0');
    bool control = unnamed && !has_data_ports(&to->inputs); // as holoscan has it
    struct graph_port *source = NULL;
    struct graph_port *sink = NULL;
    if (control) {
        NRD_TRY(exec_port(from, true, &source));
        NRD_TRY(exec_port(to, false, &sink));
    } else {
        NRD_TRY(operator_find_port(from, output, true, &source));
        NRD_TRY(operator_find_port(to, input, false, &sink));
    }
    NRD_TRY(check_flow(source, sink));
    struct graph_flow *flow = arena_calloc(&app->arena, 1, sizeof(*flow));
    if (flow == NULL) {
        return status_no_memory();
    }
    flow->from = source;
    flow->to = sink;
    flow->options.policy = -1;
    if (options != NULL) {
        flow->options = *options;
    }
    if (flow->options.policy < -1 || flow->options.policy > NRD_QUEUE_FAULT) {
        return status_new(NRD_INVALID_ARG, "flow '%s.%s' -> '%s.%s': %d is no queue policy",
                          from->name, source->table.name, to->name, sink->table.name,
                          flow->options.policy);
    }
    app_invalidate(app);
    if (!graph_list_add(app, &source->flows, flow)) {
        return status_no_memory();
    }
    if (!graph_list_add(app, &sink->flows, flow)) {
        source->flows.count--;
        return status_no_memory();
    }
    return NULL;
}

static size_t flow_count(const struct graph_list *ports, size_t port)
{
    return port < ports->count ? ((const struct graph_port *)ports->items[port])->flows.count : 0;
}

size_t nrd_operator_input_flows(const struct nrd_operator *op, size_t port)
{
    return flow_count(&op->inputs, port);
}

size_t nrd_operator_output_flows(const struct nrd_operator *op, size_t port)
{
    return flow_count(&op->outputs, port);
}

size_t nrd_operator_messages_in_flight(const struct nrd_operator *op, size_t port)
{
    if (port >= op->outputs.count) {
        return 0;
    }
    const struct graph_port *output = op->outputs.items[port];
    size_t total = output->table.capacity; // staged, in the producer's hand
    for (uint32_t i = 0; i < output->flows.count; i++) {
        const struct graph_flow *flow = output->flows.items[i];
        uint32_t hand = flow->to->table.min_size;
        // A latest-value flow: in the slot, and held by the reader.
        total += (flow->options.latest ? 2 : flow_capacity(flow)) + hand;
    }
    return total;
}
