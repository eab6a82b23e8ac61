#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The seed's repository, word for word, on this machine's GPUs: a U-Net as a TensorRT plan, a ResNet in ONNX, a DenseNet in
TorchScript, each configured for a GPU of its own, under `tritonserver --model-repository=/models --log-verbose=1`.

    python3 bench/gpu/seed.py [--repository /models] [--seconds 5] [--only unet_model,...] [--unoptimized] [--cpu]

With fewer than three GPUs --gpu-map=wrap is added: a GPU number that is not there becomes one that is (GPU 2 of two is GPU 0). Then
clients ask all three at once, and each answer is compared with that of the framework alone on the same file and with PyTorch in fp32.
The first requests of each size are waited for beforehand: on a GPU PyTorch compiles kernels for them, for a DenseNet over a minute a
size; --unoptimized adds DISABLE_OPTIMIZED_EXECUTION to its configuration, which then is not the seed's word for word.
Exit status 1 when an answer was wrong, 77 without a GPU (unless --cpu, which adds --gpu-fallback=cpu).
"""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import bare
import models
from common import PREFIX, Load, Report, Server, difference, gpu_count, grpc_request, need_gpus

GROUP = """instance_group {{
  kind: KIND_GPU
  count: 1
  gpus: [{gpu}]   # Assign to GPU {gpu}
}}
"""
# model: (framework, network, file, platform, max_batch_size, GPU)
SEED = {
    "unet_model": ("tensorrt", "unet", "model.trt", "tensorrt_plan", 8, 0),
    "resnet_model": ("onnxruntime", "resnet", "model.onnx", "onnxruntime_onnx", 16, 1),
    "densenet_model": ("pytorch", "densenet", "model.pt", "pytorch_libtorch", 32, 2),
}
# Against the framework alone: kernels are chosen anew in each process, and fp32 networks may use TF32 (11 bits, as fp16). Against
# PyTorch in fp32: for the plan, which is built with --fp16, rounding after every layer; for ResNet-50 of random weights by ONNX Runtime,
# which multiplies in TF32 unless told otherwise, as much (the framework alone is 2.3e-2 away on an H100).
ROWS = (1, 3)
ALONE, FP32 = 5e-3, {"unet_model": 3e-2, "resnet_model": 3e-2, "densenet_model": 5e-3}


class SeedServer(Server):
    """The seed's command line and nothing else but what `more` has; the ports are Triton's own, unless another first one is wanted."""

    def __init__(self, repository, port, more):  # pylint: disable=super-init-not-called
        self.name, self.http_port, self.grpc_port, self.metrics_port = "nereid", port, port + 1, port + 2
        if port != 8000:
            more = [*more, f"--http-port={port}", f"--grpc-port={port + 1}", f"--metrics-port={port + 2}"]
        with socket.socket() as other:
            if other.connect_ex(("127.0.0.1", port + 2)) == 0:
                sys.exit(f"something listens on port {port + 2} already: name another --port")
        self.log_file = open("/tmp/nereid-seed.log", "w+b")
        self.command = ["tritonserver", f"--model-repository={repository}", "--log-verbose=1", *more]
        path = f"{PREFIX / 'bin'}:{os.environ['PATH']}"
        self.process = subprocess.Popen(self.command, stdout=self.log_file, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path})
        self.wait_ready(300)



def write(repository, files, names, report, unoptimized):
    """The repository; returns {model: file}."""
    made = {}
    for model in names:
        framework, network, file, platform, batch, gpu = SEED[model]
        why = models.missing(framework)
        try:
            if why:
                raise RuntimeError(why)
            path = files.plan(network, "fp16", largest=batch, best=batch, tensors="fp32") if framework == "tensorrt" else \
                models.FRAMEWORKS[framework][2](files, network, "fp32")
        except RuntimeError as error:
            report.skip(f"{model}: {error}")
            continue
        folder = repository / model
        (folder / "1").mkdir(parents=True)
        shutil.copyfile(path, folder / "1" / file)
        more = models.UNOPTIMIZED if unoptimized and framework == "pytorch" else ""
        (folder / "config.pbtxt").write_text(f'name: "{model}"\nplatform: "{platform}"\nmax_batch_size: {batch}\n' + GROUP.format(gpu=gpu) + more)
        made[model] = path
    return made


def tensors(server, model):
    """Names of the input and the output, as the server tells them."""
    metadata = server.get(f"/v2/models/{model}")
    return metadata["inputs"][0]["name"], metadata["outputs"][0]["name"]


def warm_up(report, server, model):
    """Three requests of each size, the second and third of which are those that compile."""
    given, taken = tensors(server, model)
    for rows in (*ROWS, SEED[model][4]):
        begin = time.monotonic()
        for _ in range(3):
            server.infer(model, {given: models.pictures(SEED[model][1], rows)}, [taken], timeout=400)
        if time.monotonic() - begin > 1:
            report.row(f"{model}: the first requests of {rows} pictures took {time.monotonic() - begin:.1f} s")


def compare(report, server, files, model, path):
    framework, network, _, _, batch, _ = SEED[model]
    given, taken = tensors(server, model)
    for rows in (*ROWS, batch):
        x = models.pictures(network, rows, seed=rows)
        answer = server.infer(model, {given: x}, [taken])[taken]
        report.check(difference(answer, files.reference(network, x)) < FP32[model],
                     f"{model}, {rows} pictures: from PyTorch in fp32 by {difference(answer, files.reference(network, x)):.1e} (below {FP32[model]})")
        try:
            more = {"optimized": False} if network == "densenet" else {}
            alone = bare.loop(framework, path, x, models.out_shape(network, rows), seconds=0.05, **more)["output"]
            report.check(difference(answer, alone) < ALONE, f"{model}, {rows} pictures: from {framework} alone by {difference(answer, alone):.1e} (below {ALONE})")
        except bare.Missing as error:
            report.skip(f"{model}: {framework} alone: {str(error)[:300]}")


def all_at_once(report, server, files, names, seconds):
    """One client of each model that looks at every answer, and one that only asks, all at the same time."""
    wrong, right, work = [], dict.fromkeys(names, 0), []
    want = {(model, i): files.reference(SEED[model][1], models.pictures(SEED[model][1], rows, seed=40 + rows))
            for model in names for i, rows in enumerate(ROWS)}
    end = time.monotonic() + seconds

    def look(model):
        network = SEED[model][1]
        given, taken = tensors(server, model)
        asked = [models.pictures(network, rows, seed=40 + rows) for rows in ROWS]
        wanted = [want[model, i] for i in range(len(ROWS))]
        try:
            while time.monotonic() < end:
                for x, expected in zip(asked, wanted):
                    away = difference(server.infer(model, {given: x}, [taken])[taken], expected)
                    if away >= FP32[model]:
                        wrong.append(f"{model}: {away:.1e}")
                    right[model] += 1
        except (AssertionError, OSError) as error:
            wrong.append(f"{model}: {error}")
    for model in names:
        given, taken = tensors(server, model)
        work.append(("grpc", grpc_request(model, {given: models.pictures(SEED[model][1], 1)}, [taken])))
    threads = [threading.Thread(target=look, args=(model,)) for model in names]
    for thread in threads:
        thread.start()
    loads = [Load(server, [one], seconds, concurrency=2) for one in work]
    for model, load in zip(names, loads):
        found = load.result()
        report.row(f"{model}: {found['rate']:.0f} requests/s of one picture over gRPC, p50 {found['p50_us'] / 1e3:.2f} ms, while all run",
                   model=model, rate=found["rate"], p50_us=found["p50_us"])
        report.check(found["errors"] == 0, f"{model}: {found['requests']} requests answered, {found['errors']} errors")
    for thread in threads:
        thread.join()
    report.check(not wrong and all(right.values()), f"answers looked at while all run: {right}; wrong: {wrong[:3]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", type=pathlib.Path, default=pathlib.Path("/models"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SEED))
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--unoptimized", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args()
    if not args.cpu:
        need_gpus(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # the repository goes in any case
    report, files = Report("seed"), models.Files()
    if args.repository.exists() and any(args.repository.iterdir()):
        sys.exit(f"{args.repository} is not empty: name another --repository")
    args.repository.mkdir(parents=True, exist_ok=True)
    more = ["--gpu-fallback=cpu"] if args.cpu else ["--gpu-map=wrap"] if gpu_count() < 3 else []
    try:
        made = write(args.repository, files, args.only, report, args.unoptimized)
        begin = time.monotonic()
        with SeedServer(args.repository, args.port, more) as server:
            report.row(f"{' '.join(server.command)}: ready after {time.monotonic() - begin:.1f} s on {gpu_count()} GPUs")
            for model in made:
                group = server.get(f"/v2/models/{model}/config")["instance_group"][0]
                report.check(server.ready(model), f"{model} is ready, instance group {group['kind']} {group['gpus']}")
            threads = [threading.Thread(target=warm_up, args=(report, server, model)) for model in made]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for model, path in made.items():
                compare(report, server, files, model, path)
            all_at_once(report, server, files, list(made), args.seconds)
        report.check(server.status == 0, f"the server ended with {server.status}")
    except AssertionError as error:
        report.check(False, str(error))
    finally:
        for model in SEED:
            shutil.rmtree(args.repository / model, ignore_errors=True)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
