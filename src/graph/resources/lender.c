// SPDX-License-Identifier: Apache-2.0
// Lenders: see the head of lender.h for who keeps whom alive.
#include "graph/resources/lender.h"

#include "base/log.h"
#include "base/mem.h"

enum { LEASES_IDLE_MAX = 1024 };

bool lender_init(struct lender *l, const struct lender_class *class, struct nrd_resource *resource)
{
    l->class = class;
    l->resource = resource;
    atomic_init(&l->references, 1);
    atomic_init(&l->watched, false);
    l->leases = object_pool_create(sizeof(struct lease), LEASES_IDLE_MAX);
    if (l->leases == NULL) {
        return false;
    }
    pthread_mutex_init(&l->lock, NULL);
    return true;
}

void lender_fini(struct lender *l)
{
    object_pool_destroy(l->leases);
    pthread_mutex_destroy(&l->lock);
}

void lender_ref(struct lender *l)
{
    atomic_fetch_add_explicit(&l->references, 1, memory_order_relaxed);
}

void lender_unref(struct lender *l)
{
    if (atomic_fetch_sub_explicit(&l->references, 1, memory_order_acq_rel) == 1) {
        l->class->destroy(l);
    }
}

void lender_close(struct lender *l)
{
    if (l == NULL) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->resource = NULL;
    pthread_mutex_unlock(&l->lock);
    lender_unref(l);
}

// The lock keeps the resource there meanwhile; to tell is to set a flag and wake.
void lender_tell(struct lender *l)
{
    if (!atomic_load_explicit(&l->watched, memory_order_acquire)) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    if (l->resource != NULL) {
        resource_changed(l->resource);
    }
    pthread_mutex_unlock(&l->lock);
}

static void release_lease(void *data, size_t size, void *arg)
{
    (void)data;
    (void)size;
    struct lease *lease = arg;
    struct lender *l = lease->lender;
    if (lease->inner != NULL) {
        buffer_unref(lease->inner);
    } else {
        l->class->give_back(l, lease->block);
    }
    object_pool_put(l->leases, lease);
    lender_tell(l);
    lender_unref(l);
}

struct lease *lease_of(const struct nrd_tensor *tensor)
{
    const struct tensor_buffer *buffer = tensor->buffer;
    return buffer->release == release_lease ? buffer->release_arg : NULL;
}

void lender_watch(struct lender *l)
{
    atomic_store_explicit(&l->watched, true, memory_order_release);
}

struct nrd_status *lender_lend(struct lender *l, const struct lender_bytes *bytes,
                               enum nrd_dtype dtype, const int64_t *dims, uint32_t rank,
                               struct nrd_tensor **tensor)
{
    struct lease *lease = object_pool_get(l->leases);
    if (lease == NULL) {
        if (bytes->inner != NULL) {
            buffer_unref(bytes->inner);
        } else {
            l->class->give_back(l, bytes->block);
        }
        return status_no_memory();
    }
    lender_ref(l);
    lease->lender = l;
    lease->inner = bytes->inner;
    lease->block = bytes->block;
    lease->writer = NULL;
    tensor_box_init(&lease->box, bytes->data, bytes->size, dtype, dims, rank, bytes->memory,
                    bytes->device, release_lease, lease);
    *tensor = &lease->box.tensor;
    return NULL;
}

const char *memory_name(enum nrd_memory memory)
{
    return memory == NRD_MEMORY_GPU ? "device" : memory == NRD_MEMORY_PINNED ? "pinned" : "system";
}

void pinned_fell_back(const struct nrd_resource *resource)
{
    LOG_WARN("resource '%s' (%s): there is no GPU, its pinned memory is system memory",
             resource->name, resource->class->type);
}
