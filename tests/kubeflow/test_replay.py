"""The replay is as strict as the cluster it stands for, seen on small pipelines of scripts."""

import json

import pytest
import yaml
from replay import KUBEFLOW_2_5, KUBEFLOW_2_17, Replay, upload
from replay_checks import RejectedError

MODEL = {"artifactType": {"instanceSchema": "title: tfx.Model\ntype: object\n"}}
WRITE = """
import json, os, pathlib, sys
sent = json.loads(sys.argv[1])
root = os.environ["LOUPE_KUBEFLOW_LOCAL_ROOT"]
(artifact,) = sent["outputs"]["artifacts"]["model"]["artifacts"]
folder = pathlib.Path(artifact["uri"].replace("minio://", f"{root}/minio/"))
(folder / "empty").mkdir(parents=True)
(folder / "weights").write_text("1")
answer = {"uri": artifact["uri"], "metadata": {"blessed": True, "names": ["a"], "facts": {"b": 2}}}
output = {"artifacts": {"model": {"artifacts": [answer]}}, "parameterValues": {"version": "7"}}
output_file = pathlib.Path(sent["outputs"]["outputFile"])
output_file.parent.mkdir(parents=True, exist_ok=True)
"""
ANSWER = "output_file.write_text(json.dumps(output))\n"
READ = "print(sys.argv[1]); print(*sorted(str(p) for p in pathlib.Path(root).rglob('*')), sep='|')"
READER = "import os, pathlib, sys; root = os.environ['LOUPE_KUBEFLOW_LOCAL_ROOT']\n" + READ


def task(name, needs=(), **fields):
    return {"taskInfo": {"name": name}, "componentRef": {"name": name}, **fields}


def documents(write=WRITE + ANSWER, read=READER):
    """Two tasks: the first makes a model and a parameter, which the second takes."""

    def container(program):
        return {
            "container": {"image": "i:1", "command": ["python"], "args": ["-c", program, "{{$}}"]}
        }

    spec = {
        "schemaVersion": "2.1.0",
        "pipelineInfo": {"name": "small"},
        "deploymentSpec": {
            "executors": {"Write_executor": container(write), "Read_executor": container(read)}
        },
        "components": {
            "Write": {
                "executorLabel": "Write_executor",
                "inputDefinitions": {"parameters": {"text": {"parameterType": "STRING"}}},
                "outputDefinitions": {
                    "artifacts": {"model": MODEL},
                    "parameters": {"version": {"parameterType": "STRING"}},
                },
            },
            "Read": {
                "executorLabel": "Read_executor",
                "inputDefinitions": {
                    "artifacts": {"model": MODEL},
                    "parameters": {"version": {"parameterType": "STRING"}},
                },
            },
        },
        "root": {
            "inputDefinitions": {
                "parameters": {
                    "text": {"parameterType": "STRING"},
                    "steps": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3},
                }
            },
            "dag": {
                "tasks": {
                    "Write": task(
                        "Write",
                        inputs={"parameters": {"text": {"componentInputParameter": "steps"}}},
                        cachingOptions={"enableCache": True},
                    ),
                    "Read": task(
                        "Read",
                        inputs={
                            "artifacts": {
                                "model": {
                                    "taskOutputArtifact": {
                                        "producerTask": "Write",
                                        "outputArtifactKey": "model",
                                    }
                                }
                            },
                            "parameters": {
                                "version": {
                                    "taskOutputParameter": {
                                        "producerTask": "Write",
                                        "outputParameterKey": "version",
                                    }
                                }
                            },
                        },
                        dependentTasks=["Write"],
                    ),
                }
            },
        },
    }
    return [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}]


@pytest.fixture
def write_file(tmp_path):
    """Function of documents to a compiled file."""

    def write(both):
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump_all(both))
        return path

    return write


@pytest.fixture
def replay(tmp_path):
    """A cluster."""
    return Replay(tmp_path / "cluster")


def run(replay, write_file, both=None, **options):
    return replay.run(write_file(both or documents()), {"text": "t"}, **options)


def what_was_read(done):
    sent, files = done.tasks["Read"].log.splitlines()
    return json.loads(sent), files.split("|")


def test_a_task_gets_what_the_driver_of_kubeflow_would_send(replay, write_file):
    done = run(replay, write_file)
    assert done.state == "SUCCEEDED", done.tasks
    sent, files = what_was_read(done)
    (model,) = sent["inputs"]["artifacts"]["model"]["artifacts"]
    assert model["type"] == {"instanceSchema": ""}
    assert model["name"].isdigit()
    metadata = model["metadata"]
    assert metadata["blessed"] == 1.0
    assert metadata["names"] == {"list": ["a"]}
    assert metadata["facts"] == {"struct": {"b": 2.0}}
    assert {"display_name", "store_session_info"} <= set(metadata)
    assert sent["inputs"]["parameterValues"] == {"version": "7"}
    assert sent["outputs"]["artifacts"]["executor-logs"]["artifacts"][0]["type"] == {
        "schemaTitle": "system.Artifact"
    }
    assert [f for f in files if "/Write/" in f and f.endswith("weights")]
    assert not [f for f in files if f.endswith("empty")], "object stores have no folders"


def test_versions_differ_in_where_the_answer_goes_and_in_names(replay, write_file):
    old, _ = what_was_read(run(replay, write_file, version=KUBEFLOW_2_5))
    new, _ = what_was_read(run(replay, write_file, version=KUBEFLOW_2_17))
    assert old["outputs"]["outputFile"].endswith("/tmp/kfp_outputs/output_metadata.json")
    assert "/minio/mlpipeline/" in new["outputs"]["outputFile"]
    logs = [sent["outputs"]["artifacts"]["executor-logs"]["artifacts"][0] for sent in (old, new)]
    assert "name" not in logs[0]
    assert logs[1]["name"] == "executor-logs"
    assert logs[1]["uri"].endswith("executor-logs-0")


def test_numbers_become_text_where_text_is_wanted(replay, write_file):
    log = "print(json.dumps(sent['inputs']['parameterValues']))\n"
    done = run(replay, write_file, documents(write=WRITE + ANSWER + log))
    assert done.tasks["Write"].log.strip() == '{"text": "3"}'


def test_only_what_is_to_be_cached_is_and_by_what_goes_in(replay, write_file):
    assert run(replay, write_file).cached == set()
    assert run(replay, write_file).cached == {"Write"}
    both = documents()
    both[0]["root"]["inputDefinitions"]["parameters"]["steps"]["defaultValue"] = 4
    assert run(replay, write_file, both).cached == set()


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (WRITE + "answer['metadata']['x'] = None\n" + ANSWER, "unsupported value type null_value"),
        (WRITE + "answer['uri'] = str(folder)\n" + ANSWER, "unsupported storage scheme"),
        (WRITE + "output['surprise'] = 1\n" + ANSWER, "failed to unmarshall ExecutorOutput"),
        (WRITE + "(folder / 'link').symlink_to(folder / 'empty')\n" + ANSWER, "is a directory"),
        (WRITE, "failed to read output parameter name='version'"),
        ("raise SystemExit(4)", "exit status 4"),
    ],
)
def test_what_the_launcher_refuses_fails_the_task(replay, write_file, program, error):
    done = run(replay, write_file, documents(write=program))
    assert set(done.tasks) == {"Write"}
    assert done.state == "FAILED"
    assert error in done.tasks["Write"].log


def test_a_task_sees_a_volume_only_where_it_is_mounted(tmp_path, write_file):
    volume, mount = tmp_path / "volume", tmp_path / "pod" / "models"
    volume.mkdir()
    look = f"\nprint(pathlib.Path({str(mount)!r}).exists())"
    both = documents(write=WRITE + ANSWER + look, read=READER + look)
    both[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["Write_executor"] = {
        "pvcMount": [
            {
                "mountPath": str(mount),
                "pvcNameParameter": {"runtimeValue": {"constant": "models"}},
            }
        ]
    }
    done = run(Replay(tmp_path / "cluster", volumes={"models": volume}), write_file, both)
    assert done.tasks["Write"].log.splitlines()[-1] == "True"
    assert done.tasks["Read"].log.splitlines()[-1] == "False"
    absent = run(Replay(tmp_path / "other"), write_file, both)
    assert "persistentvolumeclaim ['models'] not found" in absent.tasks["Write"].log


def test_a_task_has_the_variables_of_its_pod_and_no_others(tmp_path, write_file, monkeypatch):
    monkeypatch.setenv("LEFT_BEHIND", "here")
    both = documents(write=WRITE + ANSWER + "\nprint(json.dumps(dict(os.environ)))")
    executors = both[0]["deploymentSpec"]["executors"]
    executors["Write_executor"]["container"]["env"] = [{"name": "PLAIN", "value": "1"}]
    both[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["Write_executor"] = {
        "secretAsEnv": [
            {
                "secretNameParameter": {"runtimeValue": {"constant": "registry"}},
                "keyToEnv": [{"secretKey": "token", "envVar": "TOKEN"}],
            }
        ]
    }
    secrets = {"registry": {"token": "t"}}
    done = run(Replay(tmp_path / "cluster", secrets=secrets), write_file, both)
    variables = json.loads(done.tasks["Write"].log)
    assert (variables["PLAIN"], variables["TOKEN"]) == ("1", "t")
    assert "LEFT_BEHIND" not in variables
    absent = run(Replay(tmp_path / "other"), write_file, both)
    assert "CreateContainerConfigError: secret 'registry'" in absent.tasks["Write"].log


def without_version(both):
    both[0]["schemaVersion"] = "2.0.0"


def with_unknown_field(both):
    both[0]["root"]["dag"]["tasks"]["Read"]["surprise"] = 1


def with_bad_name(both):
    tasks = both[0]["root"]["dag"]["tasks"]
    tasks["write_it"] = tasks["Write"]


def with_unknown_producer(both):
    both[0]["root"]["dag"]["tasks"]["Read"]["dependentTasks"] = ["Write_task"]


def with_cycle(both):
    both[0]["root"]["dag"]["tasks"]["Write"]["dependentTasks"] = ["Read"]


def without_command(both):
    del both[0]["deploymentSpec"]["executors"]["Read_executor"]["container"]["command"]


def with_condition(both):
    both[0]["root"]["dag"]["tasks"]["Read"]["triggerPolicy"] = {"condition": "1 == 1"}


def with_platform_for_nobody(both):
    both[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["Gone"] = {"pvcMount": []}


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (without_version, "only supports schema version 2.1.0"),
        (with_unknown_field, 'no field named "surprise"'),
        (with_bad_name, "not a name for Argo"),
        (with_unknown_producer, r"unknown producer task \['Write_task'\]"),
        (with_cycle, "cycle among"),
        (without_command, "no command"),
        (with_condition, "conditions are not replayed"),
        (with_platform_for_nobody, "no executor is called"),
    ],
)
def test_what_the_server_or_argo_refuses_is_not_run(write_file, spoil, error):
    both = documents()
    spoil(both)
    with pytest.raises(RejectedError, match=error):
        upload(write_file(both))


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({}, "parameter text is not optional"),
        ({"text": "t", "more": 1}, r"not required by pipeline: \['more'\]"),
        ({"text": 3}, "text requires type STRING"),
        ({"text": "t", "steps": "3"}, "steps requires type NUMBER_INTEGER"),
    ],
)
def test_parameters_are_checked_as_the_server_does(replay, write_file, parameters, error):
    with pytest.raises(RejectedError, match=error):
        replay.run(write_file(documents()), parameters)
