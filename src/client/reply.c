// SPDX-License-Identifier: Apache-2.0
// See reply.h. Servers and gateways answer errors as they like: what is not the protocol's JSON is shown, but not all of it.
#include "client/reply.h"

enum { TEXT_MAX = 300 };

void reply_error_text(struct slice body, struct str *out)
{
    struct arena arena;
    arena_init(&arena, 0);
    const struct json_node *root = NULL;
    struct json_error error;
    const struct json_node *text = NULL;
    if (body.len > 0 && body.ptr[0] == '{' && json_parse(&arena, body, JSON_NAN, &root, &error)) {
        text = json_get(root, "error");
    }
    if (text != NULL && text->type == JSON_STRING) {
        str_append_slice(out, json_text(text));
    } else {
        while (body.len > 0 && (unsigned char)body.ptr[body.len - 1] <= ' ') {
            body.len--;
        }
        for (size_t i = 0; i < body.len && i < TEXT_MAX; i++) {
            char c = body.ptr[i];
            str_append_char(out, (unsigned char)c < ' ' || c == 0x7f ? ' ' : c);
        }
    }
    arena_fini(&arena);
}

struct nrd_status *reply_parse(struct arena *arena, struct slice json,
                               const struct json_node **root)
{
    struct json_error error;
    if (json_parse(arena, json, JSON_NAN, root, &error)) {
        return NULL;
    }
    return strcmp(error.reason, "Out of memory.") == 0
               ? status_no_memory()
               : status_new(NRD_INTERNAL, "malformed answer: JSON: %s at %zu", error.reason,
                            error.offset);
}
