import keras
import numpy as np
import pytest

from configs.errors import ConfigError
from configs.types import TrainConfig
from trainer.backbones import EMBEDDING_LAYER
from trainer.model import build_classifier, compile_classifier


def _build(num_classes=2, side=64, **settings):
    return build_classifier(
        TrainConfig(**settings), num_classes=num_classes, height_pixels=side, width_pixels=side
    )


def test_reference_network_has_the_known_number_of_parameters():
    assert _build(backbone="reference").count_params() == 1_625_281


def test_more_classes_have_one_logit_each():
    model = _build(num_classes=10, backbone="reference")
    assert model.count_params() == 1_625_281 + 9 * 129
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize("backbone", ["reference", "compact"])
def test_two_classes_share_one_sigmoid_unit(backbone):
    model = _build(backbone=backbone, side=16)
    logits = np.asarray(model(np.random.default_rng(0).uniform(0, 255, (3, 16, 16, 3))))
    assert logits.shape == (3, 2)
    assert (logits[:, 0] == 0).all()
    assert np.ptp(logits[:, 1]) > 0


@pytest.mark.parametrize("backbone", ["reference", "compact"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_logits_are_float32_under_mixed_precision(backbone, policy):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        model = _build(backbone=backbone, side=16)
    finally:
        keras.config.set_dtype_policy(before)
    assert model.output.dtype == "float32"
    assert model.get_layer(EMBEDDING_LAYER).compute_dtype == policy.removeprefix("mixed_")


def test_width_multiplier_scales_the_filters():
    model = _build(backbone="reference", width_multiplier=0.5)
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [16, 32]


@pytest.mark.parametrize("side", [8, 10, 64, 224])
def test_compact_network_fits_any_size(side):
    model = _build(num_classes=5, side=side, backbone="compact")
    assert model.output_shape == (None, 5)
    assert model.count_params() < 1_000_000


def test_an_image_too_small_for_the_reference_network_is_refused():
    with pytest.raises(ConfigError, match=r"images are 9x9 pixels, .* needs at least 10"):
        _build(side=9, backbone="reference")


def test_learning_rate_rises_to_its_peak_and_falls_to_zero():
    model = _build(side=16, backbone="reference")
    compile_classifier(model, TrainConfig(learning_rate=0.01), total_steps=100, use_xla=False)
    schedule = model.optimizer._learning_rate  # Keras has no other way to the schedule
    rates = [float(schedule(step)) for step in range(101)]
    assert np.argmax(rates) == 5
    assert max(rates) == pytest.approx(0.01)
    assert rates[0] == pytest.approx(0.001)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_logits_are_of_both_signs():
    model = build_classifier(
        TrainConfig(backbone="reference"), num_classes=10, height_pixels=16, width_pixels=16
    )
    random = np.random.default_rng(5)
    logits = np.asarray(model(random.uniform(0, 255, (8, 16, 16, 3)).astype(np.float32)))
    assert logits.min() < 0 < logits.max()
