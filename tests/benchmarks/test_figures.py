import math

import pytest

from benchmarks.figures import Figure, Result, Verdict, mebibytes, ratio
from configs.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "goal", "verdict"),
    [
        (1.9, 2.0, Verdict.REACHED),
        (2.0, 2.0, Verdict.REACHED),
        (2.001, 2.0, Verdict.NOT_REACHED),
        (math.nan, 2.0, Verdict.NOT_REACHED),
        (1e9, None, Verdict.NO_GOAL),
    ],
)
def test_a_goal_is_the_largest_good_value(value, goal, verdict):
    assert Figure("x", value, goal=goal).verdict is verdict


def test_a_result_names_the_goals_it_missed():
    good, bad, other = Figure("a", 1, goal=2), Figure("b", 3, goal=2), Figure("c", 9)
    assert Result("r", [good, bad, other]).missed == [bad]


def test_ratio_is_ours_over_the_peers():
    assert ratio(30.0, 20.0) == pytest.approx(1.5)


@pytest.mark.parametrize("peers", [0.0, -1.0, math.nan])
def test_a_peer_without_cost_is_no_peer(peers):
    with pytest.raises(ConfigError, match=r"cost of (0.0|-1.0|nan) .* Check that the peer ran"):
        ratio(1.0, peers)


def test_mebibytes_are_powers_of_two():
    assert mebibytes(3 << 30) == 3072
