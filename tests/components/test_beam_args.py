import apache_beam
import pytest
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    WorkerOptions,
)
from apache_beam.options.pipeline_options_validator import PipelineOptionsValidator
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.portability.flink_runner import FlinkRunner
from tfx.utils import dependency_utils

from components.beam_args import IMAGES_WORTH_PROCESSES, beam_args, reading_args, worker_imports
from components.example_gen.executor import Executor
from components.transform.materialize import write_transformed_split
from configs.beam import FLINK_VERSIONS, BeamConfig, DataflowConfig, FlinkConfig
from configs.errors import ConfigError
from configs.load import REPOSITORY_ROOT, load_config, part_to_json
from configs.types import DataConfig
from schema.features import Split

DATAFLOW = DataflowConfig(
    project="my-project",
    region="europe-west1",
    temp_location="gs://my-bucket/beam",
    worker_image="registry.example/loupe/worker:0.1.0",
    machine_type="n2-standard-4",
    max_num_workers=3,
    service_options=("enable_google_cloud_profiler",),
)


def flink_args(**settings):
    return beam_args(BeamConfig(runner="FlinkRunner", flink=FlinkConfig(**settings)))


def dataflow_args(**settings):
    config = DataflowConfig(**{**vars(DATAFLOW), **settings})
    return beam_args(BeamConfig(runner="DataflowRunner", dataflow=config))


def errors_of(flags, runner):
    """What Beam itself finds wrong with the flags; flags that it does not know are errors too."""
    options = PipelineOptions(flags)
    options.get_all_options(drop_default=True, retain_unknown_options=False)
    unknown = set(options.get_all_options(retain_unknown_options=True)) - set(
        options.get_all_options()
    )
    return [*unknown, *PipelineOptionsValidator(options, runner).validate()]


@pytest.mark.parametrize(
    ("num_images", "mode"),
    [(1000, "in_memory"), (IMAGES_WORTH_PROCESSES, "multi_processing")],
)
def test_auto_starts_processes_only_for_much_data(num_images, mode):
    flags = reading_args(BeamConfig(), num_images=num_images)
    assert f"--direct_running_mode={mode}" in flags


def test_in_memory_has_one_worker():
    assert "--direct_num_workers=1" in reading_args(BeamConfig(num_workers=8), num_images=1)


def test_a_given_mode_and_workers_are_kept():
    config = BeamConfig(running_mode="multi_threading", num_workers=3)
    flags = reading_args(config, num_images=1)
    assert flags[:2] == ["--direct_running_mode=multi_threading", "--direct_num_workers=3"]


def test_only_reading_gets_processes():
    config = BeamConfig(running_mode="multi_processing", num_workers=3)
    assert "--direct_running_mode=in_memory" in beam_args(config)


@pytest.mark.parametrize(
    "flags",
    [beam_args(BeamConfig()), flink_args(), dataflow_args()],
    ids=["direct", "flink", "dataflow"],
)
def test_tfx_never_packs_itself(flags, monkeypatch):
    monkeypatch.setattr(
        dependency_utils, "build_ephemeral_package", lambda: pytest.fail("TFX packed itself")
    )
    assert dependency_utils.make_beam_dependency_flags(flags) == flags


def test_other_runners_get_their_own_flags_only():
    config = BeamConfig(runner="PrismRunner", extra_args=("--prism_location=/bin/prism",))
    assert beam_args(config) == ["--runner=PrismRunner", "--prism_location=/bin/prism"]
    assert reading_args(config, num_images=10**9) == []


def test_further_flags_come_last_and_win():
    config = BeamConfig(runner="FlinkRunner", extra_args=("--parallelism=7",))
    assert PipelineOptions(beam_args(config)).view_as(FlinkRunnerOptions).parallelism == 7


def test_flink_versions_are_those_that_beam_has_job_servers_for():
    assert list(FLINK_VERSIONS) == FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS


@pytest.mark.parametrize("name", ["flink", "flink-local"])
def test_beam_accepts_the_named_runs_on_flink(name):
    flags = beam_args(load_config(name).beam)
    assert errors_of(flags, FlinkRunner()) == []
    options = PipelineOptions(flags)
    flink = options.view_as(FlinkRunnerOptions)
    portable = options.view_as(PortableOptions)
    if name == "flink":
        # With [auto] the job server takes its own cluster.
        assert (flink.flink_master, flink.parallelism) == ("[auto]", 4)
        assert portable.job_endpoint == "loupe-flink-job-server:8099"
        assert (portable.environment_type, portable.environment_config) == (
            "EXTERNAL",
            "localhost:50000",
        )
        assert int(portable.sdk_worker_parallelism) == 2
    else:
        assert (flink.flink_master, portable.environment_type) == ("[local]", "LOOPBACK")
        assert portable.job_endpoint is None


def test_a_process_worker_is_a_command():
    flags = flink_args(environment="PROCESS", worker="loupe-beam-worker")
    assert errors_of(flags, FlinkRunner()) == []
    assert '--environment_config={"command": "loupe-beam-worker"}' in flags


def test_a_docker_worker_is_an_image():
    flags = flink_args(environment="DOCKER", worker="loupe/worker:0.1.0")
    assert errors_of(flags, FlinkRunner()) == []
    worker = PipelineOptions(flags).view_as(WorkerOptions)
    assert worker.sdk_container_image == "loupe/worker:0.1.0"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"worker": "localhost:1"}, "environment is LOOPBACK, whose worker is the stage itself"),
        ({"environment": "EXTERNAL"}, "beam.flink.worker is empty, but .* is EXTERNAL"),
        ({"environment": "DOCKER", "worker": "a/b:latest"}, "'a/b:latest', expected an image with"),
        ({"environment": "THREAD"}, "beam.flink.environment is 'THREAD', expected one of"),
        ({"version": "1.8"}, "beam.flink.version is '1.8', expected one of: 1.19"),
    ],
)
def test_settings_of_flink_that_contradict_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        flink_args(**settings)


def test_beam_accepts_the_flags_for_dataflow(monkeypatch):
    # It would ask the bucket whether deleted files are kept, for two minutes without a network.
    monkeypatch.setattr(GoogleCloudOptions, "_warn_if_soft_delete_policy_enabled", lambda *_: None)
    flags = dataflow_args()
    assert errors_of(flags, DataflowRunner()) == []
    options = PipelineOptions(flags)
    cloud = options.view_as(GoogleCloudOptions)
    assert (cloud.project, cloud.region) == ("my-project", "europe-west1")
    assert cloud.dataflow_service_options == ["enable_google_cloud_profiler"]
    setup = options.view_as(SetupOptions)
    assert setup.setup_file == str(REPOSITORY_ROOT / "setup.py")
    assert setup.save_main_session is False
    worker = options.view_as(WorkerOptions)
    assert (worker.machine_type, worker.max_num_workers) == ("n2-standard-4", 3)
    assert worker.use_public_ips is False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"project": ""}, "beam.dataflow.project is empty.*--set beam.dataflow.project=my-project"),
        ({"worker_image": ""}, "beam.dataflow.worker_image is empty"),
        ({"worker_image": "a/b"}, "beam.dataflow.worker_image is 'a/b', expected an image with"),
        ({"temp_location": "/tmp/x"}, "is '/tmp/x', expected a folder that Dataflow's workers"),
        ({"setup_file": "/no/setup.py"}, "'/no/setup.py' does not exist, expected the setup.py"),
    ],
)
def test_settings_of_dataflow_that_are_missing_or_wrong_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        dataflow_args(**settings)


def test_the_named_run_on_dataflow_asks_for_what_it_cannot_know():
    with pytest.raises(ConfigError, match=r"beam\.dataflow\.project is empty"):
        beam_args(load_config("dataflow").beam)


def test_the_job_that_dataflow_would_get_holds_our_code_and_our_image(tmp_path, storage):
    """Built by Beam as for a real job, up to the call that needs the network."""
    photos = {f"photos/{name}/1.jpg": b"x" for name in ("hat", "mug")}
    storage.make_bucket("my-bucket", photos)
    artifact = "gs://my-bucket/artifacts/ExampleGen/examples/1"
    flags = [*dataflow_args(), *worker_imports("components.example_gen.reader"), "--dry_run=True"]
    flags += ["--no_auth", f"--staging_location={tmp_path}"]
    pipeline = apache_beam.Pipeline(argv=flags)
    examples = Executor().GenerateExamplesByBeam(
        pipeline,
        {
            "data_root": "gs://my-bucket/photos",
            "listing": f"{artifact}/index/listing",
            "config": part_to_json(DataConfig()),
        },
    )
    _ = examples[Split.TRAIN] | apache_beam.io.WriteToTFRecord(f"{artifact}/Split-train/data")
    write_transformed_split(pipeline, f"{artifact}/graph", f"{artifact}/Split-train", artifact)
    job = pipeline.run().job
    (name,) = set(storage.names("my-bucket")) - set(photos)
    assert f"gs://my-bucket/{name}" == f"{artifact}/index/listing"
    assert b"gs://my-bucket/photos/mug/1.jpg" in storage.data("my-bucket", name)
    (environment,) = job.proto_pipeline.components.environments.values()
    assert b"registry.example/loupe/worker:0.1.0" in environment.payload
    (package,) = [d for d in environment.dependencies if b"workflow.tar.gz" in d.role_payload]
    assert package.type_payload
    setup = job.options.view_as(SetupOptions)
    assert "components.example_gen.reader" in setup.beam_plugins
