"""What every workload of `deploy/kubernetes` obeys, and that a breach of each rule is seen."""

import copy

import pytest

RENDERED = {
    "cpu": ("overlays/cpu",),
    "gpu": ("overlays/gpu",),
    "kserve": ("overlays/kserve",),
    "pipeline": ("pipeline",),
    "training": ("training",),
    "flink": ("../flink",),
    "flink run": ("../flink/run",),
    "bucket": ("base", "models-in-bucket"),
    "python server": ("overlays/cpu", "python-model-server"),
    "examples": (),
}
NEEDS_TOKEN = {"loupe-pipeline"}
"""Service accounts that ask the Kubernetes API."""


@pytest.fixture(params=RENDERED)
def documents(request, render):
    """The resources of one way to deploy."""
    rendered = RENDERED[request.param]
    return render(*rendered) if rendered else request.getfixturevalue("examples")


def workloads(documents):
    """Kind and name, labels and specification of the pods of each workload."""
    for document in documents:
        title = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "InferenceService":
            # KServe gives its pods the labels of the resource.
            yield title, document["metadata"]["labels"], document["spec"]["predictor"]
        elif document["kind"] == "Pod":
            yield title, document["metadata"]["labels"], document["spec"]
        else:
            template = job_template(document).get("template")
            if template is not None:
                yield title, template["metadata"]["labels"], template["spec"]


def job_template(document):
    """What starts the pods; a CronJob has it one level deeper."""
    specification = document.get("spec", {})
    return specification.get("jobTemplate", {}).get("spec", specification)


def containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


def selects(selector, labels):
    return selector["matchLabels"].items() <= labels.items()


def no_root(title, labels, pod, documents):
    """Neither root nor a way to become it."""
    context = pod.get("securityContext", {})
    yield context.get("runAsNonRoot") is True
    yield context.get("runAsUser", 0) > 0
    yield context.get("seccompProfile") == {"type": "RuntimeDefault"}
    for container in containers(pod):
        own = container.get("securityContext", {})
        yield own.get("allowPrivilegeEscalation") is False
        yield own.get("capabilities") == {"drop": ["ALL"]}
        yield not own.get("privileged")
        yield own.get("runAsUser", 1) > 0


def no_host(title, labels, pod, documents):
    """Nothing of the node."""
    yield not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    yield not any("hostPath" in volume for volume in pod.get("volumes", []))
    yield not any("hostPort" in port for c in containers(pod) for port in c.get("ports", []))


def read_only_root(title, labels, pod, documents):
    """What is written is written to volumes."""
    for container in containers(pod):
        yield container["securityContext"].get("readOnlyRootFilesystem") is True


def resources(title, labels, pod, documents):
    """What is asked for and the most that is given, never more of the first."""
    for container in containers(pod):
        given = container.get("resources", {})
        for name in ("cpu", "memory"):
            yield name in given.get("requests", {})
            yield name in given.get("limits", {})


def probes(title, labels, pod, documents):
    """Servers are watched; a Job's process tells by its end, and a lone pod has one."""
    if title.startswith("Pod "):
        yield "activeDeadlineSeconds" in pod
        return
    if title.startswith(("Job ", "CronJob ")):
        yield "backoffLimit" in job_of(title, documents)
        yield "activeDeadlineSeconds" in job_of(title, documents)
        return
    for container in pod["containers"]:
        ports = {port["name"] for port in container["ports"]} | {
            port["containerPort"] for port in container["ports"]
        }
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(name, {})
            asked = [probe[kind] for kind in ("httpGet", "tcpSocket") if probe.get(kind)]
            yield len(asked) == 1 and asked[0]["port"] in ports


def job_of(title, documents):
    (job,) = (d for d in documents if f"{d['kind']} {d['metadata']['name']}" == title)
    return job_template(job)


def pinned_images(title, labels, pod, documents):
    """A version with a number, or a digest."""
    for container in containers(pod):
        name, _, tag = container["image"].rpartition(":")
        yield bool(name) and "latest" not in tag and any(letter.isdigit() for letter in tag)


def network_policy(title, labels, pod, documents):
    """Some policy shuts the pod's doors, in and out."""
    policies = [d["spec"] for d in documents if d["kind"] == "NetworkPolicy"]
    shut = {
        direction
        for policy in policies
        if selects(policy["podSelector"], labels)
        for direction in policy["policyTypes"]
    }
    yield shut == {"Ingress", "Egress"}


def no_token(title, labels, pod, documents):
    """Who does not ask the Kubernetes API gets no key to it."""
    if pod.get("serviceAccountName") not in NEEDS_TOKEN:
        yield pod.get("automountServiceAccountToken") is False
    accounts = {d["metadata"]["name"] for d in documents if d["kind"] == "ServiceAccount"}
    yield pod.get("serviceAccountName") in {None, *accounts}
    yield pod.get("enableServiceLinks") is False


def no_secret_values(title, labels, pod, documents):
    """Secrets come by reference."""
    for container in containers(pod):
        for variable in container.get("env", []):
            is_secret = any(
                word in variable["name"] for word in ("SECRET", "PASSWORD", "DATABASE_URL", "TOKEN")
            )
            is_path = variable["name"].endswith("_FILE")
            yield not is_secret or is_path or "secretKeyRef" in variable.get("valueFrom", {})
    yield not any(document["kind"] == "Secret" for document in documents)


RULES = {
    rule.__name__: rule
    for rule in (
        no_root,
        no_host,
        read_only_root,
        resources,
        probes,
        pinned_images,
        network_policy,
        no_token,
        no_secret_values,
    )
}


def breaches(rule, documents):
    found = list(workloads(documents))
    assert found
    return [
        title for title, labels, pod in found if not all(RULES[rule](title, labels, pod, documents))
    ]


@pytest.mark.parametrize("rule", RULES)
def test_every_workload_obeys(rule, documents):
    assert breaches(rule, documents) == []


def _container(pod):
    return pod["containers"][0]


def _set(mapping, key, value):
    mapping[key] = value


BREACHES = [
    ("no_root", lambda pod: pod["securityContext"].pop("runAsNonRoot")),
    ("no_root", lambda pod: _set(pod["securityContext"], "runAsUser", 0)),
    ("no_root", lambda pod: _set(_container(pod)["securityContext"], "privileged", True)),
    ("no_root", lambda pod: _container(pod)["securityContext"].pop("capabilities")),
    ("no_root", lambda pod: _container(pod)["securityContext"].pop("allowPrivilegeEscalation")),
    ("no_host", lambda pod: _set(pod, "hostNetwork", True)),
    ("no_host", lambda pod: pod["volumes"].append({"name": "a", "hostPath": {"path": "/"}})),
    ("read_only_root", lambda p: _container(p)["securityContext"].pop("readOnlyRootFilesystem")),
    ("resources", lambda pod: _container(pod).pop("resources")),
    ("resources", lambda pod: _container(pod)["resources"]["limits"].pop("memory")),
    ("probes", lambda pod: _container(pod).pop("livenessProbe")),
    ("probes", lambda pod: _container(pod)["readinessProbe"]["httpGet"].update(port="other")),
    ("pinned_images", lambda pod: _set(_container(pod), "image", "loupe-gateway")),
    ("pinned_images", lambda pod: _set(_container(pod), "image", "loupe-gateway:latest")),
    ("no_token", lambda pod: pod.pop("automountServiceAccountToken")),
    ("no_token", lambda pod: _set(pod, "serviceAccountName", "somebody")),
    (
        "no_secret_values",
        lambda pod: _container(pod)["env"].append({"name": "PASSWORD", "value": "1"}),
    ),
]


@pytest.mark.parametrize(("rule", "breach"), BREACHES)
def test_a_breach_is_seen(rule, breach, render):
    documents = copy.deepcopy(render("overlays/cpu"))
    title, _, pod = next(w for w in workloads(documents) if w[0] == "StatefulSet loupe-gateway")
    breach(pod)
    assert breaches(rule, documents) == [title]


def test_a_pod_without_a_network_policy_is_seen(render):
    documents = [
        d
        for d in render("overlays/cpu")
        if d["metadata"]["name"] not in {"loupe-nothing-else", "loupe-names"}
    ]
    # The gateway has a policy of its own for both directions; the model server for one.
    assert breaches("network_policy", documents) == ["Deployment loupe-model-server"]


def test_no_role_allows_everything(documents):
    for document in documents:
        for rule in document.get("rules", []):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not document["kind"].startswith("Cluster")
