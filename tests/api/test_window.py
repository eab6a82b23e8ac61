# SPDX-License-Identifier: Apache-2.0
"""The visualiser's window on a display: Xvfb is one without a screen, whose pixels lie in a file (Debian package xvfb)."""

import ctypes
import ctypes.util
import os
import shutil
import signal
import struct
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from servers import PREFIX, SLOWDOWN

pytestmark = [
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="there is no Xvfb (Debian package xvfb)"),
    pytest.mark.skipif(ctypes.util.find_library("X11") is None, reason="there is no libX11"),
]
COLOUR = (200, 30, 90)


class Display:
    """An X server of 640 x 480 pixels; `pixels()` is what is on it."""

    def __init__(self, folder):
        self.file = folder / "Xvfb_screen0"
        read, write = os.pipe()
        self.process = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x24", "-fbdir", str(folder), "-nolisten", "tcp"],
                                        pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as numbers:
            self.name = f":{numbers.readline().strip()}"
        assert self.name != ":", "Xvfb does not start"

    def pixels(self):
        """An XWD file: its header says how long it is and where a line of pixels (B G R x) ends; behind it come the colours."""
        data = self.file.read_bytes()
        header = struct.unpack(">25I", data[:100])
        start, width, height, line, colours = header[0] + 12 * header[19], header[4], header[5], header[12], header[19]
        assert (header[1], width, height) == (7, 640, 480) and colours >= 0
        rows = np.frombuffer(data, np.uint8, line * height, start).reshape(height, line)
        return rows[:, :width * 4].reshape(height, width, 4)[:, :, 2::-1]

    def close_window(self, title):
        """What a window manager sends when somebody clicks the window away."""
        x = ctypes.CDLL(ctypes.util.find_library("X11"))
        x.XOpenDisplay.restype = ctypes.c_void_p
        window_t, display_t = ctypes.c_ulong, ctypes.c_void_p
        x.XDefaultRootWindow.argtypes, x.XDefaultRootWindow.restype = [display_t], window_t
        x.XInternAtom.argtypes, x.XInternAtom.restype = [display_t, ctypes.c_char_p, ctypes.c_int], ctypes.c_ulong
        x.XFetchName.argtypes = [display_t, window_t, ctypes.POINTER(ctypes.c_char_p)]
        x.XQueryTree.argtypes = [display_t, window_t, ctypes.POINTER(window_t), ctypes.POINTER(window_t), ctypes.POINTER(ctypes.POINTER(window_t)),
                                 ctypes.POINTER(ctypes.c_uint)]
        x.XSendEvent.argtypes = [display_t, window_t, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
        x.XFlush.argtypes = x.XCloseDisplay.argtypes = [display_t]
        display = x.XOpenDisplay(self.name.encode())
        root, parent, children, count = window_t(), window_t(), ctypes.POINTER(window_t)(), ctypes.c_uint()
        x.XQueryTree(display, x.XDefaultRootWindow(display), ctypes.byref(root), ctypes.byref(parent), ctypes.byref(children), ctypes.byref(count))
        found = []
        for i in range(count.value):
            name = ctypes.c_char_p()
            x.XFetchName(display, children[i], ctypes.byref(name))
            if name.value == title.encode():
                found.append(children[i])
        assert len(found) == 1, found
        # XClientMessageEvent: type, serial, send_event, display, window, message_type, format, data.
        event = struct.pack("=i4xQi4xQQQi4x5q", 33, 0, 1, 0, found[0], x.XInternAtom(display, b"WM_PROTOCOLS", 0), 32,
                            x.XInternAtom(display, b"WM_DELETE_WINDOW", 0), 0, 0, 0, 0).ljust(192, b"\0")
        x.XSendEvent(display, found[0], 0, 0, event)
        x.XFlush(display)
        x.XCloseDisplay(display)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def display(tmp_path):
    shown = Display(tmp_path)
    yield shown
    shown.stop()


def application(folder):
    Image.new("RGB", (64, 64), COLOUR).save(folder / "picture.png")
    (folder / "app.yaml").write_text(f"""operators:
  source: {{type: PictureSourceOp, parameters: {{path: "{folder}/picture.png", repeat: true, rate: 30, out_tensor_name: picture}}}}
  show:
    type: HolovizOp
    parameters: {{width: 320, height: 240, window_title: the picture, tensors: [{{name: picture, type: color}}]}}
flows: [source -> show]
""")
    return folder / "app.yaml"


def start(display, app, *options):
    return subprocess.Popen([PREFIX / "bin/nereid", "run", *options, app], env={**os.environ, "DISPLAY": display}, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def wait_for(what, process=None, seconds=60):
    """Until it is so; `process` has to live until then."""
    end = time.monotonic() + seconds * SLOWDOWN
    while not what():
        assert process is None or process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def shown(display):
    return int((display.pixels() == COLOUR).all(axis=2).sum())


def test_window_shows_the_picture_and_closing_it_ends_the_run(display, tmp_path):
    process = start(display.name, application(tmp_path))
    wait_for(lambda: shown(display) == 320 * 240, process)
    rows, columns = np.nonzero((display.pixels() == COLOUR).all(axis=2))
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (240, 320)
    display.close_window("the picture")
    out, _ = process.communicate(timeout=60 * SLOWDOWN)
    assert process.returncode == 0, out
    assert "| show " in out


def test_window_goes_with_the_run(display, tmp_path):
    process = start(display.name, application(tmp_path))
    wait_for(lambda: shown(display) == 320 * 240, process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60 * SLOWDOWN)
    assert process.returncode == 0, out
    wait_for(lambda: shown(display) == 0)  # the display takes it down when it sees that its client has left


def test_display_that_is_not_there_is_said_and_the_run_goes_on(tmp_path):
    process = start(":987", application(tmp_path), "--duration", "500ms")
    out, _ = process.communicate(timeout=60 * SLOWDOWN)
    assert process.returncode == 0, out
    assert "no window: there is no display" in out
