#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streaming graphs beside Holoscan: the same applications in both, turn by turn in one run; prints tables with ratios.

Ours is bench/graph_hop.c (operators in C); the peer's is bench/graph_peer.py, run by the interpreter in --peer. Of the peer, `ping` uses
the package's compiled operators; `chain` and `fan` Python ones, because the package has headers for none but those, so their rows say
what a user of the package gets, not what its scheduler alone costs. Quote ratios: the machine decides the rest.
"""

import argparse
import collections
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
STACK = 32 << 20  # what Holoscan wants


def big_stack():
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (STACK if hard == resource.RLIM_INFINITY else min(STACK, hard), hard))


def lines(command, **more):
    """The JSON lines that a command prints; None when it fails (the peer's runs do, now and then)."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=600, stdin=subprocess.DEVNULL, **more)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 and not found:
        print(f"  {command[0]} ... ended with {done.returncode}: {done.stderr.strip()[-200:]}", file=sys.stderr)
    return found


class Bench:
    def __init__(self, args):
        self.hop = args.prefix / "bench/graph_hop"
        self.python = args.peer / "bin/python"
        self.figures = collections.defaultdict(list)  # (side, case, figure) -> values

    def ours(self, *arguments):
        for row in lines([self.hop, *arguments]):
            case = row["bench"] + (" " + row["scheduler"] if "scheduler" in row else "") + (" " + row["mode"] if "mode" in row else "")
            for name, value in row.items():
                if isinstance(value, (int, float)):
                    self.figures["ours", case, name].append(value)

    def peer(self, case, *arguments):
        for row in lines([self.python, HERE / "graph_peer.py", *arguments], preexec_fn=big_stack,
                         env={**os.environ, "HOLOSCAN_LOG_LEVEL": "ERROR"}):
            for name, value in row.items():
                if isinstance(value, (int, float)):
                    self.figures["peer", case, name].append(value)

    def get(self, side, case, name):
        values = self.figures.get((side, case, name))
        return statistics.median(values) if values else None


def cell(value, digits=1):
    return "-" if value is None else f"{value:,.{digits}f}"


def table(title, head, rows):
    print(f"\n### {title}\n\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


SCHEDULERS = [("greedy", ["greedy"], "greedy"), ("event_based_1", ["event", "--workers", "1"], "event-based, 1 worker"),
              ("event_based_2", ["event", "--workers", "2"], "event-based, 2 workers"),
              ("multi_thread_2", ["multi", "--workers", "2"], "multi-thread, 2 workers")]


def measure(bench, args):
    for round_number in range(args.rounds):
        print(f"round {round_number + 1} of {args.rounds}", file=sys.stderr)
        bench.ours("ping", args.count * 20)
        for _, peer, name in SCHEDULERS:
            bench.peer(f"ping {name}", "ping", "--count", args.count if peer[0] == "greedy" else args.count // 10, "--scheduler", *peer)
        bench.ours("chain", args.seconds)
        for _, peer, name in SCHEDULERS:
            bench.peer(f"chain {name}", "chain", "--count", int(args.seconds * 1000), "--scheduler", *peer)
        bench.ours("fan", args.count * 5)
        for _, peer, name in SCHEDULERS:
            bench.peer(f"fan {name}", "fan", "--count", args.count // 20, "--scheduler", *peer)
        bench.ours("pinned", 2000)
        bench.ours("start")
        bench.peer("start", "start")


def ratio(a, b):
    return "-" if not a or not b else f"{a / b:,.1f}"


def report(bench):
    rows = []
    for own, _, name in SCHEDULERS:
        mine = bench.get("ours", f"ping {own}", "per_second")
        its = bench.get("peer", f"ping {name}", "messages_per_s")
        count, cpu = bench.get("ours", f"ping {own}", "messages"), bench.get("ours", f"ping {own}", "cpu_s")
        peer_count, peer_cpu = bench.get("peer", f"ping {name}", "count"), bench.get("peer", f"ping {name}", "cpu_s")
        per, peer_per = (cpu / count * 1e9 if cpu else None), (peer_cpu / peer_count * 1e9 if peer_cpu else None)
        rows.append([name, cell(mine, 0), cell(its, 0), ratio(mine, its), cell(per, 0), cell(peer_per, 0), ratio(peer_per, per)])
    table("One message from a source to a sink", ["scheduler", "messages/s", "Holoscan's", "times", "CPU ns a message", "Holoscan's", "times"], rows)
    rows = []
    for own, _, name in SCHEDULERS:
        row = [name]
        for figure in ("p50", "p99", "p999"):
            mine = bench.get("ours", f"chain_of_ten {own}", f"e2e_{figure}_us")
            its = bench.get("peer", f"chain {name}", f"end_to_end_{figure}_ns")
            its = its / 1000 if its else None
            row += [cell(mine), cell(its), ratio(its, mine)]
        cpu, peer_cpu = bench.get("ours", f"chain_of_ten {own}", "cpu_s"), bench.get("peer", f"chain {name}", "cpu_s")
        rows.append(row + [ratio(peer_cpu, cpu)])
    table("Ten operators in a row at 1 kHz: microseconds from the first to the last",
          ["scheduler", "p50", "Holoscan's", "times", "p99", "Holoscan's", "times", "p99.9", "Holoscan's", "times", "CPU, times less"], rows)
    rows = []
    for own, _, name in SCHEDULERS:
        mine, its = bench.get("ours", f"fan_out_join {own}", "joins_per_second"), bench.get("peer", f"fan {name}", "messages_per_s")
        rows.append([name, cell(mine, 0), cell(its, 0), ratio(mine, its)])
    table("One to four branches and joined again", ["scheduler", "joins/s", "Holoscan's", "times"], rows)
    rows = []
    for mode in ("parked", "spinning"):
        rows.append([mode] + [cell(bench.get("ours", f"across_threads {mode}", f"{p}_us"), 2) for p in ("p50", "p99", "p999")])
    table("A hop between two threads, microseconds (Holoscan's figures of this are in the chain above)", ["waiting", "p50", "p99", "p99.9"], rows)
    table("Start and memory", ["", "ours", "Holoscan's"],
          [["from composing to the first execution and the end, ms", cell(bench.get("ours", "start", "compose_to_end_ms"), 2),
            cell(bench.get("peer", "start", "ready_ms"))],
           ["largest resident memory, MB", cell(bench.get("ours", "start", "peak_rss_mb")), cell(bench.get("peer", "start", "rss_mb"))]])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prefix", type=pathlib.Path, required=True)
    parser.add_argument("--peer", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=100000, help="messages of the peer's greedy ping; others follow")
    parser.add_argument("--seconds", type=float, default=5, help="length of the chain's run")
    args = parser.parse_args()
    if not (args.peer / "bin/python").exists():
        raise SystemExit(f"graph.py: no Holoscan in {args.peer}: tools/setup.sh test installs it")
    bench = Bench(args)
    measure(bench, args)
    report(bench)


if __name__ == "__main__":
    main()
