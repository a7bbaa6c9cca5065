"""Who looks at a page, and whether a form is one of ours."""

import dataclasses
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request

from serving.gateway.auth.dependency import AccessRule
from serving.gateway.console.frame import Frame, make_frame
from serving.gateway.console.parts import get_parts
from serving.gateway.errors import (
    BadRequestError,
    ForbiddenError,
    TooLargeError,
    UnauthenticatedError,
)
from serving.gateway.scopes import CredentialKind, Principal, Scope
from serving.gateway.uploads.body import body_seconds_of, body_time_limit

FORM_TOKEN_FIELD: Final = "form_token"  # noqa: S105 (a field's name)
FORM_TOKEN_HEADER: Final = "x-form-token"  # noqa: S105
_MAX_FORM_BYTES: Final = 16_384
_FORM_TYPE: Final = "application/x-www-form-urlencoded"


@dataclasses.dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who is signed in.

    Attributes:
        principal: who, and what they may do.
        session_id: of their session.
    """

    principal: Principal
    session_id: str


def find_viewer(request: Request) -> Viewer | None:
    """Find out who is signed in.

    Args:
        request: the request.

    Returns:
        The viewer; None without a session, or once its key is revoked.
    """
    parts = get_parts(request)
    session = parts.sessions.read(request.cookies.get(parts.sessions.cookie_name, ""))
    if session is None:
        return None
    authenticator = parts.authenticator
    if authenticator.is_off:
        return Viewer(authenticator.identify(request.headers), session.session_id)
    entry = authenticator.key_ring.recall(session.key_id, session.mark)
    if entry is None:
        return None
    principal = Principal(entry.key_id, entry.scopes, CredentialKind.KEY)
    return Viewer(principal, session.session_id)


class _Need(AccessRule):
    def __init__(self, scope: Scope | None) -> None:
        self._scope = scope

    async def __call__(self, request: Request) -> Viewer:
        viewer = self._find(request)
        if request.method not in {"GET", "HEAD"}:
            await check_form(request, viewer.session_id)
        self._check_scope(viewer.principal)
        return viewer

    def decide(self, request: Request) -> Principal:
        principal = self._find(request).principal
        self._check_scope(principal)
        return principal

    def _find(self, request: Request) -> Viewer:
        viewer = find_viewer(request)
        if viewer is None:
            raise UnauthenticatedError("Your session has ended.", fix="Sign in again.")
        request.state.principal = viewer.principal  # for the access log
        return viewer

    def _check_scope(self, principal: Principal) -> None:
        if self._scope is not None and not principal.may(self._scope):
            raise ForbiddenError(
                f"This needs the scope {self._scope.value}.",
                got=f"a key with the scopes: {', '.join(sorted(principal.scopes)) or 'none'}",
                fix="Sign in with another key, or ask an administrator for one.",
            )


def need(scope: Scope | None) -> Callable[[Request], Awaitable[Viewer]]:
    """Make the rule of a page.

    Args:
        scope: what its viewers need; None for no more than a session.

    Returns:
        A dependency that gives the viewer, refuses others, and refuses every change that does not
        come from a form of the viewer's own session.
    """
    return _Need(scope)


def frame_page(request: Request, viewer: Viewer, page: str) -> Frame:
    """Make what is around a page.

    Args:
        request: the request.
        viewer: who looks.
        page: name of the page.

    Returns:
        The frame.
    """
    token = get_parts(request).sessions.make_form_token(viewer.session_id)
    return make_frame(page, viewer.principal, token)


async def check_form(request: Request, session_id: str) -> None:
    """Refuse a change that some other site, or some other session, has sent.

    Args:
        request: the request; the fields of its form are kept for `get_form`.
        session_id: of the session that it should belong to.

    Raises:
        ForbiddenError: the form token is missing or wrong, or another site sent the request.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise ForbiddenError("This form was sent from another site.", fix="Send it from here.")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM_TYPE:
        request.state.form = await _read_form(request)
        token = request.state.form.get(FORM_TOKEN_FIELD, "")
    else:
        token = request.headers.get(FORM_TOKEN_HEADER, "")
    if not get_parts(request).sessions.is_form_token(session_id, token):
        raise ForbiddenError(
            "This form belongs to another session, or is too old.",
            fix="Load the page again and repeat what you did.",
        )


def get_form(request: Request) -> dict[str, str]:
    """Give the fields of a form that was checked.

    Args:
        request: a request that went through `check_form`.

    Returns:
        The fields; the last value of each.

    Raises:
        BadRequestError: the request carries no form.
    """
    form: dict[str, str] | None = getattr(request.state, "form", None)
    if form is None:
        raise BadRequestError("The request carries no form.", accepted=_FORM_TYPE)
    return form


def read_number(text: str, most: int) -> int | None:
    """Read a number out of an address or a form, from anybody.

    Args:
        text: any text.
        most: the largest that makes sense; larger ones become it.

    Returns:
        0..most; None where the text is no number.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    # Python refuses to read thousands of digits.
    return most if len(digits) > len(str(most)) else min(int(digits or "0"), most)


async def _read_form(request: Request) -> dict[str, str]:
    body = bytearray()
    async with body_time_limit(body_seconds_of(request.app)):
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_FORM_BYTES:
                raise TooLargeError(
                    "The form is too large.",
                    got=f"more than {_MAX_FORM_BYTES} bytes",
                    accepted=f"at most {_MAX_FORM_BYTES} bytes",
                )
    try:
        fields = urllib.parse.parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=64
        )
    except ValueError as error:
        raise BadRequestError("The form cannot be read.", accepted="UTF-8 fields") from error
    return dict(fields)
