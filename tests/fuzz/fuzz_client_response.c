// SPDX-License-Identifier: Apache-2.0
// Replies to inferences, as the client reads them: any JSON head with any tensors behind it, any ModelInferResponse. The first byte
// chooses the protocol, the next two are the length of the JSON head.
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "client/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile unsigned char sink;

// Whoever uses the response reads all that it shows.
static void look_at(const struct nrd_client_response *r)
{
    sink ^= (unsigned char)(r->model[0] ^ r->version[0] ^ r->id[0]);
    for (size_t i = 0; i < r->count; i++) {
        const struct nrd_client_tensor *t = &r->tensors[i];
        size_t unit = nrd_dtype_size(t->dtype);
        if (t->data != NULL && unit > 0 && t->size > 0 && (uintptr_t)t->data % unit != 0) {
            abort();
        }
        for (size_t k = 0; t->region == NULL && t->data != NULL && k < t->size; k++) {
            sink ^= ((const unsigned char *)t->data)[k];
        }
        for (size_t k = 0; k < t->rank; k++) {
            sink ^= (unsigned char)t->shape[k];
        }
        sink ^= (unsigned char)t->name[0];
    }
    for (size_t i = 0; i < r->parameter_count; i++) {
        sink ^= (unsigned char)r->parameters[i].name[0];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct nrd_client *client;
    if (size < 3) {
        return 0;
    }
    if (client == NULL) {
        status_free(nrd_client_create("http://127.0.0.1:1", NULL, &client));
        if (client == NULL) {
            return 0;
        }
    }
    char wanted[64];
    const struct call_output place = {.name = "OUT", .data = wanted, .capacity = sizeof(wanted)};
    struct nrd_client_call *call = call_create(client, "infer");
    struct nrd_client_response *response = response_create(client);
    if (call == NULL || response == NULL) {
        abort();
    }
    // A copy of the exact size, so that a sanitizer sees a read past its end.
    size_t length = size - 3;
    char *bytes = mem_alloc(length);
    if (length > 0) {
        memcpy(bytes, data + 3, length);
    }
    struct nrd_status *status;
    if (data[0] % 2 == 0) {
        call->reply = bytes;
        call->reply_size = length;
        call->json_size = data[1] == 255 ? SIZE_MAX : (size_t)(data[1] << 8 | data[2]);
        status = response_read_http(call, response);
        call->reply = NULL;
    } else {
        status = response_read_grpc(slice_make(bytes, length), response);
    }
    if (status == NULL) {
        status = response_settle(response, &place, 1, data[0] % 4 == 3);
    }
    if (status == NULL) {
        look_at(response);
    }
    status_free(status);
    nrd_client_response_free(response);
    call_unref(call);
    mem_free(bytes);
    return 0;
}
