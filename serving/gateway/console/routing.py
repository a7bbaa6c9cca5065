"""Routes of the console: strict headers on everything, and errors as pages for people."""

import dataclasses
import urllib.parse
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from configs.errors import PipelineError
from serving.gateway.auth.dependency import GuardedRoute
from serving.gateway.console.access import find_viewer, frame_page
from serving.gateway.console.templating import Pages
from serving.gateway.errors import GatewayError, UnauthenticatedError
from serving.gateway.observability.error_answers import make_answer, note_error
from serving.gateway.observability.middleware import get_request_id

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
SIGN_IN_PATH: Final = "/console/sign-in"
_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclasses.dataclass(frozen=True, slots=True)
class ErrorView:
    """A page that cannot be shown.

    Attributes:
        status: HTTP status.
        message: what is wrong.
        got: what was received; may be empty.
        fix: what to do; may be empty.
    """

    status: int
    message: str
    got: str
    fix: str


def make_route_class(pages: Pages) -> type[APIRoute]:
    """Make the class of the console's routes.

    Args:
        pages: renders error pages.

    Returns:
        A route class for `APIRouter(route_class=...)`.
    """

    class ConsoleRoute(GuardedRoute):
        """A route whose answers carry strict headers and whose errors are pages."""

        def get_route_handler(self) -> _Handler:
            """Wrap the handler.

            Returns:
                A handler that raises none of the gateway's errors.
            """
            handle = super().get_route_handler()

            async def handle_strictly(request: Request) -> Response:
                try:
                    response = await handle(request)
                except GatewayError as error:
                    note_error(request.scope, error)
                    response = _answer_error(pages, request, error)
                for name, value in HEADERS.items():
                    response.headers[name] = value
                response.headers.setdefault("Cache-Control", "no-store")
                return response

            return handle_strictly

    return ConsoleRoute


def _answer_error(pages: Pages, request: Request, error: GatewayError) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return make_answer(error, get_request_id(request))
    if isinstance(error, UnauthenticatedError):
        return RedirectResponse(_find_sign_in(request), status_code=303)
    view = ErrorView(error.http_status, describe(error), error.got, error.fix)
    viewer = find_viewer(request)
    frame = frame_page(request, viewer, "") if viewer else None
    page = pages.render("error.html", status=error.http_status, frame=frame, view=view)
    page.headers.update(error.headers)
    return page


def describe(error: PipelineError) -> str:
    """Write an error's message for people.

    Args:
        error: any error of ours.

    Returns:
        The message with a capital at its beginning.
    """
    message = str(error)
    return message[:1].upper() + message[1:]


def _find_sign_in(request: Request) -> str:
    if request.method != "GET":
        return SIGN_IN_PATH
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{SIGN_IN_PATH}?{urllib.parse.urlencode({'next': wanted})}"
