#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory over many loads and unloads of each framework's model, with an inference each: the GPU's and the server's must stay flat.

    python3 bench/gpu/loads.py [--frameworks onnxruntime,pytorch,tensorrt,tensorflow] [--model resnet] [--loads 200] [--cpu] [--alone]

Frameworks keep what the first loads took (contexts, workspaces, caches), so that memory is compared from the first quarter on.
tensorflow runs on the processor. --alone loads as often without a server, by the framework's own Python: what grows there, too, is the
framework's. Exit status 1 when memory grew or an answer was wrong, 77 without a GPU (unless --cpu).
"""

import argparse
import gc
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

import bare
import models
from common import PREFIX, Report, Server, difference, gpu_used, need_gpus

GPU_GROWTH = 8 << 20    # bytes from the first quarter to the end
HOST_GROWTH_MB = 48.0   # malloc's arenas wander


TWICE = """
import sys
import tensorflow as tf

class Twice(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 16], tf.float32, name="INPUT")])
    def __call__(self, x):
        return {"OUTPUT": x * 2.0}

tf.saved_model.save(Twice(), sys.argv[1])
"""


def tensorflow_model(repository):
    """x * 2 as a SavedModel, made in a process of NEREID_TENSORFLOW_PYTHON; returns (model, input, output, x, answer)."""
    folder = pathlib.Path(repository) / "twice"
    folder.mkdir()
    packages = [str(PREFIX / "frameworks/tensorflow"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run([os.environ.get("NEREID_TENSORFLOW_PYTHON", sys.executable), "-c", TWICE, folder / "1/model.savedmodel"],
                          env={**os.environ, "PYTHONPATH": ":".join(packages)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("no SavedModel: " + done.stdout.strip()[-300:])
    (folder / "config.pbtxt").write_text('name: "twice"\nplatform: "tensorflow_savedmodel"\nmax_batch_size: 8\ninstance_group { kind: KIND_CPU }\n'
                                         'input { name: "INPUT" data_type: TYPE_FP32 dims: [ 16 ] }\n'
                                         'output { name: "OUTPUT" data_type: TYPE_FP32 dims: [ 16 ] }\n')
    x = np.arange(32, dtype=np.float32).reshape(2, 16)
    return "twice", "INPUT", "OUTPUT", x, 2 * x


def run(args, report, files, framework):
    with tempfile.TemporaryDirectory() as repository:
        if framework == "tensorflow":
            model, given, taken, x, want = tensorflow_model(repository)
        else:
            group = "kind: KIND_CPU" if args.cpu else "kind: KIND_GPU count: 1 gpus: [ 0 ]"
            model = models.add_model(repository, files, framework, args.model, "fp32", 8, group)
            given, taken, x = models.INPUT, models.OUTPUT, models.pictures(args.model, 2)
            want = files.reference(args.model, x)
        gpu, host, times = [], [], []
        with Server(repository, "--model-control-mode=explicit") as server:
            for i in range(args.loads):
                begin = time.monotonic()
                server.load(model)
                times.append(time.monotonic() - begin)
                if i % max(1, args.loads // 10) == 0 or i == args.loads - 1:
                    away = difference(server.infer(model, {given: x}, [taken])[taken], want)
                    if away >= 1e-2:
                        report.check(False, f"{framework}: load {i}: the answer differs by {away:.1e}")
                else:
                    server.infer(model, {given: x}, [taken])
                server.unload(model)
                gpu.append(0 if args.cpu else gpu_used(0))
                host.append(server.rss_mb())
        quarter, step = args.loads // 4, max(1, args.loads // 8)
        grown, host_grown = max(gpu[-3:]) - max(gpu[quarter:quarter + 3]), max(host[-3:]) - max(host[quarter:quarter + 3])
        report.row(f"{framework}: {args.loads} loads, {sorted(times)[len(times) // 2] * 1e3:.0f} ms each (median)\n"
                   f"  GPU MiB in use when unloaded:  {[n >> 20 for n in gpu[::step]]} .. {gpu[-1] >> 20}\n"
                   f"  server's resident MB:          {[round(n) for n in host[::step]]} .. {host[-1]:.0f}",
                   framework=framework, loads=args.loads, gpu=gpu[::step] + gpu[-1:], host_mb=host[::step] + host[-1:])
        report.check(grown <= GPU_GROWTH, f"{framework}: the GPU's memory from load {quarter} on: {grown / 2**20:+.1f} MiB")
        report.check(host_grown <= HOST_GROWTH_MB, f"{framework}: the server's memory from load {quarter} on: {host_grown:+.1f} MB")
        report.check(server.status == 0, f"{framework}: the server ended with {server.status}")


def alone(args, report, files, framework):
    """The loads of run(), in this process."""
    path, x = models.FRAMEWORKS[framework][2](files, args.model, "fp32"), models.pictures(args.model, 2)
    gpu, host = [], []
    for _ in range(args.loads):
        bare.loop(framework, path, x, models.out_shape(args.model, 2), seconds=0.001)
        gc.collect()
        gpu.append(0 if args.cpu else gpu_used(0))
        host.append(int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path("/proc/self/status").read_text()).group(1)) / 1024)
    quarter, step = args.loads // 4, max(1, args.loads // 8)
    report.row(f"{framework} alone: {args.loads} loads; from load {quarter} on its process grew by {host[-1] - host[quarter]:+.1f} MB\n"
               f"  GPU MiB in use:  {[n >> 20 for n in gpu[::step]]} .. {gpu[-1] >> 20}\n"
               f"  resident MB:     {[round(n) for n in host[::step]]} .. {host[-1]:.0f}",
               framework=framework + ", alone", loads=args.loads, gpu=gpu[::step] + gpu[-1:], host_mb=host[::step] + host[-1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", type=lambda text: text.split(","), default=["onnxruntime", "pytorch", "tensorrt", "tensorflow"])
    parser.add_argument("--model", choices=sorted(models.NETWORKS), default="resnet")
    parser.add_argument("--loads", type=int, default=200)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--alone", action="store_true")
    args = parser.parse_args()
    if not args.cpu:
        need_gpus(1)
    report, files = Report("loads", "-".join(args.frameworks)), models.Files()
    for framework in args.frameworks:
        why = models.missing(framework)
        if why:
            report.skip(f"{framework}: {why}")
            continue
        try:
            run(args, report, files, framework)
            if args.alone and framework in ("onnxruntime", "pytorch"):  # tensorrt's loop is a process of its own
                alone(args, report, files, framework)
        except (bare.Missing, RuntimeError) as error:
            report.skip(f"{framework}: {error}")
        except AssertionError as error:
            report.check(False, f"{framework}: {error}")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
