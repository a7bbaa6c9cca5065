import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2), ("500m", 0.5), (".5", 0.5), ("1.5", 1.5), ("4Gi", 4 << 30), ("1k", 1000)],
)
def test_quantities_are_read_as_kubernetes_reads_them(text, value):
    assert parse_quantity("cpu", text) == pytest.approx(value)


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", "m", "k", "Mi", "Gi"]))
def test_every_ending_multiplies(number, ending):
    one = parse_quantity("cpu", f"1{ending}")
    assert parse_quantity("cpu", f"{number}{ending}") == pytest.approx(float(number) * one)


@given(st.text(st.characters(exclude_characters="0123456789")))
def test_what_has_no_digit_is_an_error_that_names_the_setting(text):
    with pytest.raises(ConfigError, match="expected a Kubernetes quantity such as") as caught:
        parse_quantity("memory", text)
    assert str(caught.value).startswith(f"memory is '{text}'")
