"""Settings of a run: frozen dataclasses, one per stage, validated when they are made."""

from dataclasses import dataclass, field

from configs.beam import BeamConfig
from configs.buckets import is_in_bucket
from configs.errors import ConfigError
from configs.kubeflow import KubeflowConfig
from configs.validation import require_between, require_one_of

BACKBONES = ("reference", "compact")
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")
SWITCHES = ("auto", "on", "off")
STRATEGIES = ("auto", "mirrored", "none")
INFRA_PLATFORMS = ("process", "docker", "kubernetes")


@dataclass(frozen=True)
class DataConfig:
    """Where the images come from and how they are split.

    Attributes:
        path: folder, manifest or archive, or `gs://` address of a folder or manifest; empty means
            the built-in sample data, drawn on first use.
        dataset: names the curated schema; empty means the last folder of `path`.
        span: newest span to read when the folder has `span-N/` folders; 0 means all there are.
        validation_share: share of images that validates when the data has no such split, 0..1.
        test_share: share of images that tests when the data has no such split, 0..1.
        min_images_per_class: fewer images than this in any class end the run.
        max_quarantine_share: share of unreadable files above which the run stops, 0..1.
        max_image_pixels: images with more pixels are quarantined as decompression bombs.
        max_image_bytes: files larger than this are quarantined unread.
        near_duplicate_bits: images whose 64-bit perceptual hashes differ in at most this many
            bits count as near-duplicates, 0..8.
    """

    path: str = ""
    dataset: str = ""
    span: int = 0
    validation_share: float = 0.1
    test_share: float = 0.1
    min_images_per_class: int = 10
    max_quarantine_share: float = 0.05
    max_image_pixels: int = 50_000_000
    max_image_bytes: int = 50 * 1024 * 1024
    near_duplicate_bits: int = 2

    def __post_init__(self) -> None:
        require_between("data.span", self.span, 0, 1_000_000)
        require_between("data.validation_share", self.validation_share, 0.01, 0.5)
        require_between("data.test_share", self.test_share, 0.01, 0.5)
        require_between("data.min_images_per_class", self.min_images_per_class, 1, 1_000_000)
        require_between("data.max_quarantine_share", self.max_quarantine_share, 0.0, 1.0)
        require_between("data.max_image_pixels", self.max_image_pixels, 1, 1_000_000_000)
        require_between("data.max_image_bytes", self.max_image_bytes, 1, 1 << 31)
        require_between("data.near_duplicate_bits", self.near_duplicate_bits, 0, 8)


@dataclass(frozen=True)
class SampleConfig:
    """How the built-in sample data is drawn.

    Attributes:
        num_images: images over all classes.
        seed: the same seed draws the same bytes.
        darkness: 0 draws ordinary light, 1 very dark images.
        blur: 0 draws ordinary sharpness, 1 very blurred images.
        new_camera: 0 draws the usual camera, 1 one with a strong cast, vignette and noise.
        corrupt_share: share of files that are truncated, empty or not images, 0..1.
        duplicate_share: share of images that are written a second time, 0..1.
        wrong_label_share: share of images filed under another class, 0..1.
        new_class: draw one more class that a model trained before has never seen.
    """

    num_images: int = 2000
    seed: int = 7
    darkness: float = 0.0
    blur: float = 0.0
    new_camera: float = 0.0
    corrupt_share: float = 0.0
    duplicate_share: float = 0.0
    wrong_label_share: float = 0.0
    new_class: bool = False

    def __post_init__(self) -> None:
        require_between("sample.num_images", self.num_images, 10, 10_000_000)
        for name in ("darkness", "blur", "new_camera"):
            require_between(f"sample.{name}", getattr(self, name), 0.0, 1.0)
        for name in ("corrupt_share", "duplicate_share", "wrong_label_share"):
            require_between(f"sample.{name}", getattr(self, name), 0.0, 1.0)


@dataclass(frozen=True)
class ValidationConfig:
    """What ExampleValidator calls an anomaly.

    Attributes:
        schema_file: curated schema to obey; empty means `schema/<dataset>.pbtxt` when it exists,
            else a schema inferred from this data.
        label_drift: largest accepted L-infinity distance of the class shares from the previous
            span and between splits, 0..1.
        numeric_drift: largest accepted Jensen-Shannon divergence of a scalar feature, likewise.
        range_slack: how far beyond the range seen when the schema was inferred a scalar may go,
            as a share of that range.
        stop_on_drift: end the run when the data moved; otherwise moving is only reported.
    """

    schema_file: str = ""
    label_drift: float = 0.15
    numeric_drift: float = 0.35
    range_slack: float = 0.5
    stop_on_drift: bool = False

    def __post_init__(self) -> None:
        require_between("validation.label_drift", self.label_drift, 0.0, 1.0)
        require_between("validation.numeric_drift", self.numeric_drift, 0.0, 1.0)
        require_between("validation.range_slack", self.range_slack, 0.0, 100.0)


@dataclass(frozen=True)
class TransformConfig:
    """How pixels are made.

    Attributes:
        height_pixels: height of the model's input.
        width_pixels: width of the model's input.
    """

    height_pixels: int = 64
    width_pixels: int = 64

    def __post_init__(self) -> None:
        require_between("transform.height_pixels", self.height_pixels, 8, 2048)
        require_between("transform.width_pixels", self.width_pixels, 8, 2048)


@dataclass(frozen=True)
class TuneConfig:
    """The search for hyperparameters.

    Attributes:
        enabled: search at all; otherwise `train` gives every value.
        max_trials: combinations to try.
        epochs: epochs each trial trains for.
        seed: seed of the search.
        import_file: `best_hyperparameters.txt` of a past search to use instead of searching.
    """

    enabled: bool = True
    max_trials: int = 3
    epochs: int = 4
    seed: int = 7
    import_file: str = ""

    def __post_init__(self) -> None:
        require_between("tune.max_trials", self.max_trials, 1, 10_000)
        require_between("tune.epochs", self.epochs, 1, 10_000)


@dataclass(frozen=True)
class TrainConfig:
    """The training loop and its model.

    Attributes:
        backbone: `reference` (the plain two-convolution CNN) or `compact` (a small residual
            network with normalisation).
        epochs: most epochs to train for; early stopping may end sooner.
        max_steps: most optimiser steps over all epochs; 0 means no limit.
        batch_size: images per step over all replicas.
        learning_rate: peak of the schedule.
        width_multiplier: factor on the number of filters.
        dropout: share of the dense layer's inputs dropped in training, 0..0.9.
        augmentation_strength: 0 trains on the images as they are, 1 distorts strongly.
        label_smoothing: share of the target spread over all classes, 0..0.5.
        balance_classes: weigh each class by the inverse of its share.
        patience_epochs: epochs without a better validation loss before training ends.
        precision: Keras dtype policy; `auto` is mixed_float16 on GPUs that gain from it.
        xla: compile the training step; `auto` is on for one GPU, off for several and for CPUs.
        strategy: `auto` is MirroredStrategy over every GPU, and none on a single CPU; `mirrored`
            forces it.
        review_band: answers ask for a human when the probability is within this distance of the
            decision threshold (two classes), or half the margin between the two most probable
            classes is at most this (more classes), 0..0.5.
        seed: seed of weights, order and augmentation.
    """

    backbone: str = "compact"
    epochs: int = 20
    max_steps: int = 0
    batch_size: int = 32
    learning_rate: float = 2e-3
    width_multiplier: float = 1.0
    dropout: float = 0.3
    augmentation_strength: float = 0.3
    label_smoothing: float = 0.0
    balance_classes: bool = True
    patience_epochs: int = 6
    precision: str = "auto"
    xla: str = "auto"
    strategy: str = "auto"
    review_band: float = 0.1
    seed: int = 7

    def __post_init__(self) -> None:
        require_one_of("train.backbone", self.backbone, BACKBONES)
        require_one_of("train.precision", self.precision, PRECISIONS)
        require_one_of("train.xla", self.xla, SWITCHES)
        require_one_of("train.strategy", self.strategy, STRATEGIES)
        require_between("train.epochs", self.epochs, 1, 100_000)
        require_between("train.max_steps", self.max_steps, 0, 1_000_000_000)
        require_between("train.batch_size", self.batch_size, 1, 65_536)
        require_between("train.learning_rate", self.learning_rate, 1e-8, 10.0)
        require_between("train.width_multiplier", self.width_multiplier, 0.05, 16.0)
        require_between("train.dropout", self.dropout, 0.0, 0.9)
        require_between("train.augmentation_strength", self.augmentation_strength, 0.0, 1.0)
        require_between("train.label_smoothing", self.label_smoothing, 0.0, 0.5)
        require_between("train.patience_epochs", self.patience_epochs, 1, 100_000)
        require_between("train.review_band", self.review_band, 0.0, 0.5)


@dataclass(frozen=True)
class EvaluationConfig:
    """The bars a model must clear to be blessed.

    Attributes:
        min_accuracy: lowest accepted accuracy on the test split, 0..1.
        min_gain_over_majority: how far accuracy must exceed the share of the largest class, -1..1.
        min_balanced_gain: how far balanced accuracy must exceed chance (1 / number of classes).
        min_change: how much accuracy must change against the last blessed model; 0 asks for at
            least as good, a negative number tolerates a loss.
    """

    min_accuracy: float = 0.4
    min_gain_over_majority: float = 0.03
    min_balanced_gain: float = 0.1
    min_change: float = 0.0

    def __post_init__(self) -> None:
        require_between("evaluation.min_accuracy", self.min_accuracy, 0.0, 1.0)
        require_between("evaluation.min_gain_over_majority", self.min_gain_over_majority, -1.0, 1.0)
        require_between("evaluation.min_balanced_gain", self.min_balanced_gain, -1.0, 1.0)
        require_between("evaluation.min_change", self.min_change, -1.0, 1.0)


@dataclass(frozen=True)
class InfraConfig:
    """How InfraValidator serves the candidate before anybody else does.

    Attributes:
        platform: `process` starts a model server on this machine; `docker` and `kubernetes` use
            TFX's own runners with the tensorflow/serving image.
        server_command: command line of the server; empty means `tensorflow_model_server` when it
            is on PATH, else `python -m serving.model_server`.
        image_tag: tag of the tensorflow/serving image for `docker` and `kubernetes`.
        startup_timeout_seconds: longest wait until the model is AVAILABLE.
        num_examples: real examples that are sent and written as warm-up requests.
        probability_tolerance: largest accepted difference from the SavedModel's own answer.
    """

    platform: str = "process"
    server_command: str = ""
    image_tag: str = "2.20.0"
    startup_timeout_seconds: int = 120
    num_examples: int = 8
    probability_tolerance: float = 1e-5

    def __post_init__(self) -> None:
        require_one_of("infra.platform", self.platform, INFRA_PLATFORMS)
        require_between("infra.startup_timeout_seconds", self.startup_timeout_seconds, 1, 86_400)
        require_between("infra.num_examples", self.num_examples, 1, 1000)
        require_between("infra.probability_tolerance", self.probability_tolerance, 0.0, 1.0)


@dataclass(frozen=True)
class ArtifactsConfig:
    """Where stages leave what they hand to each other.

    Attributes:
        folder: gs:// folder; empty means `<workspace>/artifacts`. Metadata, logs and summaries stay
            in the workspace. On Kubeflow `kubeflow.pipeline_root` says it.
    """

    folder: str = ""

    def __post_init__(self) -> None:
        if self.folder and not is_in_bucket(self.folder):
            raise ConfigError(
                f"artifacts.folder is '{self.folder}', expected a gs:// folder, or nothing for the "
                "workspace. Give a folder of this machine as the workspace: --workspace FOLDER."
            )


@dataclass(frozen=True)
class PushConfig:
    """Where blessed models go.

    Attributes:
        folder: folder that holds the version folders; empty means `<workspace>/serving/<model>`.
    """

    folder: str = ""


@dataclass(frozen=True)
class PipelineConfig:
    """Everything a run is told.

    Attributes:
        pipeline_name: name under which MLMD and the `tfx` CLI know the pipeline.
        model_name: name under which the model is served.
        enable_cache: reuse what an earlier run made from the same inputs.
        data: where the images come from.
        sample: how the built-in sample data is drawn.
        validation: what is an anomaly.
        transform: how pixels are made.
        tune: the search for hyperparameters.
        train: the training loop.
        evaluation: the bars.
        infra: the trial serving.
        artifacts: where stages leave what they hand to each other.
        push: where models go.
        beam: how Beam runs.
        kubeflow: how the pipeline runs on Kubeflow Pipelines.
    """

    pipeline_name: str = "loupe"
    model_name: str = "loupe"
    enable_cache: bool = True
    data: DataConfig = field(default_factory=DataConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    infra: InfraConfig = field(default_factory=InfraConfig)
    artifacts: ArtifactsConfig = field(default_factory=ArtifactsConfig)
    push: PushConfig = field(default_factory=PushConfig)
    beam: BeamConfig = field(default_factory=BeamConfig)
    kubeflow: KubeflowConfig = field(default_factory=KubeflowConfig)

    def __post_init__(self) -> None:
        for name in ("pipeline_name", "model_name"):
            value: str = getattr(self, name)
            if not value or not value.replace("-", "").replace("_", "").isalnum():
                raise ConfigError(
                    f"{name} is '{value}', expected letters, digits, '-' and '_' only, because it "
                    "becomes a folder and a URL. Rename it."
                )
