# SPDX-License-Identifier: Apache-2.0
"""What the tests of the interfaces share: which servers there are, certificates."""

import shutil
import subprocess

import pytest

from servers import PROGRAMS


@pytest.fixture(scope="session", params=sorted(PROGRAMS))
def server_name(request):
    """Each server that is there in turn: both must run our backends as they are."""
    if not PROGRAMS[request.param].exists():
        pytest.skip(f"{request.param} is not at {PROGRAMS[request.param]}")
    return request.param


def run(*command, cwd):
    subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """A folder with an authority, a server's and a client's certificate, and a stranger's."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("keys")
    for authority in ("ca", "stranger_ca"):
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}",
            "-keyout", f"{authority}.key", "-out", f"{authority}.crt", cwd=folder)
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "stranger_ca")):
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", f"{name}.key",
            "-out", f"{name}.csr", cwd=folder)
        run("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", f"{name}.crt", cwd=folder)
    return folder
