import pytest

from configs.errors import ConfigError
from configs.load import load_config
from pipeline.places import check_places

DATAFLOW = "beam.runner=DataflowRunner"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.path=s3://b/photos"], "data.path is 's3://b/photos', expected a folder, manifest"),
        ([DATAFLOW], "data.path is '', which Dataflow's workers do not reach"),
        ([DATAFLOW, "data.path=/mnt/x"], "data.path is '/mnt/x', .* --set data.path=gs://my-buck"),
        ([DATAFLOW, "data.path=gs://b/x"], "artifacts.folder is '', which Dataflow's workers do"),
        (["artifacts.folder=gs://no/x"], "'gs://no/x' cannot be written to: .* does not exist"),
        (["artifacts.folder=gs://secret/x"], "cannot be written to: tester does not have access"),
    ],
)
def test_places_that_cannot_work_are_told(settings, message, storage):
    storage.make_bucket("secret")
    storage.forbidden.add("secret")
    with pytest.raises(ConfigError, match=message):
        check_places(load_config(overrides=settings))


def test_places_that_can_work_leave_nothing_behind(storage):
    storage.make_bucket("b")
    places = ["data.path=gs://b/photos", "artifacts.folder=gs://b/artifacts/"]
    check_places(load_config(overrides=[DATAFLOW, *places]))
    assert storage.names("b") == []
    check_places(load_config())


def test_artifacts_elsewhere_are_refused():
    with pytest.raises(ConfigError, match="artifacts.folder is '/mnt/x', expected a gs:// folder"):
        load_config(overrides=["artifacts.folder=/mnt/x"])
