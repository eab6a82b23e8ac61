// SPDX-License-Identifier: Apache-2.0
// Options of execution providers out of a configuration. See onnx_gpu_options.h.
//
// Values are checked here where Triton checks them, so that a load fails with a text that names the
// parameter; what only the provider knows is left to it.
#include "backends/onnxruntime/onnx_gpu_options.h"

enum value_kind { VALUE_TEXT, VALUE_BOOL, VALUE_INT, VALUE_SIZE };

struct known {
    const char *name; // in the configuration
    const char *key;  // the provider's; NULL: the same
    enum value_kind kind;
};
static const struct known tensorrt_known[] = {
    {"max_workspace_size_bytes", "trt_max_workspace_size", VALUE_SIZE},
    {"int8_calibration_table_name", "trt_int8_calibration_table_name", VALUE_TEXT},
    {"int8_use_native_calibration_table", "trt_int8_use_native_calibration_table", VALUE_BOOL},
    {"trt_max_partition_iterations", NULL, VALUE_INT},
    {"trt_min_subgraph_size", NULL, VALUE_INT},
    {"trt_dla_enable", NULL, VALUE_BOOL},
    {"trt_dla_core", NULL, VALUE_INT},
    {"trt_engine_cache_enable", NULL, VALUE_BOOL},
    {"trt_dump_subgraphs", NULL, VALUE_BOOL},
    {"trt_force_sequential_engine_build", NULL, VALUE_BOOL},
    {"trt_context_memory_sharing_enable", NULL, VALUE_BOOL},
    {"trt_layer_norm_fp32_fallback", NULL, VALUE_BOOL},
    {"trt_timing_cache_enable", NULL, VALUE_BOOL},
    {"trt_force_timing_cache", NULL, VALUE_BOOL},
    {"trt_detailed_build_log", NULL, VALUE_BOOL},
    {"trt_build_heuristics_enable", NULL, VALUE_BOOL},
    {"trt_sparsity_enable", NULL, VALUE_BOOL},
    {"trt_builder_optimization_level", NULL, VALUE_INT},
    {"trt_auxiliary_streams", NULL, VALUE_INT},
    {"trt_cuda_graph_enable", NULL, VALUE_BOOL},
    {"trt_dump_ep_context_model", NULL, VALUE_BOOL},
    {"trt_ep_context_embed_mode", NULL, VALUE_INT},
};
static const struct known cuda_known[] = {
    {"do_copy_in_default_stream", NULL, VALUE_BOOL},
    {"use_ep_level_unified_stream", NULL, VALUE_BOOL},
    {"cudnn_conv_use_max_workspace", NULL, VALUE_BOOL},
    {"cudnn_conv1d_pad_to_nc1d", NULL, VALUE_BOOL},
    {"enable_cuda_graph", NULL, VALUE_BOOL},
    {"use_tf32", NULL, VALUE_BOOL},
    {"prefer_nhwc", NULL, VALUE_BOOL},
    {"fuse_conv_bias", NULL, VALUE_BOOL},
    {"tunable_op_enable", NULL, VALUE_BOOL},
    {"tunable_op_tuning_enable", NULL, VALUE_BOOL},
    {"enable_skip_layer_norm_strict_mode", NULL, VALUE_BOOL},
    {"gpu_mem_limit", NULL, VALUE_SIZE},
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

// The backend decides these.
static bool is_ours(const char *key)
{
    return strcmp(key, "device_id") == 0 || strcmp(key, "has_user_compute_stream") == 0 ||
           strcmp(key, "user_compute_stream") == 0;
}

const char *onnx_option(const struct onnx_options *options, const char *key)
{
    for (size_t i = 0; i < options->count; i++) {
        if (strcmp(options->keys[i], key) == 0) {
            return options->values[i];
        }
    }
    return NULL;
}

TRITONSERVER_Error *onnx_option_set(struct onnx_options *options, const char *key,
                                    const char *value)
{
    for (size_t i = 0; i < options->count; i++) {
        if (strcmp(options->keys[i], key) == 0) {
            options->values[i] = value;
            return NULL;
        }
    }
    if (options->count == ONNX_OPTIONS_MAX) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "an execution provider is given over %d options",
                                 ONNX_OPTIONS_MAX);
    }
    options->keys[options->count] = key;
    options->values[options->count++] = value;
    return NULL;
}

// ---- values ----

// As the provider takes it: "1" and "0" for truth values. Others keep their text.
static TRITONSERVER_Error *check_value(const char *name, enum value_kind kind, struct slice text,
                                       struct arena *arena, const char **value)
{
    bool on = false;
    int number = 0;
    uint64_t size = 0;
    switch (kind) {
    case VALUE_BOOL:
        BACKEND_TRY(backend_parse_bool(name, text, &on));
        *value = on ? "1" : "0";
        return NULL;
    case VALUE_INT:
        BACKEND_TRY(backend_parse_int(name, text, &number));
        break;
    case VALUE_SIZE:
        if (!slice_to_u64(text, &size)) {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "'%s' must be a number of bytes, not '%.*s'", name,
                                     (int)text.len, text.ptr);
        }
        break;
    case VALUE_TEXT:
        break;
    }
    *value = arena_strdup(arena, text);
    return *value == NULL ? backend_no_memory() : NULL;
}

static const struct known *find_known(const struct known *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return &list[i];
        }
    }
    return NULL;
}

static TRITONSERVER_Error *set_known(struct onnx_options *options, const struct known *known,
                                     const char *name, struct slice text, struct arena *arena)
{
    const char *value = NULL;
    const char *key = known != NULL && known->key != NULL ? known->key : name;
    BACKEND_TRY(check_value(name, known != NULL ? known->kind : VALUE_TEXT, text, arena, &value));
    return value[0] == '\0' ? NULL : onnx_option_set(options, key, value);
}

// ---- accelerators ----

static TRITONSERVER_Error *set_precision(struct onnx_options *options, struct slice text)
{
    static const struct {
        const char *mode;
        const char *key;
    } modes[] = {
        {"FP16", "trt_fp16_enable"}, {"BF16", "trt_bf16_enable"}, {"INT8", "trt_int8_enable"}};
    for (size_t i = 0; i < COUNT(modes); i++) {
        if (slice_is(text, modes[i].mode)) {
            return onnx_option_set(options, modes[i].key, "1");
        }
    }
    return slice_is(text, "FP32")
               ? NULL
               : backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                   "unsupported precision mode '%.*s' is requested", (int)text.len,
                                   text.ptr);
}

typedef TRITONSERVER_Error *(*set_fn)(struct onnx_options *options, const char *name,
                                      struct slice text, struct arena *arena);

static TRITONSERVER_Error *set_tensorrt(struct onnx_options *options, const char *name,
                                        struct slice text, struct arena *arena)
{
    if (strcmp(name, "precision_mode") == 0) {
        return set_precision(options, text);
    }
    const struct known *known = find_known(tensorrt_known, COUNT(tensorrt_known), name);
    // Newer libraries know more than this list; they refuse what they do not know, by its name.
    if (known == NULL && strncmp(name, "trt_", 4) != 0) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unknown parameter '%s' is provided for TensorRT Execution "
                                 "Accelerator",
                                 name);
    }
    return set_known(options, known, name, text, arena);
}

// Options whose values have names, which Triton's older parameters number.
static const struct choice {
    const char *name;
    const char *values[4]; // NULL behind the last
} choices[] = {
    {"cudnn_conv_algo_search", {"EXHAUSTIVE", "HEURISTIC", "DEFAULT"}},
    {"arena_extend_strategy", {"kNextPowerOfTwo", "kSameAsRequested"}},
};

// A name, or its number.
static TRITONSERVER_Error *set_choice(struct onnx_options *options, const struct choice *choice,
                                      struct slice text)
{
    int count = 0;
    int number = 0;
    for (; choice->values[count] != NULL; count++) {
        if (slice_is(text, choice->values[count])) {
            return onnx_option_set(options, choice->name, choice->values[count]);
        }
    }
    BACKEND_TRY(backend_parse_int(choice->name, text, &number));
    if (number < 0 || number >= count) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "unsupported %s value '%d' is requested", choice->name, number);
    }
    return onnx_option_set(options, choice->name, choice->values[number]);
}

static TRITONSERVER_Error *set_cuda(struct onnx_options *options, const char *name,
                                    struct slice text, struct arena *arena)
{
    if (is_ours(name)) {
        return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                 "parameter '%s' of the CUDA Execution Accelerator is set by the "
                                 "instance group",
                                 name);
    }
    for (size_t i = 0; i < COUNT(choices); i++) {
        if (strcmp(choices[i].name, name) == 0) {
            return set_choice(options, &choices[i], text);
        }
    }
    return set_known(options, find_known(cuda_known, COUNT(cuda_known), name), name, text, arena);
}

static TRITONSERVER_Error *read_parameters(const struct json_node *accelerator, set_fn set,
                                           struct onnx_options *options, struct arena *arena)
{
    const struct json_node *parameters = json_get(accelerator, "parameters");
    if (parameters == NULL || parameters->type != JSON_OBJECT) {
        return NULL;
    }
    const struct json_node *key = json_first(parameters);
    for (uint32_t i = 0; i < parameters->count; i++) {
        const struct json_node *value = json_next(key);
        struct slice text = {0};
        const char *name = arena_strdup(arena, json_text(key));
        if (name == NULL) {
            return backend_no_memory();
        }
        BACKEND_TRY(backend_error(json_want_string(value, &text)));
        BACKEND_TRY(set(options, name, text, arena));
        key = json_next(value);
    }
    return NULL;
}

static TRITONSERVER_Error *read_accelerators(const struct json_node *optimization,
                                             struct arena *arena, struct onnx_gpu_options *options)
{
    const struct json_node *all = json_get(optimization, "execution_accelerators");
    const struct json_node *list = all == NULL ? NULL : json_get(all, "gpu_execution_accelerator");
    if (list == NULL || list->type != JSON_ARRAY) {
        return NULL;
    }
    const struct json_node *n = json_first(list);
    for (uint32_t i = 0; i < list->count; i++, n = json_next(n)) {
        const struct json_node *node = json_get(n, "name");
        struct slice name =
            node != NULL && node->type == JSON_STRING ? json_text(node) : (struct slice){0};
        if (slice_is(name, "tensorrt")) {
            options->tensorrt = true;
            BACKEND_TRY(read_parameters(n, set_tensorrt, &options->tensorrt_options, arena));
        } else if (slice_is(name, "cuda")) {
            BACKEND_TRY(read_parameters(n, set_cuda, &options->cuda_options, arena));
        } else {
            return backend_error_new(TRITONSERVER_ERROR_INVALID_ARG,
                                     "unknown Execution Accelerator '%.*s' is requested",
                                     (int)name.len, name.ptr);
        }
    }
    return NULL;
}

// ---- the older parameters ----

static TRITONSERVER_Error *read_older(const struct model_config *config, struct arena *arena,
                                      struct onnx_options *options)
{
    static const char *const names[] = {"cudnn_conv_algo_search", "gpu_mem_limit",
                                        "arena_extend_strategy", "do_copy_in_default_stream"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct slice text = {0};
        if (model_parameter(config, names[i], &text)) {
            BACKEND_TRY(set_cuda(options, names[i], text, arena));
        }
    }
    return NULL;
}

TRITONSERVER_Error *onnx_gpu_options_read(const struct model_config *config, struct arena *arena,
                                          struct onnx_gpu_options *options)
{
    *options = (struct onnx_gpu_options){0};
    const struct json_node *optimization = json_get(config->root, "optimization");
    if (optimization != NULL) {
        BACKEND_TRY(read_accelerators(optimization, arena, options));
        const struct json_node *cuda = json_get(optimization, "cuda");
        const struct json_node *graphs = cuda == NULL ? NULL : json_get(cuda, "graphs");
        if (graphs != NULL && graphs->type == JSON_TRUE) {
            BACKEND_TRY(onnx_option_set(&options->cuda_options, "enable_cuda_graph", "1"));
        }
    }
    BACKEND_TRY(read_older(config, arena, &options->cuda_options));
    const char *graphs = onnx_option(&options->cuda_options, "enable_cuda_graph");
    options->cuda_graphs = graphs != NULL && strcmp(graphs, "1") == 0;
    return NULL;
}
