import pytest

from serving.gateway.errors import BadRequestError
from serving.gateway.uploads.json_parts import check_parts


def check(body, most):
    check_parts(body, most, accepted="a few", fix="Send fewer.")


def test_every_value_counts():
    body = b'{"a": [1, 2, {"b": null}]}'  # two objects, a list, two names, two more values
    check(body, 7)
    with pytest.raises(BadRequestError, match="too many parts") as refusal:
        check(body, 6)
    assert refusal.value.got == "7 commas, colons and brackets"
    assert refusal.value.accepted == "at most 6: a few"


def test_long_text_is_no_part():
    check(b'{"image": "' + b"A" * 1_000_000 + b'"}', 2)
