// SPDX-License-Identifier: Apache-2.0
// Entities of Holoscan's recordings: whatever the bytes say, heads lie within them, and so do the elements that are put in order.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/ops/entity_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static bool read_input(void *arg, uint64_t offset, void *to, size_t size)
{
    const struct input *input = arg;
    if (offset > input->size || size > input->size - offset) {
        abort(); // asked for more than it was told there is
    }
    memcpy(to, input->data + offset, size);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct entity entity;
    struct input input = {data, size};
    struct nrd_status *status = entity_parse(read_input, &input, size, &entity);
    if (status != NULL) {
        status_free(status);
        return 0;
    }
    if (entity.size > size) {
        abort();
    }
    for (size_t i = 0; i < entity.count; i++) {
        const struct entity_tensor *t = &entity.tensors[i];
        void *ordered = mem_alloc(t->body_size + 1);
        if (ordered != NULL) {
            entity_reorder(t, data + t->body_offset, ordered);
        }
        mem_free(ordered);
    }
    return 0;
}
