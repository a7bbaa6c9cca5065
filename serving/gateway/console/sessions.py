"""Sessions of the console: a signed cookie that names a key, and tokens against forged forms."""

import dataclasses
import datetime
import hashlib
import hmac
import secrets
from typing import Final

import jwt

LIFETIME: Final = datetime.timedelta(hours=12)
_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "loupe-console"


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """What a session cookie says.

    Attributes:
        session_id: random, 32 hexadecimal digits; tokens against forged forms are bound to it.
        key_id: who signed in; what they may do is looked up at every request.
        mark: of the key ring; it ends the session when the key is rotated.
    """

    session_id: str
    key_id: str
    mark: str


class Sessions:
    """Makes and reads sessions; nothing about them is stored on the server."""

    def __init__(self, secret: bytes, *, is_secure: bool) -> None:
        """Derive the signing keys.

        Args:
            secret: the gateway's secret; every process of one gateway has the same.
            is_secure: whether cookies are for HTTPS only.
        """
        self._session_key = hmac.digest(secret, b"loupe console session", hashlib.sha256)
        self._form_key = hmac.digest(secret, b"loupe console form", hashlib.sha256)
        self.is_secure = is_secure

    @property
    def cookie_name(self) -> str:
        """Name the session cookie.

        Returns:
            With the prefix `__Host-` where browsers allow it: no other host can set that one.
        """
        return "__Host-loupe_session" if self.is_secure else "loupe_session"

    @property
    def visitor_cookie_name(self) -> str:
        """Name the cookie of somebody who is about to sign in.

        Returns:
            As for `cookie_name`.
        """
        return "__Host-loupe_visitor" if self.is_secure else "loupe_visitor"

    def make(self, key_id: str, mark: str) -> str:
        """Begin a session.

        Args:
            key_id: who signed in.
            mark: of the key ring.

        Returns:
            The cookie's value; it holds no secret of the key.
        """
        now = datetime.datetime.now(datetime.UTC)
        claims = {
            "aud": _AUDIENCE,
            "sub": key_id,
            "mark": mark,
            "sid": secrets.token_hex(16),
            "iat": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._session_key, algorithm=_ALGORITHM)

    def read(self, cookie: str) -> Session | None:
        """Read a session cookie.

        Args:
            cookie: its value, from anybody.

        Returns:
            The session; None where the cookie is forged, damaged or too old.
        """
        try:
            claims = jwt.decode(
                cookie,
                self._session_key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                options={"require": ["exp", "sub", "sid", "mark"]},
            )
        except (jwt.InvalidTokenError, UnicodeEncodeError):
            return None
        return Session(str(claims["sid"]), str(claims["sub"]), str(claims["mark"]))

    def make_form_token(self, session_id: str) -> str:
        """Make the token that a form of this session carries.

        Args:
            session_id: of the session, or the visitor cookie's value before signing in.

        Returns:
            64 hexadecimal digits.
        """
        return hmac.new(self._form_key, session_id.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, session_id: str, token: str) -> bool:
        """Tell whether a form was made for this session.

        Args:
            session_id: as given to `make_form_token`.
            token: what came with the form.

        Returns:
            Whether it fits; compared in constant time.
        """
        return hmac.compare_digest(self.make_form_token(session_id).encode(), token.encode())
