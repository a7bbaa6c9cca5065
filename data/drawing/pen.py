"""A pen that draws filled curves in a unit square onto a canvas seen from any side."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]
Colour = tuple[float, float, float]

_CURVE_STEPS: Final = 6
_CIRCLE_STEPS: Final = 40


class Pen:
    """Draws onto a colour layer and a mask that says where something was drawn.

    Coordinates are those of the thing drawn: x to the right and y down, both -1..1.

    Attributes:
        layer: RGB image of what was drawn.
        mask: 8-bit image, 255 where something was drawn.
    """

    def __init__(self, size: tuple[int, int], view: NDArray[np.float64]) -> None:
        """Prepare empty layers.

        Args:
            size: width and height in pixels.
            view: 3x3 homography from the thing's coordinates to pixels.
        """
        self.layer = Image.new("RGB", size)
        self.mask = Image.new("L", size)
        self._view = view
        self._layer_draw = ImageDraw.Draw(self.layer)
        self._mask_draw = ImageDraw.Draw(self.mask)

    def fill(self, points: ArrayLike, colour: Colour) -> None:
        """Fill a polygon.

        Args:
            points: float (n, 2), at least 3 corners.
            colour: red, green and blue, 0..1.
        """
        corners = self._project(np.asarray(points, dtype=np.float64))
        self._layer_draw.polygon(corners, fill=to_rgb(colour))
        self._mask_draw.polygon(corners, fill=255)

    def stroke(self, points: ArrayLike, width: float, colour: Colour) -> None:
        """Draw a line of even width with round ends.

        Args:
            points: float (n, 2), at least 2 points along the line.
            width: width in the thing's coordinates.
            colour: red, green and blue, 0..1.
        """
        line = np.asarray(points, dtype=np.float64)
        along = np.gradient(line, axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
        across = along[:, ::-1] * (-width / 2, width / 2)
        self.fill(np.concatenate([line + across, (line - across)[::-1]]), colour)
        for end in (line[0], line[-1]):
            self.fill(ellipse(end, (width / 2, width / 2)), colour)

    def _project(self, points: Points) -> list[tuple[float, float]]:
        homogeneous = np.c_[points, np.ones(len(points))] @ self._view.T
        return [(x / w, y / w) for x, y, w in homogeneous.tolist()]


def to_rgb(colour: Colour) -> tuple[int, int, int]:
    """Turn a colour into the bytes of a pixel.

    Args:
        colour: red, green and blue; outside 0..1 they are cut off.

    Returns:
        The same as 0..255.
    """
    red, green, blue = (round(255 * min(1.0, max(0.0, part))) for part in colour)
    return red, green, blue


def tone(colour: Colour, factor: float) -> Colour:
    """Make a colour darker or lighter.

    Args:
        colour: red, green and blue, 0..1.
        factor: below 1 darkens towards black, above 1 lightens towards white.

    Returns:
        The new colour.
    """
    if factor <= 1:
        red, green, blue = (part * factor for part in colour)
    else:
        red, green, blue = (1 - (1 - part) / factor for part in colour)
    return red, green, blue


def curve(points: ArrayLike, *, closed: bool = True) -> Points:
    """Lay a smooth curve (Catmull-Rom) through points.

    Args:
        points: float (n, 2), at least 3 points.
        closed: join the last point to the first.

    Returns:
        float (m, 2), more points along the curve.

    Source: Catmull and Rom, 1974, doi:10.1016/B978-0-12-079050-0.50020-5.
    """
    middle = np.asarray(points, dtype=np.float64)
    if closed:
        padded = np.concatenate([middle[-1:], middle, middle[:2]])
    else:
        padded = np.concatenate([middle[:1], middle, middle[-1:]])
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = np.linspace(0, 1, _CURVE_STEPS, endpoint=False)[None, :, None]
    dense = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    dense = dense.reshape(-1, 2)
    return dense if closed else np.concatenate([dense, middle[-1:]])


def ellipse(
    centre: ArrayLike, radii: tuple[float, float], start: float = 0.0, end: float = 360.0
) -> Points:
    """Walk along an ellipse.

    Args:
        centre: x and y.
        radii: half width and half height.
        start: angle of the first point in degrees, 0 to the right, clockwise.
        end: angle of the last point in degrees.

    Returns:
        float (n, 2), points along the arc.
    """
    angles = np.radians(np.linspace(start, end, _CIRCLE_STEPS))
    return np.asarray(centre) + np.c_[np.cos(angles), np.sin(angles)] * radii


def mirror(half: ArrayLike) -> Points:
    """Complete the outline of something symmetric.

    Args:
        half: float (n, 2), the right half from top to bottom.

    Returns:
        float (2n, 2), the right half and its mirror image from bottom to top.
    """
    right = np.asarray(half, dtype=np.float64)
    return np.concatenate([right, right[::-1] * (-1, 1)])
