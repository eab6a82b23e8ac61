# SPDX-License-Identifier: Apache-2.0
"""The networks of the proofs, in plain PyTorch, and their files: TorchScript, ONNX, TensorRT plans. No pretrained weights and no torchvision.

Weights are random but well conditioned: batch norms carry the statistics of random pictures, so that activations keep their scale
through all layers and half precision can be compared. A precision is "fp32" or "fp16"; in "fp16" weights, inputs and outputs are
half. Files are kept in Files.folder, so that a second program finds those of the first; they appear whole, so that two may run at once.
"""

import contextlib
import copy
import os
import pathlib
import subprocess
import sys
import time
import warnings

import numpy as np
import torch
from torch import nn

from common import PREFIX

INPUT, OUTPUT = "INPUT__0", "OUTPUT__0"
# cuBLAS and cuDNN of the release that TensorRT 8.5 wants are not on newer machines; its own kernels do.
TACTICS = "-CUBLAS,-CUBLAS_LT,-CUDNN,+EDGE_MASK_CONVOLUTIONS,+JIT_CONVOLUTIONS"


def conv(inputs, outputs, kernel=3, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.body = nn.Sequential(conv(inputs, width, 1), nn.ReLU(), conv(width, width, 3, stride), nn.ReLU(), conv(width, 4 * width, 1))
        self.skip = conv(inputs, 4 * width, 1, stride) if stride != 1 or inputs != 4 * width else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.skip(x))


class ResNet50(nn.Module):
    def __init__(self):
        super().__init__()
        layers, inputs = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for i in range(count):
                layers.append(Bottleneck(inputs, width, stride if i == 0 else 1))
                inputs = 4 * width
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))

    def forward(self, x):
        return self.body(x)


class UNet(nn.Module):
    def __init__(self, widths=(32, 64, 128, 256)):
        super().__init__()

        def double(inputs, outputs):
            return nn.Sequential(conv(inputs, outputs), nn.ReLU(), conv(outputs, outputs), nn.ReLU())
        self.down = nn.ModuleList([double(a, b) for a, b in zip((3, *widths), widths)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(b, a, 2, 2) for a, b in zip(widths, widths[1:])])
        self.join = nn.ModuleList([double(2 * a, a) for a in widths[:-1]])
        self.last = nn.Conv2d(widths[0], 1, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        kept = []
        for i, step in enumerate(self.down):
            x = step(x if i == 0 else self.pool(x))
            kept.append(x)
        i = len(self.up)
        for up, join in zip(reversed(self.up), reversed(self.join)):
            i -= 1
            x = join(torch.cat([kept[i], up(x)], 1))
        return torch.sigmoid(self.last(x))


class DenseLayer(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, 128, 1, bias=False),
                                  nn.BatchNorm2d(128), nn.ReLU(), nn.Conv2d(128, 32, 3, 1, 1, bias=False))

    def forward(self, x):
        return torch.cat([x, self.body(x)], 1)


class DenseNet121(nn.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
        for count in (6, 12, 24, 16):
            for _ in range(count):
                layers.append(DenseLayer(channels))
                channels += 32
            if count != 16:
                layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
                channels //= 2
        self.body = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))

    def forward(self, x):
        return self.body(x)


class Small(nn.Module):
    """For loads and unloads, where a large network would only take longer."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv(3, 32), nn.ReLU(), conv(32, 64, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x):
        return self.body(x)


# class, picture size, shape of a row's output
NETWORKS = {
    "resnet": (ResNet50, 224, (1000,)),
    "unet": (UNet, 256, (1, 256, 256)),
    "densenet": (DenseNet121, 224, (1000,)),
    "small": (Small, 64, (10,)),
}


def pictures(name, batch, precision="fp32", seed=1):
    """Coarse patches with noise on them, from 0 to 1: pictures that differ in more than their noise."""
    size = NETWORKS[name][1]
    random = np.random.default_rng(seed)
    coarse = random.random((batch, 3, 8, 8), np.float32).repeat(size // 8, 2).repeat(size // 8, 3)
    x = 0.7 * coarse + 0.3 * random.random((batch, 3, size, size), np.float32)
    return x.astype(np.float16) if precision == "fp16" else x


def out_shape(name, batch):
    return (batch, *NETWORKS[name][2])


def device():
    return "cuda" if torch.cuda.is_available() else "cpu"


def network(name):
    """The network in fp32, evaluated, on the GPU if there is one."""
    kind = NETWORKS[name][0]
    torch.manual_seed(1)
    made = kind().to(device()).train()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over all that is shown
    rounds, rows = (8, 16) if device() == "cuda" else (1, 4)
    with torch.no_grad():
        for i in range(rounds):
            made(torch.from_numpy(pictures(name, rows, seed=100 + i)).to(device()))
    made.eval()
    # The last layer's output gets a spread of about 1, so that a difference means the same in each network.
    last = made.last if isinstance(made, UNet) else made.body[-1]
    with torch.no_grad():
        seen = []
        handle = last.register_forward_hook(lambda _module, _given, result: seen.append(result))
        made(torch.from_numpy(pictures(name, 4, seed=200)).to(device()))
        handle.remove()
        scale = 1 / seen[0].std()
        last.weight.mul_(scale)
        last.bias.sub_(seen[0].mean()).mul_(scale)
    return made


class Files:
    """Model files, made when they are first asked for."""

    def __init__(self, folder=None, log=print):
        self.folder = pathlib.Path(folder or os.environ.get("NEREID_MODELS", "/tmp/nereid-models"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log, self.networks = log, {}

    @contextlib.contextmanager
    def _new(self, path):
        """A name beside `path` to write to, which becomes `path` if nothing goes wrong."""
        beside = path.with_name(f"{os.getpid()}.{path.name}")
        try:
            yield beside
            beside.rename(path)
        finally:
            beside.unlink(missing_ok=True)

    def network(self, name):
        if name not in self.networks:
            path = self.folder / f"{name}.weights"
            if not path.exists():
                with self._new(path) as file:
                    torch.save(network(name).state_dict(), file)
            made = NETWORKS[name][0]().to(device()).eval()
            made.load_state_dict(torch.load(path, map_location=device()))  # those of the file, whoever wrote it
            self.networks[name] = made
        return self.networks[name]

    def reference(self, name, x):
        """What PyTorch makes of `x` in fp32, without TF32."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        found, made = [], self.network(name)
        with torch.no_grad():
            for begin in range(0, len(x), 16):
                found.append(made(torch.from_numpy(x[begin:begin + 16].astype(np.float32)).to(device())).cpu().numpy())
        return np.concatenate(found)

    def _typed(self, name, precision):
        made = copy.deepcopy(self.network(name))
        x = torch.rand(2, 3, NETWORKS[name][1], NETWORKS[name][1], device=device())
        return (made.half(), x.half()) if precision == "fp16" else (made, x)

    def torchscript(self, name, precision="fp32"):
        path = self.folder / f"{name}-{precision}.pt"
        if not path.exists():
            made, x = self._typed(name, precision)
            with torch.no_grad(), self._new(path) as file:
                torch.jit.trace(made, x, check_trace=False).cpu().save(str(file))
        return path

    def onnx(self, name, precision="fp32"):
        path = self.folder / f"{name}-{precision}.onnx"
        if not path.exists():
            made, x = self._typed(name, precision)
            options = {} if tuple(int(n) for n in torch.__version__.split(".")[:2]) < (2, 5) else {"dynamo": False}
            with warnings.catch_warnings(), self._new(path) as file:
                warnings.simplefilter("ignore")
                torch.onnx.export(made, x, str(file), input_names=[INPUT], output_names=[OUTPUT], opset_version=15,
                                  dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}}, **options)
        return path

    def plan(self, name, precision="fp32", largest=None, best=None, tensors=None):
        """A TensorRT plan by `nereid build`; its inputs and outputs are `tensors`, by default of that precision. Raises RuntimeError with
        what build said."""
        tensors = tensors or precision
        largest = largest or {"resnet": 128, "unet": 32}.get(name, 32)
        best = best or min(32, largest)
        path = self.folder / f"{name}-{precision}-{tensors}-{largest}-{best}.plan"
        if not path.exists():
            size = NETWORKS[name][1]
            shapes = [f"--{kind}Shapes={INPUT}:{n}x3x{size}x{size}" for kind, n in (("min", 1), ("opt", best), ("max", largest))]
            formats = [f"--inputIOFormats={tensors}:chw", f"--outputIOFormats={tensors}:chw"]
            options = ["--fp16"] if precision == "fp16" else ["--noTF32"]
            if os.environ.get("TRT_DIR"):
                options.append(f"--tensorrt={os.environ['TRT_DIR']}")
            begin = time.monotonic()
            with self._new(path) as file:
                command = [PREFIX / "bin/nereid", "build", f"--onnx={self.onnx(name)}", f"--saveEngine={file}", *shapes, *formats,
                           f"--tacticSources={TACTICS}", "--workspace=2G", f"--timingCacheFile={self.folder / 'timing.cache'}", *options]
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                if done.returncode != 0:
                    raise RuntimeError(done.stdout[-1500:].strip())
            self.log(f"nereid build: {name} {precision}, batch 1 to {largest}, tuned for {best}: {time.monotonic() - begin:.0f} s")
        return path


# framework: (line of the configuration, file name of a model, how it is made)
FRAMEWORKS = {
    "onnxruntime": ('platform: "onnxruntime_onnx"', "model.onnx", Files.onnx),
    "pytorch": ('platform: "pytorch_libtorch"', "model.pt", Files.torchscript),
    "tensorrt": ('platform: "tensorrt_plan"', "model.plan", Files.plan),
}
# PyTorch's profiling executor compiles kernels for DenseNet's many shapes for minutes, also in PyTorch alone.
UNOPTIMIZED = 'parameters { key: "DISABLE_OPTIMIZED_EXECUTION" value { string_value: "true" } }\n'


def missing(framework):
    """Why a framework cannot be served here; None if it can be tried."""
    if not (PREFIX / f"lib/nereid/backends/{framework}/libtriton_{framework}.so").exists():
        return f"this build has no {framework} backend"
    return None


def add_model(repository, files, framework, name, precision, batch, group, as_name=None, more=""):
    """Writes a model folder; `group` is what instance_group holds. Returns the model's name."""
    line, file, make = FRAMEWORKS[framework]
    as_name = as_name or f"{name}_{framework}"
    folder = pathlib.Path(repository) / as_name
    (folder / "1").mkdir(parents=True)
    made = make(files, name, precision)
    os.symlink(made, folder / "1" / file)
    kind = "TYPE_FP16" if precision == "fp16" else "TYPE_FP32"
    size = NETWORKS[name][1]
    if framework == "pytorch" and name == "densenet":
        more += UNOPTIMIZED
    (folder / "config.pbtxt").write_text(
        f'name: "{as_name}"\n{line}\nmax_batch_size: {batch}\n'
        f'input {{ name: "{INPUT}" data_type: {kind} dims: [ 3, {size}, {size} ] }}\n'
        f'output {{ name: "{OUTPUT}" data_type: {kind} dims: {list(NETWORKS[name][2])} }}\n'
        f"instance_group {{ {group} }}\n{more}")
    return as_name


if __name__ == "__main__":
    sys.exit("models.py is a library of the programs beside it")
