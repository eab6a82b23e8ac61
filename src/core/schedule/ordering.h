// SPDX-License-Identifier: Apache-2.0
// Ordering: lets responses out in the order in which their requests were taken from the queue (preserve_ordering).
//
// Each taken request's factory has a place in a list. A response of the first one goes out at once; any other waits in
// its factory. Whoever sends and finds the way free carries on until it is not; callbacks are called without the lock.
#ifndef NEREID_CORE_SCHEDULE_ORDERING_H
#define NEREID_CORE_SCHEDULE_ORDERING_H

#include <pthread.h>

#include "base/list.h"
#include "base/status.h"

struct response;
struct response_factory;

struct ordering {
    pthread_mutex_t mutex;
    struct list_node factories; // oldest first; each holds a reference
    bool sending;               // somebody is letting out
};

NRD_MUST_USE struct nrd_status *ordering_init(struct ordering *ordering);
void ordering_fini(struct ordering *ordering);
// Gives the factory its place; takes a reference until the final response is out. Thread: any.
void ordering_enter(struct ordering *ordering, struct response_factory *factory);
// Sends `response` (taken) when its turn comes, and all that waited for it. Thread: any.
void ordering_send(struct ordering *ordering, struct response *response);

#endif
