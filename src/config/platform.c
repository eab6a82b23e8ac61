// SPDX-License-Identifier: Apache-2.0
// See platform.h. Graphdef is above savedmodel because Triton prefers it where a directory has
// both.
#include "config/platform.h"

#include <string.h>

const struct platform platforms[] = {
    {PLATFORM_GRAPHDEF, NULL, BACKEND_TENSORFLOW, "model.graphdef", MODEL_FORM_FILE},
    {PLATFORM_SAVEDMODEL, NULL, BACKEND_TENSORFLOW, "model.savedmodel", MODEL_FORM_DIR},
    {PLATFORM_TENSORRT, NULL, BACKEND_TENSORRT, "model.plan", MODEL_FORM_FILE},
    {PLATFORM_ONNX, NULL, BACKEND_ONNXRUNTIME, "model.onnx", MODEL_FORM_ANY},
    {"", NULL, BACKEND_OPENVINO, "model.xml", MODEL_FORM_ANY},
    {PLATFORM_LIBTORCH, "libtorch", BACKEND_PYTORCH, "model.pt", MODEL_FORM_FILE},
    {PLATFORM_AOTI, NULL, BACKEND_PYTORCH, "model.pt2", MODEL_FORM_FILE},
    {"", NULL, BACKEND_PYTHON, "model.py", MODEL_FORM_ANY},
};
const size_t platform_count = sizeof(platforms) / sizeof(platforms[0]);

bool platform_is(const struct platform *known, const char *platform)
{
    return platform[0] != '\0' && (strcmp(known->platform, platform) == 0 ||
                                   (known->alias != NULL && strcmp(known->alias, platform) == 0));
}

bool platform_fits_backend(const char *platform, const char *backend)
{
    bool has_platforms = false;
    for (size_t i = 0; i < platform_count; i++) {
        if (strcmp(platforms[i].backend, backend) != 0 || platforms[i].platform[0] == '\0') {
            continue;
        }
        if (platform_is(&platforms[i], platform)) {
            return true;
        }
        has_platforms = true;
    }
    return !has_platforms;
}
