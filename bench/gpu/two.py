#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several GPUs against one: the same model with an instance group on one GPU and on all that are asked for, under the same kind of load.

    python3 bench/gpu/two.py [--frameworks pytorch,onnxruntime,tensorrt] [--model resnet] [--batch 32] [--way cuda|host]
                             [--gpus 2] [--streams 4] [--instances 2] [--precision fp16] [--seconds 3] [--rounds 3]

Each GPU has `instances` instances and `streams` clients (processes of bench/load over gRPC), one request each under way. Way cuda: a
client's tensors lie on "its" GPU, which the server is free to leave; host: in the host's shared memory, so that nothing but the
server says where a request runs. Rounds go over all groups in turn, so that what changes with time meets each. Goal: 1.95
times with two. Exit status 1 when an answer was wrong, 77 with fewer GPUs.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile

import models
from common import Load, Regions, Report, Server, difference, grpc_shared_request, gpu_count, need_gpus, warm


def drive(server, model, x, out_shape, gpus, args):
    """Pictures a second, and the worst relative difference among the clients' answers."""
    with contextlib.ExitStack() as stack:
        regions = [stack.enter_context(Regions(server, x, out_shape, gpu if args.way == "cuda" else None))
                   for gpu in gpus for _ in range(args.streams)]
        requests = [("grpc", grpc_shared_request(model, models.INPUT, region, models.OUTPUT)) for region in regions]
        warm(server, requests)
        found = Load(server, requests, args.seconds).result()
        assert found["errors"] == 0, f"{found['errors']} errors"
        return found["rate"] * args.batch, [region.output() for region in regions]


def run(args, report, files, framework):
    groups = [[0], [1], list(range(args.gpus))]
    x, out_shape = models.pictures(args.model, args.batch, args.precision), models.out_shape(args.model, args.batch)
    want = files.reference(args.model, x)
    limit = {"fp32": 1e-3, "fp16": 5e-2}[args.precision]  # the frameworks alone, ResNet-50 in half precision: 2.7e-2 to 3.5e-2
    with tempfile.TemporaryDirectory() as repository:
        for gpus in groups:
            models.add_model(repository, files, framework, args.model, args.precision, args.batch,
                             f"kind: KIND_GPU count: {args.instances} gpus: {gpus}", as_name="on_" + "_".join(map(str, gpus)))
        with Server(repository, *args.server_arg) as server:
            rates = {tuple(gpus): [] for gpus in groups}
            for _ in range(args.rounds):
                for gpus in groups:
                    rate, answers = drive(server, "on_" + "_".join(map(str, gpus)), x, out_shape, gpus, args)
                    rates[tuple(gpus)].append(rate)
                    away = max(difference(answer, want) for answer in answers)
                    if away >= limit:
                        report.check(False, f"{framework} on {gpus}: answers differ from PyTorch in fp32 by {away:.1e}")
            middle = {gpus: statistics.median(found) for gpus, found in rates.items()}
            one = statistics.mean(middle[gpus] for gpus in middle if len(gpus) == 1)
            ratio = middle[tuple(groups[-1])] / one
            text = ", ".join(f"GPU {'+'.join(map(str, gpus))} {rate:.0f}" for gpus, rate in middle.items())
            report.row(f"{framework} {args.model} {args.precision} batch {args.batch}, {args.way} memory: pictures/s {text}: {ratio:.3f} times",
                       framework=framework, model=args.model, batch=args.batch, way=args.way, ratio=ratio,
                       rates={"+".join(map(str, gpus)): found for gpus, found in rates.items()})
            report.goal(ratio >= 0.975 * args.gpus, f"{framework}: {ratio:.3f} times one GPU (goal {0.975 * args.gpus:.2f})")
        report.check(server.status == 0, f"{framework}: the server ended with {server.status}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", type=lambda text: text.split(","), default=["tensorrt", "onnxruntime", "pytorch"])
    parser.add_argument("--model", choices=sorted(models.NETWORKS), default="resnet")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--way", choices=("cuda", "host"), default="cuda")
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp16")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server-arg", action="append", default=[])
    args = parser.parse_args()
    need_gpus(max(2, args.gpus))
    report, files = Report("two", "-".join(args.frameworks)), models.Files()
    report.row(f"{gpu_count()} GPUs here; {args}")
    for framework in args.frameworks:
        why = models.missing(framework)
        if why:
            report.skip(f"{framework}: {why}")
            continue
        try:
            run(args, report, files, framework)
        except RuntimeError as error:
            report.skip(f"{framework}: {error}")
        except AssertionError as error:
            report.check(False, f"{framework}: {error}")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
