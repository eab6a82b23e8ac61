# SPDX-License-Identifier: Apache-2.0
"""Writes a network of networks.py as an ONNX model, with onnx and numpy alone.

The files are plain on purpose: opset 13, IR version 7, float32, a symbolic batch dimension, and
only Conv, ConvTranspose, BatchNormalization, Relu, MaxPool, AveragePool, GlobalAveragePool,
Concat, Add, Sub, Div, Flatten, Gemm and Softmax. That is within what ONNX Runtime 1.6 and
TensorRT 8.0 document; batch normalisation is left as a node for the reader to fold.
Weights come from a table (a trained network) or from a seed (Random, below).
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
IR_VERSION = 7


class Random:
    """Seeded weights that keep activations at the same size from layer to layer.

    Convolutions are drawn as He et al. (2015) do: normal with variance 2 / fan_in before a ReLU.
    """

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def normal(self, name, shape, variance):
        values = self._rng.standard_normal(shape, dtype=np.float32)
        return values * np.float32(np.sqrt(variance))

    def zeros(self, name, shape):
        return np.zeros(shape, np.float32)

    def norm(self, name, channels, gain):
        """Scale, shift, mean and variance as a trained network's: near 1, 0, 0 and 1."""
        rng = self._rng
        scale = gain * rng.uniform(0.8, 1.2, channels)
        shift = rng.normal(0, 0.1, channels)
        mean = rng.normal(0, 0.1, channels)
        variance = rng.uniform(0.8, 1.25, channels)
        return [a.astype(np.float32) for a in (scale, shift, mean, variance)]


class Trained:
    """Weights looked up by name: {name: float32 array}."""

    def __init__(self, table):
        self._table = table

    def _get(self, name, shape):
        value = np.asarray(self._table[name], np.float32)
        if value.shape != tuple(shape):
            raise ValueError(f"parameter '{name}' has shape {value.shape}, expected {shape}")
        return value

    def normal(self, name, shape, variance):
        return self._get(name, shape)

    def zeros(self, name, shape):
        return self._get(name, shape)

    def norm(self, name, channels, gain):
        fields = ("scale", "shift", "mean", "variance")
        return [self._get(f"{name}/{field}", (channels,)) for field in fields]


@dataclass
class _Value:
    name: str
    channels: int


class OnnxBuilder:
    """The builder that networks.py speaks of; its values are names of ONNX tensors."""

    def __init__(self, weights):
        self._weights = weights
        self._nodes = []
        self._initializers = []
        self._inputs = []
        self._outputs = []
        self._count = 0

    def input(self, name, channels, height, width):
        """Declares an input [batch, channels, height, width]."""
        shape = ["batch", channels, height, width]
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return _Value(name, channels)

    def output(self, x, name, dims):
        """Declares x as an output of the given name and shape [batch, *dims]."""
        for node in self._nodes:
            for names in (node.input, node.output):
                for i, old in enumerate(names):
                    if old == x.name:
                        names[i] = name
        x.name = name
        shape = ["batch", *dims]
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def model(self, name, doc):
        """Returns the finished, checked ModelProto."""
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, self._initializers, doc_string=doc
        )
        model = helper.make_model(
            graph,
            producer_name="nereid-models",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constant(self, name, value):
        self._initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _node(self, kind, inputs, channels, name=None, **attributes):
        if name is None:
            self._count += 1
            name = f"{kind.lower()}{self._count}"
        node = helper.make_node(kind, inputs, [f"{name}:0"], name=name, **attributes)
        self._nodes.append(node)
        return _Value(node.output[0], channels)

    def scale_pictures(self, x, mean, std):
        shape = (1, len(mean), 1, 1)
        mean = self._constant("picture/mean", np.float32(mean).reshape(shape))
        std = self._constant("picture/std", np.float32(std).reshape(shape))
        centred = self._node("Sub", [x.name, mean], x.channels, "picture/sub")
        return self._node("Div", [centred.name, std], x.channels, "picture/div")

    def conv(self, x, name, channels, kernel, stride=1):
        shape = (channels, x.channels, kernel, kernel)
        fan_in = x.channels * kernel * kernel
        weight = self._weights.normal(f"{name}/weight", shape, 2 / fan_in)
        return self._node(
            "Conv",
            [x.name, self._constant(f"{name}/weight", weight)],
            channels,
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
        )

    def conv_bias(self, x, name, channels):
        shape = (channels, x.channels, 1, 1)
        weight = self._weights.normal(f"{name}/weight", shape, 1 / x.channels)
        bias = self._weights.zeros(f"{name}/bias", (channels,))
        inputs = [
            x.name,
            self._constant(f"{name}/weight", weight),
            self._constant(f"{name}/bias", bias),
        ]
        return self._node("Conv", inputs, channels, name, kernel_shape=[1, 1])

    def up(self, x, name, channels):
        shape = (x.channels, channels, 2, 2)
        weight = self._weights.normal(f"{name}/weight", shape, 1 / x.channels)
        bias = self._weights.zeros(f"{name}/bias", (channels,))
        inputs = [
            x.name,
            self._constant(f"{name}/weight", weight),
            self._constant(f"{name}/bias", bias),
        ]
        return self._node(
            "ConvTranspose", inputs, channels, name, kernel_shape=[2, 2], strides=[2, 2]
        )

    def norm(self, x, name, gain=1.0):
        values = self._weights.norm(name, x.channels, gain)
        fields = ("scale", "shift", "mean", "variance")
        inputs = [x.name]
        for field, value in zip(fields, values):
            inputs.append(self._constant(f"{name}/{field}", value))
        return self._node("BatchNormalization", inputs, x.channels, name, epsilon=1e-5)

    def relu(self, x):
        return self._node("Relu", [x.name], x.channels)

    def add(self, x, y):
        return self._node("Add", [x.name, y.name], x.channels)

    def concat(self, values):
        channels = sum(v.channels for v in values)
        return self._node("Concat", [v.name for v in values], channels, axis=1)

    def channels(self, x):
        return x.channels

    def max_pool(self, x, kernel, stride):
        return self._node(
            "MaxPool",
            [x.name],
            x.channels,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[(kernel - 1) // 2] * 4,
        )

    def average_pool(self, x):
        return self._node("AveragePool", [x.name], x.channels, kernel_shape=[2, 2], strides=[2, 2])

    def global_pool(self, x):
        pooled = self._node("GlobalAveragePool", [x.name], x.channels)
        return self._node("Flatten", [pooled.name], x.channels, axis=1)

    def linear(self, x, name, features):
        # A tenth of the variance: a thousand classes then share the probability.
        variance = 0.1 / x.channels
        weight = self._weights.normal(f"{name}/weight", (features, x.channels), variance)
        bias = self._weights.zeros(f"{name}/bias", (features,))
        inputs = [
            x.name,
            self._constant(f"{name}/weight", weight),
            self._constant(f"{name}/bias", bias),
        ]
        return self._node("Gemm", inputs, features, name, transB=1)

    def softmax(self, x):
        return self._node("Softmax", [x.name], x.channels, axis=1)
