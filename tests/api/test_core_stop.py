# SPDX-License-Identifier: Apache-2.0
"""A server that is stopped while somebody holds a model: the time to exit is kept, and memory in use is never freed."""

import subprocess
import sys

import pytest

from fronts import CORE
from servers import PLAIN_BACKENDS, add_model, identity_config

# In a process of its own: what this looks for are hangs. A request holds its model from its making on.
SCRIPT = r"""
import ctypes, sys
core_path, repository, backends = sys.argv[1:]
core = ctypes.CDLL(core_path, mode=ctypes.RTLD_GLOBAL)
core.TRITONSERVER_ErrorMessage.restype = ctypes.c_char_p

def call(name, *arguments):
    function = getattr(core, "TRITONSERVER_" + name)
    function.restype = ctypes.c_void_p
    error = function(*arguments)
    return None if error is None else core.TRITONSERVER_ErrorMessage(ctypes.c_void_p(error)).decode()

options, server, request = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
assert call("ServerOptionsNew", ctypes.byref(options)) is None
assert call("ServerOptionsSetModelRepositoryPath", options, repository.encode()) is None
assert call("ServerOptionsSetBackendDirectory", options, backends.encode()) is None
assert call("ServerOptionsSetLogInfo", options, False) is None
assert call("ServerOptionsSetExitTimeout", options, 1) is None
assert call("ServerNew", ctypes.byref(server), options) is None
assert call("InferenceRequestNew", ctypes.byref(request), server, b"echo", ctypes.c_int64(-1)) is None
late = "Exit timeout expired. Exiting immediately."
assert call("ServerStop", server) == late
assert call("ServerDelete", server) == late
assert call("InferenceRequestDelete", request) is None
assert call("ServerDelete", server) is None
assert call("ServerOptionsDelete", options) is None
print("done")
"""


def test_delete_after_a_stop_that_ran_out_of_time_does_not_hang(tmp_path):
    if not CORE.exists():
        pytest.skip("the library is not built")
    add_model(tmp_path, "echo", identity_config("echo"))
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(CORE), str(tmp_path), str(PLAIN_BACKENDS)], timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.stdout.decode().endswith("done\n"), done.stdout.decode()
