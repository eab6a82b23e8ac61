# SPDX-License-Identifier: Apache-2.0
"""Degrades training pictures as cameras and files do: light, blur, noise, JPEG, in this order.

Works on whole batches where they lie, so a GPU does it in passing and no picture is ever degraded
the same way twice. JPEG is imitated: what loses information in it (halved chroma, quantised
cosine transform) is computed, what only packs bits is left out. Start at degrade().
"""

import math

import torch
import torch.nn.functional as F

# Shares of pictures that are degraded at all, and of those, by what.
_DEGRADED, _LIGHT, _BLUR, _NOISE, _JPEG = 0.6, 0.25, 0.25, 0.5, 0.6

# ITU-T T.81, tables K.1 and K.2: quantisation at quality 50.
_LUMA = """
16 11 10 16  24  40  51  61   12 12 14 19  26  58  60  55
14 13 16 24  40  57  69  56   14 17 22 29  51  87  80  62
18 22 37 56  68 109 103  77   24 35 55 64  81 104 113  92
49 64 78 87 103 121 120 101   72 92 95 98 112 100 103  99
"""
_CHROMA = """
17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99
24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99
""" + " 99" * 32


def _table(text, quality):
    """Quantisation steps [n, 1, 1, 64] for qualities [n], scaled as libjpeg does."""
    base = torch.tensor([float(v) for v in text.split()], device=quality.device).view(1, 64)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1)
    return ((base * scale + 50) / 100).floor().clamp(1, 255)[:, None, None]


def _quantise(plane, steps):
    """Rounds the cosine transform of each 8x8 block of [n, c, h, w] to multiples of steps."""
    n, c, h, w = plane.shape
    i = torch.arange(8, device=plane.device, dtype=torch.float32)
    cosine = torch.cos((2 * i + 1) * i[:, None] * math.pi / 16) / 2
    cosine[0] /= math.sqrt(2)
    both_ways = torch.kron(cosine, cosine)  # a block as a row of 64: one product for all blocks
    blocks = plane.reshape(n, c, h // 8, 8, w // 8, 8).transpose(3, 4).reshape(n, c, -1, 64)
    found = (blocks @ both_ways.T / steps).round() * steps
    blocks = (found @ both_ways).reshape(n, c, h // 8, w // 8, 8, 8)
    return blocks.transpose(3, 4).reshape(n, c, h, w)


def jpeg(pictures, quality):
    """Pictures as after JPEG with 4:2:0 chroma.

    pictures: float [n, 3, h, w] in 0..1, h and w multiples of 16. quality: float [n], 1..100.
    """
    red, green, blue = (pictures * 255).unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = torch.stack([(blue - luma) / 1.772, (red - luma) / 1.402], 1)
    chroma = _quantise(F.avg_pool2d(chroma, 2), _table(_CHROMA, quality))
    luma = _quantise(luma[:, None] - 128, _table(_LUMA, quality))[:, 0] + 128
    cb, cr = F.interpolate(chroma, scale_factor=2, mode="bilinear").unbind(1)
    green = luma - 0.344136 * cb - 0.714136 * cr
    return torch.stack([luma + 1.402 * cr, green, luma + 1.772 * cb], 1).div(255).clamp(0, 1)


def _soften(pictures, weight):
    """Spreads each pixel over its neighbours; weight [n, 1, 1, 1]: 0 nothing, 0.3 sigma 1.1."""
    for pad in ((0, 0, 1, 1), (1, 1, 0, 0)) * 2:
        wide = F.pad(pictures, pad, mode="replicate")
        before = wide[:, :, : pictures.shape[2], : pictures.shape[3]]
        after = wide[:, :, -pictures.shape[2] :, -pictures.shape[3] :]
        pictures = pictures + weight * (before + after - 2 * pictures)
    return pictures


def degrade(pictures):
    """Degrades float pictures [n, 3, h, w] in 0..1, each at random; about half stay as they are."""
    shape = (pictures.shape[0], 1, 1, 1)

    def uniform(low, high):
        return low + (high - low) * torch.rand(shape, device=pictures.device)

    chosen = uniform(0, 1) < _DEGRADED

    def share(part):
        return chosen & (uniform(0, 1) < part)

    x = pictures * torch.where(share(_LIGHT), uniform(0.55, 1.2), 1)
    x = _soften(x, torch.where(share(_BLUR), uniform(0, 0.3), 0))
    grey = uniform(0, 0.6)  # this much of the noise is the same in all channels
    noise = (1 - grey**2).sqrt() * torch.randn_like(x) + grey * torch.randn_like(x[:, :1])
    x = (x + torch.where(share(_NOISE), uniform(2, 25) / 255, 0) * noise).clamp(0, 1)
    x = torch.where(share(_JPEG), jpeg(x, uniform(30, 95).view(-1)), x)
    return (x * 255).round() / 255
