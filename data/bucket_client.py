"""The connection to Google Cloud Storage, and its errors as those of a file system.

Through google-cloud-storage, which Beam's own gs:// is made of: Beam opens a connection and asks
twice for every file, and TensorFlow's gs:// asks once for every entry of a listing.
"""

import contextlib
import errno
import functools
import json
from collections.abc import Generator
from http import HTTPStatus
from typing import Any, Final, NoReturn

from configs.errors import UpstreamError

CONNECTIONS: Final = 64
"""Kept open for the threads that read at the same time."""
REQUEST_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 60.0
"""How long a request that may succeed later is repeated."""
_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_NO_CREDENTIALS: Final = (
    "no Google credentials were found; run 'gcloud auth application-default login', or name a key "
    "file in GOOGLE_APPLICATION_CREDENTIALS"
)


@functools.cache
def storage_client() -> Any:
    """Connect, once per process.

    Returns:
        A `google.cloud.storage.Client` with the credentials of this machine or user; without any
        it reads public buckets only.
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    try:
        credentials, project = google.auth.default(scopes=[_SCOPE])
    except DefaultCredentialsError:
        return storage.Client.create_anonymous_client()
    session = AuthorizedSession(credentials)
    session.mount("https://", HTTPAdapter(pool_connections=4, pool_maxsize=CONNECTIONS))
    return storage.Client(project=project or "", credentials=credentials, _http=session)


@functools.cache
def retry_policy() -> Any:
    """Say which requests are repeated, and for how long.

    Returns:
        The client library's own choice, ended after `RETRY_SECONDS`.
    """
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(RETRY_SECONDS)


@contextlib.contextmanager
def as_file_errors(url: str) -> Generator[None]:
    """Turn what the client library raises into what a local file would raise.

    Args:
        url: what is asked for.

    Yields:
        Nothing.

    Raises:
        FileNotFoundError: there is no such object or bucket; `strerror` says which.
        PermissionError: it may not be used; `strerror` says why.
        UpstreamError: there is another answer, or none.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.cloud.storage.exceptions import InvalidResponse
    from requests.exceptions import RequestException

    try:
        yield
    except GoogleAPICallError as error:
        _raise_answer(url, int(error.code or 0), _message_of(error), error)
    except InvalidResponse as error:
        _raise_answer(url, error.response.status_code, str(error), error)
    except (RequestException, RetryError, TransportError) as error:
        raise UpstreamError(
            f"'{url}': Google Cloud Storage does not answer: {_innermost(error)}. Check the "
            "network and the proxy of this machine, and run again."
        ) from error
    except GoogleAuthError as error:
        _raise_no_access(url, f"no access token: {_first_line(error)}", error)


def _raise_answer(url: str, status: int, message: str, error: Exception) -> NoReturn:
    if status == HTTPStatus.NOT_FOUND:
        raise FileNotFoundError(errno.ENOENT, message.rstrip("."), url) from error
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        _raise_no_access(url, message, error)
    raise UpstreamError(
        f"'{url}': Google Cloud Storage answered {status} ({message}), expected success. Run "
        "again; if it stays so, its status page may say why."
    ) from error


def _raise_no_access(url: str, message: str, error: Exception) -> NoReturn:
    from google.auth.credentials import AnonymousCredentials

    if isinstance(storage_client()._credentials, AnonymousCredentials):
        message = _NO_CREDENTIALS
    raise PermissionError(errno.EACCES, message.rstrip("."), url) from error


def _message_of(error: Any) -> str:
    # The exception's own text begins with method and address; the answer says it in words.
    with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):
        return str(json.loads(error.response.content)["error"]["message"])
    return _first_line(error)


def _innermost(error: Any) -> str:
    # The outer ones tell the whole address of the request, and how often it was repeated.
    inner: Any = error
    while isinstance(inner, BaseException):
        error = inner
        first = next(iter(error.args), None)
        inner = getattr(error, "cause", None) or getattr(error, "reason", None) or first
    text = _first_line(error)
    return text.partition("): ")[2] or text


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
