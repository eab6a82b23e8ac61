// SPDX-License-Identifier: Apache-2.0
// TRITONSERVER_Message*.
#include "core/abi/abi.h"

#include "base/json.h"
#include "core/message.h"

// Whether `text` is JSON; numbers that are not finite pass, as the server writes them itself.
static struct nrd_status *check_json(struct slice text)
{
    struct arena arena;
    arena_init(&arena, 0);
    const struct json_node *root = NULL;
    struct json_error error;
    struct nrd_status *status = NULL;
    if (!json_parse(&arena, text, JSON_NAN, &root, &error)) {
        status = status_new(NRD_INVALID_ARG, "failed to parse the message JSON buffer: %s at %zu",
                            error.reason, error.offset);
    }
    arena_fini(&arena);
    return status;
}

TRITONSERVER_Error *TRITONSERVER_MessageNewFromSerializedJson(TRITONSERVER_Message **message,
                                                              const char *base, size_t byte_size)
{
    struct slice text = slice_make(base, byte_size);
    struct nrd_status *status = check_json(text);
    if (status != NULL) {
        return abi_error(status);
    }
    struct message *made = message_create(text);
    if (made == NULL) {
        return abi_error(status_no_memory());
    }
    *message = (TRITONSERVER_Message *)made;
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_MessageDelete(TRITONSERVER_Message *message)
{
    message_destroy((struct message *)message);
    return NULL;
}

TRITONSERVER_Error *TRITONSERVER_MessageSerializeToJson(TRITONSERVER_Message *message,
                                                        const char **base, size_t *byte_size)
{
    const struct message *own = (const struct message *)message;
    *base = own->text;
    *byte_size = own->length;
    return NULL;
}
