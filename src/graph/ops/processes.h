// SPDX-License-Identifier: Apache-2.0
// Processes: the operations of InferenceProcessorOp, each on one tensor of the host.
#ifndef NEREID_GRAPH_OPS_PROCESSES_H
#define NEREID_GRAPH_OPS_PROCESSES_H

#include "base/str.h"
#include "nereid/operator.h"

// "max_per_channel_scaled": FP32 [N, H, W, C] to 2 * C numbers: for each channel row / H and column / W of its greatest value (the
// first of equals, of the first picture; channel 0, the background, is left 0, 0). Thread: any.
void process_max_per_channel(const struct nrd_tensor *in, float *out);
// "scale_intensity_cpu": FP32 [1, H, W] to UINT8 [H, W, 3]: the histogram of the scaled values made even.
void process_scale_intensity(const struct nrd_tensor *in, uint8_t *out);
// "print", "print_int32": the numbers, as C++ streams print them, with ", " between; appended.
void process_print(const struct nrd_tensor *in, struct str *out);
// "print_custom_binary_classification,A,B": two scores; appends "A. Confidence: 0.9". False: not two FP32 numbers.
bool process_print_binary(const struct nrd_tensor *in, const char *first, const char *second,
                          struct str *out);
// The two probabilities (sigmoid of each), and which one is greater (1: the second). False: not two FP32 numbers.
bool process_binary(const struct nrd_tensor *in, int *which, double *confidence);

// ---- generate_boxes -------------------------------------------------------------------------------------------------

// From "scores", "labels" and "boxes" (or "masks") of a detector to the tensors that a visualiser shows: for the first `count` boxes of each object
// that the configuration names, "NAME0" [1, 2, 2] and "NAMEtext0" [1, 1, 3]; or "holoviz_masks" [height, width, 4].
struct box_maker;
// `config_path`: YAML with `generate_boxes:` as in Holoscan. `keys`: the tensors' names; one has "scores" in it, one "labels", and one
// "boxes" or "masks". Errors name file, position and key. Returns owned. Thread: owner.
NRD_MUST_USE struct nrd_status *box_maker_create(const char *config_path, const char *const *keys,
                                                 size_t key_count, struct box_maker **maker);
void box_maker_destroy(struct box_maker *maker); // NULL is fine
// Adds its tensors to `out`. `tensors` are those of the keys, on the host, in their order.
NRD_MUST_USE struct nrd_status *box_maker_run(struct box_maker *maker, struct nrd_operator *op,
                                              struct nrd_resource *allocator,
                                              struct nrd_tensor *const *tensors,
                                              struct nrd_message *out);

#endif
