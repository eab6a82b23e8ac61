// SPDX-License-Identifier: Apache-2.0
// Flows: "a.out -> b.in", chains and lists of it ("a -> b, c -> d"), or a map {from, to, ports, capacity, policy, latest}.
// An end is found by the names that are there, longest operator first, so that a name may hold dots. Start at
// yaml_load_flows().
#include "graph/yaml_app.h"

#include <stdio.h>
#include <stdlib.h>

#include "graph/nearest.h"

enum { ENDS_MAX = 64, NAME_MAX_LENGTH = 255 };

struct ends {
    struct slice texts[ENDS_MAX];
    size_t count;
};

// ---- one end --------------------------------------------------------------------------------------------------------

// A terminated copy in the store. NULL: no memory.
static const char *copy_text(struct yaml_loader *l, struct slice text)
{
    return arena_strdup(&l->store.arena, text);
}

// What a scope has under `name`: an operator, or the port of an instance of a subgraph. False: nothing.
static bool lookup(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *at,
                   struct slice name, const char *port, struct nrd_operator **op,
                   const char **found_port, bool *failed)
{
    struct nrd_operator *found = map_get(&scope->operators, name);
    struct nrd_subgraph *subgraph = map_get(&scope->subgraphs, name);
    if (found == NULL && slice_is(name, "<|start|>")) {
        found = nrd_start_operator(scope->fragment);
    }
    if (found != NULL) {
        *op = found;
        *found_port = port;
        return true;
    }
    if (subgraph == NULL) {
        return false;
    }
    struct nrd_status *status = nrd_subgraph_port(subgraph, port, op, found_port);
    if (status != NULL) {
        yaml_find(l, at, status);
        *failed = true;
    }
    return true;
}

// Splits at each dot from the right: what is before it may be an operator, what is after it its port.
static bool resolve_in(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *at,
                       struct slice text, struct nrd_operator **op, const char **port, bool *failed)
{
    if (lookup(l, scope, at, text, "", op, port, failed)) {
        return true;
    }
    for (size_t i = text.len; i-- > 0;) {
        struct slice after = {text.ptr + i + 1, text.len - i - 1};
        if (text.ptr[i] != '.' || after.len == 0) {
            continue;
        }
        const char *name = copy_text(l, after);
        if (name == NULL) {
            return false;
        }
        if (lookup(l, scope, at, (struct slice){text.ptr, i}, name, op, port, failed)) {
            return true;
        }
    }
    return false;
}

static void offer_names(struct nearest *near, const struct map *names)
{
    struct map_entry *entry;
    for (size_t i = 0; map_next(names, &i, &entry);) {
        nearest_offer(near, entry->key);
    }
}

static void not_found(struct yaml_loader *l, const struct yaml_scope *scope,
                      const struct nrd_value *at, struct slice text)
{
    struct nearest near;
    char hint[160];
    char name[NAME_MAX_LENGTH + 1];
    struct slice rest = text;
    struct slice part;
    if (!slice_cut(&rest, '.', &part) || part.len > NAME_MAX_LENGTH) {
        part = SLICE("");
    }
    memcpy(name, part.ptr, part.len);
    name[part.len] = '\0';
    nearest_init(&near, name);
    offer_names(&near, &scope->operators);
    offer_names(&near, &scope->subgraphs);
    offer_names(&near, &l->fragments);
    yaml_find(l, at,
              status_new(NRD_INVALID_ARG, "flow: there is no operator '%s'%s", name,
                         nearest_hint(&near, hint, sizeof hint)));
}

// Whether the end is of an operator that has findings of its own.
static bool is_failed(const struct yaml_scope *scope, struct slice text)
{
    for (size_t i = text.len; i > 0; i--) {
        if ((i == text.len || text.ptr[i] == '.') &&
            map_get(&scope->failed, (struct slice){text.ptr, i}) != NULL) {
            return true;
        }
    }
    return false;
}

bool yaml_resolve(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *at,
                  struct slice text, bool output, struct nrd_operator **op, const char **port)
{
    bool failed = false;
    bool found = resolve_in(l, scope, at, text, op, port, &failed);
    failed |= !found && is_failed(scope, text);
    if (!found && scope == &l->first) {
        struct slice rest = text;
        struct slice name;
        struct yaml_scope *fragment = NULL;
        if (slice_cut(&rest, '.', &name) && rest.ptr != NULL) {
            fragment = map_get(&l->fragments, name);
        }
        found = fragment != NULL && resolve_in(l, fragment, at, rest, op, port, &failed);
        failed |= fragment != NULL && !found && is_failed(fragment, rest);
    }
    if (!found && !failed) {
        not_found(l, scope, at, text);
        return false;
    }
    if (failed) {
        return false;
    }
    char key[2 * NAME_MAX_LENGTH + 2];
    int length = snprintf(key, sizeof key, "%p%c%s", (void *)*op, output ? '>' : '<', *port);
    if (length > 0 && (size_t)length < sizeof key) {
        yaml_find(l, at, map_put(&l->first.flowing, slice_make(key, (size_t)length), l, NULL));
    }
    return true;
}

// ---- one flow -------------------------------------------------------------------------------------------------------

struct flow_entry {
    int policy; // 0: the port's
    int64_t capacity;
    bool latest;
};
static const char *const policies[] = {"port", "pop", "reject", "fault", "fail", NULL};
static const struct nrd_param flow_params[] = {
    {"capacity", NRD_PARAM_INT, 0, offsetof(struct flow_entry, capacity), "0", NULL, 0, 1048576},
    {"policy", NRD_PARAM_CHOICE, 0, offsetof(struct flow_entry, policy), "port", policies},
    {"latest", NRD_PARAM_BOOL, 0, offsetof(struct flow_entry, latest), "false"},
    {NULL},
};

static int policy_of(int choice)
{
    static const int table[] = {-1, NRD_QUEUE_POP, NRD_QUEUE_REJECT, NRD_QUEUE_FAULT,
                                NRD_QUEUE_FAULT};
    return table[choice];
}

static void connect(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *at,
                    struct slice from, struct slice to, const struct nrd_flow_options *options)
{
    struct nrd_operator *source;
    struct nrd_operator *sink;
    const char *output;
    const char *input;
    bool good = yaml_resolve(l, scope, at, from, true, &source, &output);
    if (yaml_resolve(l, scope, at, to, false, &sink, &input) && good) {
        yaml_find(l, at, nrd_add_flow(source, output, sink, input, options));
    }
}

// "b.in, c" into its parts.
static bool split_list(struct slice text, struct ends *ends)
{
    struct slice part;
    ends->count = 0;
    while (slice_cut(&text, ',', &part)) {
        part = slice_trim(part);
        if (part.len == 0 || ends->count == ENDS_MAX) {
            return false;
        }
        ends->texts[ends->count++] = part;
    }
    return ends->count > 0;
}

static void connect_lists(struct yaml_loader *l, struct yaml_scope *scope,
                          const struct nrd_value *at, const struct ends *from,
                          const struct ends *to, const struct nrd_flow_options *options)
{
    for (size_t i = 0; i < from->count; i++) {
        for (size_t j = 0; j < to->count; j++) {
            connect(l, scope, at, from->texts[i], to->texts[j], options);
        }
    }
}

// Cuts `rest` at the first "->". False when `rest` was used up.
static bool cut_arrow(struct slice *rest, struct slice *part)
{
    if (rest->ptr == NULL) {
        return false;
    }
    const char *arrow = memmem(rest->ptr, rest->len, "->", 2);
    size_t length = arrow == NULL ? rest->len : (size_t)(arrow - rest->ptr);
    *part = (struct slice){rest->ptr, length};
    *rest =
        arrow == NULL ? (struct slice){NULL, 0} : (struct slice){arrow + 2, rest->len - length - 2};
    return true;
}

static void load_text(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *at,
                      const struct nrd_flow_options *options)
{
    struct ends ends[2];
    struct slice rest = slice_of(nrd_value_text(at));
    struct slice part;
    size_t parts = 0;
    while (cut_arrow(&rest, &part)) {
        if (!split_list(part, &ends[parts % 2])) {
            parts = 0;
            break;
        }
        if (parts > 0) {
            connect_lists(l, scope, at, &ends[(parts + 1) % 2], &ends[parts % 2], options);
        }
        parts++;
    }
    if (parts < 2) {
        yaml_find(l, at,
                  status_new(NRD_INVALID_ARG, "'%s' is no flow (such as 'a.out -> b.in')",
                             nrd_value_text(at)));
    }
}

// One end with a port added to it: "a" and "out" are "a.out".
static struct slice with_port(struct yaml_loader *l, const char *end, const char *port)
{
    struct str text = STR_INIT;
    str_printf(&text, port[0] == '\0' ? "%s" : "%s.%s", end, port);
    const char *copy = text.failed ? NULL : copy_text(l, str_slice(&text));
    str_fini(&text);
    return slice_of(copy);
}

// `ports: {out: in, out2: [in, in2]}`: holoscan's port map.
static void load_port_map(struct yaml_loader *l, struct yaml_scope *scope,
                          const struct nrd_value *ports, const char *from, const char *to,
                          const struct nrd_flow_options *options)
{
    if (nrd_value_kind(ports) != NRD_VALUE_MAP) {
        yaml_find(l, ports,
                  status_new(NRD_INVALID_ARG, "'ports' must be a map from output to input"));
    }
    for (size_t i = 0; i < nrd_value_count(ports); i++) {
        const struct nrd_value *input = nrd_value_at(ports, i);
        bool list = nrd_value_kind(input) == NRD_VALUE_LIST;
        for (size_t j = 0; j < (list ? nrd_value_count(input) : 1); j++) {
            const struct nrd_value *one = list ? nrd_value_at(input, j) : input;
            connect(l, scope, one, with_port(l, from, nrd_value_key(ports, i)),
                    with_port(l, to, nrd_value_text(one)), options);
        }
    }
}

static void load_map(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *flow,
                     const struct nrd_flow_options *fallback)
{
    static const char *const reserved[] = {"from", "to", "ports", NULL};
    struct flow_entry entry = {0};
    struct param_scope params = {"flow", &l->store, NULL, NULL};
    struct nrd_flow_options options = *fallback;
    struct ends from;
    struct ends to;
    struct nrd_value *rest = yaml_parameters(flow, reserved);
    struct nrd_status *status =
        rest == NULL ? status_no_memory() : param_apply(&params, flow_params, rest, &entry);
    nrd_value_free(rest);
    if (status != NULL) {
        yaml_find(l, flow, status);
        return;
    }
    options.capacity = (uint32_t)entry.capacity;
    options.policy = entry.policy == 0 ? fallback->policy : policy_of(entry.policy);
    options.latest = entry.latest;
    const struct nrd_value *list = nrd_value_get(flow, "to");
    if (nrd_value_get(flow, "ports") != NULL) {
        load_port_map(l, scope, nrd_value_get(flow, "ports"), yaml_text(l, flow, "from"),
                      yaml_text(l, flow, "to"), &options);
        return;
    }
    bool good = split_list(slice_of(yaml_text(l, flow, "from")), &from);
    if (nrd_value_kind(list) == NRD_VALUE_LIST) {
        to.count = 0;
        if (nrd_value_count(list) > ENDS_MAX) {
            yaml_find(l, list,
                      status_new(NRD_INVALID_ARG, "'to' names %zu inputs, at most %d can be named",
                                 nrd_value_count(list), ENDS_MAX));
            return;
        }
        for (size_t i = 0; i < nrd_value_count(list); i++) {
            to.texts[to.count++] = slice_of(nrd_value_text(nrd_value_at(list, i)));
        }
        good = good && to.count > 0;
    } else {
        good = split_list(slice_of(nrd_value_text(list)), &to) && good;
    }
    if (!good) {
        yaml_find(l, flow, status_new(NRD_INVALID_ARG, "a flow needs 'from' and 'to'"));
        return;
    }
    connect_lists(l, scope, flow, &from, &to, &options);
}

// The policy of queues that say nothing themselves: HOLOSCAN_QUEUE_POLICY.
static int default_policy(struct yaml_loader *l)
{
    const char *text = getenv("HOLOSCAN_QUEUE_POLICY");
    if (text == NULL || text[0] == '\0') {
        return -1;
    }
    for (int i = 1; policies[i] != NULL; i++) {
        if (slice_equal_nocase(slice_of(text), slice_of(policies[i]))) {
            return policy_of(i);
        }
    }
    yaml_find(l, NULL,
              status_new(NRD_INVALID_ARG, "HOLOSCAN_QUEUE_POLICY is '%s', not pop, reject or fail",
                         text));
    return -1;
}

void yaml_load_flows(struct yaml_loader *l, struct yaml_scope *scope, const struct nrd_value *flows)
{
    if (nrd_value_kind(flows) == NRD_VALUE_NULL) {
        return;
    }
    struct nrd_flow_options options = {0, default_policy(l), false};
    if (nrd_value_kind(flows) == NRD_VALUE_STRING) {
        load_text(l, scope, flows, &options);
        return;
    }
    if (nrd_value_kind(flows) != NRD_VALUE_LIST) {
        yaml_find(l, flows, status_new(NRD_INVALID_ARG, "'flows' must be a list"));
        return;
    }
    for (size_t i = 0; i < nrd_value_count(flows); i++) {
        const struct nrd_value *flow = nrd_value_at(flows, i);
        if (nrd_value_kind(flow) == NRD_VALUE_MAP) {
            load_map(l, scope, flow, &options);
        } else {
            load_text(l, scope, flow, &options);
        }
    }
}
