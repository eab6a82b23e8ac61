# SPDX-License-Identifier: Apache-2.0
"""One small network for every framework, and its answers by numpy: N x 3 x 16 x 16 -> N x 10.

A convolution, a reduction, a matrix product and a softmax: each framework runs it by its own kernels, and all have to agree
with numpy within what TF32 products leave (10 bits of mantissa; sums of 27 products)."""

import numpy as np

INPUT, OUTPUT, SHAPE, CLASSES = "INPUT__0", "OUTPUT__0", (3, 16, 16), 10
TOLERANCE = 4e-3

_random = np.random.default_rng(7)
FILTERS = _random.standard_normal((8, 3, 3, 3)).astype(np.float32)
OFFSETS = _random.standard_normal(8).astype(np.float32)
MATRIX = _random.standard_normal((8, CLASSES)).astype(np.float32)


def pictures(rows, seed=1):
    return np.random.default_rng(seed).standard_normal((rows, *SHAPE)).astype(np.float32)


def reference(x):
    """What the network answers to `x`, in double precision."""
    height, width = SHAPE[1:]
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(x), 8, height, width)) + OFFSETS[None, :, None, None]
    for dy in range(3):
        for dx in range(3):
            total += np.einsum("nchw,kc->nkhw", padded[:, :, dy:dy + height, dx:dx + width], FILTERS[:, :, dy, dx])
    logits = np.maximum(total, 0).mean((2, 3)) @ MATRIX
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def torchscript(path):
    """Writes it as TorchScript. Raises ImportError where there is no PyTorch."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.two = torch.nn.Linear(8, CLASSES, bias=False)

        def forward(self, x):
            return torch.softmax(self.two(torch.relu(self.one(x)).mean([2, 3])), 1)

    network = Network().eval()
    with torch.no_grad():
        network.one.weight.copy_(torch.from_numpy(FILTERS))
        network.one.bias.copy_(torch.from_numpy(OFFSETS))
        network.two.weight.copy_(torch.from_numpy(MATRIX.T.copy()))
        torch.jit.trace(network, torch.rand(1, *SHAPE)).save(str(path))


def onnx(path):
    """Writes it as ONNX. Raises ImportError where there is no onnx package."""
    from onnx import TensorProto, helper as h

    weights = [h.make_tensor("W", TensorProto.FLOAT, FILTERS.shape, FILTERS.ravel()),
               h.make_tensor("B", TensorProto.FLOAT, OFFSETS.shape, OFFSETS),
               h.make_tensor("M", TensorProto.FLOAT, MATRIX.shape, MATRIX.ravel())]
    nodes = [h.make_node("Conv", [INPUT, "W", "B"], ["c"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]), h.make_node("Relu", ["c"], ["r"]),
             h.make_node("GlobalAveragePool", ["r"], ["p"]), h.make_node("Flatten", ["p"], ["f"]),
             h.make_node("MatMul", ["f", "M"], ["l"]), h.make_node("Softmax", ["l"], [OUTPUT], axis=1)]
    graph = h.make_graph(nodes, "network", [h.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", *SHAPE])],
                         [h.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", CLASSES])], weights)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 13)], ir_version=8)
    path.write_bytes(model.SerializeToString())
