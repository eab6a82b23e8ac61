# SPDX-License-Identifier: Apache-2.0
"""The frameworks that tests make models with and compare results with, where tools/setup.sh has brought them."""

import os
import pathlib
import subprocess
import sys

import pytest

from servers import BACKENDS, PREFIX

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
