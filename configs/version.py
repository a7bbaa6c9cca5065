"""The version of Loupe, where no installed distribution says it (as in container images)."""

from typing import Final

VERSION: Final = "0.1.0"
