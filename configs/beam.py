"""How Beam runs: on this machine, on Flink or on Dataflow."""

from dataclasses import dataclass, field

from configs.validation import require_between, require_one_of

RUNNING_MODES = ("auto", "in_memory", "multi_threading", "multi_processing")
FLINK_VERSIONS = ("1.19", "1.20", "2.0", "2.1", "2.2")
"""Those that the Beam release in requirements/ has job servers for."""
FLINK_ENVIRONMENTS = ("LOOPBACK", "PROCESS", "EXTERNAL", "DOCKER")


@dataclass(frozen=True)
class FlinkConfig:
    """How FlinkRunner reaches Flink, and what its Python workers are.

    Attributes:
        version: version of Flink, as of its cluster.
        master: `[local]` is a small Flink inside the job server; else `host:port` of a cluster's
            REST address. A job server that runs already knows its own.
        job_server: `host:port` of a job server that runs already; empty starts one here, with Java.
        job_server_jar: the job server's jar; empty lets Beam download the one of its own version.
        environment: who starts the Python workers. `LOOPBACK`: the stage itself, in its process.
            `EXTERNAL`: a worker pool beside each task manager. `PROCESS`: the task manager, on its
            own machine. `DOCKER`: likewise, in a container.
        worker: address of the pool (`EXTERNAL`), command (`PROCESS`) or image (`DOCKER`); empty
            for `LOOPBACK`.
        workers_per_task_manager: Python processes of each task manager; 0 lets Beam choose.
        parallelism: slots that a job takes; 0 leaves it to the cluster.
    """

    version: str = "1.20"
    master: str = "[local]"
    job_server: str = ""
    job_server_jar: str = ""
    environment: str = "LOOPBACK"
    worker: str = ""
    workers_per_task_manager: int = 1
    parallelism: int = 2

    def __post_init__(self) -> None:
        require_one_of("beam.flink.version", self.version, FLINK_VERSIONS)
        require_one_of("beam.flink.environment", self.environment, FLINK_ENVIRONMENTS)
        require_between(
            "beam.flink.workers_per_task_manager", self.workers_per_task_manager, 0, 1000
        )
        require_between("beam.flink.parallelism", self.parallelism, 0, 10_000)


@dataclass(frozen=True)
class DataflowConfig:
    """Where DataflowRunner's jobs run, and on which machines.

    Attributes:
        project: id of the Google Cloud project.
        region: region of the jobs, such as `europe-west1`.
        temp_location: `gs://` folder for what a job stages and spills.
        worker_image: image of the workers, with every dependency in it and a fixed tag or digest.
        setup_file: setup.py of the code to install on top of the image; empty means Loupe's own.
        machine_type: machines of the workers; empty leaves it to Dataflow.
        max_num_workers: most machines of a job; 0 leaves it to Dataflow.
        service_account: e-mail of the account that the workers run as; empty means the project's.
        subnetwork: network of the workers; empty means the project's default.
        use_public_ips: give workers public addresses.
        service_options: further options of the service, such as `enable_prime`.
    """

    project: str = ""
    region: str = ""
    temp_location: str = ""
    worker_image: str = ""
    setup_file: str = ""
    machine_type: str = ""
    max_num_workers: int = 0
    service_account: str = ""
    subnetwork: str = ""
    use_public_ips: bool = False
    service_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_between("beam.dataflow.max_num_workers", self.max_num_workers, 0, 10_000)


@dataclass(frozen=True)
class BeamConfig:
    """How Beam runs ExampleGen, StatisticsGen, Transform and Evaluator.

    Attributes:
        runner: a Beam runner's name.
        running_mode: how DirectRunner reads images; `auto` is in_memory until the data is worth
            processes. The stages after it always run in_memory, on TensorFlow's threads.
        num_workers: processes or threads that read; 0 means one per core.
        extra_args: further Beam flags, such as `--job_name=...`.
        flink: for FlinkRunner.
        dataflow: for DataflowRunner.
    """

    runner: str = "DirectRunner"
    running_mode: str = "auto"
    num_workers: int = 0
    extra_args: tuple[str, ...] = ()
    flink: FlinkConfig = field(default_factory=FlinkConfig)
    dataflow: DataflowConfig = field(default_factory=DataflowConfig)

    def __post_init__(self) -> None:
        require_one_of("beam.running_mode", self.running_mode, RUNNING_MODES)
        require_between("beam.num_workers", self.num_workers, 0, 10_000)
