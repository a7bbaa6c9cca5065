"""The rule of each route: the scope it needs, or that it is open to everybody."""

import abc
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Annotated, Any, Final, cast

from fastapi import FastAPI, Request, Response, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security import APIKeyHeader, HTTPBearer

from serving.gateway.auth.authenticator import Authenticator
from serving.gateway.errors import ForbiddenError
from serving.gateway.scopes import Principal, Scope
from serving.gateway.uploads.body import body_seconds_of, body_time_limit
from serving.gateway.uploads.json_parts import check_parts

_BEARER: Final = HTTPBearer(
    scheme_name="bearer", description="An API key, or a JWT.", auto_error=False
)
_KEY: Final = APIKeyHeader(
    name="X-API-Key", scheme_name="key", description="An API key.", auto_error=False
)
_OPEN_PATHS: Final = "open_paths"
_MAX_PARTS: Final = 10_000
"""Commas, colons and brackets of a JSON body: a few fields, and text of a few thousand letters."""


class AccessRule(abc.ABC):
    """A dependency that decides who may call a route; `routes_without_rule` looks for it."""

    @abc.abstractmethod
    def decide(self, request: Request) -> Principal | None:
        """Let a request in, or not.

        Args:
            request: headers only; the body is not read yet.

        Returns:
            Who asks; None when it does not matter.
        """


class _Require(AccessRule):
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(
        self,
        request: Request,
        # For the OpenAPI document only: headers are read by the authenticator.
        _bearer: Annotated[Any, Security(_BEARER)],
        _key: Annotated[Any, Security(_KEY)],
    ) -> Principal:
        return self.decide(request)

    def decide(self, request: Request) -> Principal:
        known = getattr(request.state, "principal", None)
        principal = known or authenticator_of(request.app).identify(request.headers)
        request.state.principal = principal
        if not principal.may(self._scope):
            raise ForbiddenError(
                f"the credential '{principal.key_id}' has not the scope '{self._scope}'.",
                got=", ".join(sorted(principal.scopes)) or "no scope",
                accepted=f"{self._scope} or {Scope.ADMIN}",
                fix=f"Make a key with `loupe keys create NAME --scope {self._scope}`.",
                headers={
                    "WWW-Authenticate": 'Bearer realm="loupe", error="insufficient_scope", '
                    f'scope="{self._scope}"'
                },
            )
        return principal


class _AllowEverybody(AccessRule):
    async def __call__(self) -> None:
        """Let everybody in."""

    def decide(self, request: Request) -> None:
        del request


allow_everybody: Final = _AllowEverybody()
"""The rule of routes such as health: `dependencies=[Depends(allow_everybody)]`."""


def require(scope: Scope) -> Callable[..., Coroutine[Any, Any, Principal]]:
    """Make the rule of a route that needs a scope.

    Args:
        scope: what the caller's credential must allow.

    Returns:
        A dependency: `principal: Annotated[Principal, Depends(require(Scope.PREDICT))]`. It raises
        UnauthenticatedError (401), ForbiddenError (403) or UnavailableError (503).
    """
    return _Require(scope)


class GuardedRoute(APIRoute):
    """A route whose rules are asked before its body is read, not after.

    FastAPI reads and parses JSON bodies first: strangers could make it read megabytes, and would
    be told what is wrong with their JSON. Use: `APIRouter(route_class=GuardedRoute)`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of the route.

        Returns:
            A handler that asks the rules first, waits for a JSON body only for so long, and parses
            none that would become millions of objects.
        """
        handler = super().get_route_handler()
        rules = list(_rules_of(self.dependant))
        has_parsed_body = self.body_field is not None

        async def guarded(request: Request) -> Response:
            for rule in rules:
                rule.decide(request)
            if has_parsed_body:  # FastAPI would wait for it for ever
                async with body_time_limit(body_seconds_of(request.app)):
                    body = await request.body()
                check_parts(
                    body,
                    _MAX_PARTS,
                    accepted="what /openapi.json describes",
                    fix="Send the fields that are described, and nothing else.",
                )
            return await handler(request)

        return guarded


def set_authenticator(app: FastAPI, authenticator: Authenticator) -> None:
    """Tell an app how credentials are checked.

    Args:
        app: the app.
        authenticator: what its rules ask.
    """
    app.state.authenticator = authenticator


def authenticator_of(app: FastAPI) -> Authenticator:
    """Find what checks credentials.

    Args:
        app: an app that was told by `set_authenticator`.

    Returns:
        The authenticator.
    """
    return app.state.authenticator


def declare_open(app: FastAPI, path: str) -> None:
    """State that a route that is no FastAPI route (static files, the OpenAPI page) has no rule.

    Args:
        app: the app.
        path: as in `app.routes`.
    """
    paths: set[str] = getattr(app.state, _OPEN_PATHS, set())
    setattr(app.state, _OPEN_PATHS, paths | {path})


def routes_without_rule(app: FastAPI) -> list[str]:
    """Find what somebody forgot to protect.

    Args:
        app: the app, complete.

    Returns:
        Methods and paths of routes with neither an `AccessRule` nor a `declare_open`.
    """
    open_paths: set[str] = getattr(app.state, _OPEN_PATHS, set())
    found: list[str] = []
    for route in iter_route_contexts(app.routes):
        dependant = cast(Dependant | None, getattr(route, "dependant", None))
        has_rule = dependant is not None and any(_rules_of(dependant))
        if not has_rule and route.path not in open_paths:
            methods = cast(Mapping[str, Any] | None, route.methods)
            found.append(f"{','.join(sorted(methods or ['*']))} {route.path}")
    return sorted(found)


def _rules_of(dependant: Dependant) -> Iterator[AccessRule]:
    for child in dependant.dependencies:
        if isinstance(child.call, AccessRule):
            yield child.call
        yield from _rules_of(child)
