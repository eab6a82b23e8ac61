#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Copies what `tests/gpu/run.py --prefix DEST` needs from a build into DEST, to be carried to a machine that has a GPU but nothing
to build with: make gpu-bundle DEST=DIR.

The programs and libraries are stripped; the shared libraries that they need and that a bare machine may lack go to
DEST/lib/carried. Backends that are linked against a framework (pytorch) are left out: they are built beside theirs
(make TORCH=... B=DEST DEST/lib/nereid/backends/pytorch/libtriton_pytorch.so).
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

# Of the C and C++ run times every machine has its own.
EVERYWHERE = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|resolv))\.so")
PARTS = ("bin/nereid", "lib/*.so", "lib/nereid/*.so", "lib/nereid/backends/*/*.so", "tests/gpu/check_*")
LINKED = ("pytorch",)


def needed(path):
    """Paths of the shared libraries of the system that `path` needs."""
    text = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    for name, place in re.findall(r"^\s*(\S+) => (/\S+)", text, re.M):
        if not EVERYWHERE.match(name):
            yield pathlib.Path(place)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefix", type=pathlib.Path)
    parser.add_argument("dest", type=pathlib.Path)
    args = parser.parse_args()
    carried = args.dest / "lib/carried"
    carried.mkdir(parents=True, exist_ok=True)
    files = sorted({path for part in PARTS for path in args.prefix.glob(part) if path.is_file()})
    files = [path for path in files if path.parent.name not in LINKED]
    if not any(path.name == "nereid" for path in files):
        sys.exit(f"{args.prefix} has no bin/nereid: build it first")
    libraries = {}
    for path in files:
        target = args.dest / path.relative_to(args.prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["strip", "-o", target, path]).returncode != 0:
            shutil.copy2(path, target)
        libraries.update({found.name: found for found in needed(path) if args.prefix.resolve() not in found.resolve().parents})
    for name, path in libraries.items():
        shutil.copy2(path.resolve(), carried / name)
    for alias in ("tritonserver", "holoscan"):
        link = args.dest / "bin" / alias
        link.unlink(missing_ok=True)
        link.symlink_to("nereid")
    size = sum(path.stat().st_size for path in args.dest.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"{len(files)} files and {len(libraries)} libraries, {size / 1e6:.1f} MB, in {args.dest}")


if __name__ == "__main__":
    main()
