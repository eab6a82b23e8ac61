/* SPDX-License-Identifier: Apache-2.0 */
/* Which region of the picture each pixel belongs to: GPU 0. */
#include <stdio.h>

#include "inference.h"

struct nrd_status *add_unet_inference(struct nrd_fragment *fragment, const char *models,
                                      struct nrd_operator **op)
{
    char parameters[1024];
    snprintf(
        parameters, sizeof(parameters),
        "{model_path_map: {unet_model: \"%s/unet_model/1/model.onnx\"},"
        " device_map: {unet_model: 0}," /* where it is not there: another GPU, or the processor */
        " pre_processor_map: {unet_model: [image]},"
        " inference_map: {unet_model: [region_probabilities]}}",
        models);
    return nrd_add_operator_yaml(fragment, "InferenceOp", "UnetInference", parameters, op);
}
