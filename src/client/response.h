// SPDX-License-Identifier: Apache-2.0
// Responses: what a reply says, as views of it. One owner at a time; the reader of each protocol fills it.
#ifndef NEREID_CLIENT_RESPONSE_H
#define NEREID_CLIENT_RESPONSE_H

#include "client/client.h"

struct nrd_client_response {
    struct nrd_client *client; // shared
    struct list_node node;     // idle
    struct arena arena;        // of all below but the bytes
    void *buffer;              // of the client's pool, where the bytes lie; NULL: none
    const char *model;
    const char *version;
    const char *id;
    bool final;
    struct nrd_client_tensor *tensors;
    size_t count;
    struct nrd_client_parameter *parameters;
    size_t parameter_count;
};

// Returns owned (nrd_client_response_free()); NULL: no memory. Thread: any.
struct nrd_client_response *response_create(struct nrd_client *client);
// Frees the idle ones. Thread: the last user.
void response_stock_fini(struct nrd_client *client);
// Room for the tensors and parameters to come, zeroed. False: no memory.
bool response_expect(struct nrd_client_response *response, size_t tensors, size_t parameters);
// Makes `tensor` show `bytes`: as they lie if they are aligned for its type, else a copy. False: no memory.
bool response_show(struct nrd_client_response *response, struct nrd_client_tensor *tensor,
                   struct slice bytes);
// Checks sizes against shapes, moves the tensors that have a place of the caller's there, and names the regions of those that came
// without bytes (`data` NULL). `streamed`: what was asked for is not known, so that any may have none. Errors name the output; no prefix.
NRD_MUST_USE struct nrd_status *response_settle(struct nrd_client_response *response,
                                                const struct call_output *wanted, size_t count,
                                                bool streamed);

// ---- readers: take call->buffer into the response on success --------------------------------------------------------

NRD_MUST_USE struct nrd_status *response_read_http(struct nrd_client_call *call,
                                                   struct nrd_client_response *response);
// `message` is a ModelInferResponse; who owns its buffer gives it to the response afterwards.
NRD_MUST_USE struct nrd_status *response_read_grpc(struct slice message,
                                                   struct nrd_client_response *response);

#endif
