// SPDX-License-Identifier: Apache-2.0
// Who may use what, and which headers go along: --http-restricted-api, --grpc-restricted-protocol, and the patterns of
// --http-header-forward-pattern and --grpc-header-forward-pattern.
#ifndef NEREID_PROTOCOL_RESTRICT_H
#define NEREID_PROTOCOL_RESTRICT_H

#include "base/slice.h"
#include "base/status.h"

// In the order of Triton's names: health, metadata, inference, shared-memory, model-config, model-repository,
// statistics, trace, logging.
enum restrict_category {
    RESTRICT_HEALTH,
    RESTRICT_METADATA,
    RESTRICT_INFERENCE,
    RESTRICT_SHARED_MEMORY,
    RESTRICT_MODEL_CONFIG,
    RESTRICT_MODEL_REPOSITORY,
    RESTRICT_STATISTICS,
    RESTRICT_TRACE,
    RESTRICT_LOGGING,
    RESTRICT_CATEGORY_COUNT,
};
const char *restrict_category_name(enum restrict_category category);

// A category that has a key is served only to requests whose header `key` is exactly `value`.
struct restrict_rule {
    char *key; // NULL: not restricted
    char *value;
};
struct restrict_rules {
    struct restrict_rule rules[RESTRICT_CATEGORY_COUNT];
};

void restrict_init(struct restrict_rules *r);
void restrict_fini(struct restrict_rules *r);
// Restricts each category of the comma-separated `categories`. `feature` is "api" or "protocol", for the texts; `prefix`
// goes before the key ("" for HTTP, "triton-grpc-protocol-" for gRPC). Errors: NRD_INVALID_ARG "unknown restricted api
// 'X' ", "restricted api 'X' can not be specified in multiple config groups". Thread: owner.
NRD_MUST_USE struct nrd_status *restrict_add(struct restrict_rules *r, const char *feature,
                                             const char *prefix, struct slice categories,
                                             struct slice key, struct slice value);
// The rule of a restricted category, else NULL. Thread: any, once the rules stand.
const struct restrict_rule *restrict_rule(const struct restrict_rules *r,
                                          enum restrict_category category);
// Whether a request that has `value` in the header `rule->key` (ptr NULL: has none) may pass. The comparison takes the
// same time wherever the values differ.
bool restrict_passes(const struct restrict_rule *rule, struct slice value);

// A header name pattern: found anywhere in the name, whatever the case. POSIX extended, and of RE2 what is common:
// \d \D \w \W \s \S \b, (?: groups, (?i), lazy quantifiers; other (? groups are refused.
struct header_pattern;
// NULL `*pattern` for an empty text: matches nothing. Returns owned. NRD_INVALID_ARG names the pattern.
NRD_MUST_USE struct nrd_status *header_pattern_create(const char *text,
                                                      struct header_pattern **pattern);
void header_pattern_destroy(struct header_pattern *pattern);
// False for a NULL pattern. Thread: any.
bool header_pattern_matches(const struct header_pattern *pattern, struct slice name);
// NRD_INVALID_ARG, with Triton's text, for a header whose name is that of a parameter with a meaning. Thread: any.
NRD_MUST_USE struct nrd_status *header_check_forward(struct slice name);

#endif
