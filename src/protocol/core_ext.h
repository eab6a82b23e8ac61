// SPDX-License-Identifier: Apache-2.0
// Core extensions: fewer wake-ups between a loop and the core's executors, where the core is Nereid's
// (nereid/ext/core.h). On another core both calls do the plain thing.
#ifndef NEREID_PROTOCOL_CORE_EXT_H
#define NEREID_PROTOCOL_CORE_EXT_H

#include "net/loop.h"

// Called before each TRITONSERVER_ServerInferAsync() on a loop: the requests of one turn of the loop wake executors once.
void core_ext_cork(struct loop *loop); // Thread: loop
// Posts from a response callback: the responses of one batch wake the loop once. The loop must live until the server is
// stopped. Thread: any.
void core_ext_post(struct loop *loop, struct loop_task *task);

#endif
