// SPDX-License-Identifier: Apache-2.0
// The few functions and values of TensorFlow's C API that this backend uses, stated anew: the
// Python package carries the library, and its headers lie inside of it, so a build that needs
// neither builds everywhere. Functions are found by their names, which do not change between
// versions of TensorFlow 2. Source: tensorflow/c/c_api.h, tf_tensor.h, tf_tstring.h and the enum
// DataType of tensorflow/core/framework/types.proto.
#ifndef NEREID_BACKENDS_TENSORFLOW_TF_ABI_H
#define NEREID_BACKENDS_TENSORFLOW_TF_ABI_H

#include <stddef.h>
#include <stdint.h>

struct tf_status;
struct tf_graph;
struct tf_session_options;
struct tf_import_options;
struct tf_raw_session;
struct tf_operation;
struct tf_tensor;
struct tf_device_list;
struct tf_plugin;

// An output of an operation.
struct tf_output {
    struct tf_operation *operation;
    int index;
};

struct tf_buffer {
    const void *data;
    size_t length;
    void (*release)(void *data, size_t length);
};

// An element of a string tensor: opaque, its size is part of the interface.
struct tf_string {
    uint64_t opaque[3];
};

enum tf_type {
    TF_TYPE_INVALID = 0,
    TF_TYPE_FLOAT = 1,
    TF_TYPE_DOUBLE = 2,
    TF_TYPE_INT32 = 3,
    TF_TYPE_UINT8 = 4,
    TF_TYPE_INT16 = 5,
    TF_TYPE_INT8 = 6,
    TF_TYPE_STRING = 7,
    TF_TYPE_INT64 = 9,
    TF_TYPE_BOOL = 10,
    TF_TYPE_BFLOAT16 = 14,
    TF_TYPE_UINT16 = 17,
    TF_TYPE_HALF = 19,
    TF_TYPE_UINT32 = 22,
    TF_TYPE_UINT64 = 23,
};

enum { TF_CODE_OK = 0 };

typedef void (*tf_release_fn)(void *data, size_t length, void *arg);

// X(our name, the library's name, result, arguments)
#define TF_FUNCTIONS(X)                                                                            \
    X(version, "TF_Version", const char *, (void))                                                 \
    X(new_status, "TF_NewStatus", struct tf_status *, (void))                                      \
    X(delete_status, "TF_DeleteStatus", void, (struct tf_status *))                                \
    X(get_code, "TF_GetCode", int, (const struct tf_status *))                                     \
    X(message, "TF_Message", const char *, (const struct tf_status *))                             \
    X(new_buffer, "TF_NewBuffer", struct tf_buffer *, (void))                                      \
    X(delete_buffer, "TF_DeleteBuffer", void, (struct tf_buffer *))                                \
    X(new_tensor, "TF_NewTensor", struct tf_tensor *,                                              \
      (int type, const int64_t *dims, int dim_count, void *data, size_t length,                    \
       tf_release_fn release, void *arg))                                                          \
    X(allocate_tensor, "TF_AllocateTensor", struct tf_tensor *,                                    \
      (int type, const int64_t *dims, int dim_count, size_t length))                               \
    X(delete_tensor, "TF_DeleteTensor", void, (struct tf_tensor *))                                \
    X(tensor_type, "TF_TensorType", int, (const struct tf_tensor *))                               \
    X(tensor_dim_count, "TF_NumDims", int, (const struct tf_tensor *))                             \
    X(tensor_dim, "TF_Dim", int64_t, (const struct tf_tensor *, int index))                        \
    X(tensor_size, "TF_TensorByteSize", size_t, (const struct tf_tensor *))                        \
    X(tensor_data, "TF_TensorData", void *, (const struct tf_tensor *))                            \
    X(string_init, "TF_StringInit", void, (struct tf_string *))                                    \
    X(string_copy, "TF_StringCopy", void, (struct tf_string *, const char *text, size_t length))   \
    X(string_dealloc, "TF_StringDealloc", void, (struct tf_string *))                              \
    X(string_data, "TF_StringGetDataPointer", const char *, (const struct tf_string *))            \
    X(string_size, "TF_StringGetSize", size_t, (const struct tf_string *))                         \
    X(new_graph, "TF_NewGraph", struct tf_graph *, (void))                                         \
    X(delete_graph, "TF_DeleteGraph", void, (struct tf_graph *))                                   \
    X(find_operation, "TF_GraphOperationByName", struct tf_operation *,                            \
      (struct tf_graph *, const char *name))                                                       \
    X(next_operation, "TF_GraphNextOperation", struct tf_operation *,                              \
      (struct tf_graph *, size_t * position))                                                      \
    X(operation_name, "TF_OperationName", const char *, (struct tf_operation *))                   \
    X(operation_kind, "TF_OperationOpType", const char *, (struct tf_operation *))                 \
    X(operation_outputs, "TF_OperationNumOutputs", int, (struct tf_operation *))                   \
    X(output_type, "TF_OperationOutputType", int, (struct tf_output))                              \
    X(new_import_options, "TF_NewImportGraphDefOptions", struct tf_import_options *, (void))       \
    X(delete_import_options, "TF_DeleteImportGraphDefOptions", void, (struct tf_import_options *)) \
    X(set_default_device, "TF_ImportGraphDefOptionsSetDefaultDevice", void,                        \
      (struct tf_import_options *, const char *device))                                            \
    X(import_graph, "TF_GraphImportGraphDef", void,                                                \
      (struct tf_graph *, const struct tf_buffer *, const struct tf_import_options *,              \
       struct tf_status *))                                                                        \
    X(new_session_options, "TF_NewSessionOptions", struct tf_session_options *, (void))            \
    X(delete_session_options, "TF_DeleteSessionOptions", void, (struct tf_session_options *))      \
    X(set_config, "TF_SetConfig", void,                                                            \
      (struct tf_session_options *, const void *proto, size_t length, struct tf_status *))         \
    X(new_session, "TF_NewSession", struct tf_raw_session *,                                       \
      (struct tf_graph *, const struct tf_session_options *, struct tf_status *))                  \
    X(load_saved_model, "TF_LoadSessionFromSavedModel", struct tf_raw_session *,                   \
      (const struct tf_session_options *, const struct tf_buffer *run_options,                     \
       const char *directory, const char *const *tags, int tag_count, struct tf_graph *,           \
       struct tf_buffer *meta_graph, struct tf_status *))                                          \
    X(close_session, "TF_CloseSession", void, (struct tf_raw_session *, struct tf_status *))       \
    X(delete_session, "TF_DeleteSession", void, (struct tf_raw_session *, struct tf_status *))     \
    X(list_devices, "TF_SessionListDevices", struct tf_device_list *,                              \
      (struct tf_raw_session *, struct tf_status *))                                               \
    X(delete_device_list, "TF_DeleteDeviceList", void, (struct tf_device_list *))                  \
    X(device_count, "TF_DeviceListCount", int, (const struct tf_device_list *))                    \
    X(device_type, "TF_DeviceListType", const char *,                                              \
      (const struct tf_device_list *, int index, struct tf_status *))                              \
    X(run, "TF_SessionRun", void,                                                                  \
      (struct tf_raw_session *, const struct tf_buffer *run_options,                               \
       const struct tf_output *inputs, struct tf_tensor *const *input_values, int input_count,     \
       const struct tf_output *outputs, struct tf_tensor **output_values, int output_count,        \
       const struct tf_operation *const *targets, int target_count,                                \
       struct tf_buffer *run_metadata, struct tf_status *))                                        \
    X(load_plugin, "TF_LoadLibrary", struct tf_plugin *, (const char *path, struct tf_status *))

struct tf_functions {
#define TF_MEMBER(name, symbol, result, args) result(*name) args;
    TF_FUNCTIONS(TF_MEMBER)
#undef TF_MEMBER
};

#endif
