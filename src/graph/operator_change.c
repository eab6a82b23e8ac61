// SPDX-License-Identifier: Apache-2.0
// Dynamic parameters. Before a run, a value goes straight into the state. During one, it is converted (which finds all errors) and
// left in a list; the operator's thread takes it before its next compute, so no compute sees a field change.
#include "graph/operator_change.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "graph/plan.h"

enum { DYNAMIC_BYTES = 8 };

struct operator_change {
    pthread_mutex_t lock;
    struct change {
        size_t offset;
        size_t size;
        unsigned char value[DYNAMIC_BYTES];
    } * items; // at most one a parameter: the last one counts
    size_t count;
    size_t capacity;
};

void operator_changes_destroy(struct operator_change *changes)
{
    if (changes != NULL) {
        pthread_mutex_destroy(&changes->lock);
        mem_free(changes->items);
        mem_free(changes);
    }
}

void operator_apply_changes(struct nrd_operator *op)
{
    struct operator_change *changes = op->changes;
    pthread_mutex_lock(&changes->lock);
    atomic_store_explicit(&op->has_changes, false, memory_order_relaxed);
    for (size_t i = 0; i < changes->count; i++) {
        const struct change *change = &changes->items[i];
        memcpy((char *)op->state + change->offset, change->value, change->size);
    }
    changes->count = 0;
    pthread_mutex_unlock(&changes->lock);
}

// The list with room for every parameter, made when the graph is composed or compiled: the first change during a run finds it.
struct nrd_status *operator_changes_prepare(struct nrd_operator *op)
{
    size_t dynamic = 0;
    for (const struct nrd_param *p = op->class->params; p != NULL && p->name != NULL; p++) {
        dynamic += (p->flags & NRD_PARAM_DYNAMIC) != 0;
    }
    if (dynamic == 0 || op->changes != NULL) {
        return NULL;
    }
    struct operator_change *changes = mem_calloc(1, sizeof(*changes));
    if (changes == NULL || pthread_mutex_init(&changes->lock, NULL) != 0) {
        mem_free(changes);
        return status_no_memory();
    }
    op->changes = changes;
    changes->items = mem_calloc(dynamic, sizeof(*changes->items));
    changes->capacity = dynamic;
    return changes->items == NULL ? status_no_memory() : NULL;
}

static void leave(struct nrd_operator *op, const struct nrd_param *param, const void *value)
{
    struct operator_change *changes = op->changes;
    size_t at = 0;
    pthread_mutex_lock(&changes->lock);
    while (at < changes->count && changes->items[at].offset != param->offset) {
        at++;
    }
    if (at == changes->count) {
        changes->count++;
    }
    struct change *change = &changes->items[at];
    change->offset = param->offset;
    change->size = param_size(param->type);
    memcpy(change->value, value, change->size);
    atomic_store_explicit(&op->has_changes, true, memory_order_release);
    pthread_mutex_unlock(&changes->lock);
}

struct nrd_status *nrd_operator_set(struct nrd_operator *op, const char *name,
                                    const struct nrd_value *value)
{
    struct str what = STR_INIT;
    str_printf(&what, "operator '%s' (%s)", op->name, op->class->name);
    bool running = atomic_load_explicit(&op->fragment->app->running, memory_order_acquire);
    struct param_scope scope = {.what = str_cstr(&what),
                                .store = &op->store,
                                .resource = fragment_resolve_resource,
                                .resource_arg = op->fragment};
    const struct nrd_param *param = NULL;
    struct nrd_status *status =
        param_find_settable(&scope, op->class->params, name, running, &param);
    if (status == NULL && running) {
        _Alignas(8) unsigned char field[DYNAMIC_BYTES];
        // A dynamic parameter is a scalar: its conversion keeps nothing in the store, which is another thread's now.
        status = param_convert(&scope, param, value, field);
        if (status == NULL) {
            leave(op, param, field);
        }
    } else if (status == NULL) {
        status = param_convert(&scope, param, value, (char *)op->state + param->offset);
    }
    str_fini(&what);
    return status;
}
