from tfx.types import standard_artifacts

from components.baseline import LastBlessedModelStrategy


def model(identity):
    artifact = standard_artifacts.Model()
    artifact.id = identity
    return artifact


def blessing(identity, model_id, is_blessed=1):
    artifact = standard_artifacts.ModelBlessing()
    artifact.id = identity
    artifact.set_int_custom_property("blessed", is_blessed)
    artifact.set_int_custom_property("current_model_id", model_id)
    return artifact


def baseline(candidate, models, blessings):
    resolved = LastBlessedModelStrategy().resolve_artifacts(
        None, {"model": models, "model_blessing": blessings, "candidate": [candidate]}
    )
    return [found.id for found in resolved["model"]]


def test_the_newest_blessed_model_is_the_baseline():
    models = [model(1), model(2), model(3)]
    blessings = [blessing(10, 1), blessing(11, 2), blessing(12, 3, is_blessed=0)]
    assert baseline(model(4), models, blessings) == [2]


def test_a_candidate_is_never_its_own_baseline():
    models = [model(1), model(2)]
    blessings = [blessing(10, 1), blessing(11, 2)]
    assert baseline(model(2), models, blessings) == [1]
    assert baseline(model(1), [model(1)], [blessing(10, 1)]) == []


def test_without_models_there_is_no_baseline():
    assert baseline(model(1), [], []) == []
