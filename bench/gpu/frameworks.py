#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The frameworks alone on this card, in half precision: milliseconds of a run, each also as a captured CUDA graph where it can be.

    python3 bench/gpu/frameworks.py [--frameworks tensorrt,onnxruntime,pytorch] [--seconds 1]

Nothing of the server is in it. The cases are those of which the project's issue gives figures of one H200.
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", type=lambda text: text.split(","), default=list(CASES))
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp16")
    args = parser.parse_args()
    need_gpus(1)
    report, files = Report("frameworks", "-".join(args.frameworks)), models.Files()
    for framework in args.frameworks:
        for name, batches in CASES[framework]:
            try:
                path = models.FRAMEWORKS[framework][2](files, name, args.precision)
                for batch in batches:
                    x, out_shape = models.pictures(name, batch, args.precision), models.out_shape(name, batch)
                    more = {"optimized": name != "densenet"} if framework == "pytorch" else {}
                    plain = bare.loop(framework, path, x, out_shape, seconds=args.seconds, **more)
                    try:
                        graph = bare.loop(framework, path, x, out_shape, seconds=args.seconds, graph=True, **more)["ms"]
                    except (bare.Missing, RuntimeError) as error:
                        graph = None
                        report.skip(f"{framework} {name} batch {batch} as a CUDA graph: {str(error)[:300]}")
                    away = difference(plain["output"], files.reference(name, x))
                    report.row(f"{framework:11} {name:8} {args.precision} batch {batch:3}: {plain['ms']:8.3f} ms, as a CUDA graph "
                               f"{'-' if graph is None else f'{graph:8.3f} ms'}; from PyTorch in fp32 by {away:.1e}",
                               framework=framework, model=name, batch=batch, ms=plain["ms"], graph_ms=graph, difference=away)
                    report.check(away < 3e-2, f"{framework} {name} batch {batch}: right within 3e-2")
            except (bare.Missing, RuntimeError) as error:
                report.skip(f"{framework} {name}: {str(error)[:1000]}")
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
