# SPDX-License-Identifier: Apache-2.0
"""What the tests do when the peer crashes, on a program that crashes as often as it is told."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

import servers

TESTS = pathlib.Path(servers.__file__).parent
PROGRAM = r'''
import os, pathlib, signal, socket, sys, time
starts = pathlib.Path(sys.argv[1])
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
print("start", len(starts.read_text()), flush=True)
if len(starts.read_text()) <= int(sys.argv[2]):
    os.kill(os.getpid(), signal.SIGSEGV)
if sys.argv[3] == "refuses":
    sys.exit(1)
port = next(int(a.split("=")[1]) for a in sys.argv if a.startswith("--metrics-port="))
with socket.create_server(("127.0.0.1", port)) as s:
    s.accept()
    if sys.argv[3] == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)
'''


def test_ports_are_taken_by_no_connection_and_given_once():
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = servers.free_ports(50)
    assert len(set(ports)) == 50
    if servers.port_range() != (10000, 65536):
        assert not any(low <= port <= high for port in ports)


def test_a_port_in_use_is_passed_over(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = servers.free_ports(1)[0]
        monkeypatch.setattr(servers, "PORTS", iter([port, other]))
        assert servers.free_ports(1) == [other]


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "peer_crashes", [])
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    running = []

    def run(name, crashes, then="serves", **more):
        program = [sys.executable, script, tmp_path / "starts", str(crashes), then]
        running.append(servers.Server(name, tmp_path, program=program, **more))
        return running[-1]
    yield run
    for server in running:
        server.stop()


def test_a_peer_that_crashes_at_its_start_is_started_again(start):
    peer = start("peer", 2)
    assert peer.alive() and peer.log == "start 3\n"
    assert len(servers.peer_crashes) == 2 and all("ended with -11 at its start" in line for line in servers.peer_crashes)


def test_a_peer_that_always_crashes_is_given_up(start):
    with pytest.raises(AssertionError, match="peer exited with -11"):
        start("peer", 9)


def test_the_status_of_a_peer_that_refuses_is_its_own(start):
    assert start("peer", 1, "refuses", wait=False).wait_end() == 1
    assert start("peer", 0, "refuses", wait=False).wait_end() == 1
    assert len(servers.peer_crashes) == 1


def test_nereid_gets_no_second_try(start):
    with pytest.raises(AssertionError, match="nereid exited with -11"):
        start("nereid", 1)
    assert start("nereid", 9, wait=False).wait_end() == -11
    assert servers.peer_crashes == []


def nested(tmp_path, text):
    """pytest on a file of its own, with our conftest.py."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "test_it.py").write_text(text)
    return subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "test_it.py"], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(TESTS)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


@pytest.mark.parametrize("name, passes", [("peer", True), ("nereid", False)])
def test_a_test_whose_peer_crashes_runs_once_more(tmp_path, name, passes):
    done = nested(tmp_path, f'''
import pathlib, sys
from servers import Server

def test_it(tmp_path):
    again = pathlib.Path({str(tmp_path)!r}) / "again"
    then = "serves" if again.exists() else "crashes"
    again.touch()
    with Server({name!r}, tmp_path, program=[sys.executable, {str(tmp_path / "program.py")!r}, tmp_path / "starts", "0", then]) as s:
        try:
            s.process.wait(0.5 if then == "serves" else 20)
        except Exception:
            pass
        assert s.alive()
''')
    assert (done.returncode == 0) == passes, done.stdout
    assert ("peer crashed: run once more: test_it.py::test_it" in done.stdout) == passes, done.stdout


@pytest.mark.parametrize("scope", ["module", "session"])
@pytest.mark.parametrize("name, passes", [("peer", True), ("nereid", False)])
def test_a_shared_peer_that_crashes_is_set_up_anew(tmp_path, name, passes, scope):
    done = nested(tmp_path, f'''
import os, signal, sys
import pytest
from servers import Server

@pytest.fixture(scope="{scope}")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    with Server({name!r}, folder, program=[sys.executable, {str(tmp_path / "program.py")!r}, folder / "starts", "0", "serves"]) as s:
        yield s
        assert s.alive()

def test_first(shared):
    assert shared.alive()

def test_that_ends_it_and_sees_nothing(shared):
    os.kill(shared.process.pid, signal.SIGSEGV)
    os.waitid(os.P_PID, shared.process.pid, os.WEXITED | os.WNOWAIT)

def test_next(shared):
    assert shared.alive()

def test_last(shared):
    assert shared.alive()
''')
    assert (done.returncode == 0) == passes, done.stdout
    assert ("run once more" in done.stdout) == passes, done.stdout


def test_an_original_that_crashes_runs_again(tmp_path, monkeypatch):
    monkeypatch.setattr(servers, "peer_crashes", [])
    (tmp_path / "program.py").write_text(PROGRAM)

    def run(name, crashes):
        return servers.run_original([sys.executable, tmp_path / "program.py", tmp_path / name, crashes, "refuses"], stdout=subprocess.DEVNULL)
    assert run("twice", 2).returncode == 1 and len(servers.peer_crashes) == 2
    assert run("always", 9).returncode == -11 and len(servers.peer_crashes) == 4
    assert run("never", 0).returncode == 1 and len(servers.peer_crashes) == 4


def test_an_original_that_hangs_runs_again(monkeypatch):
    monkeypatch.setattr(servers, "peer_crashes", [])
    with pytest.raises(subprocess.TimeoutExpired):
        servers.run_original(["sleep", 60], timeout=0.1)
    assert len(servers.peer_crashes) == 2 and all("did not end" in line for line in servers.peer_crashes)
