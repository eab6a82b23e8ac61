#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer's side of bench/graph.py: the same applications in Holoscan, one a process; prints one JSON line.

Run by the interpreter that has `holoscan` (the package holoscan-cu13), with a stack of 32 MB. `ping` passes int32 between the
package's compiled operators; `chain` and `fan` need operators of one's own, and the package has headers for none but Python ones.
"""

import argparse
import json
import os
import resource
import time

STARTED = time.perf_counter()
os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "ERROR")

from holoscan.conditions import CountCondition, PeriodicCondition  # noqa: E402
from holoscan.core import Application, Operator, OperatorSpec  # noqa: E402
from holoscan.schedulers import EventBasedScheduler, GreedyScheduler, MultiThreadScheduler  # noqa: E402

IMPORTED = time.perf_counter()


def cpu_seconds():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def peak_mb():
    """Of this program alone; getrusage's number begins with what the process was before exec."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


class Source(Operator):
    def setup(self, spec: OperatorSpec):
        spec.output("out")

    def compute(self, op_input, op_output, context):
        op_output.emit([time.perf_counter_ns()], "out")


class Forward(Operator):
    def setup(self, spec: OperatorSpec):
        spec.input("in")
        spec.output("out")

    def compute(self, op_input, op_output, context):
        stamps = op_input.receive("in")
        stamps.append(time.perf_counter_ns())
        op_output.emit(stamps, "out")


class Branch(Operator):
    """A step between a fan-out and its join: the message goes on as it is, since all branches share it."""

    def setup(self, spec: OperatorSpec):
        spec.input("in")
        spec.output("out")

    def compute(self, op_input, op_output, context):
        op_output.emit(op_input.receive("in"), "out")


class Sink(Operator):
    def __init__(self, fragment, *args, **kwargs):
        self.rows = []
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec):
        spec.input("in")

    def compute(self, op_input, op_output, context):
        stamps = op_input.receive("in")
        stamps.append(time.perf_counter_ns())
        self.rows.append(stamps)


class Join(Operator):
    def __init__(self, fragment, *args, **kwargs):
        self.count = 0
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec):
        spec.input("in", size=-1)

    def compute(self, op_input, op_output, context):
        self.count += len(op_input.receive("in")) == 4


class First(Operator):
    """One compute, which notes when it happened."""

    def setup(self, spec: OperatorSpec):
        pass

    def compute(self, op_input, op_output, context):
        self.fragment.first = time.perf_counter()


class App(Application):
    def __init__(self, args):
        self.args = args
        self.last = None
        super().__init__()

    def compose(self):
        getattr(self, self.args.app)()

    def ping(self):
        from holoscan.operators.test_ops import DataTypeRxTestOp, DataTypeTxTestOp
        source = DataTypeTxTestOp(self, CountCondition(self, self.args.count), data_type="int32_t", name="source")
        self.add_flow(source, DataTypeRxTestOp(self, name="sink"))

    def ping_own(self):
        source = Source(self, CountCondition(self, self.args.count), name="source")
        self.last = Sink(self, name="sink")
        self.add_flow(source, self.last)

    def chain(self):
        period = int(1e9 / self.args.rate)
        before = Source(self, CountCondition(self, self.args.count), PeriodicCondition(self, period), name="op0")
        for i in range(1, 9):
            op = Forward(self, name=f"op{i}")
            self.add_flow(before, op)
            before = op
        self.last = Sink(self, name="op9")
        self.add_flow(before, self.last)

    def fan(self):
        source = Source(self, CountCondition(self, self.args.count), name="source")
        self.last = Join(self, name="join")
        for i in range(4):
            branch = Branch(self, name=f"branch{i}")
            self.add_flow(source, branch)
            self.add_flow(branch, self.last, {("out", "in")})

    def start(self):
        self.add_operator(First(self, CountCondition(self, 1), name="first"))


def percentile(values, share):
    return values[min(len(values) - 1, int(share * len(values)))]


def hops(rows):
    """Nanoseconds of every hop, without the first and last messages."""
    rows = rows[len(rows) // 20:]
    one = sorted(b - a for row in rows for a, b in zip(row, row[1:]))
    whole = sorted(row[-1] - row[0] for row in rows)
    result = {}
    for name, values in (("hop", one), ("end_to_end", whole)):
        for label, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
            result[f"{name}_{label}_ns"] = percentile(values, share)
        result[f"{name}_max_ns"] = values[-1]
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("app", choices=["ping", "ping_own", "chain", "fan", "start"])
    parser.add_argument("--scheduler", default="greedy", choices=["greedy", "event", "multi"])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--rate", type=float, default=1000.0)
    args = parser.parse_args()
    built = time.perf_counter()
    app = App(args)
    if args.scheduler == "event":
        app.scheduler(EventBasedScheduler(app, worker_thread_number=args.workers, name="scheduler"))
    elif args.scheduler == "multi":
        app.scheduler(MultiThreadScheduler(app, worker_thread_number=args.workers, check_recession_period_ms=0.0,
                                           name="scheduler"))
    else:
        app.scheduler(GreedyScheduler(app, name="scheduler"))
    cpu = cpu_seconds()
    begin = time.perf_counter()
    app.run()
    wall = time.perf_counter() - begin
    cpu = cpu_seconds() - cpu
    out = {"app": args.app, "scheduler": args.scheduler, "workers": args.workers, "count": args.count,
           "wall_s": wall, "cpu_s": cpu, "messages_per_s": args.count / wall,
           "rss_mb": peak_mb()}
    if args.app == "chain":
        out |= hops(app.last.rows)
        out["delivered"] = len(app.last.rows)
    elif args.app == "ping_own":
        out["delivered"] = len(app.last.rows)
    elif args.app == "fan":
        out["delivered"] = app.last.count
    elif args.app == "start":
        out["ready_ms"] = (app.first - built) * 1e3
        out["import_ms"] = (IMPORTED - STARTED) * 1e3
    print(json.dumps(out))


if __name__ == "__main__":
    main()
