"""Draws the products: one function per class, each with proportions and details of its own."""

from collections.abc import Callable
from typing import Final

import numpy as np

from data.drawing.pen import Colour, Pen, curve, ellipse, mirror, tone

Draw = Callable[[Pen, np.random.Generator, Colour, Colour], None]

_METAL: Final[Colour] = (0.72, 0.72, 0.75)
_DARK: Final[Colour] = (0.12, 0.11, 0.12)


def _draw_mug(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    width, height, rim = rng.uniform(0.42, 0.6), rng.uniform(0.5, 0.8), rng.uniform(0.08, 0.17)
    foot = width * rng.uniform(0.72, 1.0)
    reach = rng.uniform(0.28, 0.4)
    pen.stroke(
        ellipse((width * 0.95, 0.02), (reach, height * 0.55), -95, 95), 0.13, tone(body, 0.8)
    )
    pen.fill(
        np.concatenate([
            [(-width, -height)],
            [(width, -height)],
            ellipse((0, height), (foot, rim), 0, 180),
        ]),
        body,
    )
    pattern = rng.integers(3)
    if pattern == 0:
        pen.fill(_band(width, foot, height, -0.25, 0.25), accent)
    elif pattern == 1:
        pen.fill(ellipse((-0.05, 0.08), (0.22, 0.22)), accent)
    pen.fill(_strip(-width * 0.8, -height * 0.7, 0.09, height * 1.4), tone(body, 1.5))
    pen.fill(ellipse((0, -height), (width, rim)), tone(body, 1.25))
    pen.fill(ellipse((0, -height + 0.01), (width * 0.88, rim * 0.78)), (0.25, 0.15, 0.1))


def _draw_bottle(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    width, neck = rng.uniform(0.25, 0.36), rng.uniform(0.09, 0.14)
    shoulder = rng.uniform(-0.35, -0.1)
    half = [
        (neck, -0.85),
        (neck, shoulder - 0.22),
        (width * 0.8, shoulder - 0.05),
        (width, shoulder + 0.15),
        (width, 0.5),
        (width, 0.88),
        (width * 0.85, 0.97),
    ]
    pen.fill(curve(mirror(half)), body)
    pen.fill(_box(-neck * 1.25, -1.0, neck * 1.25, -0.8), accent)
    top, bottom = rng.uniform(0.05, 0.2), rng.uniform(0.5, 0.75)
    pen.fill(_box(-width, top, width, bottom), tone(accent, 1.8))
    pen.fill(_box(-width, top + 0.08, width, top + 0.15), accent)
    pen.fill(_strip(-width * 0.72, shoulder + 0.15, 0.07, 0.7 - shoulder), tone(body, 1.7))


def _draw_shoe(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    ankle, sole = rng.uniform(-0.62, -0.3), rng.uniform(0.12, 0.22)
    upper = [
        (-0.88, 0.3),
        (-0.92, 0.0),
        (-0.85, ankle),
        (-0.55, ankle + 0.06),
        (-0.25, ankle + 0.02),
        (0.05, -0.12),
        (0.45, 0.02),
        (0.85, 0.15),
        (0.96, 0.35),
        (0.5, 0.42),
        (-0.4, 0.42),
    ]
    pen.fill(curve(upper), body)
    pen.fill(ellipse((-0.54, ankle + 0.03), (0.3, 0.07)), tone(body, 0.35))
    pen.fill(curve([(0.55, 0.02), (0.9, 0.16), (0.97, 0.35), (0.62, 0.38)]), tone(body, 0.75))
    pen.fill(_box(-0.95, 0.32, 1.0, 0.32 + sole), tone(accent, 1.6))
    if rng.random() < 0.4:
        pen.fill(_box(-0.95, 0.32 + sole, -0.45, 0.5 + sole), tone(accent, 0.6))
    for step in range(3):
        x, y = -0.12 + 0.17 * step, -0.1 + 0.07 * step
        pen.stroke([(x, y), (x + 0.04, y + 0.08), (x - 0.06, y + 0.2)], 0.05, tone(accent, 2.2))
    if rng.random() < 0.6:
        pen.stroke(curve([(-0.7, 0.2), (-0.35, 0.1), (0.1, 0.2)], closed=False), 0.09, accent)


def _draw_tshirt(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    width, length, sleeve = rng.uniform(0.42, 0.56), rng.uniform(0.75, 0.95), rng.uniform(0.0, 0.3)
    half = [
        (0.2, -0.78),
        (0.48, -0.68),
        (0.98, -0.25 + sleeve),
        (0.74, -0.02 + sleeve),
        (width, -0.25),
        (width, length),
    ]
    pen.fill(mirror(half), body)
    for side in (-1, 1):
        pen.stroke([(side * width, -0.28), (side * 0.47, -0.65)], 0.025, tone(body, 0.72))
        pen.stroke(
            [(side * 0.96, -0.25 + sleeve), (side * 0.74, -0.04 + sleeve)], 0.05, tone(accent, 0.9)
        )
    pen.fill(ellipse((0, -0.78), (0.21, 0.16), 0, 180), tone(body, 0.5))
    pen.stroke(ellipse((0, -0.78), (0.22, 0.18), 0, 180), 0.045, accent)
    pattern = rng.integers(4)
    if pattern == 0:
        pen.fill(ellipse((0, 0.05), (0.24, 0.24)), accent)
    elif pattern == 1:
        for y in np.linspace(-0.15, length - 0.2, 4):
            pen.fill(_box(-width, y, width, y + 0.1), accent)
    elif pattern == 2:
        pen.fill(_box(-0.28, -0.12, 0.28, 0.22), accent)
    for x in rng.uniform(-0.3, 0.3, 2):
        pen.stroke([(x, length - 0.5), (x + 0.05, length - 0.05)], 0.03, tone(body, 0.8))


def _draw_trousers(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    waist, hem = rng.uniform(0.3, 0.4), rng.uniform(0.16, 0.3)
    spread, crotch, end = rng.uniform(0.25, 0.42), rng.uniform(-0.3, -0.1), rng.uniform(0.8, 1.0)
    half = [
        (waist, -0.95),
        (waist + 0.12, -0.35),
        (spread + hem, end),
        (spread - hem * 0.6, end),
        (0.02, crotch),
    ]
    pen.fill(mirror(half), body)
    pen.fill(_box(-waist, -0.97, waist, -0.84), tone(body, 0.75))
    pen.fill(_box(-0.05, -0.97, 0.05, -0.84), tone(accent, 1.3))
    pen.stroke([(0, -0.84), (0.02, crotch)], 0.025, tone(body, 0.6))
    for side in (-1, 1):
        pen.stroke(
            curve(
                [
                    (side * waist * 0.5, -0.82),
                    (side * waist * 0.7, -0.66),
                    (side * (waist + 0.05), -0.6),
                ],
                closed=False,
            ),
            0.03,
            tone(body, 0.6),
        )
        pen.stroke([(side * 0.22, -0.5), (side * spread, end - 0.1)], 0.03, tone(body, 1.25))
        pen.stroke(
            [(side * (spread + hem), end - 0.05), (side * (spread - hem * 0.6), end - 0.05)],
            0.07,
            tone(body, 0.8),
        )


def _draw_hat(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    crown, height = rng.uniform(0.42, 0.56), rng.uniform(0.55, 0.8)
    brim, tilt = rng.uniform(0.14, 0.26), rng.uniform(-0.1, 0.1)
    pen.fill(ellipse((0, 0.32), (0.98, brim)), tone(body, 0.85))
    pen.fill(ellipse((0, 0.3 + brim * 0.25), (0.9, brim * 0.6)), tone(body, 0.6))
    dome = [
        (crown, 0.35),
        (crown * 0.97, -height * 0.3),
        (crown * 0.75, -height * 0.85),
        (tilt + 0.14, -height),
        (tilt - 0.14, -height * 0.93),
        (-crown * 0.75, -height * 0.85),
        (-crown * 0.97, -height * 0.3),
        (-crown, 0.35),
        (0, 0.35 + brim * 0.5),
    ]
    pen.fill(curve(dome), body)
    band = np.concatenate([
        ellipse((0, 0.05), (crown, brim * 0.5), 180, 0),
        ellipse((0, 0.27), (crown * 1.01, brim * 0.55), 0, 180),
    ])
    pen.fill(band, accent)
    pen.stroke(
        curve([(-0.2, -height * 0.88), (0.0, -height * 0.6), (0.2, -height * 0.88)], closed=False),
        0.06,
        tone(body, 0.75),
    )


def _draw_lamp(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    top, bottom = rng.uniform(0.18, 0.38), rng.uniform(0.5, 0.72)
    edge, foot = rng.uniform(-0.15, 0.1), rng.uniform(0.28, 0.45)
    stem = tone(accent, 0.9)
    pen.fill(ellipse((0, 0.88), (foot, 0.1)), tone(stem, 0.7))
    pen.fill(ellipse((0, 0.84), (foot * 0.9, 0.09)), stem)
    if rng.random() < 0.5:
        pen.stroke([(0, edge), (0, 0.84)], 0.08, stem)
    else:
        vase = [(0.06, edge), (0.08, 0.2), (0.24, 0.5), (0.16, 0.75), (0.12, 0.84)]
        pen.fill(curve(mirror(vase)), stem)
    pen.fill(ellipse((0, edge), (bottom, 0.11)), tone(body, 0.55))
    shade = np.concatenate([
        [(-top, -0.92), (top, -0.92)],
        ellipse((0, edge), (bottom, 0.09), 0, 180),
    ])
    pen.fill(shade, tone(body, 1.3))
    pen.fill(
        [
            (-top * 0.5, -0.92),
            (top * 0.3, -0.92),
            (bottom * 0.3, edge + 0.08),
            (-bottom * 0.5, edge + 0.08),
        ],
        tone(body, 1.9),
    )
    pen.fill(ellipse((0, -0.92), (top, 0.05)), tone(body, 0.8))


def _draw_chair(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    width, back, seat = rng.uniform(0.38, 0.5), rng.uniform(-0.98, -0.75), rng.uniform(0.05, 0.2)
    depth, leg, skew = rng.uniform(0.18, 0.28), rng.uniform(0.07, 0.11), rng.uniform(-0.15, 0.25)
    rear = seat - depth
    for side in (-1, 1):
        x = side * width * 0.88 + skew
        pen.stroke([(x, back), (x, rear), (x + side * 0.03, 0.78)], leg, tone(body, 0.65))
    if rng.random() < 0.5:
        for y in np.linspace(back + 0.06, rear - 0.25, 3):
            pen.stroke([(-width * 0.88 + skew, y), (width * 0.88 + skew, y)], 0.12, tone(body, 0.9))
    else:
        pen.fill(
            _box(-width * 0.9 + skew, back, width * 0.9 + skew, rear - 0.15), tone(accent, 0.9)
        )
    pen.fill(
        [
            (-width * 0.9 + skew, rear),
            (width * 0.9 + skew, rear),
            (width * 1.08, seat),
            (-width * 1.08, seat),
        ],
        tone(accent, 1.25),
    )
    pen.fill(_box(-width * 1.08, seat, width * 1.08, seat + 0.1), tone(accent, 0.75))
    for side in (-1, 1):
        pen.stroke([(side * width, seat + 0.08), (side * width * 1.1, 0.97)], leg * 1.2, body)
    pen.stroke([(-width, 0.55), (width, 0.55)], 0.05, tone(body, 0.8))


def _draw_bag(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    top, bottom = rng.uniform(0.5, 0.68), rng.uniform(0.68, 0.88)
    rise, grip = rng.uniform(0.55, 0.8), rng.uniform(0.3, 0.42)
    pen.stroke(
        ellipse((0, -0.15), (grip, rise), 180, 360), rng.uniform(0.07, 0.11), tone(body, 0.65)
    )
    half = [(top, -0.2), (top + 0.05, 0.1), (bottom, 0.7), (bottom * 0.93, 0.82)]
    pen.fill(mirror(half), body)
    if rng.random() < 0.6:
        flap = [(top, -0.22), (top * 0.98, 0.1), (0.25, 0.32)]
        pen.fill(mirror(flap), tone(body, 0.8))
        pen.fill(ellipse((0, 0.28), (0.09, 0.09)), tone(accent, 1.4))
    else:
        pen.stroke([(-top, -0.12), (top, -0.12)], 0.04, _METAL)
        pen.fill(_box(-top * 0.6, 0.2, top * 0.6, 0.62), tone(body, 0.85))
    for side in (-1, 1):
        pen.fill(ellipse((side * grip, -0.13), (0.07, 0.07)), _METAL)
    pen.stroke([(-bottom * 0.95, 0.74), (bottom * 0.95, 0.74)], 0.03, tone(accent, 1.1))


def _draw_watch(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    strap, radius = rng.uniform(0.17, 0.26), rng.uniform(0.38, 0.48)
    half = [(strap * 0.8, -0.98), (strap * 1.15, -0.3), (strap * 1.15, 0.3), (strap * 0.75, 0.98)]
    pen.fill(mirror(half), body)
    for y in (0.55, 0.68, 0.81):
        pen.fill(ellipse((0, y), (0.03, 0.025)), tone(body, 0.3))
    pen.stroke([(-strap * 0.8, -0.9), (strap * 0.8, -0.9)], 0.06, _METAL)
    metal = tone(_METAL, rng.uniform(0.6, 1.2))
    face = (0.95, 0.95, 0.92) if rng.random() < 0.6 else _DARK
    pen.fill(_box(radius, -0.06, radius + 0.09, 0.06), tone(metal, 0.8))
    if rng.random() < 0.7:
        pen.fill(ellipse((0, 0), (radius, radius)), metal)
        pen.fill(ellipse((0, 0), (radius * 0.82, radius * 0.82)), face)
    else:
        pen.fill(_box(-radius * 0.9, -radius, radius * 0.9, radius), metal)
        pen.fill(_box(-radius * 0.72, -radius * 0.82, radius * 0.72, radius * 0.82), face)
    for angle in np.radians(np.arange(0, 360, 30)):
        ray = np.array([np.cos(angle), np.sin(angle)]) * radius
        pen.stroke([ray * 0.62, ray * 0.72], 0.03, tone(accent, 0.9))
    for length, width in ((0.38, 0.06), (0.56, 0.04)):
        angle = rng.uniform(0, 2 * np.pi)
        tip = np.array([np.cos(angle), np.sin(angle)]) * radius * length
        pen.stroke(np.stack([0 * tip, tip]), width, accent)


def _draw_umbrella(pen: Pen, rng: np.random.Generator, body: Colour, accent: Colour) -> None:
    height, hook = rng.uniform(0.7, 0.9), rng.uniform(0.1, 0.16)
    pen.stroke([(0, -0.98), (0, 0.8)], 0.05, tone(accent, 0.6))
    pen.stroke(ellipse((hook, 0.8), (hook, hook), 180, 0), 0.07, tone(accent, 0.6))
    scallops = [ellipse((x, 0.0), (0.24, 0.12), 360, 180) for x in (0.72, 0.24, -0.24, -0.72)]
    pen.fill(np.concatenate([ellipse((0, 0), (0.96, height), 180, 360), *scallops]), body)
    for x in (-0.48, 0.0, 0.48):
        pen.stroke(
            curve([(0, -height), (x * 0.8, -height * 0.6), (x, -0.02)], closed=False),
            0.025,
            tone(body, 0.65),
        )
    pen.fill(
        np.concatenate([[(0, -height)], ellipse((-0.24, 0.0), (0.24, 0.12), 360, 180)]),
        tone(body, 1.35),
    )


def _box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _strip(left: float, top: float, width: float, height: float) -> list[tuple[float, float]]:
    return _box(left, top, left + width, top + height)


def _band(
    width: float, foot: float, height: float, top: float, bottom: float
) -> list[tuple[float, float]]:
    # A band around something that narrows from `width` at -height to `foot` at height.
    upper = width + (foot - width) * (top + height) / (2 * height)
    lower = width + (foot - width) * (bottom + height) / (2 * height)
    return [(-upper, top), (upper, top), (lower, bottom), (-lower, bottom)]


PRODUCTS: Final[dict[str, Draw]] = {
    "bag": _draw_bag,
    "bottle": _draw_bottle,
    "chair": _draw_chair,
    "hat": _draw_hat,
    "lamp": _draw_lamp,
    "mug": _draw_mug,
    "shoe": _draw_shoe,
    "t-shirt": _draw_tshirt,
    "trousers": _draw_trousers,
    "watch": _draw_watch,
}
"""Draws each class of the sample data: pen, random numbers, main colour, colour of details."""

NEW_PRODUCT: Final = ("umbrella", _draw_umbrella)
"""The class that `sample.new_class` adds."""
