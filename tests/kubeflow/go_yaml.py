"""Reads YAML as the server does, whose idea of a number is wider than PyYAML's.

Source: gopkg.in/yaml.v3, resolve.go: 1e3 is a number there, and so are 0o17 and 2026-1-2, a time.
"""

import re

import yaml


class GoLoader(yaml.SafeLoader):
    """A loader whose plain scalars mean what they mean to the server."""


def _read_number(loader, node):
    text = loader.construct_scalar(node)
    try:
        return int(text, 0)
    except ValueError:
        number = float(text)
        return text if number in {float("inf"), float("-inf")} else number


def _read_time(loader, node):
    return ("time", loader.construct_scalar(node))


for tag, read, pattern in (
    ("!go-int", _read_number, r"[-+]?0o[0-7_]+"),
    ("!go-float", _read_number, r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+"),
    ("!go-time", _read_time, r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"),
):
    GoLoader.add_implicit_resolver(tag, re.compile(f"^(?:{pattern})$"), list("-+.0123456789"))
    GoLoader.add_constructor(tag, read)


def load_documents(text):
    """Every document of a YAML text."""
    return list(yaml.load_all(text, GoLoader))
