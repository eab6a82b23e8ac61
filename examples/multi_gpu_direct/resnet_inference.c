/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of part it is: GPU 1. */
#include <stdio.h>

#include "inference.h"

struct nrd_status *add_resnet_inference(struct nrd_fragment *fragment, const char *models,
                                        struct nrd_operator **op)
{
    char parameters[1024];
    snprintf(
        parameters, sizeof(parameters),
        "{model_path_map: {resnet_model: \"%s/resnet_model/1/model.onnx\"},"
        " device_map: {resnet_model: 1}," /* where it is not there: another GPU, or the processor */
        " pre_processor_map: {resnet_model: [image]},"
        " inference_map: {resnet_model: [kind_probabilities]}}",
        models);
    return nrd_add_operator_yaml(fragment, "InferenceOp", "ResNetInference", parameters, op);
}
