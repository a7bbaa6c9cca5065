from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.load import (
    CONFIG_FOLDER,
    all_setting_names,
    from_json,
    kubeflow_local_root_from_environment,
    load_config,
    load_config_from_environment,
    part_to_json,
    to_environment,
    workspace_from_environment,
)
from configs.types import PipelineConfig, TrainConfig


@pytest.mark.parametrize("path", sorted(CONFIG_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_named_run_loads(path):
    assert isinstance(load_config(path.stem), PipelineConfig)


@pytest.mark.parametrize("path", sorted(CONFIG_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_named_run_says_how_to_run_it(path):
    head = path.read_text()
    assert head.startswith("# ") and "# Run:" in head and "# Hardware:" in head


def test_later_overrides_win_and_keep_types():
    config = load_config(
        overrides=["train.epochs=2", "train.learning_rate=1e-4", "train.epochs=3", "train.xla=on"]
    )
    assert config.train.epochs == 3
    assert config.train.learning_rate == pytest.approx(1e-4)
    assert config.train.xla == "on"


def test_an_override_that_looks_like_a_number_may_be_a_name():
    assert load_config(overrides=["data.dataset=2026"]).data.dataset == "2026"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "unknown setting 'train.epoch'. Did you mean train.epochs"),
        ("trian.epochs=3", "unknown setting 'trian.epochs'. Did you mean train.epochs"),
        ("epochs=3", "Did you mean"),
        ("zzz=3", "Expected one of: pipeline_name"),
        ("train=3", "expected settings below it such as train.x"),
        ("train.epochs", "has no '='"),
        ("train.epochs=many", "train.epochs is 'many' (str), expected int"),
        ("train.epochs=true", "train.epochs is True (bool), expected int"),
        ("train.epochs=0", "train.epochs is 0, expected 1 to"),
        ("train.epochs.more=1", "'epochs' is a value, not a stage"),
        ("train.backbone=resnet", "expected one of: reference, compact"),
        ("model_name=a/b", "expected letters, digits"),
        ("tune.enabled=maybe", "expected bool"),
    ],
)
def test_a_bad_setting_says_what_is_wrong(override, message):
    overrides = ["train.epochs=3", override] if override.startswith("train.epochs.") else [override]
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=overrides)
    assert message in str(caught.value)


def test_an_unknown_config_names_its_neighbours():
    with pytest.raises(ConfigError, match="config 'smok' does not exist. Did you mean smoke"):
        load_config("smok")


def test_a_missing_config_file_is_an_error():
    with pytest.raises(ConfigError, match="config file 'nowhere.yaml' does not exist"):
        load_config("nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "is not YAML"), ("- 1", "holds no settings")]
)
def test_a_broken_config_file_is_an_error(tmp_path, text, message):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_config(str(path))


def test_an_own_config_file_is_read(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("train: {epochs: 4}")
    assert load_config(str(path)).train.epochs == 4


def test_every_setting_is_listed_once():
    names = list(all_setting_names(PipelineConfig))
    assert "train.epochs" in names
    assert len(names) == len(set(names))


@given(
    st.builds(
        TrainConfig,
        epochs=st.integers(1, 1000),
        dropout=st.floats(0.0, 0.9),
        learning_rate=st.floats(1e-8, 10.0),
    )
)
def test_settings_survive_json(part):
    assert from_json(TrainConfig, part_to_json(part)) == part


def test_environment_carries_a_run_to_its_process(tmp_path):
    overrides = ["train.epochs=3", "data.dataset=two words"]
    environ = to_environment("smoke", "/data/my photos", overrides, tmp_path, tmp_path / "run")
    config = load_config_from_environment(environ)
    assert config.data.path == "/data/my photos"
    assert config.data.dataset == "two words"
    assert config.train.epochs == 3
    assert workspace_from_environment(environ).root == tmp_path


def test_without_environment_the_workspace_lies_in_the_clone():
    workspace = workspace_from_environment({})
    assert workspace.root == Path(__file__).resolve().parents[2] / "workspace"


def test_the_launcher_of_kubeflow_copies_below_the_root_folder():
    assert kubeflow_local_root_from_environment({}) == Path("/")
    assert kubeflow_local_root_from_environment({"LOUPE_KUBEFLOW_LOCAL_ROOT": ""}) == Path("/")
    environ = {"LOUPE_KUBEFLOW_LOCAL_ROOT": "/tmp/pod"}
    assert kubeflow_local_root_from_environment(environ) == Path("/tmp/pod")
