import os

import pytest

from configs.errors import ConfigError
from serving.model_server.batching_parameters import BatchingParameters
from serving.model_server.flags import ServerFlags
from serving.model_server.session_config import session_config


@pytest.fixture
def configure(tmp_path):
    """Function of (text of a session config file, batch threads, flags) to a ConfigProto."""

    def configure(text="", num_batch_threads=0, **flags):
        file = tmp_path / "session.pbtxt"
        file.write_text(text)
        batching = BatchingParameters(num_batch_threads=num_batch_threads or 1)
        return session_config(
            ServerFlags(
                model_base_path="/m",
                tensorflow_session_config_file=str(file) if text else "",
                **flags,
            ),
            batching if num_batch_threads else None,
        )

    return configure


def test_waiting_threads_do_not_spin_unless_the_file_says_so(configure):
    assert configure().experimental.disable_thread_spinning
    spinning = configure("experimental { disable_thread_spinning: false }")
    assert not spinning.experimental.disable_thread_spinning


def test_gpu_memory_grows_and_may_be_limited(configure):
    assert configure().gpu_options.allow_growth
    limited = configure(per_process_gpu_memory_fraction=0.5)
    assert limited.gpu_options.per_process_gpu_memory_fraction == 0.5


def test_one_request_at_a_time_may_use_every_core(configure):
    assert configure().intra_op_parallelism_threads == 0


@pytest.mark.parametrize(
    ("num_cores", "num_threads", "expected"), [(8, 2, 4), (8, 8, 1), (2, 9, 1)]
)
def test_batches_that_run_at_once_share_the_cores(
    configure, monkeypatch, num_cores, num_threads, expected
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(num_cores))
    config = configure(num_batch_threads=num_threads)
    assert config.intra_op_parallelism_threads == expected
    assert config.inter_op_parallelism_threads == 0


def test_a_flag_rules_over_the_file_and_the_file_over_the_default(configure):
    text = "intra_op_parallelism_threads: 7 allow_soft_placement: true"
    config = configure(text, num_batch_threads=2, tensorflow_inter_op_parallelism=3)
    assert config.intra_op_parallelism_threads == 7
    assert config.inter_op_parallelism_threads == 3
    assert config.allow_soft_placement
    config = configure(text, num_batch_threads=2, tensorflow_session_parallelism=5)
    assert config.intra_op_parallelism_threads == config.inter_op_parallelism_threads == 5


@pytest.mark.parametrize("text", ["nonsense", "intra_op_parallelism_threads: many"])
def test_a_file_that_is_no_config_is_refused(configure, text):
    with pytest.raises(ConfigError, match=r"Error parsing text-format tensorflow\.ConfigProto"):
        configure(text)
