# SPDX-License-Identifier: Apache-2.0
"""The frameworks that tests make models with and compare results with, where tools/setup.sh has brought them."""

import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pytest

from servers import PLAIN_BACKENDS, PLAIN_PREFIX, PREFIX

FOLDER = pathlib.Path(os.environ.get("NEREID_FRAMEWORKS", PREFIX / "frameworks"))


def tensorflow():
    """TensorFlow's Python package; skips the module, by name, where it is not."""
    folder = FOLDER / "tensorflow"
    if not (folder / "tensorflow").is_dir():
        pytest.skip(f"TensorFlow is not in {folder}: tools/setup.sh test brings it", allow_module_level=True)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    import tensorflow as module

    return module


class Torch:
    """libtorch, by the program tests/tools/torch_models; skips the module, by name, where it was not built."""

    # c10::ScalarType of each numpy type.
    TYPES = {np.dtype(k): v for k, v in {"uint8": 0, "int8": 1, "int16": 2, "int32": 3, "int64": 4, "float16": 5,
                                         "float32": 6, "float64": 7, "bool": 11}.items()}

    def __init__(self):
        self.program = PLAIN_PREFIX / "tests/tools/torch_models"
        if not self.program.exists() or not (PLAIN_BACKENDS / "pytorch").is_dir():
            pytest.skip("the pytorch backend is not built: no libtorch (Debian's libtorch-dev, or make TORCH=DIR)",
                        allow_module_level=True)

    def make(self, folder):
        subprocess.run([self.program, "make", folder], check=True)
        return folder

    def version(self):
        return subprocess.run([self.program, "version"], check=True, stdout=subprocess.PIPE).stdout.decode().strip()

    def run(self, path, arrays):
        """What libtorch itself makes of a model: a list of arrays, or of lists of bytes."""
        sent = struct.pack("<q", len(arrays))
        for array in arrays:
            sent += struct.pack("<qqq", 0, self.TYPES[array.dtype], array.ndim)
            sent += struct.pack(f"<{array.ndim}q", *array.shape) + array.tobytes()
        reply = subprocess.run([self.program, "run", path], input=sent, check=True, stdout=subprocess.PIPE).stdout
        at = 0

        def numbers(count):
            nonlocal at
            at += 8 * count
            return struct.unpack(f"<{count}q", reply[at - 8 * count:at])

        def take(size):
            nonlocal at
            at += size
            return reply[at - size:at]

        values = []
        for _ in range(numbers(1)[0]):
            if numbers(1)[0] == 1:
                values.append([take(numbers(1)[0]) for _ in range(numbers(1)[0])])
                continue
            kind, rank = numbers(2)
            shape = numbers(rank)
            dtype = next(d for d, n in self.TYPES.items() if n == kind)
            values.append(np.frombuffer(take(int(np.prod(shape)) * dtype.itemsize), dtype).reshape(shape))
        return values
