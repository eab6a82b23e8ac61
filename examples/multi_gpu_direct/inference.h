/* SPDX-License-Identifier: Apache-2.0 */
/* The three inference operators of the application, each in a file of its own, each on a GPU of its own where there are as many. */
#ifndef INFERENCE_H
#define INFERENCE_H

#include <nereid/graph.h>

/* Adds the operator that runs DIR/<model> (a directory of a model repository, or the folder of an engine). `op` is borrowed from the
   fragment. */
struct nrd_status *add_unet_inference(struct nrd_fragment *fragment, const char *models,
                                      struct nrd_operator **op);
struct nrd_status *add_resnet_inference(struct nrd_fragment *fragment, const char *models,
                                        struct nrd_operator **op);
struct nrd_status *add_densenet_inference(struct nrd_fragment *fragment, const char *models,
                                          struct nrd_operator **op);

#endif
