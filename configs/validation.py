"""Checks that every settings dataclass shares."""

from collections.abc import Collection

from configs.errors import ConfigError


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Check that a setting lies in a closed range.

    Args:
        name: dotted name of the setting, as the user writes it.
        value: what was given.
        low: smallest accepted value.
        high: largest accepted value.

    Raises:
        ConfigError: `value` is outside `low`..`high`.
    """
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}, expected {low} to {high}. Change it in the config.")


def require_one_of(name: str, value: str, choices: Collection[str]) -> None:
    """Check that a setting is one of a few words.

    Args:
        name: dotted name of the setting, as the user writes it.
        value: what was given.
        choices: what is accepted.

    Raises:
        ConfigError: `value` is not in `choices`.
    """
    if value not in choices:
        raise ConfigError(f"{name} is '{value}', expected one of: {', '.join(choices)}.")
