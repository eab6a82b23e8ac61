// SPDX-License-Identifier: Apache-2.0
// JSON: whatever the text, the reader stays inside of it; and what it reads, written and read again, is the same.
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

// Walks the tape by spans and counts what it visits.
static size_t walk(const struct json_node *node)
{
    size_t nodes = 1;
    if (node->type >= JSON_ARRAY) {
        const struct json_node *end = node + node->span;
        const struct json_node *child = json_first(node);
        size_t children = 0;
        while (child < end) {
            if (node->type == JSON_OBJECT) {
                require(child->type == JSON_STRING);
                nodes++;
                child++;
            }
            nodes += walk(child);
            child = json_next(child);
            children++;
        }
        require(child == end && children == node->count);
    }
    return nodes;
}

static void write(const struct json_node *root, struct str *out)
{
    struct json_writer w;
    json_begin(&w, out);
    json_write_node(&w, root);
    require(!out->failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct json_error error = {0};
    const struct json_node *root;
    arena_init(&arena, 0);
    if (!json_parse(&arena, slice_make(data, size), size % 8 == 7 ? JSON_STRICT : JSON_NAN, &root,
                    &error)) {
        require(error.reason != NULL && error.offset <= size);
    } else {
        struct str once = STR_INIT;
        struct str twice = STR_INIT;
        require(walk(root) == (root->type >= JSON_ARRAY ? root->span : 1));
        write(root, &once);
        require(json_parse(&arena, str_slice(&once), JSON_NAN, &root, &error));
        write(root, &twice);
        require(slice_equal(str_slice(&once), str_slice(&twice)));
        str_fini(&once);
        str_fini(&twice);
    }
    arena_fini(&arena);
    return 0;
}
