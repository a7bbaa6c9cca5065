"""Stages for the tests of the entry point, which imports them by name in a process of its own."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tfx.dsl.components.base import base_executor

from configs.errors import DataError


class BrokenData(base_executor.BaseExecutor):
    """Finds that its data is no good, deep inside another library."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802
        try:
            raise DataError("the data has 1 class,\nexpected at least 2. Add images.")
        except DataError as error:
            raise RuntimeError("[while running 'ReadImages']") from error


class Endless(base_executor.BaseExecutor):
    """Works for ever, with a process and a folder of its own."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        try:
            with tempfile.TemporaryDirectory() as folder:
                Path(exec_properties["notes"]).write_text(f"{child.pid}\n{folder}\n")
                time.sleep(600)
        finally:
            child.terminate()
            child.wait()
