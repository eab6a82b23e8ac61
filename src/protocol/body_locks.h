// SPDX-License-Identifier: Apache-2.0
// Body locks: large bodies that go to GPUs lie in page-locked memory, so that no thread copies them there first.
//
// A front end's pool has its buffers locked by the core where that offers it (nereid/ext/core.h), on a thread of its own, and only those that
// have gone to a GPU before. With another core, or without a GPU, nothing is ever locked and no thread is started.
//
//   body_locks_attach() ─▶ for each input in a body: body_memory_type()
//   all buffers are back ─▶ body_locks_finish() ─▶ buffer_pool_destroy() ─▶ body_locks_free()
#ifndef NEREID_PROTOCOL_BODY_LOCKS_H
#define NEREID_PROTOCOL_BODY_LOCKS_H

#include "base/pool.h"
#include "triton/core/tritonserver.h"

struct body_locks;

// Before the pool's first use. The core outlives the pool. Returns owned; NULL where the core is another one. Thread: owner.
NRD_MUST_USE struct nrd_status *
body_locks_attach(struct buffer_pool *pool, TRITONSERVER_Server *core, struct body_locks **locks);
// Waits for what is being locked or unlocked. Nobody uses the pool any more. NULL is fine. Thread: owner.
void body_locks_finish(struct body_locks *locks);
void body_locks_free(struct body_locks *locks); // NULL is fine

// An input of the request, which is not yet given to the core, has `size` bytes in this buffer of a pool (NULL: in none): counts it, and says what
// memory it is to the core. Thread: whoever has the buffer.
TRITONSERVER_MemoryType body_memory_type(TRITONSERVER_InferenceRequest *request, void *buffer,
                                         size_t size);

#endif
