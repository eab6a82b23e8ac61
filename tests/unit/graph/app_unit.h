// SPDX-License-Identifier: Apache-2.0
// What tests of whole graphs share: short words for composing them.
#ifndef NEREID_TESTS_UNIT_GRAPH_APP_UNIT_H
#define NEREID_TESTS_UNIT_GRAPH_APP_UNIT_H

#include "graph_unit.h"

#include "nereid/graph.h"

#define ok assert_ok
// A call that must fail, with a text that has `part` in it.
#define fails(expression, part)                                                                    \
    do {                                                                                           \
        struct nrd_status *status_ = (expression);                                                 \
        assert_non_null(status_);                                                                  \
        if (strstr(status_text(status_), part) == NULL) {                                          \
            fail_msg("'%s' is not in '%s'", part, status_text(status_));                           \
        }                                                                                          \
        status_free(status_);                                                                      \
    } while (0)

static inline struct nrd_app *make_app(void)
{
    struct nrd_app *app = NULL;
    ok(nrd_app_create("test", &app));
    return app;
}

static inline struct nrd_condition *add_condition(struct nrd_operator *op, const char *type,
                                                  const char *params)
{
    struct nrd_value *map = params == NULL ? NULL : yaml(params);
    struct nrd_condition *condition = NULL;
    ok(nrd_add_condition(op, type, NULL, map, &condition));
    nrd_value_free(map);
    return condition;
}

static inline void set_scheduler(struct nrd_fragment *f, const char *type, const char *params)
{
    struct nrd_value *map = params == NULL ? NULL : yaml(params);
    ok(nrd_set_scheduler(f, type, map));
    nrd_value_free(map);
}

static inline struct nrd_operator *add(struct nrd_fragment *f,
                                       const struct nrd_operator_class *table, const char *name,
                                       const char *params)
{
    struct nrd_value *map = params == NULL ? NULL : yaml(params);
    struct nrd_operator *op = NULL;
    ok(nrd_add_operator_class(f, table, name, map, &op));
    nrd_value_free(map);
    return op;
}

static inline void flow(struct nrd_operator *from, struct nrd_operator *to)
{
    ok(nrd_add_flow(from, "", to, "", NULL));
}

static inline struct nrd_operator_counts counts_of(const struct nrd_operator *op)
{
    struct nrd_operator_counts counts;
    nrd_operator_get_counts(op, &counts);
    return counts;
}

#endif
