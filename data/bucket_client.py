"""The connection to Google Cloud Storage, and its errors as those of a file system.

Through google-cloud-storage, which Beam's own gs:// is made of: Beam opens a connection and asks
twice for every file, and TensorFlow's gs:// asks once for every entry of a listing.
"""

import contextlib
import errno
import functools
import json
import os
from collections.abc import Generator
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
_REASONS: Final = {401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT}


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
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.storage.exceptions import InvalidResponse
    from requests.exceptions import RequestException

    try:
        yield
    except GoogleAPICallError as error:
        _raise_as_file_error(url, int(error.code or 0), _message_of(error), error)
    except InvalidResponse as error:
        _raise_as_file_error(url, error.response.status_code, str(error), error)
    except GoogleAuthError as error:
        raise PermissionError(
            errno.EACCES, f"no access token: {_first_line(error)}", url
        ) from error
    except (RequestException, RetryError) as error:
        raise UpstreamError(
            f"'{url}': Google Cloud Storage does not answer: {_first_line(error)}. Check the "
            "network and the proxy of this machine, and run again."
        ) from error


def _raise_as_file_error(url: str, status: int, message: str, error: Exception) -> NoReturn:
    number = _REASONS.get(status)
    if number is None:
        raise UpstreamError(
            f"'{url}': Google Cloud Storage answered {status} ({message}), expected success. Run "
            "again; if it stays so, its status page may say why."
        ) from error
    if number == errno.EACCES and _is_anonymous():
        message = _NO_CREDENTIALS
    raise OSError(number, message.rstrip("."), url) from error


def _is_anonymous() -> bool:
    from google.auth.credentials import AnonymousCredentials

    return isinstance(storage_client()._credentials, AnonymousCredentials)


def _message_of(error: Any) -> str:
    # The exception's own text begins with method and address; the answer says it in words.
    with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):
        return str(json.loads(error.response.content)["error"]["message"])
    return os.strerror(_REASONS[error.code]) if error.code in _REASONS else _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
