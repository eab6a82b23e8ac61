#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nereid beside the peer server (Triton 2.51), in one run: the table of docs/performance.md.

Both servers load the same repository with the same `identity` backend file. The server is pinned to one processor,
the load generator (bench/load.c) to another; the two servers take turns, several rounds a case, and a row shows the
medians: server CPU microseconds per request (the steadiest figure), requests a second, p50 and p99, and the ratio to
the peer. `echo` rows are bench/echo.c with the same bytes: the kernel's own share. Then milliseconds from start to
ready, and resident memory.
"""

import argparse
import glob
import json
import os
import pathlib
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time

PORTS = {"nereid": 18810, "peer": 18820}
SIZES = {"16 floats": [16], "602 KB": [3, 224, 224]}
LARGE = {"19 MB": [32, 3, 224, 224], "77 MB": [128, 3, 224, 224]}


def model_config(name):
    """An identity model: FP32 of any shape in, the same out, one CPU instance, no batching."""
    return (f'name: "{name}"\nbackend: "identity"\nmax_batch_size: 0\n'
            'input [{name: "INPUT0" data_type: TYPE_FP32 dims: [-1]}]\n'
            'output [{name: "OUTPUT0" data_type: TYPE_FP32 dims: [-1]}]\n'
            'instance_group [{kind: KIND_CPU count: 1}]\n')


def make_repository(folder, count):
    for i in range(count):
        model = folder / f"identity_{i}"
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(model_config(model.name))
    return folder


def floats(shape):
    """The tensor's bytes: 0, 1, 2, ... as float32."""
    count = 1
    for dim in shape:
        count *= dim
    return struct.pack(f"<{count}f", *range(count)), count


def http_infer(shape):
    data, count = floats(shape)
    head = json.dumps({"inputs": [{"name": "INPUT0", "shape": [count], "datatype": "FP32",
                                   "parameters": {"binary_data_size": len(data)}}],
                       "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}]},
                      separators=(",", ":")).encode()
    return (b"POST /v2/models/identity_0/infer HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/octet-stream\r\n"
            + f"Inference-Header-Content-Length: {len(head)}\r\nContent-Length: {len(head) + len(data)}\r\n\r\n".encode()
            + head + data)


def http_health():
    return b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


def grpc_frame(message):
    data = message.SerializeToString()
    return b"\0" + struct.pack(">I", len(data)) + data


def grpc_infer(shape):
    from tritonclient.grpc import service_pb2 as pb
    data, count = floats(shape)
    request = pb.ModelInferRequest(model_name="identity_0")
    tensor = request.inputs.add(name="INPUT0", datatype="FP32", shape=[count])
    assert tensor.name
    request.outputs.add(name="OUTPUT0")
    request.raw_input_contents.append(data)
    return grpc_frame(request)


def grpc_health():
    from tritonclient.grpc import service_pb2 as pb
    return grpc_frame(pb.ServerLiveRequest())


SERVICE = "/inference.GRPCInferenceService/"


def cases(large):
    """(title, kind, request bytes, path, tensor shape or None)"""
    yield "health HTTP", "http", http_health(), "", None
    yield "health gRPC", "grpc", grpc_health(), SERVICE + "ServerLive", None
    for title, shape in (SIZES | LARGE if large else SIZES).items():
        yield f"{title} HTTP", "http", http_infer(shape), "", shape
        yield f"{title} gRPC", "grpc", grpc_infer(shape), SERVICE + "ModelInfer", shape
        yield f"{title} gRPC stream", "stream", grpc_infer(shape), SERVICE + "ModelStreamInfer", shape


def cpu_ns(pid):
    """Processor time of all threads, in ns (threads that ended are not in it; servers keep theirs)."""
    total = 0
    for task in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        try:
            total += int(pathlib.Path(task).read_text().split()[0])
        except (OSError, ValueError):
            pass
    return total


def rss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Server:
    """One server under test; `start` returns the ms until it says that it is ready."""

    def __init__(self, name, program, backends, cpu):
        self.name, self.program, self.backends, self.cpu = name, program, backends, cpu
        self.port = PORTS[name]
        self.process = None

    def start(self, repository):
        command = ["taskset", "-c", str(self.cpu), self.program, f"--model-repository={repository}",
                   f"--backend-directory={self.backends}", f"--http-port={self.port}",
                   f"--grpc-port={self.port + 1}", f"--metrics-port={self.port + 2}",
                   "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--log-info=false",
                   "--log-warning=false", "--allow-gpu-metrics=false"]
        begin = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        request = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        while True:
            if self.process.poll() is not None or time.monotonic() - begin > 60:
                raise SystemExit(f"bench: {self.name} did not become ready")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                    s.sendall(request)
                    if s.recv(64).startswith(b"HTTP/1.1 200"):
                        return (time.monotonic() - begin) * 1000
            except OSError:
                pass
            time.sleep(0.0005)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def load(self, args, kind, request_file, path, concurrency, seconds):
        port = self.port + (kind in ("grpc", "stream"))
        before = cpu_ns(self.process.pid)
        done = subprocess.run(["taskset", "-c", str(args.client_cpu), args.load, kind, "127.0.0.1", str(port),
                               str(concurrency), str(seconds), request_file, path or "0"],
                              stdout=subprocess.PIPE, check=False)
        if done.returncode != 0 or self.process.poll() is not None:
            return None
        result = json.loads(done.stdout)
        result["cpu_us"] = (cpu_ns(self.process.pid) - before) / 1e3 / max(result["requests"], 1)
        return result


def run_echo(args, request_size, reply_size, concurrency, seconds, request_file):
    process = subprocess.Popen(["taskset", "-c", str(args.server_cpu), args.echo, "0", str(request_size), str(reply_size)],
                               stdout=subprocess.PIPE)
    port = process.stdout.readline().decode().strip()
    done = subprocess.run(["taskset", "-c", str(args.client_cpu), args.load, "echo", "127.0.0.1", port, str(concurrency),
                           str(seconds), request_file, str(reply_size)], stdout=subprocess.PIPE, check=True)
    result = json.loads(done.stdout)
    result["cpu_us"] = cpu_ns(process.pid) / 1e3 / max(result["requests"], 1)
    process.kill()
    process.wait()
    return result


def median(rounds, key):
    values = [r[key] for r in rounds if r is not None]
    return statistics.median(values) if values else float("nan")


def per_request(result):
    return result["requests"] / result["seconds"]


def bench_requests(args, servers, work, rows):
    repository = make_repository(work / "one", 1)
    for server in servers:
        server.start(repository)
    idle = {s.name: rss_mb(s.process.pid) for s in servers}
    for title, kind, request, path, shape in cases(args.large):
        if args.only and args.only not in title:
            continue
        request_file = work / "request"
        request_file.write_bytes(request)
        for concurrency in args.concurrency:
            results = {s.name: [] for s in servers}
            echo = []
            for _ in range(args.rounds):
                for server in servers:
                    result = server.load(args, kind, str(request_file), path, concurrency, args.seconds)
                    if result is not None:
                        result["rate"] = per_request(result)
                    results[server.name].append(result)
                    if server.process.poll() is not None:
                        print(f"  ({server.name} died in: {title}, concurrency {concurrency})", flush=True)
                        server.stop()
                        server.start(repository)
                if kind != "stream":
                    reply = 64 if shape is None else len(floats(shape)[0]) + 200
                    echo.append(run_echo(args, len(request), reply, concurrency, args.seconds / 2, str(request_file)))
            row = {"case": title, "concurrency": concurrency}
            for name, rounds in results.items():
                for key in ("cpu_us", "rate", "p50_us", "p99_us", "errors"):
                    row[f"{name}_{key}"] = median(rounds, key)
            row["echo_cpu_us"] = median(echo, "cpu_us") if echo else None
            rows.append(row)
            print_row(row, len(servers))
    time.sleep(5)  # a server may give memory back when it is idle
    loaded = {s.name: rss_mb(s.process.pid) for s in servers}
    for server in servers:
        server.stop()
    return idle, loaded


def print_row(row, servers):
    echo = f"{row['echo_cpu_us']:.1f}" if row["echo_cpu_us"] else "-"
    text = (f"| {row['case']} | {row['concurrency']} | {row['nereid_cpu_us']:.1f} | "
            f"{row.get('peer_cpu_us', float('nan')):.1f} | ")
    if servers > 1:
        text += f"{row['nereid_cpu_us'] / row['peer_cpu_us']:.2f} | "
    text += f"{echo} | "
    text += f"{row['nereid_cpu_us'] / row['echo_cpu_us']:.2f} | " if row["echo_cpu_us"] else "- | "
    text += f"{row['nereid_rate']:.0f} / {row.get('peer_rate', float('nan')):.0f} | "
    text += f"{row['nereid_p50_us']:.0f} / {row.get('peer_p50_us', float('nan')):.0f} | "
    text += f"{row['nereid_p99_us']:.0f} / {row.get('peer_p99_us', float('nan')):.0f} |"
    print(text, flush=True)


def bench_start(args, servers, work):
    print("\n| models | nereid ms to ready | peer ms to ready | nereid MB | peer MB |\n|---|---|---|---|---|")
    for count in (0, 1, 10, 100):
        repository = make_repository(work / f"start{count}", count)
        repository.mkdir(exist_ok=True)
        took = {s.name: [] for s in servers}
        memory = {s.name: [] for s in servers}
        for _ in range(args.rounds):
            for server in servers:
                took[server.name].append(server.start(repository))
                time.sleep(0.2)
                memory[server.name].append(rss_mb(server.process.pid))
                server.stop()
        cells = [f"{statistics.median(took[s.name]):.1f}" for s in servers]
        cells += [f"{statistics.median(memory[s.name]):.1f}" for s in servers]
        print(f"| {count} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", default="build")
    parser.add_argument("--peer", default="build/peer", help="folder of the unpacked peer; empty: Nereid alone")
    parser.add_argument("--seconds", type=float, default=2.0, help="of load a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=lambda t: [int(x) for x in t.split(",")], default=[1, 8, 64])
    parser.add_argument("--only", default="", help="only cases whose title holds this")
    parser.add_argument("--large", action="store_true", help="tensors of 19 and 77 MB too: --only MB with few at a time")
    parser.add_argument("--no-start", action="store_true")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    parser.add_argument("--json", default="", help="write the rows here too")
    args = parser.parse_args()
    prefix = pathlib.Path(args.prefix).resolve()
    args.load, args.echo = str(prefix / "bench/load"), str(prefix / "bench/echo")
    backends = prefix / "lib/nereid/backends"
    servers = [Server("nereid", str(prefix / "bin/tritonserver"), backends, args.server_cpu)]
    if args.peer:
        program = pathlib.Path(args.peer).resolve() / "pytriton/tritonserver/bin/tritonserver"
        servers.append(Server("peer", str(program), backends, args.server_cpu))
    work = pathlib.Path(tempfile.mkdtemp(prefix="nereid-bench-"))
    rows = []
    try:
        print("server CPU microseconds per request; then both servers' requests/s, p50 and p99 (us)\n")
        print("| case | concurrency | nereid | peer | ratio | echo | nereid / echo | requests/s | p50 | p99 |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        idle, loaded = bench_requests(args, servers, work, rows)
        print("\nresident MB: " + ", ".join(f"{n} {idle[n]:.1f} at start, {loaded[n]:.1f} five seconds after the load" for n in idle))
        if not args.no_start:
            bench_start(args, servers, work)
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(rows, indent=1))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
