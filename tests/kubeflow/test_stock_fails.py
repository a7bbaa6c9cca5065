"""What TFX compiles and runs by itself fails in the replay, for the reasons that are documented."""

import pytest
import yaml
from replay import KUBEFLOW_2_5, upload
from replay_checks import RejectedError

STOCK = ["python", "-m", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"]


@pytest.fixture
def with_stock_entry_point(cluster, tmp_path):
    """Function of a task to the compiled pipeline with TFX's entry point for this one."""

    def compiled(task):
        documents = list(yaml.safe_load_all(cluster.compiled.read_text()))
        executor = documents[0]["deploymentSpec"]["executors"][f"{task}_executor"]
        executor["container"]["command"] = STOCK
        path = tmp_path / "stock.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return path

    return compiled


def test_the_log_as_an_output_breaks_the_stock_entry_point(
    cluster, first_run, with_stock_entry_point
):
    run = cluster.replay.run(
        with_stock_entry_point("ExampleGen"), {"data_version": "first"}, version=KUBEFLOW_2_5
    )
    assert set(run.tasks) == {"ExampleGen"}
    assert run.tasks["ExampleGen"].state == "FAILED"
    assert "ImportError: Could not import system.Artifact" in run.tasks["ExampleGen"].log


def test_inputs_without_a_type_break_the_stock_entry_point(
    cluster, first_run, with_stock_entry_point
):
    run = cluster.replay.run(
        with_stock_entry_point("StatisticsGen"), {"data_version": "first"}, version=KUBEFLOW_2_5
    )
    assert run.cached == {"ExampleGen"}
    assert run.tasks["StatisticsGen"].state == "FAILED"
    assert "'NoneType' object has no attribute 'get'" in run.tasks["StatisticsGen"].log


@pytest.fixture(scope="module")
def resolver_pipeline(tmp_path_factory):
    """A pipeline with nothing but TFX's own way to the last blessed model."""
    from tfx.dsl.components.common.resolver import Resolver
    from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
        LatestBlessedModelStrategy,
    )
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )
    from tfx.orchestration.pipeline import Pipeline
    from tfx.types import Channel, standard_artifacts

    resolver = Resolver(
        strategy_class=LatestBlessedModelStrategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("LastBlessed")
    folder = tmp_path_factory.mktemp("resolver")
    config = KubeflowV2DagRunnerConfig(
        default_image="image:1", default_commands=STOCK, use_pipeline_spec_2_1=True
    )
    runner = KubeflowV2DagRunner(config, output_dir=str(folder), output_filename="resolver.yaml")
    runner.run(Pipeline("resolver", pipeline_root="root", components=[resolver]))
    return folder / "resolver.yaml"


def test_a_resolver_is_rejected(resolver_pipeline):
    with pytest.raises(RejectedError, match="resolver: non-container executor not implemented"):
        upload(resolver_pipeline)
