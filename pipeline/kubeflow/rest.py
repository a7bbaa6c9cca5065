"""Requests to Kubeflow Pipelines that end in time, and failures that say what is wrong.

The generated client waits without limit, tries again in silence and raises texts of many lines.
Every request of `kfp.Client` passes the one place here that does better.
"""

import json
import re
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

import urllib3
from kfp_server_api import ApiException, Configuration
from kfp_server_api.rest import RESTClientObject
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from configs.errors import UpstreamError, UpstreamTimeoutError
from configs.kubeflow_access import CA_FILE_VARIABLE, TOKEN_VARIABLE, KubeflowAccess

CONNECT_SECONDS = 5
READ_SECONDS = 60
MAX_SERVER_TEXT = 400
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT = 401, 403, 404, 409
TRANSIENT = (429, 502, 503, 504)
_UNEXPLAINED = re.compile(r"Failed to (?:create a pipeline|read a pipeline spec)[a-z ]*\.")
"""All that the server says of an upload from 2.15 on, also where the user has no right to it."""


class RefusedError(UpstreamError):
    """A request that Kubeflow Pipelines answered with an error.

    Args:
        message: what to tell the user.
        status: HTTP status of the answer.

    Attributes:
        status: as given.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class UnreachableError(UpstreamTimeoutError):
    """A request that got no answer."""


class StrictRest(RESTClientObject):
    """Sends requests with a time limit and without retries, and translates what goes wrong.

    Args:
        configuration: of the generated client.
        access: where the requests go.
    """

    def __init__(self, configuration: Configuration, access: KubeflowAccess) -> None:
        super().__init__(configuration)
        self._access = access

    def request(self, *arguments: Any, **options: Any) -> Any:
        """Send one request.

        Args:
            arguments: of the generated client: method, URL.
            options: of the generated client.

        Returns:
            The response, which is JSON.

        Raises:
            RefusedError: the server answered with an error, or with something else than JSON.
            UnreachableError: there was no answer.
        """
        if not options.get("_request_timeout"):
            options["_request_timeout"] = (CONNECT_SECONDS, READ_SECONDS)
        try:
            response = super().request(*arguments, **options)
        except ApiException as error:
            if not error.status:  # the generated client's way to say that TLS failed
                _fail_tls(self._access, str(error.reason))
            _refuse(self._access, error)
        except HTTPError as error:
            _fail(self._access, error)
        kind = str(response.getheader("content-type") or "")
        if response.data and not response.data.lstrip().startswith(b"{"):
            raise RefusedError(
                f"{self._access.endpoint} answers with a web page or text ({kind or 'no type'}), "
                "not as the API of Kubeflow Pipelines does. Check the endpoint: it may lack a path "
                f"such as /pipeline, or want a login; then give a token in {TOKEN_VARIABLE}.",
                response.status,
            )
        return response


def no_retries() -> urllib3.Retry:
    """Make the rule that a request is sent once and redirects are handed back.

    Returns:
        What the generated client's configuration takes as `retries`.
    """
    return urllib3.Retry(total=0, redirect=0, raise_on_redirect=False)


def _fail(access: KubeflowAccess, error: HTTPError) -> NoReturn:
    reason = error.reason if isinstance(error, MaxRetryError) and error.reason else error
    place = urlsplit(access.endpoint).netloc
    if isinstance(reason, SSLError):
        _fail_tls(access, str(reason))
    if isinstance(reason, NameResolutionError):
        what = f"no machine is called '{urlsplit(access.endpoint).hostname}'"
    elif isinstance(reason, NewConnectionError):
        cause = str(reason).rpartition("] ")[2].lower()
        what = f"no connection to {place} ({cause})"
    elif isinstance(reason, ConnectTimeoutError):
        what = f"nothing answered at {place} within {CONNECT_SECONDS} s"
    elif isinstance(reason, ReadTimeoutError):
        what = f"{place} took the request and did not answer within {READ_SECONDS} s"
    else:
        what = f"{place} did not answer over HTTP ({type(reason).__name__})"
    raise UnreachableError(
        f"Kubeflow Pipelines cannot be reached at {access.endpoint}: {what}. Check the endpoint, "
        "and that its port is forwarded: kubectl port-forward -n kubeflow svc/ml-pipeline-ui "
        "8080:80"
    ) from None


def _fail_tls(access: KubeflowAccess, reason: str) -> NoReturn:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        cause = re.sub(r".*certificate verify failed: ?", "", reason, flags=re.DOTALL)
        fix = f"Put the authority's certificate into a PEM file and name it in {CA_FILE_VARIABLE}."
        what = f"its certificate is not trusted ({_one_line(cause).split(' (_ssl')[0]})"
    else:
        what, fix = "it does not speak TLS", "Check the port, or use http:// in the endpoint."
    raise UnreachableError(
        f"Kubeflow Pipelines cannot be reached at {access.endpoint}: {what}. {fix}"
    ) from None


def _refuse(access: KubeflowAccess, error: ApiException) -> NoReturn:
    status = int(error.status or 0)
    said = _server_text(error.body, access)
    place = f"Kubeflow Pipelines at {access.endpoint}"
    has_token = bool(access.token or access.token_file)
    namespace = f"namespace '{access.namespace}'" if access.namespace else "this namespace"
    if 300 <= status < 400:
        target = urlsplit(str((error.headers or {}).get("location", "")))
        where = f"{target.scheme}://{target.netloc}" if target.netloc else "another page"
        message = (
            f"{place} sends us to {where}, expected an answer. Check the endpoint "
            f"(https?), or give a token in {TOKEN_VARIABLE} when it wants a login."
        )
    elif status == UNAUTHORIZED and has_token:
        message = (
            f"{place} refused the token (401): it is expired or of another installation. Get a new "
            "one, such as from 'kubectl create token', and put it into the same variable or file."
        )
    elif status == UNAUTHORIZED:
        message = (
            f"{place} wants a token (401), and none was given. Set {TOKEN_VARIABLE} or "
            f"{TOKEN_VARIABLE}_FILE."
        )
    elif "exceeded quota" in said or "quota" in said.lower().split():
        message = (
            f"{place} refused this because the quota of {namespace} is used up: {said} Wait for "
            "other runs, delete some, or ask for a larger quota: kubectl describe resourcequota"
        )
    elif status == FORBIDDEN:
        message = (
            f"{place} gives you no right to do this in {namespace} (403): {said} Check "
            "kubeflow.namespace, or ask its owner to add you as a contributor."
        )
    elif status == NOT_FOUND and not said:
        message = (
            f"{access.endpoint} knows no API of Kubeflow Pipelines (404). Check the endpoint: it "
            "may lack a path such as /pipeline."
        )
    elif _UNEXPLAINED.fullmatch(said):
        message = (
            f"{place} refused the upload ({status}): {said} It keeps the reason in its own log: "
            "kubectl logs -n kubeflow deployment/ml-pipeline. It does so when you have no right to "
            f"create pipelines in {namespace}: then ask its owner to add you as a contributor."
        )
    elif status in TRANSIENT:
        message = f"{place} is not ready ({status}): {said} Try again in a minute."
    else:
        message = f"{place} refused the request ({status}): {said}"
    raise RefusedError(message.strip(), status) from None


def _server_text(body: Any, access: KubeflowAccess) -> str:
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    if token := access.read_token():
        text = text.replace(token, "(token)")
    try:
        parsed: Any = json.loads(text)
    except ValueError:
        # A page of a proxy says nothing that helps.
        return "" if "<html" in text.lower() else _one_line(text)
    if isinstance(parsed, dict):
        answer = cast(dict[str, Any], parsed)
        text = str(answer.get("message") or answer.get("error_message") or answer.get("error"))
    return _one_line(text)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if len(line) > MAX_SERVER_TEXT:
        # The cause stands last in Kubeflow's chains of messages.
        line = "... " + line[-MAX_SERVER_TEXT:]
    return line if not line or line[-1] in ".!?" else line + "."
