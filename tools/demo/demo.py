#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`make demo`: serves models/ and sends the sample pictures through all three models at once.

Starts PREFIX/bin/nereid serve, then for each picture asks resnet_model what the part is (classification extension),
densenet_model what its surface is, and unet_model which pixels belong to what, all three in flight together; prints
classes, scores and times, writes an overlay of the segmentation as PNG, and says what to try next. With --stay the
server stays up until Ctrl-C.
"""

import argparse
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import time

import numpy as np
import tritonclient.http as client
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PICTURES = ROOT / "examples/pictures"
# One colour a class of unet_model/labels.txt; the belt stays as it is.
COLOURS = np.array([[0, 0, 0], [255, 196, 0], [0, 174, 255], [0, 220, 110], [255, 64, 160]], np.float32)


def ports():
    """Triton's three ports if they are free, else three that are."""
    for wanted in ((8000, 8001, 8002), (0, 0, 0)):
        try:
            sockets = [socket.socket() for _ in wanted]
            for s, port in zip(sockets, wanted):
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port))
            return [s.getsockname()[1] for s in sockets]
        except OSError:
            print("ports 8000 to 8002 are taken; using others")
        finally:
            for s in sockets:
                s.close()
    raise SystemExit("demo: no free ports")


def start(prefix, http, grpc, metrics):
    """Starts the server; returns it and the milliseconds until it was ready."""
    log = open(prefix / "demo/server.log", "w")
    begin = time.monotonic()
    server = subprocess.Popen(
        [prefix / "bin/nereid", "serve", f"--model-repository={ROOT / 'models'}", "--gpu-fallback=cpu",
         f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}",
         "--http-address=127.0.0.1", "--grpc-address=127.0.0.1"], stdout=log, stderr=subprocess.STDOUT)
    while server.poll() is None and time.monotonic() - begin < 60:
        try:
            with client.InferenceServerClient(f"127.0.0.1:{http}") as asker:
                if asker.is_server_ready():
                    return server, (time.monotonic() - begin) * 1000
        except OSError:
            time.sleep(0.002)
    server.kill()
    raise SystemExit(f"demo: the server did not start; its log is {log.name}:\n" + pathlib.Path(log.name).read_text())


def tensor(picture):
    """An RGB picture as the models want it: 1x3xHxW float32, 0 to 1."""
    pixels = np.asarray(picture, np.float32) / 255
    data = client.InferInput("image", [1, 3, picture.height, picture.width], "FP32")
    data.set_data_from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))[None])
    return data


def ask(asker, picture):
    """All three models at once: (part, score), (surface, score), class per pixel, milliseconds until the last answer."""
    image = tensor(picture)
    begin = time.monotonic()
    kind = asker.async_infer("resnet_model", [image], outputs=[client.InferRequestedOutput("kind_probabilities", class_count=1)])
    finish = asker.async_infer("densenet_model", [image],
                               outputs=[client.InferRequestedOutput("finish_probabilities", class_count=1)])
    regions = asker.async_infer("unet_model", [image])

    def best(answer, name):
        score, _, label = answer.get_result().as_numpy(name).ravel()[0].decode().split(":")
        return label, float(score)
    answers = (best(kind, "kind_probabilities"), best(finish, "finish_probabilities"),
               regions.get_result().as_numpy("region_probabilities")[0].argmax(0))
    return (*answers, (time.monotonic() - begin) * 1000)


def overlay(picture, regions, path):
    """The picture, and beside it the same with each class in its colour; three times enlarged."""
    pixels = np.asarray(picture, np.float32)
    mask = (regions > 0)[..., None]
    painted = np.where(mask, pixels * 0.45 + COLOURS[regions] * 0.55, pixels)
    both = np.concatenate([pixels, painted], 1).round().astype(np.uint8)
    Image.fromarray(both).resize((both.shape[1] * 3, both.shape[0] * 3), Image.NEAREST).save(path)


def run(asker, folder):
    """Sends each picture; returns how many answers were wrong, by expected.json."""
    expected = {p["file"]: p["truth"] for p in json.loads((PICTURES / "expected.json").read_text())["pictures"]}
    print(f"{'picture':26}{'part':14}{'score':>7}   {'surface':14}{'score':>7}   {'pixels of the part':>18}   {'ms':>6}")
    wrong, times = 0, []
    for path in sorted(PICTURES.glob("*.png")):
        picture = Image.open(path).convert("RGB")
        (kind, kind_score), (finish, finish_score), regions, took = ask(asker, picture)
        truth = expected[path.name]
        right = kind == truth["kind"] and finish == truth["finish"]
        wrong += not right
        times.append(took)
        print(f"{path.name:26}{kind:14}{kind_score:7.3f}   {finish:14}{finish_score:7.3f}   {(regions > 0).mean():17.1%}   {took:6.1f}"
              + ("" if right else f"   WRONG: {truth['kind']}, {truth['finish']}"))
        overlay(picture, regions, folder / f"overlay_{path.stem}.png")
    print(f"\n{len(times)} pictures, three models each: median {statistics.median(times):.1f} ms, "
          f"all answers {'right' if wrong == 0 else f'but {wrong} right'}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefix", default="build", type=pathlib.Path)
    parser.add_argument("--stay", action="store_true")
    args = parser.parse_args()
    folder = args.prefix / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    http, grpc, metrics = ports()
    server, ready_ms = start(args.prefix, http, grpc, metrics)
    try:
        print(f"nereid serves models/ on http://127.0.0.1:{http} (gRPC {grpc}, metrics {metrics}); ready in {ready_ms:.0f} ms\n")
        with client.InferenceServerClient(f"127.0.0.1:{http}", concurrency=3) as asker:
            ask(asker, Image.open(sorted(PICTURES.glob("*.png"))[0]).convert("RGB"))  # the first is slower: not timed
            wrong = run(asker, folder)
        print(f"overlays: {folder}/overlay_*.png")
        print(f"\ntry:  curl -s http://127.0.0.1:{http}/v2/models/resnet_model | python3 -m json.tool\n"
              f"      curl -s http://127.0.0.1:{http}/v2/models/unet_model/stats\n"
              f"      curl -s http://127.0.0.1:{metrics}/metrics")
        if args.stay:
            print("\nthe server stays up; Ctrl-C ends it", flush=True)
            try:
                server.wait()
            except KeyboardInterrupt:
                pass
        else:
            print("\nwith `make demo STAY=1` the server stays up for these")
        return 1 if wrong else 0
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


if __name__ == "__main__":
    sys.exit(main())
