"""JWT bearer tokens: who signed them, for whom, until when, and what they allow."""

from typing import Any, Final

import jwt
from jwt import PyJWK

from configs.errors import ConfigError
from serving.gateway.auth.jwks import KeySet
from serving.gateway.database.tables import KEY_ID_LENGTH
from serving.gateway.errors import UnauthenticatedError
from serving.gateway.scopes import CredentialKind, Principal, Scope
from serving.gateway.settings import TokenSettings

MAX_TOKEN_CHARACTERS: Final = 8192
CLOCK_SKEW_SECONDS: Final = 30
SUBJECT_PREFIX: Final = "jwt:"

_MIN_SECRET_BYTES: Final = 32
_REFUSED: Final = "the bearer token is not accepted"
_REQUIRED: Final = ["exp", "iss", "aud", "sub"]
_REASONS: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidIssuerError: "it is of another issuer",
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidAlgorithmError: "its algorithm is not accepted",
    jwt.InvalidSignatureError: "its signature is wrong",
}


class TokenVerifier:
    """Checks bearer tokens; the algorithm is that of the settings, never that of the token."""

    def __init__(self, settings: TokenSettings) -> None:
        """Read the key set, if there is one.

        Args:
            settings: issuer, audience, algorithm and what signatures are checked with.

        Raises:
            ConfigError: the key set cannot be used, or the shared secret is too short.
        """
        self._settings = settings
        self._key_set: KeySet | None = None
        self._secret: PyJWK | bytes = b""
        if settings.jwks_file is not None:
            self._key_set = KeySet(settings.jwks_file, settings.algorithm)
        elif settings.shared_secret is not None:
            self._secret = settings.shared_secret.get_secret_value().encode()
            _check_secret(self._secret)

    def verify(self, token: str) -> Principal:
        """Check a token.

        Args:
            token: what a caller sent.

        Returns:
            The caller, `jwt:<sub>`, with those words of the claim `scope` that are scopes.

        Raises:
            UnauthenticatedError: the token proves nothing.
        """
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise UnauthenticatedError(
                f"the bearer token has {len(token)} characters, expected at most "
                f"{MAX_TOKEN_CHARACTERS}."
            )
        try:
            claims = jwt.decode(
                token,
                self._find_key(token),
                algorithms=[self._settings.algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(f"{_REFUSED}: {_reason(error)}.") from error
        return Principal(_subject(claims), _scopes(claims), CredentialKind.TOKEN)

    def _find_key(self, token: str) -> PyJWK | bytes:
        if self._key_set is None:
            return self._secret
        # Nothing in the header but the key's name is believed: no jku, no jwk, no alg.
        kid = jwt.get_unverified_header(token).get("kid")
        key = self._key_set.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise jwt.InvalidKeyError("no such kid")
        return key


def _check_secret(secret: bytes) -> None:
    if len(secret) < _MIN_SECRET_BYTES:
        raise ConfigError(
            f"LOUPE_GATEWAY_TOKEN__SHARED_SECRET has {len(secret)} bytes, expected at least "
            f"{_MIN_SECRET_BYTES}. Make one with `openssl rand -hex 32`."
        )


def _reason(error: Exception) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"it has no '{error.claim}'"
    if isinstance(error, jwt.InvalidKeyError):
        return "its key ('kid') is not known"
    return _REASONS.get(type(error), "it cannot be read")


def _subject(claims: dict[str, Any]) -> str:
    # It becomes a column of the database and a field of logs: no control characters, no surrogates.
    key_id = f"{SUBJECT_PREFIX}{claims['sub']}"
    is_usable = isinstance(claims["sub"], str) and claims["sub"].isprintable() and claims["sub"]
    if not is_usable or len(key_id) > KEY_ID_LENGTH:
        limit = KEY_ID_LENGTH - len(SUBJECT_PREFIX)
        raise UnauthenticatedError(
            f"{_REFUSED}: its 'sub' is not 1 to {limit} printable characters."
        )
    return key_id


def _scopes(claims: dict[str, Any]) -> frozenset[Scope]:
    claim = claims.get("scope", "")
    words = claim.split() if isinstance(claim, str) else claim
    if not isinstance(words, list):
        raise UnauthenticatedError(f"{_REFUSED}: its 'scope' is neither text nor a list.")
    return frozenset(scope for scope in Scope if scope.value in words)
