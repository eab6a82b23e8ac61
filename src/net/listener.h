// SPDX-License-Identifier: Apache-2.0
// Listener: binds an address, accepts connections and spreads them over loops, fewest connections first.
//
// One listening socket, watched by the first loop. An accepted descriptor is non-blocking, close-on-exec, has TCP_NODELAY and
// keep-alive probes, and is handed over on the thread of the loop that is to own it. When descriptors run out,
// accepting pauses for a moment instead of spinning.
#ifndef NEREID_NET_LISTENER_H
#define NEREID_NET_LISTENER_H

#include "net/loop.h"

struct listener;
struct listener_options {
    const char *address; // an IPv4 or IPv6 address or a name; "" or NULL is every IPv4 address
    int port;            // 0: the system chooses; see listener_port()
    bool reuse_port;     // SO_REUSEPORT: several processes may bind the same port
    int backlog;         // 0: 1024
    // Takes `fd`. `user` is the one below. Thread: `loop`'s.
    void (*accepted)(void *user, struct loop *loop, unsigned loop_index, int fd);
    void *user;
};

// Binds and listens, or takes the socket that a program before this one left (net/inherit.h); accepts nothing yet. `loops` is borrowed for as long as the listener lives; `loop_count` at least 1.
// Errors: NRD_UNAVAILABLE "Socket 'ADDRESS:PORT' already in use " (Triton's text, its trailing blank too), and texts that name
// address, port and reason for the rest. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *listener_create(const struct listener_options *options,
                                                struct loop *const *loops, unsigned loop_count,
                                                struct listener **out);
// Begins to accept. Thread: any.
void listener_start(struct listener *listener);
// The port that is bound. Thread: any.
int listener_port(const struct listener *listener);
// A connection that `accepted` was given has ended (the count by which connections are spread). Thread: any.
void listener_connection_ended(struct listener *listener, unsigned loop_index);
// Connections handed over that have not ended. Thread: any.
unsigned listener_connections(const struct listener *listener);
// Stops accepting and closes the socket; hands over nothing afterwards. Waits for the first loop to do so, unless that loop
// does not run or is the caller's. Thread: any.
void listener_stop(struct listener *listener);
// Stops if need be, and frees. The loops must be alive. NULL is fine.
void listener_destroy(struct listener *listener);

#endif
