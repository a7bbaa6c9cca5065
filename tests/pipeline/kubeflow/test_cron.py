import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from pipeline.kubeflow.cron import check_cron

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is slow, and no failure."""
LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def parts(low, high):
    number = st.integers(low, high)
    step = st.integers(1, 70)
    ranges = st.tuples(number, number).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
    return st.one_of(
        st.just("*"),
        st.just("?"),
        number.map(str),
        ranges,
        step.map(lambda n: f"*/{n}"),
        st.tuples(number, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
        st.tuples(ranges, step).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    )


def fields(low, high):
    return st.lists(parts(low, high), min_size=1, max_size=3).map(",".join)


@PATIENT
@given(st.tuples(*(fields(low, high) for low, high in LIMITS)), st.data())
def test_what_the_scheduler_reads_is_accepted_and_one_wrong_field_is_not(values, data):
    # A day that no month has is its own matter: here every month has the first.
    values = (*values[:3], f"1,{values[3]}", *values[4:])
    assert check_cron("  ".join(values)) == " ".join(values)
    wrong = data.draw(st.integers(0, 5))
    low, high = LIMITS[wrong]
    bad = data.draw(
        st.sampled_from([f"{high + 1}", f"{high}-{low}", "*/0", "x", "1-", "*-3", "-1"])
    )
    with pytest.raises(ConfigError, match="expected"):
        check_cron(" ".join((*values[:wrong], bad, *values[wrong + 1 :])))


@PATIENT
@given(st.text())
def test_any_text_is_accepted_or_refused_and_nothing_else(text):
    with contextlib.suppress(ConfigError):
        assert len(check_cron(text).split()) == 6


def test_names_of_months_and_days_are_accepted():
    assert check_cron("0 30 9 ? JAN-jun Mon-FRI") == "0 30 9 ? JAN-jun Mon-FRI"


def test_five_fields_are_told_apart_because_the_scheduler_would_misread_them():
    with pytest.raises(ConfigError, match="five fields, expected six.*Write '0 30 3 \\* \\* 1'"):
        check_cron("30 3 * * 1")


@pytest.mark.parametrize("expression", ["", "0 0 3 * *  * *", "@daily", "@every 1h"])
def test_another_number_of_fields_is_refused(expression):
    with pytest.raises(ConfigError, match="expected six"):
        check_cron(expression)


@pytest.mark.parametrize("expression", ["0 0 3 31 2 *", "0 0 3 31 2,4,6 ?", "0 0 3 30-31 feb *"])
def test_a_day_that_never_comes_is_refused(expression):
    with pytest.raises(ConfigError, match="would never run"):
        check_cron(expression)


def test_a_rare_day_and_a_weekday_beside_it_are_fine():
    check_cron("0 0 3 29 2 *")
    check_cron("0 0 3 31 2 1")
