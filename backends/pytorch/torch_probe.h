// SPDX-License-Identifier: Apache-2.0
// What the tensors of a TorchScript file are, as far as it can be found out. The file itself says
// how many there are and no more; so the layer that an input goes to is looked at (a convolution
// knows its channels, an embedding wants numbers), and the model is tried on the CPU with a few sizes:
// those that change nothing but the result's size are open. No exception leaves it.
#ifndef NEREID_BACKENDS_PYTORCH_TORCH_PROBE_H
#define NEREID_BACKENDS_PYTORCH_TORCH_PROBE_H

#include "backends/pytorch/torch_shim.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TORCH_PROBE_TENSORS = 16, TORCH_PROBE_DIMS = 8 };

struct torch_guess {
    TRITONSERVER_DataType dtype;
    uint32_t dim_count;
    int64_t dims[TORCH_PROBE_DIMS]; // the first is the rows of a batch and -1; others -1 where open
};
struct torch_signature {
    uint32_t input_count;
    uint32_t output_count;
    struct torch_guess inputs[TORCH_PROBE_TENSORS];
    struct torch_guess outputs[TORCH_PROBE_TENSORS];
};

// Loads the file, looks, tries it, and forgets it again: as long as a few runs on the CPU take. False,
// with the reason, where anything is left to doubt. Thread: any.
bool torch_probe(const char *path, struct torch_signature *signature, struct torch_why *why);

#ifdef __cplusplus
}
#endif

#endif
