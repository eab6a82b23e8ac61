// SPDX-License-Identifier: Apache-2.0
// What the tests of net share.
#ifndef NEREID_TESTS_NET_UNIT_H
#define NEREID_TESTS_NET_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

#define assert_ok(expression)                                                                      \
    do {                                                                                           \
        struct nrd_status *status_ = (expression);                                                 \
        if (status_ != NULL) {                                                                     \
            fail_msg("%s", status_text(status_));                                                  \
        }                                                                                          \
    } while (0)

#endif
