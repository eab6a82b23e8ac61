/* SPDX-License-Identifier: Apache-2.0 */
/* What its surface is like, and the features that say so: GPU 2. */
#include <stdio.h>

#include "inference.h"

struct nrd_status *add_densenet_inference(struct nrd_fragment *fragment, const char *models,
                                          struct nrd_operator **op)
{
    char parameters[1024];
    snprintf(
        parameters, sizeof(parameters),
        "{model_path_map: {densenet_model: \"%s/densenet_model/1/model.onnx\"},"
        " device_map: {densenet_model: 2}," /* where it is not there: another GPU, or the processor */
        " pre_processor_map: {densenet_model: [image]},"
        " inference_map: {densenet_model: [finish_probabilities, features]}}",
        models);
    return nrd_add_operator_yaml(fragment, "InferenceOp", "DenseNetInference", parameters, op);
}
