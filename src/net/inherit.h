// SPDX-License-Identifier: Apache-2.0
// Inherit: listening sockets that outlive the program that opened them: the one that takes its place (execve) goes on with them.
// Connections that come meanwhile wait in the sockets' backlog; nobody is refused.
//
//   old program: inherit_keep(), stops its listeners, inherit_pass(), execve()
//   new program: listener_create() finds the socket of its address by inherit_take() instead of binding anew
//
// Only sockets of listeners (net/listener.h) are kept; they tell of themselves by inherit_add() and inherit_remove().
#ifndef NEREID_NET_INHERIT_H
#define NEREID_NET_INHERIT_H

#include <sys/socket.h>

#include "base/status.h"

// A listener's socket is there, and is not any more (before it is closed). Thread: any.
void inherit_add(int fd);
void inherit_remove(int fd);

// From now on the sockets of all listeners that there are stay open, whatever their listeners do. Errors: descriptors are out; then
// none is kept. Thread: owner.
NRD_MUST_USE struct nrd_status *inherit_keep(void);
// The last thing before execve(): what was kept survives it, every other descriptor but 0, 1 and 2 does not, and the environment says
// what there is. Thread: owner, with the others at rest or about to end.
NRD_MUST_USE struct nrd_status *inherit_pass(void);

// The socket bound to `address` that the program before this one left here, once; -1: there is none. Returns owned.
// Thread: any.
int inherit_take(const struct sockaddr *address, socklen_t size);

#endif
