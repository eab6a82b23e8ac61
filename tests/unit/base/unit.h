// SPDX-License-Identifier: Apache-2.0
// What every unit test of base includes: cmocka with what it needs before it, and the torture loop.
#ifndef NEREID_TESTS_UNIT_BASE_UNIT_H
#define NEREID_TESTS_UNIT_BASE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/slice.h"

#define assert_slice(actual, text)                                                                 \
    do {                                                                                           \
        struct slice slice_ = (actual);                                                            \
        assert_int_equal(slice_.len, strlen(text));                                                \
        assert_memory_equal(slice_.ptr == NULL ? "" : slice_.ptr, text, slice_.len);               \
    } while (0)

// Runs the body once for each allocation it makes, with that one failing, until it made fewer than n.
#define TORTURE(n)                                                                                 \
    for (uint64_t n = 1, before_ = 0; before_ = mem_count(), mem_fail_after(n), n != 0;            \
         n = mem_count() - before_ >= n ? n + 1 : 0, mem_fail_after(0))

#endif
