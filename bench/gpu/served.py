#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What of a framework's speed a client sees: the same model file in a bare loop, and served, for each framework and batch size.

    python3 bench/gpu/served.py [--frameworks pytorch,onnxruntime,tensorrt] [--models resnet,unet] [--batches 1,8,32,128]
                                [--ways cuda-grpc,grpc,...] [--precision fp16] [--instances 2] [--streams 4] [--seconds 2] [--graphs]

Ways: cuda-grpc and cuda-http (tensors in CUDA shared memory), host-grpc (in the host's shared memory), grpc and http (tensors in the
body). Each way's answer is compared with the bare loop's. `streams` processes (twice as many where
tensors are in the body) keep one request each under way. A row of a batch is a picture. The bare loop launches run after run and waits once for many; with --graphs both sides use captured CUDA graphs.
Goals: 95 % with CUDA shared memory, 80 % with gRPC. Exit status 1 when an answer was wrong, 77 without a GPU (--cpu tries all the
same, which checks the program and measures nothing).
"""

import argparse
import contextlib
import sys
import tempfile

import bare
import models
from common import Load, Regions, Report, Server, difference, grpc_request, grpc_shared_request, http_request, http_shared_request, need_gpus, warm

GOALS = {"cuda-grpc": 0.95, "cuda-http": 0.95, "grpc": 0.80}
LARGEST = {"unet": 32}
# Of the same file on the same GPU. Kernels are chosen anew in each process and for each batch, and those of fp32 networks may use TF32,
# which keeps 11 bits as fp16 does.
TOLERANCE = {"fp32": 5e-3, "fp16": 1e-2}


def measure(server, way, model, x, out_shape, streams, seconds):
    """(what Load tells, the answer)."""
    protocol = "http" if way.endswith("http") else "grpc"
    with contextlib.ExitStack() as stack:
        if way in ("grpc", "http"):
            make = grpc_request if way == "grpc" else http_request
            # As many again: these spend their time with copies, not with waiting.
            requests = [make(model, {models.INPUT: x}, [models.OUTPUT])] * (2 * streams)
            answer = server.infer(model, {models.INPUT: x}, [models.OUTPUT])[models.OUTPUT]
        else:
            make = grpc_shared_request if protocol == "grpc" else http_shared_request
            regions = [stack.enter_context(Regions(server, x, out_shape, 0 if way.startswith("cuda") else None)) for _ in range(streams)]
            requests = [make(model, models.INPUT, region, models.OUTPUT) for region in regions]
            answer = None
        work = [(protocol, request) for request in requests]
        warm(server, work)
        found = Load(server, work, seconds).result()
        return found, regions[-1].output() if answer is None else answer


def run(args, report, files, framework, name):
    batches = [b for b in args.batches if b <= LARGEST.get(name, 128)]
    path = models.FRAMEWORKS[framework][2](files, name, args.precision)
    more = "optimization { cuda { graphs: true } }\n" if args.graphs else ""
    with tempfile.TemporaryDirectory() as repository:
        group = "kind: KIND_CPU" if args.cpu else f"kind: KIND_GPU count: {args.instances} gpus: [ 0 ]"
        model = models.add_model(repository, files, framework, name, args.precision, max(batches), group, more=more + args.config)
        with Server(repository, *args.server_arg) as server:
            for batch in batches:
                x, out_shape = models.pictures(name, batch, args.precision), models.out_shape(name, batch)
                alone = bare.loop(framework, path, x, out_shape, seconds=args.seconds, graph=args.graphs)
                fp32 = difference(alone["output"], files.reference(name, x))
                report.row(f"{framework} {name} {args.precision} batch {batch}: bare {alone['rate'] * batch:.0f} pictures/s "
                           f"({alone['ms']:.3f} ms), from PyTorch in fp32 by {fp32:.1e}",
                           framework=framework, model=name, batch=batch, way="bare", rate=alone["rate"] * batch, ms=alone["ms"])
                for way in args.ways:
                    found, answer = measure(server, way, model, x, out_shape, args.streams, args.seconds)
                    ratio = found["rate"] / alone["rate"]
                    report.row(f"  {way:9} {found['rate'] * batch:9.0f} pictures/s  {100 * ratio:5.1f} % of bare  "
                               f"p50 {found['p50_us'] / 1e3:.2f} ms  p99 {found['p99_us'] / 1e3:.2f} ms",
                               framework=framework, model=name, batch=batch, way=way, rate=found["rate"] * batch, ratio=ratio,
                               p50_us=found["p50_us"], p99_us=found["p99_us"], errors=found["errors"])
                    what = f"{framework} {name} batch {batch} {way}"
                    away = difference(answer, alone["output"])
                    if found["errors"] or away >= TOLERANCE[args.precision]:
                        report.check(False, f"{what}: {found['errors']} errors, answer differs by {away:.1e}")
                    if way in GOALS and not args.cpu:
                        report.goal(ratio >= GOALS[way], f"{what}: {100 * ratio:.1f} % (goal {100 * GOALS[way]:.0f} %)")
        report.check(server.status == 0, f"{framework} {name}: the server ended with {server.status}")


def main():
    def names(text):
        return [part for part in text.split(",") if part]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", type=names, default=names("pytorch,onnxruntime,tensorrt"))
    parser.add_argument("--models", type=names, default=names("resnet,unet"))
    parser.add_argument("--batches", type=lambda text: [int(n) for n in names(text)], default=[1, 8, 32, 128])
    parser.add_argument("--ways", type=names, default=names("cuda-grpc,cuda-http,grpc,http"))
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp16")
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--graphs", action="store_true")
    parser.add_argument("--config", default="", help="more lines for config.pbtxt")
    # Large tensors are received by the loop's threads; two, which is Triton's default, take in 4 GB/s together.
    parser.add_argument("--server-arg", action="append", default=["--grpc-infer-thread-count=8"])
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args()
    if not args.cpu:
        need_gpus(1)
    report, files = Report("served", "-".join(args.frameworks)), models.Files()
    report.row(f"{args.instances} instances, {args.streams} streams of one request each, {args.seconds} s a row; {args}")
    for framework in args.frameworks:
        for name in args.models:
            why = models.missing(framework)
            if why:
                report.skip(f"{framework}: {why}")
                break
            try:
                run(args, report, files, framework, name)
            except (bare.Missing, RuntimeError) as error:
                report.skip(f"{framework} {name}: {error}")
            except AssertionError as error:
                report.check(False, f"{framework} {name}: {error}")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
