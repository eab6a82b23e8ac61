// SPDX-License-Identifier: Apache-2.0
// All that Nereid needs of TensorRT, as C: libnvinfer has only a C++ interface, whose shape is its
// headers'. shim/*.cc compiles against the headers of one release (8.5 to 11) into a library of its
// own, libnereid_trt_<major>.<minor>.so, which links neither TensorRT nor CUDA: whoever opens it
// (trt_library.h) hands it the entry points. This header is the same for all of them.
//
// No exception leaves a shim; a call that fails says why in a struct trt_why. What TensorRT itself
// has to say goes to the log function, and its last error into the reason. The caller makes the
// device's context current first. Streams and events are CUDA's handles.
#ifndef NEREID_BACKENDS_TENSORRT_TRT_SHIM_H
#define NEREID_BACKENDS_TENSORRT_TRT_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TRT_SHIM_ABI = 1, TRT_DIMS_MAX = 8, TRT_TEXT_MAX = 2048 };

struct trt_why {
    char text[TRT_TEXT_MAX];
};

// nvinfer1::DataType, whose numbers are the same in all releases; each knows the first few.
enum trt_type {
    TRT_FLOAT,
    TRT_HALF,
    TRT_INT8,
    TRT_INT32,
    TRT_BOOL,
    TRT_UINT8,
    TRT_FP8,
    TRT_BF16,
    TRT_INT64,
    TRT_INT4,
};

struct trt_dims {
    int32_t count; // -1: not known
    int64_t d[TRT_DIMS_MAX];
};

// nvinfer1::ILogger::Severity
enum trt_severity {
    TRT_LOG_INTERNAL_ERROR,
    TRT_LOG_ERROR,
    TRT_LOG_WARNING,
    TRT_LOG_INFO,
    TRT_LOG_VERBOSE,
};
typedef void (*trt_log_fn)(void *arg, enum trt_severity severity, const char *text);

// Entry points of libnvinfer, and of libnvonnxparser and libnvinfer_plugin, which may be NULL.
struct trt_symbols {
    void *(*create_runtime)(void *logger, int version);               // createInferRuntime_INTERNAL
    void *(*create_builder)(void *logger, int version);               // createInferBuilder_INTERNAL
    int32_t (*lib_version)(void);                                     // getInferLibVersion
    void *(*create_parser)(void *network, void *logger, int version); // createNvOnnxParser_INTERNAL
    bool (*init_plugins)(void *logger, const char *space);            // initLibNvInferPlugins
};

// ---- engines ----

struct trt_runtime;
struct trt_engine;
struct trt_context;

struct trt_engine_info {
    uint32_t tensors;
    int32_t profiles;
    int64_t scratch_bytes; // device memory of one context, over all profiles
    bool implicit_batch;   // of TensorRT before 9; such plans cannot be run by this interface
    char name[256];
};

struct trt_tensor {
    const char *name; // borrowed from the engine
    enum trt_type type;
    bool input;
    bool shape_tensor;    // its values are needed on the host to know shapes
    bool on_host;         // its bytes are read or written on the host
    bool linear;          // row after row; other layouts are padded
    const char *format;   // "LINEAR", "CHW4", ...; static
    struct trt_dims dims; // -1 where open
};

enum trt_select { TRT_MIN, TRT_OPT, TRT_MAX };

// Memory for an output whose size is known only while it is computed: `size` bytes, aligned to
// `alignment`, for use on `stream`; NULL when there is none. Then, before enqueue returns, its
// shape.
typedef void *(*trt_allocate_fn)(void *arg, const char *name, uint64_t size, uint64_t alignment);
typedef void (*trt_shape_fn)(void *arg, const char *name, const struct trt_dims *dims);

// ---- building ----

struct trt_shape_range { // of one input, in one profile
    const char *name;
    struct trt_dims dims[3]; // by trt_select; for shape tensors their values
};
struct trt_profile {
    const struct trt_shape_range *ranges;
    uint32_t count;
};
enum trt_switch {
    TRT_FP16 = 1u << 0,
    TRT_BF16_ON = 1u << 1,
    TRT_INT8_ON = 1u << 2,
    TRT_FP8_ON = 1u << 3,
    TRT_NO_TF32 = 1u << 4,
    TRT_SPARSE = 1u << 5,
    TRT_STRONGLY_TYPED = 1u << 6,
    TRT_REFIT = 1u << 7,
    TRT_VERSION_COMPATIBLE = 1u << 8,
    TRT_EXCLUDE_LEAN_RUNTIME = 1u << 9,
    TRT_STRIP_WEIGHTS = 1u << 10,
    TRT_GPU_FALLBACK = 1u << 11,
    TRT_DIRECT_IO = 1u << 12,
    TRT_HEURISTIC = 1u << 13,
    TRT_NO_COMPILATION_CACHE = 1u << 14,
    TRT_PREFER_PRECISIONS = 1u << 15,
    TRT_OBEY_PRECISIONS = 1u << 16,
    TRT_DETAILED = 1u << 17, // profiling verbosity
    TRT_HARDWARE_AMPERE_PLUS = 1u << 18,
    TRT_BEST = 1u << 19, // all of the precisions that this release and GPU have
    TRT_ERROR_ON_TIMING_CACHE_MISS = 1u << 20,
};
enum { TRT_POOLS = 4 };
enum trt_pool { TRT_POOL_WORKSPACE, TRT_POOL_DLA_SRAM, TRT_POOL_DLA_LOCAL, TRT_POOL_DLA_GLOBAL };

struct trt_blob {
    const void *data;
    size_t size;
};
// What a build is to do. All borrowed.
struct trt_build {
    const char *model_path; // of the ONNX file, so that weights beside it are found
    struct trt_blob model;
    uint32_t switches; // trt_switch
    const struct trt_profile *profiles;
    uint32_t profile_count;
    int64_t pools[TRT_POOLS];     // bytes; -1: TensorRT's own
    const char *tactic_sources;   // "-CUDNN,+JIT_CONVOLUTIONS"; NULL: TensorRT's own
    struct trt_blob timing_cache; // read before; empty: none
    struct trt_blob calibration;  // a cache, as TensorRT's calibrators write it
    int32_t dla_core;             // -1: none
    int32_t level;                // builder optimisation level; -1: its own
    int32_t aux_streams;          // -1: its own
    int32_t min_timing;           // iterations; -1: its own
    int32_t avg_timing;           // the same
    const char *input_formats;    // "fp16:chw,fp32:chw+hwc8": one an input; NULL: as the model says
    const char *output_formats;
    // Told what the network looks like once it is parsed.
    void (*parsed)(void *arg, uint32_t layers, const struct trt_tensor *tensors, uint32_t count);
    void *arg;
};
struct trt_built; // a plan, and the timing cache after the build

// ---- the table ----

struct trt_shim {
    uint32_t abi;           // TRT_SHIM_ABI
    uint32_t size;          // of this struct
    int32_t header_version; // of the headers, as getInferLibVersion counts: 8503, 101600

    // The switches that this release has. Thread: any.
    uint32_t switches;

    // One a process is enough; `log` is told by all that is made from it. Returns owned. Thread:
    // any.
    bool (*runtime_create)(const struct trt_symbols *symbols, trt_log_fn log, void *log_arg,
                           struct trt_runtime **runtime, struct trt_why *why);
    void (*runtime_destroy)(struct trt_runtime *runtime);
    // Plans that bring their own runtime may run it (a plan can then execute any code). False:
    // this release cannot.
    bool (*runtime_allow_host_code)(struct trt_runtime *runtime);

    // Reads a plan onto the current device; `dla_core` is -1 or the core of a plan for one. The
    // bytes are not needed afterwards. Returns owned. Thread: one at a time a runtime.
    bool (*engine_load)(struct trt_runtime *runtime, const void *data, size_t size,
                        int32_t dla_core, struct trt_engine **engine, struct trt_why *why);
    void (*engine_destroy)(struct trt_engine *engine); // all contexts must be gone
    void (*engine_info)(const struct trt_engine *engine, struct trt_engine_info *info);
    void (*engine_tensor)(const struct trt_engine *engine, uint32_t index,
                          struct trt_tensor *tensor);
    // The shapes that a profile takes for an input. False: none.
    bool (*engine_profile_shape)(const struct trt_engine *engine, const char *name, int32_t profile,
                                 enum trt_select select, struct trt_dims *dims);
    // The values that a profile takes for an input that is a shape tensor of `count` values.
    bool (*engine_profile_values)(const struct trt_engine *engine, const char *name,
                                  int32_t profile, enum trt_select select, int64_t *values,
                                  uint32_t count);

    // Returns owned. `on_profile_change`: its memory is that of the chosen profile (TensorRT 10).
    bool (*context_create)(struct trt_engine *engine, bool on_profile_change,
                           struct trt_context **context, struct trt_why *why);
    void (*context_destroy)(struct trt_context *context);
    // Thread: owner of the context, for all that follow.
    bool (*context_profile)(struct trt_context *context, int32_t profile, void *stream,
                            struct trt_why *why);
    bool (*context_shape)(struct trt_context *context, const char *name,
                          const struct trt_dims *dims, struct trt_why *why);
    // Where a tensor lies; for inputs only read. Shape tensors lie on the host.
    bool (*context_address)(struct trt_context *context, const char *name, void *address,
                            struct trt_why *why);
    // An output whose size is not known before.
    bool (*context_allocator)(struct trt_context *context, const char *name,
                              trt_allocate_fn allocate, trt_shape_fn shape, void *arg,
                              struct trt_why *why);
    // Whether all inputs are set; the reason names those that are not.
    bool (*context_infer)(struct trt_context *context, struct trt_why *why);
    // The shape of a tensor as far as it is known; -1 where data decide.
    bool (*context_dims)(struct trt_context *context, const char *name, struct trt_dims *dims);
    // Recorded by enqueue where the inputs may be written again; NULL: none.
    bool (*context_consumed)(struct trt_context *context, void *event, struct trt_why *why);
    bool (*context_enqueue)(struct trt_context *context, void *stream, struct trt_why *why);

    // ONNX to a plan, on the current device. UNSUPPORTED things are named in the reason. Takes
    // minutes. Returns owned. Thread: any.
    bool (*build)(const struct trt_symbols *symbols, const struct trt_build *options,
                  trt_log_fn log, void *log_arg, struct trt_built **built, struct trt_why *why);
    void (*built_plan)(const struct trt_built *built, struct trt_blob *plan);
    void (*built_timing_cache)(const struct trt_built *built, struct trt_blob *cache);
    void (*built_destroy)(struct trt_built *built);
};

// The one exported symbol of a shim, "nereid_trt_shim".
typedef const struct trt_shim *(*trt_shim_fn)(void);

#ifdef __cplusplus
}
#endif

#endif
