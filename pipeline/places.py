"""Whether data and artifacts are where those can reach them who must, told before anything runs."""

import socket
import uuid

from configs.buckets import BUCKET_SCHEME, is_in_bucket
from configs.errors import ConfigError
from configs.types import PipelineConfig
from data.buckets import BucketPath


def check_places(config: PipelineConfig) -> None:
    """Refuse places that cannot work.

    Args:
        config: all settings.

    Raises:
        ConfigError: an address that nothing reads, a place that Dataflow's workers do not reach,
            or a bucket that cannot be written to.
    """
    data, artifacts = config.data.path, config.artifacts.folder
    if "://" in data and not is_in_bucket(data):
        raise ConfigError(
            f"data.path is '{data}', expected a folder, manifest or archive of this machine, or a "
            f"{BUCKET_SCHEME} address. Copy the images to one of them."
        )
    if config.beam.runner == "DataflowRunner":
        for name, place in (("data.path", data), ("artifacts.folder", artifacts)):
            if not is_in_bucket(place):
                raise ConfigError(
                    f"{name} is '{place}', which Dataflow's workers do not reach, expected a "
                    f"{BUCKET_SCHEME} address. Set it, as in --set {name}=gs://my-bucket/folder."
                )
    if artifacts:
        _try_to_write(artifacts)


def _try_to_write(folder: str) -> None:
    trial = BucketPath(folder.rstrip("/")) / f".{socket.gethostname()}-{uuid.uuid4().hex}"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise ConfigError(
            f"artifacts.folder '{folder}' cannot be written to: {error.strerror}. Check the "
            "address, and that this account may create and delete objects there "
            "(roles/storage.objectAdmin)."
        ) from error
