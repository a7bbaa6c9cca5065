"""Makes pages of templates; everything in them is escaped."""

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import jinja2
from fastapi.responses import HTMLResponse

from serving.gateway.console.assets import Assets
from serving.gateway.console.windows import WINDOWS

NOTHING: Final = "\N{EN DASH}"
"""Stands where there is no value."""
_FOLDER: Final = Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True, slots=True)
class Pages:
    """Renders pages.

    Attributes:
        environment: the templates.
    """

    environment: jinja2.Environment

    def render(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a page.

        Args:
            template: file name.
            status: HTTP status.
            values: what the template shows.

        Returns:
            The page.
        """
        text = self.environment.get_template(template).render(values)
        return HTMLResponse(text, status_code=status)


def make_pages(assets: Assets) -> Pages:
    """Prepare the templates.

    Args:
        assets: what pages refer to.

    Returns:
        What renders pages.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    shared: dict[str, Any] = {
        "asset": lambda name: _find_address(assets, name),
        "windows": WINDOWS,
    }
    environment.globals.update(shared)
    environment.filters.update(_FILTERS)
    return Pages(environment)


def _find_address(assets: Assets, name: str) -> str:
    if name not in assets.files:
        raise ValueError(f"no static file '{name}', expected one of {sorted(assets.files)}.")
    return f"/console/static/{assets.fingerprint}/{name}"


def write_share(value: float | None) -> str:
    """Write a share as per cent.

    Args:
        value: 0..1, or None.

    Returns:
        Such as `97.3 %`; a dash for None.
    """
    return NOTHING if value is None else f"{value * 100:.1f}\u202f%"


def write_milliseconds(value: float | None) -> str:
    """Write a length of time.

    Args:
        value: milliseconds, or None.

    Returns:
        Such as `8.4 ms` or `1.25 s`; a dash for None.
    """
    if value is None:
        return NOTHING
    if value >= 999.5:
        return f"{value / 1000:.3g}\u202fs"
    return f"{value:.3g}\u202fms"


def write_count(value: float) -> str:
    """Write how many there are.

    Args:
        value: at least 0.

    Returns:
        With narrow blanks between thousands.
    """
    if value and value < 10 and value != int(value):
        return f"{value:.3g}"
    return f"{value:,.0f}".replace(",", "\u202f")


def _write_moment(value: datetime.datetime) -> str:
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_FILTERS: Final[Mapping[str, Any]] = MappingProxyType({
    "share": write_share,
    "milliseconds": write_milliseconds,
    "count_text": write_count,
    "moment": _write_moment,
})
