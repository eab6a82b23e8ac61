# SPDX-License-Identifier: Apache-2.0
"""The models in models/ are what models/README.md says, and the generators write valid graphs.

Needs tools/models/requirements.txt; no server and no GPU. Pictures are drawn anew from seeds that
neither training, its test nor the samples use.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools" / "models"
sys.path.insert(0, str(TOOLS))

import changes  # noqa: E402
import labels  # noqa: E402
import make_samples  # noqa: E402
import networks  # noqa: E402
import onnx_graph  # noqa: E402
import scenes  # noqa: E402
import zoo  # noqa: E402

FRESH_SEED = 4_000_000
PICTURES = ROOT / "examples" / "pictures"
PLAIN_OPERATORS = {
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Div",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "MaxPool",
    "Relu",
    "Softmax",
    "Sub",
}


@pytest.fixture(scope="module")
def running():
    return make_samples.sessions(ROOT / "models")


@pytest.fixture(scope="module")
def fresh():
    """One scene for each pair of kind and finish."""
    count = len(labels.KINDS) * len(labels.FINISHES)
    return [scenes.scene(FRESH_SEED + i) for i in range(count)]


def infer(session, model, pictures):
    """Runs uint8 pictures [h, w, 3] in batches of the model's greatest size."""
    x = np.stack([scenes.to_input(p) for p in pictures])
    step = model.max_batch_size
    parts = [
        session.run([model.output], {"image": x[i : i + step]})[0] for i in range(0, len(x), step)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("key, truth", [("resnet", "kind"), ("densenet", "finish")])
def test_classifier_is_right_on_fresh_pictures(running, fresh, key, truth):
    scores = infer(running[key], zoo.SMALL[key], [s.picture for s in fresh])
    assert np.allclose(scores.sum(1), 1, atol=1e-4)
    right = sum(int(a) == getattr(s, truth) for a, s in zip(scores.argmax(1), fresh))
    assert right >= 0.98 * len(fresh)


def mean_iou(session, pictures, truth):
    """Of the U-Net's maps of pictures, against truth [n, h, w]."""
    found = infer(session, zoo.SMALL["unet"], pictures).argmax(1)
    overlap = [
        ((found == c) & (truth == c)).sum() / ((found == c) | (truth == c)).sum()
        for c in range(len(labels.REGIONS))
    ]
    return np.mean(overlap)


def test_unet_is_right_on_fresh_pictures(running, fresh):
    chosen = fresh[::3]
    truth = np.stack([s.regions for s in chosen])
    assert mean_iou(running["unet"], [s.picture for s in chosen], truth) >= 0.95


@pytest.mark.parametrize("name", list(changes.CHANGES))
def test_models_bear_changed_pictures(running, fresh, name):
    changed = [changes.CHANGES[name](s.picture, i) for i, s in enumerate(fresh)]
    for key, truth in (("resnet", "kind"), ("densenet", "finish")):
        found = infer(running[key], zoo.SMALL[key], changed).argmax(1)
        right = sum(int(a) == getattr(s, truth) for a, s in zip(found, fresh))
        assert right >= 0.95 * len(fresh)
    truth = np.stack([s.regions for s in fresh[::3]])
    assert mean_iou(running["unet"], changed[::3], truth) >= 0.92


@pytest.mark.parametrize("quality", [40, 75])
def test_training_imitates_jpeg_as_pillow_writes_it(fresh, quality):
    torch = pytest.importorskip("torch", reason="PyTorch is needed for training alone")
    import degrade

    pictures = np.stack([s.picture for s in fresh[:8]])
    x = torch.from_numpy(pictures).movedim(3, 1) / 255
    found = degrade.jpeg(x, torch.full((8,), float(quality))).movedim(1, 3).numpy() * 255
    wanted = np.stack([changes.CHANGES[f"jpeg_{quality}"](p, 0) for p in pictures]).astype(float)
    # Rounding between the encoder's steps makes up to one; what JPEG itself changes is over four.
    assert np.abs(found - wanted).mean() < 1.2
    assert np.abs(pictures - wanted).mean() > 3


def test_samples_are_answered_as_written_down(running):
    records = json.loads((PICTURES / "expected.json").read_text())["pictures"]
    assert {r["truth"]["kind"] for r in records} == set(labels.KINDS)
    assert {r["truth"]["finish"] for r in records} == set(labels.FINISHES)
    for record in records:
        picture = np.asarray(Image.open(PICTURES / record["file"]))
        table, _ = make_samples.answers(running, picture)
        for model, aspect in (("resnet_model", "kind"), ("densenet_model", "finish")):
            wanted = record["answers"][model]
            assert wanted["class"] == record["truth"][aspect]
            assert table[model]["class"] == wanted["class"]
            assert table[model]["score"] == pytest.approx(wanted["score"], abs=2e-3)
        wanted = record["answers"]["unet_model"]["shares"]
        assert table["unet_model"]["shares"] == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("key", list(zoo.SMALL))
def test_answers_do_not_depend_on_the_batch(running, fresh, key):
    model = zoo.SMALL[key]
    x = np.stack([scenes.to_input(s.picture) for s in fresh[: model.max_batch_size]])
    together = running[key].run([model.output], {"image": x})[0]
    assert len(together) == model.max_batch_size
    alone = running[key].run([model.output], {"image": x[2:3]})[0]
    assert np.allclose(together[2], alone[0], atol=1e-4)


@pytest.mark.parametrize("key", list(zoo.SMALL))
def test_files_are_plain_onnx_and_match_their_config(key):
    model = zoo.SMALL[key]
    folder = ROOT / "models" / model.name
    proto = onnx.load(folder / "1" / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version <= 9
    assert [(o.domain, o.version <= 17) for o in proto.opset_import] == [("", True)]
    assert {n.op_type for n in proto.graph.node} <= PLAIN_OPERATORS
    assert (folder / "config.pbtxt").read_text() == zoo.config_text(model, proto)
    assert (folder / "labels.txt").read_text().split() == model.labels


@pytest.mark.parametrize("key", list(zoo.SMALL))
def test_accuracy_on_record_meets_the_goal(key):
    figures = json.loads((ROOT / "models" / zoo.SMALL[key].name / "accuracy.json").read_text())
    assert figures["pictures"] >= 3000
    assert figures["mean_iou"] >= 0.93 if key == "unet" else figures["accuracy"] >= 0.98


def test_models_and_samples_are_small():
    files = [p for d in (ROOT / "models", PICTURES) for p in d.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 12e6


def test_scene_depends_on_its_seed_alone():
    first, again, other = (scenes.scene(s) for s in (FRESH_SEED, FRESH_SEED, FRESH_SEED + 60))
    assert (first.picture == again.picture).all() and (first.regions == again.regions).all()
    assert (first.kind, first.finish) == (other.kind, other.finish)
    assert (first.picture != other.picture).any()


# ---- full size ---------------------------------------------------------------------------------


def run_twice(proto, size):
    """Output for a noisy picture and for a half black one."""
    x = np.random.default_rng(1).random((2, 3, size, size), dtype=np.float32)
    x[1, :, : size // 2] = 0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
    return session.run(None, {"image": x})[0]


def test_full_size_writes_a_repository(tmp_path):
    command = [sys.executable, TOOLS / "full_size.py", tmp_path, "--models", "densenet121"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    config = (tmp_path / "densenet_model" / "config.pbtxt").read_text()
    assert 'name: "densenet_model"' in config and "max_batch_size: 32" in config
    proto = onnx.load(tmp_path / "densenet_model" / "1" / "model.onnx")
    assert sum(int(np.prod(t.dims)) for t in proto.graph.initializer) == pytest.approx(
        8e6, rel=0.02
    )
    found = run_twice(proto, 224)
    assert found.shape == (2, 1000) and np.isfinite(found).all()
    assert found.std() > 1e-6 and np.abs(found[0] - found[1]).max() > 1e-6


def test_full_size_needs_neither_pillow_nor_torch():
    script = (
        "import sys; sys.modules['PIL'] = sys.modules['torch'] = None; "
        f"sys.path.insert(0, {str(TOOLS)!r}); import full_size"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_full_size_refuses_an_unknown_model(tmp_path):
    command = [sys.executable, TOOLS / "full_size.py", tmp_path, "--models", "vgg"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0 and "no model 'vgg'" in done.stderr


def test_full_size_weights_depend_on_the_seed_alone():
    model = zoo.FULL_SIZE["resnet50"]
    small = zoo.Model(**{**model.__dict__, "size": 64})
    first, again = (zoo.build(small, onnx_graph.Random(1)) for _ in range(2))
    assert first.SerializeToString() == again.SerializeToString()
    found = run_twice(first, 64)
    assert np.isfinite(found).all()
    assert found.max() < 0.9 and np.abs(found[0] - found[1]).max() > 1e-6


def test_full_size_unet_at_a_small_size():
    model = zoo.Model(**{**zoo.FULL_SIZE["unet"].__dict__, "size": 32})
    found = run_twice(zoo.build(model, onnx_graph.Random(1)), 32)
    assert found.shape == (2, 5, 32, 32) and np.isfinite(found).all()
    assert found[0, 0].std() > 1e-3


def test_every_network_has_a_model():
    assert {m.network for m in zoo.SMALL.values()} == {"unet", "resnet", "densenet"}
    assert all(hasattr(networks, m.network) for m in zoo.FULL_SIZE.values())
