import json
import sys

import pytest

from benchmarks.kubeflow_overhead import overhead_by_stage
from benchmarks.kubeflow_start import _arguments_by_stage, start_until
from configs.errors import StageError
from pipeline.summary import StageSummary


def program(text):
    return [sys.executable, "-u", "-c", text]


def test_the_clock_stops_at_the_line_and_the_command_is_ended():
    words = "import time; time.sleep(0.3); print('it starts, now'); time.sleep(600)"
    start = start_until(program(words), " starts, ")
    assert 0.3 <= start.seconds < 30
    assert start.cpu_seconds < 10


def test_a_command_that_never_says_so_is_told_with_its_last_words():
    with pytest.raises(StageError, match="without 'starts,': no such executor"):
        start_until(program("import sys; sys.exit('no such executor')"), " starts, ")


def test_every_executor_gets_a_message_in_place_of_the_placeholder(tmp_path):
    executor = {"container": {"args": ["--json_serialized_invocation_args", "{{$}}", "--runner=x"]}}
    compiled = tmp_path / "pipeline.yaml"
    spec = {"deploymentSpec": {"executors": {"Trainer_executor": executor}}}
    compiled.write_text(json.dumps(spec))
    arguments = _arguments_by_stage(compiled, tmp_path)
    assert list(arguments) == ["Trainer"]
    assert json.loads(arguments["Trainer"][1])["outputs"]["outputFile"]
    assert arguments["Trainer"][2] == "--runner=x"


def test_overhead_is_that_of_stages_that_both_have():
    stages = [StageSummary("Trainer", 10.0, False), StageSummary("Resolver", 0.1, False)]
    tasks = [{"name": "Trainer", "seconds": 14.5}, {"name": "Promote", "seconds": 4.0}]
    assert overhead_by_stage(stages, tasks) == {"Trainer": 4.5}
