// SPDX-License-Identifier: Apache-2.0
// nrd_allocate(): a tensor from the allocator that was named, or from the fragment's own, which is made when first asked for.
#include "base/mem.h"
#include "graph/resources/classes.h"
#include "graph/resources/lender.h"
#include "graph/streams.h"

static void destroy_default(struct nrd_resource *r)
{
    resource_fini(r);
    mem_free(r);
}

// Not in the application's arena: any thread may be the first to ask.
static struct nrd_status *make_default(struct nrd_fragment *f, struct nrd_resource **resource)
{
    struct nrd_resource *r = mem_calloc(1, sizeof(*r));
    void *state = mem_calloc(1, resource_unbounded_allocator.state_size);
    if (r == NULL || state == NULL) {
        mem_free(r);
        mem_free(state);
        return status_no_memory();
    }
    static char name[] = "<|allocator|>";
    *r = (struct nrd_resource){
        .class = &resource_unbounded_allocator, .fragment = f, .name = name, .state = state};
    param_store_init(&r->store);
    struct nrd_status *status = r->class->create(r, state);
    if (status != NULL) {
        param_store_fini(&r->store);
        mem_free(state);
        mem_free(r);
        return status;
    }
    *resource = r;
    return NULL;
}

static struct nrd_status *default_allocator(struct nrd_fragment *f, struct nrd_resource **resource)
{
    struct nrd_resource *seen = atomic_load_explicit(&f->allocator, memory_order_acquire);
    if (seen == NULL) {
        struct nrd_resource *made = NULL;
        NRD_TRY(make_default(f, &made));
        if (atomic_compare_exchange_strong_explicit(&f->allocator, &seen, made,
                                                    memory_order_acq_rel, memory_order_acquire)) {
            seen = made;
        } else {
            destroy_default(made); // another thread was first
        }
    }
    *resource = seen;
    return NULL;
}

void fragment_drop_allocator(struct nrd_fragment *f)
{
    struct nrd_resource *r = atomic_exchange_explicit(&f->allocator, NULL, memory_order_acq_rel);
    if (r != NULL) {
        destroy_default(r);
    }
}

struct nrd_status *nrd_allocate(struct nrd_operator *op, struct nrd_resource *allocator,
                                enum nrd_dtype dtype, const int64_t *dims, uint32_t rank,
                                enum nrd_memory memory, int32_t device, struct nrd_tensor **tensor)
{
    if (allocator == NULL) {
        NRD_TRY(default_allocator(op->fragment, &allocator));
    }
    if (strcmp(allocator->class->kind, "allocator") != 0) {
        return status_new(NRD_INVALID_ARG, "resource '%s' is a %s, and no allocator",
                          allocator->name, allocator->class->type);
    }
    const struct allocator_ops *ops = allocator->class->ops;
    struct nrd_tensor *t = NULL;
    NRD_TRY(ops->allocate(allocator, allocator->state, dtype, dims, rank, memory, device, &t));
    struct nrd_status *status = t->memory == NRD_MEMORY_GPU ? streams_adopt(op, t) : NULL;
    if (status != NULL) {
        nrd_tensor_unref(t);
        return status;
    }
    *tensor = t;
    return NULL;
}
