// SPDX-License-Identifier: Apache-2.0
// The part of ONNX Runtime's C interface that this backend uses, stated as what it is in memory:
// OrtGetApiBase() returns a pair of functions, GetApi(version) a table of function pointers whose
// order never changes; versions only append. So a function is its place in the table and its
// signature, and this list is all that is needed to call the library of any package, without that
// package's header (docs/decisions/0003-onnxruntime-abi.md).
//
// Each line: place, return type, name here, arguments. Functions that return a struct ort_status *
// return NULL on success; anything else is owned by the caller (release_status).
#ifndef NEREID_BACKENDS_ONNXRUNTIME_ORT_ABI_H
#define NEREID_BACKENDS_ONNXRUNTIME_ORT_ABI_H

#include <stddef.h>
#include <stdint.h>

// The table asked for. Libraries from 1.16 on have it; the highest place used below is 263.
enum { ORT_TABLE_VERSION = 16 };
// Some functions of a newer one, which the backend can do without.
enum { ORT_NEWER_TABLE_VERSION = 23 };

struct ort_status;
struct ort_env;
struct ort_session;
struct ort_session_options;
struct ort_run_options;
struct ort_value;
struct ort_type_info;
struct ort_shape_info; // OrtTensorTypeAndShapeInfo
struct ort_memory_info;
struct ort_allocator;
struct ort_threading_options;
struct ort_binding;          // OrtIoBinding
struct ort_cuda_options;     // OrtCUDAProviderOptionsV2
struct ort_tensorrt_options; // OrtTensorRTProviderOptionsV2

enum ort_log_level { ORT_LOG_VERBOSE, ORT_LOG_INFO, ORT_LOG_WARNING, ORT_LOG_ERROR, ORT_LOG_FATAL };
enum ort_optimization {
    ORT_OPTIMIZE_NONE = 0,
    ORT_OPTIMIZE_BASIC = 1,
    ORT_OPTIMIZE_EXTENDED = 2,
    ORT_OPTIMIZE_ALL = 99,
};
enum ort_execution { ORT_EXECUTION_SEQUENTIAL, ORT_EXECUTION_PARALLEL };
enum ort_allocator_kind { ORT_ALLOCATOR_DEVICE, ORT_ALLOCATOR_ARENA };
enum ort_memory_kind { ORT_MEMORY_DEFAULT = 0 };
enum ort_memory_device { ORT_MEMORY_OF_CPU, ORT_MEMORY_OF_GPU }; // OrtMemoryInfoDeviceType
enum ort_value_kind {
    ORT_VALUE_UNKNOWN,
    ORT_VALUE_TENSOR,
    ORT_VALUE_SEQUENCE,
    ORT_VALUE_MAP,
    ORT_VALUE_OPAQUE,
    ORT_VALUE_SPARSE_TENSOR,
    ORT_VALUE_OPTIONAL,
};
// ONNXTensorElementDataType, which is also the numbering of ONNX's TensorProto.DataType.
enum ort_element {
    ORT_ELEMENT_UNDEFINED,
    ORT_ELEMENT_FLOAT,
    ORT_ELEMENT_UINT8,
    ORT_ELEMENT_INT8,
    ORT_ELEMENT_UINT16,
    ORT_ELEMENT_INT16,
    ORT_ELEMENT_INT32,
    ORT_ELEMENT_INT64,
    ORT_ELEMENT_STRING,
    ORT_ELEMENT_BOOL,
    ORT_ELEMENT_FLOAT16,
    ORT_ELEMENT_DOUBLE,
    ORT_ELEMENT_UINT32,
    ORT_ELEMENT_UINT64,
    ORT_ELEMENT_COMPLEX64,
    ORT_ELEMENT_COMPLEX128,
    ORT_ELEMENT_BFLOAT16,
};

typedef void (*ort_log_fn)(void *userp, int level, const char *category, const char *log_id,
                           const char *location, const char *message);

// clang-format off
#define ORT_FUNCTIONS(F) \
    F(1, int, get_error_code, (const struct ort_status *status)) \
    F(2, const char *, get_error_message, (const struct ort_status *status)) \
    F(4, struct ort_status *, create_env, (ort_log_fn log, void *userp, int level, const char *id, struct ort_env **env)) \
    F(7, struct ort_status *, create_session, (const struct ort_env *env, const char *path, const struct ort_session_options *options, struct ort_session **session)) \
    F(9, struct ort_status *, run, (struct ort_session *session, const struct ort_run_options *options, const char *const *input_names, const struct ort_value *const *inputs, size_t input_count, const char *const *output_names, size_t output_count, struct ort_value **outputs)) \
    F(10, struct ort_status *, create_session_options, (struct ort_session_options **options)) \
    F(13, struct ort_status *, set_execution_mode, (struct ort_session_options *options, int mode)) \
    F(16, struct ort_status *, enable_mem_pattern, (struct ort_session_options *options)) \
    F(17, struct ort_status *, disable_mem_pattern, (struct ort_session_options *options)) \
    F(18, struct ort_status *, enable_cpu_mem_arena, (struct ort_session_options *options)) \
    F(19, struct ort_status *, disable_cpu_mem_arena, (struct ort_session_options *options)) \
    F(23, struct ort_status *, set_optimization, (struct ort_session_options *options, int level)) \
    F(24, struct ort_status *, set_intra_op_threads, (struct ort_session_options *options, int count)) \
    F(25, struct ort_status *, set_inter_op_threads, (struct ort_session_options *options, int count)) \
    F(29, struct ort_status *, register_custom_ops, (struct ort_session_options *options, const char *path, void **library)) \
    F(30, struct ort_status *, input_count, (const struct ort_session *session, size_t *count)) \
    F(31, struct ort_status *, output_count, (const struct ort_session *session, size_t *count)) \
    F(32, struct ort_status *, initializer_count, (const struct ort_session *session, size_t *count)) \
    F(33, struct ort_status *, input_type, (const struct ort_session *session, size_t index, struct ort_type_info **info)) \
    F(34, struct ort_status *, output_type, (const struct ort_session *session, size_t index, struct ort_type_info **info)) \
    F(35, struct ort_status *, initializer_type, (const struct ort_session *session, size_t index, struct ort_type_info **info)) \
    F(36, struct ort_status *, input_name, (const struct ort_session *session, size_t index, struct ort_allocator *allocator, char **name)) \
    F(37, struct ort_status *, output_name, (const struct ort_session *session, size_t index, struct ort_allocator *allocator, char **name)) \
    F(38, struct ort_status *, initializer_name, (const struct ort_session *session, size_t index, struct ort_allocator *allocator, char **name)) \
    F(39, struct ort_status *, create_run_options, (struct ort_run_options **options)) \
    F(48, struct ort_status *, create_tensor, (struct ort_allocator *allocator, const int64_t *dims, size_t dim_count, int element, struct ort_value **value)) \
    F(49, struct ort_status *, wrap_tensor, (const struct ort_memory_info *info, void *data, size_t size, const int64_t *dims, size_t dim_count, int element, struct ort_value **value)) \
    F(51, struct ort_status *, tensor_data, (struct ort_value *value, void **data)) \
    F(53, struct ort_status *, string_bytes, (const struct ort_value *value, size_t *size)) \
    F(54, struct ort_status *, string_content, (const struct ort_value *value, void *bytes, size_t size, size_t *offsets, size_t offset_count)) \
    F(55, struct ort_status *, type_as_tensor, (const struct ort_type_info *info, const struct ort_shape_info **shape)) \
    F(56, struct ort_status *, type_kind, (const struct ort_type_info *info, int *kind)) \
    F(60, struct ort_status *, shape_element, (const struct ort_shape_info *shape, int *element)) \
    F(61, struct ort_status *, shape_dim_count, (const struct ort_shape_info *shape, size_t *count)) \
    F(62, struct ort_status *, shape_dims, (const struct ort_shape_info *shape, int64_t *dims, size_t count)) \
    F(65, struct ort_status *, value_shape, (const struct ort_value *value, struct ort_shape_info **shape)) \
    F(68, struct ort_status *, create_memory_info, (const char *name, int allocator_kind, int device, int memory_kind, struct ort_memory_info **info)) \
    F(69, struct ort_status *, create_cpu_memory_info, (int allocator_kind, int memory_kind, struct ort_memory_info **info)) \
    F(76, struct ort_status *, allocator_free, (struct ort_allocator *allocator, void *ptr)) \
    F(78, struct ort_status *, default_allocator, (struct ort_allocator **allocator)) \
    F(92, void, release_env, (struct ort_env *env)) \
    F(93, void, release_status, (struct ort_status *status)) \
    F(94, void, release_memory_info, (struct ort_memory_info *info)) \
    F(95, void, release_session, (struct ort_session *session)) \
    F(96, void, release_value, (struct ort_value *value)) \
    F(97, void, release_run_options, (struct ort_run_options *options)) \
    F(98, void, release_type_info, (struct ort_type_info *info)) \
    F(99, void, release_shape_info, (struct ort_shape_info *shape)) \
    F(100, void, release_session_options, (struct ort_session_options *options)) \
    F(120, struct ort_status *, disable_session_threads, (struct ort_session_options *options)) \
    F(121, struct ort_status *, create_threading_options, (struct ort_threading_options **options)) \
    F(122, void, release_threading_options, (struct ort_threading_options *options)) \
    F(125, struct ort_status *, available_providers, (char ***names, int *count)) \
    F(126, struct ort_status *, release_providers, (char **names, int count)) \
    F(130, struct ort_status *, set_session_entry, (struct ort_session_options *options, const char *key, const char *value)) \
    F(133, struct ort_status *, run_with_binding, (struct ort_session *session, const struct ort_run_options *options, const struct ort_binding *binding)) \
    F(134, struct ort_status *, create_binding, (struct ort_session *session, struct ort_binding **binding)) \
    F(135, void, release_binding, (struct ort_binding *binding)) \
    F(136, struct ort_status *, bind_input, (struct ort_binding *binding, const char *name, const struct ort_value *value)) \
    F(137, struct ort_status *, bind_output, (struct ort_binding *binding, const char *name, const struct ort_value *value)) \
    F(138, struct ort_status *, bind_output_to_device, (struct ort_binding *binding, const char *name, const struct ort_memory_info *info)) \
    F(140, struct ort_status *, bound_values, (const struct ort_binding *binding, struct ort_allocator *allocator, struct ort_value ***values, size_t *count)) \
    F(141, void, clear_bound_inputs, (struct ort_binding *binding)) \
    F(142, void, clear_bound_outputs, (struct ort_binding *binding)) \
    F(147, struct ort_status *, set_global_intra_op_threads, (struct ort_threading_options *options, int count)) \
    F(148, struct ort_status *, set_global_inter_op_threads, (struct ort_threading_options *options, int count)) \
    F(151, struct ort_status *, create_env_with_threads, (ort_log_fn log, void *userp, int level, const char *id, const struct ort_threading_options *threads, struct ort_env **env)) \
    F(165, struct ort_status *, set_run_entry, (struct ort_run_options *options, const char *key, const char *value)) \
    F(170, struct ort_status *, append_tensorrt, (struct ort_session_options *options, const struct ort_tensorrt_options *tensorrt)) \
    F(171, struct ort_status *, create_tensorrt_options, (struct ort_tensorrt_options **options)) \
    F(172, struct ort_status *, update_tensorrt_options, (struct ort_tensorrt_options *options, const char *const *keys, const char *const *values, size_t count)) \
    F(174, void, release_tensorrt_options, (struct ort_tensorrt_options *options)) \
    F(204, struct ort_status *, append_cuda, (struct ort_session_options *options, const struct ort_cuda_options *cuda)) \
    F(205, struct ort_status *, create_cuda_options, (struct ort_cuda_options **options)) \
    F(206, struct ort_status *, update_cuda_options, (struct ort_cuda_options *options, const char *const *keys, const char *const *values, size_t count)) \
    F(208, void, release_cuda_options, (struct ort_cuda_options *options)) \
    F(216, struct ort_status *, append_provider, (struct ort_session_options *options, const char *name, const char *const *keys, const char *const *values, size_t count)) \
    F(225, void, memory_device, (const struct ort_memory_info *info, int *device)) \
    F(252, struct ort_status *, string_buffer, (struct ort_value *value, size_t index, size_t size, char **buffer)) \
    F(261, struct ort_status *, update_tensorrt_value, (struct ort_tensorrt_options *options, const char *key, void *value)) \
    F(263, struct ort_status *, update_cuda_value, (struct ort_cuda_options *options, const char *key, void *value))
// Those of the newer table; NULL where the library is older.
#define ORT_NEWER_FUNCTIONS(F) \
    F(380, struct ort_status *, input_memory, (const struct ort_session *session, const struct ort_memory_info **infos, size_t count)) \
    F(381, struct ort_status *, output_memory, (const struct ort_session *session, const struct ort_memory_info **infos, size_t count))
// clang-format on

#define ORT_MEMBER(place, type, name, args) type(*name) args;
struct ort_functions {
    ORT_FUNCTIONS(ORT_MEMBER)
    ORT_NEWER_FUNCTIONS(ORT_MEMBER)
};
#undef ORT_MEMBER

// What OrtGetApiBase() returns.
struct ort_base {
    const void *const *(*get_table)(uint32_t version); // NULL: the library is older than that
    const char *(*get_version)(void);                  // "1.32.0"
};

#endif
