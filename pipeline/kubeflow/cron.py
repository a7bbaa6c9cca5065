"""Cron expressions as Kubeflow's scheduler reads them: six fields, seconds first."""

import re
from dataclasses import dataclass

from configs.errors import ConfigError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART = re.compile(r"(?P<low>\*|\?|\w+)(?:-(?P<high>\w+))?(?:/(?P<step>\d+))?")
EXAMPLE = "'0 0 3 * * *' for 3 o'clock each day"


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


def check_cron(expression: str) -> str:
    """Check a cron expression as Kubeflow's scheduler would read it.

    Args:
        expression: second, minute, hour, day of the month, month and day of the week (0 is
            Sunday), each a number, `*`, a range, a list or a step.

    Returns:
        The expression with single blanks.

    Raises:
        ConfigError: it has not six fields, a field is wrong, or its day never comes.

    Source: github.com/robfig/cron v1.2.0, which Kubeflow Pipelines 2.x uses.
    """
    fields = expression.split()
    if len(fields) == 5:
        raise ConfigError(
            f"cron '{expression}' has five fields, expected six, with seconds first. Kubeflow "
            "would take it without complaint and read minutes as seconds. Write "
            f"'0 {' '.join(fields)}'."
        )
    if len(fields) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        raise ConfigError(
            f"cron '{expression}' has {len(fields)} fields, expected six ({names}), such as "
            f"{EXAMPLE}."
        )
    values = [
        _read_field(field, text, expression) for field, text in zip(_FIELDS, fields, strict=True)
    ]
    days, months = values[3], values[4]
    is_any_weekday = len(values[5]) == _FIELDS[5].high + 1
    if is_any_weekday and min(days) > max(_LONGEST_MONTHS[month - 1] for month in months):
        raise ConfigError(
            f"cron '{expression}' names a day that no such month has, so it would never run. "
            "Change the day or the month."
        )
    return " ".join(fields)


def _read_field(field: _Field, text: str, expression: str) -> set[int]:
    values: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise _wrong(field, part, expression)
        is_any = match["low"] in {"*", "?"}
        if is_any and match["high"]:
            raise _wrong(field, part, expression)
        low = field.low if is_any else _read_value(field, match["low"], part, expression)
        if match["high"]:
            high = _read_value(field, match["high"], part, expression)
        else:
            high = field.high if is_any or match["step"] else low
        step = int(match["step"] or 1)
        if low > high or step == 0:
            raise _wrong(field, part, expression)
        values.update(range(low, high + 1, step))
    return values


def _read_value(field: _Field, text: str, part: str, expression: str) -> int:
    if text.lower() in field.words:
        return field.words.index(text.lower()) + field.low
    if not text.isascii() or not text.isdecimal() or not field.low <= int(text) <= field.high:
        raise _wrong(field, part, expression)
    return int(text)


def _wrong(field: _Field, part: str, expression: str) -> ConfigError:
    words = f" or {field.words[0]}..{field.words[-1]}" if field.words else ""
    return ConfigError(
        f"cron '{expression}': the {field.name} is '{part}', expected {field.low} to {field.high}"
        f"{words}, '*', a range 'a-b', a step '*/n' or a list 'a,b'. An example: {EXAMPLE}."
    )
