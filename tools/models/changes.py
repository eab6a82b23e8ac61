# SPDX-License-Identifier: Apache-2.0
"""Set changes to pictures, to measure how the models bear what training does at random.

Each is a function (picture, seed) -> picture on uint8 [h, w, 3], with Pillow's JPEG encoder and
not with training's imitation of one (degrade.py). CHANGES lists them by the names that
accuracy.json uses.
"""

import io

import numpy as np
from PIL import Image, ImageFilter


def _light(share):
    return lambda picture, seed: (picture * share).astype(np.uint8)


def _blur(radius):
    def change(picture, seed):
        return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))

    return change


def _jpeg(quality):
    def change(picture, seed):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return change


def _noise(deviation):
    def change(picture, seed):
        noise = np.random.default_rng([0x401E, seed]).standard_normal(picture.shape)
        return np.clip(picture + deviation * noise, 0, 255).astype(np.uint8)

    return change


CHANGES = {
    "light_0.6": _light(0.6),
    "blur_1": _blur(1),
    "jpeg_75": _jpeg(75),
    "jpeg_40": _jpeg(40),
    "noise_15": _noise(15),
}
