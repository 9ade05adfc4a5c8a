"""What one record may cost a build at most: time and memory, as the recipe says it."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?B)?\s*", re.IGNORECASE)


def _bytes(value: object) -> object:
    """Return a text such as `4GiB` as a number of bytes, and anything else as it is."""
    found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    unit = (found[2] or "").upper() if found else ""
    return int(float(found[1]) * _UNITS[unit]) if found and unit in _UNITS else value


class Limits(BaseModel):
    """Limits that turn a record into a reject where it would stop the build, or take the memory of all others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(
        600.0, gt=0.0, allow_inf_nan=False, description="longest time for a row, or for one record of a row that makes several"
    )
    memory: Annotated[int, BeforeValidator(_bytes)] = Field(
        8 * 2**30,
        ge=64 * 2**20,
        le=2**50,
        description="bytes a worker may take for its records, on top of what it holds at the start; a number, or such as '4GiB'",
    )
