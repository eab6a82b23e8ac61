// SPDX-License-Identifier: Apache-2.0
// Results: what a network's output tensor says, whatever kind of output it is. Used by operators that report or show it.
#ifndef NEREID_GRAPH_OPS_RESULTS_H
#define NEREID_GRAPH_OPS_RESULTS_H

#include "graph/ops/labels.h"
#include "image/classes.h"

enum result_kind {
    RESULT_AUTO,           // decided at first sight
    RESULT_CLASSIFICATION, // a score for each class
    RESULT_SEGMENTATION,   // scores for each pixel, or a map of class numbers
    RESULT_FEATURES,       // a vector of numbers
    RESULT_TEXT,           // BYTES: names, or Triton's "score:index:label"
    RESULT_OTHER,          // its shape and its first numbers
    RESULT_IGNORE,
};
#define RESULT_TOP_MAX 16

struct result_class {
    uint32_t index;
    float score; // classification: the score; segmentation: the share of pixels
};
struct result {
    uint32_t count; // of `top`
    struct result_class top[RESULT_TOP_MAX];
    uint32_t classes; // how many there are in all
    size_t numbers;   // features: how many, and what they are like
    double norm, mean, min, max;
};

// Looks at a tensor of the host. A batch's items are looked at one by one: `item` below result_items(). A leading dimension of 1 is
// none. Thread: any.
enum result_kind result_guess(const struct nrd_tensor *tensor);
// Whether a tensor can be read as that kind; the calls below are for those that can.
bool result_fits(const struct nrd_tensor *tensor, enum result_kind kind);
size_t result_items(const struct nrd_tensor *tensor, enum result_kind kind);
// Scores of a segmentation for item `item`: false for a map of class numbers (UINT8), which `map` then points to.
bool result_scores(const struct nrd_tensor *tensor, size_t item, struct image_scores *scores,
                   const uint8_t **map);
// `map` is room for a segmentation's pixels (NULL otherwise), and holds its class numbers afterwards. `top` is at most RESULT_TOP_MAX.
void result_read(const struct nrd_tensor *tensor, enum result_kind kind, size_t item, uint32_t top,
                 uint8_t *map, struct result *result);
// Bytes that `map` must have; 0 for other kinds.
size_t result_map_size(const struct nrd_tensor *tensor, enum result_kind kind);

#endif
