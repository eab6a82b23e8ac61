# SPDX-License-Identifier: Apache-2.0
"""Starts the servers that tests talk to: Nereid, and the peer (Triton 2.51) that it is compared with.

NEREID_PREFIX is the build (or installed) prefix, NEREID_PEER the unpacked peer (tools/setup.sh); the defaults are build/
and build/peer. Each server listens on free loopback ports of its own and dies with its `Server` object.

Under a sanitizer (NEREID_SANITIZED names it) a server is ended as an operator would, so that leaks are reported, and a
report in its log fails the test that stops it. What runs inside the peer's programs comes from NEREID_PLAIN_PREFIX then, a
build without sanitizer, and waits take NEREID_SLOWDOWN times as long.

The peer is somebody else's program and has races of its own: about one start in fifty with several broken models in its
repository ends with SIGSEGV. Such an end says nothing about Nereid: a peer that a signal ends before it is ready is started
again, and conftest.py runs a test once more whose peer was ended by one later, its own or one that tests share. So it is
with other originals, which `run_original` runs. Each is counted in `peer_crashes`, which conftest.py prints. Nereid gets no
second try.
"""

import http.client
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import tempfile
import time
import weakref

ROOT = pathlib.Path(__file__).resolve().parent.parent
PREFIX = pathlib.Path(os.environ.get("NEREID_PREFIX", ROOT / "build"))
PEER = pathlib.Path(os.environ.get("NEREID_PEER", ROOT / "build/peer"))
PLAIN_PREFIX = pathlib.Path(os.environ.get("NEREID_PLAIN_PREFIX", PREFIX))
SANITIZED = os.environ.get("NEREID_SANITIZED", "")
SLOWDOWN = float(os.environ.get("NEREID_SLOWDOWN", "1"))
BACKENDS = PREFIX / "lib/nereid/backends"
PLAIN_BACKENDS = PLAIN_PREFIX / "lib/nereid/backends"
CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE)
PEER_STARTS = 3
peer_crashes = []  # one line for each peer that a signal of its own ended
running = weakref.WeakSet()  # each Server that has not been stopped
SANITIZER_REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error: ")
PROGRAMS = {
    "nereid": PREFIX / "bin/tritonserver",
    "peer": PEER / "pytriton/tritonserver/bin/tritonserver",
}


def port_range():
    """(first, behind the last) of the ports that the kernel gives to no outgoing connection."""
    try:
        low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    except OSError:
        low, high = 32768, 60999
    if low - 10000 >= 65536 - high:
        return 10000, low
    return (high + 1, 65536) if 65536 - high > 4096 else (10000, 65536)


def numbers(first, end):
    """All ports of the range, again and again, from somewhere: another run of the tests begins elsewhere."""
    at = random.SystemRandom().randrange(end - first)
    while True:
        yield first + at
        at = (at + 1) % (end - first)


PORTS = numbers(*port_range())


def free_ports(count):
    """Ports to listen on, none given twice. The kernel's choice (a bind to port 0) would not do: it takes such a port for the
    next outgoing connection as well, a client's, before the server that it is meant for has come to its bind."""
    ports = []
    while len(ports) < count:
        port = next(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        ports.append(port)
    return ports


def note_crashes():
    """Notes each running peer that has crashed and was not noted yet; whether there was one. Its sockets close a moment before
    its end can be seen."""
    noted = len(peer_crashes)
    end = time.monotonic() + 0.3
    while len(peer_crashes) == noted and time.monotonic() < end:
        for server in list(running):
            server.note_crash()
        time.sleep(0.05)
    return len(peer_crashes) > noted


def run_original(command, timeout=120, **options):
    """subprocess.run of somebody else's program, again if it crashes or hangs: neither is ours to mend."""
    command = [str(part) for part in command]
    for left in reversed(range(PEER_STARTS)):
        try:
            done = subprocess.run(command, timeout=timeout * SLOWDOWN, check=False, **options)
            how = f"ended with {done.returncode}" if done.returncode in CRASHES else ""
        except subprocess.TimeoutExpired:
            if left == 0:
                raise
            how = "did not end"
        if how and left > 0:
            peer_crashes.append(f"{' '.join(command)}: {how}")
        else:
            break
    return done


class Server:
    """One running server. `arguments` are added to the command line; `log` holds what it has printed. With `own_backends` it
    is told no folder of backends and has to find its own."""

    session = False  # whether its process leads a session of its own, to be killed with its children

    def __init__(self, name, repositories, *arguments, wait=True, env=None, program=None, timeout=60,
                 own_backends=False):
        self.name = name
        self.http_port, self.grpc_port, self.metrics_port = free_ports(3)
        self.log_file = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log", delete=False)
        if isinstance(repositories, (str, pathlib.Path)):
            repositories = [repositories]
        program = program or PROGRAMS[name]
        self.command = [str(part) for part in (program if isinstance(program, list) else [program])]
        self.command += [f"--model-repository={path}" for path in repositories]
        if not own_backends:
            self.command += [f"--backend-directory={PLAIN_BACKENDS if name == 'peer' else BACKENDS}"]
        self.command += [f"--http-port={self.http_port}", f"--grpc-port={self.grpc_port}",
                         f"--metrics-port={self.metrics_port}", "--http-address=127.0.0.1",
                         "--grpc-address=127.0.0.1", *arguments]
        self.env = {**os.environ, **(env or {})}
        self.starts, self.noted = 0, False
        running.add(self)
        self.start()
        if wait:
            self.wait_ready(timeout)

    def start(self):
        self.starts += 1
        self.process = subprocess.Popen(self.command, stdout=self.log_file, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL, env=self.env, start_new_session=self.session)

    def crashed(self):
        """Whether it is a peer that ended by a signal of its own making (tests send others)."""
        return self.name == "peer" and (self.process.poll() or 0) in CRASHES

    def note_crash(self):
        if not self.noted and self.crashed():
            self.noted = True
            peer_crashes.append(f"{' '.join(self.command[1:])}: ended with {self.process.returncode}")

    def started_again(self):
        """After a crash of the peer at its start: notes it, empties the log and starts it again; False if it was none or has
        been tried often enough."""
        if not self.crashed() or self.starts == PEER_STARTS:
            return False
        peer_crashes.append(f"{' '.join(self.command[1:])}: ended with {self.process.returncode} at its start")
        self.log_file.truncate(0)
        self.log_file.seek(0)
        self.start()
        return True

    def wait_end(self, timeout=60):
        """Until it has ended by itself, as one does that cannot start; returns the exit status."""
        while True:
            status = self.process.wait(timeout * SLOWDOWN)
            if not self.started_again():
                return status

    def wait_ready(self, timeout=60):
        """Until all three endpoints accept (the metrics one comes last); fails with the log."""
        end = time.monotonic() + timeout * SLOWDOWN
        while time.monotonic() < end:
            if self.process.poll() is not None:
                if self.started_again():
                    continue
                raise AssertionError(f"{self.name} exited with {self.process.returncode}:\n{self.log}")
            try:
                socket.create_connection(("127.0.0.1", self.metrics_port), 1).close()
                return
            except OSError:
                time.sleep(0.01)
        log = self.log
        self.process.kill()
        self.process.wait()
        raise AssertionError(f"{self.name} did not come up:\n{log}")

    @property
    def log(self):
        return pathlib.Path(self.log_file.name).read_text(errors="replace")

    @property
    def http_url(self):
        return f"127.0.0.1:{self.http_port}"

    @property
    def grpc_url(self):
        return f"127.0.0.1:{self.grpc_port}"

    def request(self, method, path, body=None, headers=None, port=None, timeout=30):
        """One request on a connection of its own: (status, reason, [(header, value)], body)."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http_port, timeout=timeout * SLOWDOWN)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            reply = connection.getresponse()
            return reply.status, reply.reason, reply.getheaders(), reply.read()
        finally:
            connection.close()

    def metrics(self):
        return self.request("GET", "/metrics", port=self.metrics_port)[3].decode()

    def rss_mb(self):
        """Resident memory; 0 under a sanitizer, whose shadow and quarantine drown what the server takes."""
        if SANITIZED in ("asan", "tsan"):
            return 0.0
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024

    def alive(self):
        return self.process.poll() is None

    def terminate(self, timeout=40):
        """Ends it as an operator would; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout * SLOWDOWN)

    def stop(self):
        """Ends it, by force; under a sanitizer gently, and a report in the log is an error."""
        report = None
        if SANITIZED and self.name == "nereid":
            report = self.sanitizer_report()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.note_crash()
        running.discard(self)
        self.log_file.close()
        try:
            os.unlink(self.log_file.name)
        except OSError:
            pass
        if report:
            raise AssertionError(report)

    def sanitizer_report(self):
        """Ends the server as an operator would; the log from the first report on, or None."""
        if self.process.poll() is None:
            try:
                self.terminate()
            except subprocess.TimeoutExpired:
                return f"it did not end at SIGTERM:\n{self.log}"
        log = self.log
        found = SANITIZER_REPORT.search(log)
        return log[log.rfind("\n", 0, found.start()) + 1:][:20000] if found else None

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stop()


def add_model(repository, name, config, files=None, versions=("1",)):
    """Writes a model directory: config.pbtxt (None: none) and {relative path: bytes or text}."""
    folder = pathlib.Path(repository) / name
    for version in versions:
        (folder / version).mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    for path, content in (files or {}).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def identity_config(name, datatype="TYPE_FP32", dims="[-1]", batch=0, extra="", pairs=1):
    """config.pbtxt of an identity model with INPUTn -> OUTPUTn."""
    text = f'name: "{name}"\nbackend: "identity"\nmax_batch_size: {batch}\n'
    for i in range(pairs):
        text += f'input {{ name: "INPUT{i}" data_type: {datatype} dims: {dims} }}\n'
        text += f'output {{ name: "OUTPUT{i}" data_type: {datatype} dims: {dims} }}\n'
    return text + 'instance_group { kind: KIND_CPU count: 1 }\n' + extra
