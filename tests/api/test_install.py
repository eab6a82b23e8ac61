# SPDX-License-Identifier: Apache-2.0
"""`make install` makes a tree that works wherever it is moved: the programs, the backends, the C interface."""

import os
import shutil
import subprocess

import pytest

from servers import PREFIX, ROOT, Server, add_model, identity_config

PROGRAM = """
#include <stdio.h>
#include "triton/core/tritonserver.h"

int main(void)
{
    uint32_t major = 0, minor = 0;
    TRITONSERVER_Error *error = TRITONSERVER_ApiVersion(&major, &minor);
    printf("%u.%u\\n", major, minor);
    return error != NULL || TRITONSERVER_API_VERSION_MAJOR != major;
}
"""


CLIENT = """
#include <stdio.h>
#include "nereid/client.h"

int main(void)
{
    struct nrd_client *client = NULL;
    struct nrd_status *status = nrd_client_create("nowhere://x", NULL, &client);
    printf("%s %s\\n", nrd_code_name(nrd_status_code(status)), nrd_dtype_name(NRD_DTYPE_BF16));
    nrd_status_free(status);
    return client != NULL;
}
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Installed to one place, moved to another."""
    if not (ROOT / "Makefile").exists():
        pytest.skip("the sources are not there")
    first = tmp_path_factory.mktemp("install") / "first"
    sanitizer = [f"SAN={PREFIX.name.rsplit('-', 1)[-1]}"] if os.environ.get("NEREID_SANITIZED") else []
    subprocess.run(["make", "-s", "-C", ROOT, "install", f"B={PREFIX}", f"PREFIX={first}", *sanitizer], check=True,
                   stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    second = first.parent / "elsewhere" / "nereid"
    second.parent.mkdir()
    shutil.move(first, second)
    return second


@pytest.mark.parametrize("program", [["bin/nereid", "serve"], ["bin/tritonserver"]], ids="-".join)
def test_moved_tree_serves_with_its_own_libraries(tree, tmp_path, program):
    add_model(tmp_path, "one", identity_config("one"))
    with Server("nereid", tmp_path, program=[tree / program[0], *program[1:]], own_backends=True) as server:
        assert server.request("GET", "/v2/models/one/ready")[0] == 200
        with open(f"/proc/{server.process.pid}/maps") as maps:
            text = maps.read()
        assert str(tree / "lib/libtritonserver.so") in text
        assert str(tree / "lib/nereid/backends/identity/libtriton_identity.so") in text


@pytest.mark.parametrize("library, text, printed", [("tritonserver", PROGRAM, b"1.34\n"),
                                                    ("nereid", CLIENT, b"Invalid argument BF16\n")], ids=lambda v: v[:12])
@pytest.mark.parametrize("compiler", ["cc", "c++"])
def test_program_builds_by_pkg_config_and_runs(tree, tmp_path, library, text, printed, compiler):
    if shutil.which("pkg-config") is None or os.environ.get("NEREID_SANITIZED"):
        pytest.skip("no pkg-config, or the library needs a sanitizer's run time")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", library], check=True, stdout=subprocess.PIPE,
                           env={**os.environ, "PKG_CONFIG_PATH": str(tree / "lib/pkgconfig")}).stdout.decode().split()
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    source = tmp_path / ("program.c" if compiler == "cc" else "program.cc")
    source.write_text(text)
    subprocess.run([compiler, source, "-o", tmp_path / "program", *flags, f"-Wl,-rpath,{tree / 'lib'}"], check=True)
    done = subprocess.run([tmp_path / "program"], stdout=subprocess.PIPE, check=True)
    assert done.stdout == printed


def test_c_program_builds_by_cmake_and_runs(tree, tmp_path):
    if shutil.which("cmake") is None or os.environ.get("NEREID_SANITIZED"):
        pytest.skip("no cmake, or the library needs a sanitizer's run time")
    (tmp_path / "program.c").write_text(CLIENT)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(program C)\nfind_package(nereid REQUIRED)\n"
        "add_executable(program program.c)\ntarget_link_libraries(program nereid::nereid)\n")
    subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={tree}"], check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", tmp_path / "b"], check=True, stdout=subprocess.DEVNULL)
    assert subprocess.run([tmp_path / "b/program"], stdout=subprocess.PIPE, check=True).stdout == b"Invalid argument BF16\n"


def test_c_library_exports_the_public_functions_alone(tree):
    if shutil.which("nm") is None:
        pytest.skip("no nm")
    lines = subprocess.run(["nm", "-D", "--defined-only", tree / "lib/libnereid.so"], check=True,
                           stdout=subprocess.PIPE).stdout.decode().splitlines()
    names = [line.split()[-1] for line in lines]
    assert "nrd_client_infer" in names and "nrd_status_text" in names
    assert [name for name in names if not name.startswith("nrd_")] == []


def test_three_names_are_one_program(tree):
    assert {os.path.realpath(tree / "bin" / name) for name in ("nereid", "tritonserver", "holoscan")} == {
        os.path.realpath(tree / "bin/nereid")}
