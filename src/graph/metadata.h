// SPDX-License-Identifier: Apache-2.0
// Metadata of an execution, as compute.c calls it; metadata.c also has nrd_metadata*().
#ifndef NEREID_GRAPH_METADATA_H
#define NEREID_GRAPH_METADATA_H

#include "graph/plan.h"

// Merges the message's entries into ctx->metadata by ctx->metadata_policy. An error (raise) fails the compute. Called only for messages
// that have some, where metadata is on.
NRD_MUST_USE struct nrd_status *metadata_merge(struct nrd_compute *ctx,
                                               const struct nrd_message *message);
// Gives the message, of which the caller has the only reference, a copy of ctx->metadata. Called only where there is some.
NRD_MUST_USE struct nrd_status *metadata_attach(struct nrd_compute *ctx,
                                                struct nrd_message *message);
// Sets one entry of a message's map, whoever else has the map; takes `value`.
NRD_MUST_USE struct nrd_status *metadata_put(struct nrd_value **map, const char *key,
                                             struct nrd_value *value);
// Names of classes that a model of the graph knows, under the name that its output has in messages; takes `names` (a list). A name that
// two models give different labels has none. In initialize. Thread: owner.
NRD_MUST_USE struct nrd_status *metadata_add_labels(struct nrd_app *app, const char *tensor,
                                                    struct nrd_value *names);
// Gives the message, of which the caller has the only reference, those labels as metadata "labels", unless it has such. All messages
// share one map, so branches that meet agree; and it yields to what anybody else puts under that key.
NRD_MUST_USE struct nrd_status *metadata_give_labels(const struct nrd_compute *ctx,
                                                     struct nrd_message *message);
// The setting that counts for an operator: its own, its fragment's, its application's, else on and raise.
void metadata_resolve(const struct nrd_operator *op, bool *on, enum metadata_policy *policy);

#endif
