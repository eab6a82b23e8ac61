# SPDX-License-Identifier: Apache-2.0
"""Reads many configurations with Nereid's reader and with the peer, and compares what comes out: the configuration as JSON,
byte for byte but for the order of maps (which the peer leaves to chance), or the error, word for word.

Nereid's side is the program tests/tools/config_print; the peer is asked to load each model, with backends that complete
nothing, and its answer or its log tells.
"""

import json
import re
import shutil
import subprocess

import pytest

import config_cases as cases
from servers import PREFIX, PROGRAMS, Server, add_model

PRINTER = PREFIX / "tests/tools/config_print"
MAPS = {"parameters", "metric_tags", "cc_model_filenames", "inputs", "priority_queue_policy", "input_map", "output_map"}
NULL_BACKEND = "void *TRITONBACKEND_ModelInstanceExecute(void *i, void **r, unsigned n) { (void)i; (void)r; (void)n; return 0; }\n"
BACKENDS = ["fake", "onnxruntime", "pytorch", "tensorrt", "python", "tensorflow", "openvino"]


class Peer:
    """The peer, started again when a configuration ends it."""

    def __init__(self, folder):
        self.folder = folder
        self.repository = folder / "models"
        self.repository.mkdir()
        source = folder / "null.c"
        source.write_text(NULL_BACKEND)
        for name in BACKENDS:
            (folder / "backends" / name).mkdir(parents=True)
            subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "backends" / name / f"libtriton_{name}.so", source],
                           check=True)
        self.server = None
        self.count = 0

    def new_name(self):
        self.count += 1
        return f"m{self.count}"

    def load(self, name, override=None):
        """(line as of config_print, what was logged meanwhile)."""
        if self.server is None or not self.server.alive():
            self.stop()
            self.server = Server("peer", self.repository, "--model-control-mode=explicit",
                                 f"--backend-directory={self.folder / 'backends'}")
        before = len(self.server.log)
        body = json.dumps({"parameters": {"config": override}}) if override is not None else None
        try:
            status, _, _, reply = self.server.request("POST", f"/v2/repository/models/{name}/load", body, timeout=15)
        except OSError:
            self.stop()
            return "the peer ended or hung", ""
        log = self.server.log[before:]
        if status == 200:
            return "ok " + self.server.request("GET", f"/v2/models/{name}/config")[3].decode(), log
        text = json.loads(reply)["error"]
        polled = re.search(r'Poll failed for model directory \'[^\']*\': (.*)"$', log, re.M)
        if polled:
            return "poll " + json.loads(f'"{polled.group(1)}"'), log
        failed = re.match(r"load failed for model '[^']*': version \d+ is at \w+ state: (.*);\n$", text, re.S)
        return ("load " + failed.group(1) if failed else text), log

    def stop(self):
        if self.server is not None:
            self.server.stop()
            self.server = None


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    for program in (PROGRAMS["peer"], PRINTER):
        if not program.exists():
            pytest.skip(f"{program} is not there")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler for the peer's null backends")
    made = Peer(tmp_path_factory.mktemp("config"))
    yield made
    made.stop()


def ours(folder, *arguments):
    done = subprocess.run([PRINTER, *arguments, folder], capture_output=True, timeout=10)
    line = done.stdout.decode().rstrip("\n")
    # The peer's log has no code before the text of a failed poll.
    return re.sub(r"^poll [A-Z][a-z ]+: ", "poll ", line), done.stderr.decode("utf-8", "replace")


def sort_maps(text):
    def walk(value, key=None):
        if isinstance(value, list):
            return [walk(v) for v in value]
        if isinstance(value, dict):
            is_map = key in MAPS or (key == "input" and all(isinstance(v, dict) and "dim" in v for v in value.values()))
            items = sorted(value.items()) if is_map else value.items()
            return {k: walk(v, None if is_map else k) for k, v in items}
        return value
    return json.dumps(walk(json.loads(text)), ensure_ascii=False)


# Found good by the reader, refused by what comes after it: components of ensembles, label files, files of state and warm-up.
LATER = ("contains models that are not available or ambiguous", "failed to open text file", "at least one version must be",
         "initial state", "Attempted to access", "is outside", "warmup", "failed to stat file", "unable to find backend library")


def compare(mine, theirs):
    if mine.startswith("ok ") and any(text in theirs for text in LATER) and not theirs.startswith(("ok ", "poll ")):
        return
    if mine.startswith("ok ") and theirs.startswith("ok "):
        assert sort_maps(mine[3:]) == sort_maps(theirs[3:])
        if not any(f'"{name}":{{"' in mine for name in MAPS):
            assert mine == theirs  # to the byte
    else:
        assert mine == theirs


@pytest.mark.parametrize("text", cases.TEXTS)
def test_config_text_reads_as_the_peer_reads_it(peer, text):
    name = peer.new_name()
    folder = add_model(peer.repository, name, text)
    theirs, _ = peer.load(name)
    mine, _ = ours(folder)
    assert mine.startswith(("ok ", "poll ", "load "))
    compare(mine, theirs)


@pytest.mark.parametrize("text", cases.SYNTAX)
def test_config_syntax_error_has_the_peers_words(peer, text):
    name = peer.new_name()
    folder = add_model(peer.repository, name, text)
    theirs, their_log = peer.load(name)
    mine, my_log = ours(folder)
    compare(mine, theirs)
    reason = re.compile(r"Error parsing text-format (inference\.ModelConfig: .*)")
    # Nereid's line is a quoted JSON string, the peer's comes from protobuf as it is.
    my_line = json.loads('"' + re.search(r'"(.*)"$', my_log, re.M).group(1) + '"')
    assert reason.search(my_line).group(1) == reason.search(their_log).group(1)


@pytest.mark.parametrize("override", cases.OVERRIDES)
def test_config_override_reads_as_the_peer_reads_it(peer, override):
    name = peer.new_name()
    folder = add_model(peer.repository, name, None)
    theirs, _ = peer.load(name, override)
    compare(ours(folder, "--override", override)[0], theirs)


@pytest.mark.parametrize("text,files", cases.DIRECTORIES)
def test_config_backend_is_guessed_as_the_peer_guesses(peer, text, files):
    name = peer.new_name()
    folder = add_model(peer.repository, name, text, files)
    theirs, _ = peer.load(name)
    compare(ours(folder)[0], theirs)
