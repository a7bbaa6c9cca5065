"""Kubernetes quantities: numbers with an ending, such as 500m, 2 or 4Gi."""

import re

from configs.errors import ConfigError

_FACTORS = {
    "": 1.0,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}
_QUANTITY = re.compile(rf"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)({'|'.join(_FACTORS)})")


def parse_quantity(name: str, text: str) -> float:
    """Read a quantity.

    Args:
        name: name of the setting.
        text: the quantity.

    Returns:
        CPUs, bytes or whatever is counted; 0 or more.

    Raises:
        ConfigError: it is no quantity.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{name} is '{text}', expected a Kubernetes quantity such as 500m, 2 or 4Gi. Change it "
            "in the config."
        )
    return float(match[1]) * _FACTORS[match[2]]
