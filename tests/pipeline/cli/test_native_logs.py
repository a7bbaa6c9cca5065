import os

import pytest

from configs.errors import ConfigError
from pipeline.cli.native_logs import native_logs_kept


def write_and(action):
    with native_logs_kept():
        os.write(2, b"chatter\n")
        action()
    os.write(2, b"after\n")


def fail_with(error):
    def fail():
        raise error

    return fail


def test_chatter_is_not_shown_when_all_goes_well(capfd):
    write_and(lambda: None)
    assert capfd.readouterr().err == "after\n"


def test_an_error_of_ours_is_a_sentence_without_chatter(capfd):
    with pytest.raises(ConfigError):
        write_and(fail_with(ConfigError("x")))
    assert not capfd.readouterr().err


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_chatter_is_shown_when_something_breaks(capfd, error):
    with pytest.raises(type(error)):
        write_and(fail_with(error))
    assert capfd.readouterr().err == "chatter\n"
    os.write(2, b"open\n")
    assert capfd.readouterr().err == "open\n"
