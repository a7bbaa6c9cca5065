"""Where Kubeflow Pipelines answers, and with which token it is asked."""

import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from configs.errors import ConfigError

ENDPOINT_VARIABLE = "LOUPE_KUBEFLOW_ENDPOINT"
UI_VARIABLE = "LOUPE_KUBEFLOW_UI"
NAMESPACE_VARIABLE = "LOUPE_KUBEFLOW_NAMESPACE"
TOKEN_VARIABLE = "LOUPE_KUBEFLOW_TOKEN"  # noqa: S105 (a name, no token)
TOKEN_FILE_VARIABLE = "LOUPE_KUBEFLOW_TOKEN_FILE"  # noqa: S105
CA_FILE_VARIABLE = "LOUPE_KUBEFLOW_CA_FILE"


@dataclass(frozen=True)
class KubeflowAccess:
    """One installation of Kubeflow Pipelines, as one user sees it.

    Attributes:
        endpoint: URL of the API or of the web page in front of it, without `/apis/...`.
        namespace: namespace of runs; empty where the installation has no users of its own.
        token: bearer token; empty sends none. It is never printed.
        token_file: file that holds the token, read before each request, because the cluster
            renews such files; empty means `token`.
        ca_file: PEM file of the authority that signed the endpoint's certificate; empty means
            the public ones.
        ui: URL under which people see the web page, for links; empty means the endpoint.
    """

    endpoint: str
    namespace: str = ""
    token: str = field(default="", repr=False)
    token_file: str = ""
    ca_file: str = ""
    ui: str = ""

    def __post_init__(self) -> None:
        _require_endpoint(self.endpoint)
        if not self.token.isascii() or any(letter.isspace() for letter in self.token):
            raise ConfigError(
                f"the token in {TOKEN_VARIABLE} has blanks or letters that no token has (it is not "
                "shown here). Copy it again, without a line break."
            )
        if self.ui and not self.ui.startswith(("http://", "https://")):
            raise ConfigError(
                f"{UI_VARIABLE} is '{self.ui}', expected http:// or https:// and a host."
            )
        for variable, path in (
            (TOKEN_FILE_VARIABLE, self.token_file),
            (CA_FILE_VARIABLE, self.ca_file),
        ):
            if path and not Path(path).is_file():
                raise ConfigError(f"{variable} is '{path}', which is no file. Check the path.")

    @property
    def _page(self) -> str:
        return (self.ui or self.endpoint).rstrip("/")

    def read_token(self) -> str:
        """Read the token as it is now.

        Returns:
            The bearer token; empty when there is none.

        Raises:
            ConfigError: the token file cannot be read.
        """
        if not self.token_file:
            return self.token
        try:
            return Path(self.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{TOKEN_FILE_VARIABLE}: '{self.token_file}' cannot be read: {error}. Check it."
            ) from error

    def run_link(self, run_id: str) -> str:
        """Say where a run is shown.

        Args:
            run_id: id of the run.

        Returns:
            URL of its page.
        """
        return f"{self._page}/#/runs/details/{run_id}"

    def schedule_link(self, recurring_run_id: str) -> str:
        """Say where a schedule is shown.

        Args:
            recurring_run_id: id of the recurring run.

        Returns:
            URL of its page.
        """
        return f"{self._page}/#/recurringrun/details/{recurring_run_id}"

    def version_link(self, pipeline_id: str, version_id: str) -> str:
        """Say where a version of a pipeline is shown.

        Args:
            pipeline_id: id of the pipeline.
            version_id: id of its version.

        Returns:
            URL of its page.
        """
        return f"{self._page}/#/pipelines/details/{pipeline_id}/version/{version_id}"


def _require_endpoint(endpoint: str) -> None:
    fix = f"Set kubeflow.endpoint, {ENDPOINT_VARIABLE} or --endpoint to a URL."
    if not endpoint:
        raise ConfigError(
            "there is no endpoint of Kubeflow Pipelines, expected a URL such as "
            f"http://localhost:8080. {fix}"
        )
    try:
        parts = urllib.parse.urlsplit(endpoint)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable, parts = False, urllib.parse.urlsplit("")
    if parts.username or parts.password:
        raise ConfigError(
            "the endpoint of Kubeflow Pipelines holds a user name or password (it is not shown "
            f"here), expected none. Give a token in {TOKEN_VARIABLE} instead."
        )
    if not is_usable or parts.query or parts.fragment:
        raise ConfigError(
            f"the endpoint of Kubeflow Pipelines is '{endpoint}', expected http:// or https://, a "
            f"host and perhaps a port and path, such as http://localhost:8080. {fix}"
        )
