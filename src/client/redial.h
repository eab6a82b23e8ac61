// SPDX-License-Identifier: Apache-2.0
// Redial: how often, and after which pauses, a link tries to connect again. Thread: loop.
#ifndef NEREID_CLIENT_REDIAL_H
#define NEREID_CLIENT_REDIAL_H

#include "net/loop.h"

struct redial {
    unsigned retries;
    uint32_t backoff_ms;
    unsigned failures; // in a row
    bool waiting;      // again() will be called
    struct loop_timer timer;
    void (*again)(struct redial *redial);
};

void redial_init(struct redial *redial, struct loop *loop, unsigned retries, uint32_t backoff_ms,
                 void (*again)(struct redial *redial));
// An attempt failed. True: again() is called after a pause. False: it was the last one, and counting begins anew.
bool redial_failed(struct redial *redial);
void redial_connected(struct redial *redial);
void redial_stop(struct redial *redial);

#endif
