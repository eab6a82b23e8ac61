// SPDX-License-Identifier: Apache-2.0
// Pictures into models: an 8-bit picture is brought to the size, the layout and the type that a model's input states.
#ifndef NEREID_GRAPH_INFER_PICTURE_H
#define NEREID_GRAPH_INFER_PICTURE_H

#include "graph/infer/infer.h"

struct image_resizer;

// Keeps the resizer of the last size. Zero before the first use.
struct picture_fit {
    struct image_resizer *resizer;
    uint32_t from_width, from_height, to_width, to_height, channels;
};
void picture_fit_fini(struct picture_fit *fit);

// `tensor`: U8 [H,W,C] or [1,H,W,C] of the host, C 1, 3 or 4 (RGB first; alpha is left out where the model wants none). `spec`:
// [C,H,W] or [H,W,C], with or without a batch dimension before, U8 or FP32; open heights and widths are the picture's own.
// Scaled bilinearly (with a wider filter where it gets smaller) without keeping proportions; floats are 0 to 1. A tensor that already
// has the input's type, and any that is no picture, goes through as it is. Takes `tensor`, also on failure; returns owned.
// Thread: owner.
NRD_MUST_USE struct nrd_status *picture_fit_apply(struct picture_fit *fit, struct nrd_operator *op,
                                                  const struct infer_spec *spec,
                                                  struct nrd_tensor *tensor,
                                                  struct nrd_tensor **fitted);

#endif
