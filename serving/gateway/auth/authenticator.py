"""Turns what a request carries into who asks."""

import dataclasses
from typing import Final

from starlette.datastructures import Headers

from serving.gateway.auth.key_ring import KeyRing
from serving.gateway.auth.keys import KEY_PREFIX
from serving.gateway.auth.tokens import TokenVerifier
from serving.gateway.errors import ForbiddenError, UnauthenticatedError
from serving.gateway.scopes import CredentialKind, Principal, Scope
from serving.gateway.settings import is_loopback

KEY_HEADER: Final = "x-api-key"
DEVELOPER: Final = Principal("development", frozenset(Scope), CredentialKind.DEVELOPMENT)
"""Everybody, while authentication is off."""

_ACCEPTED: Final = "Authorization: Bearer <API key or token>, or X-API-Key: <API key>"
_FIX: Final = "Make a key with `loupe keys create`."
_NO_CREDENTIAL: Final = {"WWW-Authenticate": 'Bearer realm="loupe"'}
_BAD_CREDENTIAL: Final = {"WWW-Authenticate": 'Bearer realm="loupe", error="invalid_token"'}


@dataclasses.dataclass(frozen=True, slots=True)
class Authenticator:
    """Checks credentials.

    Attributes:
        key_ring: the API keys.
        token_verifier: bearer tokens; None when none are accepted.
        is_off: everybody may do everything; only ever behind a loopback address.
    """

    key_ring: KeyRing
    token_verifier: TokenVerifier | None = None
    is_off: bool = False

    def identify(self, headers: Headers) -> Principal:
        """Find out who asks.

        Args:
            headers: of the request.

        Returns:
            The caller.

        Raises:
            UnauthenticatedError: no credential, more than one, or one that proves nothing.
            ForbiddenError: authentication is off, and a page of another site asks.
            UnavailableError: keys cannot be checked yet.
        """
        if self.is_off:
            _check_is_local(headers)
            return DEVELOPER
        credential = _find_credential(headers)
        try:
            return self.check(credential)
        except UnauthenticatedError as error:
            raise UnauthenticatedError(
                error.message, accepted=_ACCEPTED, fix=_FIX, headers=_BAD_CREDENTIAL
            ) from error

    def check(self, credential: str) -> Principal:
        """Check an API key or a bearer token.

        Args:
            credential: what a caller sent.

        Returns:
            The caller.

        Raises:
            UnauthenticatedError: the credential proves nothing.
            UnavailableError: keys cannot be checked yet.
        """
        if credential.startswith(KEY_PREFIX):
            entry = self.key_ring.check(credential)
            return Principal(entry.key_id, entry.scopes, CredentialKind.KEY)
        if self.token_verifier is None:
            raise UnauthenticatedError(
                f"the credential is no API key: those begin with '{KEY_PREFIX}'."
            )
        return self.token_verifier.verify(credential)


def _find_credential(headers: Headers) -> str:
    keys, authorizations = headers.getlist(KEY_HEADER), headers.getlist("authorization")
    if not keys and not authorizations:
        raise UnauthenticatedError(
            "the request has no credential.", accepted=_ACCEPTED, fix=_FIX, headers=_NO_CREDENTIAL
        )
    if len(keys) + len(authorizations) > 1:
        # Which one counts would be a guess, and proxies guess otherwise.
        raise UnauthenticatedError(
            "the request has more than one credential.",
            got=f"{len(authorizations)} Authorization and {len(keys)} X-API-Key headers",
            accepted=_ACCEPTED,
            fix="Send one.",
            headers=_BAD_CREDENTIAL,
        )
    if keys:
        return _checked_key(keys[0].strip())
    scheme, _, credential = authorizations[0].strip().partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise UnauthenticatedError(
            "the Authorization header has not the form 'Bearer <credential>'.",
            accepted=_ACCEPTED,
            fix=_FIX,
            headers=_NO_CREDENTIAL,
        )
    return credential.strip()


def _checked_key(key: str) -> str:
    if not key.startswith(KEY_PREFIX):
        raise UnauthenticatedError(
            f"X-API-Key holds no API key: those begin with '{KEY_PREFIX}'.",
            accepted=_ACCEPTED,
            fix=_FIX,
            headers=_BAD_CREDENTIAL,
        )
    return key


def _check_is_local(headers: Headers) -> None:
    # A web page of anybody could ask a browser on this machine to call loopback, by its address
    # (Origin tells) or by a name of its own that resolves to it (Host tells).
    origin = headers.get("origin")
    for name, host in (("Host", headers.get("host", "")), ("Origin", _host_of(origin))):
        if host is not None and not is_loopback(_without_port(host)):
            raise ForbiddenError(
                f"authentication is off, and the request's {name} is not this machine.",
                got=host[:100],
                accepted="localhost or a loopback address",
                fix="Call it by http://127.0.0.1, or turn authentication on.",
            )


def _host_of(origin: str | None) -> str | None:
    return None if origin is None else origin.partition("://")[2] or origin


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
