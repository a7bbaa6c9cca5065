import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIGHT = [
    "components.blessed.executors.PromoteExecutor",
    "components.example_gen.executor.Executor",
    "components.example_validator.Executor",
    "components.infra_validator.executor.Executor",
    "components.pusher.executor.Executor",
    "components.schema_gen.Executor",
    "components.trainer.Executor",
    "components.transform.executor.Executor",
    "tfx.components.statistics_gen.executor.Executor",
    "tfx.components.tuner.executor.Executor",
]
NOT_NEEDED = [
    "google.cloud.aiplatform",
    "kfp.dsl",
    "pipeline.pipeline",
    "tensorflow_model_analysis.evaluators",
    "tfx.components.bulk_inferrer",
]
PROGRAM = f"""
import json, os, sys
os.environ["_KFP_RUNTIME"] = "true"
from pipeline.kubeflow.lazy_packages import postpone_packages
postpone_packages()
import pipeline.kubeflow.task
from tfx.utils.import_utils import import_class_by_path
facts = {{}}
for path in {LIGHT}:
    import_class_by_path(path)
facts["light"] = [name for name in {NOT_NEEDED} if name in sys.modules]
import_class_by_path("components.evaluator.executor.Executor")
import tensorflow_model_analysis as tfma
from tfx.components import Evaluator
facts["config"] = tfma.EvalConfig.__name__
facts["component"] = Evaluator.__name__
facts["type"] = type(tfma).__name__
print(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def facts():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_stage_but_the_evaluator_imports_what_it_does_not_need(facts):
    assert facts["light"] == []


def test_whoever_asks_for_a_name_of_the_whole_package_gets_it(facts):
    assert facts["config"] == "EvalConfig"
    assert facts["component"] == "Evaluator"
    assert facts["type"] == "module"
