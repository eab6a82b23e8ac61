// SPDX-License-Identifier: Apache-2.0
// The decoders behind image/decode.h: the bytes are known to begin as such a file does.
#ifndef NEREID_IMAGE_DECODE_PRIVATE_H
#define NEREID_IMAGE_DECODE_PRIVATE_H

#include "image/decode.h"

struct nrd_status *jpeg_inspect(const void *bytes, size_t size, struct image_head *head);
struct nrd_status *jpeg_read(const void *bytes, size_t size, const struct image *to);
struct nrd_status *png_inspect(const void *bytes, size_t size, struct image_head *head);
struct nrd_status *png_read(const void *bytes, size_t size, const struct image *to);

#endif
