// SPDX-License-Identifier: Apache-2.0
// Call specifications of PyTorch packages: whatever the text, the reader ends, and its names begin as they should.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backends/pytorch/torch_model.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth) {
        abort();
    }
}

// The first byte chooses inputs or outputs.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    bool inputs = data[0] % 2 == 0;
    struct arena arena;
    const char **names = NULL;
    uint32_t count = 0;
    char *text = mem_strndup((const char *)data + 1, size - 1);
    require(text != NULL);
    arena_init(&arena, 0);
    struct nrd_status *status = torch_spec_read(&arena, text, inputs, &names, &count);
    if (status != NULL) {
        require(count == 0);
        status_free(status);
    }
    for (uint32_t i = 0; i < count; i++) {
        require(strncmp(names[i], "RESULT", 6) == 0 ? !inputs : strstr(names[i], "ARGS") != NULL);
    }
    arena_fini(&arena);
    mem_free(text);
    return 0;
}
