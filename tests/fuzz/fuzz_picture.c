// SPDX-License-Identifier: Apache-2.0
// JPEG and PNG: whatever the bytes say, pixels are written within the picture that the head describes.
#include <stdint.h>

#include "base/mem.h"
#include "image/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image_head head;
    struct nrd_status *status = image_inspect(data, size, &head);
    if (status != NULL || (uint64_t)head.width * head.height > 1u << 20) {
        status_free(status);
        return 0;
    }
    static const uint32_t kinds[] = {1, 3, 4};
    for (size_t i = 0; i < 3; i++) {
        void *pixels = mem_alloc((size_t)head.width * head.height * kinds[i]);
        struct image to = image_of(pixels, head.width, head.height, kinds[i], NRD_DTYPE_U8);
        if (pixels != NULL) {
            status_free(image_read(data, size, &to));
        }
        mem_free(pixels);
    }
    return 0;
}
