// SPDX-License-Identifier: Apache-2.0
// Which file of a model's version an instance loads: the one that cc_model_filenames names for its
// GPU's compute capability, else default_model_filename, else the framework's usual name. GPUs of
// different generations in one machine may so have files of their own.
#ifndef NEREID_BACKENDS_COMMON_MODEL_FILE_H
#define NEREID_BACKENDS_COMMON_MODEL_FILE_H

#include "backends/common/model_config.h"

// In place of a GPU's number.
enum { MODEL_FILE_NO_GPU = -1 };

// The path for instances on `device` (negative: not on a GPU); `usual` is the name where the
// configuration gives none. It is a file or a directory and exists. UNAVAILABLE, with Triton's text,
// where it does not; INTERNAL, likewise, where the GPU's compute capability is needed and cannot be
// had. Returns owned (mem_free). Thread: any.
NRD_MUST_USE TRITONSERVER_Error *backend_model_file(const struct model_config *config, int device,
                                                    const char *usual, char **path);
// The GPU of the first instance, MODEL_FILE_NO_GPU if that is not on one: for what is loaded with
// the model and before its instances. Thread: any.
int backend_first_gpu(const struct model_config *config);

#endif
