"""`kfp.Client` without its surprises.

The stock client reads files of the home directory and variables of other tools, may open a
browser, stores a namespace, prints links, and asks for pipelines of no namespace. This one uses
what it is given and nothing else.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Generator
from typing import Any, cast

import kfp
import kfp_server_api

from configs.errors import ConfigError, UpstreamError
from configs.kubeflow_access import NAMESPACE_VARIABLE, KubeflowAccess
from pipeline.kubeflow.rest import StrictRest, no_retries

PAGE_SIZE = 100
SORT_NEWEST_FIRST = "created_at desc"


class KubeflowClient(kfp.Client):
    """The client of one installation.

    Args:
        access: where it is and who asks.

    Attributes:
        access: as given.
    """

    def __init__(self, access: KubeflowAccess) -> None:
        self.access = access
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # "only works with v2": we know
            super().__init__(host=access.endpoint, namespace=access.namespace)
        self._uihost = access.endpoint.rstrip("/")
        api_client = self._run_api.api_client
        api_client.rest_client = StrictRest(api_client.configuration, access)

    def _load_config(self, *_: Any, **__: Any) -> kfp_server_api.Configuration:
        # In place of the stock one, which may start a login in a browser or ask kubectl.
        configuration = kfp_server_api.Configuration()
        configuration.host = self.access.endpoint.rstrip("/")
        configuration.retries = no_retries()
        if self.access.ca_file:
            configuration.ssl_ca_cert = self.access.ca_file
        if self.access.token or self.access.token_file:
            configuration.api_key["authorization"] = "read before each request"
            configuration.api_key_prefix["authorization"] = "Bearer"
            configuration.refresh_api_key_hook = self._put_token
        return configuration

    def _put_token(self, configuration: kfp_server_api.Configuration) -> None:
        configuration.api_key["authorization"] = self.access.read_token()

    def _load_context_setting_or_default(self) -> None:
        # In place of ~/.config/kfp/context.json. A blank keeps the stock constructor from asking
        # the server before our limits are in force.
        self._context_setting = {"namespace": self.access.namespace or " "}

    def set_user_namespace(self, namespace: str) -> None:
        """Use another namespace, without writing it into the home directory.

        Args:
            namespace: name of the namespace.
        """
        self._context_setting["namespace"] = namespace

    def get_user_namespace(self) -> str:
        """Say which namespace is used.

        Returns:
            Its name; empty when there is none.
        """
        return self._context_setting["namespace"].strip()

    def get_pipeline_id(self, name: str) -> str | None:
        """Find a pipeline in the namespace of this user; the stock method knows shared ones only.

        Args:
            name: display name of the pipeline.

        Returns:
            Its id; None when there is none of that name.
        """
        answer = self.list_pipelines(
            namespace=self.get_user_namespace(), filter=equals("display_name", name)
        )
        found = answer.pipelines or []
        return found[0].pipeline_id if found else None

    def create_empty_pipeline(self, name: str, description: str) -> str:
        """Make a pipeline without a version.

        The stock `upload_pipeline` makes a first version with it, named like the pipeline.

        Args:
            name: display name of the pipeline.
            description: what it says below its name.

        Returns:
            Its id.
        """
        created = self._pipelines_api.pipeline_service_create_pipeline(
            kfp_server_api.V2beta1Pipeline(
                display_name=name,
                namespace=self.get_user_namespace() or None,
                description=description,
            )
        )
        return str(cast(kfp_server_api.V2beta1Pipeline, created).pipeline_id)

    def find_or_make_experiment(self, name: str) -> str:
        """Find an experiment, and make it when there is none.

        Args:
            name: display name of the experiment.

        Returns:
            Its id.

        Raises:
            ConfigError: there are several of that name.
        """
        try:
            with without_prints():
                found = self.create_experiment(name, namespace=self.get_user_namespace())
        except ValueError as error:  # what the stock client raises
            raise ConfigError(
                f"experiment '{name}' cannot be used: {error} Set kubeflow.experiment to another."
            ) from error
        return str(found.experiment_id)


def connect(access: KubeflowAccess) -> KubeflowClient:
    """Make a client and see that the server answers.

    Args:
        access: where it is and who asks.

    Returns:
        The client.

    Raises:
        ConfigError: the installation has users of its own and no namespace was given.
        UpstreamError: the server is no Kubeflow Pipelines, or does not answer.
    """
    client = KubeflowClient(access)
    health = client.get_kfp_healthz()
    if health.multi_user is None:
        raise UpstreamError(
            f"something answers at {access.endpoint}, but it is no Kubeflow Pipelines: its health "
            "does not say whether it has users. Check the endpoint."
        )
    if health.multi_user and not access.namespace:
        raise ConfigError(
            f"Kubeflow Pipelines at {access.endpoint} has users with namespaces of their own, and "
            f"no namespace was given. Set kubeflow.namespace, {NAMESPACE_VARIABLE} or --namespace."
        )
    return client


def equals(key: str, value: str) -> str:
    """Write a filter for the API's lists.

    Args:
        key: name of a field, such as `display_name`.
        value: the value it must have.

    Returns:
        The filter as JSON.
    """
    predicate = {"operation": "EQUALS", "key": key, "stringValue": value}
    return json.dumps({"predicates": [predicate]})


@contextlib.contextmanager
def without_prints() -> Generator[None]:
    """Keep the stock client's lines off the screen; ours say the same once.

    Yields:
        Nothing.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        yield
