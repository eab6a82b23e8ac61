# SPDX-License-Identifier: Apache-2.0
"""The three models by name: architecture, input, outputs, and the folder a server reads.

SMALL are the trained ones in models/, FULL_SIZE the ones that benchmarks use. Both use the
folder names and batch sizes that a three-GPU Triton repository is commonly shown with.
Start at build().
"""

from dataclasses import dataclass, field
from pathlib import Path

import labels
import networks
import onnx
from onnx_graph import OnnxBuilder


@dataclass
class Model:
    """One model of the repository.

    name: folder and model name. network: "unet", "resnet" or "densenet", with its arguments.
    size: side of the picture. mean, std: of the pictures' channels, applied inside the network.
    output: name of the probabilities. labels: names of the classes, or None.
    per_pixel: the output is a map, [classes, size, size], not [classes].
    features: name of a second output with the last layer's input, or None.
    """

    name: str
    network: str
    arguments: dict
    size: int
    max_batch_size: int
    output: str
    classes: int
    labels: list = None
    per_pixel: bool = False
    features: str = None
    mean: list = field(default_factory=lambda: [0.33, 0.33, 0.32])
    std: list = field(default_factory=lambda: [0.20, 0.19, 0.19])


SMALL = {
    "unet": Model(
        name="unet_model",
        network="unet",
        arguments={"widths": [16, 32, 48, 64, 96]},
        size=labels.PICTURE_SIZE,
        max_batch_size=8,
        output="region_probabilities",
        classes=len(labels.REGIONS),
        labels=labels.REGIONS,
        per_pixel=True,
    ),
    "resnet": Model(
        name="resnet_model",
        network="resnet",
        arguments={"blocks": [2, 2, 2, 2], "width": 16, "bottleneck": False},
        size=labels.PICTURE_SIZE,
        max_batch_size=16,
        output="kind_probabilities",
        classes=len(labels.KINDS),
        labels=labels.KINDS,
    ),
    "densenet": Model(
        name="densenet_model",
        network="densenet",
        arguments={"blocks": [4, 6, 8, 6], "growth": 12, "width": 24},
        size=labels.PICTURE_SIZE,
        max_batch_size=32,
        output="finish_probabilities",
        classes=len(labels.FINISHES),
        labels=labels.FINISHES,
        features="features",
    ),
}

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

FULL_SIZE = {
    "unet": Model(
        name="unet_model",
        network="unet",
        arguments={"widths": [64, 128, 256, 512, 1024]},
        size=256,
        max_batch_size=8,
        output="region_probabilities",
        classes=5,
        per_pixel=True,
        **_IMAGENET,
    ),
    "resnet50": Model(
        name="resnet_model",
        network="resnet",
        arguments={"blocks": [3, 4, 6, 3], "width": 64, "bottleneck": True},
        size=224,
        max_batch_size=16,
        output="class_probabilities",
        classes=1000,
        **_IMAGENET,
    ),
    "densenet121": Model(
        name="densenet_model",
        network="densenet",
        arguments={"blocks": [6, 12, 24, 16], "growth": 32, "width": 64},
        size=224,
        max_batch_size=32,
        output="class_probabilities",
        classes=1000,
        **_IMAGENET,
    ),
}


def logits(model, net, x):
    """Runs the model's network on a builder. Returns (logits, features or None)."""
    x = net.scale_pictures(x, model.mean, model.std)
    result = getattr(networks, model.network)(net, x, model.classes, **model.arguments)
    return result if isinstance(result, tuple) else (result, None)


def build(model, weights):
    """The ModelProto of a model. weights: onnx_graph.Random or onnx_graph.Trained."""
    net = OnnxBuilder(weights)
    x = net.input("image", 3, model.size, model.size)
    scores, features = logits(model, net, x)
    dims = [model.classes] + [model.size, model.size] * model.per_pixel
    net.output(net.softmax(scores), model.output, dims)
    if model.features:
        net.output(features, model.features, [features.channels])
    return net.model(model.name, f"{model.network}, RGB picture / 255 in, probabilities out")


def _tensor_config(name, dims, extra=""):
    shape = ", ".join(str(d) for d in dims)
    return f'  {{\n    name: "{name}"\n    data_type: TYPE_FP32\n    dims: [ {shape} ]\n{extra}  }}'


def config_text(model, proto):
    """The config.pbtxt of a model with the graph proto."""
    inputs = [_tensor_config("image", [3, model.size, model.size])]
    outputs = []
    for value in proto.graph.output:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim[1:]]
        classifies = value.name == model.output and model.labels and not model.per_pixel
        extra = '    label_filename: "labels.txt"\n' if classifies else ""
        outputs.append(_tensor_config(value.name, dims, extra))
    return (
        f'name: "{model.name}"\n'
        'platform: "onnxruntime_onnx"\n'
        f"max_batch_size: {model.max_batch_size}\n"
        "input [\n" + ",\n".join(inputs) + "\n]\n"
        "output [\n" + ",\n".join(outputs) + "\n]\n"
        "instance_group {\n"
        "  kind: KIND_AUTO   # GPUs where there are any, else the CPU\n"
        "  count: 1\n"
        "}\n"
    )


def write(model, proto, repository):
    """Writes a model's folder into the repository; returns the path of its ONNX file."""
    folder = Path(repository) / model.name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    path = folder / "1" / "model.onnx"
    onnx.save(proto, path)
    (folder / "config.pbtxt").write_text(config_text(model, proto))
    if model.labels:
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in model.labels))
    return path
