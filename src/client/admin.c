// SPDX-License-Identifier: Apache-2.0
// See admin.h. gRPC's replies become JSON through their descriptors, which gives HTTP's form but for a few wrappings; who asks
// takes those off.
#include "client/admin.h"

#include "base/mem.h"
#include "client/infer.h"
#include "proto/json.h"
#include "proto/message.h"

void question_init(struct question *q, const char *verb, const char *method, const char *rpc,
                   const ProtobufCMessageDescriptor *reply)
{
    *q =
        (struct question){.verb = verb, .method = method, .rpc = rpc, .reply = reply, .status = -1};
}

void question_fini(struct question *q)
{
    str_fini(&q->subject);
    str_fini(&q->path);
    str_fini(&q->body);
    str_fini(&q->message);
    str_fini(&q->json);
}

void question_name(struct question *q, const char *before, const char *name, const char *after)
{
    if (name == NULL || name[0] == '\0') {
        return;
    }
    q->bad_name |= !http_name_fits_path(name);
    str_append_cstr(&q->path, before);
    str_append_cstr(&q->path, name);
    str_append_cstr(&q->path, after);
}

static struct nrd_status *write_http(struct nrd_client_call *call, const struct question *q)
{
    if (q->bad_name) {
        return call_failed(call, NRD_INVALID_ARG, "the name cannot be asked for over HTTP");
    }
    str_append_cstr(&call->head, q->method);
    str_append_slice(&call->head, str_slice(&call->client->url.path));
    str_append_slice(&call->head, str_slice(&q->path));
    http_write_headers(call, q->method[0] == 'P', q->body.len, SIZE_MAX);
    NRD_TRY(str_status(&call->head));
    return call_add_part(call, call->head.ptr, call->head.len) &&
                   call_add_part(call, q->body.ptr, q->body.len)
               ? NULL
               : status_no_memory();
}

static struct nrd_status *write_grpc(struct nrd_client_call *call, const struct question *q)
{
    char prefix[GRPC_PREFIX];
    if (q->message.len > INT32_MAX) {
        return call_failed(call, NRD_INVALID_ARG,
                           "the request has %zu bytes, gRPC takes at most %d", q->message.len,
                           INT32_MAX);
    }
    grpc_prefix(prefix, q->message.len);
    call->path = q->rpc;
    str_append(&call->head, prefix, sizeof(prefix));
    NRD_TRY(str_status(&call->head));
    return call_add_part(call, call->head.ptr, call->head.len) &&
                   call_add_part(call, q->message.ptr, q->message.len)
               ? NULL
               : status_no_memory();
}

static struct nrd_status *read_grpc(const struct nrd_client_call *call, struct question *q)
{
    ProtobufCMessage *reply = protobuf_c_message_unpack(
        q->reply, proto_allocator(), call->reply_size, (const uint8_t *)call->reply);
    if (reply == NULL) {
        return call_failed(call, NRD_INTERNAL, "malformed answer");
    }
    proto_json_write(reply, NULL, &q->json);
    protobuf_c_message_free_unpacked(reply, proto_allocator());
    return NULL;
}

static struct nrd_status *ask(struct nrd_client_call *call, struct question *q)
{
    bool grpc = call->client->url.grpc;
    NRD_TRY(str_status(&q->subject));
    NRD_TRY(str_status(&q->path));
    NRD_TRY(str_status(&q->body));
    NRD_TRY(str_status(&q->message));
    str_append_slice(&call->subject, str_slice(&q->subject));
    call->repeatable = true;
    NRD_TRY(grpc ? write_grpc(call, q) : write_http(call, q));
    NRD_TRY(call_wait(call));
    q->status = call->status;
    NRD_TRY(call_server_status(call));
    if (grpc) {
        NRD_TRY(read_grpc(call, q));
    } else {
        str_append(&q->json, call->reply_size > 0 ? call->reply : "", call->reply_size);
    }
    return str_status(&q->json);
}

struct nrd_status *question_ask(struct nrd_client *client, struct question *q)
{
    struct nrd_client_call *call = call_create(client, q->verb);
    if (call == NULL) {
        return status_no_memory();
    }
    struct nrd_status *status = ask(call, q);
    call_unref(call);
    return status;
}

struct nrd_status *question_text(struct nrd_client *client, struct question *q, char **json)
{
    struct nrd_status *status = question_ask(client, q);
    if (status == NULL && json != NULL) {
        char *text = q->json.len > 0 ? str_take(&q->json) : mem_strdup("");
        status = text == NULL ? status_no_memory() : NULL;
        if (text != NULL) {
            *json = text;
        }
    }
    question_fini(q);
    return status;
}

void nrd_client_text_free(char *text)
{
    mem_free(text);
}
