"""A Kubeflow Pipelines API on loopback: strict about what it is sent, and it remembers it.

It speaks the part of the v2beta1 REST API that the client uses. Bodies are checked with the
official model classes, and what the real server refuses (kubeflow/pipelines 7b70c7b,
backend/src/apiserver) is refused here with the same status and the same form of message. Answers
are written as the real server writes them: whole numbers of 64 bits as text, empty and false
fields left out, 1970 for a time that has not come, its own default for the service account.
"""

import json
import re
import uuid
from dataclasses import dataclass, field

import kfp_server_api as api

from tests.kubeflow.fake_rules import RefusalError, page, read_documents, require, strict

PREFIX = "/apis/v2beta1"
NEVER = "1970-01-01T00:00:00Z"
DEFAULT_ACCOUNT = "pipeline-runner"
JSON_TYPES = {
    "STRING": str,
    "NUMBER_INTEGER": (int, float),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}


@dataclass
class FakeApi:
    """State of the server.

    Attributes:
        token: what the client must send; None for nothing.
        is_multi_user: namespaces are checked.
        finishes_runs: runs succeed as soon as they are made.
        namespaces: those that may be used when they are checked.
        requests: what came, in order.
        plans: answers in place of the real one: (method, path pattern) to (status, body, type),
            or an exception to close the connection without an answer.
    """

    token: str | None = None
    is_multi_user: bool = False
    finishes_runs: bool = False
    namespaces: tuple = ("kubeflow",)
    requests: list = field(default_factory=list)
    plans: dict = field(default_factory=dict)
    experiments: dict = field(default_factory=dict)
    pipelines: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    runs: dict = field(default_factory=dict)
    recurring: dict = field(default_factory=dict)
    looks: dict = field(default_factory=dict)
    clock: int = 0
    url: str = ""

    def new_id(self):
        self.clock += 1
        return str(uuid.UUID(int=self.clock))

    def now(self):
        self.clock += 1
        return f"2026-11-21T10:{self.clock // 60:02d}:{self.clock % 60:02d}Z"

    def changes(self):
        """Method and path of everything that was more than a question."""
        return [(each.method, each.path) for each in self.requests if each.is_change]

    def bodies(self, method, path):
        return [each.body for each in self.requests if (each.method, each.path) == (method, path)]

    def refuse(self, method, pattern, status, message, code=13):
        """Answer the next fitting requests with an error, in the form of grpc-gateway."""
        body = {"code": code, "message": message, "details": []}
        self.plans[method, pattern] = (status, json.dumps(body), "application/json")

    def finish_run(self, run_id, state):
        self.runs[run_id]["state"] = state

    def run_scheduled(self, recurring):
        """Start a run of a schedule; returns the parameters that its tasks get.

        The workflow was compiled with its parameters when the schedule was made. What the scheduler
        replaces in it is `{{workflow.uid}}` alone; `[[ScheduledTime]]` and its like stay
        (scheduled_workflow.go: NewWorkflow, and issue 12494).
        """
        schedule, run_id = self.recurring[recurring], self.new_id()
        self.runs[run_id] = {
            "run_id": run_id,
            "display_name": f"run-{run_id}",
            "recurring_run_id": recurring,
            "state": "SUCCEEDED",
            "created_at": self.now(),
            **{key: schedule[key] for key in ("pipeline_version_reference", "runtime_config")},
        }
        parameters = json.dumps(schedule["runtime_config"]["parameters"])
        return json.loads(parameters.replace("{{workflow.uid}}", run_id))

    # What the real server does with a request.

    def answer(self, request):
        for pattern, handle in ROUTES:
            method, _, path = pattern.partition(" ")
            match = re.fullmatch(path, request.path)
            if match and method == request.method:
                return handle(self, request, **match.groupdict())
        raise RefusalError(404, "Not Found")

    def check_token(self, request):
        if self.token is not None and request.token != f"Bearer {self.token}":
            raise RefusalError(401, "Request header error: Failed to review the token provided")

    def check_namespace(self, namespace):
        if self.is_multi_user and namespace not in self.namespaces:
            raise RefusalError(
                403,
                "Failed to authorize with API: PermissionDenied: User 'ann' is not authorized "
                f"with reason: (request: namespace '{namespace}')",
            )

    def health(self, request):
        return {"commit_sha": "7b70c7b", "tag_name": "2.16.0", "multi_user": self.is_multi_user}

    def list_experiments(self, request):
        self.check_namespace(request.query.get("namespace", ""))
        return page(request, "experiments", self.experiments.values())

    def create_experiment(self, request):
        body = strict(request.body, api.V2beta1Experiment)
        self.check_namespace(body.get("namespace", ""))
        if any(each["display_name"] == body["display_name"] for each in self.experiments.values()):
            raise RefusalError(409, "Already exist error")
        made = {**body, "experiment_id": self.new_id(), "created_at": self.now()}
        self.experiments[made["experiment_id"]] = made
        return made

    def list_pipelines(self, request):
        self.check_namespace(request.query.get("namespace", ""))
        mine = [
            each
            for each in self.pipelines.values()
            if each.get("namespace", "") == self.stored(request.query.get("namespace", ""))
        ]
        return page(request, "pipelines", mine)

    def stored(self, namespace):
        return namespace if self.is_multi_user else ""

    def create_pipeline(self, request):
        body = strict(request.body, api.V2beta1Pipeline)
        self.check_namespace(body.get("namespace", ""))
        made = {**body, "pipeline_id": self.new_id(), "created_at": self.now()}
        made["namespace"] = self.stored(body.get("namespace", ""))
        self.pipelines[made["pipeline_id"]] = made
        return made

    def delete_pipeline(self, request, pipeline):
        require(self.pipelines, pipeline, "Pipeline")
        if any(each["pipeline_id"] == pipeline for each in self.versions.values()):
            raise RefusalError(400, "Failed to delete pipeline as it has existing versions")
        del self.pipelines[pipeline]
        return {}

    def list_versions(self, request, pipeline):
        require(self.pipelines, pipeline, "Pipeline")
        mine = [each for each in self.versions.values() if each["pipeline_id"] == pipeline]
        return page(request, "pipeline_versions", mine)

    def get_version(self, request, pipeline, version):
        return require(self.versions, version, "PipelineVersion")

    def delete_version(self, request, pipeline, version):
        require(self.versions, version, "PipelineVersion")
        del self.versions[version]
        return {}

    def upload_version(self, request):
        unknown = set(request.query) - {"name", "display_name", "description", "pipelineid"}
        if unknown or not request.query.get("pipelineid"):
            raise RefusalError(400, "Failed to create a pipeline version")
        pipeline = require(self.pipelines, request.query["pipelineid"], "Pipeline")
        spec, platform = read_documents(request.body)
        name = request.query["name"]
        if any(
            each["pipeline_id"] == pipeline["pipeline_id"] and each["display_name"] == name
            for each in self.versions.values()
        ):
            raise RefusalError(409, "Failed to create a pipeline version")
        made = {
            "pipeline_id": pipeline["pipeline_id"],
            "pipeline_version_id": self.new_id(),
            "name": name,
            "display_name": name,
            "description": request.query.get("description", ""),
            "created_at": self.now(),
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platform}
            if platform
            else spec,
        }
        self.versions[made["pipeline_version_id"]] = made
        return made

    def list_runs(self, request):
        self.check_namespace(request.query.get("namespace", ""))
        return page(request, "runs", self.runs.values())

    def create_run(self, request):
        body = strict(request.body, api.V2beta1Run)
        self.check_job(body)
        made = {
            **body,
            "run_id": self.new_id(),
            "state": "SUCCEEDED" if self.finishes_runs else "PENDING",
            "created_at": self.now(),
            "scheduled_at": NEVER,
            "finished_at": NEVER,
            "service_account": body.get("service_account", DEFAULT_ACCOUNT),
        }
        self.runs[made["run_id"]] = made
        return made

    def get_run(self, request, run):
        plan = self.looks.get(run)
        if plan:  # each look shows the next state; the last one stays
            self.runs[run].update(plan.pop(0) if len(plan) > 1 else plan[0])
        return require(self.runs, run, "Run")

    def delete_run(self, request, run):
        require(self.runs, run, "Run")
        del self.runs[run]
        return {}

    def list_recurring(self, request):
        self.check_namespace(request.query.get("namespace", ""))
        return page(request, "recurringRuns", self.recurring.values())

    def create_recurring(self, request):
        body = strict(request.body, api.V2beta1RecurringRun)
        self.check_job(body)
        concurrency = int(body.get("max_concurrency", 0))
        if not 1 <= concurrency <= 10:
            raise RefusalError(400, "Max concurrency of a recurring run must be at least 1")
        cron = body["trigger"]["cron_schedule"]["cron"]
        if len(cron.split()) not in {5, 6}:
            raise RefusalError(400, f"Expected 5 to 6 fields, found {len(cron.split())}: {cron}")
        is_enabled = body.pop("mode") == "ENABLE"
        made = {
            **body,
            "recurring_run_id": self.new_id(),
            "max_concurrency": str(concurrency),
            "created_at": self.now(),
            "updated_at": self.now(),
            "service_account": body.get("service_account", DEFAULT_ACCOUNT),
            "namespace": "kubeflow",
        }
        self.recurring[made["recurring_run_id"]] = made
        self.set_mode(made, is_enabled=is_enabled)
        return made

    def get_recurring(self, request, recurring):
        return require(self.recurring, recurring, "Job")

    def change_recurring(self, request, recurring, mode):
        if request.body not in (None, {}):
            raise RefusalError(400, "unexpected body")
        self.set_mode(require(self.recurring, recurring, "Job"), is_enabled=mode == "enable")
        return {}

    def delete_recurring(self, request, recurring):
        require(self.recurring, recurring, "Job")
        del self.recurring[recurring]
        for run in [
            each for each in self.runs.values() if each.get("recurring_run_id") == recurring
        ]:
            if run["state"] in {"PENDING", "RUNNING"}:  # Kubernetes deletes what it owned
                run["state"] = "FAILED"
        return {}

    def set_mode(self, schedule, *, is_enabled):
        schedule["status"] = "ENABLED" if is_enabled else "DISABLED"
        schedule["mode"] = "ENABLE" if is_enabled else "DISABLE"
        schedule["updated_at"] = self.now()

    def enabled(self):
        return [each for each in self.recurring.values() if each["status"] == "ENABLED"]

    def check_job(self, body):
        if not body.get("display_name"):
            raise RefusalError(400, "The run name is empty. Please specify a valid name")
        require(self.experiments, body.get("experiment_id"), "Experiment")
        reference = body["pipeline_version_reference"]
        version = require(self.versions, reference["pipeline_version_id"], "PipelineVersion")
        spec = version["pipeline_spec"]
        root = spec.get("pipeline_spec", spec)["root"]
        definitions = root.get("inputDefinitions", {}).get("parameters", {})
        given = body.get("runtime_config", {}).get("parameters", {})
        for name, definition in definitions.items():
            if name not in given:
                if "defaultValue" not in definition and not definition.get("isOptional"):
                    raise RefusalError(400, f"parameter {name} is not optional")
                continue
            wanted = JSON_TYPES[definition["parameterType"]]
            is_bool = isinstance(given[name], bool)
            if not isinstance(given[name], wanted) or (is_bool and wanted is not bool):
                raise RefusalError(400, f"input parameter {name} requires another type")
        extra = set(given) - set(definitions)
        if extra:
            raise RefusalError(400, f"parameter(s) provided are not required by pipeline: {extra}")


ID = r"[-0-9a-f]{36}"
ROUTES = [
    (f"GET {PREFIX}/healthz", FakeApi.health),
    (f"GET {PREFIX}/experiments", FakeApi.list_experiments),
    (f"POST {PREFIX}/experiments", FakeApi.create_experiment),
    (f"GET {PREFIX}/pipelines", FakeApi.list_pipelines),
    (f"POST {PREFIX}/pipelines", FakeApi.create_pipeline),
    (f"POST {PREFIX}/pipelines/upload_version", FakeApi.upload_version),
    (f"DELETE {PREFIX}/pipelines/(?P<pipeline>{ID})", FakeApi.delete_pipeline),
    (f"GET {PREFIX}/pipelines/(?P<pipeline>{ID})/versions", FakeApi.list_versions),
    (
        f"GET {PREFIX}/pipelines/(?P<pipeline>{ID})/versions/(?P<version>{ID})",
        FakeApi.get_version,
    ),
    (
        f"DELETE {PREFIX}/pipelines/(?P<pipeline>{ID})/versions/(?P<version>{ID})",
        FakeApi.delete_version,
    ),
    (f"GET {PREFIX}/runs", FakeApi.list_runs),
    (f"POST {PREFIX}/runs", FakeApi.create_run),
    (f"GET {PREFIX}/runs/(?P<run>{ID})", FakeApi.get_run),
    (f"DELETE {PREFIX}/runs/(?P<run>{ID})", FakeApi.delete_run),
    (f"GET {PREFIX}/recurringruns", FakeApi.list_recurring),
    (f"POST {PREFIX}/recurringruns", FakeApi.create_recurring),
    (f"GET {PREFIX}/recurringruns/(?P<recurring>{ID})", FakeApi.get_recurring),
    (f"DELETE {PREFIX}/recurringruns/(?P<recurring>{ID})", FakeApi.delete_recurring),
    (
        f"POST {PREFIX}/recurringruns/(?P<recurring>{ID}):(?P<mode>enable|disable)",
        FakeApi.change_recurring,
    ),
]
