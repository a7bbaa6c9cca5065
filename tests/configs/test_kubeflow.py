import pytest

from configs.errors import ConfigError
from configs.kubeflow import STAGES, KubeflowConfig, StageConfig, Volume
from configs.load import load_config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("image=loupe-pipeline:latest", "kubeflow.image is 'loupe-pipeline:latest'.*other than"),
        ("image=loupe-pipeline", "expected an image with a digest or a tag"),
        ("image=registry:5000/loupe", "expected an image with a digest or a tag"),
        ("pipeline_root=/mnt/artifacts", "begins with one of: gs://, s3://, minio://"),
        ("data_root=photos", "expected an absolute path inside the container"),
        ("data_root=s3://bucket/photos", "or a gs:// URL"),
        ("data={claim: data, path: data}", "volumes: path of 'data' is 'data'"),
        ("data={claim: My_Claim, path: /data}", "volumes: claim is 'My_Claim'"),
        ("data={claim: my.claim, path: /data}", "volumes: claim is 'my.claim'"),
        ("stages={Traner: {gpus: 1}}", "kubeflow.stages is 'Traner', expected one of: ExampleGen"),
        ("stages.Trainer.gpu=1", "unknown setting 'kubeflow.stages.Trainer.gpu'"),
        ("stages.Trainer.gpus=-1", "gpus is -1, expected 0 to"),
        ("stages.Trainer.memory=4 GB", "memory is '4 GB', expected a Kubernetes quantity"),
        ("stages.Trainer.cpu=many", "cpu is 'many', expected a Kubernetes quantity"),
        ("stages.Trainer.image=gpu:latest", "image is 'gpu:latest'"),
        ("stages.Trainer.cache=sometimes", "cache is 'sometimes', expected one of: auto, on, off"),
        ("stages.Trainer.max_retries=1000", "max_retries is 1000, expected 0 to 100"),
        ("stages.Trainer.retry_wait_factor=1.5", "expected int"),
        ("stages.Trainer.tolerations=[{operator: Is}]", "expected one of: Exists, Equal"),
        ("stages.Trainer.tolerations=[{key: a, value: b}]", "has operator Exists and value 'b'"),
        ("stages.Trainer.tolerations=[{effect: Never}]", "tolerations: effect is 'Never'"),
        ("stages.Trainer.secrets=[{variable: A-B, secret: s, key: k}]", "a variable's name"),
        ("stages.Trainer.secrets=[{variable: A, secret: S_S, key: k}]", "the name of a secret"),
        ("stages.Trainer.secrets=[{variable: A, secret: s}]", "the key for A is empty"),
        ("stages.Trainer.environment={A B: c}", "environment is 'A B'"),
        ("stages.Trainer.environment={A: yes}", "environment.A is True, which YAML.*quotes"),
        ("stages.Trainer.environment=3", "expected settings below it"),
        ("stages=3", "kubeflow.stages is 3, expected settings below it"),
    ],
)
def test_settings_that_cannot_be_used_say_what_is_expected(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config("kubeflow", [f"kubeflow.{override}"])


@pytest.mark.parametrize(
    "image",
    [
        "loupe-pipeline:1.2.3",
        "registry:5000/team/loupe_pipeline:git-0a1b2c",
        "registry.example/loupe@sha256:" + "0a" * 32,
        "registry.example/loupe:1@sha256:" + "0a" * 32,
    ],
)
def test_images_with_a_version_are_accepted(image):
    assert KubeflowConfig(image=image).image == image


SECRETS = [
    ("API_KEY", "0123"),
    ("wandb_api_key", "0123"),
    ("AWS_SECRET_ACCESS_KEY", "0123"),
    ("DATABASE_PASSWORD", "hunter2"),
    ("GITHUB_TOKEN", "0123"),
    ("DATABASE_URL", "postgresql://loupe:hunter2@db/loupe"),
    ("SETTINGS", "-----BEGIN PRIVATE KEY-----"),
]


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_secrets_in_the_environment_are_refused_and_not_repeated(name, value):
    with pytest.raises(ConfigError, match="Put the value into a Kubernetes secret") as caught:
        StageConfig(environment={name: value})
    assert value not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("GOOGLE_APPLICATION_CREDENTIALS_FILE", "/secrets/key.json"),
        ("KEYBOARD", "de"),
        ("ENDPOINT", "http://user@host:8080/path"),
    ],
)
def test_what_only_resembles_a_secret_is_accepted(name, value):
    assert StageConfig(environment={name: value}).environment == {name: value}


def test_a_stage_adds_to_mappings_and_lists_and_replaces_values():
    every = StageConfig(
        cpu="1", memory="2Gi", max_retries=3, environment={"A": "1", "B": "1"}, gpus=0,
        volumes=(Volume("cache", "/cache"),), cache="off",
    )  # fmt: skip
    own = StageConfig(
        cpu="4", max_retries=0, environment={"B": "2"}, gpus=1, volumes=(Volume("tmp", "/tmp"),)
    )
    merged = KubeflowConfig(every_stage=every, stages={"Trainer": own}).stage("Trainer")
    assert (merged.cpu, merged.memory, merged.gpus, merged.max_retries) == ("4", "2Gi", 1, 0)
    assert merged.environment == {"A": "1", "B": "2"}
    assert [volume.claim for volume in merged.volumes] == ["cache", "tmp"]
    assert merged.cache == "off"


def test_a_stage_without_settings_gets_those_of_every_stage():
    config = KubeflowConfig(every_stage=StageConfig(cpu="1"))
    assert all(config.stage(name) == config.every_stage for name in STAGES)


def test_numbers_in_mappings_of_text_are_text():
    stage = load_config("kubeflow", ["kubeflow.every_stage.environment={A: 1, B: '', C: on-2}"])
    assert stage.kubeflow.every_stage.environment == {"A": "1", "B": "", "C": "on-2"}


def test_an_empty_value_means_not_set():
    stage = load_config("kubeflow", ["kubeflow.stages.Trainer.max_retries="]).kubeflow
    assert stage.stages["Trainer"].max_retries is None
