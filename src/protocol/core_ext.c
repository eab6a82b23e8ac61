// SPDX-License-Identifier: Apache-2.0
// Core extensions: found by name at run time, once.
#include "protocol/core_ext.h"

#include <dlfcn.h>
#include <pthread.h>

static struct core_ext found;

// As an integer: ISO C has no cast from an object pointer to a function.
static uintptr_t symbol(const char *name)
{
    return (uintptr_t)dlsym(RTLD_DEFAULT, name);
}

static void find(void)
{
    found.defer = (nereid_defer_fn)symbol("nereid_defer");
    found.cork = (nereid_cork_fn)symbol("nereid_cork");
    found.uncork = (nereid_cork_fn)symbol("nereid_uncork");
    found.cuda_ipc_open = (nereid_cuda_ipc_open_fn)symbol("nereid_cuda_ipc_open");
    found.cuda_ipc_close = (nereid_cuda_ipc_close_fn)symbol("nereid_cuda_ipc_close");
    found.request_is_staged = (nereid_request_is_staged_fn)symbol("nereid_request_is_staged");
    found.host_lock = (nereid_host_lock_fn)symbol("nereid_host_lock");
    found.host_unlock = (nereid_host_unlock_fn)symbol("nereid_host_unlock");
}

const struct core_ext *core_ext(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    return &found;
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
    const struct core_ext *ext = core_ext();
    if (ext->cork != NULL && ext->uncork != NULL && loop_is_current(loop)) {
        ext->cork();
        loop_defer(loop, &defer);
    }
}

static void wake(void *userp)
{
    loop_wake(userp);
}

void core_ext_post(struct loop *loop, struct loop_task *task)
{
    nereid_defer_fn put_off = core_ext()->defer;
    if (loop_post_quietly(loop, task) && (put_off == NULL || !put_off(wake, loop))) {
        loop_wake(loop);
    }
}
