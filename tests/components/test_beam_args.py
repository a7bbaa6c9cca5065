import pytest
from tfx.utils import dependency_utils

from components.beam_args import IMAGES_WORTH_PROCESSES, beam_args, reading_args
from configs.types import BeamConfig


@pytest.mark.parametrize(
    ("num_images", "mode"),
    [(1000, "in_memory"), (IMAGES_WORTH_PROCESSES, "multi_processing")],
)
def test_auto_starts_processes_only_for_much_data(num_images, mode):
    flags = reading_args(BeamConfig(), num_images=num_images)
    assert f"--direct_running_mode={mode}" in flags


def test_in_memory_has_one_worker():
    assert "--direct_num_workers=1" in reading_args(BeamConfig(num_workers=8), num_images=1)


def test_a_given_mode_and_workers_are_kept():
    config = BeamConfig(running_mode="multi_threading", num_workers=3)
    flags = reading_args(config, num_images=1)
    assert flags[:2] == ["--direct_running_mode=multi_threading", "--direct_num_workers=3"]


def test_only_reading_gets_processes():
    config = BeamConfig(running_mode="multi_processing", num_workers=3)
    assert "--direct_running_mode=in_memory" in beam_args(config)


def test_tfx_packs_nothing_for_workers_on_this_machine(monkeypatch):
    monkeypatch.setattr(
        dependency_utils, "build_ephemeral_package", lambda: pytest.fail("TFX packed itself")
    )
    flags = beam_args(BeamConfig())
    assert dependency_utils.make_beam_dependency_flags(flags) == flags


def test_other_runners_get_their_own_flags_only():
    config = BeamConfig(runner="FlinkRunner", extra_args=("--flink_master=host:8081",))
    assert beam_args(config) == ["--runner=FlinkRunner", "--flink_master=host:8081"]
    assert reading_args(config, num_images=10**9) == []
