#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch models on a real GPU, by the server and by a graph: right answers, three models at once, CUDA shared memory, memory over loads.

Needs a GPU, PyTorch with CUDA and torchvision in the interpreter that runs it, and a build whose pytorch backend was made
against that PyTorch (make TORCH=.../torch). Prints what it measured and exits with 1 when an answer was wrong.
    python3 bench/gpu_pytorch.py --prefix build [--loads 200]
"""

import argparse
import base64
import ctypes
import glob
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import numpy as np
import torch
import torchvision

CONFIG = """name: "{name}"
platform: "pytorch_libtorch"
max_batch_size: 64
input {{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ 3, {size}, {size} ] }}
output {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: {dims} }}
instance_group {{ kind: KIND_GPU count: 1 gpus: [ 0 ] }}
{more}
"""
# PyTorch's profiling executor compiles kernels for DenseNet's many shapes for minutes, also in PyTorch alone.
UNOPTIMIZED = 'parameters { key: "DISABLE_OPTIMIZED_EXECUTION" value { string_value: "true" } }'
GRAPH = """operators:
  source: {{type: PatternSourceOp, parameters: {{width: 640, height: 480, count: 200, out_tensor_name: picture}}}}
  converter:
    type: FormatConverterOp
    parameters: {{out_tensor_name: image, out_dtype: float32, resize_width: 224, resize_height: 224, out_layout: chw}}
  models:
    type: InferenceOp
    parameters:
      model_path_map: {{resnet_model: {root}/resnet_model, densenet_model: {root}/densenet_model}}
      pre_processor_map: {{resnet_model: [image], densenet_model: [image]}}
      inference_map: {{resnet_model: [kind], densenet_model: [finish]}}
      gpu_fallback: none
      max_in_flight: 4
  report: {{type: ReportSinkOp}}
flows: [source -> converter -> models -> report]
"""


class Bench:
    def __init__(self, prefix, root):
        self.prefix, self.root, self.right, self.networks, self.port = prefix, root, True, {}, 18000

    def add(self, name, network, size, dims, more=""):
        folder = self.root / name / "1"
        folder.mkdir(parents=True)
        network = network.eval()
        torch.jit.trace(network, torch.rand(1, 3, size, size)).save(str(folder / "model.pt"))
        (self.root / name / "config.pbtxt").write_text(CONFIG.format(name=name, size=size, dims=dims, more=more))
        self.networks[name] = (network.cuda(), size)

    def http(self, path, data=None, headers=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def start(self):
        self.log = open(self.root.parent / "server.log", "w")
        begin = time.monotonic()
        self.server = subprocess.Popen(
            [self.prefix / "bin/tritonserver", f"--model-repository={self.root}", "--model-control-mode=explicit", "--load-model=*",
             "--allow-client-shm=true", f"--http-port={self.port}", "--allow-grpc=false", f"--metrics-port={self.port + 2}"],
            stdout=self.log, stderr=self.log)
        while time.monotonic() - begin < 120:
            try:
                if self.http("/v2/health/ready")[0] == 200:
                    print(f"ready after {time.monotonic() - begin:.1f} s")
                    return
            except OSError:
                pass
            if self.server.poll() is not None:
                break
            time.sleep(0.05)
        sys.exit((self.root.parent / "server.log").read_text()[-3000:])

    def infer(self, name, x):
        head = json.dumps({"inputs": [{"name": "INPUT__0", "datatype": "FP32", "shape": list(x.shape),
                                       "parameters": {"binary_data_size": x.nbytes}}], "parameters": {"binary_data_output": True}}).encode()
        status, headers, body = self.http(f"/v2/models/{name}/infer", head + x.tobytes(), {"Inference-Header-Content-Length": str(len(head))})
        if status != 200:
            sys.exit(f"{name}: {body.decode()}")
        length = int(headers["Inference-Header-Content-Length"])
        return np.frombuffer(body[length:], np.float32).reshape(json.loads(body[:length])["outputs"][0]["shape"])

    def compare(self, what, got, network, x):
        with torch.inference_mode():
            want = network(torch.from_numpy(x).cuda()).cpu().numpy()
        difference = np.linalg.norm(got - want) / np.linalg.norm(want)
        self.right &= bool(difference < 1e-3)
        print(f"{what}: relative difference to PyTorch on the same GPU {difference:.1e}")

    def all_at_once(self):
        def loop(name, size):
            x = np.random.rand(1, 3, size, size).astype(np.float32)
            begin = time.monotonic()
            for _ in range(50):
                self.infer(name, x)
            print(f"  {name}: {50 / (time.monotonic() - begin):.0f} requests/s over HTTP, one client, while all run")
        threads = [threading.Thread(target=loop, args=(name, size)) for name, (_, size) in self.networks.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def shared_memory(self, rounds=400):
        site = pathlib.Path(torch.__file__).parent.parent
        runtime = ctypes.CDLL(glob.glob(str(site / "nvidia/**/libcudart.so*"), recursive=True)[0])

        def allocate(size):
            pointer, handle = ctypes.c_void_p(), (ctypes.c_char * 64)()
            assert runtime.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)) == 0
            assert runtime.cudaIpcGetMemHandle(handle, pointer) == 0
            return pointer, bytes(handle)
        network, size = self.networks["resnet_model"]
        x = np.random.rand(8, 3, size, size).astype(np.float32)
        y = np.zeros((8, 1000), np.float32)
        into, into_handle = allocate(x.nbytes)
        out, out_handle = allocate(y.nbytes)
        assert runtime.cudaMemcpy(into, x.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(x.nbytes), 1) == 0
        for name, handle, length in (("in", into_handle, x.nbytes), ("out", out_handle, y.nbytes)):
            status, _, body = self.http(f"/v2/cudasharedmemory/region/{name}/register", json.dumps(
                {"raw_handle": {"b64": base64.b64encode(handle).decode()}, "device_id": 0, "byte_size": length}).encode())
            assert status == 200, body
        request = json.dumps({
            "inputs": [{"name": "INPUT__0", "datatype": "FP32", "shape": list(x.shape),
                        "parameters": {"shared_memory_region": "in", "shared_memory_byte_size": x.nbytes}}],
            "outputs": [{"name": "OUTPUT__0", "parameters": {"shared_memory_region": "out", "shared_memory_byte_size": y.nbytes}}]}).encode()
        status, _, body = self.http("/v2/models/resnet_model/infer", request)
        assert status == 200, body
        runtime.cudaMemcpy(y.ctypes.data_as(ctypes.c_void_p), out, ctypes.c_size_t(y.nbytes), 2)
        self.compare("ResNet-50 by CUDA shared memory", y, network, x)

        def client():
            for _ in range(rounds // 4):
                self.http("/v2/models/resnet_model/infer", request)
        threads = [threading.Thread(target=client) for _ in range(4)]
        begin = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        served = 8 * rounds / (time.monotonic() - begin)
        module = torch.jit.load(str(self.root / "resnet_model/1/model.pt")).cuda().eval()
        batch = torch.from_numpy(x).cuda()
        with torch.inference_mode():
            for _ in range(20):
                module(batch)
            torch.cuda.synchronize()
            begin = time.monotonic()
            for _ in range(rounds):
                module(batch)
            torch.cuda.synchronize()
        bare = 8 * rounds / (time.monotonic() - begin)
        print(f"ResNet-50 FP32, batch 8: served by CUDA shared memory {served:.0f} pictures/s, the bare TorchScript loop {bare:.0f}: {served / bare:.2f}")

    def loads(self, count):
        def used():
            return int(subprocess.check_output(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]).split()[0])
        x = np.random.rand(1, 3, 224, 224).astype(np.float32)
        mib = []
        for _ in range(count):
            self.http("/v2/repository/models/densenet_model/unload", b"{}")
            while self.http("/v2/models/densenet_model/ready")[0] == 200:
                time.sleep(0.01)
            status, _, body = self.http("/v2/repository/models/densenet_model/load", b"{}")
            assert status == 200, body
            self.infer("densenet_model", x)
            mib.append(used())
        print(f"MiB of the GPU in use after every tenth of {count} loads: {mib[::max(1, count // 10)]}")

    def graph(self):
        path = self.root.parent / "graph.yaml"
        path.write_text(GRAPH.format(root=self.root))
        done = subprocess.run([self.prefix / "bin/nereid", "run", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        print(done.stdout)
        self.right &= done.returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefix", type=pathlib.Path, required=True)
    parser.add_argument("--loads", type=int, default=200)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(1)
    print(torch.cuda.get_device_name(0), "PyTorch", torch.__version__, "processors", os.cpu_count())
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.prefix.resolve(), pathlib.Path(folder) / "models")
        bench.add("resnet_model", torchvision.models.resnet50(), 224, "[ 1000 ]")
        bench.add("densenet_model", torchvision.models.densenet121(), 224, "[ 1000 ]", UNOPTIMIZED)
        bench.add("small_model", torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 5, 1)),
                  256, "[ 5, 256, 256 ]")
        bench.start()
        for name, (network, size) in bench.networks.items():
            x = np.random.rand(4, 3, size, size).astype(np.float32)
            bench.compare(name, bench.infer(name, x), network, x)
        bench.all_at_once()
        bench.shared_memory()
        bench.loads(args.loads)
        bench.server.terminate()
        bench.right &= bench.server.wait(60) == 0
        bench.graph()
    print("all answers right" if bench.right else "SOMETHING WAS WRONG")
    return 0 if bench.right else 1


if __name__ == "__main__":
    sys.exit(main())
