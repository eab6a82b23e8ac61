// SPDX-License-Identifier: Apache-2.0
// What the files of the HTTP front end share: the server, a request on its way, replies.
//
// http_server.c routes to one function an endpoint. An endpoint runs on the connection's loop; one that may block (a
// load, a file, a long lock) moves to a worker with http_offload(), and its reply moves back. All endpoints reply exactly once.
#ifndef NEREID_PROTOCOL_HTTP_API_H
#define NEREID_PROTOCOL_HTTP_API_H

#include "base/arena.h"
#include "base/json.h"
#include "net/http1.h"
#include "net/worker.h"
#include "protocol/error.h"
#include "protocol/http_server.h"
#include "protocol/model_version.h"
#include "protocol/shm.h"

struct infer_pool;

struct http_server {
    TRITONSERVER_Server *triton;
    struct http1_server *net;
    struct buffer_pool *pool;
    struct body_locks *locks; // of `pool`; NULL: none
    struct worker *workers;   // for what takes moments
    struct worker *loaders;   // for loads and unloads, which take as long as they take
    struct infer_pool *infers;
    TRITONSERVER_ResponseAllocator *allocator;
    struct shm_manager *shm;
    uint64_t max_input_size;
    struct header_pattern *forward;          // NULL: no header goes along
    const struct restrict_rules *restricted; // NULL: all may do all
    struct str metadata;                     // of the server; it never changes
};

// What a route matched; slices of the request's path.
struct http_route {
    struct slice model;   // also a region's or a repository's model name
    struct slice version; // "" when not given
    struct slice region;
    struct slice repository;
};

#define HTTP_TYPE_JSON SLICE("Content-Type: application/json\r\n")

// ---- replies

// Headers and body. `headers` empty: text/plain.
void http_reply_text(struct http1_request *request, int status, struct slice headers,
                     struct slice body);
// {"error":"TEXT"}
void http_reply_error(struct http1_request *request, int status, bool json_type, const char *text);
// The same for a status, which it takes.
void http_reply_status(struct http1_request *request, bool json_type, struct nrd_status *status);
void http_reply_not_allowed(struct http1_request *request, bool json_type);
// A serialised message, or the status; takes both.
void http_reply_message(struct http1_request *request, TRITONSERVER_Message *message,
                        struct nrd_status *status);

// ---- help for endpoints

// True (and the reply is made) when the header that this category asks for is missing.
bool http_is_restricted(struct http_server *http, struct http1_request *request,
                        enum restrict_category category);
// Deletes an error that nobody can act upon, after logging it as "WHAT: TEXT" at verbose level 1. NULL is fine.
void http_drop_error(TRITONSERVER_Error *error, const char *what);
struct slice http_header(const struct http1_request *request, struct slice name);
// The request's body as JSON into `arena`. An empty body: `*root` is NULL when `may_be_empty`, else an error.
NRD_MUST_USE struct nrd_status *http_parse_json(struct http_server *http,
                                                struct http1_request *request, struct arena *arena,
                                                struct slice body, bool may_be_empty,
                                                const struct json_node **root);

// NULL for an object, else Triton's error of walking what is none.
NRD_MUST_USE struct nrd_status *http_want_members(const struct json_node *node);

// ---- work away from the loop

struct http_job {
    struct worker_job work; // on a worker
    struct loop_task task;  // back on the loop
    struct http_server *http;
    struct http1_request *request;
    struct http_route route; // slices of the path, alive until the reply
    struct nrd_status *(*run)(struct http_job *job);
    struct str body; // what run() wants to reply with
    bool text_type;  // errors as text/plain
    int work_status; // of a failed run()
};
// Runs `run` on a worker, a loader if it may be `slow`; its status, or a 200 with `job->body`, becomes the reply. Thread: loop.
void http_offload(struct http_server *http, struct http1_request *request,
                  const struct http_route *route, struct nrd_status *(*run)(struct http_job *job),
                  bool slow);

// ---- endpoints

void http_server_metadata(struct http_server *http, struct http1_request *request);
void http_health(struct http_server *http, struct http1_request *request, bool ready);
void http_model_ready(struct http_server *http, struct http1_request *request,
                      const struct http_route *route);
void http_model_metadata(struct http_server *http, struct http1_request *request,
                         const struct http_route *route);
void http_model_config(struct http_server *http, struct http1_request *request,
                       const struct http_route *route);
void http_model_stats(struct http_server *http, struct http1_request *request,
                      const struct http_route *route);
void http_model_infer(struct http_server *http, struct http1_request *request,
                      const struct http_route *route);
void http_model_generate(struct http_server *http, struct http1_request *request,
                         const struct http_route *route, bool stream);
void http_repository_index(struct http_server *http, struct http1_request *request,
                           const struct http_route *route);
void http_repository_load(struct http_server *http, struct http1_request *request,
                          const struct http_route *route, bool load);
enum http_shm_action { HTTP_SHM_STATUS, HTTP_SHM_REGISTER, HTTP_SHM_UNREGISTER };
void http_shm(struct http_server *http, struct http1_request *request,
              const struct http_route *route, bool cuda, enum http_shm_action action);
void http_logging(struct http_server *http, struct http1_request *request);
void http_trace(struct http_server *http, struct http1_request *request);

#endif
