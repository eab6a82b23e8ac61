# SPDX-License-Identifier: Apache-2.0
"""libtritonserver.so exports what the four headers declare, which is what NVIDIA's library exports, and next to nothing else."""

import ctypes
import re
import shutil
import subprocess

import pytest

from fronts import CORE
from servers import PEER, ROOT

# The internals that NVIDIA's library exports by accident of their prefix.
PEER_ONLY = {"TRITONCACHE_CacheEntryNew", "TRITONCACHE_CacheEntryDelete"}


def declared():
    """Functions that the host has, by interface."""
    found = {}
    for header in (ROOT / "include/triton/core").glob("*.h"):
        text = re.sub(r"//.*", "", header.read_text())
        for interface in ("TRITONSERVER", "TRITONBACKEND", "TRITONCACHE", "TRITONREPOAGENT"):
            names = re.findall(rf"{interface}_DECLSPEC\s+[^;(]*?\b({interface}_\w+)\s*\(", text)
            found.setdefault(interface, set()).update(names)
    return found


def exported(library):
    if shutil.which("nm") is None:
        pytest.skip("nm is not there")
    out = subprocess.run(["nm", "-D", "--defined-only", library], stdout=subprocess.PIPE, check=True).stdout.decode()
    return {line.split()[-1] for line in out.splitlines() if line.split()[-2] in "TDBRVW"}


@pytest.fixture
def core():
    if not CORE.exists():
        pytest.skip("the library is not built")
    return str(CORE)


def test_counts_are_those_of_the_interfaces():
    assert {interface: len(names) for interface, names in declared().items()} == {
        "TRITONSERVER": 172, "TRITONBACKEND": 91, "TRITONREPOAGENT": 12, "TRITONCACHE": 6}


def test_each_declared_function_is_exported(core):
    library = ctypes.CDLL(core)
    for names in declared().values():
        for name in names:
            assert getattr(library, name), name


def test_nothing_else_is_exported(core):
    ours = exported(core)
    assert {name for name in ours - set().union(*declared().values()) if not name.startswith("nereid_")} == set()


def test_the_peer_exports_the_same(core):
    libraries = sorted((PEER / "nvidia_pytriton.libs").glob("libtritonserver*.so"))
    if not libraries:
        pytest.skip("the peer is not there")
    theirs = {name for name in exported(libraries[0]) if name.startswith("TRITON")}
    assert theirs - PEER_ONLY == {name for name in exported(core) if name.startswith("TRITON")}


def test_versions_are_those_of_the_headers(core):
    library = ctypes.CDLL(core)
    for interface, expected in (("TRITONSERVER", (1, 34)), ("TRITONBACKEND", (1, 19)), ("TRITONCACHE", (0, 1)),
                                ("TRITONREPOAGENT", (0, 1))):
        major, minor = ctypes.c_uint32(), ctypes.c_uint32()
        function = getattr(library, f"{interface}_ApiVersion")
        function.restype = ctypes.c_void_p
        assert function(ctypes.byref(major), ctypes.byref(minor)) is None
        assert (major.value, minor.value) == expected


def test_what_is_not_built_says_so_by_name(core):
    library = ctypes.CDLL(core)
    library.TRITONSERVER_ErrorMessage.restype = ctypes.c_char_p
    library.TRITONSERVER_ErrorMessage.argtypes = [ctypes.c_void_p]
    library.TRITONSERVER_ErrorCodeString.restype = ctypes.c_char_p
    library.TRITONSERVER_ErrorCodeString.argtypes = [ctypes.c_void_p]
    for name in ("TRITONCACHE_CacheEntryBufferCount", "TRITONREPOAGENT_State"):
        function = getattr(library, name)
        function.restype = ctypes.c_void_p
        error = function(None, None)
        assert library.TRITONSERVER_ErrorCodeString(error) == b"Unsupported"
        assert library.TRITONSERVER_ErrorMessage(error) == f"{name} is not built yet".encode()
        library.TRITONSERVER_ErrorDelete(ctypes.c_void_p(error))
