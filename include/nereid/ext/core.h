/* SPDX-License-Identifier: Apache-2.0 */
/* What Nereid's libtritonserver.so offers beyond Triton's interfaces. A front end finds each function by
   dlsym(RTLD_DEFAULT, name) and does without it where the core is another one. */
#ifndef NEREID_EXT_CORE_H
#define NEREID_EXT_CORE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*nereid_flush_fn)(void *userp);

/* Puts off a wake-up so that a batch of responses costs one. Called from within a response callback; true
   promises that fn(userp) is called on this thread soon: when the executor has nothing more to do, before an
   Execute that may take long, and after a handful of short ones at the latest. The same pair is called once.
   False (the thread is not an executor's, or has too many already): the caller wakes at once. Never fails.
   Thread: data. */
__attribute__((visibility("default"))) bool nereid_defer(nereid_flush_fn fn, void *userp);
typedef bool (*nereid_defer_fn)(nereid_flush_fn fn, void *userp);

#ifdef __cplusplus
}
#endif

#endif
