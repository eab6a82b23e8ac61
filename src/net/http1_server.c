// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 servers: loops, the listener, and the end of it all.
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http1_private.h"

#define MAX_IDLE_CONNS 256
#define QUIET_KEEP_BYTES (4 * 1024 * 1024)
#define NS_PER_MS 1000000ull

// Memory that a burst of large bodies took goes back when requests have stopped coming.
static void look_for_quiet(struct loop_timer *timer)
{
    struct conn_list *list = CONTAINER_OF(timer, struct conn_list, quiet);
    if (list->served > 0) {
        list->served = 0;
        loop_timer_start(timer, HTTP1_QUIET_MS);
        return;
    }
    list->quiet_set = false;
    // The last loop to fall quiet: the others would have to fetch the pages again.
    if (atomic_fetch_sub_explicit(&list->server->lists_awake, 1, memory_order_relaxed) == 1) {
        buffer_pool_trim(list->server->options.pool, QUIET_KEEP_BYTES);
    }
}

static void close_all(struct loop_task *task)
{
    struct conn_list *list = CONTAINER_OF(task, struct conn_list, close_task);
    LIST_FOR(node, &list->head)
    {
        stream_close(&CONTAINER_OF(node, struct http1_conn, node)->stream, STREAM_END_LOCAL);
    }
}

static unsigned allowed_processors(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : (unsigned)count;
}

static void set_defaults(struct http1_options *options)
{
    // A loop never blocks, so more loops than processors only cost switches between them.
    unsigned processors = allowed_processors();
    options->threads = options->threads == 0 ? 1 : options->threads;
    options->threads = options->threads > processors ? processors : options->threads;
    options->max_body = options->max_body == 0 ? INT32_MAX : options->max_body;
    options->max_head = options->max_head == 0 ? 64 * 1024 : options->max_head;
    options->head_timeout_ms = options->head_timeout_ms == 0 ? 60000 : options->head_timeout_ms;
    options->body_timeout_ms = options->body_timeout_ms == 0 ? 60000 : options->body_timeout_ms;
    options->thread_name = options->thread_name == NULL ? "http" : options->thread_name;
}

static void free_server(struct http1_server *server)
{
    listener_destroy(server->listener);
    for (unsigned i = 0; i < server->loop_count; i++) {
        loop_destroy(server->loops[i]);
    }
    if (server->conns != NULL) {
        object_pool_destroy(server->conns);
    }
    mem_free(server->loops);
    mem_free(server->lists);
    mem_free(server);
}

struct nrd_status *http1_server_create(const struct http1_options *options,
                                       struct http1_server **out)
{
    struct http1_server *server = mem_calloc(1, sizeof(*server));
    if (server == NULL) {
        return status_no_memory();
    }
    server->options = *options;
    set_defaults(&server->options);
    unsigned count = server->options.threads;
    server->loops = mem_calloc(count, sizeof(server->loops[0]));
    server->lists = mem_calloc(count, sizeof(server->lists[0]));
    server->conns = object_pool_create(sizeof(struct http1_conn), MAX_IDLE_CONNS);
    struct nrd_status *status = NULL;
    if (server->loops == NULL || server->lists == NULL || server->conns == NULL) {
        status = status_no_memory();
    }
    while (status == NULL && server->loop_count < count) {
        list_init(&server->lists[server->loop_count].head);
        server->lists[server->loop_count].close_task.run = close_all;
        server->lists[server->loop_count].server = server;
        status = loop_create(&server->loops[server->loop_count]);
        if (status == NULL) {
            loop_timer_init(&server->lists[server->loop_count].quiet,
                            server->loops[server->loop_count], look_for_quiet);
            server->loop_count++;
        }
    }
    if (status == NULL) {
        struct listener_options listen = {
            .address = options->address,
            .port = options->port,
            .reuse_port = options->reuse_port,
            .accepted = http1_accepted,
            .user = server,
        };
        status = listener_create(&listen, server->loops, server->loop_count, &server->listener);
    }
    if (status != NULL) {
        free_server(server);
        return status;
    }
    *out = server;
    return NULL;
}

struct nrd_status *http1_server_start(struct http1_server *server)
{
    for (unsigned i = 0; i < server->loop_count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%.10s-%u", server->options.thread_name, i % 1000);
        NRD_TRY(loop_start(server->loops[i], name));
    }
    listener_start(server->listener);
    return NULL;
}

int http1_server_port(const struct http1_server *server)
{
    return listener_port(server->listener);
}

void http1_server_stop_accepting(struct http1_server *server)
{
    listener_stop(server->listener);
}

unsigned http1_server_connections(const struct http1_server *server)
{
    return listener_connections(server->listener);
}

bool http1_server_close(struct http1_server *server, uint64_t wait_ms)
{
    if (server == NULL) {
        return true;
    }
    listener_stop(server->listener);
    if (!atomic_exchange_explicit(&server->closing, true, memory_order_acq_rel)) {
        for (unsigned i = 0; i < server->loop_count; i++) {
            loop_post(server->loops[i], &server->lists[i].close_task);
        }
    }
    uint64_t deadline = clock_now_ns() + wait_ms * NS_PER_MS;
    bool running = loop_is_running(server->loops[0]);
    while (running && atomic_load_explicit(&server->alive, memory_order_acquire) > 0) {
        if (clock_now_ns() >= deadline) {
            return false;
        }
        usleep(1000);
    }
    return true;
}

bool http1_server_destroy(struct http1_server *server, uint64_t wait_ms)
{
    if (!http1_server_close(server, wait_ms)) {
        return false;
    }
    if (server != NULL) {
        free_server(server);
    }
    return true;
}
