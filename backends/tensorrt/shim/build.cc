// SPDX-License-Identifier: Apache-2.0
// ONNX to a plan: parses, sets what was asked for, builds. What a release lacks is refused by name,
// never left out. See struct trt_build of trt_shim.h.
#include "backends/tensorrt/shim/shim.hh"

#include <NvOnnxParser.h>

#include <vector>

using nereid::fail;
using nereid::fail_logged;
using nereid::from_c;
using nereid::Logger;
using nereid::to_c;
using nvinfer1::BuilderFlag;

struct trt_built {
    std::unique_ptr<nvinfer1::IHostMemory> plan;
    std::unique_ptr<nvinfer1::IHostMemory> timing_cache;
};

namespace
{

// A calibration cache read before; what is not in it cannot be calibrated here.
#if NV_TENSORRT_MAJOR < 11
class Calibration : public nvinfer1::IInt8EntropyCalibrator2
{
  public:
    explicit Calibration(trt_blob cache) : cache_(cache)
    {
    }
    int32_t getBatchSize() const noexcept override
    {
        return 1;
    }
    bool getBatch(void **, char const **, int32_t) noexcept override
    {
        return false;
    }
    void const *readCalibrationCache(std::size_t &length) noexcept override
    {
        length = cache_.size;
        return cache_.data;
    }
    void writeCalibrationCache(void const *, std::size_t) noexcept override
    {
    }

  private:
    trt_blob cache_;
};
#endif

// Everything of one build, in the order that it is made; it goes in the reverse.
struct Building {
    const trt_symbols *symbols;
    const trt_build *options;
    trt_why *why;
    std::unique_ptr<Logger> logger;
    std::unique_ptr<nvinfer1::IBuilder> builder;
    std::unique_ptr<nvinfer1::INetworkDefinition> network;
    std::unique_ptr<nvonnxparser::IParser> parser;
    std::unique_ptr<nvinfer1::ITimingCache> timing_cache;
    std::unique_ptr<nvinfer1::IBuilderConfig> config;
#if NV_TENSORRT_MAJOR < 11
    std::unique_ptr<Calibration> calibration;
#endif
};

bool wants(const Building &b, uint32_t what)
{
    return (b.options->switches & what) != 0;
}

// ---- the network ----

bool parse(Building &b)
{
    uint32_t flags = 0;
#if NV_TENSORRT_MAJOR < 10
    flags |= 1u << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kEXPLICIT_BATCH);
#elif NV_TENSORRT_MAJOR < 11
    if (wants(b, TRT_STRONGLY_TYPED)) {
        flags |=
            1u << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
    }
#endif
    b.network.reset(b.builder->createNetworkV2(flags));
    if (b.network == nullptr) {
        return fail_logged(b.why, "TensorRT made no network");
    }
    b.parser.reset(static_cast<nvonnxparser::IParser *>(
        b.symbols->create_parser(b.network.get(), b.logger.get(), NV_ONNX_PARSER_VERSION)));
    if (b.parser == nullptr) {
        return fail_logged(b.why, "TensorRT made no ONNX parser");
    }
    const trt_build &o = *b.options;
    if (b.parser->parse(o.model.data, o.model.size, o.model_path)) {
        return true;
    }
    std::string text = "the ONNX parser refuses the model";
    for (int i = 0; i < b.parser->getNbErrors() && text.size() < TRT_TEXT_MAX; i++) {
        const nvonnxparser::IParserError *e = b.parser->getError(i);
        text += (i == 0 ? ": " : "; ");
        if (e->node() >= 0) {
            text += "node " + std::to_string(e->node()) + ": ";
        }
        text += e->desc();
    }
    return fail(b.why, "%s", text.c_str());
}

bool is_shape_tensor(const nvinfer1::ITensor &tensor)
{
    return tensor.isShapeTensor();
}

void describe(const nvinfer1::ITensor &from, bool input, trt_tensor *to)
{
    *to = {};
    to->name = from.getName();
    to->type = static_cast<trt_type>(static_cast<int>(from.getType()));
    to->input = input;
    to->shape_tensor = is_shape_tensor(from);
    to->linear = true;
    to->format = "LINEAR";
    to->dims = to_c(from.getDimensions());
}

void tell_parsed(const Building &b)
{
    std::vector<trt_tensor> tensors;
    for (int32_t i = 0; i < b.network->getNbInputs(); i++) {
        tensors.emplace_back();
        describe(*b.network->getInput(i), true, &tensors.back());
    }
    for (int32_t i = 0; i < b.network->getNbOutputs(); i++) {
        tensors.emplace_back();
        describe(*b.network->getOutput(i), false, &tensors.back());
    }
    if (b.options->parsed != nullptr) {
        b.options->parsed(b.options->arg, static_cast<uint32_t>(b.network->getNbLayers()),
                          tensors.data(), static_cast<uint32_t>(tensors.size()));
    }
}

// ---- formats of inputs and outputs ----

struct FormatName {
    const char *name;
    nvinfer1::TensorFormat format;
};
const FormatName format_names[] = {
    {"chw", nvinfer1::TensorFormat::kLINEAR},
    {"chw2", nvinfer1::TensorFormat::kCHW2},
    {"hwc8", nvinfer1::TensorFormat::kHWC8},
    {"chw4", nvinfer1::TensorFormat::kCHW4},
    {"chw16", nvinfer1::TensorFormat::kCHW16},
    {"chw32", nvinfer1::TensorFormat::kCHW32},
    {"dhwc8", nvinfer1::TensorFormat::kDHWC8},
    {"cdhw32", nvinfer1::TensorFormat::kCDHW32},
    {"hwc", nvinfer1::TensorFormat::kHWC},
    {"dla_linear", nvinfer1::TensorFormat::kDLA_LINEAR},
    {"dla_hwc4", nvinfer1::TensorFormat::kDLA_HWC4},
    {"hwc16", nvinfer1::TensorFormat::kHWC16},
};
struct TypeName {
    const char *name;
    trt_type type;
};
const TypeName type_names[] = {
    {"fp32", TRT_FLOAT},  {"fp16", TRT_HALF}, {"int8", TRT_INT8},
    {"int32", TRT_INT32}, {"bool", TRT_BOOL}, {"uint8", TRT_UINT8},
#if NV_TENSORRT_MAJOR >= 10
    {"fp8", TRT_FP8},     {"bf16", TRT_BF16}, {"int64", TRT_INT64},
#endif
};

// One tensor's "type:format+format".
bool apply_format(Building &b, nvinfer1::ITensor &tensor, const std::string &text)
{
    size_t colon = text.find(':');
    std::string type = text.substr(0, colon);
    const TypeName *named = nullptr;
    for (const TypeName &t : type_names) {
        named = type == t.name ? &t : named;
    }
    if (named == nullptr || colon == std::string::npos) {
        return fail(b.why, "'%s' is no format of a tensor, as fp16:chw or int8:chw4+chw32 is",
                    text.c_str());
    }
#if NV_TENSORRT_MAJOR < 11
    tensor.setType(static_cast<nvinfer1::DataType>(named->type));
#else
    if (static_cast<int>(tensor.getType()) != named->type) {
        return fail(b.why,
                    "TensorRT %d.%d takes the types of tensors from the model: '%s' is not %s",
                    NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, tensor.getName(), named->name);
    }
#endif
    uint32_t formats = 0;
    std::string rest = text.substr(colon + 1) + "+";
    for (size_t at = rest.find('+'); at != std::string::npos; at = rest.find('+')) {
        std::string name = rest.substr(0, at);
        rest = rest.substr(at + 1);
        uint32_t bit = 0;
        for (const FormatName &f : format_names) {
            bit = name == f.name ? 1u << static_cast<uint32_t>(f.format) : bit;
        }
        if (bit == 0) {
            return fail(b.why, "'%s' is no format of a tensor", name.c_str());
        }
        formats |= bit;
    }
    tensor.setAllowedFormats(formats);
    return true;
}

bool apply_formats(Building &b, const char *list, bool input)
{
    int32_t count = input ? b.network->getNbInputs() : b.network->getNbOutputs();
    std::string rest = list == nullptr ? "" : std::string(list) + ",";
    std::vector<std::string> parts;
    for (size_t at = rest.find(','); at != std::string::npos; at = rest.find(',')) {
        parts.push_back(rest.substr(0, at));
        rest = rest.substr(at + 1);
    }
    if (parts.empty()) {
        return true;
    }
    if (parts.size() != 1 && parts.size() != static_cast<size_t>(count)) {
        return fail(b.why, "%zu formats for %d %s", parts.size(), count,
                    input ? "inputs" : "outputs");
    }
    for (int32_t i = 0; i < count; i++) {
        nvinfer1::ITensor *tensor = input ? b.network->getInput(i) : b.network->getOutput(i);
        if (!apply_format(b, *tensor, parts[parts.size() == 1 ? 0 : static_cast<size_t>(i)])) {
            return false;
        }
    }
    return true;
}

// ---- switches ----

struct Switch {
    trt_switch bit;
    const char *option;
    BuilderFlag flag;
};
const Switch switch_flags[] = {
#if NV_TENSORRT_MAJOR < 11
    {TRT_FP16, "--fp16", BuilderFlag::kFP16},
    {TRT_INT8_ON, "--int8", BuilderFlag::kINT8},
    {TRT_PREFER_PRECISIONS, "--precisionConstraints=prefer",
     BuilderFlag::kPREFER_PRECISION_CONSTRAINTS},
    {TRT_OBEY_PRECISIONS, "--precisionConstraints=obey", BuilderFlag::kOBEY_PRECISION_CONSTRAINTS},
    {TRT_DIRECT_IO, "--directIO", BuilderFlag::kDIRECT_IO},
#if TRT_AT_LEAST(8, 6)
    {TRT_FP8_ON, "--fp8", BuilderFlag::kFP8},
#endif
#if TRT_AT_LEAST(9, 0)
    {TRT_BF16_ON, "--bf16", BuilderFlag::kBF16},
#endif
#endif
#if NV_TENSORRT_MAJOR < 10
    {TRT_HEURISTIC, "--heuristic", BuilderFlag::kENABLE_TACTIC_HEURISTIC},
#endif
    {TRT_SPARSE, "--sparsity=enable", BuilderFlag::kSPARSE_WEIGHTS},
    {TRT_REFIT, "--refit", BuilderFlag::kREFIT},
    {TRT_GPU_FALLBACK, "--allowGPUFallback", BuilderFlag::kGPU_FALLBACK},
#if TRT_AT_LEAST(8, 6)
    {TRT_VERSION_COMPATIBLE, "--versionCompatible", BuilderFlag::kVERSION_COMPATIBLE},
    {TRT_EXCLUDE_LEAN_RUNTIME, "--excludeLeanRuntime", BuilderFlag::kEXCLUDE_LEAN_RUNTIME},
#endif
#if TRT_AT_LEAST(10, 0)
    {TRT_STRIP_WEIGHTS, "--stripWeights", BuilderFlag::kSTRIP_PLAN},
    {TRT_NO_COMPILATION_CACHE, "--noCompilationCache", BuilderFlag::kDISABLE_COMPILATION_CACHE},
    {TRT_ERROR_ON_TIMING_CACHE_MISS, "--errorOnTimingCacheMiss",
     BuilderFlag::kERROR_ON_TIMING_CACHE_MISS},
#endif
};
struct SwitchName {
    trt_switch bit;
    const char *option;
};
// Those that are not flags of the builder's configuration, and the names of all that may be missing.
const SwitchName switch_names[] = {
    {TRT_FP16, "--fp16"},
    {TRT_BF16_ON, "--bf16"},
    {TRT_INT8_ON, "--int8"},
    {TRT_FP8_ON, "--fp8"},
    {TRT_BEST, "--best"},
    {TRT_STRONGLY_TYPED, "--stronglyTyped"},
    {TRT_VERSION_COMPATIBLE, "--versionCompatible"},
    {TRT_EXCLUDE_LEAN_RUNTIME, "--excludeLeanRuntime"},
    {TRT_STRIP_WEIGHTS, "--stripWeights"},
    {TRT_DIRECT_IO, "--directIO"},
    {TRT_HEURISTIC, "--heuristic"},
    {TRT_NO_COMPILATION_CACHE, "--noCompilationCache"},
    {TRT_ERROR_ON_TIMING_CACHE_MISS, "--errorOnTimingCacheMiss"},
    {TRT_PREFER_PRECISIONS, "--precisionConstraints=prefer"},
    {TRT_OBEY_PRECISIONS, "--precisionConstraints=obey"},
    {TRT_HARDWARE_AMPERE_PLUS, "--hardwareCompatibilityLevel=ampere+"},
};

bool check_switches(Building &b)
{
    uint32_t missing = b.options->switches & ~nereid::build_switches();
    for (const SwitchName &s : switch_names) {
        if ((missing & s.bit) != 0) {
            return fail(b.why, "TensorRT %d.%d does not have %s%s", NV_TENSORRT_MAJOR,
                        NV_TENSORRT_MINOR, s.option,
                        NV_TENSORRT_MAJOR >= 11 && s.bit <= TRT_FP8_ON
                            ? ": its networks are strongly typed, so the precision is the model's"
                            : "");
        }
    }
    if (missing != 0) {
        return fail(b.why, "TensorRT %d.%d lacks something that was asked for (%#x)",
                    NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, missing);
    }
    if (wants(b, TRT_STRONGLY_TYPED) &&
        wants(b, TRT_FP16 | TRT_BF16_ON | TRT_INT8_ON | TRT_FP8_ON | TRT_BEST)) {
        return fail(b.why, "--stronglyTyped takes the precision from the model; it does not go "
                           "with --fp16, --bf16, --int8, --fp8 or --best");
    }
    return true;
}

#if NV_TENSORRT_MAJOR < 11
bool has_scales(const nvinfer1::INetworkDefinition &network)
{
    for (int32_t i = 0; i < network.getNbLayers(); i++) {
        nvinfer1::LayerType type = network.getLayer(i)->getType();
        if (type == nvinfer1::LayerType::kQUANTIZE || type == nvinfer1::LayerType::kDEQUANTIZE) {
            return true;
        }
    }
    return false;
}
#endif

// Scales come from a cache or from the model; without either TensorRT would build with made-up ones
// or fail late and without naming the cause.
bool apply_int8(Building &b)
{
#if NV_TENSORRT_MAJOR < 11
    bool int8 = b.config->getFlag(BuilderFlag::kINT8);
    if (b.options->calibration.size > 0) {
        if (!int8) {
            return fail(b.why, "a calibration cache (--calib) is for --int8");
        }
        b.calibration = std::make_unique<Calibration>(b.options->calibration);
        b.config->setInt8Calibrator(b.calibration.get());
        return true;
    }
    if (int8 && wants(b, TRT_INT8_ON) && !has_scales(*b.network)) {
        return fail(b.why, "--int8 needs scales: a calibration cache (--calib=FILE), or a model "
                           "with QuantizeLinear and DequantizeLinear; there is neither");
    }
    if (int8 && !has_scales(*b.network)) {
        b.config->clearFlag(BuilderFlag::kINT8); // of --best, which takes what can be had
    }
    return true;
#else
    return b.options->calibration.size == 0 ||
           fail(b.why, "TensorRT %d.%d has no calibration: quantise the model instead",
                NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR);
#endif
}

bool apply_switches(Building &b)
{
    if (!check_switches(b)) {
        return false;
    }
    for (const Switch &s : switch_flags) {
        if (wants(b, s.bit)) {
            b.config->setFlag(s.flag);
        }
    }
#if NV_TENSORRT_MAJOR < 11
    if (wants(b, TRT_BEST)) {
        b.config->setFlag(BuilderFlag::kFP16);
        b.config->setFlag(BuilderFlag::kINT8);
#if TRT_AT_LEAST(9, 0)
        b.config->setFlag(BuilderFlag::kBF16);
#endif
    }
#endif
    if (wants(b, TRT_NO_TF32)) {
        b.config->clearFlag(BuilderFlag::kTF32);
    }
    if (wants(b, TRT_DETAILED)) {
        b.config->setProfilingVerbosity(nvinfer1::ProfilingVerbosity::kDETAILED);
    }
#if TRT_AT_LEAST(8, 6)
    if (wants(b, TRT_HARDWARE_AMPERE_PLUS)) {
        b.config->setHardwareCompatibilityLevel(nvinfer1::HardwareCompatibilityLevel::kAMPERE_PLUS);
    }
#endif
    return apply_int8(b);
}

// ---- numbers ----

bool apply_tactics(Building &b)
{
    struct Source {
        const char *name;
        nvinfer1::TacticSource source;
    };
    static const Source sources[] = {
#if NV_TENSORRT_MAJOR < 11
        {"CUBLAS", nvinfer1::TacticSource::kCUBLAS},
        {"CUBLAS_LT", nvinfer1::TacticSource::kCUBLAS_LT},
        {"CUDNN", nvinfer1::TacticSource::kCUDNN},
#endif
        {"EDGE_MASK_CONVOLUTIONS", nvinfer1::TacticSource::kEDGE_MASK_CONVOLUTIONS},
        {"JIT_CONVOLUTIONS", nvinfer1::TacticSource::kJIT_CONVOLUTIONS},
    };
    if (b.options->tactic_sources == nullptr) {
        return true;
    }
    uint32_t mask = b.config->getTacticSources();
    std::string rest = std::string(b.options->tactic_sources) + ",";
    for (size_t at = rest.find(','); at != std::string::npos; at = rest.find(',')) {
        std::string item = rest.substr(0, at);
        rest = rest.substr(at + 1);
        uint32_t bit = 0;
        for (const Source &s : sources) {
            bit = item.size() > 1 && item.substr(1) == s.name
                      ? 1u << static_cast<uint32_t>(s.source)
                      : bit;
        }
        if (bit == 0 || (item[0] != '+' && item[0] != '-')) {
            return fail(b.why, "--tacticSources: TensorRT %d.%d does not know '%s'",
                        NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, item.c_str());
        }
        mask = item[0] == '+' ? mask | bit : mask & ~bit;
    }
    return b.config->setTacticSources(mask) || fail_logged(b.why, "--tacticSources was refused");
}

bool apply_numbers(Building &b)
{
    const trt_build &o = *b.options;
    static const nvinfer1::MemoryPoolType pools[TRT_POOLS] = {
        nvinfer1::MemoryPoolType::kWORKSPACE, nvinfer1::MemoryPoolType::kDLA_MANAGED_SRAM,
        nvinfer1::MemoryPoolType::kDLA_LOCAL_DRAM, nvinfer1::MemoryPoolType::kDLA_GLOBAL_DRAM};
    for (int i = 0; i < TRT_POOLS; i++) {
        if (o.pools[i] >= 0) {
            b.config->setMemoryPoolLimit(pools[i], static_cast<size_t>(o.pools[i]));
        }
    }
    if (o.dla_core >= 0) {
        if (o.dla_core >= b.builder->getNbDLACores()) {
            return fail(b.why, "--useDLACore=%d: this device has %d DLA cores", o.dla_core,
                        b.builder->getNbDLACores());
        }
        b.config->setDefaultDeviceType(nvinfer1::DeviceType::kDLA);
        b.config->setDLACore(o.dla_core);
    }
    if (o.avg_timing >= 0) {
        b.config->setAvgTimingIterations(o.avg_timing);
    }
#if NV_TENSORRT_MAJOR < 10
    if (o.min_timing >= 0) {
        b.config->setMinTimingIterations(o.min_timing);
    }
#else
    if (o.min_timing >= 0) {
        return fail(b.why, "TensorRT %d.%d does not have --minTiming", NV_TENSORRT_MAJOR,
                    NV_TENSORRT_MINOR);
    }
#endif
#if TRT_AT_LEAST(8, 6)
    if (o.level >= 0) {
        b.config->setBuilderOptimizationLevel(o.level);
    }
    if (o.aux_streams >= 0) {
        b.config->setMaxAuxStreams(o.aux_streams);
    }
#else
    if (o.level >= 0 || o.aux_streams >= 0) {
        return fail(b.why, "TensorRT %d.%d does not have %s", NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR,
                    o.level >= 0 ? "--builderOptimizationLevel" : "--maxAuxStreams");
    }
#endif
    b.timing_cache.reset(b.config->createTimingCache(o.timing_cache.data, o.timing_cache.size));
    if (b.timing_cache != nullptr && !b.config->setTimingCache(*b.timing_cache, false)) {
        b.timing_cache.reset(b.config->createTimingCache(nullptr, 0)); // of another GPU or release
        (void)b.config->setTimingCache(*b.timing_cache, false);
    }
    return apply_tactics(b);
}

// ---- profiles ----

nvinfer1::ITensor *find_input(const Building &b, const char *name)
{
    for (int32_t i = 0; i < b.network->getNbInputs(); i++) {
        if (std::strcmp(b.network->getInput(i)->getName(), name) == 0) {
            return b.network->getInput(i);
        }
    }
    return nullptr;
}

bool set_range(Building &b, nvinfer1::IOptimizationProfile &profile, const trt_shape_range &range)
{
    const nvinfer1::ITensor *tensor = find_input(b, range.name);
    if (tensor == nullptr) {
        return fail(b.why, "shapes are given for '%s', which is no input of the model", range.name);
    }
    static const nvinfer1::OptProfileSelector selectors[3] = {nvinfer1::OptProfileSelector::kMIN,
                                                              nvinfer1::OptProfileSelector::kOPT,
                                                              nvinfer1::OptProfileSelector::kMAX};
    for (int i = 0; i < 3; i++) {
        bool taken = false;
        if (is_shape_tensor(*tensor)) {
#if TRT_AT_LEAST(10, 11)
            taken = profile.setShapeValuesV2(range.name, selectors[i], range.dims[i].d,
                                             range.dims[i].count);
#else
            int32_t values[TRT_DIMS_MAX] = {};
            for (int k = 0; k < range.dims[i].count; k++) {
                values[k] = static_cast<int32_t>(range.dims[i].d[k]);
            }
            taken = profile.setShapeValues(range.name, selectors[i], values, range.dims[i].count);
#endif
        } else {
            taken = profile.setDimensions(range.name, selectors[i], from_c(range.dims[i]));
        }
        if (!taken) {
            return fail_logged(b.why,
                               (std::string("the shapes given for '") + range.name +
                                "' do not fit it, or minimum, optimum and maximum are out of order")
                                   .c_str());
        }
    }
    return true;
}

bool is_open(const nvinfer1::ITensor &tensor)
{
    nvinfer1::Dims dims = tensor.getDimensions();
    for (int32_t i = 0; i < dims.nbDims; i++) {
        if (dims.d[i] < 0) {
            return true;
        }
    }
    return is_shape_tensor(tensor);
}

// An open input that nobody gave shapes for would stop the build late.
bool check_all_given(Building &b, const trt_profile *given)
{
    for (int32_t i = 0; i < b.network->getNbInputs(); i++) {
        const nvinfer1::ITensor &tensor = *b.network->getInput(i);
        bool found = false;
        for (uint32_t k = 0; given != nullptr && k < given->count; k++) {
            found = found || std::strcmp(given->ranges[k].name, tensor.getName()) == 0;
        }
        if (!found && is_open(tensor)) {
            return fail(b.why,
                        "input '%s' is of open shape: give --minShapes, --optShapes and "
                        "--maxShapes (or --shapes) for it",
                        tensor.getName());
        }
    }
    return true;
}

bool apply_profiles(Building &b)
{
    const trt_build &o = *b.options;
    if (o.profile_count == 0) {
        return check_all_given(b, nullptr);
    }
    for (uint32_t p = 0; p < o.profile_count; p++) {
        if (!check_all_given(b, &o.profiles[p])) {
            return false;
        }
        nvinfer1::IOptimizationProfile *profile = b.builder->createOptimizationProfile();
        for (uint32_t i = 0; i < o.profiles[p].count; i++) {
            if (!set_range(b, *profile, o.profiles[p].ranges[i])) {
                return false;
            }
        }
        if (!profile->isValid() || b.config->addOptimizationProfile(profile) < 0) {
            return fail_logged(b.why, "the optimization profile was refused");
        }
#if NV_TENSORRT_MAJOR < 11
        if (p == 0 && b.options->calibration.size > 0) {
            (void)b.config->setCalibrationProfile(profile);
        }
#endif
    }
    return true;
}

bool run(Building &b, trt_built **built)
{
    if (b.symbols->create_builder == nullptr) {
        return fail(b.why, "this libnvinfer cannot build: it is a run time only");
    }
    void *builder = b.symbols->create_builder(b.logger.get(), nereid::interface_version(b.symbols));
    if (builder == nullptr) {
        return fail_logged(b.why, "TensorRT made no builder");
    }
    b.builder.reset(static_cast<nvinfer1::IBuilder *>(builder));
    nereid::init_plugins(b.symbols, b.logger.get());
    if (!parse(b)) {
        return false;
    }
    tell_parsed(b);
    b.config.reset(b.builder->createBuilderConfig());
    if (b.config == nullptr) {
        return fail_logged(b.why, "TensorRT made no builder configuration");
    }
    if (!apply_formats(b, b.options->input_formats, true) ||
        !apply_formats(b, b.options->output_formats, false) || !apply_switches(b) ||
        !apply_profiles(b) || !apply_numbers(b)) {
        return false;
    }
    auto made = std::make_unique<trt_built>();
    made->plan.reset(b.builder->buildSerializedNetwork(*b.network, *b.config));
    if (made->plan == nullptr) {
        return fail_logged(b.why, "TensorRT cannot build the plan");
    }
    if (b.timing_cache != nullptr) {
        made->timing_cache.reset(b.timing_cache->serialize());
    }
    *built = made.release();
    return true;
}

} // namespace

namespace nereid
{

uint32_t build_switches()
{
    uint32_t have = TRT_NO_TF32 | TRT_DETAILED;
    for (const Switch &s : switch_flags) {
        have |= s.bit;
    }
#if NV_TENSORRT_MAJOR < 11
    have |= TRT_BEST;
#endif
#if NV_TENSORRT_MAJOR >= 10
    have |= TRT_STRONGLY_TYPED;
#endif
#if TRT_AT_LEAST(8, 6)
    have |= TRT_HARDWARE_AMPERE_PLUS;
#endif
    return have;
}

bool build(const trt_symbols *symbols, const trt_build *options, trt_log_fn log, void *log_arg,
           trt_built **built, trt_why *why)
{
    Logger::forget();
    Building b = {};
    b.symbols = symbols;
    b.options = options;
    b.why = why;
    b.logger = std::make_unique<Logger>(log, log_arg);
    return run(b, built);
}

void built_plan(const trt_built *built, trt_blob *plan)
{
    *plan = {built->plan->data(), built->plan->size()};
}

void built_timing_cache(const trt_built *built, trt_blob *cache)
{
    *cache = {};
    if (built->timing_cache != nullptr) {
        *cache = {built->timing_cache->data(), built->timing_cache->size()};
    }
}

void built_destroy(trt_built *built)
{
    delete built;
}

} // namespace nereid
