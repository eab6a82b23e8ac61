# SPDX-License-Identifier: Apache-2.0
"""One of the walls: NVIDIA's own `tritonserver` program on our libtritonserver.so.

The program's run path leads to ../lib beside it, so a copy of it in a folder of its own takes whatever library lies there
under the name it was linked with. Everything else it needs comes from the peer.
"""

import atexit
import os
import pathlib
import re
import shutil
import tempfile

from servers import PEER, PLAIN_PREFIX, PROGRAMS, Server

CORE = PLAIN_PREFIX / "lib/libtritonserver.so"


def peer_on_core():
    """The copy of the program, or None when the peer or our library is not there."""
    if not PROGRAMS["peer"].exists() or not CORE.exists():
        return None
    home = pathlib.Path(tempfile.gettempdir()) / f"nereid-peer-on-core-{os.getuid()}-{os.getpid()}"
    program = home / "bin/tritonserver"
    if not program.exists():
        names = set(re.findall(rb"libtritonserver[0-9a-f-]*\.so", PROGRAMS["peer"].read_bytes()))
        atexit.register(shutil.rmtree, home, True)
        (home / "bin").mkdir(parents=True)
        (home / "lib").mkdir()
        shutil.copy(PROGRAMS["peer"], program)
        for name in names:
            (home / "lib" / name.decode()).symlink_to(CORE.resolve())
    return program


def start(front, repositories, *arguments, env=None, **more):
    """A server of that kind: nereid, peer, or peer_on_core (their program, our core)."""
    if front == "peer_on_core":
        libraries = f"{PEER / 'nvidia_pytriton.libs'}"
        return Server("peer", repositories, *arguments, program=peer_on_core(),
                      env={"LD_LIBRARY_PATH": libraries, **(env or {})}, **more)
    return Server(front, repositories, *arguments, env=env, **more)


def available(front):
    if front == "peer_on_core":
        return peer_on_core() is not None
    return PROGRAMS[front].exists()
