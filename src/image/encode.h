// SPDX-License-Identifier: Apache-2.0
// Encode: pictures as PNG and JPEG bytes.
#ifndef NEREID_IMAGE_ENCODE_H
#define NEREID_IMAGE_ENCODE_H

#include "base/status.h"
#include "base/str.h"
#include "image/image.h"

// Appends a PNG of a U8 picture of 1, 3 or 4 channels. `level` 0 to 9 as zlib's. NRD_INVALID_ARG, out of memory. Thread: any.
NRD_MUST_USE struct nrd_status *image_write_png(const struct image *from, int level,
                                                struct str *out);
// Appends a JPEG (baseline, 4:2:0) of a U8 picture of 1, 3 or 4 channels (a fourth is left out). `quality` 1 to 100.
NRD_MUST_USE struct nrd_status *image_write_jpeg(const struct image *from, int quality,
                                                 struct str *out);

#endif
