# SPDX-License-Identifier: Apache-2.0
"""The runner of make check-gpu itself: what it says and how it ends, without a GPU and on pretended ones."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from servers import PREFIX, ROOT, SANITIZED

FAKE = PREFIX / "tests/fake"
# Stands for NVIDIA's: runs the program as a child of its own and then tells how many errors there were. Each option has a value.
CHECKER = """#!/bin/bash
echo "========= COMPUTE-SANITIZER"
while [[ $1 == --* ]]; do shift 2; done
case $MODE in
  unsupported) LD_LIBRARY_PATH= "$@"; echo "========= Error: Device not supported. See the list of devices."; exit 0 ;;
  blind) LD_LIBRARY_PATH= "$@" ;;
  late) sleep 1000 ;;
  killed) kill -9 $$ ;;
  *) "$@" ;;
esac
code=$?
echo "========= ERROR SUMMARY: $ERRORS errors"
[ "$ERRORS" = 0 ] && exit $code || exit 9
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


@pytest.fixture
def checker(pretended, tmp_path):
    """A CUDA toolkit with the stand-in; an environment that finds it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/compute-sanitizer").write_text(CHECKER)
    (tmp_path / "bin/compute-sanitizer").chmod(0o755)
    return {"CUDA_HOME": str(tmp_path), "ERRORS": "0"}


@pytest.mark.skipif(bool(SANITIZED), reason="the stand-in adds nothing to a sanitizer")
@pytest.mark.parametrize("errors, code", [(0, 0), (3, 1)])
def test_memory_checkers_errors_in_the_server_fail_its_test(checker, errors, code):
    got, text = run("--memcheck", "Machine.every", gpus=1, env={**checker, "ERRORS": str(errors)})
    assert got == code, text
    assert ("ERROR SUMMARY: 3 errors" in text) == (errors > 0)


@pytest.mark.skipif(bool(SANITIZED), reason="the stand-in adds nothing to a sanitizer")
@pytest.mark.parametrize("mode, says", [
    ("unsupported", "compute-sanitizer does not work on this machine: ========= Error: Device not supported"),
    ("blind", "the program saw no GPU there"), ("killed", "compute-sanitizer did not come to its end")])
def test_program_that_the_memory_checker_did_not_check_is_no_pass(checker, tmp_path, mode, says):
    program = tmp_path / "tests/gpu/check_gpu"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/bash\n[ -n "$LD_LIBRARY_PATH" ] || echo "**** NO GPU"\necho "[ RUN      ] it"\necho "[       OK ] it"\n')
    program.chmod(0o755)
    code, text = run("--memcheck", "--prefix", tmp_path, "check_gpu", gpus=1, env={**checker, "MODE": "none"})
    assert code == 0 and "[       OK ] check_gpu.it" in text, text
    code, text = run("--memcheck", "--prefix", tmp_path, "check_gpu", gpus=1, env={**checker, "MODE": mode})
    assert code == 1 and says in text, text


@pytest.mark.skipif(bool(SANITIZED), reason="the stand-in adds nothing to a sanitizer")
def test_run_that_hangs_under_the_memory_checker_ends_with_the_time_and_names_what_did_not_begin(checker):
    code, text = run("--memcheck", "--limit", "5", "Machine", gpus=1, env={**checker, "MODE": "late"})
    assert code == 1, text
    left = re.search(r"^\*\*\*\* SKIPPED (\d): the time of --limit was over$", text, re.M)
    # A machine that took the time to start Python began none of the three.
    assert left and ("did not come up" in text and left.group(1) == "2" or left.group(1) == "3"), text


def test_memory_checker_that_is_missing_is_no_pass(pretended, tmp_path):
    if pathlib.Path("/usr/local/cuda").exists():
        pytest.skip("a CUDA toolkit is here")
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
