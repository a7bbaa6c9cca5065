"""`configs/kubeflow*.yaml` and `deploy/kubernetes` name the same volumes, images and accounts."""

from pathlib import Path, PurePosixPath

import pytest

from configs.load import CONFIG_FOLDER, load_config
from configs.version import VERSION
from pipeline.kubeflow.spec import DEFAULT_GPU_RESOURCE

ROOT = Path(__file__).resolve().parents[2]
RUNS = sorted(path.stem for path in CONFIG_FOLDER.glob("kubeflow*.yaml"))
TASK_GROUP = 10001


@pytest.fixture(params=RUNS)
def run(request):
    return load_config(request.param)


def names(documents, kind):
    return {d["metadata"]["name"] for d in documents if d["kind"] == kind}


def mounted(pod, claim):
    """Where the only container of a pod finds a claim."""
    (volume,) = [
        volume["name"]
        for volume in pod["volumes"]
        if volume.get("persistentVolumeClaim", {}).get("claimName") == claim
    ]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == volume]
    return mount["mountPath"]


def test_there_are_runs_for_cpu_and_gpu():
    assert {"kubeflow", "kubeflow-gpu"} <= set(RUNS)


def test_claims_and_account_of_a_run_are_made(run, render):
    documents = render("pipeline")
    claims = {run.kubeflow.data.claim, run.kubeflow.models.claim}
    assert claims == names(documents, "PersistentVolumeClaim")
    assert run.kubeflow.service_account in {"", *names(documents, "ServiceAccount")}


@pytest.mark.parametrize("way", ["cpu", "gpu", "kserve"])
def test_servers_look_where_the_run_pushes(way, run, render):
    (pod,) = [
        document["spec"].get("predictor") or document["spec"]["template"]["spec"]
        for document in render(f"overlays/{way}")
        if document["kind"] in {"Deployment", "InferenceService"}
    ]
    folder = PurePosixPath(run.push.folder).relative_to(run.kubeflow.models.path)
    seen = PurePosixPath(mounted(pod, run.kubeflow.models.claim)) / folder
    (config,) = [
        document["data"]["models.config"]
        for document in render(f"overlays/{way}")
        if "models.config" in document.get("data", {})
    ]
    assert f'base_path: "{seen}"' in config
    assert f'name: "{run.model_name}"' in config


def test_the_volumes_are_prepared_for_the_user_of_the_tasks(run, render):
    (job,) = [document for document in render("pipeline") if document["kind"] == "Job"]
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert mounted(pod, run.kubeflow.data.claim) == run.kubeflow.data.path
    assert mounted(pod, run.kubeflow.models.claim) == run.kubeflow.models.path
    assert f"mkdir -p {run.push.folder} " in container["command"][-1]
    assert pod["securityContext"]["fsGroup"] == TASK_GROUP
    dockerfile = (ROOT / "deploy" / "docker" / "pipeline.Dockerfile").read_text()
    assert f"--gid {TASK_GROUP} loupe" in dockerfile


def test_images_of_a_run_are_those_that_are_built(run):
    images = {run.kubeflow.image, run.kubeflow.every_stage.image}
    images |= {stage.image for stage in run.kubeflow.stages.values()}
    built = {
        f"loupe-{path.stem}:{VERSION}" for path in (ROOT / "deploy" / "docker").glob("*.Dockerfile")
    }
    assert images - {""} <= built
    for stage in run.kubeflow.stages.values():
        if stage.gpus:
            assert stage.image.startswith("loupe-pipeline-gpu:")


def test_gpus_have_the_name_and_the_taint_that_the_manifests_use(run, render):
    texts = [str(render(folder)) for folder in ("overlays/gpu", "training")]
    for stage in run.kubeflow.stages.values():
        if stage.gpus:
            resource = stage.gpu_resource or DEFAULT_GPU_RESOURCE
            assert [toleration.key for toleration in stage.tolerations] == [resource]
            assert all(f"'{resource}': '1'" in text for text in texts)
