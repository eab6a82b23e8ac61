// SPDX-License-Identifier: Apache-2.0
// Metadata: a map that each execution begins without, gathers from what it receives and gives to what it emits.
//
// The map is shared, not copied: a message that passes through operators that leave its metadata alone has one map all the
// way, and so have the branches of a fan-out. Whoever changes a map that is shared gets one of its own first, whose items are
// shared in turn. So metadata costs nothing where there is none, and one count a hop where nobody touches it.
#include "graph/metadata.h"

#include <string.h>

#include "graph/value.h"

// Makes `*map` a map that only the caller has.
static struct nrd_status *own(struct nrd_value **map)
{
    if (*map != NULL && !value_is_shared(*map)) {
        return NULL;
    }
    struct nrd_value *fresh = *map == NULL ? nrd_value_map() : value_copy_shallow(*map);
    if (fresh == NULL) {
        return status_no_memory();
    }
    nrd_value_free(*map);
    *map = fresh;
    return NULL;
}

// The same value that came by two ways (a diamond of flows) is no conflict: one reference, or equal scalars.
static bool is_same(const struct nrd_value *a, const struct nrd_value *b)
{
    enum nrd_value_kind kind = nrd_value_kind(a);
    return a == b || (kind == nrd_value_kind(b) && kind != NRD_VALUE_LIST &&
                      kind != NRD_VALUE_MAP && strcmp(nrd_value_text(a), nrd_value_text(b)) == 0);
}

// Puts one entry in by a policy; takes `value`.
static struct nrd_status *put(struct nrd_value **map, const char *key, struct nrd_value *value,
                              enum metadata_policy policy)
{
    struct nrd_status *status = value == NULL ? status_no_memory() : NULL;
    if (status == NULL && nrd_value_get(*map, key) != NULL && policy != METADATA_UPDATE) {
        if (policy == METADATA_REJECT || is_same(nrd_value_get(*map, key), value)) {
            nrd_value_free(value);
            return NULL;
        }
        status = status_new(NRD_ALREADY_EXISTS,
                            "metadata has the key '%s' already, with '%.60s' and now with '%.60s': "
                            "choose another key, or the policy 'reject' (the first counts) or "
                            "'update' (the last), as with 'metadata: reject' in the file",
                            key, nrd_value_text(nrd_value_get(*map, key)), nrd_value_text(value));
    }
    if (status == NULL) {
        status = own(map);
    }
    if (status != NULL) {
        nrd_value_free(value);
        return status;
    }
    return nrd_value_set(*map, key, value);
}

// ---- labels of models ----------------------------------------------------------------------------------------------

static const char LABELS[] = "labels";

static const struct nrd_value *app_labels(const struct nrd_app *app)
{
    return nrd_value_get(app->labels, LABELS);
}

static bool is_of_models(const struct nrd_compute *ctx, const char *key,
                         const struct nrd_value *value)
{
    return value != NULL && strcmp(key, LABELS) == 0 && value == app_labels(ctx->op->fragment->app);
}

// Nobody asked for the models' labels to travel, so they conflict with nothing: under any policy the other value stays.
static enum metadata_policy policy_for(const struct nrd_compute *ctx, const char *key,
                                       const struct nrd_value *value)
{
    return is_of_models(ctx, key, value)                               ? METADATA_REJECT
           : is_of_models(ctx, key, nrd_value_get(ctx->metadata, key)) ? METADATA_UPDATE
                                                                       : ctx->metadata_policy;
}

struct nrd_status *metadata_add_labels(struct nrd_app *app, const char *tensor,
                                       struct nrd_value *names)
{
    const struct nrd_value *old = app_labels(app);
    const struct nrd_value *other = nrd_value_get(old, tensor);
    if (other != NULL && other != names) {
        nrd_value_free(names);
        names = nrd_value_null();
    }
    // A map of its own each time: messages of an earlier run may share the old one.
    struct nrd_value *all = old == NULL ? nrd_value_map() : value_copy_shallow(old);
    if (all == NULL) {
        nrd_value_free(names);
        return status_no_memory();
    }
    struct nrd_status *status = nrd_value_set(all, tensor, names);
    if (status != NULL) {
        nrd_value_free(all);
        return status;
    }
    return put(&app->labels, LABELS, all, METADATA_UPDATE);
}

struct nrd_status *metadata_give_labels(const struct nrd_compute *ctx, struct nrd_message *message)
{
    struct nrd_value *own_map = ctx->op->fragment->app->labels;
    if (own_map == NULL || !ctx->metadata_on) {
        return NULL;
    }
    if (message->metadata == NULL) {
        message->metadata = value_share(own_map);
        return NULL;
    }
    return put(&message->metadata, LABELS, value_share(own_map->entries[0].value), METADATA_REJECT);
}

// ---- an execution's map --------------------------------------------------------------------------------------------

struct nrd_status *metadata_merge(struct nrd_compute *ctx, const struct nrd_message *message)
{
    struct nrd_value *theirs = message->metadata;
    if (theirs == NULL || theirs->count == 0) {
        return NULL;
    }
    if (ctx->metadata == NULL) {
        ctx->metadata = value_share(theirs);
        return NULL;
    }
    for (size_t i = 0; i < theirs->count; i++) {
        const char *key = theirs->entries[i].key;
        struct nrd_value *value = theirs->entries[i].value;
        NRD_TRY(put(&ctx->metadata, key, value_share(value), policy_for(ctx, key, value)));
    }
    return NULL;
}

// What the message has of its own (nrd_message_set_metadata) stays, unless the execution has another value for that key.
struct nrd_status *metadata_attach(struct nrd_compute *ctx, struct nrd_message *message)
{
    if (!ctx->metadata_on || ctx->metadata == NULL || message->metadata == ctx->metadata) {
        return NULL;
    }
    if (message->metadata == NULL) {
        message->metadata = value_share(ctx->metadata);
        return NULL;
    }
    for (size_t i = 0; i < ctx->metadata->count; i++) {
        const char *key = ctx->metadata->entries[i].key;
        struct nrd_value *value = ctx->metadata->entries[i].value;
        NRD_TRY(put(&message->metadata, key, value_share(value),
                    is_of_models(ctx, key, value) ? METADATA_REJECT : METADATA_UPDATE));
    }
    return NULL;
}

struct nrd_status *metadata_put(struct nrd_value **map, const char *key, struct nrd_value *value)
{
    return put(map, key, value, METADATA_UPDATE);
}

const struct nrd_value *nrd_metadata(struct nrd_compute *ctx)
{
    return ctx->metadata == NULL || ctx->metadata->count == 0 ? NULL : ctx->metadata;
}

struct nrd_status *nrd_metadata_set(struct nrd_compute *ctx, const char *key,
                                    struct nrd_value *value)
{
    return put(&ctx->metadata, key, value, policy_for(ctx, key, value));
}

void nrd_metadata_clear(struct nrd_compute *ctx)
{
    nrd_value_free(ctx->metadata);
    ctx->metadata = NULL;
}

// ---- settings ------------------------------------------------------------------------------------------------------

void metadata_resolve(const struct nrd_operator *op, bool *on, enum metadata_policy *policy)
{
    const struct metadata_setting *nearest_first[] = {&op->metadata, &op->fragment->metadata,
                                                      &op->fragment->app->metadata};
    *on = true;
    *policy = METADATA_RAISE;
    for (size_t i = 3; i-- > 0;) {
        if (nearest_first[i]->enabled != METADATA_AS_ABOVE) {
            *on = nearest_first[i]->enabled == METADATA_ON;
        }
        if (nearest_first[i]->policy != METADATA_INHERIT) {
            *policy = nearest_first[i]->policy;
        }
    }
}

static struct nrd_status *set(struct metadata_setting *setting, struct nrd_app *app, bool enabled,
                              const char *policy)
{
    enum metadata_policy chosen = METADATA_INHERIT;
    if (policy != NULL && policy[0] != '\0') {
        static const char *const NAMES[] = {
            [METADATA_REJECT] = "reject", [METADATA_UPDATE] = "update", [METADATA_RAISE] = "raise"};
        for (int i = METADATA_REJECT; i <= METADATA_RAISE; i++) {
            if (strcmp(policy, NAMES[i]) == 0) {
                chosen = (enum metadata_policy)i;
            }
        }
        if (chosen == METADATA_INHERIT) {
            return status_new(NRD_INVALID_ARG,
                              "'%s' is no metadata policy: it is one of reject, update, raise",
                              policy);
        }
    }
    setting->enabled = enabled ? METADATA_ON : METADATA_OFF;
    setting->policy = chosen;
    app_invalidate(app);
    return NULL;
}

struct nrd_status *nrd_app_set_metadata(struct nrd_app *app, bool enabled, const char *policy)
{
    return set(&app->metadata, app, enabled, policy);
}

struct nrd_status *nrd_fragment_set_metadata(struct nrd_fragment *fragment, bool enabled,
                                             const char *policy)
{
    return set(&fragment->metadata, fragment->app, enabled, policy);
}

struct nrd_status *nrd_operator_set_metadata(struct nrd_operator *op, bool enabled,
                                             const char *policy)
{
    return set(&op->metadata, op->fragment->app, enabled, policy);
}
