#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a source file includes what its folder may not: the walls of the house.

ALLOWED holds, for each folder, the folders whose headers it may include (itself is always fine). System headers are
free, but for those in SYSTEM_ONLY, which belong to one folder each.
"""

import pathlib
import re
import sys

ALLOWED = {
    "include/triton/core": set(),
    "include/nereid": set(),
    "src/base": {"include/nereid"},
    "src/tensor": {"src/base", "include/nereid"},
    "src/image": {"src/base", "src/tensor", "include/nereid"},
    "src/proto": {"src/base", "include/nereid"},
    "src/gpu": {"src/base", "src/tensor", "include/nereid"},
    "src/config": {"src/base", "src/tensor", "src/proto"},
    "src/core": {"src/base", "src/tensor", "src/gpu", "src/config", "src/proto", "include/triton/core", "include/nereid"},
    "src/net": {"src/base", "include/nereid"},
    "src/page": {"src/net", "src/image", "src/tensor", "src/base", "include/nereid"},
    "src/protocol": {"src/net", "src/base", "src/proto", "include/triton/core", "include/nereid"},
    "src/client": {"src/net", "src/base", "src/tensor", "src/proto", "include/nereid"},
    "src/graph": {"src/tensor", "src/image", "src/page", "src/gpu", "src/base", "src/client", "include/triton/core", "include/nereid"},
    "src/engine": {"src/tensor", "src/gpu", "src/base", "include/nereid"},
    "src/cli": {"*"},
    "backends": {"backends/common", "src/base", "src/tensor", "src/gpu", "include/triton/core", "include/nereid"},
}
SYSTEM_ONLY = {
    "event2/": {"src/net"},
    "nghttp2/": {"src/net"},
    "openssl/": {"src/net"},
    "protobuf-c/": {"src/proto", "src/config", "src/core", "src/protocol", "src/client"},
    "yaml.h": {"src/graph"},
    "cuda": {"src/gpu", "backends"},
    "jpeglib": {"src/image"},
    "png.h": {"src/image"},
    "libav": {"src/graph"},
    "libswscale": {"src/graph"},
    "NvInfer": {"backends"},
    "NvOnnx": {"backends"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def folder_of(path):
    """The longest key of ALLOWED that holds the file."""
    text = path.as_posix()
    return max((f for f in ALLOWED if text.startswith(f + "/")), key=len, default=None)


def target_of(name, path):
    """The folder that an included name lives in, or None for system headers."""
    for root in ("src", "include", "."):
        if (pathlib.Path(root) / name).exists():
            found = pathlib.Path(root) / name
            return "backends/common" if found.as_posix().startswith("backends/common") else folder_of(found)
    if name.endswith(".pb-c.h"):
        return "src/proto"
    if (path.parent / name).exists():
        return folder_of(path)
    return None


def main():
    bad = []
    for root in ("src", "include", "backends"):
        for path in sorted(pathlib.Path(root).rglob("*")):
            if path.suffix not in (".c", ".h", ".cc", ".cu"):
                continue
            folder = folder_of(path)
            if folder is None:
                bad.append(f"{path}: its folder is not in the map of tools/check_includes.py")
                continue
            allowed = ALLOWED[folder] | {folder}
            for kind, name in INCLUDE.findall(path.read_text()):
                target = target_of(name, path)
                if kind == '"' and target is None:
                    bad.append(f"{path}: cannot tell where \"{name}\" lives")
                elif target is not None and "*" not in allowed and target not in allowed:
                    bad.append(f"{path}: {folder} may not include {target} (\"{name}\")")
                for prefix, owners in SYSTEM_ONLY.items():
                    if kind == "<" and name.startswith(prefix) and folder not in owners:
                        bad.append(f"{path}: <{name}> belongs to {', '.join(sorted(owners))}")
    print("\n".join(bad) if bad else "include directions hold")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
