import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp.components import load_component_from_file
from kfp.pipeline_spec import pipeline_spec_pb2

from configs.errors import ConfigError
from configs.kubeflow import STAGES
from configs.load import load_config
from pipeline.kubeflow.compile import CompiledPipeline, compile_pipeline, write_compiled
from pipeline.kubeflow.lint_platform import FIELDS
from tests.kubeflow.go_yaml import load_documents

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = Path(__file__).with_name("golden")
NAMED_RUNS = ("kubeflow", "kubeflow-gpu", "kubeflow-smoke")


def tasks(compiled):
    return compiled.spec["root"]["dag"]["tasks"]


def container(compiled, stage):
    return compiled.spec["deploymentSpec"]["executors"][f"{stage}_executor"]["container"]


def on_kubernetes(compiled, stage):
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return executors.get(f"{stage}_executor", {})


def constants(compiled, stage):
    parameters = tasks(compiled)[stage]["inputs"]["parameters"]
    return {
        name: source["runtimeValue"]["constant"]
        for name, source in parameters.items()
        if "runtimeValue" in source
    }


def summarize(compiled):
    """What a person would check in a compiled pipeline, short enough to read."""
    lines = ["parameters"]
    for name, each in sorted(compiled.spec["root"]["inputDefinitions"]["parameters"].items()):
        default = f" = {each['defaultValue']!r}" if "defaultValue" in each else ", required"
        lines.append(f"  {name}: {each['parameterType']}{default}")
    for name, task in sorted(tasks(compiled).items()):
        inputs = task["inputs"]
        sources = [
            f"{key} from {source['taskOutputArtifact']['producerTask']}"
            for key, source in inputs.get("artifacts", {}).items()
        ]
        sources += [
            f"{key} from parameter {source['componentInputParameter']}"
            for key, source in inputs["parameters"].items()
            if "componentInputParameter" in source
        ]
        sources += [
            f"{key} from value of {source['taskOutputParameter']['producerTask']}"
            for key, source in inputs["parameters"].items()
            if "taskOutputParameter" in source
        ]
        resources = container(compiled, name)["resources"]
        gpus = resources.get("accelerator", {})
        volumes = [
            f"{mount['pvcNameParameter']['runtimeValue']['constant']} at {mount['mountPath']}"
            for mount in on_kubernetes(compiled, name).get("pvcMount", [])
        ]
        retry = task["retryPolicy"]
        lines += [
            name,
            *(f"  {source}" for source in sorted(sources)),
            f"  image {container(compiled, name)['image']}",
            f"  cpu {resources['resourceCpuLimit']}, memory {resources['resourceMemoryLimit']}"
            + (f", {gpus['resourceCount']} {gpus['resourceType']}" if gpus else ""),
            f"  retries {retry['maxRetryCount']}, first after {retry['backoffDuration']}",
            f"  cached {'yes' if 'cachingOptions' in task else 'no'}",
            *(f"  mounts {volume}" for volume in volumes),
        ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", NAMED_RUNS)
def test_the_pipeline_is_the_one_that_was_reviewed(name, compile_named):
    golden = GOLDEN / f"{name}.txt"
    summary = summarize(compile_named(name))
    assert summary == golden.read_text(), f"if this is meant, write it to {golden}:\n{summary}"


def test_two_processes_write_the_same_bytes(tmp_path, compiled):
    path = tmp_path / "loupe.yaml"
    write_compiled(compiled, path)
    again = tmp_path / "[bold]" / "again.yml"  # brackets are markup to who prints the path
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "kubeflow", "compile", "-o", again],
        cwd=ROOT,
        env={"PYTHONHASHSEED": "77", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{again} holds 13 stages" in " ".join(done.stdout.split())
    assert again.read_bytes() == path.read_bytes()
    assert {entry.name for entry in tmp_path.rglob("*.y*ml*")} == {"again.yml", "loupe.yaml"}


@pytest.mark.parametrize(
    "text", ["1234e56", "1234567890123e12", "-1e5", ".5e3", "0o17", "2026-1-2", "2026-11-21", "yes"]
)
def test_texts_that_look_like_something_else_to_go_stay_texts(text):
    compiled = CompiledPipeline({text: [text], "number": 1e-7}, {"label": text})
    assert load_documents(compiled.to_yaml()) == [compiled.spec, compiled.platform]


def test_the_reader_of_these_tests_sees_numbers_where_go_does():
    assert load_documents("[1234e56, 0o17]") == [[1234e56, 15]]


def test_a_file_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path, compiled):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to '.*/file/a.yaml': .*Choose"):
        write_compiled(compiled, tmp_path / "file" / "a.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be written to '.*/folder.yaml': Is a directory"):
        write_compiled(compiled, tmp_path / "folder.yaml")
    assert {entry.name for entry in tmp_path.iterdir()} == {"file", "folder.yaml"}


def test_nothing_in_the_file_names_this_machine(compiled):
    text = compiled.to_yaml()
    assert str(ROOT) not in text
    assert str(Path.home()) not in text


def test_the_sdk_reads_both_documents(tmp_path, compiled):
    path = tmp_path / "loupe.yaml"
    write_compiled(compiled, path)
    component = load_component_from_file(str(path))
    assert set(component.component_spec.inputs) == {
        "data_root",
        "data_version",
        "train_epochs",
        "train_max_steps",
    }
    spec, platform = yaml.safe_load_all(path.read_text())
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    assert component.platform_spec.platforms["kubernetes"].deployment_spec.executors.keys() == {
        f"{stage}_executor"
        for stage in ("ExampleGen", "LastBlessedModel", "LastBlessedVersion", "Promote", "Pusher")
    }


def test_every_stage_that_settings_may_name_exists(compiled):
    assert set(tasks(compiled)) == set(STAGES)


def test_every_container_runs_our_entry_point(compiled):
    for stage in tasks(compiled):
        assert container(compiled, stage)["command"] == [
            "python",
            "-m",
            "pipeline.kubeflow.entrypoint",
        ]


def test_data_is_described_by_parameters_and_looked_at_by_no_one(compiled):
    parameters = tasks(compiled)["ExampleGen"]["inputs"]["parameters"]
    assert parameters["data_version"] == {"componentInputParameter": "data_version"}
    assert "spans" not in parameters
    assert "spans" not in tasks(compiled)["ExampleValidator"]["inputs"]["parameters"]


def test_a_refusal_ends_the_run_because_the_cache_would_repeat_it(compiled):
    assert constants(compiled, "InfraValidator")["stop_when_refused"] == 1


def test_settings_of_every_stage_reach_every_stage_and_those_of_one_win(compile_named):
    compiled = compile_named(
        "kubeflow",
        "kubeflow.every_stage.environment={TF_CPP_MIN_LOG_LEVEL: '2', ZONE: a}",
        "kubeflow.every_stage.node_selector={pool: cpu}",
        "kubeflow.every_stage.max_retries=5",
        "kubeflow.every_stage.labels={team: vision}",
        "kubeflow.stages.Trainer.environment={ZONE: b}",
        "kubeflow.stages.Trainer.node_selector={gpu: t4}",
        "kubeflow.stages.Trainer.max_retries=0",
        "kubeflow.stages.Trainer.gpus=2",
        "kubeflow.stages.Trainer.shared_memory=2Gi",
        "kubeflow.stages.Trainer.timeout_seconds=7200",
        "kubeflow.stages.Trainer.tolerations=[{key: gpu, operator: Equal, value: t4}]",
        "kubeflow.stages.Trainer.secrets=[{variable: WANDB_API_KEY, secret: wandb, key: key}]",
        "kubeflow.stages.Trainer.image_pull_secrets=[registry]",
        "kubeflow.stages.Trainer.volumes=[{claim: scratch, path: /scratch}]",
        "kubeflow.stages.Trainer.cache=off",
    )
    evaluator, trainer = on_kubernetes(compiled, "Evaluator"), on_kubernetes(compiled, "Trainer")
    assert evaluator == {
        "nodeSelector": {"labels": {"pool": "cpu"}},
        "podMetadata": {"labels": {"team": "vision"}},
    }

    def constant(value):
        return {"runtimeValue": {"constant": value}}

    assert trainer == {
        "nodeSelector": {"labels": {"pool": "cpu", "gpu": "t4"}},
        "podMetadata": {"labels": {"team": "vision"}},
        "tolerations": [{"key": "gpu", "operator": "Equal", "value": "t4"}],
        "secretAsEnv": [
            {
                "secretNameParameter": constant("wandb"),
                "keyToEnv": [{"secretKey": "key", "envVar": "WANDB_API_KEY"}],
            }
        ],
        "imagePullSecret": [{"secretNameParameter": constant("registry")}],
        "pvcMount": [{"mountPath": "/scratch", "pvcNameParameter": constant("scratch")}],
        "emptyDirMounts": [
            {
                "volumeName": "shared-memory",
                "mountPath": "/dev/shm",
                "medium": "Memory",
                "sizeLimit": "2Gi",
            }
        ],
        "activeDeadlineSeconds": "7200",
    }
    assert container(compiled, "Evaluator")["env"] == [
        {"name": "TF_CPP_MIN_LOG_LEVEL", "value": "2"},
        {"name": "ZONE", "value": "a"},
    ]
    assert container(compiled, "Trainer")["env"][1] == {"name": "ZONE", "value": "b"}
    assert container(compiled, "Trainer")["resources"]["accelerator"] == {
        "resourceType": "nvidia.com/gpu",
        "resourceCount": "2",
    }
    assert tasks(compiled)["Evaluator"]["retryPolicy"]["maxRetryCount"] == 5
    assert tasks(compiled)["Trainer"]["retryPolicy"]["maxRetryCount"] == 0
    assert "cachingOptions" not in tasks(compiled)["Trainer"]
    assert "cachingOptions" in tasks(compiled)["Evaluator"]


@pytest.mark.parametrize(
    ("settings", "cached"),
    [
        (["enable_cache=false"], set()),
        (["enable_cache=false", "kubeflow.stages.ExampleGen.cache=on"], {"ExampleGen"}),
        (
            ["kubeflow.every_stage.cache=on"],
            set(STAGES) - {"LastBlessedVersion", "Promote"},
        ),
    ],
)
def test_caching_is_chosen_per_stage(settings, cached, compile_named):
    compiled = compile_named("kubeflow", *settings)
    assert {name for name, task in tasks(compiled).items() if "cachingOptions" in task} == cached


def test_a_curated_schema_and_settings_travel_in_the_file(tmp_path, compile_named):
    schema = tmp_path / "curated.pbtxt"
    schema.write_text(
        'feature { name: "label" type: BYTES domain: "label" }\n'
        'string_domain { name: "label" value: "cat" value: "dog" }\n'
    )
    compiled = compile_named("kubeflow", f"validation.schema_file={schema}")
    assert constants(compiled, "SchemaGen")["curated_schema"] == schema.read_text()


def test_models_may_be_pushed_to_google_cloud_storage(compile_named):
    compiled = compile_named(
        "kubeflow",
        "push.folder=gs://bucket/loupe",
        "kubeflow.models={claim: '', path: ''}",
        "kubeflow.data={claim: '', path: ''}",
        "kubeflow.data_root=gs://bucket/photos",
    )
    for stage in ("LastBlessedVersion", "LastBlessedModel", "Pusher", "Promote"):
        assert constants(compiled, stage)["folder"] == "gs://bucket/loupe"
    assert compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"] == {}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("push.folder=/elsewhere/loupe", "below kubeflow.models.path .'/models'.*is mounted"),
        ("kubeflow.models={claim: '', path: ''}", "push.folder is '/models/loupe', expected a gs"),
        ("kubeflow.data_root=/photos", "data_root is '/photos', .* below kubeflow.data.path"),
        ("kubeflow.stages.Trainer.memory_request=9Gi", "REQUEST: .* asks for memory 9Gi and may"),
        ("infra.platform=docker", "infra.platform is 'docker', expected 'process' on Kubeflow"),
        ("pipeline_name=My_Loupe", "C5: pipeline_name: 'My_Loupe' is no name.*Use lower case"),
        ("beam.runner=FlinkRunner", "M9: .*--runner=FlinkRunner, whose workers cannot see"),
    ],
)
def test_settings_that_cannot_work_on_kubeflow_are_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        compile_pipeline(load_config("kubeflow", [setting]))


@pytest.mark.parametrize(("cpu", "workers"), [("4", 4), ("500m", 1), ("2.5", 2), ("''", 1)])
def test_workers_follow_the_pod_and_not_the_machine_that_compiles(cpu, workers, compile_named):
    compiled = compile_named(
        "kubeflow",
        "beam.running_mode=multi_processing",
        f"kubeflow.stages.ExampleGen.cpu={cpu}",
        f"kubeflow.every_stage.cpu={cpu}",
    )
    assert f"--direct_num_workers={workers}" in container(compiled, "ExampleGen")["args"]


def test_data_may_lie_in_the_image(compile_named):
    compiled = compile_named(
        "kubeflow", "kubeflow.data={claim: '', path: ''}", "kubeflow.data_root=/opt/photos"
    )
    assert "pvcMount" not in on_kubernetes(compiled, "ExampleGen")


def test_a_search_on_this_machine_cannot_be_imported_there(tmp_path):
    search = tmp_path / "best_hyperparameters.txt"
    search.write_text("{}")
    with pytest.raises(ConfigError, match="C12: executor 'Tuner_executor': it imports"):
        compile_pipeline(load_config("kubeflow", [f"tune.import_file={search}"]))


@pytest.mark.parametrize("name", NAMED_RUNS)
def test_the_platform_document_is_what_kubernetes_executors_read(name, compile_named):
    messages = pytest.importorskip(
        "kfp.kubernetes.kubernetes_executor_config_pb2",
        reason="kfp-kubernetes is not installed: run `make setup`",
        exc_type=ImportError,
    )
    compiled = compile_named(
        name,
        "kubeflow.every_stage.secrets=[{variable: DATABASE_PASSWORD, secret: db, key: password}]",
        "kubeflow.every_stage.tolerations=[{key: gpu, effect: NoSchedule}]",
        "kubeflow.every_stage.labels={team: vision}",
        "kubeflow.every_stage.image_pull_secrets=[registry]",
        "kubeflow.every_stage.timeout_seconds=60",
        "kubeflow.every_stage.shared_memory=1Gi",
        "kubeflow.every_stage.node_selector={pool: cpu}",
    )
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for fields in executors.values():
        config = json_format.ParseDict(fields, messages.KubernetesExecutorConfig())
        assert config.secret_as_env[0].key_to_env[0].env_var == "DATABASE_PASSWORD"
        assert config.active_deadline_seconds == 60
        assert config.empty_dir_mounts[0].size_limit in {"1Gi", "4Gi"}
    known = {field.json_name for field in messages.KubernetesExecutorConfig.DESCRIPTOR.fields}
    assert set(FIELDS) <= known
