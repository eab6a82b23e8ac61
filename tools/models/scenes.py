# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures that the models in models/ are trained and tested on.

A picture is what a camera above a conveyor belt sees: one main part in the middle, up to four
others around it, light from a side, shadows, oil stains, swarf, blur and sensor noise.
scene(seed) returns the picture together with the truth for all three models, and depends on its
seed alone (numpy's PCG64), so held-out pictures are simply other seeds.

Every part is drawn as a height field in its own square, its surface normals are lit, and its
finish gives colour and texture. Everything is drawn at twice the size and averaged down.
Start at scene(); labels.py names the classes, _DRAW and _FINISH list the functions that draw them.
"""

import math
from dataclasses import dataclass

import numpy as np
from labels import FINISHES, KINDS, PICTURE_SIZE, REGION_OF_KIND, REGIONS
from PIL import Image, ImageFilter

SIZE = PICTURE_SIZE
_SCALE = 2  # drawn at SIZE * _SCALE
_LONG = {2, 3, 4, 7, 9}  # kinds longer than wide, drawn larger

# First seeds of the disjoint ranges in use.
TRAIN_SEED = 0
VALIDATION_SEED = 1_000_000
TEST_SEED = 2_000_000
SAMPLE_SEED = 3_000_000


@dataclass
class Scene:
    """One picture and its truth.

    picture: uint8 [SIZE, SIZE, 3], RGB.
    regions: uint8 [SIZE, SIZE], index into REGIONS for each pixel.
    kind: index into KINDS of the main part.
    finish: index into FINISHES of the main part.
    """

    picture: np.ndarray
    regions: np.ndarray
    kind: int
    finish: int


# ---- small geometry: signed distances in units of a part's half side, negative inside ----------


def _circle(u, v, radius):
    return np.hypot(u, v) - radius


def _box(u, v, half_u, half_v, corner=0.0):
    du = np.abs(u) - half_u + corner
    dv = np.abs(v) - half_v + corner
    outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
    return outside + np.minimum(np.maximum(du, dv), 0) - corner


def _segment(u, v, start, end, radius):
    """Distance to a capsule from start to end."""
    pu, pv = u - start[0], v - start[1]
    bu, bv = end[0] - start[0], end[1] - start[1]
    t = np.clip((pu * bu + pv * bv) / (bu * bu + bv * bv), 0, 1)
    return np.hypot(pu - t * bu, pv - t * bv) - radius


def _hexagon(u, v, inner_radius):
    a = np.abs(u)
    b = np.abs(v)
    return np.maximum(a * 0.8660254 + b * 0.5, b) - inner_radius


def _bevel(distance, width, height):
    """Height of a plate with rounded edges of the given width."""
    t = np.clip(-distance / width, 0, 1)
    return height * np.sqrt(np.maximum(1 - (1 - t) ** 2, 0))


# ---- parts: (u, v, rng) -> (distance, height, dark) --------------------------------------------
# u, v: float32 [n, n] in -1..1; height in the same unit; dark: 0..1, how much light a place loses
# (holes' walls, gaps between threads).


def _hex_nut(u, v, rng):
    hole = rng.uniform(0.40, 0.48)
    radius = np.hypot(u, v)
    outer = _hexagon(u, v, 0.80)
    distance = np.maximum(outer, hole - radius)
    height = np.minimum(_bevel(outer, 0.08, 0.3), 0.3 - 0.9 * np.maximum(radius - 0.76, 0))
    chamfer = np.clip((hole + 0.09 - radius) / 0.09, 0, 1)
    height = height - 0.13 * chamfer
    return distance, height, 0.55 * chamfer


def _washer(u, v, rng):
    hole = rng.uniform(0.36, 0.46)
    radius = np.hypot(u, v)
    distance = np.maximum(radius - 0.84, hole - radius)
    return distance, _bevel(distance, 0.05, 0.07), np.zeros_like(u)


def _threads(u, v, radius, pitch):
    """Height and darkness of a threaded shaft along u, its crests slightly slanted."""
    phase = (u + 0.22 * v * pitch / np.maximum(radius, 1e-3)) / pitch
    wave = 2 * np.abs(phase - np.floor(phase) - 0.5)
    height = np.sqrt(np.maximum(radius**2 - v**2, 0)) - 0.35 * pitch * wave
    return height, 0.75 * np.clip(wave - 0.35, 0, 1)


def _hex_bolt(u, v, rng):
    shaft = rng.uniform(0.17, 0.21)
    head = rng.uniform(0.36, 0.42)
    bare = rng.uniform(-0.45, 0.1)  # the thread starts here
    in_head = _box(u + 0.76, v, 0.19, head, 0.04)
    in_shaft = _box(u - 0.19, v, 0.78, shaft, 0.03)
    distance = np.minimum(in_head, in_shaft)
    thread, dark = _threads(u, v, shaft, 0.105)
    smooth = np.sqrt(np.maximum(shaft**2 - v**2, 0))
    threaded = u > bare
    height = np.where(threaded, thread, smooth)
    dark = np.where(threaded, dark, 0)
    # The head shows three faces of its hexagon: the middle one flat, the outer ones falling away.
    face = 0.34 - 0.55 * np.maximum(np.abs(v) - head * 0.5, 0)
    face = face - 0.25 * np.maximum(np.abs(u + 0.76) - 0.13, 0)
    height = np.where(in_head < 0, face, height)
    edge = np.exp(-(((np.abs(v) - head * 0.5) / 0.025) ** 2))
    dark = np.where(in_head < 0, 0.45 * edge, dark)
    return distance, height, dark


def _screw(u, v, rng):
    shaft = rng.uniform(0.16, 0.20)
    head = rng.uniform(0.40, 0.46)
    # A countersunk head: a disc's edge, then a cone, then a thread that runs to a point.
    cone = np.clip((u + 0.92) / 0.36, 0, 1)
    radius = head + (shaft - head) * cone
    taper = np.clip((0.97 - u) / 0.55, 0, 1)
    radius = np.where(u > -0.56, shaft * np.sqrt(taper) * (0.35 + 0.65 * taper) + 0.012, radius)
    distance = np.maximum(np.abs(v) - radius, np.maximum(-0.97 - u, u - 0.98)) * 0.85
    thread, dark = _threads(u, v, radius, 0.17)
    cone_height = np.sqrt(np.maximum(radius**2 - v**2, 0)) * 0.8
    in_head = u < -0.5
    height = np.where(in_head, cone_height, thread)
    rim = np.exp(-(((u + 0.90) / 0.03) ** 2))
    dark = np.where(in_head, 0.4 * rim, dark)
    return distance, height, dark


def _wing_nut(u, v, rng):
    hole = rng.uniform(0.15, 0.19)
    radius = np.hypot(u, v)
    wing = np.full_like(u, 1e3)
    lift = rng.uniform(0.10, 0.2)
    for side in (-1, 1):
        lobe = np.hypot((u - side * 0.68) / 1.15, v + lift) - 0.245
        arm = _segment(u, v, (side * 0.2, 0.0), (side * 0.66, -lift), 0.15)
        wing = np.minimum(wing, np.minimum(lobe, arm))
    hub = radius - 0.36
    distance = np.maximum(np.minimum(wing, hub), hole - radius)
    height = np.maximum(_bevel(wing, 0.16, 0.16), _bevel(hub, 0.14, 0.34))
    dark = 0.6 * np.clip((hole + 0.06 - radius) / 0.06, 0, 1)
    seam = np.exp(-(((hub) / 0.03) ** 2)) * 0.35
    return distance, height, np.maximum(dark, seam)


def _gear(u, v, rng):
    teeth = int(rng.integers(10, 17))
    hole = rng.uniform(0.16, 0.24)
    angle = np.arctan2(v, u)
    radius = np.hypot(u, v)
    wave = np.clip(np.cos(angle * teeth) * 2.2, -1, 1)
    distance = (radius - (0.83 + 0.105 * wave)) * 0.8
    distance = np.maximum(distance, hole - radius)
    rim = 0.6
    height = _bevel(distance, 0.05, 0.2)
    web = np.clip((rim - radius) / 0.05, 0, 1) * np.clip((radius - hole - 0.16) / 0.05, 0, 1)
    height = height - 0.11 * web
    dark = 0.28 * web
    if rng.random() < 0.5:  # lightening holes in the web
        count = int(rng.integers(4, 7))
        middle = 0.5 * (rim + hole + 0.16)
        step = 2 * np.pi / count
        local = (angle + np.pi) % step - step / 2
        hollow = np.hypot(radius * np.cos(local) - middle, radius * np.sin(local))
        distance = np.maximum(distance, 0.085 - hollow)
    return distance, height, dark


def _bearing(u, v, rng):
    hole = rng.uniform(0.30, 0.36)
    balls = int(rng.integers(8, 12))
    radius = np.hypot(u, v)
    distance = np.maximum(radius - 0.88, hole - radius)
    height = _bevel(distance, 0.05, 0.22)
    middle = 0.5 * (hole + 0.88) + 0.005
    race = np.clip((0.135 - np.abs(radius - middle)) / 0.02, 0, 1)
    height = height * (1 - race)
    step = 2 * np.pi / balls
    local = (np.arctan2(v, u) + np.pi) % step - step / 2
    ball = np.hypot(radius * np.cos(local) - middle, radius * np.sin(local))
    on_ball = np.clip((0.115 - ball) / 0.02, 0, 1)
    height = np.maximum(height, np.sqrt(np.maximum(0.115**2 - ball**2, 0)) + 0.05 * on_ball)
    return distance, height, 0.88 * race * (1 - on_ball)


def _spring(u, v, rng):
    turns = int(rng.integers(5, 8))
    wire = 0.36 / turns + 0.022
    half = rng.uniform(0.32, 0.40)
    pitch = 1.8 / turns
    distance = np.full_like(u, 1e3)
    height = np.zeros_like(u)
    dark = np.zeros_like(u)
    for turn in range(turns + 1):  # the far half of each turn, seen in the gaps
        at = -0.9 + turn * pitch
        if turn < turns:
            back = _segment(u, v, (at, -half), (at + pitch / 2, half), wire * 0.9)
            distance = np.minimum(distance, back)
            dark = np.where(back < 0, 0.5, dark)
            height = np.where(back < 0, np.sqrt(np.maximum(-back * wire, 0)) * 0.6, height)
    for turn in range(turns):  # the near half lies above it
        at = -0.9 + turn * pitch
        front = _segment(u, v, (at + pitch / 2, half), (at + pitch, -half), wire)
        distance = np.minimum(distance, front)
        inside = front < 0
        dark = np.where(inside, 0, dark)
        height = np.where(inside, wire + np.sqrt(np.maximum(-front * wire * 2, 0)), height)
    return distance, height, dark


def _bracket(u, v, rng):
    width = rng.uniform(0.30, 0.36)
    # An angle plate: two arms, two holes in each.
    upright = _box(u + 0.82 - width, v, width, 0.82, 0.09)
    foot = _box(u, v - 0.82 + width, 0.82, width, 0.09)
    distance = np.minimum(upright, foot)
    if rng.random() < 0.5:  # a gusset in the inner corner
        inner = -0.82 + 2 * width
        gusset = ((u - inner) - (v + inner) - 0.36) * 0.7071
        gusset = np.maximum(gusset, np.maximum(inner - 0.1 - u, v + inner - 0.1))
        distance = np.minimum(distance, gusset)
    height_edge = distance
    hole = rng.uniform(0.10, 0.13)
    places = [(-0.82 + width, -0.5), (-0.82 + width, 0.08), (0.02, 0.82 - width)]
    places.append((0.5, 0.82 - width))
    nearest = np.full_like(u, 1e3)
    for place in places:
        nearest = np.minimum(nearest, np.hypot(u - place[0], v - place[1]))
    distance = np.maximum(distance, hole - nearest)
    height = _bevel(height_edge, 0.06, 0.12)
    sink = np.clip((hole + 0.06 - nearest) / 0.06, 0, 1)
    return distance, height - 0.05 * sink, 0.4 * sink


def _spanner(u, v, rng):
    handle = rng.uniform(0.095, 0.125)
    bar = _box(u, v, 0.62, handle, 0.03)
    # The open jaw to the left, the ring to the right.
    jaw_disc = np.hypot((u + 0.70) / 1.05, v) - 0.27
    tilt_u = (u + 0.70) * 0.966 - v * 0.259
    tilt_v = (u + 0.70) * 0.259 + v * 0.966
    slot = _box(tilt_u + 0.26, tilt_v, 0.31, 0.125, 0.02)
    jaw = np.maximum(jaw_disc, -slot)
    ring_radius = np.hypot(u - 0.74, v)
    ring_inner = _hexagon(u - 0.74, v, 0.125)
    ring = np.maximum(ring_radius - 0.235, -ring_inner)
    body = np.maximum(np.maximum(bar, -slot), -ring_inner)
    distance = np.minimum(np.minimum(jaw, ring), body)
    height = _bevel(distance, 0.07, 0.13)
    panel = _box(u - 0.02, v, 0.40, handle * 0.5, handle * 0.4)  # the sunk panel of the handle
    sunk = np.clip(-panel / 0.03, 0, 1)
    return distance, height - 0.05 * sunk, 0.18 * sunk


_DRAW = [
    _hex_nut,
    _washer,
    _hex_bolt,
    _screw,
    _wing_nut,
    _gear,
    _bearing,
    _spring,
    _bracket,
    _spanner,
]


# ---- textures ----------------------------------------------------------------------------------


def _blur(field, radius):
    """Gaussian blur of a float field [h, w] with values near 0..1; radius in pixels."""
    image = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255


def _clouds(rng, height, width, cell):
    """Smooth random field [height, width] in 0..1 with features about cell pixels wide."""
    rows = max(2, int(np.ceil(height / cell)) + 3)
    columns = max(2, int(np.ceil(width / cell)) + 3)
    grid = rng.random((rows, columns), dtype=np.float32)
    image = Image.fromarray(grid)
    big = image.resize((int(columns * cell), int(rows * cell)), Image.Resampling.BICUBIC)
    top, left = int(cell), int(cell)
    return np.asarray(big, dtype=np.float32)[top : top + height, left : left + width]


def _brushed(rng, u, v):
    """Fine lines along u, [n, n], mean 0."""
    lines = rng.standard_normal(256).astype(np.float32)
    fine = lines[np.clip(((v + 1.5) * 80).astype(int), 0, 255)]
    coarse = lines[np.clip(((v + 1.5) * 21).astype(int) + 100, 0, 255)]
    return 0.7 * fine + 0.5 * coarse


def _hsv_jitter(rng, colour, amount):
    colour = np.asarray(colour, dtype=np.float32)
    return np.clip(colour * (1 + rng.uniform(-amount, amount, 3)), 0, 1).astype(np.float32)


@dataclass
class _Surface:
    """albedo [n, n, 3], metal [n, n] 0..1 (how mirror-like), gloss: strength of highlights."""

    albedo: np.ndarray
    metal: np.ndarray
    gloss: float


def _flat(n, colour):
    return np.broadcast_to(colour, (n, n, 3)).astype(np.float32)


def _metal(rng, u, v, colour, jitter, gloss, lines):
    n = u.shape[0]
    colour = _hsv_jitter(rng, colour, jitter) * rng.uniform(0.88, 1.08)
    texture = 1 + lines * rng.uniform(0.5, 1.2) * _brushed(rng, u, v)
    texture = texture * (0.9 + 0.2 * _clouds(rng, n, n, max(8, n / 4)))
    return _Surface(_flat(n, colour) * texture[..., None], np.full((n, n), 0.8, np.float32), gloss)


def _steel(rng, u, v):
    return _metal(rng, u, v, (0.72, 0.74, 0.77), 0.02, 0.8, 0.06)


def _brass(rng, u, v):
    return _metal(rng, u, v, (0.86, 0.70, 0.28), 0.03, 0.8, 0.04)


def _copper(rng, u, v):
    return _metal(rng, u, v, (0.84, 0.45, 0.30), 0.03, 0.75, 0.04)


def _black_oxide(rng, u, v):
    surface = _metal(rng, u, v, (0.165, 0.17, 0.19), 0.05, 0.7, 0.05)
    surface.metal *= 0.6
    return surface


def _rusted(rng, u, v):
    n = u.shape[0]
    base = _steel(rng, u, v)
    blotches = 0.6 * _clouds(rng, n, n, max(5, n / 7)) + 0.4 * _clouds(rng, n, n, max(3, n / 22))
    cover = np.clip((blotches - rng.uniform(0.28, 0.42)) / 0.12, 0, 1)[..., None]
    grain = _clouds(rng, n, n, 2)[..., None]
    deep = _hsv_jitter(rng, (0.30, 0.15, 0.09), 0.08)
    bright = _hsv_jitter(rng, (0.66, 0.33, 0.12), 0.08)
    mix = np.clip(0.6 * grain + 0.6 * _clouds(rng, n, n, max(4, n / 10))[..., None] - 0.1, 0, 1)
    rust = deep + (bright - deep) * mix
    albedo = base.albedo * 0.75 * (1 - cover) + rust * cover
    return _Surface(albedo, base.metal * (1 - 0.95 * cover[..., 0]), 0.5)


def _painted(rng, u, v):
    n = u.shape[0]
    colours = [(0.10, 0.30, 0.72), (0.08, 0.50, 0.26), (0.80, 0.10, 0.12), (0.12, 0.56, 0.68)]
    colour = _hsv_jitter(rng, colours[int(rng.integers(len(colours)))], 0.08)
    albedo = _flat(n, colour) * (0.93 + 0.14 * _clouds(rng, n, n, max(4, n / 6)))[..., None]
    metal = np.full((n, n), 0.05, np.float32)
    chips = np.clip((_clouds(rng, n, n, max(3, n / 16)) - rng.uniform(0.90, 1.05)) / 0.05, 0, 1)
    albedo = albedo * (1 - chips[..., None]) + np.float32(0.6) * chips[..., None]
    return _Surface(albedo, metal, 0.9)


_FINISH = [_steel, _brass, _copper, _black_oxide, _rusted, _painted]


# ---- the scene ---------------------------------------------------------------------------------


def _belt(rng, side):
    """The empty conveyor belt, float32 [side, side, 3] in 0..1."""
    colours = [
        (0.27, 0.28, 0.27),  # dark rubber
        (0.42, 0.44, 0.46),  # grey fabric
        (0.16, 0.32, 0.26),  # green PVC
        (0.22, 0.30, 0.42),  # blue food-grade
        (0.62, 0.60, 0.54),  # pale canvas
    ]
    colour = _hsv_jitter(rng, colours[int(rng.integers(len(colours)))], 0.08)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    cos, sin = math.cos(angle), math.sin(angle)  # Python floats: arrays stay float32
    along, across = x * cos + y * sin, y * cos - x * sin
    pattern = int(rng.integers(4))
    period = rng.uniform(9, 26)
    if pattern == 0:
        weave = 0.5 * np.sin(2 * np.pi * along / period)
    elif pattern == 1:
        weave = np.sin(2 * np.pi * along / period) * np.sin(2 * np.pi * across / period)
    elif pattern == 2:  # cleats
        weave = np.where((along / (period * 2.5)) % 1 < 0.12, -1.2, 0.1)
    else:
        weave = np.zeros_like(x)
    shade = 1 + rng.uniform(0.03, 0.09) * weave
    shade = shade + 0.22 * (_clouds(rng, side, side, side / 5) - 0.5)
    shade = shade + 0.16 * (_clouds(rng, side, side, 3) - 0.5)
    belt = colour * shade[..., None]
    for _ in range(int(rng.integers(0, 3))):  # oil
        cx, cy, r = rng.uniform(0, side, 2).tolist() + [rng.uniform(10, 34)]
        stain = np.hypot(x - cx, (y - cy) * rng.uniform(0.7, 1.4))
        stain = stain + 14 * (_clouds(rng, side, side, 14) - 0.5)
        belt = belt * (1 - 0.35 * np.clip((r - stain) / 5, 0, 1))[..., None]
    for _ in range(int(rng.integers(0, 7))):  # swarf: short bright curls
        cx, cy = rng.uniform(0, side, 2).tolist()
        r, a = rng.uniform(2, 7), rng.uniform(-np.pi, np.pi)
        turn = (np.arctan2(y - cy, x - cx) - a + np.pi) % (2 * np.pi) - np.pi
        curl = np.clip(1.2 - np.abs(np.hypot(x - cx, y - cy) - r), 0, 1)
        curl = curl * (np.abs(turn) < rng.uniform(0.6, 1.6))
        belt = belt + (np.float32(rng.uniform(0.2, 0.5)) * curl)[..., None]
    return belt.astype(np.float32)


def _window(centre, half, side):
    """Slices of a square about centre (x, y) cut to the picture, and where they start in it."""
    x0, y0 = int(np.floor(centre[0] - half)), int(np.floor(centre[1] - half))
    n = int(np.ceil(2 * half))
    left, top = max(0, x0), max(0, y0)
    right, bottom = min(side, x0 + n), min(side, y0 + n)
    return x0, y0, n, slice(top, bottom), slice(left, right)


def _place(canvas, regions, rng, light, part):
    """Draws one part with its shadow onto canvas (in place) and writes its region."""
    kind, finish, centre, half, angle = part
    side = canvas.shape[0]
    margin = half * 1.45 + 4
    x0, y0, n, rows, columns = _window(centre, margin, side)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    y, x = np.mgrid[0:n, 0:n].astype(np.float32)
    px, py = (x + x0 - centre[0]) / half, (y + y0 - centre[1]) / half
    cos, sin = math.cos(angle), math.sin(angle)
    u, v = px * cos + py * sin, -px * sin + py * cos
    distance, height, dark = _DRAW[kind](u, v, rng)
    alpha = np.clip(0.5 - distance * half, 0, 1).astype(np.float32)

    # Light: a normal from the height's slope, a lamp from the side, and for metal a mirror of
    # a room that is bright above and dark at the sides.
    height = _blur(np.clip(height, 0, 1), 0.8)
    slope_y, slope_x = np.gradient(height * half)
    normal_z = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    normal_x, normal_y = -slope_x * normal_z, -slope_y * normal_z
    lx, ly, lz = light
    lambert = np.clip(normal_x * lx + normal_y * ly + normal_z * lz, 0, 1)
    half_z = lz + 1
    norm = math.sqrt(lx**2 + ly**2 + half_z**2)
    facing = np.clip((normal_x * lx + normal_y * ly + normal_z * half_z) / norm, 0, 1)
    surface = _FINISH[finish](rng, u, v)
    tilt = normal_x * lx + normal_y * ly
    sheen = 0.62 + 0.30 * np.sin(2.2 * (px * lx + py * ly) + rng.uniform(0, 6)) * 0.5 + 0.55 * tilt
    diffuse = 0.30 + 0.75 * lambert
    shade = surface.metal * (0.45 * diffuse + 0.62 * sheen) + (1 - surface.metal) * diffuse
    shade = shade * (1 - dark)
    highlight = surface.gloss * (facing**40) * 0.22 * (1 - dark)
    colour = surface.albedo * shade[..., None]
    tint = 0.5 + 0.5 * surface.albedo / np.maximum(surface.albedo.max(-1, keepdims=True), 1e-3)
    colour = colour + highlight[..., None] * tint

    inner = (slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0))
    depth = {0: 0.30, 5: 0.2, 6: 0.2}.get(kind, 0.16) * half
    shift = (int(round(-ly * depth)), int(round(-lx * depth)))
    shadow = np.roll(alpha, shift, axis=(0, 1))
    contact = _blur(np.maximum(alpha, shadow), 2.5)
    shadow = np.maximum(_blur(shadow, 2 + depth * 0.2) * 0.55, contact * 0.38)[inner]
    canvas[rows, columns] *= (1 - shadow)[..., None]
    a = alpha[inner][..., None]
    canvas[rows, columns] = canvas[rows, columns] * (1 - a) + colour[inner] * a
    target = regions[rows, columns]
    target[alpha[inner] > 0.5] = REGION_OF_KIND[kind]


def _others(rng, side, main_centre, main_half):
    """Up to four further parts around the main one, as (part, above) with above rarely true."""
    found = []
    placed = []
    for _ in range(int(rng.integers(0, 5))):
        # Half of them by region, so that the few-kind regions are seen as often.
        if rng.random() < 0.5:
            region = int(rng.integers(1, len(REGIONS)))
            kind = int(rng.choice([k for k, r in enumerate(REGION_OF_KIND) if r == region]))
        else:
            kind = int(rng.integers(len(KINDS)))
        half = side * (rng.uniform(0.18, 0.26) if kind in _LONG else rng.uniform(0.14, 0.21))
        above = bool(rng.random() < 0.2)
        for _attempt in range(12):
            centre = rng.uniform(0.02 * side, 0.98 * side, 2).tolist()
            room = math.dist(centre, main_centre) - half - main_half
            clear = all(math.dist(centre, c) > 0.75 * (h + half) for c, h in placed)
            if clear and room > (-0.30 if above else -0.55) * half:
                part = (kind, int(rng.integers(len(FINISHES))), centre, half)
                found.append((part + (rng.uniform(0, 2 * np.pi),), above))
                placed.append((centre, half))
                break
    return found


def _camera(rng, canvas):
    """Light fall-off, colour cast, exposure, blur, averaging down, noise. -> uint8 picture."""
    side = canvas.shape[0]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    fall = 1 + rng.uniform(0, 0.45) * (x * math.cos(angle) + y * math.sin(angle))
    fall = fall * (1 - rng.uniform(0, 0.5) * (x**2 + y**2))
    cast = 1 + rng.uniform(-0.045, 0.045, 3)
    canvas = canvas * fall[..., None] * (cast * rng.uniform(0.82, 1.22)).astype(np.float32)
    image = Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.7:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5)))
    image = image.reduce(_SCALE)
    picture = np.asarray(image, dtype=np.float32)
    sigma = rng.uniform(1, 7)
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise = noise + 0.6 * rng.standard_normal(picture.shape[:2], dtype=np.float32)[..., None]
    gain = np.sqrt(picture / 255 + 0.15)
    return np.clip(picture + sigma * gain * noise + 0.5, 0, 255).astype(np.uint8)


def scene(seed, kind=None, finish=None):
    """Draws the scene of a seed.

    seed: int >= 0. Consecutive seeds go round all pairs of kind and finish.
    kind, finish: indices of the main part's, to overrule that.
    Returns a Scene.
    """
    rng = np.random.default_rng([0x5CE9E, seed])
    kind = seed % len(KINDS) if kind is None else kind
    finish = (seed // len(KINDS)) % len(FINISHES) if finish is None else finish
    side = SIZE * _SCALE
    canvas = _belt(rng, side)
    regions = np.zeros((side, side), np.uint8)
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.15)
    light = (
        math.cos(azimuth) * math.cos(height),
        math.sin(azimuth) * math.cos(height),
        math.sin(height),
    )
    half = side * (rng.uniform(0.35, 0.45) if kind in _LONG else rng.uniform(0.28, 0.40))
    centre = (side * (0.5 + rng.uniform(-0.08, 0.08, 2))).tolist()
    main = (kind, finish, centre, half, rng.uniform(0, 2 * np.pi))
    others = _others(rng, side, centre, half)
    for part, above in others:
        if not above:
            _place(canvas, regions, rng, light, part)
    _place(canvas, regions, rng, light, main)
    for part, above in others:
        if above:
            _place(canvas, regions, rng, light, part)
    picture = _camera(rng, canvas)
    votes = np.stack(
        [
            (regions == region).reshape(SIZE, _SCALE, SIZE, _SCALE).sum((1, 3))
            for region in range(len(REGIONS))
        ]
    )
    # Of two regions with as many votes the part wins over the belt.
    votes[1:] *= 2
    votes[0] = votes[0] * 2 - 1
    return Scene(picture, votes.argmax(0).astype(np.uint8), kind, finish)


def to_input(picture):
    """uint8 [h, w, 3] -> the models' input, float32 [3, h, w] in 0..1."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
