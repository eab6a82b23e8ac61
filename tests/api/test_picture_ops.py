# SPDX-License-Identifier: Apache-2.0
"""Picture operators beside numpy and Pillow, and the visualiser's live page, through `nereid run`."""

import io
import json
import os
import pathlib
import re
import subprocess
import threading
import urllib.request

import numpy as np
import pytest
from PIL import Image

from servers import PREFIX

NEREID = str(PREFIX / "bin/nereid")
ROOT = pathlib.Path(__file__).resolve().parents[2]
PICTURES = sorted((ROOT / "examples/pictures").glob("*.png"))
SLOWDOWN = int(os.environ.get("NEREID_SLOWDOWN", "1"))


def convert(tmp_path, parameters):
    """The samples through one FormatConverterOp: their arrays, in the order of their names."""
    app = {"operators": [
        {"name": "source", "type": "PictureSourceOp", "parameters": {"path": str(PICTURES[0].parent)}},
        {"name": "convert", "type": "FormatConverterOp", "parameters": parameters},
        {"name": "sink", "type": "PictureSinkOp", "parameters": {"directory": str(tmp_path / "out"), "pattern": "{file}.png"}}],
        "flows": ["source -> convert", "convert -> sink"]}
    (tmp_path / "app.yaml").write_text(json.dumps(app))
    subprocess.run([NEREID, "run", "--quiet", str(tmp_path / "app.yaml")], check=True, timeout=60 * SLOWDOWN)
    return [np.asarray(Image.open(tmp_path / "out" / p.name)) for p in PICTURES]


def original(path):
    return Image.open(path).convert("RGB")


# Pillow rounds and clips to bytes between its two passes and leaves the outermost taps out, we do neither: a fifth of a step apart on
# the whole, and a few steps where a filter that overshoots is clipped.
@pytest.mark.parametrize("mode,filter_,most", [("linear", Image.BILINEAR, 10), ("cubic", Image.BICUBIC, 12),
                                               ("lanczos", Image.LANCZOS, 16)])
@pytest.mark.parametrize("width,height", [(57, 43), (300, 280)])
def test_resize_is_pillows(tmp_path, mode, filter_, most, width, height):
    got = convert(tmp_path, {"out_dtype": "rgb888", "resize_width": width, "resize_height": height, "resize_mode": mode,
                             "antialias": True})
    for picture, array in zip(PICTURES, got):
        expected = np.asarray(original(picture).resize((width, height), filter_)).astype(int)
        assert array.shape == (height, width, 3)
        off = np.abs(array.astype(int) - expected)
        assert off.max() <= most and off.mean() < 0.25, picture.name


def test_area_is_pillows_box(tmp_path):
    for picture, array in zip(PICTURES, convert(tmp_path, {"out_dtype": "rgb888", "resize_width": 50, "resize_height": 37,
                                                            "resize_mode": "area"})):
        expected = np.asarray(original(picture).resize((50, 37), Image.BOX)).astype(int)
        off = np.abs(array.astype(int) - expected)
        assert off.mean() < 2.0, picture.name  # Pillow's box has whole pixels, ours their parts


def test_grey_is_pillows(tmp_path):
    for picture, array in zip(PICTURES, convert(tmp_path, {"out_dtype": "gray8"})):
        expected = np.asarray(original(picture).convert("L")).astype(int)
        assert np.abs(array.reshape(expected.shape).astype(int) - expected).max() <= 1


def test_order_of_channels_is_numpys(tmp_path):
    for picture, array in zip(PICTURES, convert(tmp_path, {"out_dtype": "rgb888", "out_channel_order": [2, 0, 1]})):
        assert (array == np.asarray(original(picture))[:, :, [2, 0, 1]]).all()


def stream(address, count):
    """The first `count` pictures of a multipart stream."""
    with urllib.request.urlopen(f"http://{address}/stream", timeout=30 * SLOWDOWN) as reply:
        assert reply.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=nereid-frame"
        for _ in range(count):
            assert reply.readline() == b"--nereid-frame\r\n"
            assert reply.readline() == b"Content-Type: image/jpeg\r\n"
            length = int(re.fullmatch(rb"Content-Length: (\d+)\r\n", reply.readline()).group(1))
            assert reply.readline() == b"\r\n"
            yield Image.open(io.BytesIO(reply.read(length)))
            assert reply.readline() == b"\r\n"


def test_live_page_shows_what_runs(tmp_path):
    (tmp_path / "app.yaml").write_text(json.dumps({"operators": [
        {"name": "source", "type": "PatternSourceOp", "parameters": {"rate": 50, "width": 64, "height": 48, "out_tensor_name": "video"}},
        {"name": "viz", "type": "HolovizOp", "parameters": {"headless": True, "http": "127.0.0.1:0", "width": 320, "height": 240,
                                                            "window_title": "pattern", "tensors": [{"name": "video", "type": "color"}]}}],
        "flows": ["source -> viz.receivers"]}))
    process = subprocess.Popen([NEREID, "run", str(tmp_path / "app.yaml")], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        lines = iter(process.stderr.readline, "")
        address = next(m.group(1) for m in (re.search(r"live page at http://([0-9.:]+)/", line) for line in lines) if m)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        frames = list(stream(address, 4))
        assert all(f.size == (320, 240) for f in frames)
        assert any((np.asarray(a) != np.asarray(b)).any() for a, b in zip(frames, frames[1:]))
        page = urllib.request.urlopen(f"http://{address}/", timeout=30).read()
        assert b"<title>Nereid</title>" in page
        stats = json.load(urllib.request.urlopen(f"http://{address}/stats.json", timeout=30))
        assert stats["title"] == "pattern" and stats["width"] == 320 and stats["frames"] > 0
        assert stats["tensors"] == [{"name": "video", "type": "color", "dtype": "UINT8", "shape": [48, 64, 3], "text": ""}]
        png = Image.open(io.BytesIO(urllib.request.urlopen(f"http://{address}/frame.png", timeout=30).read()))
        assert png.size == (320, 240) and png.mode == "RGBA"
    finally:
        process.terminate()
        assert process.wait(timeout=30 * SLOWDOWN) in (0, -15)
