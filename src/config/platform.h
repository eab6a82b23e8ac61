// SPDX-License-Identifier: Apache-2.0
// The frameworks that Triton knows by name: their `platform`, their `backend`, and the file each
// looks for. One table (platform.c) serves the guessing of complete.c and the pair check of
// validate.c. Thread: any.
#ifndef NEREID_CONFIG_PLATFORM_H
#define NEREID_CONFIG_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>

#define PLATFORM_ENSEMBLE "ensemble"
#define PLATFORM_SAVEDMODEL "tensorflow_savedmodel"
#define PLATFORM_GRAPHDEF "tensorflow_graphdef"
#define PLATFORM_TENSORRT "tensorrt_plan"
#define PLATFORM_ONNX "onnxruntime_onnx"
#define PLATFORM_LIBTORCH "pytorch_libtorch"
#define PLATFORM_AOTI "torch_aoti"
#define BACKEND_TENSORFLOW "tensorflow"
#define BACKEND_TENSORRT "tensorrt"
#define BACKEND_ONNXRUNTIME "onnxruntime"
#define BACKEND_OPENVINO "openvino"
#define BACKEND_PYTORCH "pytorch"
#define BACKEND_PYTHON "python"

enum model_form { MODEL_FORM_FILE, MODEL_FORM_DIR, MODEL_FORM_ANY };

struct platform {
    const char *platform; // "": the backend has no platform name
    const char *alias;    // another spelling of the platform; may be NULL
    const char *backend;
    const char *file;
    enum model_form form; // what `file` has to be for the backend to be told by it
};

// In the order in which guesses are made.
extern const struct platform platforms[];
extern const size_t platform_count;

bool platform_is(const struct platform *known, const char *platform);
// False only when the backend has platforms and this is none of them. "" is one only for a backend
// without any.
bool platform_fits_backend(const char *platform, const char *backend);

#endif
