# SPDX-License-Identifier: Apache-2.0
"""Draws the sample pictures and writes down what the models should say about them.

    python3 tools/models/make_samples.py     # writes examples/pictures/

One picture for each kind of part and two more, 128x128 PNG, from seeds that training has not
seen. expected.json holds for each picture the truth, the answers of the files in models/ as ONNX
Runtime gives them on the CPU, and the share of pixels whose region the U-Net has right.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import scenes
import zoo
from labels import FINISHES, KINDS, REGIONS
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

# (kind, finish) of each picture.
WANTED = [
    ("hex_nut", "brass"),
    ("washer", "copper"),
    ("hex_bolt", "steel"),
    ("screw", "rusted"),
    ("wing_nut", "painted"),
    ("gear", "steel"),
    ("bearing", "black_oxide"),
    ("spring", "painted"),
    ("bracket", "rusted"),
    ("spanner", "steel"),
    ("gear", "rusted"),
    ("hex_bolt", "brass"),
]


def samples():
    """Yields (file name, seed, Scene): for each wanted pair the first with three other regions."""
    for i, (kind, finish) in enumerate(WANTED):
        seed = scenes.SAMPLE_SEED + 1000 * i
        while True:
            scene = scenes.scene(seed, KINDS.index(kind), FINISHES.index(finish))
            if (np.bincount(scene.regions.ravel(), minlength=len(REGIONS)) > 150).sum() >= 3:
                break
            seed += 1
        yield f"{kind}_{finish}.png", seed, scene


def sessions(repository):
    """{"unet" | "resnet" | "densenet": onnxruntime session} of a repository's models."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return {
        key: onnxruntime.InferenceSession(
            Path(repository) / model.name / "1" / "model.onnx",
            options,
            providers=["CPUExecutionProvider"],
        )
        for key, model in zoo.SMALL.items()
    }


def answers(running, picture):
    """What the models say of a uint8 picture [h, w, 3], as a table for expected.json.

    Of the classifiers the best class with its index and score (0..1), of the U-Net the share of
    the picture that each region takes (0..1). Second value: the regions' indices [h, w].
    """
    x = scenes.to_input(picture)[None]
    table = {}
    for key in ("resnet", "densenet"):
        model = zoo.SMALL[key]
        scores = running[key].run([model.output], {"image": x})[0][0]
        best = int(scores.argmax())
        table[model.name] = {
            "class": model.labels[best],
            "index": best,
            "score": round(float(scores[best]), 4),
        }
    model = zoo.SMALL["unet"]
    regions = running["unet"].run([model.output], {"image": x})[0][0].argmax(0)
    shares = np.bincount(regions.ravel(), minlength=len(REGIONS)) / regions.size
    table[model.name] = {"shares": {r: round(float(s), 4) for r, s in zip(REGIONS, shares)}}
    return table, regions


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="default: models/")
    parser.add_argument("--out", type=Path, default=ROOT / "examples" / "pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    running = sessions(arguments.models)
    found = []
    for name, seed, scene in samples():
        Image.fromarray(scene.picture).save(arguments.out / name, optimize=True)
        table, regions = answers(running, scene.picture)
        truth = {"kind": KINDS[scene.kind], "finish": FINISHES[scene.finish]}
        right = round(float((regions == scene.regions).mean()), 4)
        record = {"file": name, "seed": seed, "truth": truth, "answers": table}
        found.append({**record, "pixels_right": right})
        said = (table["resnet_model"]["class"], table["densenet_model"]["class"])
        print(f"{name}: {said[0]}, {said[1]}, pixels right {right}")
    text = json.dumps({"pictures": found}, indent=1)
    (arguments.out / "expected.json").write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
