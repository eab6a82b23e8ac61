# SPDX-License-Identifier: Apache-2.0
"""Run by Holoscan's Python, beside ours: records frames, or replays a recording and says what it saw.

    record DIRECTORY BASENAME CASE      a case of CASES below
    replay DIRECTORY BASENAME           one JSON line a frame: {name: [dtype, shape, sha256 of its elements in row-major order]}
"""

import hashlib
import json
import sys

import numpy as np
from holoscan.conditions import CountCondition
from holoscan.core import Application, Operator
from holoscan.operators import VideoStreamRecorderOp, VideoStreamReplayerOp

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]


def frame(i, dtype=np.uint8, shape=(32, 48, 3)):
    """Numbers that differ from frame to frame."""
    return (np.arange(np.prod(shape)) * 7 + i * 13).astype(np.uint8).astype(dtype).reshape(shape)


CASES = {
    "frames": lambda i: {"frame": frame(i)},
    "unnamed": lambda i: {"": frame(i)},
    "types": lambda i: {t: frame(i, t, (4, 5)) for t in DTYPES},
    "ranks": lambda i: {f"r{r}": frame(i, np.int32, tuple(range(1, r + 1))) for r in range(1, 7)},
    "columns": lambda i: {"frame": np.asfortranarray(frame(i))},
    "timed": lambda i: {"frame": frame(i)},
}
COUNT = 5


class Source(Operator):
    def __init__(self, fragment, *args, case, **kwargs):
        self.case = case
        self.i = 0
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec):
        spec.output("out")

    def compute(self, op_input, op_output, context):
        more = {"acq_timestamp": 1000 + self.i} if self.case == "timed" else {}
        op_output.emit(CASES[self.case](self.i), "out", **more)
        self.i += 1


class Sink(Operator):
    def setup(self, spec):
        spec.input("in")

    def compute(self, op_input, op_output, context):
        seen = {}
        for name, tensor in op_input.receive("in").items():
            array = np.asarray(tensor)
            seen[name] = [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes(order="C")).hexdigest()]
        print("FRAME " + json.dumps(seen, sort_keys=True), flush=True)


class App(Application):
    def compose(self):
        what, directory, basename = sys.argv[1:4]
        files = {"directory": directory, "basename": basename}
        if what == "record":
            source = Source(self, CountCondition(self, COUNT), case=sys.argv[4], name="source")
            self.add_flow(source, VideoStreamRecorderOp(self, name="recorder", **files))
        else:
            replayer = VideoStreamReplayerOp(self, name="replayer", realtime=False, ignore_corrupted_entities=False, **files)
            self.add_flow(replayer, Sink(self, name="sink"), {("output", "in")})


if __name__ == "__main__":
    App().run()
