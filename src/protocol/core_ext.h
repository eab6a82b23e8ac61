// SPDX-License-Identifier: Apache-2.0
// Core extensions: what the core offers front ends beyond Triton's ABI, where it is Nereid's (nereid/ext/core.h), and on it, fewer wake-ups
// between a loop and the core's executors. On another core the two calls for loops do the plain thing.
#ifndef NEREID_PROTOCOL_CORE_EXT_H
#define NEREID_PROTOCOL_CORE_EXT_H

#include "nereid/ext/core.h"
#include "net/loop.h"

// NULL: the core has it not.
struct core_ext {
    nereid_defer_fn defer;
    nereid_cork_fn cork;
    nereid_cork_fn uncork;
    nereid_cuda_ipc_open_fn cuda_ipc_open;
    nereid_cuda_ipc_close_fn cuda_ipc_close;
    nereid_request_is_staged_fn request_is_staged;
    nereid_host_lock_fn host_lock;
    nereid_host_unlock_fn host_unlock;
};
// Looked up by name, once. Thread: any.
const struct core_ext *core_ext(void);

// Called before each TRITONSERVER_ServerInferAsync() on a loop: the requests of one turn of the loop wake executors once.
void core_ext_cork(struct loop *loop); // Thread: loop
// Posts from a response callback: the responses of one batch wake the loop once. The loop must live until the server is
// stopped. Thread: any.
void core_ext_post(struct loop *loop, struct loop_task *task);

#endif
