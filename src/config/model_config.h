// SPDX-License-Identifier: Apache-2.0
// Model configuration: read it, complete it, check it, write it. The schema is
// src/proto/model_config.proto; the core reads fields from the generated struct directly. A
// configuration lives on the heap, made with proto_allocator; to change one outside this module use
// the setters of proto/message.h.
//
// The order of a load (Triton's): config_load or config_from_json -> config_complete ->
// config_validate -> config_check_directory; then the backend may complete it
// (config_merge_backend); then config_validate again and config_validate_io; then
// config_normalize_instances -> config_validate_instances. Texts are Triton's, as clients and logs
// show them. Nothing here is on a request's way.
#ifndef NEREID_CONFIG_MODEL_CONFIG_H
#define NEREID_CONFIG_MODEL_CONFIG_H

#include "base/slice.h"
#include "base/status.h"
#include "base/str.h"
#include "proto/model_config.pb-c.h"

// ---- life ---------------------------------------------------------------------------------------------------------

// An empty configuration. Returns owned: config_destroy; NULL when memory is out. Thread: any.
Inference__ModelConfig *config_create(void) __attribute__((warn_unused_result));
void config_destroy(Inference__ModelConfig *config); // NULL is fine
// A deep copy. Returns owned; NULL when memory is out. Thread: any.
Inference__ModelConfig *config_copy(const Inference__ModelConfig *config)
    __attribute__((warn_unused_result));

// ---- forms --------------------------------------------------------------------------------------------------------

// Reads the text form. `path` only names the source. On a syntax or field error the reason is
// logged ("Error parsing text-format inference.ModelConfig: 3:7: ...") and the status is
// NRD_INTERNAL "failed to read text proto from PATH". Returns owned through `config`. Thread: any.
NRD_MUST_USE struct nrd_status *config_from_text(struct slice text, const char *path,
                                                 Inference__ModelConfig **config);
// Appends the text form (what Triton's log shows at verbose 1). Memory failure shows in `out`.
void config_to_text(const Inference__ModelConfig *config, struct str *out);
// Reads the JSON form; `version` must be 1. NRD_INVALID_ARG with protobuf's text otherwise (the
// caller that holds a load override puts "Invalid config override: " before it). Returns owned
// through `config`. Thread: any.
NRD_MUST_USE struct nrd_status *config_from_json(struct slice json, uint32_t version,
                                                 Inference__ModelConfig **config);
// Appends the JSON form of GET config and TRITONBACKEND_ModelConfig: proto field names, defaults
// printed, 64-bit integers as numbers. Nothing is appended for an empty configuration. `version`
// must be 1, else NRD_INVALID_ARG.
NRD_MUST_USE struct nrd_status *config_to_json(const Inference__ModelConfig *config,
                                               uint32_t version, struct str *out);

// The file that configures the model in `model_dir`: configs/`config_name`.pbtxt where
// `config_name` is not empty and that file exists, else config.pbtxt (which may be absent). Returns
// owned (mem_free); NULL when memory is out.
char *config_file_path(const char *model_dir, const char *config_name)
    __attribute__((warn_unused_result));
// Reads that file. Where there is none: an empty configuration and `*provided` false if
// `allow_missing`, else the file's error. Returns owned through `config`. Blocks on files.
NRD_MUST_USE struct nrd_status *config_load(const char *model_dir, const char *config_name,
                                            bool allow_missing, Inference__ModelConfig **config,
                                            bool *provided);

// ---- completing ---------------------------------------------------------------------------------------------------

// Fills name, platform, backend and default_model_filename from the configuration itself and from
// the first version directory, then all defaults (config_normalize). Beyond Triton: a sole *.trt,
// *.engine or *.plan file is taken for a TensorRT plan when model.plan is absent. Error: no backend
// can be told. Blocks on files.
NRD_MUST_USE struct nrd_status *config_complete(Inference__ModelConfig *config,
                                                const char *model_name, const char *model_dir);
// Fills the defaults that need no file: version policy, preferred batch sizes, sequence idle time,
// pinned memory.
NRD_MUST_USE struct nrd_status *config_normalize(Inference__ModelConfig *config);

// Takes over what a backend set by TRITONBACKEND_ModelSetConfig: max_batch_size, input, output, the
// scheduler if there was none, decoupled; then fills defaults. On error `config` is as before.
// NRD_INVALID_ARG for bad JSON, NRD_INTERNAL for another scheduler than the one configured.
NRD_MUST_USE struct nrd_status *config_merge_backend(Inference__ModelConfig *config,
                                                     struct slice json, uint32_t version);

// The GPUs of this machine, as far as instance groups care.
struct config_gpu {
    int32_t id;
    double compute_capability;
    bool lost; // was there, and works no more: not supported either
};
// What a GPU number of a configuration means where that GPU is not there (--gpu-map). Numbers that pairs name are replaced
// always; WRAP replaces a number that is no supported GPU's by the supported GPU that is it modulo their number.
enum config_gpu_map_kind {
    CONFIG_GPU_MAP_BY_FALLBACK, // WRAP with gpu_fallback_cpu, else NONE
    CONFIG_GPU_MAP_NONE,        // numbers are taken as they are; Triton's way
    CONFIG_GPU_MAP_WRAP,
    CONFIG_GPU_MAP_PAIRS,
};
enum { CONFIG_GPU_PAIRS_MAX = 32 };
struct config_gpu_pair {
    int32_t from, to;
};
struct config_gpu_map {
    enum config_gpu_map_kind kind;
    struct config_gpu_pair pairs[CONFIG_GPU_PAIRS_MAX];
    size_t count;
};
// Reads "none", "wrap" or "2:1,3:0". INVALID_ARG with what is wrong; `*map` stays then. Thread: any.
NRD_MUST_USE struct nrd_status *config_gpu_map_parse(struct slice text, struct config_gpu_map *map);

struct config_devices {
    const struct config_gpu *gpus; // borrowed, ascending ids
    size_t gpu_count;
    double min_compute_capability; // GPUs below it are not supported; Triton's default is 6.0
    bool gpu_fallback_cpu;         // KIND_GPU groups go to the CPU when not one GPU is supported
    struct config_gpu_map map;
};
// Whether that GPU is there, works, and its compute capability suffices. Thread: any.
bool config_gpu_supported(const struct config_devices *devices, int32_t id);
// The GPU that the map makes of a configuration's number: itself where the map says nothing. Thread: any.
int32_t config_map_gpu(const struct config_devices *devices, int32_t id);

// Gives the model at least one instance group, and each group its name, kind, count and gpus.
// `preferred` (of the backend's attributes, may be NULL) is borrowed. With gpu_fallback_cpu a
// KIND_GPU group, or a KIND_AUTO group that lists GPUs, becomes KIND_CPU with as many instances as
// it asked for (count times listed GPUs), and that is logged as a warning. Numbers of GPUs are
// replaced as `devices->map` says, which is logged too; two that become one count once. Ensembles
// are left alone.
NRD_MUST_USE struct nrd_status *
config_normalize_instances(Inference__ModelConfig *config, const struct config_devices *devices,
                           Inference__ModelInstanceGroup *const *preferred, size_t preferred_count);

// For the Python-based backends: sets parameter EXECUTION_ENV_PATH to
// BACKEND_DIR/pb_exec_env_RUNTIME.tar.gz when that file exists and the parameter is not set.
NRD_MUST_USE struct nrd_status *config_set_python_environment(Inference__ModelConfig *config,
                                                              const char *backend_dir);

// ---- checking -----------------------------------------------------------------------------------------------------

// All but inputs, outputs and instance groups, which a backend may still complete.
NRD_MUST_USE struct nrd_status *config_validate(const Inference__ModelConfig *config);
// Inputs, outputs, batch inputs, batch outputs.
NRD_MUST_USE struct nrd_status *config_validate_io(const Inference__ModelConfig *config);
// Instance groups, after config_normalize_instances.
NRD_MUST_USE struct nrd_status *config_validate_instances(const Inference__ModelConfig *config,
                                                          const struct config_devices *devices);
// "unexpected directory name 'D' for model 'N', directory name must equal model name".
NRD_MUST_USE struct nrd_status *config_check_directory(const Inference__ModelConfig *config,
                                                       const char *directory_name);

// A control signal of the sequence batcher, as configured.
struct config_control {
    const char *tensor_name; // borrowed from the configuration; NULL when not configured
    Inference__DataType data_type;
    float fp32_false_true[2];
    int32_t int32_false_true[2];
    bool bool_false_true[2];
};
// Finds START, READY or END. With `required`, absence is an error.
NRD_MUST_USE struct nrd_status *
config_boolean_control(const Inference__ModelSequenceBatching *batching, const char *model_name,
                       Inference__ModelSequenceBatching__Control__Kind kind, bool required,
                       struct config_control *control);
// Finds CORRID: name and data type.
NRD_MUST_USE struct nrd_status *
config_typed_control(const Inference__ModelSequenceBatching *batching, const char *model_name,
                     Inference__ModelSequenceBatching__Control__Kind kind, bool required,
                     struct config_control *control);

// ---- comparing ----------------------------------------------------------------------------------------------------

// False when the two differ in instance_group and version_policy at most: then instances are added
// and removed in place.
bool config_change_needs_reload(const Inference__ModelConfig *before,
                                const Inference__ModelConfig *after);
bool config_equal(const Inference__ModelConfig *a, const Inference__ModelConfig *b);
// Whether two groups make interchangeable instances: equal but for name and count.
bool config_same_instances(const Inference__ModelInstanceGroup *a,
                           const Inference__ModelInstanceGroup *b);
// Appends bytes that are equal exactly for interchangeable groups (a key for maps).
void config_instance_signature(const Inference__ModelInstanceGroup *group, struct str *out);

#endif
