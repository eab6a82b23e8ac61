// SPDX-License-Identifier: Apache-2.0
// Applications and fragments: what holds the rest, and how it all goes.
#include <sched.h>
#include <string.h>

#include "base/mem.h"
#include "graph/condition.h"
#include "graph/devices.h"
#include "graph/graph_private.h"
#include "graph/operator_change.h"
#include "graph/registry.h"
#include "graph/resource.h"
#include "graph/run.h"
#include "graph/streams.h"
#include "graph/watch.h"

bool graph_list_add(struct nrd_app *app, struct graph_list *list, void *item)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
        void **grown = arena_grow(&app->arena, list->items, list->capacity * sizeof(void *),
                                  capacity * sizeof(void *));
        if (grown == NULL) {
            return false;
        }
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return true;
}

static struct nrd_status *fragment_create(struct nrd_app *app, const char *name,
                                          struct nrd_fragment **fragment)
{
    struct nrd_fragment *f = arena_calloc(&app->arena, 1, sizeof(*f));
    if (f == NULL) {
        return status_no_memory();
    }
    f->app = app;
    f->index = app->fragments.count;
    f->name = arena_strdup(&app->arena, slice_of(name));
    f->options = (struct scheduler_options){
        .stop_on_deadlock = true, .max_duration = -1, .worker_thread_number = 1};
    if (f->name == NULL || !graph_list_add(app, &app->fragments, f)) {
        return status_no_memory();
    }
    map_init(&f->names);
    param_store_init(&f->options_store);
    *fragment = f;
    return NULL;
}

struct nrd_status *nrd_app_create(const char *name, struct nrd_app **app)
{
    struct nrd_app *made = mem_calloc(1, sizeof(*made));
    if (made == NULL) {
        return status_no_memory();
    }
    arena_init(&made->arena, 16384);
    made->name = arena_strdup(&made->arena, slice_of(name));
    struct nrd_fragment *first;
    struct nrd_status *status =
        made->name == NULL ? status_no_memory() : fragment_create(made, "", &first);
    if (status == NULL) {
        status = run_create(made, &made->run);
    }
    if (status != NULL) {
        nrd_app_destroy(made);
        return status;
    }
    *app = made;
    return NULL;
}

static void operator_destroy(struct nrd_operator *op)
{
    for (uint32_t i = op->conditions.count; i-- > 0;) {
        struct nrd_condition *c = op->conditions.items[i];
        if (c->type->fini != NULL) {
            c->type->fini(c, c->state);
        }
        param_store_fini(&c->store);
    }
    if (op->class->destroy != NULL) {
        op->class->destroy(op, op->state);
    }
    streams_destroy(op);
    mem_free(op->state);
    param_store_fini(&op->store);
    mem_free(op->place);
    operator_changes_destroy(op->changes);
}

static void fragment_destroy(struct nrd_fragment *f)
{
    for (uint32_t i = f->operators.count; i-- > 0;) {
        operator_destroy(f->operators.items[i]);
    }
    for (uint32_t i = f->resources.count; i-- > 0;) {
        resource_fini(f->resources.items[i]);
    }
    fragment_drop_allocator(f);
    param_store_fini(&f->options_store);
    map_fini(&f->names);
}

void nrd_app_destroy(struct nrd_app *app)
{
    if (app == NULL) {
        return;
    }
    if (app->run != NULL) {
        nrd_app_stop(app, false);
        status_free(nrd_app_wait(app));
        while (atomic_load(&app->running)) {
            sched_yield(); // nrd_app_run() of another thread, which is about to return
        }
    }
    plan_destroy(app->plan);
    for (uint32_t i = app->watchers.count; i-- > 0;) {
        struct watcher *w = app->watchers.items[i];
        if (w->class->destroy != NULL) {
            w->class->destroy(w->self);
        }
    }
    for (uint32_t i = app->fragments.count; i-- > 0;) {
        fragment_destroy(app->fragments.items[i]);
    }
    run_destroy(app->run);
    nrd_value_free(app->labels);
    devices_unref(atomic_load_explicit(&app->devices, memory_order_relaxed));
    arena_fini(&app->arena);
    mem_free(app);
}

void app_invalidate(struct nrd_app *app)
{
    plan_destroy(app->plan);
    app->plan = NULL;
}

const char *nrd_app_name(const struct nrd_app *app)
{
    return app->name;
}

struct nrd_fragment *nrd_app_fragment(struct nrd_app *app)
{
    return app->fragments.items[0];
}

struct nrd_fragment *nrd_app_fragment_at(const struct nrd_app *app, size_t index)
{
    return index < app->fragments.count ? app->fragments.items[index] : NULL;
}

void nrd_app_time_computes(struct nrd_app *app, bool on)
{
    app->count_busy = on;
}

struct nrd_status *nrd_app_add_fragment(struct nrd_app *app, const char *name,
                                        struct nrd_fragment **fragment)
{
    for (uint32_t i = 0; i < app->fragments.count; i++) {
        struct nrd_fragment *f = app->fragments.items[i];
        if (strcmp(f->name, name) == 0) {
            return status_new(NRD_ALREADY_EXISTS, "application '%s' already has a fragment '%s'",
                              app->name, name);
        }
    }
    app_invalidate(app);
    return fragment_create(app, name, fragment);
}

struct nrd_status *nrd_app_load_extension(struct nrd_app *app, const char *path)
{
    void *handle = NULL;
    NRD_TRY(registry_open(path, &handle));
    return graph_list_add(app, &app->extensions, handle) ? NULL : status_no_memory();
}

// ---- names ----

struct nrd_status *fragment_claim_name(struct nrd_fragment *f, const char *what, const char *name,
                                       void *item, char **full)
{
    if (name == NULL || name[0] == '\0') {
        return status_new(NRD_INVALID_ARG, "%s has no name", what);
    }
    struct str text = STR_INIT;
    if (f->prefix != NULL) {
        str_printf(&text, "%s_", f->prefix);
    }
    str_append_cstr(&text, name);
    char *copy = text.failed ? NULL : arena_strdup(&f->app->arena, slice_make(text.ptr, text.len));
    str_fini(&text);
    if (copy == NULL) {
        return status_no_memory();
    }
    if (strpbrk(copy, "/:.") != NULL) {
        return status_new(NRD_INVALID_ARG, "%s '%s': a name may not have '.', ':' or '/' in it",
                          what, copy);
    }
    if (map_has(&f->names, slice_of(copy))) {
        return status_new(NRD_ALREADY_EXISTS,
                          "%s '%s': the fragment already has an operator, condition, resource or "
                          "scheduler of that name",
                          what, copy);
    }
    NRD_TRY(map_put(&f->names, slice_of(copy), item, NULL));
    *full = copy;
    return NULL;
}

const char *operator_title(const struct nrd_operator *op)
{
    struct str text = STR_INIT;
    str_printf(&text, "operator '%s' (%s)", op->name, op->class->name);
    char *title = text.failed
                      ? NULL
                      : arena_strdup(&op->fragment->app->arena, slice_make(text.ptr, text.len));
    str_fini(&text);
    return title == NULL ? op->name : title;
}

// ---- watchers ----

struct nrd_status *app_add_watcher(struct nrd_app *app, struct nrd_fragment *fragment,
                                   const struct watcher_class *class, void *self)
{
    struct watcher *w = arena_calloc(&app->arena, 1, sizeof(*w));
    if (w == NULL) {
        return status_no_memory();
    }
    *w = (struct watcher){.class = class, .self = self, .fragment = fragment};
    if (!graph_list_add(app, &app->watchers, w)) {
        return status_no_memory();
    }
    app_invalidate(app);
    return NULL;
}
