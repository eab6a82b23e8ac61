# SPDX-License-Identifier: Apache-2.0
"""Writes full-size models with seeded weights, to measure speed with.

U-Net (3x256x256, 64 channels at the top, 31 million parameters), ResNet-50 and DenseNet-121
(3x224x224, 1000 classes) as a repository that a server can serve at once. They have the shapes
and costs of the real ones and know nothing. Needs onnx and numpy.

    python3 tools/models/full_size.py OUTDIR [--models unet,resnet50,densenet121] [--onnx-only]
"""

import argparse
import sys
from pathlib import Path

import onnx
import zoo
from onnx_graph import Random


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("outdir", type=Path, help="the repository to write; made if absent")
    parser.add_argument(
        "--models",
        default=",".join(zoo.FULL_SIZE),
        help="which, separated by commas (default: %(default)s)",
    )
    parser.add_argument("--onnx-only", action="store_true", help="write OUTDIR/NAME.onnx alone")
    parser.add_argument("--seed", type=int, default=1, help="of the weights (default: 1)")
    arguments = parser.parse_args()
    names = arguments.models.split(",")
    for name in names:
        if name not in zoo.FULL_SIZE:
            parser.error(f"no model '{name}'; there are {', '.join(zoo.FULL_SIZE)}")
    arguments.outdir.mkdir(parents=True, exist_ok=True)
    for name in names:
        model = zoo.FULL_SIZE[name]
        proto = zoo.build(model, Random(arguments.seed))
        if arguments.onnx_only:
            path = arguments.outdir / f"{name}.onnx"
            onnx.save(proto, path)
        else:
            path = zoo.write(model, proto, arguments.outdir)
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
