// SPDX-License-Identifier: Apache-2.0
// The fence between "I leave something for you" and "do you sleep?", and between "I sleep" and "is there something?": of two threads
// that do one each, at least one sees the other. What is left is itself handed over by acquire and release, so it does not
// matter that ThreadSanitizer does not know fences; gcc warns of that, and is told not to.
#ifndef NEREID_GRAPH_FENCE_H
#define NEREID_GRAPH_FENCE_H

#include <stdatomic.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void sleep_fence(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif
