"""Composes a picture: a product in random pose on a background, with light, shadow and clutter."""

import colorsys
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from data.drawing.pen import Colour, Pen, ellipse, to_rgb
from data.drawing.products import Draw

_LARGEST_SUPERSAMPLED: Final = 320
_SHADOW_SIZE: Final = 48
_NEUTRAL_SHARE: Final = 0.25
_LIGHT_SHARE: Final = 0.8
_LEAST_CONTRAST: Final = 0.45


def draw_scene(draw: Draw, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one product in a scene of its own.

    Args:
        draw: draws the product.
        size: width and height of the picture in pixels.
        rng: chooses everything else.

    Returns:
        float32 (height, width, 3), 0..1, before the camera takes it.
    """
    scale = 2 if max(size) <= _LARGEST_SUPERSAMPLED else 1
    canvas = (size[0] * scale, size[1] * scale)
    body, accent, backdrop = _choose_colours(rng)
    background = _draw_background(canvas, backdrop, rng)
    if rng.random() < 0.2:
        _scatter(background, rng, count=int(rng.integers(2, 7)))
    pen = Pen(canvas, _choose_view(canvas, rng))
    draw(pen, rng, body, accent)
    if rng.random() < 0.15:
        _occlude(background, pen.mask, rng)
    return _light(background.reduce(scale), pen.layer.reduce(scale), pen.mask.reduce(scale), rng)


def _choose_colours(rng: np.random.Generator) -> tuple[Colour, Colour, Colour]:
    body, accent = _choose_colour(rng), _choose_colour(rng)
    while _distance(body, accent) < 0.3:
        accent = _choose_colour(rng)
    backdrop = _choose_backdrop(rng)
    while _distance(body, backdrop) < _LEAST_CONTRAST:
        body, backdrop = _choose_colour(rng), _choose_backdrop(rng)
    return body, accent, backdrop


def _choose_colour(rng: np.random.Generator) -> Colour:
    if rng.random() < _NEUTRAL_SHARE:
        return colorsys.hsv_to_rgb(0.1, rng.uniform(0.0, 0.15), rng.uniform(0.15, 0.9))
    return colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.9))


def _choose_backdrop(rng: np.random.Generator) -> Colour:
    # Mostly the light ground of product pictures, now and then a dark one.
    value = rng.uniform(0.68, 0.97) if rng.random() < _LIGHT_SHARE else rng.uniform(0.2, 0.6)
    return colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.0, 0.3), value)


def _distance(one: Colour, other: Colour) -> float:
    return float(np.linalg.norm(np.subtract(one, other)))


def _choose_view(canvas: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    width, height = canvas
    angle = np.radians(np.clip(rng.normal(0, 8), -25, 25))
    zoom = rng.uniform(0.38, 0.48) * min(canvas)
    flip = -1 if rng.random() < 0.5 else 1
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    stretch = rng.uniform(0.85, 1.15)
    reach = np.minimum(0.5 * np.array(canvas) - 0.9 * zoom, 0.06 * np.array(canvas))
    centre_x = width / 2 + rng.uniform(-1, 1) * max(reach[0], 0.0)
    centre_y = height / 2 + rng.uniform(-1, 1) * max(reach[1], 0.0)
    pose = np.array([
        [flip * cosine * stretch, -sine, centre_x],
        [flip * sine * stretch, cosine, centre_y],
        [0.0, 0.0, 1.0],
    ])
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-0.18, 0.18, 2)
    return pose @ tilt


def _draw_background(
    canvas: tuple[int, int], colour: Colour, rng: np.random.Generator
) -> Image.Image:
    kind = rng.choice(["plain", "gradient", "table", "cloth", "stripes"])
    grid = np.ones((24, 24, 3)) * colour
    down = np.linspace(-1, 1, 24)[:, None, None]
    if kind == "gradient":
        across = down.transpose(1, 0, 2)
        grid *= 1 + rng.uniform(-0.3, 0.3) * down + rng.uniform(-0.3, 0.3) * across
    elif kind == "table":
        edge = int(rng.integers(8, 20))
        grid[edge:] *= rng.uniform(0.55, 0.85)
    elif kind == "cloth":
        grid *= 1 + rng.normal(0, 0.12, (24, 24, 1))
    elif kind == "stripes":
        period, slope = rng.integers(2, 7), rng.integers(-1, 2)
        rows, columns = np.indices((24, 24))
        lines = ((rows + slope * columns) // period) % 2
        grid *= 1 - rng.uniform(0.08, 0.25) * lines[..., None]
    grid *= 1 + rng.normal(0, 0.015, grid.shape)
    return _to_image(grid).resize(canvas, Image.Resampling.BICUBIC)


def _scatter(background: Image.Image, rng: np.random.Generator, *, count: int) -> None:
    draw = ImageDraw.Draw(background)
    for _ in range(count):
        centre = rng.uniform(0, 1, 2) * background.size
        radii = rng.uniform(0.03, 0.16, 2) * min(background.size)
        outline = ellipse((0, 0), (1, 1))[:: int(rng.choice([1, 10, 13]))]
        turn = rng.uniform(0, np.pi)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        corners = (outline * radii) @ rotation + centre
        draw.polygon(
            [(x, y) for x, y in corners.tolist()],
            fill=to_rgb(_choose_backdrop(rng)),
        )


def _occlude(background: Image.Image, mask: Image.Image, rng: np.random.Generator) -> None:
    # A strip that enters from one side hides up to about a fifth of the product.
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    depth = rng.uniform(0.08, 0.25)
    width, height = (right - left) * depth, (bottom - top) * depth
    slant = rng.uniform(-0.5, 0.5) * min(width, height)
    corners = [
        [(left, 0), (left + width + slant, 0), (left + width - slant, mask.height), (left, 10**4)],
        [
            (right, 0),
            (right - width + slant, 0),
            (right - width - slant, mask.height),
            (right, 10**4),
        ],
        [
            (0, bottom),
            (0, bottom - height + slant),
            (mask.width, bottom - height - slant),
            (10**4, bottom),
        ],
    ][int(rng.integers(3))]
    colour = to_rgb(_choose_backdrop(rng))
    ImageDraw.Draw(background).polygon(corners, fill=colour)
    ImageDraw.Draw(mask).polygon(corners, fill=0)


def _light(
    background: Image.Image, layer: Image.Image, mask: Image.Image, rng: np.random.Generator
) -> NDArray[np.float32]:
    size = mask.size
    small = mask.resize((_SHADOW_SIZE, _SHADOW_SIZE), Image.Resampling.BOX)
    soft = np.asarray(small.filter(ImageFilter.GaussianBlur(2.5)), dtype=np.float32) / 255
    direction = rng.uniform(0, 2 * np.pi)
    shift = np.round(np.array([np.cos(direction), np.sin(direction)]) * 2.5).astype(int)
    shadow = 1 - rng.uniform(0.15, 0.55) * np.roll(soft, shift, axis=(0, 1))
    # Thick parts catch more light than edges, the side that faces the light more than the other.
    facing = np.roll(soft, shift, axis=(0, 1)) - np.roll(soft, -shift, axis=(0, 1))
    shade = 0.72 + 0.36 * soft + rng.uniform(0.2, 0.5) * facing
    covered = _to_array(mask)[..., None]
    lit = _to_array(layer) * _enlarge(shade, size)
    ground = _to_array(background) * _enlarge(shadow, size)
    return (ground + (lit - ground) * covered).astype(np.float32, copy=False)


def _enlarge(grid: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    image = Image.fromarray(grid.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32)[..., None]


def _to_array(image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def _to_image(grid: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray((np.clip(grid, 0, 1) * 255).astype(np.uint8))
