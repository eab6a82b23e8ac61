// SPDX-License-Identifier: Apache-2.0
// Connector: makes connections to one server, without blocking the loop.
//
// Names are looked up on a worker's thread, once, and again after no address answered. An attempt tries the addresses in
// order until one connects or its time is over. What it hands over is non-blocking, close-on-exec, with TCP_NODELAY and keep-alive
// probes. Attempts are embedded in their users. Start at connector_begin().
#ifndef NEREID_NET_CONNECTOR_H
#define NEREID_NET_CONNECTOR_H

#include "net/loop.h"
#include "net/worker.h"

struct addrinfo;
struct connector;

struct connect_attempt {
    // Takes `fd`, or `fd` is -1 and `why` (valid during the call) says why. Not called after connector_cancel().
    void (*done)(struct connect_attempt *attempt, int fd, const char *why);
    // The rest is the connector's.
    struct list_node node;
    struct connector *connector;
    struct loop_watch watch;
    struct loop_timer timer;
    const struct addrinfo *next; // to be tried after this one
    int fd;
    int error; // of the last address
    bool active;
    bool walking;
};

// `host` is copied; `timeout_ms` is of a whole attempt. `loop` and `worker` are borrowed. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *connector_create(struct loop *loop, struct worker *worker,
                                                 const char *host, uint16_t port,
                                                 uint32_t timeout_ms, struct connector **out);
// No attempt is active, the worker is gone, and the loop too. NULL is fine.
void connector_destroy(struct connector *connector);
// Begins; done() follows, from the loop and not before this returns. `attempt->done` is set. Thread: loop.
void connector_begin(struct connector *connector, struct connect_attempt *attempt);
// Ends an attempt unheard; nothing when it is not active. Thread: loop.
void connector_cancel(struct connect_attempt *attempt);
// Looks the name up, now and here, and tells whether an address of the server is one of this machine. Blocking. Thread: any but the loop.
bool connector_is_local(const char *host, uint16_t port);

#endif
