# SPDX-License-Identifier: Apache-2.0
"""Leads tests/tools/client_probe.c, a program on the public C client: one command, one JSON answer."""

import json
import os
import struct
import subprocess

from servers import PREFIX, SANITIZER_REPORT

PROGRAM = PREFIX / "tests/tools/client_probe"


class Failed(Exception):
    """What the client said: `code`, `text` in full, and `said`, the server's part of it."""

    def __init__(self, error):
        super().__init__(f"{error['code']}: {error['text']}")
        self.code, self.text = error["code"], error["text"]


def f32(*values):
    return struct.pack(f"<{len(values)}f", *values).hex()


def tensor(name, dtype, shape, data):
    return f"input={name}:{dtype}:{','.join(map(str, shape))}:{data}"


class Probe:
    """A client of `url`. ask("infer", "model", ...) gives what the call gave, or raises Failed."""

    def __init__(self, url, **options):
        words = [f"{key}={value}" for key, value in options.items()]
        self.process = subprocess.Popen([PROGRAM, url, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=os.environ)

    def send(self, *words):
        self.process.stdin.write("\t".join(str(word) for word in words).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"the client ended with {self.process.wait()}:\n{self.process.stderr.read().decode()}"
        value = json.loads(line)
        if isinstance(value, dict) and "error" in value:
            raise Failed(value["error"])
        return value

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def infer(self, model, *words):
        return self.ask("infer", model, *words)

    def close(self):
        self.process.stdin.close()
        status = self.process.wait(60)
        errors = self.process.stderr.read().decode()
        self.process.stdout.close()
        self.process.stderr.close()
        assert status == 0 and not SANITIZER_REPORT.search(errors), f"the client ended with {status}:\n{errors}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *what):
        if kind is None:
            self.close()
        else:
            self.process.kill()
            self.process.wait()
