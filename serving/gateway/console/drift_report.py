"""Reads the report that drift monitoring leaves behind."""

import datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, Field, ValidationError

from configs.errors import DataError

_MAX_BYTES: Final = 4 << 20
Verdict = Literal["ok", "warning", "drift"]


class FeatureDrift(BaseModel):
    """How far one feature has moved.

    Attributes:
        name: the feature, or the label.
        statistic: name of the measure, such as `psi`.
        value: the measure.
        threshold: from which value on it counts as drift.
        verdict: what the monitor made of it.
    """

    name: str
    statistic: str
    value: float = Field(allow_inf_nan=False)
    threshold: float = Field(allow_inf_nan=False)
    verdict: Verdict


class DriftReport(BaseModel):
    """One comparison of live traffic with a reference.

    Attributes:
        window_start: beginning of the live window.
        window_end: its end.
        reference: what it was compared with.
        reference_samples: size of the reference.
        live_samples: predictions in the window.
        features: what was compared.
        verdict: of the whole.
    """

    window_start: datetime.datetime
    window_end: datetime.datetime
    reference: str = ""
    reference_samples: int = Field(ge=0)
    live_samples: int = Field(ge=0)
    features: list[FeatureDrift]
    verdict: Verdict


def read_drift_report(file: Path) -> DriftReport | None:
    """Read the newest report.

    Args:
        file: where the monitor writes it.

    Returns:
        The report; None while there is no such file.

    Raises:
        DataError: the file cannot be read, is too large or is no drift report.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise DataError(
                f"drift report '{file}' has {file.stat().st_size} bytes, expected at most "
                f"{_MAX_BYTES}. Name the report of one window."
            )
        return DriftReport.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(
            f"drift report '{file}' cannot be read: {error}. Let the gateway's user read it."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(
            f"drift report '{file}': {where}: {first['msg']}. Expected the JSON of the drift "
            "monitor; run it again."
        ) from error
