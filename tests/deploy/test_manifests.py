"""`deploy/kubernetes`: valid for Kubernetes, complete, and in agreement with what they start."""

import copy
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from configs.cluster import parse_cluster
from configs.types import InfraConfig
from configs.version import VERSION
from serving.gateway.settings import GatewaySettings
from serving.model_server.config import models_from_proto, read_config_file
from serving.model_server.flags import parse_flags

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
WAYS = {
    "cpu": ("overlays/cpu",),
    "gpu": ("overlays/gpu",),
    "kserve": ("overlays/kserve",),
    "pipeline": ("pipeline",),
    "training": ("training",),
    "bucket": ("base", "models-in-bucket"),
    "python server": ("overlays/cpu", "python-model-server"),
}
FLINK_WAYS = {"flink": ("../flink",), "flink run": ("../flink/run",)}
"""They take the claims of `pipeline`; the run takes those of the cluster, too."""
ALL_WAYS = WAYS | FLINK_WAYS
SERVING_WAYS = [name for name in WAYS if name not in {"pipeline", "training"}]
RELEASES = ("1.29", kubernetes_validate.latest_version())
KSERVE_FIELDS = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}
"""What KServe's predictor has beside the fields of a pod."""
GRACE_SECONDS = 5


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def named(documents, kind, name):
    (found,) = [d for d in of_kind(documents, kind) if d["metadata"]["name"] == name]
    return found


def pods(documents):
    """Labels and specification of each workload's pods."""
    for document in documents:
        if document["kind"] == "InferenceService":
            yield document["metadata"]["labels"], document["spec"]["predictor"]
        elif "template" in document.get("spec", {}):
            template = document["spec"]["template"]
            yield template["metadata"]["labels"], template["spec"]


def pod_of(documents, name):
    (found,) = [p for labels, p in pods(documents) if labels["app.kubernetes.io/name"] == name]
    return found


def as_kubernetes_knows_it(document):
    """KServe's resource as the Pod that it describes, which has a schema."""
    if document["kind"] != "InferenceService":
        return document
    assert document["apiVersion"] == "serving.kserve.io/v1beta1"
    assert set(document["spec"]) == {"predictor"}
    predictor = document["spec"]["predictor"]
    pod = {name: value for name, value in predictor.items() if name not in KSERVE_FIELDS}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": document["metadata"], "spec": pod}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("way", ALL_WAYS)
def test_kubernetes_knows_every_field(way, release, render):
    for document in render(*ALL_WAYS[way]):
        kubernetes_validate.validate(as_kubernetes_knows_it(document), release, strict=True)


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_knows_every_field_of_the_examples(release, examples):
    for document in examples:
        kubernetes_validate.validate(document, release, strict=True)


@pytest.mark.parametrize("release", RELEASES)
def test_a_misspelt_field_is_seen(release, render):
    document = copy.deepcopy(named(render("overlays/cpu"), "StatefulSet", "loupe-gateway"))
    document["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(document, release, strict=True)


def test_every_folder_is_rendered_by_these_tests():
    folders = {str(path.parent.relative_to(FOLDER)) for path in FOLDER.rglob("kustomization.yaml")}
    ways = {folder for folder, *_ in WAYS.values()}
    parts = {folder for folder in folders if folder.startswith(("base/", "components/"))}
    assert folders - parts == ways
    used = {component for _, *components in WAYS.values() for component in components}
    assert {folder.removeprefix("components/") for folder in parts if "components" in folder} == {
        *used,
        "models-on-disk",
    }


@pytest.mark.parametrize("way", [*SERVING_WAYS, "flink"])
def test_services_lead_to_ports_of_pods(way, render):
    documents = render(*ALL_WAYS[way])
    services = of_kind(documents, "Service")
    assert services
    for service in services:
        pod = pod_of(documents, service["spec"]["selector"]["app.kubernetes.io/name"])
        ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports
            if service["spec"].get("clusterIP") == "None":  # then nothing translates ports
                assert port["port"] == ports[port["targetPort"]]


@pytest.mark.parametrize("way", ALL_WAYS)
def test_what_is_named_is_there(way, render):
    documents = render(*ALL_WAYS[way])
    before = [*render(*WAYS["pipeline"]), *render("../flink")] if way in FLINK_WAYS else []
    there = {(d["kind"], d["metadata"]["name"]) for d in [*documents, *before]}
    for scaler in of_kind(documents, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in there
    selected = [*of_kind(documents, "PodDisruptionBudget"), *of_kind(documents, "NetworkPolicy")]
    for document in selected:
        selector = document["spec"].get("selector") or document["spec"]["podSelector"]
        wanted = selector["matchLabels"].items()
        assert any(wanted <= labels.items() for labels, _ in pods(documents)), document["metadata"]
    for _, pod in pods(documents):
        for volume in pod.get("volumes", []):
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in there


@pytest.mark.parametrize("way", SERVING_WAYS)
def test_the_gateway_takes_its_settings_and_may_reach_what_they_name(way, render, monkeypatch):
    documents = render(*WAYS[way])
    pod = pod_of(documents, "loupe-gateway")
    (container,) = pod["containers"]
    secrets = {}
    for variable in container["env"]:
        secret = variable.get("valueFrom", {}).get("secretKeyRef")
        if secret:
            secrets[secret["key"]] = secret["name"]
        value = variable.get("value", f"postgresql+asyncpg://somebody@host/{secret}")
        monkeypatch.setenv(variable["name"], value)
    settings = GatewaySettings()
    assert secrets == {"database-url": "loupe-gateway", "key-secret": "loupe-gateway"}
    assert settings.throttle.store == "database"  # copies must share their buckets
    assert pod["terminationGracePeriodSeconds"] > settings.drain_seconds + 2 * GRACE_SECONDS
    services = {d["metadata"]["name"] for d in of_kind(documents, "Service")}
    grpc_host, grpc_port = settings.model.grpc_address.removeprefix("dns:///").split(":")
    rest_host, rest_port = settings.model.rest_url.removeprefix("http://").split(":")
    assert {grpc_host, rest_host} <= services
    policy = named(documents, "NetworkPolicy", "loupe-gateway")
    allowed = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert allowed == {int(grpc_port), int(rest_port), 5432}
    (rules,) = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == "rules"]
    assert settings.rules_file is not None
    assert str(settings.rules_file.parent) == rules
    assert settings.rules_file.name in named(documents, "ConfigMap", "loupe-rules")["data"]


@pytest.mark.parametrize("way", SERVING_WAYS)
def test_the_model_server_takes_its_flags_and_finds_its_files(way, render, tmp_path):
    documents = render(*WAYS[way])
    pod = pod_of(documents, "loupe-model-server")
    (container,) = pod["containers"]
    parsed = parse_flags([*container["args"], "--port=8500", "--rest_api_port=8501"])
    assert not parsed.unknown
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": parsed.flags.port, "rest": parsed.flags.rest_api_port}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    (files,) = [v["configMap"]["name"] for v in pod["volumes"] if v["name"] == "config"]
    data = named(documents, "ConfigMap", files)["data"]
    given = [argument.partition("=")[2] for argument in container["args"] if "_file=" in argument]
    assert sorted(given) == sorted(f"{mounts['config']}/{name}" for name in data)
    if way == "bucket":
        assert 'base_path: "gs://' in data["models.config"]
        assert "models" not in mounts
        return
    (tmp_path / "models.config").write_text(data["models.config"])
    models = models_from_proto(read_config_file(str(tmp_path / "models.config")))
    assert [str(model.base_path) for model in models.values()] == [f"{mounts['models']}/loupe"]
    probe = container["readinessProbe"]["httpGet"]["path"]
    assert probe == ("/readyz" if way == "python server" else "/v1/models/loupe")
    assert list(models) == ["loupe"]


def test_both_ways_to_run_tensorflow_serving_are_the_same(render):
    plain, kserve = (
        pod_of(render(f"overlays/{way}"), "loupe-model-server")["containers"][0]
        for way in ("cpu", "kserve")
    )
    for field in ("image", "args", "resources", "securityContext", "lifecycle"):
        assert plain[field] == kserve[field]
    assert sorted(plain["volumeMounts"], key=str) == sorted(kserve["volumeMounts"], key=str)


def test_a_gpu_is_asked_for_and_tolerated(render):
    pod = pod_of(render("overlays/gpu"), "loupe-model-server")
    (container,) = pod["containers"]
    assert container["image"].endswith("-gpu")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert [toleration["key"] for toleration in pod["tolerations"]] == ["nvidia.com/gpu"]
    scaled = [
        d["metadata"]["name"] for d in of_kind(render("overlays/gpu"), "HorizontalPodAutoscaler")
    ]
    assert scaled == ["loupe-gateway"]


def test_workers_find_each_other_by_the_names_that_kubernetes_gives(render):
    documents = render("training")
    (job,) = of_kind(documents, "Job")
    (service,) = of_kind(documents, "Service")
    pod = job["spec"]["template"]["spec"]
    environment = pod["containers"][0]["env"]
    names = [variable["name"] for variable in environment]
    assert names.index("WORKER_INDEX") < names.index("TF_CONFIG")  # else it is not filled in
    index = environment[names.index("WORKER_INDEX")]["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    text = environment[names.index("TF_CONFIG")]["value"]
    count = job["spec"]["completions"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["parallelism"] == count > 1
    port = service["spec"]["ports"][0]["port"]
    assert pod["subdomain"] == service["metadata"]["name"]
    for worker in range(count):
        cluster = parse_cluster(text.replace("$(WORKER_INDEX)", str(worker)))
        assert cluster.index == worker
        assert list(cluster.workers) == [
            f"{job['metadata']['name']}-{each}.{pod['subdomain']}:{port}" for each in range(count)
        ]


def test_the_command_of_the_workers_is_a_module():
    text = (FOLDER / "training" / "workers.yaml").read_text()
    module = re.search(r"command: \[python, -m, ([\w.]+)\]", text)[1]
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize("way", WAYS)
def test_our_images_have_our_version(way, render):
    for _, pod in pods(render(*WAYS[way])):
        for container in pod["containers"]:
            name, _, tag = container["image"].partition(":")
            if name.startswith("loupe-"):
                assert tag == VERSION
                dockerfile = f"{name.removeprefix('loupe-')}.Dockerfile"
                assert (ROOT / "deploy" / "docker" / dockerfile).is_file()


def test_one_version_of_tensorflow_serving_is_named_everywhere(render):
    files = [
        ROOT / "deploy" / "docker" / "compose.yaml",
        ROOT / "docs" / "model_server.md",
    ]
    tags = {
        tag
        for file in files
        for tag in re.findall(r"tensorflow/serving:([\w.-]+)", file.read_text())
    }
    for way in SERVING_WAYS:
        for _, pod in pods(render(*WAYS[way])):
            tags |= {
                c["image"].partition(":")[2].removesuffix("-gpu")
                for c in pod["containers"]
                if c["image"].startswith("tensorflow/serving")
            }
    assert tags == {InfraConfig().image_tag}


def test_prometheus_is_told_a_port_and_a_path_that_serve_metrics(render):
    expected = {
        "loupe-gateway": ("8080", "/metrics"),
        "loupe-model-server": ("8501", "/monitoring/prometheus/metrics"),
    }
    found = {}
    for way in ("overlays/cpu", "overlays/kserve"):
        for document in of_kind(render(way), "StatefulSet", "Deployment", "InferenceService"):
            template = document["spec"].get("template", document)["metadata"]
            notes = template["annotations"]
            assert notes["prometheus.io/scrape"] == "true"
            found[template["labels"]["app.kubernetes.io/name"]] = (
                notes["prometheus.io/port"],
                notes["prometheus.io/path"],
            )
    assert found == expected
    monitoring = (ROOT / "deploy" / "tf_serving" / "monitoring.config").read_text()
    assert expected["loupe-model-server"][1] in monitoring


def test_configs_of_kustomize_are_yaml_of_one_document():
    for path in [*FOLDER.rglob("kustomization.yaml"), *ROOT.glob("deploy/*/kustomization.yaml")]:
        (document,) = yaml.safe_load_all(path.read_text())
        assert document["kind"] in {"Kustomization", "Component"}
