"""Settings of a run on Kubeflow Pipelines: frozen dataclasses, validated when they are made."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from configs.errors import ConfigError
from configs.quantity import parse_quantity
from configs.secrecy import is_secret_name, secret_kind
from configs.validation import require_between, require_one_of
from configs.version import VERSION

STAGES = (
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Tuner",
    "Trainer",
    "LastBlessedVersion",
    "LastBlessedModel",
    "Evaluator",
    "InfraValidator",
    "Pusher",
    "Promote",
)
"""Every node that `create_pipeline` can make for Kubeflow."""
NEVER_CACHED = ("LastBlessedVersion", "Promote")
"""Their answer depends on what lies in the folder of pushed models, which no cache key sees."""
BASELINE_VERSION = "baseline_version"
"""Property of the baseline's artifact: the version that it is a copy of; none, no property."""
CACHE_SWITCHES = ("auto", "on", "off")
TOLERATION_OPERATORS = ("Exists", "Equal")
TOLERATION_EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")
OBJECT_STORES = ("gs://", "s3://", "minio://")

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VOLUME_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""Kubeflow names the volume after its claim, and volumes take no dots."""
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IMAGE_NAME = re.compile(r"[a-z0-9][\w.:/-]*?(?P<version>:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})")


@dataclass(frozen=True)
class SecretVariable:
    """An environment variable whose value a Kubernetes secret holds.

    Attributes:
        variable: name of the environment variable.
        secret: name of the Kubernetes secret.
        key: key inside the secret.
    """

    variable: str = ""
    secret: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        _require_match("secrets: variable", self.variable, _VARIABLE_NAME, "a variable's name")
        _require_match("secrets: secret", self.secret, _OBJECT_NAME, "the name of a secret")
        if not self.key:
            raise ConfigError(
                f"secrets: the key for {self.variable} is empty, expected a key of the secret "
                f"'{self.secret}'. Set it."
            )


@dataclass(frozen=True)
class Toleration:
    """A taint of nodes that a stage tolerates.

    Attributes:
        key: key of the taint.
        operator: `Exists` for any value, `Equal` for `value`.
        value: value of the taint, for `Equal`.
        effect: effect of the taint; empty means each.
    """

    key: str = ""
    operator: str = "Exists"
    value: str = ""
    effect: str = ""

    def __post_init__(self) -> None:
        require_one_of("tolerations: operator", self.operator, TOLERATION_OPERATORS)
        require_one_of("tolerations: effect", self.effect, TOLERATION_EFFECTS)
        if self.operator == "Exists" and self.value:
            raise ConfigError(
                f"tolerations: '{self.key}' has operator Exists and value '{self.value}', expected "
                "no value. Remove it, or use operator Equal."
            )


@dataclass(frozen=True)
class Volume:
    """A persistent volume claim that is mounted into a stage.

    Attributes:
        claim: name of the claim.
        path: absolute path inside the container.
    """

    claim: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        if self.claim or self.path:
            _require_match("volumes: claim", self.claim, _VOLUME_NAME, "the name of a claim")
            if not self.path.startswith("/") or self.path == "/":
                raise ConfigError(
                    f"volumes: path of '{self.claim}' is '{self.path}', expected an absolute path "
                    "such as /data. Change it."
                )


@dataclass(frozen=True)
class StageConfig:
    """What the pods of a stage get.

    Attributes:
        image: container image with a tag or digest; empty means that of every stage.
        cpu: most CPUs, a Kubernetes quantity such as 2 or 500m; empty sets no limit.
        memory: most memory, such as 4Gi; empty sets no limit.
        cpu_request: CPUs to reserve; empty reserves `cpu`.
        memory_request: memory to reserve; empty reserves `memory`.
        gpus: GPUs of one pod.
        gpu_resource: resource name under which the cluster offers them.
        shared_memory: size of /dev/shm, such as 2Gi; empty leaves the cluster's 64 MB.
        node_selector: labels a node must have.
        tolerations: taints that are tolerated.
        environment: variables with values that everybody may read.
        secrets: variables with values from Kubernetes secrets.
        volumes: further claims to mount.
        labels: labels of the pod.
        annotations: annotations of the pod.
        image_pull_secrets: names of secrets with which images are pulled.
        max_retries: how often a failed stage starts again; empty means twice.
        retry_wait_seconds: pause before the first retry; empty means 30.
        retry_wait_factor: growth of the pause from retry to retry; empty means 2.
        retry_within_seconds: no retry begins later than this after the first start, and some
            versions of Argo also end those that still run; empty means a week. Kubeflow calls it
            the longest pause, which it is not.
        timeout_seconds: longest time a pod may run; 0 means no limit.
        cache: `on` reuses earlier results, `off` never does, `auto` follows `enable_cache`.
    """

    image: str = ""
    cpu: str = ""
    memory: str = ""
    cpu_request: str = ""
    memory_request: str = ""
    gpus: int = 0
    gpu_resource: str = ""
    shared_memory: str = ""
    node_selector: dict[str, str] = field(default_factory=dict[str, str])
    tolerations: tuple[Toleration, ...] = ()
    environment: dict[str, str] = field(default_factory=dict[str, str])
    secrets: tuple[SecretVariable, ...] = ()
    volumes: tuple[Volume, ...] = ()
    labels: dict[str, str] = field(default_factory=dict[str, str])
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    image_pull_secrets: tuple[str, ...] = ()
    max_retries: int | None = None
    retry_wait_seconds: int | None = None
    retry_wait_factor: int | None = None
    retry_within_seconds: int | None = None
    timeout_seconds: int = 0
    cache: str = "auto"

    def __post_init__(self) -> None:
        if self.image:
            require_image("image", self.image)
        for name in ("cpu", "memory", "cpu_request", "memory_request", "shared_memory"):
            if value := getattr(self, name):
                parse_quantity(name, value)
        require_between("gpus", self.gpus, 0, 64)
        require_one_of("cache", self.cache, CACHE_SWITCHES)
        require_between("timeout_seconds", self.timeout_seconds, 0, 30 * 86_400)
        require_between("max_retries", self.max_retries or 0, 0, 100)
        require_between("retry_wait_seconds", self.retry_wait_seconds or 0, 0, 86_400)
        require_between("retry_wait_factor", self.retry_wait_factor or 1, 1, 100)
        require_between("retry_within_seconds", self.retry_within_seconds or 0, 0, 30 * 86_400)
        for name, value in self.environment.items():
            require_no_secret(name, value)


@dataclass(frozen=True)
class KubeflowConfig:
    """How the pipeline runs on Kubeflow Pipelines.

    Attributes:
        image: container image of every stage, with a tag or digest.
        pipeline_root: gs://, s3:// or minio:// folder of artifacts; empty means the cluster's own.
        data_root: folder, manifest or archive inside the container, or the gs:// URL of a folder
            or archive; a run's parameter of that name may differ.
        data: claim that holds the images, mounted into ExampleGen.
        models: claim that holds pushed models, mounted into the stages that read and push them;
            `push.folder` lies below its path.
        endpoint: URL of the Kubeflow Pipelines API.
        namespace: namespace of runs.
        experiment: experiment that runs are filed under.
        service_account: Kubernetes account of the pods; empty means the cluster's own.
        schedule: cron expression with seconds first, such as `0 0 3 * * *`; empty schedules none.
        every_stage: what every stage's pods get.
        stages: what single stages get beside or in place of that, by name.
    """

    image: str = f"loupe-pipeline:{VERSION}"
    pipeline_root: str = ""
    data_root: str = "/data"
    data: Volume = field(default_factory=lambda: Volume("loupe-data", "/data"))
    models: Volume = field(default_factory=lambda: Volume("loupe-models", "/models"))
    endpoint: str = ""
    namespace: str = "kubeflow"
    experiment: str = "loupe"
    service_account: str = ""
    schedule: str = ""
    every_stage: StageConfig = field(default_factory=StageConfig)
    stages: dict[str, StageConfig] = field(default_factory=dict[str, StageConfig])

    def __post_init__(self) -> None:
        require_image("kubeflow.image", self.image)
        if self.pipeline_root and not self.pipeline_root.startswith(OBJECT_STORES):
            raise ConfigError(
                f"kubeflow.pipeline_root is '{self.pipeline_root}', expected a URL that begins "
                f"with one of: {', '.join(OBJECT_STORES)}. Kubeflow keeps artifacts nowhere else; "
                "a volume claim is for data and models."
            )
        if not self.data_root.startswith(("/", "gs://")):
            raise ConfigError(
                f"kubeflow.data_root is '{self.data_root}', expected an absolute path inside the "
                "container such as /data/photos, or a gs:// URL. Change it."
            )
        for name in self.stages:
            require_one_of("kubeflow.stages", name, STAGES)

    def stage(self, name: str) -> StageConfig:
        """Say what one stage gets.

        Args:
            name: one of STAGES.

        Returns:
            `every_stage` with the stage's own settings on top: single values replace, mappings and
            lists add.
        """
        own = self.stages.get(name)
        return self.every_stage if own is None else _merge(self.every_stage, own)


def _merge(base: StageConfig, own: StageConfig) -> StageConfig:
    defaults = StageConfig()
    changes: dict[str, Any] = {}
    for each in dataclasses.fields(StageConfig):
        value = getattr(own, each.name)
        if isinstance(value, Mapping):
            changes[each.name] = {**getattr(base, each.name), **value}
        elif isinstance(value, tuple):
            changes[each.name] = (*getattr(base, each.name), *value)
        elif value != getattr(defaults, each.name):
            changes[each.name] = value
    return dataclasses.replace(base, **changes)


def require_image(name: str, image: str) -> None:
    """Check that an image names one version of itself.

    Args:
        name: dotted name of the setting.
        image: reference of the image.

    Raises:
        ConfigError: it has neither tag nor digest, or its tag is `latest`.
    """
    match = _IMAGE_NAME.fullmatch(image)
    if match is None or match["version"] == ":latest":
        raise ConfigError(
            f"{name} is '{image}', expected an image with a digest or a tag other than 'latest', "
            "such as registry.example/loupe-pipeline:1.2.3. Kubeflow's cache does not see that "
            "another image hides behind the same tag."
        )


def require_no_secret(name: str, value: str) -> None:
    """Check that a variable that everybody may read is none that nobody should.

    Args:
        name: name of the environment variable.
        value: its value.

    Raises:
        ConfigError: the name or the value looks like a secret; the message does not repeat it.
    """
    _require_match("environment", name, _VARIABLE_NAME, "the name of a variable")
    kind = "a secret" if is_secret_name(name) else secret_kind(value)
    if kind:
        raise ConfigError(
            f"environment: {name} looks like {kind}, and everybody who may see the pipeline could "
            "read it. Put the value into a Kubernetes secret and name that under `secrets`: "
            f"{{variable: {name}, secret: <name>, key: <key>}}."
        )


def _require_match(name: str, value: str, pattern: re.Pattern[str], expected: str) -> None:
    if not pattern.fullmatch(value):
        raise ConfigError(f"{name} is '{value}', expected {expected}. Change it in the config.")
