// SPDX-License-Identifier: Apache-2.0
// Decode: which decoder it is, by the first bytes.
#include "image/decode.h"

#include <string.h>

#include "image/decode_private.h"

static bool is_jpeg(const void *bytes, size_t size)
{
    return size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0;
}

static bool is_png(const void *bytes, size_t size)
{
    return size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static struct nrd_status *neither(size_t size)
{
    return status_new(NRD_INVALID_ARG, "%zu bytes that are neither JPEG nor PNG", size);
}

struct nrd_status *image_inspect(const void *bytes, size_t size, struct image_head *head)
{
    return is_jpeg(bytes, size)  ? jpeg_inspect(bytes, size, head)
           : is_png(bytes, size) ? png_inspect(bytes, size, head)
                                 : neither(size);
}

struct nrd_status *image_read(const void *bytes, size_t size, const struct image *to)
{
    return is_jpeg(bytes, size)  ? jpeg_read(bytes, size, to)
           : is_png(bytes, size) ? png_read(bytes, size, to)
                                 : neither(size);
}
