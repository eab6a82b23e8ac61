// SPDX-License-Identifier: Apache-2.0
// Core extensions: found by name at run time, once.
#include "protocol/core_ext.h"

#include <dlfcn.h>
#include <pthread.h>

#include "nereid/ext/core.h"

static struct {
    pthread_once_t once;
    nereid_defer_fn defer;
    nereid_cork_fn cork;
    nereid_cork_fn uncork;
} found = {.once = PTHREAD_ONCE_INIT};

static void find(void)
{
    // By way of an integer: ISO C has no cast from an object pointer to a function.
    found.defer = (nereid_defer_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_defer");
    found.cork = (nereid_cork_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_cork");
    found.uncork = (nereid_cork_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "nereid_uncork");
}

static void end_turn(struct loop_defer *defer)
{
    (void)defer;
    found.uncork();
}

void core_ext_cork(struct loop *loop)
{
    // A thread runs one loop at most.
    static _Thread_local struct loop_defer defer = {.run = end_turn};
    pthread_once(&found.once, find);
    if (found.cork != NULL && found.uncork != NULL && loop_is_current(loop)) {
        found.cork();
        loop_defer(loop, &defer);
    }
}

static void wake(void *userp)
{
    loop_wake(userp);
}

void core_ext_post(struct loop *loop, struct loop_task *task)
{
    pthread_once(&found.once, find);
    if (loop_post_quietly(loop, task) && (found.defer == NULL || !found.defer(wake, loop))) {
        loop_wake(loop);
    }
}
