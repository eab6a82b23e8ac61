// SPDX-License-Identifier: Apache-2.0
// Message: one allocation that holds the text.
#include "core/message.h"

#include <string.h>

#include "base/mem.h"

struct message *message_create(struct slice json)
{
    struct message *message = mem_alloc(sizeof(*message) + json.len + 1);
    if (message == NULL) {
        return NULL;
    }
    message->length = json.len;
    if (json.len > 0) {
        memcpy(message->text, json.ptr, json.len);
    }
    message->text[json.len] = '\0';
    return message;
}

struct nrd_status *message_take(struct str *json, struct message **message)
{
    struct message *made = json->failed ? NULL : message_create(str_slice(json));
    str_fini(json);
    if (made == NULL) {
        return status_no_memory();
    }
    *message = made;
    return NULL;
}

void message_destroy(struct message *message)
{
    mem_free(message);
}
