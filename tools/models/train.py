# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures, trains the three models, tests the exported files, and writes models/.

    python3 tools/models/train.py            # about eight minutes with a GPU, hours without

Each model's folder gets 1/model.onnx, config.pbtxt, labels.txt and accuracy.json. The figures in
accuracy.json are measured with ONNX Runtime on the written file, on pictures whose seeds neither
training nor the choice of any setting has seen, as drawn and changed (changes.py).
Start at main(), then fit().
"""

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from pathlib import Path

import changes
import numpy as np
import onnxruntime
import scenes
import torch
import torch.nn.functional as F
import zoo
from degrade import degrade
from onnx_graph import Trained

ROOT = Path(__file__).resolve().parents[2]


# ---- pictures ----------------------------------------------------------------------------------


def _draw_block(seeds):
    drawn = [scenes.scene(seed) for seed in seeds]
    return (
        np.stack([s.picture for s in drawn]),
        np.stack([s.regions for s in drawn]),
        np.array([s.kind for s in drawn], np.uint8),
        np.array([s.finish for s in drawn], np.uint8),
    )


def draw(first_seed, count, workers):
    """Draws count scenes.

    Returns {"picture": uint8 [n, h, w, 3], "regions": uint8 [n, h, w], "kind": uint8 [n],
    "finish": uint8 [n]}.
    """
    last = first_seed + count
    blocks = [range(i, min(i + 50, last)) for i in range(first_seed, last, 50)]
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        parts = list(zip(*pool.imap(_draw_block, blocks)))
    names = ("picture", "regions", "kind", "finish")
    return {name: np.concatenate(part) for name, part in zip(names, parts)}


TRUTH = {"unet": "regions", "resnet": "kind", "densenet": "finish"}


# ---- the networks in PyTorch -------------------------------------------------------------------


class TorchBuilder(torch.nn.Module):
    """Runs a model of zoo.py with PyTorch. Parameters come into being in the first call."""

    def __init__(self, model):
        super().__init__()
        self._model = model
        self.weights = torch.nn.ParameterDict()
        self.running = torch.nn.ParameterDict()  # means and variances; not trained

    def forward(self, pictures):
        """float [n, 3, h, w] in 0..1 -> logits [n, classes] or [n, classes, h, w]."""
        return zoo.logits(self._model, self, pictures)[0]

    def table(self):
        """{name: float32 array} as onnx_graph.Trained wants it."""
        both = {**self.weights, **self.running}
        return {name: value.detach().float().cpu().numpy() for name, value in both.items()}

    def _weight(self, x, name, shape, std):
        if name not in self.weights:
            value = torch.randn(shape, device=x.device) * std
            self.weights[name] = torch.nn.Parameter(value)
        return self.weights[name]

    def scale_pictures(self, x, mean, std):
        mean = torch.tensor(mean, device=x.device).view(1, -1, 1, 1)
        std = torch.tensor(std, device=x.device).view(1, -1, 1, 1)
        return (x - mean) / std

    def conv(self, x, name, channels, kernel, stride=1):
        shape = (channels, x.shape[1], kernel, kernel)
        std = math.sqrt(2 / (x.shape[1] * kernel * kernel))
        weight = self._weight(x, f"{name}/weight", shape, std)
        return F.conv2d(x, weight, None, stride, kernel // 2)

    def conv_bias(self, x, name, channels):
        std = math.sqrt(1 / x.shape[1])
        weight = self._weight(x, f"{name}/weight", (channels, x.shape[1], 1, 1), std)
        return F.conv2d(x, weight, self._weight(x, f"{name}/bias", (channels,), 0))

    def up(self, x, name, channels):
        std = math.sqrt(1 / x.shape[1])
        weight = self._weight(x, f"{name}/weight", (x.shape[1], channels, 2, 2), std)
        return F.conv_transpose2d(x, weight, self._weight(x, f"{name}/bias", (channels,), 0), 2)

    def norm(self, x, name, gain=1.0):
        if f"{name}/scale" not in self.weights:
            ones = torch.ones(x.shape[1], device=x.device)
            self.weights[f"{name}/scale"] = torch.nn.Parameter(ones * gain)
            self.weights[f"{name}/shift"] = torch.nn.Parameter(ones * 0)
            for field, value in (("mean", ones * 0), ("variance", ones.clone())):
                fixed = torch.nn.Parameter(value, requires_grad=False)
                self.running[f"{name}/{field}"] = fixed
        return F.batch_norm(
            x,
            self.running[f"{name}/mean"],
            self.running[f"{name}/variance"],
            self.weights[f"{name}/scale"],
            self.weights[f"{name}/shift"],
            self.training,
            momentum=0.05,
            eps=1e-5,
        )

    def relu(self, x):
        return F.relu(x)

    def add(self, x, y):
        return x + y

    def concat(self, values):
        return torch.cat(values, 1)

    def channels(self, x):
        return x.shape[1]

    def max_pool(self, x, kernel, stride):
        return F.max_pool2d(x, kernel, stride, (kernel - 1) // 2)

    def average_pool(self, x):
        return F.avg_pool2d(x, 2, 2)

    def global_pool(self, x):
        return x.mean((2, 3))

    def linear(self, x, name, features):
        std = math.sqrt(1 / x.shape[1])
        weight = self._weight(x, f"{name}/weight", (features, x.shape[1]), std)
        return F.linear(x, weight, self._weight(x, f"{name}/bias", (features,), 0))


# ---- training ----------------------------------------------------------------------------------


def _augment(pictures, truth):
    """Turns and mirrors a batch; varies colour and degrades per picture."""
    turns, mirror = int(torch.randint(4, ())), bool(torch.randint(2, ()))
    pictures = torch.rot90(pictures, turns, (2, 3))
    pictures = pictures.flip(3) if mirror else pictures
    if truth.dim() == 3:
        truth = torch.rot90(truth, turns, (1, 2))
        truth = truth.flip(2) if mirror else truth
    n = pictures.shape[0]
    like = {"device": pictures.device}
    gain = 1 + 0.08 * torch.randn(n, 1, 1, 1, **like) + 0.02 * torch.randn(n, 3, 1, 1, **like)
    offset = 0.02 * torch.randn(n, 1, 1, 1, **like)
    return degrade((pictures * gain + offset).clamp(0, 1)), truth


def _loss(logits, truth):
    """Cross entropy; for maps plus the soft Dice loss, which weighs small regions up."""
    logits = logits.float()
    if truth.dim() == 1:
        return F.cross_entropy(logits, truth, label_smoothing=0.02)
    share = logits.softmax(1)
    wanted = F.one_hot(truth, logits.shape[1]).movedim(-1, 1).float()
    common = (share * wanted).sum((0, 2, 3))
    dice = 1 - 2 * common / (share.sum((0, 2, 3)) + wanted.sum((0, 2, 3)) + 1)
    return F.cross_entropy(logits, truth) + dice.mean()


def _agreement(net, data, truth, device):
    """Share of right answers (pixels, for maps) on pictures in memory."""
    net.eval()
    right = 0
    with torch.no_grad():
        for i in range(0, len(data), 256):
            pictures = data[i : i + 256].to(device).float() / 255
            right += int((net(pictures).argmax(1) == truth[i : i + 256].to(device)).sum())
    net.train()
    return right / truth.numel()


_PEAK_RATE = 4e-3
_BATCH = 128


def _step(net, optimizer, pictures, truth, progress):
    """One step of AdamW; the rate climbs for a twentieth of the time and then falls as a cosine.

    pictures: uint8 [n, 3, h, w]; progress: 0..1. Returns the loss.
    """
    rate = _PEAK_RATE * min(1, progress / 0.05) * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = max(rate, 1e-6)
    x, y = _augment(pictures.float() / 255, truth)
    kind = x.device.type
    with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
        logits = net(x.contiguous(memory_format=torch.channels_last))
    loss = _loss(logits, y)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.weights.parameters(), 2.0)
    optimizer.step()
    return loss.detach()


def _follow(average, net, done):
    """Moves the running average of all weights, {name: tensor}, a little towards the net's."""
    keep = min(0.998, done / (done + 10))
    with torch.no_grad():
        state = net.state_dict()
        torch._foreach_lerp_(list(average.values()), [state[n] for n in average], 1 - keep)


def fit(name, train, validation, epochs, budget, device):
    """Trains one model.

    name: key of zoo.SMALL. train, validation: what draw() returns. budget: seconds; the learning
    rate follows the greater of the shares of steps and of time that are used, so that training
    ends well whichever ends first. Returns {parameter name: float32 array}, the average of the
    last few hundred steps' weights.
    """
    torch.manual_seed(7)
    started = time.monotonic()

    def load(data):
        pictures = torch.from_numpy(data["picture"]).movedim(3, 1).contiguous()
        return pictures.to(device), torch.from_numpy(data[TRUTH[name]]).long().to(device)

    pictures, truth = load(train)
    held_pictures, held_truth = load(validation)
    net = TorchBuilder(zoo.SMALL[name]).to(device)
    net.train()
    net(pictures[:8].float() / 255)  # makes the parameters
    average = {key: value.detach().clone() for key, value in net.state_dict().items()}
    optimizer = torch.optim.AdamW(net.weights.parameters(), lr=_PEAK_RATE, weight_decay=0.02)
    steps = max(1, len(pictures) // _BATCH)
    progress, done, epoch = 0.0, 0, 0
    while progress < 1:
        epoch += 1
        loss = torch.zeros((), device=device)
        order = torch.randperm(len(pictures), device=device)
        for chosen in order.split(_BATCH)[:steps]:
            loss += _step(net, optimizer, pictures[chosen], truth[chosen], progress) / steps
            done += 1
            _follow(average, net, done)
            seconds = time.monotonic() - started
            progress = max(done / (steps * epochs), seconds / budget)
            if progress >= 1:
                break
        if epoch % 4 == 0 or progress >= 1:
            share = _agreement(net, held_pictures, held_truth, device)
            print(f"{name}: epoch {epoch}, {seconds:.0f} s, loss {loss:.4f}, held-out {share:.4f}")
            sys.stdout.flush()
    net.load_state_dict(average)
    share = _agreement(net, held_pictures, held_truth, device)
    print(f"{name}: averaged weights, held-out {share:.4f}")
    return net.table()


# ---- testing the written file ------------------------------------------------------------------


def predict(path, model, pictures, threads=1):
    """Runs a model file on uint8 pictures [n, h, w, 3]; returns the class indices, [n, ...]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found = []
    for i in range(0, len(pictures), model.max_batch_size):
        x = np.stack([scenes.to_input(p) for p in pictures[i : i + model.max_batch_size]])
        found.append(session.run([model.output], {"image": x})[0].argmax(1))
    return np.concatenate(found)


def score(model, found, truth):
    """Accuracy figures of class indices against the truth, as a table for accuracy.json.

    Rows of the confusion matrix are the truth, columns the answers; for maps it counts pixels.
    """
    n = model.classes
    pairs = truth.astype(np.int64).ravel() * n + found.astype(np.int64).ravel()
    confusion = np.bincount(pairs, minlength=n * n).reshape(n, n)
    right = np.diag(confusion)
    result = {"pictures": len(truth), "accuracy": round(float(right.sum() / confusion.sum()), 5)}
    if model.per_pixel:
        overlap = right / (confusion.sum(0) + confusion.sum(1) - right)
        result["mean_iou"] = round(float(overlap.mean()), 5)
        result["iou"] = {k: round(float(v), 5) for k, v in zip(model.labels, overlap)}
    else:
        recall = right / np.maximum(confusion.sum(1), 1)
        result["recall"] = {k: round(float(v), 5) for k, v in zip(model.labels, recall)}
    result["confusion"] = confusion.tolist()
    return result


_CHANGED = 1000  # pictures on which each change is measured


def score_changed(path, model, pictures, truth, threads=1):
    """The figure that counts (mean IoU or accuracy) under each of changes.CHANGES, by name."""
    figure = "mean_iou" if model.per_pixel else "accuracy"
    found = {}
    for name, change in changes.CHANGES.items():
        changed = [change(picture, i) for i, picture in enumerate(pictures)]
        found[name] = score(model, predict(path, model, changed, threads), truth)[figure]
    return found


def make(name, cache, out, epochs, budget, device, threads):
    """Trains, writes and tests one model from the drawings in the folder cache."""
    torch.set_num_threads(threads)
    parts = {}
    for part in ("train", "validation", "test"):
        stems = ("picture", TRUTH[name])
        parts[part] = {stem: np.load(cache / f"{part}-{stem}.npy") for stem in stems}
    table = fit(name, parts["train"], parts["validation"], epochs, budget, torch.device(device))
    model = zoo.SMALL[name]
    path = zoo.write(model, zoo.build(model, Trained(table)), out)
    pictures, truth = parts["test"]["picture"], parts["test"][TRUTH[name]]
    result = score(model, predict(path, model, pictures, threads), truth)
    few = slice(_CHANGED)
    result["changed"] = {
        "pictures": len(truth[few]),
        **score_changed(path, model, pictures[few], truth[few], threads),
    }
    rows = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    text = "{\n" + ",\n".join(rows) + "\n}\n"
    (out / model.name / "accuracy.json").write_text(text)
    size = path.stat().st_size / 1e6
    figures = {k: v for k, v in result.items() if k != "confusion"}
    print(f"{name}: {size:.2f} MB, test {json.dumps(figures)}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "models", help="default: models/")
    parser.add_argument("--models", default=",".join(zoo.SMALL), help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=24000, help="to train on (%(default)s)")
    parser.add_argument("--held-out", type=int, default=3000, help="to test on (%(default)s)")
    parser.add_argument("--epochs", type=int, default=44, help="default: %(default)s")
    parser.add_argument(
        "--budget", type=float, default=1e9, help="seconds that a model may train (no limit)"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT / "build-models",
        help="where drawings are kept between runs (build-models/)",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that draw")
    arguments = parser.parse_args()

    arguments.cache.mkdir(parents=True, exist_ok=True)
    ranges = {
        "train": (scenes.TRAIN_SEED, arguments.pictures),
        "validation": (scenes.VALIDATION_SEED, max(60, arguments.held_out // 3)),
        "test": (scenes.TEST_SEED, arguments.held_out),
    }
    for part, (first, count) in ranges.items():
        kept = arguments.cache / f"{part}-picture.npy"
        if kept.exists() and len(np.load(kept, mmap_mode="r")) == count:
            continue
        started = time.monotonic()
        for stem, values in draw(first, count, arguments.workers).items():
            np.save(arguments.cache / f"{part}-{stem}.npy", values)
        print(f"drew {count} pictures ({part}) in {time.monotonic() - started:.0f} s", flush=True)

    device = "cuda" if torch.cuda.is_available() else "cpu"
    names = arguments.models.split(",")
    threads = max(1, arguments.workers // len(names)) if device == "cuda" else arguments.workers
    settings = (arguments.cache, arguments.out, arguments.epochs, arguments.budget, device, threads)
    spawn = multiprocessing.get_context("spawn")
    children = [spawn.Process(target=make, args=(name, *settings)) for name in names]
    if device == "cuda":  # small networks: three at once fill a GPU better
        for child in children:
            child.start()
        for child in children:
            child.join()
    else:
        for child in children:
            child.start()
            child.join()
    return max(abs(child.exitcode) for child in children)


if __name__ == "__main__":
    sys.exit(main())
