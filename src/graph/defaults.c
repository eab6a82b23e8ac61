// SPDX-License-Identifier: Apache-2.0
// What the graph does where neither resources nor metadata are linked in: weak, so that resource.c and metadata.c take their place.
#include "base/clock.h"
#include "graph/metadata.h"
#include "graph/resource.h"

#define WEAK __attribute__((weak))

WEAK struct nrd_status *metadata_merge(struct nrd_compute *ctx, const struct nrd_message *message)
{
    (void)ctx;
    (void)message;
    return status_new(NRD_UNSUPPORTED, "metadata is not built in");
}

WEAK struct nrd_status *metadata_attach(struct nrd_compute *ctx, struct nrd_message *message)
{
    (void)ctx;
    (void)message;
    return status_new(NRD_UNSUPPORTED, "metadata is not built in");
}

WEAK void metadata_resolve(const struct nrd_operator *op, bool *on, enum metadata_policy *policy)
{
    (void)op;
    *on = true;
    *policy = METADATA_RAISE;
}

WEAK void nrd_metadata_clear(struct nrd_compute *ctx)
{
    nrd_value_free(ctx->metadata);
    ctx->metadata = NULL;
}

WEAK struct nrd_status *fragment_resolve_resource(void *arg, const char *name, const char *kind,
                                                  struct nrd_resource **resource)
{
    (void)arg;
    (void)kind;
    (void)resource;
    return status_new(NRD_NOT_FOUND, "there is no resource '%s'", name);
}

WEAK int64_t fragment_now(const struct nrd_fragment *f)
{
    (void)f;
    return (int64_t)clock_now_ns();
}
