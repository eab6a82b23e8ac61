// SPDX-License-Identifier: Apache-2.0
// Departed batches: answered and released with an event (nereid/ext/core.h), while their GPU is still at work. What statistics and
// routing need of the requests is kept here until the backend says that the event was reached: so a batch counts with the time that its
// device took, and not with the time that it took to queue.
#ifndef NEREID_CORE_DEPARTED_H
#define NEREID_CORE_DEPARTED_H

#include <pthread.h>

struct departed;

// Those of an instance that are not in use; embedded in the instance, zeroed.
struct departed_pool {
    pthread_mutex_t mutex;
    struct departed *idle;
};
void departed_pool_init(struct departed_pool *pool);
// After all of the instance's batches have landed. Thread: owner.
void departed_pool_fini(struct departed_pool *pool);

#endif
