# SPDX-License-Identifier: Apache-2.0
"""The runner of make check-gpu itself: what it says and how it ends, without a GPU and on pretended ones."""

import os
import re
import subprocess
import sys

import pytest

from servers import PREFIX, ROOT, SANITIZED

FAKE = PREFIX / "tests/fake"
# Stands for NVIDIA's: runs the program as a child of its own and then tells how many errors there were.
CHECKER = """#!/bin/bash
while [[ $1 == --* ]]; do case $1 in --tool|--leak-check|--report-api-errors|--error-exitcode) shift 2 ;; *) shift ;; esac; done
"$@"
echo "========= ERROR SUMMARY: $ERRORS errors"
"""


def run(*arguments, gpus=0, env=None):
    fake = {"LD_LIBRARY_PATH": str(FAKE), "FAKE_CUDA": f"gpus={gpus},memory=8G"} if gpus else {}
    done = subprocess.run([sys.executable, ROOT / "tests/gpu/run.py", "--prefix", PREFIX, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=240, env={**os.environ, **fake, **(env or {})})
    return done.returncode, done.stdout


def test_without_a_gpu_nothing_was_checked_and_that_is_no_pass():
    code, text = run()
    if "no GPU" not in text:
        pytest.skip("there is a GPU here")
    assert code == 77
    assert "**** NOTHING WAS CHECKED ON A GPU: " in text
    counted = re.search(r"^\*\*\*\* (\d+) passed, 0 FAILED, (\d+) SKIPPED in \d+ s on 0 GPUs$", text, re.M)
    assert counted and int(counted.group(1)) <= 1 and int(counted.group(2)) > 25, text  # cuda.h may be here
    named = re.findall(r"^\*\*\*\*     (\S+)$", text, re.M)
    assert len(named) == int(counted.group(2)), "each skip by its name"
    for name in ("Pytorch.each_gpu_answers_what_numpy_does", "Onnxruntime.cuda_shared_memory_is_read_and_written", "Tensorrt.memory_is_flat_over_loads",
                 "Machine.every_gpu_is_named_in_the_log_and_the_metrics"):
        assert name in named


@pytest.fixture
def pretended():
    if not (FAKE / "libcuda.so.1").exists():
        pytest.fail(f"the pretended driver is not at {FAKE}: make test-programs builds it")


def test_on_gpus_what_ran_is_counted_and_too_few_are_a_failure(pretended):
    code, text = run("Machine", gpus=2)
    assert code == 0, text
    assert "on 2 GPUs: Fake GPU, Fake GPU" in text and "[       OK ] Machine.every_gpu_is_named_in_the_log_and_the_metrics" in text
    assert run("--require", "3", "Machine.every", gpus=2)[0] == 1
    assert run("no_test_has_this_name", gpus=2)[0] == 1, "nothing ran"


@pytest.mark.skipif(bool(SANITIZED), reason="the stand-in adds nothing to a sanitizer")
@pytest.mark.parametrize("errors, code", [(0, 0), (3, 1)])
def test_memory_checkers_errors_in_the_server_fail_its_test(pretended, tmp_path, errors, code):
    (tmp_path / "compute-sanitizer").write_text(CHECKER)
    (tmp_path / "compute-sanitizer").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ERRORS": str(errors)}
    got, text = run("--memcheck", "Machine.every", gpus=1, env=env)
    assert got == code, text
    assert ("ERROR SUMMARY: 3 errors" in text) == (errors > 0)


def test_memory_checker_that_is_missing_is_no_pass(pretended, tmp_path):
    code, text = run("--memcheck", gpus=1, env={"PATH": str(tmp_path)})
    assert code == 77 and "**** NOTHING WAS CHECKED: no compute-sanitizer here" in text


@pytest.mark.skipif(bool(SANITIZED), reason="the runner starts servers without a sanitizer's settings")
@pytest.mark.parametrize("gpus", [1, 4])
def test_served_suite_passes_on_pretended_gpus(pretended, tmp_path, gpus):
    pytest.importorskip("onnx")
    models = pytest.importorskip("onnx_models")
    pytest.importorskip("onnxruntime")
    env = models.pretended_gpus(gpus)
    (tmp_path / "libonnxruntime.so").symlink_to(PREFIX / "tests/fake_ort/libonnxruntime.so")
    (tmp_path / "libonnxruntime_providers_cuda.so").touch()  # by which the suite knows one for GPUs
    code, text = run("Onnxruntime", gpus=gpus, env={**env, "NEREID_ONNXRUNTIME": str(tmp_path)})
    assert code == 0, text
    assert re.search(r"^\*\*\*\* (\d+) passed, 0 FAILED, 0 SKIPPED", text, re.M), text
    assert "Onnxruntime.file_of_the_gpus_compute_capability_is_loaded" in text
