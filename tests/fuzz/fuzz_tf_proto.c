// SPDX-License-Identifier: Apache-2.0
// Signatures of a TensorFlow model: whatever the bytes, the reader stays inside of them, and what it gives is whole.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backends/tensorflow/tf_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

static void look(const struct tf_ios *ios)
{
    for (uint32_t i = 0; i < ios->count; i++) {
        const struct tf_io *io = &ios->items[i];
        require(io->name != NULL && io->tensor != NULL && io->type >= 0);
        require(i == 0 || strcmp(ios->items[i - 1].name, io->name) <= 0);
        for (uint32_t d = 0; d < io->dim_count; d++) {
            require(io->dims[d] >= -1);
        }
        require(tf_type_name(io->type) != NULL);
    }
}

// The first byte chooses which signature is asked for.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"", "b", "serving_default"};
    if (size == 0) {
        return 0;
    }
    const char *key = keys[data[0] % 3];
    struct arena arena;
    struct tf_signature signature = {0};
    bool found = false;
    arena_init(&arena, 0);
    struct nrd_status *status =
        tf_read_signature(&arena, slice_make(data + 1, size - 1), key, &found, &signature);
    if (status != NULL) {
        require(!found || signature.key == NULL);
        status_free(status);
    } else if (found) {
        require(signature.key != NULL && (key[0] == '\0' || strcmp(signature.key, key) == 0));
        look(&signature.inputs);
        look(&signature.outputs);
    }
    arena_fini(&arena);
    return 0;
}
