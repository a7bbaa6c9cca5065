import itertools

from configs.errors import DataError, StageError
from pipeline.causes import explain


def chain(*errors):
    for cause, error in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[-1]


def test_the_error_of_ours_is_found_under_wrappers():
    error = chain(DataError("two classes"), RuntimeError("[while running 'ReadImages']"))
    assert explain(error).exit_code == 4
    assert str(explain(error)) == "two classes"


def test_a_strange_error_becomes_a_stage_error_with_the_innermost_message():
    error = chain(ValueError("bad\n  shape"), RuntimeError("wrapped"))
    assert isinstance(explain(error), StageError)
    assert str(explain(error)) == "ValueError: bad shape"


def test_an_error_without_message_still_says_its_kind():
    assert str(explain(KeyboardInterrupt())) == "KeyboardInterrupt: no message"
