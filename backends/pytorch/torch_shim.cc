// SPDX-License-Identifier: Apache-2.0
// libtorch as C. See torch_shim.h. Builds against libtorch 1.13 (Debian 12) and up; what a version
// lacks is behind TORCH_AT_LEAST.
#include "backends/pytorch/torch_shim.h"

#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <ATen/Parallel.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/passes/tensorexpr_fuser.h>
#include <torch/csrc/jit/python/update_graph_executor_opt.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include "backends/pytorch/torch_types.hh"

#if TORCH_AT_LEAST(2, 6)
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#endif
#if TORCH_AT_LEAST(2, 9)
#include <c10/core/CachingDeviceAllocator.h>
#endif

namespace
{

// ---- errors ----

bool failed(struct torch_why *why, const char *text)
{
    std::snprintf(why->text, sizeof(why->text), "%s", text);
    return false;
}

// Runs `work` and turns what it throws into a text.
template <typename Work> bool guarded(struct torch_why *why, Work &&work)
{
    try {
        work();
        return true;
    } catch (const c10::Error &error) {
        return failed(why, error.what_without_backtrace());
    } catch (const std::exception &error) {
        return failed(why, error.what());
    } catch (...) {
        return failed(why, "an exception of an unknown kind");
    }
}

// ---- devices ----

c10::Device device_of(int number)
{
    return number < 0 ? c10::Device(c10::kCPU)
                      : c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(number));
}

int number_of(const c10::Device &device)
{
    return device.is_cpu() ? static_cast<int>(TORCH_CPU) : static_cast<int>(device.index());
}

// Bytes where they lie, as a tensor that does not own them.
at::Tensor view_bytes(const void *data, size_t size, int device)
{
    return torch::from_blob(const_cast<void *>(data), {static_cast<int64_t>(size)},
                            at::TensorOptions().dtype(c10::kByte).device(device_of(device)));
}

void clean_cache()
{
#if TORCH_AT_LEAST(2, 9)
    c10::getDeviceAllocator(c10::kCUDA)->emptyCache();
#endif
}

// Streams of runs that are gone. libtorch keeps memory for each stream that ever multiplied matrices (cuBLAS's workspace,
// 32 MiB on an H100), and its pool hands out another stream each time: models that come and go would fill the device.
class spare_streams
{
  public:
    c10::Stream take(const c10::Device &device)
    {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            for (auto at = streams_.rbegin(); at != streams_.rend(); ++at) {
                if (at->device() == device) {
                    c10::Stream stream = *at;
                    streams_.erase(std::next(at).base());
                    return stream;
                }
            }
        }
        return c10::impl::VirtualGuardImpl(c10::kCUDA).getStreamFromGlobalPool(device);
    }

    void give(const c10::Stream &stream)
    {
        std::lock_guard<std::mutex> lock(mutex_);
        streams_.push_back(stream);
    }

  private:
    std::mutex mutex_;
    std::vector<c10::Stream> streams_;
};

spare_streams spares;

} // namespace

struct torch_module {
    std::unique_ptr<torch::jit::Module> script;
#if TORCH_AT_LEAST(2, 6)
    std::unique_ptr<torch::inductor::AOTIModelPackageLoader> package;
#endif
    std::vector<std::string> texts; // what the arguments point to
    std::vector<torch_argument> arguments;
    std::string input_spec;
    std::string output_spec;
};

struct torch_run {
    int device;
    struct torch_mode mode;
    c10::optional<c10::Stream> stream; // of a GPU
    std::vector<c10::IValue> inputs;
    std::vector<c10::IValue> outputs;
    std::vector<at::Tensor> flat; // outputs in one piece, where they are tensors
};

namespace
{

// What holds while a run is worked on: its device and stream, and no autograd.
struct scope {
    explicit scope(const struct torch_run *run)
        : inference(run->mode.inference_mode), stream(run->stream)
    {
    }
    c10::InferenceMode inference;
    at::NoGradGuard no_grad;
    c10::OptionalStreamGuard stream;
};

// ---- loading ----

torch_kind kind_of(const c10::TypePtr &type)
{
    switch (type->kind()) {
    case c10::TypeKind::TensorType:
        return TORCH_TENSOR;
    case c10::TypeKind::ListType:
        return TORCH_LIST;
    case c10::TypeKind::DictType:
        return TORCH_DICT;
    default:
        return TORCH_OTHER;
    }
}

// Which inputs of the graph it may write to, itself first. What cannot be told may be written.
std::vector<bool> written_inputs(const torch::jit::Method &method)
{
    std::shared_ptr<torch::jit::Graph> graph = method.graph()->copy();
    std::vector<bool> written(graph->inputs().size(), true);
    try {
        torch::jit::Inline(*graph);
        torch::jit::AliasDb aliases(graph);
        for (size_t i = 0; i < graph->inputs().size(); i++) {
            written[i] = aliases.hasWriters(graph->inputs()[i]);
        }
    } catch (const std::exception &) {
        std::fill(written.begin(), written.end(), true);
    }
    return written;
}

void read_arguments(struct torch_module *module)
{
    const torch::jit::Method method = module->script->get_method("forward");
    const std::vector<c10::Argument> &all = method.function().getSchema().arguments();
    const std::vector<bool> written = written_inputs(method);
    size_t first = !all.empty() && all[0].type()->kind() == c10::TypeKind::ClassType ? 1 : 0;
    module->texts.reserve(2 * all.size());
    for (size_t i = first; i < all.size(); i++) {
        module->texts.push_back(all[i].name());
        const char *name = module->texts.back().c_str();
        module->texts.push_back(all[i].type()->str());
        module->arguments.push_back({name, module->texts.back().c_str(), kind_of(all[i].type()),
                                     i < written.size() ? bool(written[i]) : true});
    }
}

void load_script(struct torch_module *module, const char *path, int device, bool keep_devices,
                 const struct torch_mode *mode)
{
    c10::InferenceMode inference(mode->inference_mode);
    c10::optional<c10::Device> place;
    if (!keep_devices) {
        place = device_of(device);
    }
    module->script = std::make_unique<torch::jit::Module>(torch::jit::load(path, place));
    read_arguments(module);
}

#if TORCH_AT_LEAST(2, 6)
std::unique_ptr<torch::inductor::AOTIModelPackageLoader> open_package(const char *path, int device)
{
#if TORCH_AT_LEAST(2, 8)
    return std::make_unique<torch::inductor::AOTIModelPackageLoader>(
        path, "model", false, 1, static_cast<c10::DeviceIndex>(device));
#else
    if (device > 0) {
        throw std::runtime_error("libtorch " TORCH_VERSION " loads packages to GPU 0 only");
    }
    return std::make_unique<torch::inductor::AOTIModelPackageLoader>(path, "model");
#endif
}

// A package says what it was compiled for, "cpu" or "cuda".
void check_device(const std::unordered_map<std::string, std::string> &metadata, int device)
{
    auto found = metadata.find("AOTI_DEVICE_KEY");
    if (found != metadata.end() && (found->second == "cpu") != (device < 0)) {
        throw std::runtime_error("the package was compiled for '" + found->second +
                                 "', the instance is on " + (device < 0 ? "the CPU" : "a GPU"));
    }
}

void load_package(struct torch_module *module, const char *path, int device)
{
#if TORCH_AT_LEAST(2, 10)
    // Before it is loaded, as loading for a GPU may end in the driver.
    check_device(torch::inductor::AOTIModelPackageLoader::load_metadata_from_package(path, "model"),
                 device);
#endif
    module->package = open_package(path, device);
    check_device(module->package->get_metadata(), device);
    std::vector<std::string> specs = module->package->get_call_spec();
    if (specs.size() != 2) {
        throw std::runtime_error("the package has no call specification");
    }
    module->input_spec = specs[0];
    module->output_spec = specs[1];
}
#endif

// ---- running ----

// Settings that libtorch keeps for the process or the thread, set anew before each run, as models
// differ.
void apply(const struct torch_mode &mode)
{
    torch::jit::setGraphExecutorOptimize(mode.optimized);
    at::globalContext().setUserEnabledCuDNN(mode.cudnn);
    if (mode.jit_profiling >= 0) {
        torch::jit::getProfilingMode() = mode.jit_profiling != 0;
    }
    if (mode.jit_executor >= 0) {
        torch::jit::getExecutorMode() = mode.jit_executor != 0;
    }
    if (mode.tensor_fuser >= 0) {
        torch::jit::setTensorExprFuserEnabled(mode.tensor_fuser != 0);
    }
}

bool is_string_list(const c10::IValue &value)
{
    return value.isList() && value.toList().elementType()->kind() == c10::TypeKind::StringType;
}

void take_output(struct torch_run *run, const c10::IValue &value, const std::string &where)
{
    if (value.isList() && !is_string_list(value)) {
        throw std::invalid_argument("output" + where +
                                    " must be of type Tensor or List[str], received List[" +
                                    value.toList().elementType()->str() + "]");
    }
    if (!value.isTensor() && !value.isList()) {
        throw std::invalid_argument("output" + where +
                                    " must be of type Tensor or List[str], "
                                    "received " +
                                    value.type()->str());
    }
    run->outputs.push_back(value);
}

void take_outputs(struct torch_run *run, const c10::IValue &value)
{
    if (value.isTuple()) {
        size_t index = 0;
        for (const c10::IValue &element : value.toTupleRef().elements()) {
            take_output(run, element, " at index " + std::to_string(index++));
        }
    } else if (value.isTensor() || value.isList()) {
        take_output(run, value, "");
    } else {
        throw std::invalid_argument(
            "output must be of type Tensor, List[str] or Tuple containing one of these two types. "
            "It should not be a List / Dictionary of Tensors or a Scalar");
    }
}

void forward_script(struct torch_run *run, struct torch_module *module, const char *const *keys)
{
    if (keys == nullptr) {
        take_outputs(run, module->script->forward(run->inputs));
        return;
    }
    c10::Dict<std::string, at::Tensor> dict;
    for (size_t i = 0; i < run->inputs.size(); i++) {
        dict.insert(keys[i], run->inputs[i].toTensor());
    }
    take_outputs(run, module->script->forward({dict}));
}

void forward(struct torch_run *run, struct torch_module *module, const char *const *keys)
{
    apply(run->mode);
    run->outputs.clear();
    run->flat.clear();
#if TORCH_AT_LEAST(2, 6)
    if (module->package != nullptr) {
        std::vector<at::Tensor> tensors;
        for (const c10::IValue &value : run->inputs) {
            tensors.push_back(value.toTensor());
        }
        for (at::Tensor &tensor : module->package->get_runner()->run(tensors)) {
            run->outputs.emplace_back(std::move(tensor));
        }
        run->flat.resize(run->outputs.size());
        return;
    }
#endif
    forward_script(run, module, keys);
    run->flat.resize(run->outputs.size());
}

c10::IValue make_tensor(struct torch_run *run, c10::ScalarType type, at::IntArrayRef dims,
                        const struct torch_piece *pieces, size_t piece_count, bool copy)
{
    at::TensorOptions options = at::TensorOptions().dtype(type).device(device_of(run->device));
    size_t element = c10::elementSize(type);
    bool in_place = piece_count == 1 && pieces[0].device == run->device && !copy &&
                    reinterpret_cast<uintptr_t>(pieces[0].data) % element == 0;
    if (in_place && pieces[0].size > 0) {
        return torch::from_blob(const_cast<void *>(pieces[0].data), dims, options);
    }
    at::Tensor tensor = at::empty(dims, options);
    if (tensor.numel() > 0) {
        at::Tensor bytes = view_bytes(tensor.data_ptr(), tensor.nbytes(), run->device);
        int64_t at_byte = 0;
        for (size_t i = 0; i < piece_count; i++) {
            int64_t size = static_cast<int64_t>(pieces[i].size);
            if (size > 0) {
                bytes.narrow(0, at_byte, size)
                    .copy_(view_bytes(pieces[i].data, pieces[i].size, pieces[i].device), true);
            }
            at_byte += size;
        }
    }
    return tensor;
}

} // namespace

// ---- the interface ----

const char *torch_shim_version(void)
{
    return TORCH_VERSION;
}

int torch_shim_gpus(void)
{
    try {
        return c10::impl::hasDeviceGuardImpl(c10::kCUDA)
                   ? c10::impl::VirtualGuardImpl(c10::kCUDA).deviceCount()
                   : 0;
    } catch (const std::exception &) {
        return 0;
    }
}

bool torch_shim_has_type(TRITONSERVER_DataType dtype)
{
    c10::ScalarType type;
    return torch_type(dtype, &type);
}

bool torch_shim_threads(int intra_op, int inter_op)
{
    static std::mutex mutex;
    static int intra_set = 0;
    static int inter_set = 0;
    std::lock_guard<std::mutex> lock(mutex);
    try {
        if (intra_op > 0 && intra_set == 0) {
            at::set_num_threads(intra_op);
            intra_set = intra_op;
        }
        if (inter_op > 0 && inter_set == 0) {
            at::set_num_interop_threads(inter_op);
            inter_set = inter_op;
        }
    } catch (const std::exception &) {
        return false; // the pool is at work already
    }
    return (intra_op <= 0 || intra_set == intra_op) && (inter_op <= 0 || inter_set == inter_op);
}

bool torch_module_load(const char *path, int device, bool keep_devices,
                       const struct torch_mode *mode, struct torch_module **module,
                       struct torch_why *why)
{
    return guarded(why, [&] {
        std::unique_ptr<torch_module> made(new torch_module());
        load_script(made.get(), path, device, keep_devices, mode);
        *module = made.release();
    });
}

bool torch_module_load_package(const char *path, int device, struct torch_module **module,
                               struct torch_why *why)
{
#if TORCH_AT_LEAST(2, 6)
    return guarded(why, [&] {
        std::unique_ptr<torch_module> made(new torch_module());
        load_package(made.get(), path, device);
        *module = made.release();
    });
#else
    (void)path;
    (void)device;
    (void)module;
    return failed(why, "packages of torch.export (model.pt2) need libtorch 2.6 or newer, this is "
                       "libtorch " TORCH_VERSION);
#endif
}

void torch_module_destroy(struct torch_module *module)
{
    delete module;
}

uint32_t torch_module_arguments(const struct torch_module *module)
{
    return static_cast<uint32_t>(module->arguments.size());
}

const struct torch_argument *torch_module_argument(const struct torch_module *module,
                                                   uint32_t index)
{
    return &module->arguments[index];
}

const char *torch_module_input_spec(const struct torch_module *module)
{
    return module->input_spec.c_str();
}

const char *torch_module_output_spec(const struct torch_module *module)
{
    return module->output_spec.c_str();
}

bool torch_run_create(int device, const struct torch_mode *mode, struct torch_run **run,
                      struct torch_why *why)
{
    return guarded(why, [&] {
#if !TORCH_AT_LEAST(2, 9)
        if (device >= 0 && mode->clean_cache) {
            throw std::runtime_error("ENABLE_CACHE_CLEANING needs libtorch 2.9 or newer, this is "
                                     "libtorch " TORCH_VERSION);
        }
#endif
        std::unique_ptr<torch_run> made(new torch_run());
        made->device = device;
        made->mode = *mode;
        if (device >= 0) {
            made->stream = spares.take(device_of(device));
        }
        *run = made.release();
    });
}

void torch_run_destroy(struct torch_run *run)
{
    if (run != nullptr && run->stream.has_value()) {
        struct torch_why why;
        guarded(&why, [&] { spares.give(*run->stream); });
    }
    delete run;
}

void torch_run_reset(struct torch_run *run, uint32_t slots)
{
    run->outputs.clear();
    run->flat.clear();
    run->inputs.clear();
    run->inputs.resize(slots);
}

bool torch_run_tensor(struct torch_run *run, uint32_t slot, TRITONSERVER_DataType dtype,
                      const int64_t *dims, uint32_t dim_count, const struct torch_piece *pieces,
                      size_t piece_count, bool copy, struct torch_why *why)
{
    c10::ScalarType type;
    if (!torch_type(dtype, &type)) {
        return failed(why, "libtorch does not have this data type");
    }
    return guarded(why, [&] {
        scope here(run);
        run->inputs.at(slot) =
            make_tensor(run, type, at::IntArrayRef(dims, dim_count), pieces, piece_count, copy);
    });
}

bool torch_run_strings(struct torch_run *run, uint32_t slot, int64_t count, struct torch_why *why)
{
    return guarded(why, [&] {
        c10::List<std::string> list;
        list.resize(static_cast<size_t>(count));
        run->inputs.at(slot) = list;
    });
}

bool torch_run_set_string(struct torch_run *run, uint32_t slot, int64_t index, const char *text,
                          size_t length, struct torch_why *why)
{
    return guarded(why, [&] {
        run->inputs.at(slot).toList().set(static_cast<size_t>(index), std::string(text, length));
    });
}

bool torch_run_forward(struct torch_run *run, struct torch_module *module, const char *const *keys,
                       struct torch_why *why)
{
    return guarded(why, [&] {
        scope here(run);
        forward(run, module, keys);
    });
}

uint32_t torch_run_outputs(const struct torch_run *run)
{
    return static_cast<uint32_t>(run->outputs.size());
}

bool torch_run_output(struct torch_run *run, uint32_t index, struct torch_output *output,
                      struct torch_why *why)
{
    return guarded(why, [&] {
        scope here(run);
        c10::IValue &value = run->outputs.at(index);
        *output = torch_output();
        if (!value.isTensor()) {
            static_assert(sizeof(int64_t) == sizeof(size_t), "one number of strings");
            run->flat[index] = at::scalar_tensor(static_cast<int64_t>(value.toList().size()),
                                                 at::TensorOptions().dtype(c10::kLong));
            output->kind = TORCH_OUTPUT_STRINGS;
            output->dtype = TRITONSERVER_TYPE_BYTES;
            output->dims = static_cast<const int64_t *>(run->flat[index].data_ptr());
            output->dim_count = 1;
            output->device = TORCH_CPU;
            return;
        }
        // Lazily set signs of conjugates and negatives are not in memory yet.
        run->flat[index] = value.toTensor().resolve_conj().resolve_neg().contiguous();
        const at::Tensor &flat = run->flat[index];
        output->kind = TORCH_OUTPUT_TENSOR;
        output->dtype = triton_type(flat.scalar_type());
        output->dims = flat.sizes().data();
        output->dim_count = static_cast<uint32_t>(flat.dim());
        output->size = flat.nbytes();
        output->data = flat.data_ptr();
        output->device = number_of(flat.device());
    });
}

bool torch_run_string(struct torch_run *run, uint32_t index, int64_t element, const char **text,
                      size_t *length, struct torch_why *why)
{
    return guarded(why, [&] {
        c10::List<c10::IValue> list = run->outputs.at(index).toList();
        // The list owns the string; the value shares it.
        const c10::IValue value = list.get(static_cast<size_t>(element));
        const std::string &string = value.toStringRef();
        *text = string.data();
        *length = string.size();
    });
}

bool torch_run_copy(struct torch_run *run, uint32_t index, size_t offset, size_t size, void *to,
                    int to_device, struct torch_why *why)
{
    return guarded(why, [&] {
        if (size == 0) {
            return;
        }
        scope here(run);
        const at::Tensor &flat = run->flat.at(index);
        const char *from = static_cast<const char *>(flat.data_ptr()) + offset;
        // Without a stream of our own (KIND_MODEL) nothing waits but the copy itself.
        view_bytes(to, size, to_device)
            .copy_(view_bytes(from, size, number_of(flat.device())), run->stream.has_value());
    });
}

bool torch_run_wait(struct torch_run *run, struct torch_why *why)
{
    return guarded(why, [&] {
        if (run->stream.has_value()) {
            run->stream->synchronize();
            if (run->mode.clean_cache) {
                clean_cache();
            }
        }
    });
}

void torch_trim(void)
{
    try {
        if (at::hasCUDA()) {
            clean_cache();
        }
    } catch (const std::exception &) { // nothing of it was ever used
    }
}
