# SPDX-License-Identifier: Apache-2.0
"""Frameworks alone: a model file in a loop on one GPU, without a server. Inputs and outputs stay on the GPU.

Each function returns {"rate": runs a second, "ms": of a run, "output": array}, or raises Missing with the reason. `graph` asks for a
captured CUDA graph. Settings are each framework's defaults, TF32 in fp32 networks among them.
"""

import contextlib
import json
import os
import subprocess
import tempfile
import time

import numpy as np
import torch

from common import PREFIX
from models import INPUT, OUTPUT


class Missing(Exception):
    pass


def timed(run, finish, seconds, warm=10):
    """Runs a second of `run`, launched one after the other, waited for by `finish` at the end. Warms up by ten runs, or three long ones."""
    begin = time.perf_counter()
    for i in range(warm):
        run()
        if i >= 2 and time.perf_counter() - begin > 10 * seconds:
            break
    finish()
    count, begin = 0, time.perf_counter()
    chunk = 1
    while time.perf_counter() - begin < seconds:
        for _ in range(chunk):
            run()
        count += chunk
        finish()
        chunk = min(chunk * 2, 64)
    return count / (time.perf_counter() - begin)


def pytorch(path, x, seconds=1.0, graph=False, gpu=0, optimized=True):
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    where = f"cuda:{gpu}" if torch.cuda.is_available() else "cpu"
    if graph and where == "cpu":
        raise Missing("no GPU")
    module = torch.jit.load(str(path), map_location=where).eval()
    given = torch.from_numpy(x).to(where)
    wait = torch.cuda.synchronize if where != "cpu" else lambda: None
    current = torch.cuda.device(gpu) if where != "cpu" else contextlib.nullcontext()
    with torch.no_grad(), torch.jit.optimized_execution(optimized), current:
        run = lambda: module(given)  # noqa: E731
        if graph:
            # On a stream that is not the default one, as the capture will be: what is chosen or allocated for a stream is there then.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(5):
                    run()
            torch.cuda.current_stream().wait_stream(side)
            wait()
            captured = torch.cuda.CUDAGraph()
            with torch.cuda.graph(captured):
                result = module(given)
            rate = timed(captured.replay, wait, seconds)
        else:
            rate = timed(run, wait, seconds)
            result = run()
        wait()
    return {"rate": rate, "ms": 1e3 / rate, "output": result.cpu().numpy()}


def onnxruntime(path, x, seconds=1.0, graph=False, gpu=0, out_shape=None):
    try:
        return run_onnxruntime(path, x, seconds, graph, gpu, out_shape)
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):  # its exceptions have no class in common but Exception
            raise Missing(f"{type(error).__name__}: {error}") from error
        raise


def run_onnxruntime(path, x, seconds, graph, gpu, out_shape):
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise Missing(f"no Python package onnxruntime: {error}") from error
    cuda = torch.cuda.is_available()
    if cuda and "CUDAExecutionProvider" not in ort.get_available_providers():
        raise Missing("the onnxruntime of this Python has no CUDA in it")
    options = {"device_id": gpu, "enable_cuda_graph": "1" if graph else "0", "cudnn_conv_algo_search": "EXHAUSTIVE"}
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    session = ort.InferenceSession(str(path), settings, providers=[("CUDAExecutionProvider", options)] if cuda else ["CPUExecutionProvider"])
    if cuda and session.get_providers()[0] != "CUDAExecutionProvider":
        raise Missing("ONNX Runtime fell back to the processor")
    kind = "cuda" if cuda else "cpu"
    given = ort.OrtValue.ortvalue_from_numpy(x, kind, gpu)
    taken = ort.OrtValue.ortvalue_from_shape_and_type(list(out_shape), x.dtype.type, kind, gpu)
    binding = session.io_binding()
    binding.bind_ortvalue_input(INPUT, given)
    binding.bind_ortvalue_output(OUTPUT, taken)
    rate = timed(lambda: session.run_with_iobinding(binding), lambda: None, seconds)
    return {"rate": rate, "ms": 1e3 / rate, "output": taken.numpy()}


def tensorrt(path, x, seconds=1.0, graph=False, gpu=0, out_shape=None):
    """By bench/trt_bare, which has no server code in it but the shim."""
    if gpu != 0:
        raise Missing("bench/trt_bare runs on the first GPU")
    program = PREFIX / "bench/trt_bare"
    if not program.exists():
        raise Missing("bench/trt_bare is not built")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        x.tofile(f"{folder}/in")
        command = [program, path, "--shims", PREFIX / "lib/nereid/backends/tensorrt", "--dims", f"{INPUT}:{'x'.join(map(str, x.shape))}",
                   "--input", f"{INPUT}={folder}/in", "--output", f"{OUTPUT}={folder}/out"]
        if os.environ.get("TRT_DIR"):
            command += ["--tensorrt", os.environ["TRT_DIR"]]
        if graph:
            command.append("--graph")

        def run(iterations):
            done = subprocess.run([str(part) for part in (*command, "--iterations", iterations)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode != 0:
                raise Missing(done.stderr[-1000:].strip())
            return json.loads(done.stdout)
        first = run(20)
        found = run(max(20, int(1e3 * seconds / max(first["ms"], 1e-3))))
        output = np.fromfile(f"{folder}/out", x.dtype).reshape(out_shape)
    return {"rate": 1e3 / found["ms"], "ms": found["ms"], "output": output}


def loop(framework, path, x, out_shape, **more):
    if framework == "pytorch":
        return pytorch(path, x, **more)
    return {"onnxruntime": onnxruntime, "tensorrt": tensorrt}[framework](path, x, out_shape=out_shape, **more)
