// SPDX-License-Identifier: Apache-2.0
// All that this backend needs of libtorch, as C: libtorch has no C interface, so torch_shim.cc is
// the one file in C++ and this is its whole face. It does not know the server; it does know
// Triton's data types. No exception leaves it: a call that fails says why in a struct torch_why.
//
// Devices are numbers: a GPU's, or TORCH_CPU. GPUs go through libtorch's own device-neutral layer,
// so the same build serves them wherever the libtorch that is loaded can.
#ifndef NEREID_BACKENDS_PYTORCH_TORCH_SHIM_H
#define NEREID_BACKENDS_PYTORCH_TORCH_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "triton/core/tritonserver.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { TORCH_CPU = -1, TORCH_TEXT_MAX = 2048 };

struct torch_why {
    char text[TORCH_TEXT_MAX];
};

// The libtorch that this was built with. Static text. Thread: any.
const char *torch_shim_version(void);
// How many GPUs libtorch sees; 0 where it was built without. Thread: any.
int torch_shim_gpus(void);
// Whether libtorch has the type. Thread: any.
bool torch_shim_has_type(TRITONSERVER_DataType dtype);
// Threads of the process; 0 leaves one as it is. The first call that sets one decides for the
// process; returns whether both wishes, if any, came true. Thread: any.
bool torch_shim_threads(int intra_op, int inter_op);

// How a model is run. A member that is -1 leaves libtorch's own setting, which is the process's.
struct torch_mode {
    bool optimized;      // TorchScript's optimising executor
    bool inference_mode; // no autograd at all, not even version counters
    bool cudnn;
    bool clean_cache; // gives cached GPU memory back after each run
    int jit_profiling;
    int jit_executor;
    int tensor_fuser;
};

// ---- models ----

struct torch_module; // a loaded model on one device

enum torch_kind { TORCH_TENSOR, TORCH_LIST, TORCH_DICT, TORCH_OTHER };
// An argument of forward(), without self.
struct torch_argument {
    const char *name;
    const char *type; // as libtorch prints it
    enum torch_kind kind;
    bool written; // the model may change it in place, so it must not be somebody else's memory
};

// Loads a TorchScript file. With `keep_devices` its tensors stay on the devices that they were
// saved with (KIND_MODEL); inputs are then given on the CPU. Returns owned (torch_module_destroy).
// Thread: any.
bool torch_module_load(const char *path, int device, bool keep_devices,
                       const struct torch_mode *mode, struct torch_module **module,
                       struct torch_why *why);
// Loads a package of torch.export and AOTInductor (model.pt2). Fails, by name, where libtorch is
// older than 2.6 or cannot run it on `device`.
bool torch_module_load_package(const char *path, int device, struct torch_module **module,
                               struct torch_why *why);
void torch_module_destroy(struct torch_module *module); // NULL is fine
uint32_t torch_module_arguments(const struct torch_module *module);
const struct torch_argument *torch_module_argument(const struct torch_module *module,
                                                   uint32_t index);
// The call specification of a package, JSON of its inputs and of its outputs; "" for TorchScript.
// Borrowed from the module.
const char *torch_module_input_spec(const struct torch_module *module);
const char *torch_module_output_spec(const struct torch_module *module);

// ---- runs ----

struct torch_run; // the values of one execution, and the stream that it goes to

// `device` is where the module is. Returns owned. Thread: any; all that follow: owner.
bool torch_run_create(int device, const struct torch_mode *mode, struct torch_run **run,
                      struct torch_why *why);
void torch_run_destroy(struct torch_run *run); // NULL is fine
// Forgets all values: borrowed memory is not used any more. Keeps `slots` places for inputs.
void torch_run_reset(struct torch_run *run, uint32_t slots);

// A run of bytes of an input: on the CPU, or on a GPU.
struct torch_piece {
    const void *data;
    size_t size;
    int device;
};
// A tensor of all pieces, one behind the other. One that lies in one piece on the run's device is
// used in place (borrowed until the reset), unless `copy`; others are joined there.
bool torch_run_tensor(struct torch_run *run, uint32_t slot, TRITONSERVER_DataType dtype,
                      const int64_t *dims, uint32_t dim_count, const struct torch_piece *pieces,
                      size_t piece_count, bool copy, struct torch_why *why);
// A list of strings, `count` empty ones; then each.
bool torch_run_strings(struct torch_run *run, uint32_t slot, int64_t count, struct torch_why *why);
bool torch_run_set_string(struct torch_run *run, uint32_t slot, int64_t index, const char *text,
                          size_t length, struct torch_why *why);

// Runs the module. With `keys` the tensors are given as one dict, each under the key of its slot.
bool torch_run_forward(struct torch_run *run, struct torch_module *module, const char *const *keys,
                       struct torch_why *why);

enum torch_output_kind { TORCH_OUTPUT_TENSOR, TORCH_OUTPUT_STRINGS };
struct torch_output {
    enum torch_output_kind kind;
    TRITONSERVER_DataType dtype; // INVALID for a type that Triton does not have
    const int64_t *dims;         // of strings: their number
    uint32_t dim_count;
    size_t size;      // bytes of a tensor
    const void *data; // of a tensor, in one piece, on `device`
    int device;
};
uint32_t torch_run_outputs(const struct torch_run *run);
// All that it points to is borrowed from the run, until the reset.
bool torch_run_output(struct torch_run *run, uint32_t index, struct torch_output *output,
                      struct torch_why *why);
bool torch_run_string(struct torch_run *run, uint32_t index, int64_t element, const char **text,
                      size_t *length, struct torch_why *why);
// Copies bytes of an output to memory on the CPU or on a GPU; done when torch_run_wait returns.
bool torch_run_copy(struct torch_run *run, uint32_t index, size_t offset, size_t size, void *to,
                    int to_device, struct torch_why *why);
// Waits for all that was given to the run's stream; then gives memory back, if the mode says so.
bool torch_run_wait(struct torch_run *run, struct torch_why *why);

// Gives the memory of GPUs that the framework only keeps back to the driver, where it can (libtorch 2.9 and newer).
void torch_trim(void);

#ifdef __cplusplus
}
#endif

#endif
