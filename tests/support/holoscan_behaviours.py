# SPDX-License-Identifier: Apache-2.0
"""Run by Holoscan's Python, beside ours: small applications whose behaviour is compared with the same ones of Nereid's.

    holoscan_behaviours.py CASE      prints one JSON line, what the operators did
"""

import json
import sys
import time

from holoscan.conditions import BooleanCondition, CountCondition, PeriodicCondition
from holoscan.core import Application, ConditionType, IOSpec, Operator

LOG = []


class Source(Operator):
    """Emits 1, 2, 3, ...; `times` of them in one compute."""

    def __init__(self, fragment, *args, times=1, first=0, **kwargs):
        self.value, self.times = first, times
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec):
        spec.output("out")

    def compute(self, op_input, op_output, context):
        for _ in range(self.times):
            self.value += 1
            op_output.emit(self.value, "out")


class Sink(Operator):
    def setup(self, spec):
        spec.input("in")

    def compute(self, op_input, op_output, context):
        LOG.append(op_input.receive("in"))


class Batch(Operator):
    def setup(self, spec):
        spec.input("in", size=IOSpec.IOSize(3))

    def compute(self, op_input, op_output, context):
        LOG.append(list(op_input.receive("in")))


class Any(Operator):
    def setup(self, spec):
        spec.input("in", size=IOSpec.ANY_SIZE)

    def compute(self, op_input, op_output, context):
        LOG.append(list(op_input.receive("in")))


class Free(Operator):
    """Waits for no message, and computes five times."""

    def setup(self, spec):
        spec.input("in").condition(ConditionType.NONE)

    def compute(self, op_input, op_output, context):
        LOG.append(op_input.receive("in"))


class Slow(Operator):
    """Says when it ticks, in tenths of its period; the first compute takes three and a half."""

    def __init__(self, fragment, *args, **kwargs):
        self.start_time = None
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec):
        pass

    def compute(self, op_input, op_output, context):
        now = time.monotonic()
        self.start_time = self.start_time or now
        LOG.append(now - self.start_time)
        if len(LOG) == 1:
            time.sleep(0.350)


class Failing(Operator):
    def __init__(self, fragment, *args, phase="", **kwargs):
        self.phase = phase
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec):
        spec.input("in")

    def start(self):
        LOG.append(f"start {self.name}")
        if self.phase == "start":
            raise ValueError("it cannot start")

    def compute(self, op_input, op_output, context):
        LOG.append(op_input.receive("in"))
        if self.phase == "compute":
            raise ValueError("it cannot compute")

    def stop(self):
        LOG.append(f"stop {self.name}")


CASES = {}


def case(compose):
    CASES[compose.__name__] = compose
    return compose


@case
def batch_leaves_the_rest(app):
    app.add_flow(Source(app, CountCondition(app, 7), name="tx"), Batch(app, name="rx"))


@case
def any_size_ends_with_the_shortest(app):
    rx = Any(app, name="rx")
    app.add_flow(Source(app, CountCondition(app, 5), name="a"), rx, {("out", "in")})
    app.add_flow(Source(app, CountCondition(app, 3), first=100, name="b"), rx, {("out", "in")})


@case
def source_waits_for_room(app):
    app.add_flow(Source(app, CountCondition(app, 9), name="tx"), Sink(app, name="rx"))


@case
def shorter_count_ends(app):
    app.add_flow(Source(app, CountCondition(app, 10), CountCondition(app, 20, name="other"), name="tx"), Sink(app, name="rx"))


@case
def boolean_false_never_runs(app):
    app.add_flow(Source(app, CountCondition(app, 5), BooleanCondition(app, enable_tick=False), name="tx"), Sink(app, name="rx"))


@case
def empty_input_gives_nothing(app):
    app.add_flow(Source(app, BooleanCondition(app, enable_tick=False), name="tx"), Free(app, CountCondition(app, 5), name="rx"))


@case
def two_emits_fault(app):
    app.add_flow(Source(app, CountCondition(app, 3), times=2, name="tx"), Sink(app, name="rx"))


@case
def failing_start(app):
    app.add_flow(Source(app, CountCondition(app, 3), name="tx"), Failing(app, phase="start", name="rx"))


@case
def failing_compute(app):
    app.add_flow(Source(app, CountCondition(app, 3), name="tx"), Failing(app, phase="compute", name="rx"))


def periodic(policy):
    def compose(app):
        app.add_operator(Slow(app, CountCondition(app, 5), PeriodicCondition(app, recess_period=100_000_000, policy=policy), name="slow"))
    return compose


for name in ("CatchUpMissedTicks", "MinTimeBetweenTicks", "NoCatchUpMissedTicks"):
    from holoscan.conditions import PeriodicConditionPolicy

    policies = {"CatchUpMissedTicks": "CATCH_UP_MISSED_TICKS", "MinTimeBetweenTicks": "MIN_TIME_BETWEEN_TICKS",
                "NoCatchUpMissedTicks": "NO_CATCH_UP_MISSED_TICKS"}
    CASES[f"periodic_{name}"] = periodic(getattr(PeriodicConditionPolicy, policies[name]))


class App(Application):
    def compose(self):
        CASES[sys.argv[1]](self)


if __name__ == "__main__":
    error = ""
    try:
        App().run()
    except Exception as e:  # noqa: BLE001 - what it is, is what is compared
        error = str(e)
    print("SAW " + json.dumps({"log": LOG, "failed": error != "", "error": error[:200]}), flush=True)
