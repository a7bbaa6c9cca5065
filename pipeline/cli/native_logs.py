"""Keeps what native libraries write off the screen while all goes well."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Generator

from configs.errors import PipelineError


@contextlib.contextmanager
def native_logs_kept() -> Generator[None]:
    """Hold back the standard error of a block, and show it when the block breaks.

    TensorFlow tells of its processor before any setting of logs reaches it, on the file
    descriptor and not on `sys.stderr`. An error of ours is a sentence and needs none of it.

    Yields:
        Nothing.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException as error:
            sys.stderr.flush()
            if not isinstance(error, PipelineError):
                kept.seek(0)
                os.write(screen, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
