// SPDX-License-Identifier: Apache-2.0
// Plans and their execution, and the table that the shim exports. See trt_shim.h.
#include "backends/tensorrt/shim/shim.hh"

#include <atomic>

namespace nereid
{

// ---- reasons and log lines ----

static thread_local char last_error[TRT_TEXT_MAX / 2];

void Logger::log(Severity severity, char const *text) noexcept
{
    // A warning is the only reason that a failed initialisation of CUDA gives.
    if (severity <= Severity::kERROR || (severity == Severity::kWARNING && last_error[0] == '\0')) {
        std::snprintf(last_error, sizeof(last_error), "%s", text);
    }
    if (log_ != nullptr) {
        log_(arg_, static_cast<trt_severity>(static_cast<int>(severity)), text);
    }
}

const char *Logger::last()
{
    return last_error;
}

void Logger::forget()
{
    last_error[0] = '\0';
}

bool fail(trt_why *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    std::vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    return false;
}

bool fail_logged(trt_why *why, const char *what)
{
    const char *last = Logger::last();
    return fail(why, "%s%s%s", what, last[0] == '\0' ? "" : ": ", last);
}

trt_dims to_c(const nvinfer1::Dims &dims)
{
    trt_dims out = {};
    out.count = dims.nbDims;
    for (int i = 0; i < dims.nbDims && i < TRT_DIMS_MAX; i++) {
        out.d[i] = dims.d[i];
    }
    return out;
}

nvinfer1::Dims from_c(const trt_dims &dims)
{
    nvinfer1::Dims out = {};
    out.nbDims = dims.count;
    for (int i = 0; i < dims.count && i < TRT_DIMS_MAX; i++) {
        out.d[i] = static_cast<std::remove_reference_t<decltype(out.d[0])>>(dims.d[i]);
    }
    return out;
}

const char *format_name(nvinfer1::TensorFormat format)
{
    using nvinfer1::TensorFormat;
    switch (format) {
    case TensorFormat::kLINEAR:
        return "LINEAR";
    case TensorFormat::kCHW2:
        return "CHW2";
    case TensorFormat::kHWC8:
        return "HWC8";
    case TensorFormat::kCHW4:
        return "CHW4";
    case TensorFormat::kCHW16:
        return "CHW16";
    case TensorFormat::kCHW32:
        return "CHW32";
    case TensorFormat::kDHWC8:
        return "DHWC8";
    case TensorFormat::kCDHW32:
        return "CDHW32";
    case TensorFormat::kHWC:
        return "HWC";
    case TensorFormat::kDLA_LINEAR:
        return "DLA_LINEAR";
    case TensorFormat::kDLA_HWC4:
        return "DLA_HWC4";
    case TensorFormat::kHWC16:
        return "HWC16";
    default:
        return "UNKNOWN";
    }
}

int interface_version(const trt_symbols *symbols)
{
    int library = symbols->lib_version == nullptr ? 0 : symbols->lib_version();
    int major = library >= 100000 ? library / 10000 : library / 1000;
    return major == NV_TENSORRT_MAJOR && library > NV_TENSORRT_VERSION ? library
                                                                       : NV_TENSORRT_VERSION;
}

void init_plugins(const trt_symbols *symbols, Logger *logger)
{
    // The registry is the process's; asking for the plugins twice only warns.
    static std::atomic<bool> done{false};
    if (symbols->init_plugins != nullptr && !done.exchange(true)) {
        (void)symbols->init_plugins(logger, "");
    }
}

} // namespace nereid

using nereid::fail;
using nereid::fail_logged;
using nereid::from_c;
using nereid::Logger;
using nereid::to_c;

// ---- runtimes and engines ----

struct trt_runtime {
    std::unique_ptr<Logger> logger;
    std::unique_ptr<nvinfer1::IRuntime> runtime;
};

struct trt_engine {
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
};

static bool runtime_create(const trt_symbols *symbols, trt_log_fn log, void *log_arg,
                           trt_runtime **runtime, trt_why *why)
{
    Logger::forget();
    auto made = std::make_unique<trt_runtime>();
    made->logger = std::make_unique<Logger>(log, log_arg);
    void *handle = symbols->create_runtime(made->logger.get(), nereid::interface_version(symbols));
    if (handle == nullptr) {
        return fail_logged(why, "TensorRT made no runtime");
    }
    made->runtime.reset(static_cast<nvinfer1::IRuntime *>(handle));
    nereid::init_plugins(symbols, made->logger.get());
    *runtime = made.release();
    return true;
}

static void runtime_destroy(trt_runtime *runtime)
{
    if (runtime != nullptr) {
        runtime->runtime.reset(); // before the logger that it talks to
        delete runtime;
    }
}

static bool runtime_allow_host_code(trt_runtime *runtime)
{
#if TRT_AT_LEAST(8, 6)
    runtime->runtime->setEngineHostCodeAllowed(true);
    return true;
#else
    (void)runtime;
    return false;
#endif
}

static bool engine_load(trt_runtime *runtime, const void *data, size_t size, int32_t dla_core,
                        trt_engine **engine, trt_why *why)
{
    Logger::forget();
    if (dla_core >= 0) {
        runtime->runtime->setDLACore(dla_core);
    }
    auto made = std::make_unique<trt_engine>();
    made->engine.reset(runtime->runtime->deserializeCudaEngine(data, size));
    if (made->engine == nullptr) {
        return fail_logged(why, "TensorRT cannot read the plan");
    }
    *engine = made.release();
    return true;
}

static void engine_destroy(trt_engine *engine)
{
    delete engine;
}

static void engine_info(const trt_engine *engine, trt_engine_info *info)
{
    const nvinfer1::ICudaEngine &e = *engine->engine;
    *info = {};
    info->tensors = static_cast<uint32_t>(e.getNbIOTensors());
    info->profiles = e.getNbOptimizationProfiles();
#if TRT_AT_LEAST(10, 1)
    info->scratch_bytes = e.getDeviceMemorySizeV2();
#else
    info->scratch_bytes = static_cast<int64_t>(e.getDeviceMemorySize());
#endif
#if NV_TENSORRT_MAJOR < 10
    info->implicit_batch = e.hasImplicitBatchDimension();
#endif
    const char *name = e.getName();
    std::snprintf(info->name, sizeof(info->name), "%s", name == nullptr ? "" : name);
}

static void engine_tensor(const trt_engine *engine, uint32_t index, trt_tensor *tensor)
{
    const nvinfer1::ICudaEngine &e = *engine->engine;
    *tensor = {};
    tensor->name = e.getIOTensorName(static_cast<int32_t>(index));
    tensor->type = static_cast<trt_type>(static_cast<int>(e.getTensorDataType(tensor->name)));
    tensor->input = e.getTensorIOMode(tensor->name) == nvinfer1::TensorIOMode::kINPUT;
    tensor->shape_tensor = e.isShapeInferenceIO(tensor->name);
    tensor->on_host = e.getTensorLocation(tensor->name) == nvinfer1::TensorLocation::kHOST;
    nvinfer1::TensorFormat format = e.getTensorFormat(tensor->name);
    tensor->linear = format == nvinfer1::TensorFormat::kLINEAR;
    tensor->format = nereid::format_name(format);
    tensor->dims = to_c(e.getTensorShape(tensor->name));
}

static nvinfer1::OptProfileSelector selector(trt_select select)
{
    switch (select) {
    case TRT_MIN:
        return nvinfer1::OptProfileSelector::kMIN;
    case TRT_OPT:
        return nvinfer1::OptProfileSelector::kOPT;
    default:
        return nvinfer1::OptProfileSelector::kMAX;
    }
}

static bool engine_profile_shape(const trt_engine *engine, const char *name, int32_t profile,
                                 trt_select select, trt_dims *dims)
{
    *dims = to_c(engine->engine->getProfileShape(name, profile, selector(select)));
    return dims->count >= 0;
}

static bool engine_profile_values(const trt_engine *engine, const char *name, int32_t profile,
                                  trt_select select, int64_t *values, uint32_t count)
{
    const nvinfer1::ICudaEngine &e = *engine->engine;
#if TRT_AT_LEAST(10, 11)
    const int64_t *from = e.getProfileTensorValuesV2(name, profile, selector(select));
#elif NV_TENSORRT_MAJOR >= 10
    const int32_t *from = e.getProfileTensorValues(name, profile, selector(select));
#else
    const int32_t *from =
        e.getProfileShapeValues(profile, e.getBindingIndex(name), selector(select));
#endif
    for (uint32_t i = 0; from != nullptr && i < count; i++) {
        values[i] = from[i];
    }
    return from != nullptr;
}

// ---- contexts ----

namespace
{

// Hands the memory of one output to TensorRT.
class Allocator : public nvinfer1::IOutputAllocator
{
  public:
    Allocator(trt_allocate_fn allocate, trt_shape_fn shape, void *arg)
        : allocate_(allocate), shape_(shape), arg_(arg)
    {
    }
#if NV_TENSORRT_MAJOR >= 10
    void *reallocateOutputAsync(char const *name, void *, uint64_t size, uint64_t alignment,
                                cudaStream_t) noexcept override
#else
    void *reallocateOutput(char const *name, void *, uint64_t size,
                           uint64_t alignment) noexcept override
#endif
    {
        return allocate_(arg_, name, size, alignment);
    }
    void notifyShape(char const *name, nvinfer1::Dims const &dims) noexcept override
    {
        trt_dims c = to_c(dims);
        shape_(arg_, name, &c);
    }

  private:
    trt_allocate_fn allocate_;
    trt_shape_fn shape_;
    void *arg_;
};

struct Slot {
    std::string name;
    std::unique_ptr<Allocator> allocator;
};

} // namespace

struct trt_context {
    const nvinfer1::ICudaEngine *engine;
    std::unique_ptr<nvinfer1::IExecutionContext> context;
    std::unique_ptr<Slot[]> slots; // allocators, by the number of their tensor
    int32_t tensors;
};

static bool context_create(trt_engine *engine, bool on_profile_change, trt_context **context,
                           trt_why *why)
{
    Logger::forget();
    auto made = std::make_unique<trt_context>();
    made->engine = engine->engine.get();
#if NV_TENSORRT_MAJOR >= 10
    auto strategy = on_profile_change
                        ? nvinfer1::ExecutionContextAllocationStrategy::kON_PROFILE_CHANGE
                        : nvinfer1::ExecutionContextAllocationStrategy::kSTATIC;
    made->context.reset(engine->engine->createExecutionContext(strategy));
#else
    if (on_profile_change) {
        return fail(why,
                    "execution_context_allocation_strategy ON_PROFILE_CHANGE needs TensorRT "
                    "10, this is %d.%d",
                    NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR);
    }
    made->context.reset(engine->engine->createExecutionContext());
#endif
    if (made->context == nullptr) {
        return fail_logged(why, "TensorRT made no execution context");
    }
    made->tensors = engine->engine->getNbIOTensors();
    made->slots = std::make_unique<Slot[]>(static_cast<size_t>(made->tensors));
    *context = made.release();
    return true;
}

static void context_destroy(trt_context *context)
{
    if (context != nullptr) {
        context->context.reset(); // before the allocators that it knows
        delete context;
    }
}

static bool context_profile(trt_context *context, int32_t profile, void *stream, trt_why *why)
{
    Logger::forget();
    if (context->context->getOptimizationProfile() == profile) {
        return true;
    }
    return context->context->setOptimizationProfileAsync(profile,
                                                         static_cast<cudaStream_t>(stream)) ||
           fail_logged(why, "the optimization profile was refused");
}

static bool context_shape(trt_context *context, const char *name, const trt_dims *dims,
                          trt_why *why)
{
    Logger::forget();
    return context->context->setInputShape(name, from_c(*dims)) ||
           fail_logged(why, "the shape was refused");
}

static bool context_address(trt_context *context, const char *name, void *address, trt_why *why)
{
    Logger::forget();
    return context->context->setTensorAddress(name, address) ||
           fail_logged(why, "the address was refused");
}

static bool context_allocator(trt_context *context, const char *name, trt_allocate_fn allocate,
                              trt_shape_fn shape, void *arg, trt_why *why)
{
    Logger::forget();
    for (int32_t i = 0; i < context->tensors; i++) {
        if (std::strcmp(context->engine->getIOTensorName(i), name) == 0) {
            auto made = std::make_unique<Allocator>(allocate, shape, arg);
            if (!context->context->setOutputAllocator(name, made.get())) {
                return fail_logged(why, "the allocator was refused");
            }
            context->slots[i].allocator = std::move(made);
            return true;
        }
    }
    return fail(why, "the plan has no output '%s'", name);
}

static bool context_infer(trt_context *context, trt_why *why)
{
    Logger::forget();
    const char *missing[16] = {};
    int32_t count = context->context->inferShapes(16, missing);
    if (count == 0) {
        return true;
    }
    if (count < 0) {
        return fail_logged(why, "the shapes of the inputs do not go together");
    }
    std::string text = "inputs without a shape or values:";
    for (int32_t i = 0; i < count && i < 16; i++) {
        text += std::string(i == 0 ? " " : ", ") + (missing[i] == nullptr ? "?" : missing[i]);
    }
    return fail(why, "%s", text.c_str());
}

static bool context_dims(trt_context *context, const char *name, trt_dims *dims)
{
    *dims = to_c(context->context->getTensorShape(name));
    return dims->count >= 0;
}

static bool context_consumed(trt_context *context, void *event, trt_why *why)
{
    Logger::forget();
    return context->context->setInputConsumedEvent(static_cast<cudaEvent_t>(event)) ||
           fail_logged(why, "the event was refused");
}

static bool context_enqueue(trt_context *context, void *stream, trt_why *why)
{
    Logger::forget();
    return context->context->enqueueV3(static_cast<cudaStream_t>(stream)) ||
           fail_logged(why, "TensorRT did not run the plan");
}

// ---- the table ----

extern "C" __attribute__((visibility("default"))) const trt_shim *nereid_trt_shim(void)
{
    static const trt_shim table = [] {
        trt_shim t = {};
        t.abi = TRT_SHIM_ABI;
        t.size = sizeof(trt_shim);
        t.header_version = NV_TENSORRT_VERSION;
        t.switches = nereid::build_switches();
        t.runtime_create = runtime_create;
        t.runtime_destroy = runtime_destroy;
        t.runtime_allow_host_code = runtime_allow_host_code;
        t.engine_load = engine_load;
        t.engine_destroy = engine_destroy;
        t.engine_info = engine_info;
        t.engine_tensor = engine_tensor;
        t.engine_profile_shape = engine_profile_shape;
        t.engine_profile_values = engine_profile_values;
        t.context_create = context_create;
        t.context_destroy = context_destroy;
        t.context_profile = context_profile;
        t.context_shape = context_shape;
        t.context_address = context_address;
        t.context_allocator = context_allocator;
        t.context_infer = context_infer;
        t.context_dims = context_dims;
        t.context_consumed = context_consumed;
        t.context_enqueue = context_enqueue;
        t.build = nereid::build;
        t.built_plan = nereid::built_plan;
        t.built_timing_cache = nereid::built_timing_cache;
        t.built_destroy = nereid::built_destroy;
        return t;
    }();
    return &table;
}
