// SPDX-License-Identifier: Apache-2.0
// The gRPC front end: inference.GRPCInferenceService and grpc.health.v1.Health, over TRITONSERVER_* alone.
//
// A few loops share the connections; a request is read, issued and answered on the loop of its connection, and what may block
// (loading, unloading, reading statistics) runs on workers. Any TRITONSERVER_Server will do, ours or the original's.
// Start at grpc_server_create().
#ifndef NEREID_PROTOCOL_GRPC_SERVER_H
#define NEREID_PROTOCOL_GRPC_SERVER_H

#include <stdint.h>

#include "base/status.h"
#include "triton/core/tritonserver.h"

struct grpc_server;
struct restrict_rules;
struct shm_manager;

// How hard answers are compressed for clients that accept gzip or deflate.
enum grpc_server_compression {
    GRPC_SERVER_COMPRESSION_NONE,
    GRPC_SERVER_COMPRESSION_LOW,
    GRPC_SERVER_COMPRESSION_MEDIUM,
    GRPC_SERVER_COMPRESSION_HIGH,
};

// One --grpc-* option each. Begin with grpc_server_options_init(), which sets their defaults.
struct grpc_server_options {
    const char *address;            // NULL: "0.0.0.0"
    int port;                       // 0: the system chooses
    bool reuse_port;                // --reuse-grpc-port
    int infer_thread_count;         // loops, no more than there are processors
    int infer_allocation_pool_size; // accepted; the pools here have no such limit
    int max_response_pool_size;     // INT_MAX; anything else is refused
    bool use_ssl;
    bool use_ssl_mutual;
    const char *server_cert; // files in PEM form
    const char *server_key;
    const char *root_cert;
    enum grpc_server_compression compression;
    int64_t keepalive_time_ms;
    int64_t keepalive_timeout_ms;
    bool keepalive_permit_without_calls;
    int max_pings_without_data;
    int64_t min_recv_ping_interval_ms;
    int max_ping_strikes;
    int64_t max_connection_age_ms;           // 0: none
    int64_t max_connection_age_grace_ms;     // 0: no limit
    const char *header_forward_pattern;      // NULL or "": none
    const struct restrict_rules *restricted; // NULL: nothing is; keys as restrict_add() made them
    struct shm_manager *shm; // shared with the HTTP front end; NULL: every use is refused
};
void grpc_server_options_init(struct grpc_server_options *options);

// Binds and serves, and logs "Started GRPCInferenceService at ADDRESS:PORT". Strings are copied but `restricted`, which
// is borrowed; `server` is borrowed and outlives the result. Errors: what is not built is NRD_UNSUPPORTED and named; a bad
// pattern, certificate or address. Returns owned. Thread: any.
NRD_MUST_USE struct nrd_status *grpc_server_create(TRITONSERVER_Server *server,
                                                   const struct grpc_server_options *options,
                                                   struct grpc_server **out);
int grpc_server_port(const struct grpc_server *grpc);
// Answers new inference requests UNAVAILABLE and takes no new connections; the rest goes on. Thread: any.
void grpc_server_refuse_new(struct grpc_server *grpc);
// Refuses new ones, says GOAWAY, and waits until calls in flight are over, at most `*seconds` seconds, which it counts down, logging once
// a second what it waits for. Thread: any but a loop's.
void grpc_server_stop(struct grpc_server *grpc, unsigned *seconds);
// Closes what is left and frees. The TRITONSERVER_Server must still be there, since requests may be under way; those are cancelled.
// NULL is fine.
void grpc_server_destroy(struct grpc_server *grpc);

#endif
