// SPDX-License-Identifier: Apache-2.0
// Listener: accepting on the first loop, handing over to the one with the fewest connections.
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "net/inherit.h"

#define DEFAULT_BACKLOG 1024
#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 50
#define KEEPALIVE_IDLE_S 120

struct listener {
    struct listener_options options;
    struct loop *const *loops;
    unsigned loop_count;
    int fd;
    int port;
    struct loop_watch watch;
    struct loop_timer pause;
    struct loop_task start_task;
    struct loop_task stop_task;
    struct parking stopped;
    _Atomic bool stop_asked;
    _Atomic unsigned total;
    _Atomic unsigned counts[]; // connections of each loop
};

// A connection on its way to another loop.
struct handover {
    struct loop_task task;
    struct listener *listener;
    unsigned loop_index;
    int fd;
};

static struct nrd_status *bind_one(const struct addrinfo *info,
                                   const struct listener_options *options, const char *address,
                                   int *out)
{
    *out = inherit_take(info->ai_addr, info->ai_addrlen);
    if (*out >= 0) {
        return NULL;
    }
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return status_new(NRD_UNAVAILABLE, "failed to open a socket for '%s:%d': %s", address,
                          options->port, strerror(errno));
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (options->reuse_port) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    }
    int backlog = options->backlog > 0 ? options->backlog : DEFAULT_BACKLOG;
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, backlog) == 0) {
        *out = fd;
        return NULL;
    }
    int reason = errno;
    close(fd);
    if (reason == EADDRINUSE) {
        return status_new(NRD_UNAVAILABLE, "Socket '%s:%d' already in use ", address,
                          options->port);
    }
    return status_new(NRD_UNAVAILABLE, "failed to listen on '%s:%d': %s", address, options->port,
                      strerror(reason));
}

static struct nrd_status *bind_address(const struct listener_options *options, int *fd, int *port)
{
    const char *address =
        options->address != NULL && options->address[0] != '\0' ? options->address : "0.0.0.0";
    if (options->port < 0 || options->port > 65535) {
        return status_new(NRD_INVALID_ARG, "port %d of address '%s' is not in [0, 65535]",
                          options->port, address);
    }
    char service[16];
    snprintf(service, sizeof(service), "%d", options->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *infos = NULL;
    int rc = getaddrinfo(address, service, &hints, &infos);
    if (rc != 0) {
        return status_new(NRD_UNAVAILABLE, "failed to resolve address '%s' (port %d): %s", address,
                          options->port, gai_strerror(rc));
    }
    struct nrd_status *status = NULL;
    for (const struct addrinfo *info = infos; info != NULL; info = info->ai_next) {
        status_free(status);
        status = bind_one(info, options, address, fd);
        if (status == NULL) {
            break;
        }
    }
    freeaddrinfo(infos);
    if (status != NULL) {
        return status;
    }
    struct sockaddr_storage bound;
    socklen_t size = sizeof(bound);
    *port = options->port;
    if (getsockname(*fd, (struct sockaddr *)&bound, &size) == 0) {
        if (bound.ss_family == AF_INET) {
            *port = ntohs(((const struct sockaddr_in *)(const void *)&bound)->sin_port);
        } else if (bound.ss_family == AF_INET6) {
            *port = ntohs(((const struct sockaddr_in6 *)(const void *)&bound)->sin6_port);
        }
    }
    return NULL;
}

static void run_handover(struct loop_task *task)
{
    struct handover *handover = CONTAINER_OF(task, struct handover, task);
    struct listener *listener = handover->listener;
    unsigned index = handover->loop_index;
    int fd = handover->fd;
    mem_free(handover);
    listener->options.accepted(listener->options.user, listener->loops[index], index, fd);
}

static unsigned pick_loop(const struct listener *listener)
{
    unsigned best = 0;
    unsigned best_count = atomic_load_explicit(&listener->counts[0], memory_order_relaxed);
    for (unsigned i = 1; i < listener->loop_count && best_count > 0; i++) {
        unsigned count = atomic_load_explicit(&listener->counts[i], memory_order_relaxed);
        if (count < best_count) {
            best = i;
            best_count = count;
        }
    }
    return best;
}

static void set_options(int fd)
{
    int one = 1;
    int idle = KEEPALIVE_IDLE_S;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
}

static void hand_over(struct listener *listener, int fd)
{
    set_options(fd);
    unsigned index = pick_loop(listener);
    atomic_fetch_add_explicit(&listener->counts[index], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&listener->total, 1, memory_order_relaxed);
    if (index == 0) {
        listener->options.accepted(listener->options.user, listener->loops[0], 0, fd);
        return;
    }
    struct handover *handover = mem_alloc(sizeof(*handover));
    if (handover == NULL) {
        close(fd);
        listener_connection_ended(listener, index);
        return;
    }
    *handover = (struct handover){
        .task.run = run_handover,
        .listener = listener,
        .loop_index = index,
        .fd = fd,
    };
    loop_post(listener->loops[index], &handover->task);
}

static void accept_ready(struct loop_watch *watch)
{
    struct listener *listener = CONTAINER_OF(watch, struct listener, watch);
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(listener, fd);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED) {
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            // Out of descriptors or memory: the connection stays in the backlog, so look again later.
            loop_watch_stop(watch);
            loop_timer_start(&listener->pause, PAUSE_MS);
        }
        return;
    }
}

static void pause_over(struct loop_timer *timer)
{
    struct listener *listener = CONTAINER_OF(timer, struct listener, pause);
    if (!loop_watch_start(&listener->watch)) {
        loop_timer_start(timer, PAUSE_MS);
    }
}

static void start_on_loop(struct loop_task *task)
{
    struct listener *listener = CONTAINER_OF(task, struct listener, start_task);
    if (!atomic_load_explicit(&listener->stop_asked, memory_order_acquire)) {
        pause_over(&listener->pause);
    }
}

static void stop_on_loop(struct loop_task *task)
{
    struct listener *listener = CONTAINER_OF(task, struct listener, stop_task);
    loop_watch_stop(&listener->watch);
    loop_timer_stop(&listener->pause);
    inherit_remove(listener->fd);
    close(listener->fd);
    listener->fd = -1;
    parking_wake(&listener->stopped);
}

struct nrd_status *listener_create(const struct listener_options *options,
                                   struct loop *const *loops, unsigned loop_count,
                                   struct listener **out)
{
    struct listener *listener =
        mem_calloc(1, sizeof(*listener) + loop_count * sizeof(listener->counts[0]));
    if (listener == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = bind_address(options, &listener->fd, &listener->port);
    if (status != NULL) {
        mem_free(listener);
        return status;
    }
    listener->options = *options;
    listener->options.address = NULL; // not kept
    listener->loops = loops;
    listener->loop_count = loop_count;
    listener->start_task.run = start_on_loop;
    listener->stop_task.run = stop_on_loop;
    parking_init(&listener->stopped);
    loop_watch_init(&listener->watch, loops[0], listener->fd, LOOP_READ, accept_ready);
    loop_timer_init(&listener->pause, loops[0], pause_over);
    inherit_add(listener->fd);
    *out = listener;
    return NULL;
}

void listener_start(struct listener *listener)
{
    loop_post(listener->loops[0], &listener->start_task);
}

int listener_port(const struct listener *listener)
{
    return listener->port;
}

void listener_connection_ended(struct listener *listener, unsigned loop_index)
{
    atomic_fetch_sub_explicit(&listener->counts[loop_index], 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&listener->total, 1, memory_order_release);
}

unsigned listener_connections(const struct listener *listener)
{
    return atomic_load_explicit(&listener->total, memory_order_acquire);
}

void listener_stop(struct listener *listener)
{
    if (atomic_exchange_explicit(&listener->stop_asked, true, memory_order_acq_rel)) {
        return;
    }
    if (!loop_is_running(listener->loops[0]) || loop_is_current(listener->loops[0])) {
        stop_on_loop(&listener->stop_task);
        return;
    }
    loop_post(listener->loops[0], &listener->stop_task);
    parking_wait(&listener->stopped, 0);
}

void listener_destroy(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    listener_stop(listener);
    mem_free(listener);
}
