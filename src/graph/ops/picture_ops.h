// SPDX-License-Identifier: Apache-2.0
// The operators that look at pictures and at what networks say of them. One file each; registry.c lists them.
#ifndef NEREID_GRAPH_OPS_PICTURE_OPS_H
#define NEREID_GRAPH_OPS_PICTURE_OPS_H

#include "nereid/operator.h"

extern const struct nrd_operator_class format_converter_op;
extern const struct nrd_operator_class bayer_demosaic_op;
extern const struct nrd_operator_class segmentation_postprocessor_op;
extern const struct nrd_operator_class inference_processor_op;
extern const struct nrd_operator_class holoviz_op;

#endif
