// SPDX-License-Identifier: Apache-2.0
// What unit tests of values and parameters share: cmocka with what it needs before it, and statuses compared by text.
#ifndef NEREID_TESTS_UNIT_GRAPH_GRAPH_UNIT_H
#define NEREID_TESTS_UNIT_GRAPH_GRAPH_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/status.h"
#include "nereid/value.h"

// Success, or the test ends with the text that came instead.
static inline void assert_ok_(struct nrd_status *status, const char *file, int line)
{
    if (status != NULL) {
        print_error("%s\n", status_text(status));
        status_free(status);
        _fail(file, line);
    }
}
#define assert_ok(expression) assert_ok_((expression), __FILE__, __LINE__)

// A failure with exactly this code and text.
static inline void assert_fails_(struct nrd_status *status, enum nrd_code code, const char *text,
                                 const char *file, int line)
{
    _assert_string_equal(status_text(status), text, file, line);
    _assert_int_equal((LargestIntegralType)status_code(status), (LargestIntegralType)code, file,
                      line);
    status_free(status);
}
#define assert_fails(expression, code, text)                                                       \
    assert_fails_((expression), (code), (text), __FILE__, __LINE__)

static inline struct nrd_value *yaml_(const char *text, const char *file, int line)
{
    struct nrd_value *value = NULL;
    assert_ok_(nrd_value_parse(text, strlen(text), "t.yaml", &value), file, line);
    return value;
}
#define yaml(text) yaml_((text), __FILE__, __LINE__)

#endif
