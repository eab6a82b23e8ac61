// SPDX-License-Identifier: Apache-2.0
// Model files: a repository made for models that are named by their files alone.
//
// The core takes models from repositories. For an operator that names `unet.onnx` or `engine.plan`, a temporary repository is made, of
// links: DIR/unet/1/model.onnx and a config.pbtxt that says the framework and the device. A path that is a model's own
// directory in somebody's repository (it has a config.pbtxt or a version) is linked as it stands. Nothing is copied or written
// beside the model. Start at model_files_add().
#ifndef NEREID_GRAPH_INFER_MODEL_FILES_H
#define NEREID_GRAPH_INFER_MODEL_FILES_H

#include <stdbool.h>

#include "base/status.h"

struct model_files {
    char *directory; // NULL until the first model; the repository
};

struct model_file {
    const char *model; // its name
    const char *path;  // a file, a SavedModel, or a model's directory
    const char *
        backend; // "trt", "onnxrt", "torch", a Triton backend's name; NULL or "": by the path's ending
    int device; // number of the GPU; -1: the processor; -2: the backend's choice
};
enum { MODEL_DEVICE_CPU = -1, MODEL_DEVICE_ANY = -2 };

void model_files_init(struct model_files *files);
// Removes the repository. The models must have been closed.
void model_files_fini(struct model_files *files);
// Adds a model. NRD_NOT_FOUND: there is no such path; NRD_INVALID_ARG: its ending says no framework and none was named, or an
// ONNX file was given to "torch", or a name that cannot be a directory's; texts name model and path. Blocks on files. Thread: owner.
NRD_MUST_USE struct nrd_status *model_files_add(struct model_files *files,
                                                const struct model_file *file);

#endif
