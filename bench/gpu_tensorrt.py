#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TensorRT on a real GPU: plans made by `nereid build`, their answers beside PyTorch's, the bare engine's speed, a server on the
same plans beside it, and GPU memory over loads.

Needs a GPU, PyTorch with CUDA and the onnx package in the interpreter that runs it, TensorRT's libraries, a build with a shim for
them, and build/bench/trt_bare. Prints what it measured and exits with 1 when an answer was wrong.
    python3 bench/gpu_tensorrt.py --prefix build --tensorrt DIR [--only small,resnet,unet] [--loads 200]
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn

# TensorRT 8.5 on a GPU of a later day: its own convolutions alone.
TACTICS = "-CUBLAS,-CUBLAS_LT,-CUDNN,+EDGE_MASK_CONVOLUTIONS,+JIT_CONVOLUTIONS"


# ---- models: random weights, kept tame so that half precision can be compared ----

def conv(inputs, outputs, kernel=3, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(conv(3, 16, 3, 2), nn.ReLU(), conv(16, 32, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                                  nn.Linear(32, 10))

    def forward(self, x):
        return self.body(x)


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
        layers = [conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        inputs = 64
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

    def forward(self, x):
        kept = []
        for i, step in enumerate(self.down):
            x = step(x if i == 0 else nn.functional.max_pool2d(x, 2))
            kept.append(x)
        for i in reversed(range(len(self.up))):
            x = self.join[i](torch.cat([kept[i], self.up[i](x)], 1))
        return torch.sigmoid(self.last(x))


# name: class, picture size, largest batch, batches to measure
MODELS = {
    "small": (Small, 32, 32, (1, 8, 32)),
    "unet": (UNet, 256, 32, (1, 8, 32)),
    "resnet": (ResNet50, 224, 128, (1, 8, 32, 128)),
}


def calibrated(model, size):
    """Batch norms with the statistics of random pictures, so that activations stay near 1 through all layers."""
    model = model.cuda().train()
    with torch.no_grad():
        for _ in range(8):
            model(torch.rand(8, 3, size, size, device="cuda"))
    return model.eval()


class Bench:
    def __init__(self, args, root):
        self.args, self.root, self.right = args, root, True
        self.shims = args.prefix / "lib/nereid/backends/tensorrt"

    def check(self, what, good):
        print(f"{'ok   ' if good else 'WRONG'} {what}", flush=True)
        self.right &= bool(good)

    def export(self, name):
        kind, size, _, _ = MODELS[name]
        torch.manual_seed(1)
        model = calibrated(kind(), size)
        path = self.root / f"{name}.onnx"
        torch.onnx.export(model, torch.rand(2, 3, size, size, device="cuda"), str(path), input_names=["input"], output_names=["output"],
                          dynamic_axes={"input": {0: "n"}, "output": {0: "n"}}, opset_version=15, dynamo=False)
        return model, path

    def build(self, name, onnx, *options):
        _, size, largest, _ = MODELS[name]
        plan = self.root / name / "1/model.plan"
        plan.parent.mkdir(parents=True, exist_ok=True)
        shape = f"3x{size}x{size}"
        command = [self.args.prefix / "bin/nereid", "build", f"--onnx={onnx}", f"--saveEngine={plan}", f"--tensorrt={self.args.tensorrt}",
                   f"--minShapes=input:1x{shape}", f"--optShapes=input:{min(8, largest) if name != 'resnet' else 32}x{shape}",
                   f"--maxShapes=input:{largest}x{shape}", f"--tacticSources={TACTICS}", "--workspace=2G",
                   f"--timingCacheFile={self.root / 'timing.cache'}", *options]
        begin = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        print(done.stdout.strip()[-3000:])
        self.check(f"{name}: nereid build {' '.join(options)} in {time.monotonic() - begin:.1f} s", done.returncode == 0)
        return plan if done.returncode == 0 else None

    def bare(self, name, plan, batch, *options):
        size = MODELS[name][1]
        command = [self.args.bare, plan, "--shims", self.shims, "--tensorrt", self.args.tensorrt, "--dims", f"input:{batch}x3x{size}x{size}",
                   *options]
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            print(done.stderr[-2000:])
            self.check(f"{name}: bare engine", False)
            return None
        return json.loads(done.stdout)

    def compare(self, name, plan, model):
        _, size, largest, _ = MODELS[name]
        for batch in (1, min(5, largest)):
            x = torch.rand(batch, 3, size, size, device="cuda")
            with torch.no_grad():
                expected = model(x).float().cpu().numpy()
            (self.root / "in").write_bytes(x.cpu().numpy().tobytes())
            if self.bare(name, plan, batch, "--input", f"input={self.root / 'in'}", "--output", f"output={self.root / 'out'}") is None:
                return
            got = np.frombuffer((self.root / "out").read_bytes(), np.float32).reshape(expected.shape)
            scale = np.abs(expected).max()
            worst = np.abs(got - expected).max() / scale
            # Half precision keeps 11 bits; rounding adds up over the layers.
            self.check(f"{name}: batch {batch}: plan against PyTorch fp32, largest difference {worst:.5f} of {scale:.3f} (limit 0.02)",
                       worst < 0.02)

    def speed(self, name, plan):
        for batch in MODELS[name][3]:
            count = max(50, 400 // batch)
            plain = self.bare(name, plan, batch, "--iterations", str(count))
            graph = self.bare(name, plan, batch, "--iterations", str(count), "--graph")
            if plain and graph:
                print(f"      {name}: batch {batch}: bare {plain['ms']:.3f} ms, latency {plain['latency_ms']:.3f}; "
                      f"as a CUDA graph {graph['ms']:.3f} ms, latency {graph['latency_ms']:.3f}", flush=True)

    def loads(self, name, plan):
        found = self.bare(name, plan, 1, "--loads", str(self.args.loads))
        if found:
            lost = found["free_after_first"] - found["free_after_last"]
            self.check(f"{name}: {self.args.loads} loads by the shim: {lost / 1e6:.1f} MB of GPU memory lost since the first", lost < 4e6)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--tensorrt", type=pathlib.Path, required=True)
    parser.add_argument("--bare", type=pathlib.Path, help="the program trt_bare; that of the prefix when not given")
    parser.add_argument("--only", default="small,unet,resnet")
    parser.add_argument("--loads", type=int, default=200)
    args = parser.parse_args()
    args.bare = args.bare or args.prefix / "bench/trt_bare"
    print(f"{torch.cuda.get_device_name(0)}, PyTorch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, pathlib.Path(folder))
        for name in args.only.split(","):
            model, onnx = bench.export(name)
            plan = bench.build(name, onnx, "--fp16")
            if plan is None:
                continue
            bench.compare(name, plan, model)
            bench.speed(name, plan)
            if name == "small" and args.loads:
                bench.loads(name, plan)
        print("all right" if bench.right else "SOMETHING WAS WRONG")
    return 0 if bench.right else 1


if __name__ == "__main__":
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    sys.exit(main())
