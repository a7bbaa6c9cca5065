"""The rule that says what happens next to a model's versions."""

from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.lifecycle import Action, ActionKind, State, choose_action


def load(version):
    return Action(ActionKind.LOAD, version)


def unload(version):
    return Action(ActionKind.UNLOAD, version)


def test_the_new_version_is_loaded_before_the_old_one_goes():
    assert choose_action({1: State.AVAILABLE, 2: State.START}, {2}) == load(2)
    assert choose_action({1: State.AVAILABLE, 2: State.LOADING}, {2}) is None
    assert choose_action({1: State.AVAILABLE, 2: State.AVAILABLE}, {2}) == unload(1)
    assert choose_action({1: State.UNLOADING, 2: State.AVAILABLE}, {2}) is None


def test_a_failed_version_leaves_the_old_one():
    assert choose_action({1: State.AVAILABLE, 2: State.END}, {2}) is None


def test_of_several_unwanted_versions_only_the_highest_is_kept():
    states = {1: State.AVAILABLE, 2: State.AVAILABLE, 3: State.START}
    assert choose_action(states, {3}) == unload(1)


def test_everything_goes_when_nothing_is_wanted():
    assert choose_action({1: State.AVAILABLE}, set()) == unload(1)


def test_the_highest_version_is_loaded_first():
    assert choose_action({1: State.START, 2: State.START}, {1, 2}) == load(2)


@given(st.dictionaries(st.integers(0, 5), st.sampled_from(State)), st.sets(st.integers(0, 5)))
def test_no_step_takes_the_last_answer_away(states, aspired):
    action = choose_action(states, aspired)
    ready = {version for version, state in states.items() if state is State.AVAILABLE}
    if action is None:
        return
    if action.kind is ActionKind.LOAD:
        assert states[action.version] is State.START
        assert action.version in aspired
    else:
        assert action.version in ready - aspired
        assert ready - {action.version} or not aspired
