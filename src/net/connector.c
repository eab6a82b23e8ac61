// SPDX-License-Identifier: Apache-2.0
// Connector: see connector.h. Addresses are unknown, being looked up, or known; attempts wait in the middle state.
//
//   begin ─known─▶ try address ─refused─▶ next address ─none left─▶ done(-1), addresses are forgotten
//     └─unknown─▶ wait for the worker ─▶ try address
#include "net/connector.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#define KEEPALIVE_IDLE_S 120

struct connector {
    struct loop *loop;
    struct worker *worker;
    char *host;
    char port[8];
    uint32_t timeout_ms;
    struct addrinfo *addresses; // NULL: not known
    unsigned walkers;           // attempts that walk them
    bool stale;                 // looked up again once nobody walks them
    bool numeric;               // the host is an address: never stale
    struct list_node waiting;   // attempts, until the name is looked up
    struct worker_job lookup;
    struct loop_task looked_up;
    struct loop_task begin_task; // those that wait are begun from the loop
    bool looking;
    bool begin_posted;
    // The worker writes these before it posts `looked_up`.
    struct addrinfo *found;
    int lookup_error;
};

static int look_up(const char *host, const char *port, struct addrinfo **out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    return getaddrinfo(host, port, &hints, out);
}

// The attempt needs the addresses no more.
static void leave_addresses(struct connect_attempt *attempt)
{
    struct connector *c = attempt->connector;
    if (attempt->walking) {
        attempt->walking = false;
        c->walkers--;
    }
    if (c->walkers == 0 && c->stale && c->addresses != NULL) {
        freeaddrinfo(c->addresses);
        c->addresses = NULL;
        c->stale = false;
    }
}

static void end_attempt(struct connect_attempt *attempt, int fd, const char *why)
{
    loop_timer_stop(&attempt->timer);
    attempt->active = false;
    // A server that does not answer may have moved: its name is looked up anew.
    attempt->connector->stale |= fd < 0 && !attempt->connector->numeric;
    leave_addresses(attempt);
    attempt->done(attempt, fd, why);
}

static void drop_socket(struct connect_attempt *attempt)
{
    if (attempt->fd >= 0) {
        loop_watch_stop(&attempt->watch);
        close(attempt->fd);
        attempt->fd = -1;
    }
}

static void try_next(struct connect_attempt *attempt);

static void connect_ready(struct loop_watch *watch)
{
    struct connect_attempt *attempt = CONTAINER_OF(watch, struct connect_attempt, watch);
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    loop_watch_stop(watch);
    if (error != 0) {
        attempt->error = error;
        drop_socket(attempt);
        try_next(attempt);
        return;
    }
    int one = 1;
    int idle = KEEPALIVE_IDLE_S;
    int fd = attempt->fd;
    attempt->fd = -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    end_attempt(attempt, fd, NULL);
}

// Tries addresses until a connect() is under way. A refusal that comes at once is a try like any other.
static void try_next(struct connect_attempt *attempt)
{
    struct connector *c = attempt->connector;
    while (attempt->next != NULL) {
        const struct addrinfo *info = attempt->next;
        attempt->next = info->ai_next;
        int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            attempt->error = errno;
            continue;
        }
        if (connect(fd, info->ai_addr, info->ai_addrlen) != 0 && errno != EINPROGRESS) {
            attempt->error = errno;
            close(fd);
            continue;
        }
        attempt->fd = fd;
        loop_watch_init(&attempt->watch, c->loop, fd, LOOP_WRITE, connect_ready);
        if (loop_watch_start(&attempt->watch)) {
            return;
        }
        attempt->error = ENOMEM;
        drop_socket(attempt);
    }
    end_attempt(attempt, -1, strerror(attempt->error));
}

static void out_of_time(struct loop_timer *timer)
{
    struct connect_attempt *attempt = CONTAINER_OF(timer, struct connect_attempt, timer);
    drop_socket(attempt);
    list_remove(&attempt->node);
    char why[64];
    snprintf(why, sizeof(why), "no answer within %u ms", attempt->connector->timeout_ms);
    end_attempt(attempt, -1, why);
}

static void run_lookup(struct worker_job *job)
{
    struct connector *c = CONTAINER_OF(job, struct connector, lookup);
    c->lookup_error = look_up(c->host, c->port, &c->found);
    if (c->lookup_error != 0) {
        c->found = NULL;
    }
    loop_post(c->loop, &c->looked_up);
}

static void begin_waiting(struct loop_task *task)
{
    struct connector *c = CONTAINER_OF(task, struct connector, begin_task);
    c->begin_posted = false;
    struct list_node ready;
    list_init(&ready);
    struct list_node *node;
    while ((node = list_pop_front(&c->waiting)) != NULL) {
        // All of them hold the addresses before the first one may fail and have them forgotten.
        struct connect_attempt *attempt = CONTAINER_OF(node, struct connect_attempt, node);
        attempt->next = c->addresses;
        attempt->walking = c->addresses != NULL;
        c->walkers += attempt->walking;
        list_push_back(&ready, node);
    }
    while ((node = list_pop_front(&ready)) != NULL) {
        struct connect_attempt *attempt = CONTAINER_OF(node, struct connect_attempt, node);
        if (attempt->walking) {
            try_next(attempt);
            continue;
        }
        char why[160];
        snprintf(why, sizeof(why), "cannot find the host: %s", gai_strerror(c->lookup_error));
        end_attempt(attempt, -1, why);
    }
}

static void name_looked_up(struct loop_task *task)
{
    struct connector *c = CONTAINER_OF(task, struct connector, looked_up);
    c->looking = false;
    c->addresses = c->found;
    c->stale = false;
    c->found = NULL;
    if (!c->begin_posted) {
        begin_waiting(&c->begin_task);
    }
}

struct nrd_status *connector_create(struct loop *loop, struct worker *worker, const char *host,
                                    uint16_t port, uint32_t timeout_ms, struct connector **out)
{
    struct connector *c = mem_calloc(1, sizeof(*c));
    if (c == NULL || (c->host = mem_strdup(host)) == NULL) {
        mem_free(c);
        return status_no_memory();
    }
    c->loop = loop;
    c->worker = worker;
    c->timeout_ms = timeout_ms;
    snprintf(c->port, sizeof(c->port), "%u", port);
    list_init(&c->waiting);
    c->lookup.run = run_lookup;
    c->looked_up.run = name_looked_up;
    c->begin_task.run = begin_waiting;
    // An address needs no name server, and no worker.
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
    c->numeric = getaddrinfo(c->host, c->port, &hints, &c->addresses) == 0;
    if (!c->numeric) {
        c->addresses = NULL;
    }
    *out = c;
    return NULL;
}

void connector_destroy(struct connector *c)
{
    if (c == NULL) {
        return;
    }
    if (c->addresses != NULL) {
        freeaddrinfo(c->addresses);
    }
    if (c->found != NULL) {
        freeaddrinfo(c->found);
    }
    mem_free(c->host);
    mem_free(c);
}

void connector_begin(struct connector *c, struct connect_attempt *attempt)
{
    attempt->connector = c;
    attempt->next = NULL;
    attempt->fd = -1;
    attempt->error = EADDRNOTAVAIL;
    attempt->active = true;
    attempt->walking = false;
    loop_timer_init(&attempt->timer, c->loop, out_of_time);
    loop_timer_start(&attempt->timer, c->timeout_ms);
    list_push_back(&c->waiting, &attempt->node);
    if (c->addresses == NULL && !c->looking) {
        c->looking = worker_post(c->worker, &c->lookup);
        c->lookup_error = c->looking ? 0 : EAI_MEMORY;
    }
    if (!c->looking && !c->begin_posted) {
        c->begin_posted = true;
        loop_post(c->loop, &c->begin_task);
    }
}

void connector_cancel(struct connect_attempt *attempt)
{
    if (attempt->active) {
        attempt->active = false;
        list_remove(&attempt->node);
        loop_timer_stop(&attempt->timer);
        drop_socket(attempt);
        leave_addresses(attempt);
    }
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family) {
        return false;
    }
    if (a->sa_family == AF_INET) {
        struct sockaddr_in x, y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        return x.sin_addr.s_addr == y.sin_addr.s_addr;
    }
    struct sockaddr_in6 x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return a->sa_family == AF_INET6 && memcmp(&x.sin6_addr, &y.sin6_addr, sizeof(x.sin6_addr)) == 0;
}

static bool is_own(const struct sockaddr *address, const struct ifaddrs *interfaces)
{
    for (const struct ifaddrs *i = interfaces; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr != NULL && same_address(i->ifa_addr, address)) {
            return true;
        }
    }
    struct sockaddr_in v4;
    if (address->sa_family ==
        AF_INET) { // all of 127/8 is this machine, whatever the interfaces list
        memcpy(&v4, address, sizeof(v4));
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    return false;
}

bool connector_is_local(const char *host, uint16_t port)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo *addresses = NULL;
    struct ifaddrs *interfaces = NULL;
    if (look_up(host, service, &addresses) != 0) {
        return false;
    }
    if (getifaddrs(&interfaces) != 0) {
        interfaces = NULL;
    }
    bool own = false;
    for (const struct addrinfo *a = addresses; a != NULL && !own; a = a->ai_next) {
        own = is_own(a->ai_addr, interfaces);
    }
    if (interfaces != NULL) {
        freeifaddrs(interfaces);
    }
    freeaddrinfo(addresses);
    return own;
}
