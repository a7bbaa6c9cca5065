import shutil

import pytest

from benchmarks.flink import flink
from benchmarks.runs import BenchmarkSettings
from configs.errors import EnvironmentSetupError


def test_no_java_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    settings = BenchmarkSettings(tmp_path, 400, 1, tmp_path)
    with pytest.raises(EnvironmentSetupError, match=r"no 'java' on PATH, expected Java 11 or 17"):
        flink(settings)
