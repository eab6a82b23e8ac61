// SPDX-License-Identifier: Apache-2.0
// Finds out what a TorchScript file takes and gives. See torch_probe.h; start at torch_probe().
#include "backends/pytorch/torch_probe.h"

#include <cstdio>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/python/update_graph_executor_opt.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>

#include "backends/pytorch/torch_types.hh"

namespace
{

using torch::jit::Node;
using torch::jit::Value;

// An input as its first layer wants it, the rows of a batch first; -1 where the layer takes any size.
struct wanted {
    c10::ScalarType type;
    std::vector<int64_t> dims;
};

// Extents that open dimensions are tried with: the least that networks for pictures take first, as it costs least.
const int64_t extents[] = {64, 128, 224, 256, 32, 512, 299, 28, 16};

// ---- the first layer of an input ----

// An attribute of the model or a constant, where the graph says so.
std::optional<c10::IValue> known(const Value *value, const torch::jit::Module &module)
{
    if (value == value->owningGraph()->inputs()[0]) {
        return module._ivalue();
    }
    const Node *node = value->node();
    if (node->kind() == c10::prim::GetAttr) {
        std::optional<c10::IValue> owner = known(node->input(0), module);
        if (owner && owner->isObject()) {
            return owner->toObject()->getAttr(node->s(c10::attr::name));
        }
        return std::nullopt;
    }
    auto constant = torch::jit::toIValue(value);
    return constant ? std::optional<c10::IValue>(*constant) : std::nullopt;
}

std::optional<at::Tensor> weight_of(const Node *node, size_t index,
                                    const torch::jit::Module &module)
{
    std::optional<c10::IValue> value = known(node->input(index), module);
    return value && value->isTensor() && value->toTensor().defined()
               ? std::optional<at::Tensor>(value->toTensor())
               : std::nullopt;
}

bool is(const Node *node, std::initializer_list<const char *> names)
{
    for (const char *name : names) {
        if (std::strcmp(node->kind().toQualString(), name) == 0) {
            return true;
        }
    }
    return false;
}

std::optional<wanted> of_convolution(const Node *node, const torch::jit::Module &module)
{
    std::optional<at::Tensor> weight = weight_of(node, 1, module);
    std::optional<c10::IValue> groups = known(node->namedInput("groups"), module);
    if (!weight || weight->dim() < 3 || !groups || !groups->isInt()) {
        return std::nullopt;
    }
    bool transposed =
        is(node, {"aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d"});
    if (is(node, {"aten::_convolution", "aten::convolution"})) {
        std::optional<c10::IValue> flag = known(node->namedInput("transposed"), module);
        transposed = flag && flag->isBool() && flag->toBool();
    }
    wanted found{weight->scalar_type(),
                 std::vector<int64_t>(static_cast<size_t>(weight->dim()), -1)};
    found.dims[1] = transposed ? weight->size(0) : weight->size(1) * groups->toInt();
    return found;
}

// Follows an input to the first layer that knows what it wants, through what keeps shapes.
std::optional<wanted> look(const Value *value, const torch::jit::Module &module, bool cast,
                           int depth)
{
    for (const torch::jit::Use &use : value->uses()) {
        const Node *node = use.user;
        std::optional<wanted> found;
        if (use.offset == 0 && is(node, {"aten::_convolution", "aten::convolution", "aten::conv1d",
                                         "aten::conv2d", "aten::conv3d", "aten::conv_transpose1d",
                                         "aten::conv_transpose2d", "aten::conv_transpose3d"})) {
            found = of_convolution(node, module);
        } else if (use.offset == 0 && is(node, {"aten::linear"})) {
            std::optional<at::Tensor> weight = weight_of(node, 1, module);
            if (weight && weight->dim() == 2) {
                found = wanted{weight->scalar_type(), {-1, weight->size(1)}};
            }
        } else if (use.offset == 1 && is(node, {"aten::embedding"})) {
            found = wanted{c10::kLong, {-1, -1}};
        } else if (use.offset == 0 && depth < 8 &&
                   is(node, {"aten::to", "aten::contiguous", "aten::detach", "aten::clone",
                             "aten::relu", "aten::sub", "aten::add", "aten::mul", "aten::div",
                             "aten::sub_", "aten::add_", "aten::mul_", "aten::div_"})) {
            found = look(node->output(0), module, cast || is(node, {"aten::to"}), depth + 1);
        }
        if (found) {
            if (cast && c10::isFloatingType(found->type)) {
                found->type = c10::kFloat; // whatever it is cast from
            }
            return found;
        }
    }
    return std::nullopt;
}

std::vector<wanted> look_at_inputs(const torch::jit::Module &module)
{
    const torch::jit::Method method = module.get_method("forward");
    std::shared_ptr<torch::jit::Graph> graph = method.graph()->copy();
    torch::jit::Inline(*graph);
    std::vector<wanted> found;
    for (size_t i = 1; i < graph->inputs().size(); i++) {
        if (graph->inputs()[i]->type()->kind() != c10::TypeKind::TensorType) {
            throw std::runtime_error("argument " + std::to_string(i - 1) +
                                     " of forward() is no tensor");
        }
        std::optional<wanted> one = look(graph->inputs()[i], module, false, 0);
        if (!one) {
            throw std::runtime_error("the first layer of argument " + std::to_string(i - 1) +
                                     " of forward() does not tell its shape");
        }
        found.push_back(*one);
    }
    if (found.empty() || found.size() > TORCH_PROBE_TENSORS) {
        throw std::runtime_error("forward() takes " + std::to_string(found.size()) + " tensors");
    }
    return found;
}

// ---- trying it ----

// Half precision, which CPUs lack for some layers, becomes float: shapes are what counts.
at::Tensor example(const wanted &input, int64_t rows, int64_t extent)
{
    std::vector<int64_t> dims = input.dims;
    dims[0] = rows;
    for (size_t i = 1; i < dims.size(); i++) {
        dims[i] = dims[i] < 0 ? extent : dims[i];
    }
    bool half = input.type == c10::kHalf || input.type == c10::kBFloat16;
    return at::zeros(dims, at::TensorOptions().dtype(half ? c10::kFloat : input.type));
}

void flatten(const c10::IValue &value, std::vector<at::Tensor> *into)
{
    if (value.isTensor()) {
        into->push_back(value.toTensor());
    } else if (value.isTuple()) {
        for (const c10::IValue &element : value.toTupleRef().elements()) {
            flatten(element, into);
        }
    } else if (value.isTensorList()) {
        for (const at::Tensor &element : value.toTensorVector()) {
            into->push_back(element);
        }
    } else {
        throw std::runtime_error("forward() returns what is no tensor");
    }
}

// The results for that size; none where the model does not take it.
std::vector<at::Tensor> attempt(torch::jit::Module &module, const std::vector<wanted> &inputs,
                                int64_t rows, int64_t extent, std::string *why)
{
    std::vector<at::Tensor> results;
    try {
        std::vector<c10::IValue> given;
        for (const wanted &input : inputs) {
            given.emplace_back(example(input, rows, extent));
        }
        flatten(module.forward(given), &results);
    } catch (const c10::Error &error) {
        *why = error.what_without_backtrace();
        results.clear();
    } catch (const std::exception &error) { // the interpreter's own
        *why = error.what();
        results.clear();
    }
    if (results.size() > TORCH_PROBE_TENSORS) {
        throw std::runtime_error("forward() returns " + std::to_string(results.size()) +
                                 " tensors");
    }
    return results;
}

bool any_open(const std::vector<wanted> &inputs)
{
    for (const wanted &input : inputs) {
        for (size_t i = 1; i < input.dims.size(); i++) {
            if (input.dims[i] < 0) {
                return true;
            }
        }
    }
    return false;
}

void write_guess(c10::ScalarType type, const std::vector<int64_t> &dims, torch_guess *guess)
{
    guess->dtype = triton_type(type);
    if (guess->dtype == TRITONSERVER_TYPE_INVALID || dims.empty() ||
        dims.size() > TORCH_PROBE_DIMS) {
        throw std::runtime_error("a tensor is of a type or rank that cannot be served");
    }
    guess->dim_count = static_cast<uint32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), guess->dims);
    guess->dims[0] = -1;
}

// Two runs of 2 and 1 rows, with two extents where more than one is taken.
void try_out(torch::jit::Module &module, std::vector<wanted> inputs, c10::ScalarType floats,
             torch_signature *signature)
{
    std::string why;
    std::vector<at::Tensor> first;
    std::vector<at::Tensor> second;
    int64_t taken = 0;
    for (int64_t extent : extents) {
        if (first.empty()) {
            first = attempt(module, inputs, 2, extent, &why);
            taken = extent;
        } else if (second.empty() && any_open(inputs)) {
            second = attempt(module, inputs, 1, extent, &why);
        }
    }
    if (first.empty()) {
        throw std::runtime_error("it took none of the sizes that were tried: " + why);
    }
    if (second.empty()) {
        second =
            attempt(module, inputs, 1, taken, &why); // one size alone, or no dimension that is open
        for (wanted &input : inputs) {
            for (size_t i = 1; i < input.dims.size(); i++) {
                input.dims[i] = input.dims[i] < 0 ? taken : input.dims[i];
            }
        }
    }
    if (second.size() != first.size()) {
        throw std::runtime_error("the number of its results depends on the input's size");
    }
    for (size_t i = 0; i < inputs.size(); i++) {
        write_guess(inputs[i].type, inputs[i].dims, &signature->inputs[i]);
    }
    for (size_t i = 0; i < first.size(); i++) {
        std::vector<int64_t> dims = first[i].sizes().vec();
        if (dims.empty() || second[i].dim() != first[i].dim() || dims[0] != 2 ||
            second[i].size(0) != 1) {
            throw std::runtime_error("result " + std::to_string(i) +
                                     " has no row for each row of the input");
        }
        for (size_t k = 1; k < dims.size(); k++) {
            dims[k] = dims[k] == second[i].size(static_cast<int64_t>(k)) ? dims[k] : -1;
        }
        bool replaced = floats != c10::kFloat && first[i].scalar_type() == c10::kFloat;
        write_guess(replaced ? floats : first[i].scalar_type(), dims, &signature->outputs[i]);
    }
    signature->input_count = static_cast<uint32_t>(inputs.size());
    signature->output_count = static_cast<uint32_t>(first.size());
}

} // namespace

bool torch_probe(const char *path, struct torch_signature *signature, struct torch_why *why)
{
    try {
        c10::InferenceMode inference;
        torch::jit::Module module = torch::jit::load(path, c10::Device(c10::kCPU));
        module.eval();
        std::vector<wanted> inputs = look_at_inputs(module);
        c10::ScalarType floats = c10::kFloat;
        for (const wanted &input : inputs) {
            if (input.type == c10::kHalf || input.type == c10::kBFloat16) {
                floats = input.type;
            }
        }
        if (floats != c10::kFloat) {
            module.to(c10::kFloat);
        }
        // Nothing is compiled for sizes that will not come again. Not before: without it, inlining goes one call deep.
        torch::jit::GraphOptimizerEnabledGuard plain(false);
        try_out(module, inputs, floats, signature);
        return true;
    } catch (const c10::Error &error) {
        std::snprintf(why->text, sizeof(why->text), "%s", error.what_without_backtrace());
    } catch (const std::exception &error) {
        std::snprintf(why->text, sizeof(why->text), "%s", error.what());
    } catch (...) {
        std::snprintf(why->text, sizeof(why->text), "an exception of an unknown kind");
    }
    return false;
}
