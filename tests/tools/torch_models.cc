// SPDX-License-Identifier: Apache-2.0
// Makes the TorchScript models of the tests of the pytorch backend, and runs one for comparison; so no Python package of
// PyTorch is needed.
//   torch_models make DIR      DIR/<name>.pt, one for each thing that the backend has to get right
//   torch_models run FILE      reads tensors from standard input, writes forward()'s to standard output
//   torch_models version
// A stream is the number of values, then each: 0, type (c10::ScalarType), number of dimensions, dimensions, bytes for a
// tensor; 1, number, then length and bytes of each for a list of strings. All numbers are 64-bit.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <torch/script.h>
#include <torch/version.h>

namespace
{

// ---- making ----

struct source {
    const char *name;
    const char *code;
};
const source sources[] = {
    {"same", "def forward(self, x):\n    return x\n"},
    {"twice", "def forward(self, X):\n    return X + X\n"},
    {"add_sub", "def forward(self, a, b):\n    return a + b, a - b\n"},
    {"strings", "def forward(self, x: List[str]) -> List[str]:\n    return x\n"},
    {"mixed", "def forward(self, x: List[str], y: Tensor) -> Tuple[List[str], Tensor]:\n"
              "    return x, y * 2\n"},
    {"dict", "def forward(self, d: Dict[str, Tensor]) -> Tensor:\n    return d['a'] - d['b']\n"},
    {"in_place", "def forward(self, x):\n    x.add_(1)\n    return x\n"},
    {"total", "def forward(self, x):\n    return x.sum()\n"},
    {"lazy", "def forward(self, x):\n    return x.t(), torch.flip(x, [1])[:, ::2]\n"},
    {"picky", "def forward(self, x):\n    assert x.size(0) < 3, 'too many rows'\n    return x\n"},
    {"ragged", "def forward(self, x, ends):\n    return x + x.sum(), ends\n"},
    {"number", "def forward(self, x, factor: float):\n    return x * factor\n"},
    {"two_dicts", "def forward(self, x: Tensor, d: Dict[str, Tensor]) -> Tensor:\n    return x\n"},
    {"tensor_list", "def forward(self, x) -> List[Tensor]:\n    return [x, x]\n"},
    {"dict_out", "def forward(self, x) -> Dict[str, Tensor]:\n    return {'y': x}\n"},
};

// A convolution, a reduction and a matrix product: N x 3 x 16 x 16 -> N x 10, enough for rounding to show.
void make_network(const std::string &path)
{
    torch::manual_seed(7);
    torch::jit::Module m("network");
    m.register_parameter("kernel", torch::randn({8, 3, 3, 3}), false);
    m.register_parameter("matrix", torch::randn({8, 10}), false);
    m.define("def forward(self, x):\n"
             "    y = torch.relu(torch.conv2d(x, self.kernel, None, [1, 1], [1, 1]))\n"
             "    return torch.softmax(torch.matmul(y.mean([2, 3]), self.matrix), 1)\n");
    m.save(path);
}

// Counts its calls: state that instances must not share unless they share their weights.
void make_counter(const std::string &path)
{
    torch::jit::Module m("counter");
    m.register_buffer("count", torch::zeros({1}, at::kInt));
    m.define("def forward(self, x):\n    self.count += 1\n    return x + self.count\n");
    m.save(path);
}

int make(const std::string &folder)
{
    for (const source &s : sources) {
        torch::jit::Module m(s.name);
        m.define(s.code);
        m.save(folder + "/" + s.name + ".pt");
    }
    make_network(folder + "/network.pt");
    make_counter(folder + "/counter.pt");
    return 0;
}

// ---- running ----

int64_t read_number()
{
    int64_t value = 0;
    if (std::fread(&value, sizeof(value), 1, stdin) != 1) {
        std::abort();
    }
    return value;
}

std::string read_bytes(size_t size)
{
    std::string bytes(size, '\0');
    if (std::fread(&bytes[0], 1, size, stdin) != size) {
        std::abort();
    }
    return bytes;
}

c10::IValue read_value()
{
    if (read_number() == 1) {
        c10::List<std::string> list;
        for (int64_t left = read_number(); left > 0; left--) {
            list.push_back(read_bytes(static_cast<size_t>(read_number())));
        }
        return list;
    }
    c10::ScalarType type = static_cast<c10::ScalarType>(read_number());
    std::vector<int64_t> dims(static_cast<size_t>(read_number()));
    for (int64_t &dim : dims) {
        dim = read_number();
    }
    at::Tensor tensor = torch::empty(dims, type);
    std::string bytes = read_bytes(tensor.nbytes());
    std::copy(bytes.begin(), bytes.end(), static_cast<char *>(tensor.data_ptr()));
    return tensor;
}

void write_number(int64_t value)
{
    std::fwrite(&value, sizeof(value), 1, stdout);
}

void write_value(const c10::IValue &value)
{
    if (value.isList()) {
        c10::List<c10::IValue> list = value.toList();
        write_number(1);
        write_number(static_cast<int64_t>(list.size()));
        for (size_t i = 0; i < list.size(); i++) {
            const std::string text = list.get(i).toStringRef();
            write_number(static_cast<int64_t>(text.size()));
            std::fwrite(text.data(), 1, text.size(), stdout);
        }
        return;
    }
    at::Tensor tensor = value.toTensor().contiguous();
    write_number(0);
    write_number(static_cast<int64_t>(tensor.scalar_type()));
    write_number(tensor.dim());
    for (int64_t dim : tensor.sizes()) {
        write_number(dim);
    }
    std::fwrite(tensor.data_ptr(), 1, tensor.nbytes(), stdout);
}

int run(const char *path)
{
    c10::InferenceMode inference;
    torch::jit::Module module = torch::jit::load(path);
    std::vector<c10::IValue> inputs;
    for (int64_t left = read_number(); left > 0; left--) {
        inputs.push_back(read_value());
    }
    c10::IValue result = module.forward(inputs);
    if (!result.isTuple()) {
        write_number(1);
        write_value(result);
        return 0;
    }
    write_number(static_cast<int64_t>(result.toTupleRef().elements().size()));
    for (const c10::IValue &element : result.toTupleRef().elements()) {
        write_value(element);
    }
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    std::string command = argc > 1 ? argv[1] : "";
    if (command == "make" && argc == 3) {
        return make(argv[2]);
    }
    if (command == "run" && argc == 3) {
        return run(argv[2]);
    }
    if (command == "version") {
        std::puts(TORCH_VERSION);
        return 0;
    }
    std::fprintf(stderr, "usage: torch_models make DIR | run FILE | version\n");
    return 2;
}
