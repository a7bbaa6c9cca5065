import asyncio
import dataclasses

import numpy as np
import pytest

from configs.errors import ConfigError
from serving.gateway.model.fallback import Fallback
from serving.gateway.model.lite import LiteModel
from serving.gateway.records import Route
from serving.gateway.settings import FallbackSettings, UploadSettings
from serving.gateway.uploads.images import check_image
from serving.gateway.uploads.upload import Upload

PLAIN = 7
LIMITS = UploadSettings(refused=frozenset())


def _check(data):
    return check_image(Upload(data), LIMITS)


@pytest.fixture(scope="module")
def lite_model(lite_files):
    model = LiteModel(*lite_files)
    yield model
    model.close()


@pytest.fixture(scope="module")
def signature(model_folders):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(model_folders[PLAIN]))
    return lambda data: {
        name: value.numpy()[0]
        for name, value in loaded.signatures["serving_default"](tf.constant([data])).items()
    }


def test_answers_are_close_to_those_of_the_saved_model(lite_model, signature, encoded):
    answer, expected = asyncio.run(lite_model.predict(_check(encoded))), signature(encoded)
    np.testing.assert_allclose(answer.probabilities, expected["probabilities"], atol=0.01)
    assert answer.label == answer.classes[answer.label_id]
    assert answer.probability == pytest.approx(max(answer.probabilities))
    assert answer.version == 0
    assert answer.classes == ("bag", "hät", "shoe")


def test_large_jpegs_are_scaled_as_in_the_saved_model(lite_model, signature, draw_photo, encode):
    data = encode(draw_photo(2000, 3000), "JPEG")
    answer = asyncio.run(lite_model.predict(_check(data)))
    np.testing.assert_allclose(answer.probabilities, signature(data)["probabilities"], atol=0.01)


def test_many_at_once_get_their_own_answers(lite_model, encoded_formats):
    images = list(encoded_formats.values()) * 3

    async def ask():
        return await asyncio.gather(*(lite_model.predict(_check(data)) for data in images))

    together = [answer.probabilities for answer in asyncio.run(ask())]
    alone = [asyncio.run(lite_model.predict(_check(data))).probabilities for data in images]
    assert together == alone


def test_files_that_do_not_fit_are_refused(lite_files, tmp_path):
    file, labels = lite_files
    short = tmp_path / "labels.txt"
    short.write_text("bag\nshoe\n")
    with pytest.raises(ConfigError, match=r"has 2 classes, expected the 3 of"):
        LiteModel(file, short)
    with pytest.raises(ConfigError, match=r"labels '.*missing.txt' cannot be read"):
        LiteModel(file, tmp_path / "missing.txt")
    with pytest.raises(ConfigError, match=r"fallback model '.*labels.txt' cannot be loaded"):
        LiteModel(labels, labels)


def _ask(policy, data, default_label, files=(None, None)):
    fallback = Fallback(
        FallbackSettings(policy=policy, lite_model_file=files[0], labels_file=files[1])
    )
    try:
        found = asyncio.run(fallback.predict(data and _check(data), default_label))
        assert (found is not None) == fallback.can_answer(default_label)
        return found
    finally:
        fallback.close()


def test_policy_model_answers_with_the_lite_model(lite_files, lite_model, encoded_formats):
    data = encoded_formats["png colour"]
    found = _ask("model", data, "unknown", lite_files)
    assert found.route is Route.FALLBACK_MODEL
    expected = dataclasses.replace(asyncio.run(lite_model.predict(_check(data))), model_ms=0)
    assert dataclasses.replace(found.answer, model_ms=0) == expected


def test_policy_default_answers_with_the_rules_default():
    found = _ask("default", None, "unknown")
    assert found.route is Route.FALLBACK_DEFAULT
    assert (found.answer.label, found.answer.probability) == ("unknown", 0.0)
    assert [one.label for one in found.answer.most_probable(5)] == ["unknown"]


@pytest.mark.parametrize(("policy", "default_label"), [("refuse", "unknown"), ("default", "")])
def test_other_policies_have_no_answer(policy, default_label):
    assert _ask(policy, None, default_label) is None
