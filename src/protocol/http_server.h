// SPDX-License-Identifier: Apache-2.0
// The HTTP front end: KServe v2 and Triton's extensions, over TRITONSERVER_* alone.
//
// Any TRITONSERVER_Server will do, ours or the original's. Start at http_server_create(). The metrics endpoint is a server of
// its own, since it has its own port; it is at the end.
#ifndef NEREID_PROTOCOL_HTTP_SERVER_H
#define NEREID_PROTOCOL_HTTP_SERVER_H

#include "base/status.h"
#include "protocol/restrict.h"
#include "triton/core/tritonserver.h"

struct http_server;
struct metrics_server;
struct shm_manager;

struct http_server_options {
    const char *address;                     // NULL: "0.0.0.0"
    int port;                                // 0: the system chooses
    unsigned threads;                        // --http-thread-count
    bool reuse_port;                         // --reuse-http-port
    uint64_t max_input_size;                 // --http-max-input-size; 0: 64 MiB
    const char *header_forward_pattern;      // --http-header-forward-pattern; NULL or "": none
    const struct restrict_rules *restricted; // --http-restricted-api; borrowed; NULL: none
    struct shm_manager *shm; // shared with the gRPC front end; NULL: every use is refused
};

// Binds and serves, and logs "Started HTTPService at ADDRESS:PORT". Strings are copied; what the
// options point to and `server` are borrowed and outlive the result.
// Errors: the address in use, a pattern that is no regular expression. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *http_server_create(TRITONSERVER_Server *server,
                                                   const struct http_server_options *options,
                                                   struct http_server **out);
int http_server_port(const struct http_server *http);
// Stops accepting and waits until clients have closed their connections, at most `*seconds` seconds, which it counts down, logging
// once a second what it waits for. Thread: any but a loop's.
void http_server_stop(struct http_server *http, unsigned *seconds);
// Closes what is left and frees. The TRITONSERVER_Server must still be there, since requests may be under way; those are cancelled.
// NULL is fine.
void http_server_destroy(struct http_server *http);

struct metrics_server_options {
    const char *address; // NULL: "0.0.0.0"
    int port;            // 0: the system chooses
};
// Binds and serves GET /metrics, and logs "Started Metrics Service at ADDRESS:PORT". As above.
NRD_MUST_USE struct nrd_status *metrics_server_create(TRITONSERVER_Server *server,
                                                      const struct metrics_server_options *options,
                                                      struct metrics_server **out);
int metrics_server_port(const struct metrics_server *metrics);
void metrics_server_stop(struct metrics_server *metrics, unsigned *seconds);
void metrics_server_destroy(struct metrics_server *metrics);

#endif
