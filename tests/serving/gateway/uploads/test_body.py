import asyncio

import pytest
from starlette.requests import Request

from serving.gateway.errors import BadRequestError, TooLargeError
from serving.gateway.uploads import body as body_module
from serving.gateway.uploads.body import Body

pytestmark = pytest.mark.anyio


class Wire:
    """Gives pieces of a body one by one, then nothing for ever."""

    def __init__(self, *pieces, **headers):
        self.left = list(pieces)
        names = [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()]
        self.request = Request({"type": "http", "headers": names}, self._receive)

    async def _receive(self):
        if not self.left:
            await asyncio.Event().wait()
        piece = self.left.pop(0)
        if piece is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": piece, "more_body": bool(self.left)}


async def test_a_body_of_just_the_allowed_size_is_read():
    wire = Wire(b"ab", b"", b"cd", content_length="4")
    assert await Body(wire.request, 4).read() == b"abcd"


async def test_one_byte_more_is_refused_when_it_arrives():
    wire = Wire(b"ab", b"cde", b"f")
    with pytest.raises(TooLargeError, match="the body has more than 4 bytes"):
        await Body(wire.request, 4).read()
    assert wire.left == [b"f"]


@pytest.mark.parametrize("length", ["5", "9" * 5000])
async def test_an_announced_size_is_refused_before_anything_is_read(length):
    wire = Wire(b"abcde", content_length=length)
    with pytest.raises(TooLargeError, match=f"the body has {length[:18]} bytes"):
        await Body(wire.request, 4).read()
    assert wire.left == [b"abcde"]


@pytest.mark.parametrize("length", ["-1", "1.0", "٣", ""])
async def test_a_size_that_is_no_number_is_refused(length):
    wire = Wire(b"a", content_length=length)
    wire.request.scope["headers"] = [(b"content-length", length.encode("utf-8"))]
    with pytest.raises(BadRequestError, match="Content-Length is no number"):
        await Body(wire.request, 4).read()


async def test_a_caller_who_leaves_is_told_apart_from_a_short_body():
    wire = Wire(b"a", None)
    with pytest.raises(BadRequestError, match="closed before the body was whole"):
        await Body(wire.request, 4).read()


async def test_the_rest_of_a_refused_body_is_thrown_away():
    wire = Wire(b"abcde", b"fgh", b"i")
    body = Body(wire.request, 4)
    with pytest.raises(TooLargeError):
        await body.read()
    await body.discard()
    assert wire.left == []
    await body.discard()  # and nobody waits for more


async def test_nothing_is_thrown_away_that_the_caller_has_not_sent():
    wire = Wire(b"abcde", expect="100-continue")
    await Body(wire.request, 4).discard()
    assert wire.left == [b"abcde"]


async def test_throwing_away_ends(monkeypatch):
    monkeypatch.setattr(body_module, "_DISCARD_BYTES", 4)
    wire = Wire(b"abc", b"def", b"ghi")
    await Body(wire.request, 4).discard()
    assert wire.left == [b"ghi"]
    monkeypatch.setattr(body_module, "_DISCARD_SECONDS", 0.05)
    silent = Wire()
    await Body(silent.request, 4).discard()
    gone = Wire(None, b"")
    await Body(gone.request, 4).discard()
    assert gone.left == [b""]
