// SPDX-License-Identifier: Apache-2.0
// Resources: the table of their classes, adding and finding them, and what all clocks and all allocators have in common.
// A new one is one file under resources/ with its class, and a row here.
#include "graph/resource.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "graph/nearest.h"
#include "graph/resources/classes.h"
#include "graph/run.h"

static const struct resource_class *const CLASSES[] = {
    &resource_unbounded_allocator, &resource_block_memory_pool, &resource_stream_ordered_allocator,
    &resource_rmm_allocator,       &resource_cuda_stream_pool,  &resource_realtime_clock,
    &resource_manual_clock,        &resource_synthetic_clock,
};
enum { CLASS_COUNT = sizeof(CLASSES) / sizeof(*CLASSES) };

const struct resource_class *resource_class_find(const char *type)
{
    static const char *const PREFIXES[] = {"holoscan::", "nereid::"};
    for (size_t i = 0; i < 2; i++) {
        if (slice_starts(slice_of(type), slice_of(PREFIXES[i]))) {
            type += strlen(PREFIXES[i]);
        }
    }
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        if (strcmp(CLASSES[i]->type, type) == 0) {
            return CLASSES[i];
        }
    }
    return NULL;
}

const struct resource_class *resource_class_at(size_t index)
{
    return index < CLASS_COUNT ? CLASSES[index] : NULL;
}

// ---- adding and finding --------------------------------------------------------------------------------------------

static struct nrd_status *find_class(const char *type, const char *name,
                                     const struct resource_class **class)
{
    *class = resource_class_find(type);
    if (*class != NULL) {
        return NULL;
    }
    struct nearest nearest;
    char hint[128];
    nearest_init(&nearest, type);
    for (size_t i = 0; i < CLASS_COUNT; i++) {
        nearest_offer(&nearest, CLASSES[i]->type);
    }
    return status_new(NRD_NOT_FOUND, "resource '%s': there is no resource type '%s'%s", name, type,
                      nearest_hint(&nearest, hint, sizeof(hint)));
}

// Allocates the state, fills it from the parameters, and creates. On failure nothing is left.
static struct nrd_status *fill(struct nrd_resource *r, const struct nrd_value *params)
{
    struct str what = STR_INIT;
    str_printf(&what, "resource '%s' (%s)", r->name, r->class->type);
    r->state = mem_calloc(1, r->class->state_size + 1);
    struct nrd_status *status = r->state == NULL ? status_no_memory() : str_status(&what);
    param_store_init(&r->store);
    if (status == NULL) {
        struct param_scope scope = {.what = str_cstr(&what),
                                    .store = &r->store,
                                    .resource = fragment_resolve_resource,
                                    .resource_arg = r->fragment};
        status = param_apply(&scope, r->class->params, params, r->state);
    }
    if (status == NULL && r->class->create != NULL) {
        status = r->class->create(r, r->state);
        if (status != NULL) {
            status = status_wrap(status, "%s: ", str_cstr(&what));
        }
    }
    if (status != NULL) {
        param_store_fini(&r->store);
        mem_free(r->state);
        r->state = NULL;
    }
    str_fini(&what);
    return status;
}

void resource_fini(struct nrd_resource *r)
{
    if (r->class->destroy != NULL) {
        r->class->destroy(r, r->state);
    }
    param_store_fini(&r->store);
    mem_free(r->state);
}

struct nrd_status *nrd_add_resource(struct nrd_fragment *fragment, const char *type,
                                    const char *name, const struct nrd_value *params,
                                    struct nrd_resource **resource)
{
    const struct resource_class *class;
    NRD_TRY(find_class(type, name == NULL ? "" : name, &class));
    struct nrd_resource *r = arena_calloc(&fragment->app->arena, 1, sizeof(*r));
    if (r == NULL) {
        return status_no_memory();
    }
    r->class = class;
    r->fragment = fragment;
    NRD_TRY(fragment_claim_name(fragment, "resource", name, r, &r->name));
    struct nrd_status *status = fill(r, params);
    if (status == NULL && !graph_list_add(fragment->app, &fragment->resources, r)) {
        resource_fini(r);
        status = status_no_memory();
    }
    if (status != NULL) {
        map_remove(&fragment->names, slice_of(r->name));
        return status;
    }
    app_invalidate(fragment->app);
    if (resource != NULL) {
        *resource = r;
    }
    return NULL;
}

static struct nrd_resource *find(const struct nrd_fragment *f, const char *prefix, const char *name)
{
    size_t skip = prefix == NULL ? 0 : strlen(prefix) + 1;
    for (uint32_t i = 0; i < f->resources.count; i++) {
        struct nrd_resource *r = f->resources.items[i];
        bool inside =
            prefix == NULL || (strncmp(r->name, prefix, skip - 1) == 0 && r->name[skip - 1] == '_');
        if (inside && strcmp(r->name + skip, name) == 0) {
            return r;
        }
    }
    return NULL;
}

// While a subgraph composes, its own come first; then those of the fragment by their full name.
struct nrd_resource *nrd_fragment_resource(struct nrd_fragment *fragment, const char *name)
{
    struct nrd_resource *r =
        fragment->prefix == NULL ? NULL : find(fragment, fragment->prefix, name);
    return r != NULL ? r : find(fragment, NULL, name);
}

struct nrd_status *fragment_resolve_resource(void *arg, const char *name, const char *kind,
                                             struct nrd_resource **resource)
{
    struct nrd_fragment *f = arg;
    struct nrd_resource *r = nrd_fragment_resource(f, name);
    if (r != NULL && (kind == NULL || strcmp(kind, r->class->kind) == 0)) {
        *resource = r;
        return NULL;
    }
    if (r != NULL) {
        return status_new(NRD_INVALID_ARG, "resource '%s' is a %s, and no %s", name, r->class->type,
                          kind);
    }
    struct str list = STR_INIT;
    for (uint32_t i = 0; i < f->resources.count; i++) {
        const struct nrd_resource *other = f->resources.items[i];
        if (kind == NULL || strcmp(kind, other->class->kind) == 0) {
            str_printf(&list, "%s'%s'", list.len == 0 ? "" : ", ", other->name);
        }
    }
    struct nrd_status *status =
        list.len == 0
            ? status_new(NRD_NOT_FOUND, "there is no resource '%s'; the fragment has no %s", name,
                         kind == NULL ? "resources" : kind)
            : status_new(NRD_NOT_FOUND, "there is no resource '%s'; the fragment has %s", name,
                         str_cstr(&list));
    str_fini(&list);
    return status;
}

// ---- clocks --------------------------------------------------------------------------------------------------------

static const struct clock_ops *clock_ops_of(const struct nrd_resource *r)
{
    return strcmp(r->class->kind, "clock") == 0 ? r->class->ops : NULL;
}

int64_t fragment_now(const struct nrd_fragment *f)
{
    const struct nrd_resource *clock = f->options.clock;
    return clock == NULL ? (int64_t)clock_now_ns() : nrd_clock_now(clock);
}

int64_t nrd_clock_now(const struct nrd_resource *clock)
{
    const struct clock_ops *ops = clock_ops_of(clock);
    return ops == NULL ? 0 : ops->now(clock->state);
}

void nrd_clock_advance(struct nrd_resource *clock, int64_t by_ns)
{
    const struct clock_ops *ops = clock_ops_of(clock);
    if (ops != NULL && ops->advance != NULL && by_ns > 0) {
        ops->advance(clock->state, by_ns);
        run_clock_changed(clock);
    }
}
