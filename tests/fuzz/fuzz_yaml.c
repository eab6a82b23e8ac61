// SPDX-License-Identifier: Apache-2.0
// YAML: whatever the text, reading it ends in a tree whose counts are right or in an error that names a place; and a
// copy of the tree is the tree.
#include <stdint.h>
#include <stdlib.h>

#include "graph/param.h"
#include "graph/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static size_t walk(const struct nrd_value *a, const struct nrd_value *b)
{
    size_t nodes = 1;
    require(nrd_value_kind(a) == nrd_value_kind(b));
    require(strcmp(nrd_value_text(a), nrd_value_text(b)) == 0);
    require(nrd_value_line(a) >= 1 && nrd_value_line(a) == nrd_value_line(b));
    require(nrd_value_count(a) == nrd_value_count(b));
    for (size_t i = 0; i < nrd_value_count(a); i++) {
        const char *key = nrd_value_key(a, i);
        if (nrd_value_kind(a) == NRD_VALUE_MAP) {
            require(nrd_value_get(a, key) == nrd_value_at(a, i));
            require(strcmp(key, nrd_value_key(b, i)) == 0);
        }
        nodes += walk(nrd_value_at(a, i), nrd_value_at(b, i));
    }
    require(nodes == a->nodes && nodes == b->nodes);
    return nodes;
}

// A table of every type, so that converters see what the fuzzer makes.
static void apply(const struct nrd_value *map)
{
    static const char *const choices[] = {"a", "b", NULL};
    static const struct nrd_param params[] = {
        {"a", NRD_PARAM_INT, NRD_PARAM_OPTIONAL, 0, NULL, NULL, -5, 5},
        {"b", NRD_PARAM_REAL, NRD_PARAM_OPTIONAL, 8},
        {"c", NRD_PARAM_DURATION, NRD_PARAM_OPTIONAL, 16},
        {"d", NRD_PARAM_BYTES, NRD_PARAM_OPTIONAL, 24},
        {"e", NRD_PARAM_CHOICE, NRD_PARAM_OPTIONAL, 32, NULL, choices},
        {"f", NRD_PARAM_REAL_LIST, NRD_PARAM_OPTIONAL, 40},
        {"g", NRD_PARAM_STRING_LIST, NRD_PARAM_OPTIONAL, 56},
        {"h", NRD_PARAM_VALUE, NRD_PARAM_OPTIONAL, 72},
        {NULL},
    };
    uint64_t state[10] = {0};
    struct param_store store;
    struct param_scope scope = {"fuzz", &store, NULL, NULL};
    param_store_init(&store);
    status_free(param_apply(&scope, params, map, state));
    param_store_fini(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nrd_value *value = NULL;
    bool more = false;
    struct nrd_status *status =
        value_parse_first((const char *)data, size, "f.yaml", &value, &more);
    if (status != NULL) {
        require(value == NULL);
        require(strncmp(status_text(status), "f.yaml:", 7) == 0 ||
                status_code(status) == NRD_UNAVAILABLE);
        status_free(status);
        return 0;
    }
    struct nrd_value *copy = nrd_value_copy(value);
    require(copy != NULL);
    walk(value, copy);
    apply(value);
    nrd_value_free(copy);
    nrd_value_free(value);
    return 0;
}
