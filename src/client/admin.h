// SPDX-License-Identifier: Apache-2.0
// Questions to a server that are no inference: asked over either protocol, answered as JSON in the form of HTTP's replies.
// Both forms of a question are written down; the client's link chooses. Thread of all: any but the loop.
#ifndef NEREID_CLIENT_ADMIN_H
#define NEREID_CLIENT_ADMIN_H

#include <protobuf-c/protobuf-c.h>

#include "base/json.h"
#include "client/client.h"

struct question {
    const char *verb;   // for errors: "load"
    struct str subject; // "model 'x'"
    // HTTP.
    const char *method; // "GET " or "POST "
    struct str path;    // behind the gateway's prefix
    struct str body;
    bool bad_name; // a name cannot stand in the path
    // gRPC.
    const char *rpc; // "/inference.GRPCInferenceService/..."
    struct str message;
    const ProtobufCMessageDescriptor *reply;
    // The answer.
    struct str json;
    int status; // HTTP or gRPC; -1: none came
};

void question_init(struct question *q, const char *verb, const char *method, const char *rpc,
                   const ProtobufCMessageDescriptor *reply);
void question_fini(struct question *q);
// Appends a name to the path, between `before` and `after`; nothing when it is NULL or "".
void question_name(struct question *q, const char *before, const char *name, const char *after);
// Asks and waits. On success q->json is the answer, "" if it has none.
NRD_MUST_USE struct nrd_status *question_ask(struct nrd_client *client, struct question *q);
// The same, and gives the JSON away (`json` may be NULL: not wanted). Fini's `q` in any case.
NRD_MUST_USE struct nrd_status *question_text(struct nrd_client *client, struct question *q,
                                              char **json);

#endif
