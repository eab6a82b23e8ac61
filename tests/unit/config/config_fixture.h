// SPDX-License-Identifier: Apache-2.0
// What the tests of config share: cmocka, configurations from text, and rows of "text -> refusal".
#ifndef NEREID_TESTS_UNIT_CONFIG_CONFIG_FIXTURE_H
#define NEREID_TESTS_UNIT_CONFIG_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/model_config.h"

static inline Inference__ModelConfig *config_of(const char *text)
{
    Inference__ModelConfig *config = NULL;
    struct nrd_status *status = config_from_text(slice_of(text), "test", &config);
    if (status != NULL) {
        fail_msg("%s: %s", status_text(status), text);
    }
    return config;
}

// Takes `status`. `expected` NULL is success; else the exact text.
static inline void assert_refused(struct nrd_status *status, const char *expected, const char *of)
{
    if (expected == NULL && status != NULL) {
        fail_msg("refused: %s\nof: %s", status_text(status), of);
    }
    if (expected != NULL && (status == NULL || strcmp(status_text(status), expected) != 0)) {
        fail_msg("got:      %s\nexpected: %s\nof: %s", status_text(status), expected, of);
    }
    status_free(status);
}

struct refusal {
    const char *config;
    const char *text; // NULL: accepted
};

// Reads each row's text after `head` and gives it to `check`.
static inline void check_refusals(const char *head, const struct refusal *rows, size_t count,
                                  struct nrd_status *(*check)(const Inference__ModelConfig *config))
{
    for (size_t i = 0; i < count; i++) {
        char text[2048];
        snprintf(text, sizeof(text), "%s %s", head, rows[i].config);
        Inference__ModelConfig *config = config_of(text);
        assert_refused(check(config), rows[i].text, text);
        config_destroy(config);
    }
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
