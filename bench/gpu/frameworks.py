#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The frameworks alone on this card, in half precision: milliseconds of a run, each also as a captured CUDA graph where it can be.

    python3 bench/gpu/frameworks.py [--frameworks tensorrt,onnxruntime,pytorch] [--batches 1,8] [--seconds 1] [--precision fp16]

Nothing of the server is in it. A plan of TensorRT is tuned for 32 rows. Exit status 1 when an answer was wrong, 77 without a GPU.
"""

import argparse
import sys

import bare
import models
from common import Report, difference, need_gpus

CASES = {
    "tensorrt": [("resnet", (1, 128)), ("unet", (1, 8, 32))],
    "onnxruntime": [("resnet", (1, 128)), ("unet", (1, 8, 32))],
    "pytorch": [("resnet", (1, 128)), ("unet", (1, 8, 32)), ("densenet", (1, 32))],
}

# Half precision against fp32: ResNet-50 of random weights is 2.7e-2 to 3.5e-2 away in each framework alone.
TOLERANCE = 5e-2


def measure(args, report, files, framework, name, path, batch):
    x, out_shape = models.pictures(name, batch, args.precision), models.out_shape(name, batch)
    more = {"optimized": name != "densenet"} if framework == "pytorch" else {}
    what = f"{framework} {name} batch {batch}"
    plain = bare.loop(framework, path, x, out_shape, seconds=args.seconds, **more)
    graph = None
    try:
        captured = bare.loop(framework, path, x, out_shape, seconds=args.seconds, graph=True, **more)
        graph = captured["ms"]
        same = difference(captured["output"], plain["output"])
        if same >= 1e-2:  # kernels are chosen anew for it
            report.check(False, f"{what}: as a CUDA graph the answer differs by {same:.1e}")
    except (bare.Missing, RuntimeError) as error:
        report.skip(f"{what} as a CUDA graph: {str(error)[:300]}")
    away = difference(plain["output"], files.reference(name, x))
    report.row(f"{framework:11} {name:8} {args.precision} batch {batch:3}: {plain['ms']:8.3f} ms, as a CUDA graph "
               f"{'-' if graph is None else f'{graph:8.3f} ms'}; from PyTorch in fp32 by {away:.1e}",
               framework=framework, model=name, batch=batch, ms=plain["ms"], graph_ms=graph, difference=away)
    if away >= TOLERANCE:
        report.check(False, f"{what}: right within {TOLERANCE}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", type=lambda text: text.split(","), default=list(CASES))
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp16")
    parser.add_argument("--batches", type=lambda text: {int(n) for n in text.split(",")}, help="only these")
    parser.add_argument("--cpu", action="store_true", help="tries it without a GPU, which checks the program and measures nothing")
    args = parser.parse_args()
    if not args.cpu:
        need_gpus(1)
    report, files = Report("frameworks", "-".join(args.frameworks)), models.Files()
    for framework in args.frameworks:
        for name, batches in CASES[framework]:
            try:
                path = models.FRAMEWORKS[framework][2](files, name, args.precision)
                for batch in [n for n in batches if not args.batches or n in args.batches]:
                    measure(args, report, files, framework, name, path, batch)
            except (bare.Missing, RuntimeError) as error:
                report.skip(f"{framework} {name}: {str(error)[:1000]}")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
