"""Signing in and out."""

import dataclasses
import re
import secrets
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from serving.gateway.auth.dependency import allow_everybody
from serving.gateway.console.access import Viewer, check_form, find_viewer, get_form, need
from serving.gateway.console.parts import ConsoleParts, get_parts
from serving.gateway.console.routing import SIGN_IN_PATH, describe
from serving.gateway.console.sessions import LIFETIME, Sessions
from serving.gateway.console.templating import Pages
from serving.gateway.errors import GatewayError, ThrottledError, UnauthenticatedError
from serving.gateway.observability.error_answers import note_error
from serving.gateway.scopes import CredentialKind, Principal, Scope

_START: Final = "/console/try"
_FIRST_PAGES: Final = (
    (Scope.PREDICT, _START),
    (Scope.READ, "/console/live"),
)
_OWN_PATH: Final = re.compile(r"/console(/[A-Za-z0-9_-]+)*(\?[A-Za-z0-9=&._-]*)?")
_VISITOR_SECONDS: Final = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class SignInView:
    """The page to sign in at.

    Attributes:
        form_token: of the visitor.
        next_path: page to go on to.
        problem: why the last attempt failed; empty before the first.
    """

    form_token: str
    next_path: str
    problem: str


def add_sign_in_pages(router: APIRouter, pages: Pages) -> None:
    """Add the routes.

    Args:
        router: of the console.
        pages: renders templates.
    """

    @router.get("/sign-in", dependencies=[Depends(allow_everybody)])
    async def show_sign_in(request: Request) -> Response:
        parts = get_parts(request)
        next_path = _check_path(request.query_params.get("next", ""))
        if parts.authenticator.is_off:
            return _begin(parts, parts.authenticator.identify(request.headers), "", next_path)
        viewer = find_viewer(request)
        if viewer is not None:
            return RedirectResponse(next_path or _first_page(viewer.principal), status_code=303)
        return _show_form(pages, parts, request, next_path)

    @router.post("/sign-in", dependencies=[Depends(allow_everybody)])
    async def sign_in(request: Request) -> Response:
        parts = get_parts(request)
        # A visitor has no session yet, and still nobody may sign them in as somebody else.
        await check_form(request, request.cookies.get(parts.sessions.visitor_cookie_name, ""))
        form = get_form(request)
        next_path = _check_path(form.get("next", ""))
        key, key_ring = form.get("key", "").strip(), parts.authenticator.key_ring
        try:
            entry = key_ring.check(key)
        except UnauthenticatedError as error:
            problem = await _count(error, request, parts)
            return _show_form(pages, parts, request, next_path, problem)
        principal = Principal(entry.key_id, entry.scopes, CredentialKind.KEY)
        return _begin(parts, principal, key_ring.mark(key), next_path)

    @router.post("/sign-out")
    async def sign_out(
        request: Request, viewer: Annotated[Viewer, Depends(need(None))]
    ) -> Response:
        del viewer
        response = RedirectResponse(SIGN_IN_PATH, status_code=303)
        _set_cookie(response, get_parts(request).sessions, "", 0)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response


async def _count(
    error: UnauthenticatedError, request: Request, parts: ConsoleParts
) -> GatewayError:
    try:
        await parts.sign_in_limit.count_failure(request.client.host if request.client else "")
    except ThrottledError as refusal:
        return refusal
    return error


def _show_form(
    pages: Pages,
    parts: ConsoleParts,
    request: Request,
    next_path: str,
    problem: GatewayError | None = None,
) -> Response:
    sessions = parts.sessions
    visitor = request.cookies.get(sessions.visitor_cookie_name, "") or secrets.token_hex(16)
    text, status = "", 200
    if problem is not None:
        note_error(request.scope, problem)
        text = " ".join(filter(None, (describe(problem), problem.fix)))
        status = problem.http_status
    view = SignInView(sessions.make_form_token(visitor), next_path, text)
    response = pages.render("sign_in.html", status=status, view=view, frame=None)
    response.headers.update(problem.headers if problem else {})
    response.set_cookie(
        sessions.visitor_cookie_name,
        visitor,
        max_age=_VISITOR_SECONDS,
        secure=sessions.is_secure,
        httponly=True,
        samesite="strict",
    )
    return response


def _begin(parts: ConsoleParts, principal: Principal, mark: str, next_path: str) -> Response:
    response = RedirectResponse(next_path or _first_page(principal), status_code=303)
    cookie = parts.sessions.make(principal.key_id, mark)
    _set_cookie(response, parts.sessions, cookie, int(LIFETIME.total_seconds()))
    return response


def _set_cookie(response: Response, sessions: Sessions, value: str, seconds: int) -> None:
    response.set_cookie(
        sessions.cookie_name,
        value,
        max_age=seconds,
        secure=sessions.is_secure,
        httponly=True,
        samesite="strict",
    )


def _check_path(path: str) -> str:
    # Anything else could lead to another site: `//host`, `\\host`, `https:`.
    return path if _OWN_PATH.fullmatch(path) else ""


def _first_page(principal: Principal) -> str:
    return next((path for scope, path in _FIRST_PAGES if principal.may(scope)), _START)
