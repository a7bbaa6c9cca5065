"""Keys: their form, their hashes, and how those are compared."""

import hashlib
import hmac
import re

import pytest

from serving.gateway.auth import keys
from serving.gateway.auth.keys import hash_key, is_same_hash, make_key, parse_key_id


def test_a_key_names_its_id_and_hides_its_secret():
    key = make_key()
    assert re.fullmatch(r"lk_[0-9a-f]{12}_[0-9a-f]{64}", key.text)
    assert parse_key_id(key.text) == key.key_id
    assert key.text not in repr(key)
    assert key.text.rpartition("_")[2] not in repr(key)


def test_keys_are_all_different_and_a_rotated_one_keeps_its_id():
    assert len({make_key().text for _ in range(100)}) == 100
    first = make_key()
    second = make_key(first.key_id)
    assert (second.key_id, second.text != first.text) == (first.key_id, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lk_",
        "lk_0123456789ab",
        "lk_0123456789ab_",
        "LK_0123456789ab_" + "0" * 64,
        "lk_0123456789aB_" + "0" * 64,
        "lk_\N{FULLWIDTH DIGIT ZERO}123456789ab_" + "0" * 64,
        "lk_0123456789ab_" + "0" * 64 + "\n",
        "lk_0123456789ab_" + "0" * 65,
    ],
)
def test_what_has_not_the_form_of_a_key_has_no_id(text):
    assert parse_key_id(text) is None


def test_the_hash_is_keyed_and_covers_the_id():
    key = make_key()
    secret = key.text.rpartition("_")[2]
    expected = hmac.new(b"pepper", key.text.encode(), hashlib.sha256).hexdigest()
    assert hash_key(key.text, b"pepper") == expected
    assert hash_key(key.text, b"other") != expected
    assert hash_key(f"lk_000000000000_{secret}", b"pepper") != expected


def test_hashes_are_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(first, second):
        compared.append((first, second))
        return hmac_compare(first, second)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    assert is_same_hash("abc", "abc")
    assert not is_same_hash("abc", "abd")
    assert compared == [(b"abc", b"abc"), (b"abc", b"abd")]
