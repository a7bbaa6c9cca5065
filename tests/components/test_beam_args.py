import pytest

from components.beam_args import IMAGES_WORTH_PROCESSES, beam_args
from configs.types import BeamConfig


@pytest.mark.parametrize(
    ("num_images", "mode"),
    [(1000, "in_memory"), (IMAGES_WORTH_PROCESSES, "multi_processing")],
)
def test_auto_starts_processes_only_for_much_data(num_images, mode):
    flags = beam_args(BeamConfig(), num_images=num_images)
    assert f"--direct_running_mode={mode}" in flags


def test_in_memory_has_one_worker():
    assert "--direct_num_workers=1" in beam_args(BeamConfig(num_workers=8), num_images=1)


def test_a_given_mode_and_workers_are_kept():
    flags = beam_args(BeamConfig(running_mode="multi_threading", num_workers=3), num_images=1)
    assert flags[1:] == ["--direct_running_mode=multi_threading", "--direct_num_workers=3"]


def test_other_runners_get_their_own_flags_only():
    config = BeamConfig(runner="FlinkRunner", extra_args=("--flink_master=host:8081",))
    assert beam_args(config, num_images=1) == ["--runner=FlinkRunner", "--flink_master=host:8081"]
