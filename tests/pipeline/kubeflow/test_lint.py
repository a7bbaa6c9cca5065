"""Every rule finds what it is about, made by TFX itself where TFX makes it."""

import pytest
from tfx.components import CsvExampleGen, InfraValidator, Trainer
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.dsl.input_resolution.strategies.latest_artifact_strategy import LatestArtifactStrategy
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
    KubeflowV2DagRunner,
    KubeflowV2DagRunnerConfig,
)
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2, trainer_pb2
from tfx.types import Channel, component_spec, standard_artifacts
from tfx.types.artifact import Artifact, Property, PropertyType

from components.blessed.component import build_blessed_baseline
from components.blessed.executors import PromoteExecutor
from configs.errors import ConfigError
from configs.load import load_config
from pipeline.kubeflow.compile import ENTRY_POINT, compile_dag, write_compiled
from pipeline.kubeflow.lint import check_findings, find_problems
from pipeline.kubeflow.lint_nodes import find_in_nodes

IMAGE = "loupe-pipeline:0.1.0"
NO_PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}


class MakeSpec(component_spec.ComponentSpec):
    PARAMETERS = {"text": component_spec.ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {}  # noqa: RUF012
    OUTPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}  # noqa: RUF012


class TakeSpec(component_spec.ComponentSpec):
    PARAMETERS = {"text": component_spec.ExecutionParameter(type=str)}  # noqa: RUF012
    INPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}  # noqa: RUF012
    OUTPUTS = {}  # noqa: RUF012


class Make(BaseComponent):
    SPEC_CLASS = MakeSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PromoteExecutor)

    def __init__(self, text="text"):
        super().__init__(MakeSpec(text=text, model=Channel(type=standard_artifacts.Model)))


class Take(BaseComponent):
    SPEC_CLASS = TakeSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PromoteExecutor)

    def __init__(self, model, text="text"):
        super().__init__(TakeSpec(text=text, model=model))


def compile_as_tfx_does(*nodes, exit_handler=None, image=IMAGE, **options):
    """The spec of a TFX pipeline without anything of ours."""
    options = {"default_commands": list(ENTRY_POINT), "use_pipeline_spec_2_1": True, **options}
    runner = KubeflowV2DagRunner(KubeflowV2DagRunnerConfig(default_image=image, **options))
    if exit_handler:
        runner.set_exit_handler(exit_handler)
    pipeline = Pipeline("test", "gs://bucket/root", components=list(nodes))
    return runner.run(pipeline, write_out=False)


def rules(spec, platform=NO_PLATFORM, required=()):
    return {finding.rule for finding in find_problems(spec, platform, required=required)}


def rules_of_nodes(*nodes):
    return {finding.rule for finding in find_in_nodes(nodes)}


def test_our_pipeline_has_no_problems(compiled):
    assert find_problems(compiled.spec, compiled.platform, required=["data_version"]) == []


def test_a_plain_pipeline_of_tfx_has_no_problems_with_the_right_options():
    make = Make()
    spec = compile_as_tfx_does(make, Take(make.outputs["model"]))["pipelineSpec"]
    assert rules(spec) == set()


def test_c1_the_version_that_tfx_writes_by_default_is_refused():
    spec = compile_as_tfx_does(Make(), use_pipeline_spec_2_1=False)["pipelineSpec"]
    (finding,) = [f for f in find_problems(spec, NO_PLATFORM) if f.rule == "C1"]
    assert "'2.0.0'" in str(finding) and "use_pipeline_spec_2_1=True" in str(finding)


def test_c2_a_job_in_place_of_a_spec_is_refused():
    assert rules(compile_as_tfx_does(Make())) == {"C2"}


def test_c2_a_file_of_another_ending_is_not_written(tmp_path, compiled):
    with pytest.raises(ConfigError, match=r"C2: .*expected a name that ends in .yaml or .yml"):
        write_compiled(compiled, tmp_path / "pipeline.json")
    assert list(tmp_path.iterdir()) == []


def test_c3_a_root_in_the_file_is_told_to_be_ignored(compiled):
    compiled.spec["defaultPipelineRoot"] = "gs://bucket/root"
    assert rules(compiled.spec, compiled.platform) >= {"C3"}


@pytest.mark.parametrize(
    ("strategy", "channels"),
    [
        (LatestArtifactStrategy, {"model": standard_artifacts.Model}),
        (
            LatestBlessedModelStrategy,
            {"model": standard_artifacts.Model, "blessing": standard_artifacts.ModelBlessing},
        ),
    ],
)
def test_c4_resolvers_are_found_before_and_after_tfx_compiles_them(strategy, channels):
    channels = {name: Channel(type=each) for name, each in channels.items()}
    resolver = Resolver(strategy_class=strategy, **channels).with_id("LatestBlessed")
    assert rules_of_nodes(resolver) == {"C4"}
    spec = compile_as_tfx_does(resolver, Take(resolver.outputs["model"]))["pipelineSpec"]
    assert "C4" in rules(spec)


@pytest.mark.parametrize("node_id", ["latest_blessed", "Trainer.final", "2nd", "T" * 121])
def test_c5_ids_that_argo_refuses(node_id):
    spec = compile_as_tfx_does(Make().with_id(node_id))["pipelineSpec"]
    (finding,) = find_problems(spec, NO_PLATFORM)
    assert finding.rule == "C5" and node_id in finding.where


def test_c5_a_pipeline_name_that_the_server_refuses(compiled):
    compiled.spec["pipelineInfo"]["name"] = "My_Pipeline"
    assert "C5" in rules(compiled.spec, compiled.platform)


def test_c6_and_c7_a_file_based_example_gen(compiled):
    example_gen = CsvExampleGen(input_base="/data/{SPAN}")
    assert rules_of_nodes(example_gen) == {"C6"}
    assert rules_of_nodes(example_gen.with_platform_config(object())) == {"C6", "C7"}
    spec = compile_as_tfx_does(CsvExampleGen(input_base="/data/{SPAN}"))["pipelineSpec"]
    found = [f for f in find_problems(spec, NO_PLATFORM) if f.rule == "C6"]
    assert {"lifecycle hook" in f.problem for f in found} == {True, False}
    assert any("{SPAN}" in finding.problem for finding in found)


def test_c8_a_default_that_tfx_drops():
    parameter = RuntimeParameter(name="text", ptype=str, default="kept?")
    spec = compile_as_tfx_does(Make(parameter))["pipelineSpec"]
    (finding,) = find_problems(spec, NO_PLATFORM)
    assert finding.rule == "C8" and "TFX drops the default" in finding.problem
    assert rules(spec, required=["text"]) == set()
    spec["root"]["inputDefinitions"]["parameters"]["text"]["defaultValue"] = "kept"
    assert rules(spec) == set()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("NUMBER_INTEGER", "3"),
        ("NUMBER_INTEGER", True),
        ("NUMBER_INTEGER", 1.5),
        ("STRING", 3),
        ("BOOLEAN", 1),
    ],
)
def test_c8_a_default_of_another_type(compiled, kind, value):
    parameter = compiled.spec["root"]["inputDefinitions"]["parameters"]["train_epochs"]
    parameter.update(parameterType=kind, defaultValue=value)
    assert "C8" in rules(compiled.spec, compiled.platform, required=["data_version"])


def test_c8_a_required_parameter_that_no_stage_uses(compiled):
    assert "C8" in rules(compiled.spec, compiled.platform, required=["data_version", "else"])


def test_c9_the_producer_that_tfx_writes_wrongly():
    make = Make()
    baseline = build_blessed_baseline("/models/loupe", candidate=make.outputs["model"])
    spec = compile_as_tfx_does(make, *baseline.nodes)["pipelineSpec"]
    (finding,) = find_problems(spec, NO_PLATFORM)
    assert finding.rule == "C9" and "'LastBlessedVersion_task'" in finding.problem


def test_c10_a_condition():
    make, other = Make(), Make().with_id("Other")
    with Cond(make.outputs["model"].future()[0].custom_property("ok") == 1):
        take = Take(other.outputs["model"])
    assert rules(compile_as_tfx_does(make, other, take)["pipelineSpec"]) == {"C10"}


def test_c11_an_exit_handler_beside_runtime_parameters():
    parameter = RuntimeParameter(name="text", ptype=str)
    job = compile_as_tfx_does(Make(parameter), exit_handler=Make().with_id("Exit"))
    (finding,) = find_problems(job["pipelineSpec"], NO_PLATFORM, required=["text"])
    assert finding.rule == "C11" and "'tfx-dag' does not have" in finding.problem


def test_c12_an_importer_of_a_local_folder():
    def importer(uri):
        node = Importer(source_uri=uri, artifact_type=standard_artifacts.Model)
        return compile_as_tfx_does(node.with_id("Import"))["pipelineSpec"]

    assert rules(importer("/models/pinned")) == {"C12"}
    assert rules(importer("s3://bucket/pinned")) == set()


def test_c13_the_infra_validator_of_tfx(compiled):
    make = Make()
    node = InfraValidator(
        model=make.outputs["model"], serving_spec=infra_validator_pb2.ServingSpec()
    )
    assert rules_of_nodes(make, node) == {"C13"}
    config = load_config("kubeflow")
    with pytest.raises(
        ConfigError, match=r"C13: node 'InfraValidator'.*components.infra_validator"
    ):
        compile_dag(Pipeline("test", "root", components=[make, node]), config)
    args = compiled.spec["deploymentSpec"]["executors"]["InfraValidator_executor"]["container"]
    args["args"][1] = "tfx.components.infra_validator.executor.Executor"
    assert "C13" in rules(compiled.spec, compiled.platform, required=["data_version"])


@pytest.mark.parametrize(
    "schema",
    [
        "type: object\n",
        "title: tfx.Nothing\ntype: object\n",
        "title: Model\ntype: object\n",
        "title: no_such_module.Photo\ntype: object\n",
        "title: schema.Photo\ntype: object\nproperties:\n  width:\n    type: integer\n",
    ],
)
def test_c14_types_that_the_entry_point_cannot_import(compiled, schema):
    outputs = compiled.spec["components"]["Trainer"]["outputDefinitions"]["artifacts"]
    outputs["model"]["artifactType"] = {"instanceSchema": schema}
    assert "C14" in rules(compiled.spec, compiled.platform, required=["data_version"])


class Photo(Artifact):
    TYPE_NAME = "photos.Photo"
    PROPERTIES = {"width": Property(type=PropertyType.INT)}  # noqa: RUF012


class ShootSpec(component_spec.ComponentSpec):
    PARAMETERS = {}  # noqa: RUF012
    INPUTS = {}  # noqa: RUF012
    OUTPUTS = {"photo": component_spec.ChannelParameter(type=Photo)}  # noqa: RUF012


class Shoot(BaseComponent):
    SPEC_CLASS = ShootSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PromoteExecutor)


def test_c14_what_tfx_itself_cannot_compile_is_told_as_ours():
    shoot = Shoot(ShootSpec(photo=Channel(type=Photo)))
    with pytest.raises(ConfigError, match="TFX cannot compile the pipeline for Kubeflow: KeyError"):
        compile_dag(Pipeline("test", "root", components=[shoot]), load_config("kubeflow"))


def test_c15_a_module_file(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("def run_fn(fn_args): ...\n")
    make = Make()
    trainer = Trainer(
        examples=Channel(type=standard_artifacts.Examples),
        module_file=str(module),
        train_args=trainer_pb2.TrainArgs(),
        eval_args=trainer_pb2.EvalArgs(),
    )
    assert rules_of_nodes(make, trainer) == {"C15"}


def test_c15_a_module_file_that_was_compiled(compiled):
    parameters = compiled.spec["components"]["Trainer"]["inputDefinitions"]["parameters"]
    parameters["module_path"] = {"parameterType": "STRING"}
    assert "C15" in rules(compiled.spec, compiled.platform, required=["data_version"])


def test_c16_no_command():
    spec = compile_as_tfx_does(Make(), default_commands=[])["pipelineSpec"]
    (finding,) = find_problems(spec, NO_PLATFORM)
    assert finding.rule == "C16" and "default_commands" in finding.fix


@pytest.mark.parametrize("image", ["loupe-pipeline", "loupe-pipeline:latest", "host:5000/loupe"])
def test_an_image_that_may_be_another_one_tomorrow(image):
    assert rules(compile_as_tfx_does(Make(), image=image)["pipelineSpec"]) == {"IMAGE"}


def test_an_unknown_field_of_the_spec(compiled):
    compiled.spec["root"]["dag"]["tasks"]["Trainer"]["retries"] = 3
    assert "SPEC" in rules(compiled.spec, compiled.platform, required=["data_version"])


def test_a_cached_promotion(compiled):
    tasks = compiled.spec["root"]["dag"]["tasks"]
    tasks["Promote"]["cachingOptions"] = {"enableCache": True}
    assert "CACHE" in rules(compiled.spec, compiled.platform, required=["data_version"])


def test_a_factor_that_argo_cannot_read(compiled):
    compiled.spec["root"]["dag"]["tasks"]["Trainer"]["retryPolicy"]["backoffFactor"] = 1.5
    assert "RETRY" in rules(compiled.spec, compiled.platform, required=["data_version"])


def test_vertex_names_for_gpus(compiled):
    executor = compiled.spec["deploymentSpec"]["executors"]["Trainer_executor"]["container"]
    executor["resources"]["accelerator"] = {"type": "NVIDIA_TESLA_T4", "count": "1"}
    assert "GPU" in rules(compiled.spec, compiled.platform, required=["data_version"])


@pytest.mark.parametrize(("num_classes", "findings"), [(1_000, set()), (6_000, {"SIZE"})])
def test_parameters_that_fit_into_no_argument_of_a_process(compiled, num_classes, findings):
    text = "".join(f'  value: "class number {number}"\n' for number in range(num_classes))
    parameters = compiled.spec["root"]["dag"]["tasks"]["SchemaGen"]["inputs"]["parameters"]
    parameters["curated_schema"] = {"runtimeValue": {"constant": text}}
    found = find_problems(compiled.spec, compiled.platform, required=["data_version"])
    assert {finding.rule for finding in found} == findings
    for finding in found:
        assert finding.where == "task 'SchemaGen'"
        assert finding.fix.startswith("Shorten curated_schema")


def test_arguments_with_a_remote_uri(compiled):
    executor = compiled.spec["deploymentSpec"]["executors"]["Trainer_executor"]["container"]
    executor["args"].append("{{$.inputs.artifacts['model'].uri}}")
    assert "M11" in rules(compiled.spec, compiled.platform, required=["data_version"])


def test_a_spec_too_large_for_a_kubernetes_object(compiled):
    parameters = compiled.spec["root"]["dag"]["tasks"]["SchemaGen"]["inputs"]["parameters"]
    parameters["curated_schema"]["runtimeValue"]["constant"] = "x" * (1 << 20)
    assert "SIZE" in rules(compiled.spec, compiled.platform, required=["data_version"])


SECRETS = {
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "access key": "AKIAIOSFODNN7EXAMPLE",
    "token": "ghp_" + "a1" * 20,
    "web token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlMTIz",
    "url": "postgresql://loupe:hunter2@db/loupe",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_secrets_anywhere_in_the_file_are_found_and_not_repeated(compiled, secret):
    container = compiled.spec["deploymentSpec"]["executors"]["Trainer_executor"]["container"]
    container["args"].append(f"--something={secret}")
    findings = find_problems(compiled.spec, compiled.platform, required=["data_version"])
    assert [finding.rule for finding in findings] == ["SECRET"]
    assert secret not in str(findings[0])
    assert "Trainer_executor" in findings[0].where


def test_a_variable_named_like_a_secret(compiled):
    container = compiled.spec["deploymentSpec"]["executors"]["Trainer_executor"]["container"]
    container["env"] = [{"name": "WANDB_API_KEY", "value": "0123"}]
    assert rules(compiled.spec, compiled.platform, required=["data_version"]) == {"SECRET"}


CONSTANT = {"runtimeValue": {"constant": "claim"}}
WRONG_PLATFORMS = {
    "unknown field": {"nodeSelektor": {"labels": {"a": "b"}}},
    "unknown inner field": {
        "pvcMount": [{"pvcNameParameter": CONSTANT, "mountPath": "/data", "readOnly": True}]
    },
    "wrong kind": {"tolerations": {"key": "nvidia.com/gpu"}},
    "number for text": {"nodeSelector": {"labels": {"gpus": 1}}},
    "boolean for number": {"activeDeadlineSeconds": True},
}


@pytest.mark.parametrize("fields", WRONG_PLATFORMS.values(), ids=WRONG_PLATFORMS)
def test_platform_fields_that_the_driver_refuses(compiled, fields):
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["Trainer_executor"] = fields
    assert rules(compiled.spec, compiled.platform, required=["data_version"]) == {"PLATFORM"}


def test_a_platform_executor_that_no_task_has(compiled):
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["Trainer"] = {}
    assert rules(compiled.spec, compiled.platform, required=["data_version"]) == {"PLATFORM"}


def test_a_second_document_that_is_no_platform(compiled):
    assert "PLATFORM" in rules(compiled.spec, {"platform": {}}, required=["data_version"])


@pytest.mark.parametrize(
    "mounts",
    [
        [("claim", "/a"), ("claim", "/b")],
        [("claim", "/a"), ("other", "/a")],
        [("claim.with.dots", "/a")],
    ],
)
def test_mounts_that_kubernetes_refuses(compiled, mounts):
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors["Trainer_executor"] = {
        "pvcMount": [
            {"mountPath": path, "pvcNameParameter": {"runtimeValue": {"constant": claim}}}
            for claim, path in mounts
        ]
    }
    assert rules(compiled.spec, compiled.platform, required=["data_version"]) == {"PVC"}


def test_a_claim_that_is_called_like_the_volume_of_the_shared_memory(compile_named):
    with pytest.raises(ConfigError, match="volume 'shared-memory' is mounted 2 times"):
        compile_named(
            "kubeflow",
            "kubeflow.stages.Trainer.shared_memory=1Gi",
            "kubeflow.stages.Trainer.volumes=[{claim: shared-memory, path: /scratch}]",
        )


def test_the_field_for_shared_memory_that_no_driver_reads(compiled):
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    memory = {"volumeName": "memory", "size": "1Gi"}
    executors["Trainer_executor"] = {"enabledSharedMemory": memory}
    (finding,) = find_problems(compiled.spec, compiled.platform, required=["data_version"])
    assert finding.rule == "SHM"
    assert "kubeflow.stages.Trainer.shared_memory" in finding.fix


def test_all_findings_are_told_at_once_with_their_fixes(compiled):
    compiled.spec["schemaVersion"] = "2.0.0"
    compiled.spec["pipelineInfo"]["name"] = "A_B"
    findings = find_problems(compiled.spec, compiled.platform, required=["data_version"])
    with pytest.raises(ConfigError, match=r"2 things .*C1: .*2\.1.*C5: .*lower case letters"):
        check_findings(findings)
