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
   False (the thread is not an executor's, or has too many already): the caller wakes at once. `userp` must stay
   valid until TRITONSERVER_ServerStop() has returned. Thread: data. */
__attribute__((visibility("default"))) bool nereid_defer(nereid_flush_fn fn, void *userp);
typedef bool (*nereid_defer_fn)(nereid_flush_fn fn, void *userp);

/* The other direction: requests that this thread gives to TRITONSERVER_ServerInferAsync() after nereid_cork() wake
   executors at nereid_uncork(), or after a handful of requests, instead of one by one. A loop corks when it gives
   the first request of a turn, and must uncork at the end of that turn. Both may be called twice. Thread: any. */
__attribute__((visibility("default"))) void nereid_cork(void);
__attribute__((visibility("default"))) void nereid_uncork(void);
typedef void (*nereid_cork_fn)(void);

/* Ends a cork like nereid_uncork(), but where a parked executor would be woken, this thread does its work: it runs the
   executor's batches until its queue is empty or a handful of them are done, and only then returns. A caller that would
   wait for the answer anyway saves two changes of thread. Executors of GPUs, those bound to processors or memory, and those
   that are busy are woken as ever. Callbacks of requests and responses may be called from within. Thread: any that may
   execute a model. */
__attribute__((visibility("default"))) void nereid_uncork_here(void);

#ifdef __cplusplus
}
#endif

#endif
