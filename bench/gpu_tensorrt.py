#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TensorRT on a real GPU: plans made by `nereid build`, their answers beside PyTorch's, the bare engine's speed, a server on the
same plans beside it, and GPU memory over loads.

Needs a GPU, PyTorch with CUDA and the onnx package in the interpreter that runs it, TensorRT's libraries, a build with a shim for
them, and build/bench/trt_bare. Prints what it measured and exits with 1 when an answer was wrong.
    python3 bench/gpu_tensorrt.py --prefix build --tensorrt DIR [--only small,resnet,unet] [--loads 200]
"""

import argparse
import base64
import ctypes
import glob
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

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


CONFIG = """name: "{name}"
platform: "tensorrt_plan"
max_batch_size: {largest}
input {{ name: "input" data_type: TYPE_FP32 dims: [ 3, {size}, {size} ] }}
output {{ name: "output" data_type: TYPE_FP32 dims: {dims} }}
instance_group {{ kind: KIND_GPU count: 1 gpus: [ 0 ] }}
{more}
"""

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
        size = MODELS[name][1]
        for batch in (1, 5):
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
        found = {}, {}
        for batch in MODELS[name][3]:
            count = max(50, 400 // batch)
            plain = self.bare(name, plan, batch, "--iterations", str(count))
            graph = self.bare(name, plan, batch, "--iterations", str(count), "--graph")
            if plain and graph:
                print(f"      {name}: batch {batch}: bare {plain['ms']:.3f} ms, latency {plain['latency_ms']:.3f}; "
                      f"as a CUDA graph {graph['ms']:.3f} ms, latency {graph['latency_ms']:.3f}", flush=True)
                found[0][batch], found[1][batch] = plain, graph
        return found

    def loads(self, name, plan):
        found = self.bare(name, plan, 1, "--loads", str(self.args.loads))
        if found:
            lost = found["free_after_first"] - found["free_after_last"]
            self.check(f"{name}: {self.args.loads} loads by the shim: {lost / 1e6:.1f} MB of GPU memory lost since the first", lost < 4e6)


    # ---- served ----

    def add(self, served, name, plan, file="model.plan", config=True, more=""):
        _, size, largest, _ = MODELS[name]
        folder = self.root / "models" / served
        (folder / "1").mkdir(parents=True)
        shutil.copy(plan, folder / "1" / file)
        if config:
            dims = f"[ 1, {size}, {size} ]" if name == "unet" else "[ 1000 ]" if name == "resnet" else "[ 10 ]"
            (folder / "config.pbtxt").write_text(CONFIG.format(name=served, largest=largest, size=size, dims=dims, more=more))

    def http(self, path, data=None, headers=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def start(self, *options):
        self.port = 18100
        log = open(self.root / "server.log", "w", encoding="utf-8")
        begin = time.monotonic()
        self.server = subprocess.Popen(
            [self.args.prefix / "bin/tritonserver", f"--model-repository={self.root / 'models'}", "--model-control-mode=explicit",
             "--load-model=*", "--allow-client-shm=true", f"--http-port={self.port}", "--allow-grpc=false", f"--metrics-port={self.port + 2}",
             f"--backend-config=tensorrt,library-path={self.args.tensorrt}", *options], stdout=log, stderr=log)
        while time.monotonic() - begin < 100 and self.server.poll() is None:
            try:
                if self.http("/v2/health/ready")[0] == 200:
                    print(f"      server ready after {time.monotonic() - begin:.1f} s", flush=True)
                    return True
            except OSError:
                pass
            time.sleep(0.05)
        print((self.root / "server.log").read_text()[-4000:])
        self.check("the server starts", False)
        return False

    def stop(self):
        self.server.terminate()
        try:
            self.check("the server ends well", self.server.wait(30) == 0)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.check("the server ends", False)

    def infer(self, served, x):
        head = json.dumps({"inputs": [{"name": "input", "datatype": "FP32", "shape": list(x.shape),
                                       "parameters": {"binary_data_size": x.nbytes}}], "parameters": {"binary_data_output": True}}).encode()
        status, headers, body = self.http(f"/v2/models/{served}/infer", head + x.tobytes(), {"Inference-Header-Content-Length": str(len(head))})
        if status != 200:
            print(body.decode()[:1000])
            return None
        length = int(headers["Inference-Header-Content-Length"])
        return np.frombuffer(body[length:], np.float32).reshape(json.loads(body[:length])["outputs"][0]["shape"])

    def compare_served(self, served, model, size, what=""):
        for batch in (1, 3):
            x = np.random.rand(batch, 3, size, size).astype(np.float32)
            with torch.no_grad():
                want = model(torch.from_numpy(x).cuda()).float().cpu().numpy()
            got = self.infer(served, x)
            worst = None if got is None or got.shape != want.shape else np.abs(got - want).max() / np.abs(want).max()
            self.check(f"{served}{what}: batch {batch} over HTTP against PyTorch fp32, largest difference {worst} (limit 0.02)",
                       worst is not None and worst < 0.02)

    def compare_together(self, served, model, size):
        """Many clients at once: the dynamic batcher joins their requests, and each must get its own rows."""
        wrong = []
        pictures = np.random.rand(24, 1, 3, size, size).astype(np.float32)
        with torch.no_grad():
            want = model(torch.from_numpy(pictures[:, 0]).cuda()).float().cpu().numpy()

        def client(k):
            for _ in range(20):
                got = self.infer(served, pictures[k])
                if got is None or np.abs(got[0] - want[k]).max() > 0.02 * np.abs(want).max():
                    wrong.append(k)
        threads = [threading.Thread(target=client, args=(k,)) for k in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = json.loads(self.http(f"/v2/models/{served}/stats")[2])["model_stats"][0]
        self.check(f"{served}: 24 clients at once, {stats['inference_count']} answers in {stats['execution_count']} runs, {len(wrong)} wrong",
                   not wrong)

    def region(self, name, size):
        site = pathlib.Path(torch.__file__).parent.parent
        self.runtime = ctypes.CDLL(sorted(glob.glob(str(site / "nvidia/**/libcudart.so*"), recursive=True))[0])
        pointer, handle = ctypes.c_void_p(), (ctypes.c_char * 64)()
        assert self.runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0
        assert self.runtime.cudaIpcGetMemHandle(handle, pointer) == 0
        status, _, body = self.http(f"/v2/cudasharedmemory/region/{name}/register", json.dumps(
            {"raw_handle": {"b64": base64.b64encode(bytes(handle)).decode()}, "device_id": 0, "byte_size": size}).encode())
        assert status == 200, body
        return pointer

    def load(self, served, request, concurrency, seconds=2):
        (self.root / "request").write_bytes(b"POST /v2/models/%s/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                                            b"Content-Length: %d\r\n\r\n" % (served.encode(), len(request)) + request)
        done = subprocess.run([self.args.load, "http", "127.0.0.1", str(self.port), str(concurrency), str(seconds), self.root / "request"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            print(done.stderr)
            return None
        return json.loads(done.stdout)

    def served_speed(self, name, served, variants):
        _, size, largest, batches = MODELS[name]
        row_in, row_out = 12 * size * size, 4 * (size * size if name == "unet" else 1000 if name == "resnet" else 10)
        into, out = f"{name}_in", f"{name}_out"
        pointer = self.region(into, largest * row_in)
        self.region(out, largest * row_out)
        x = np.random.rand(largest, 3, size, size).astype(np.float32)
        assert self.runtime.cudaMemcpy(pointer, x.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(x.nbytes), 1) == 0
        for batch in batches:
            request = json.dumps({
                "inputs": [{"name": "input", "datatype": "FP32", "shape": [batch, 3, size, size],
                            "parameters": {"shared_memory_region": into, "shared_memory_byte_size": batch * row_in}}],
                "outputs": [{"name": "output", "parameters": {"shared_memory_region": out, "shared_memory_byte_size": batch * row_out}}]}).encode()
            for variant, bare in variants:
                found = [self.load(served + variant, request, concurrency) for concurrency in (1, 4)]
                if None in found:
                    self.check(f"{served + variant}: load", False)
                    continue
                ms = [f["seconds"] * 1e3 / max(1, f["requests"]) for f in found]
                errors = sum(f["errors"] for f in found)
                ratio = bare[batch]["ms"] / ms[1]
                self.check(f"{served + variant}: batch {batch}, CUDA shared memory: one client {found[0]['p50_us'] / 1e3:.3f} ms (bare "
                           f"{bare[batch]['latency_ms']:.3f}), four {ms[1]:.3f} ms a batch, bare {bare[batch]['ms']:.3f}: ratio {ratio:.3f}"
                           f"{' (goal 0.95)' if ratio < 0.95 else ''}, {errors} errors", errors == 0)

    def served_loads(self, served, model, size):
        def used():
            free, total = torch.cuda.mem_get_info()
            return (total - free) >> 20
        mib = []
        for _ in range(self.args.loads):
            self.http(f"/v2/repository/models/{served}/unload", b"{}")
            while self.http(f"/v2/models/{served}/ready")[0] == 200:
                time.sleep(0.002)
            status, _, body = self.http(f"/v2/repository/models/{served}/load", b"{}")
            if status != 200:
                self.check(f"{served}: load again: {body.decode()[:300]}", False)
                return
            self.infer(served, np.random.rand(1, 3, size, size).astype(np.float32))
            mib.append(used())
        quarter = len(mib) // 4
        self.check(f"{served}: MiB of the GPU in use after {len(mib)} loads by the server, every tenth: {mib[::max(1, len(mib) // 10)]}",
                   max(mib[3 * quarter:]) <= max(mib[:quarter + 1]) + 2)

    def serve(self, made):
        """made: {name: (model, plan, {batch: plain}, {batch: graph})}"""
        for name, (_, plan, _, _) in made.items():
            batches = "".join(f" graph_spec {{ batch_size: {b} }}" for b in MODELS[name][3])
            graphs = f"optimization {{ cuda {{ graphs: true{batches} }} }}"
            if name == "small":
                self.add("small_model", name, plan, config=False)
            else:
                self.add(f"{name}_model", name, plan, file="model.trt", more='default_model_filename: "model.trt"')
            self.add(f"{name}_fixed", name, plan)
            self.add(f"{name}_fixed_graphs", name, plan, more=graphs)
        if self.start():
            for name, (model, _, _, _) in made.items():
                self.compare_served(f"{name}_model", model, MODELS[name][1])
                self.compare_served(f"{name}_fixed_graphs", model, MODELS[name][1])
                self.compare_together(f"{name}_model", model, MODELS[name][1])
            if "small" in made:
                status, _, body = self.http("/v2/models/small_model/config")
                config = json.loads(body)
                self.check(f"small_model: completed configuration: {config['max_batch_size']}, {config['input']}, {config['output']}",
                           status == 200 and config["max_batch_size"] == 32 and config["input"][0]["dims"] == [3, 32, 32])
                self.served_loads("small_model", made["small"][0], 32)
            self.stop()
        shutil.rmtree(self.root / "models/small_model", ignore_errors=True)
        if self.args.load and self.start("--disable-auto-complete-config"):
            for name, (_, _, plain, graph) in made.items():
                self.served_speed(name, f"{name}_fixed", (("", plain), ("_graphs", graph)))
            self.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--tensorrt", type=pathlib.Path, required=True)
    parser.add_argument("--bare", type=pathlib.Path, help="the program trt_bare; that of the prefix when not given")
    parser.add_argument("--load", type=pathlib.Path, help="the program bench/load; that of the prefix when not given")
    parser.add_argument("--only", default="small,unet,resnet")
    parser.add_argument("--loads", type=int, default=200)
    args = parser.parse_args()
    args.prefix = args.prefix.resolve()
    args.tensorrt = args.tensorrt.resolve()
    args.bare = args.bare or args.prefix / "bench/trt_bare"
    args.load = args.load or args.prefix / "bench/load"
    args.load = args.load if args.load.exists() else print("**** no bench/load: speeds of the server are not measured ****")
    print(f"{torch.cuda.get_device_name(0)}, PyTorch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, pathlib.Path(folder))
        made = {}
        for name in args.only.split(","):
            model, onnx = bench.export(name)
            plan = bench.build(name, onnx, "--fp16")
            if plan is None:
                continue
            bench.compare(name, plan, model)
            made[name] = (model, plan, *bench.speed(name, plan))
            if name == "small" and args.loads:
                bench.loads(name, plan)
        bench.serve(made)
        print("all right" if bench.right else "SOMETHING WAS WRONG")
    return 0 if bench.right else 1


if __name__ == "__main__":
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    sys.exit(main())
