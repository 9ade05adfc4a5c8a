"""The stage that learns the mean and deviation of a corpus of pictures, for the loader or to apply them at once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmdata.errors import NothingToLearnError
from mmdata.record import Record
from mmdata.schema import FieldType, Schema
from mmdata.stages.base import FitStage
from mmdata.values import Array, Image

Mean = Annotated[float, Field(ge=0.0, le=1.0)]
Deviation = Annotated[float, Field(gt=0.0, le=1.0)]

_CHANNELS = ("red", "green", "blue")
_EXACT_COUNTS = 1 << 24  # OpenCV's histograms are float32: whole numbers up to here


@dataclass(frozen=True)
class Statistics:
    """Mean and deviation of red, green and blue on the scale [0, 1], over this number of pixels."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    pixels: int


class Normalize(FitStage):
    """Learns the mean and the deviation of red, green and blue over the corpus, and keeps them for the loader or applies them.

    The fit pass sees the pictures as they come into this stage, all pixels alike, and sums whole numbers, so the result does not
    depend on how the rows are divided. The deviation is that of the population. With `output: array`, boxes and points end here.

    Example:
        stages:
          - image.normalize: {output: statistics}
    """

    keeps_all: ClassVar[bool] = True

    field: str = Field("image", description="The field of the pictures.")
    output: Literal["statistics", "array"] = Field(
        "statistics",
        description="statistics: pixels stay as they are, the loader normalizes. array: float32 [3, height, width], normalized.",
    )
    mean: tuple[Mean, Mean, Mean] | None = Field(
        None, description="Mean of red, green and blue, each 0 to 1, in place of the fit pass; needs `deviation`."
    )
    deviation: tuple[Deviation, Deviation, Deviation] | None = Field(
        None, description="Deviation of red, green and blue, each above 0, at most 1; needs `mean`."
    )

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.mean is None) != (self.deviation is None):
            raise ValueError("mean and deviation must be given together")
        return self

    @property
    def needs_fit(self) -> bool:
        """Whether the statistics must still be learned: not where the options give them."""
        return self.mean is None and super().needs_fit

    def statistics(self) -> dict[str, Any]:
        """The mean and deviation in use, by field. Raises RuntimeError before the fit pass."""
        found = self._in_use()
        return {self.field: {"mean": list(found.mean), "deviation": list(found.deviation)}}

    def _in_use(self) -> Statistics:
        if self.mean is not None and self.deviation is not None:
            return Statistics(self.mean, self.deviation, 0)
        return _read(self.learned[self._file])

    def infer(self, schema: Schema) -> Schema:
        """Check the field; with `output: array` it becomes float32 [3, height, width]."""
        found = schema.require(self.field, "image")
        if self.output == "statistics":
            return schema
        height, width = (found.shape or (None, None))[:2]
        return schema.with_field(self.field, FieldType("array", dtype="float32", shape=(3, height, width)))

    def __call__(self, record: Record, rng: np.random.Generator) -> Record:  # noqa: ARG002 - the interface of every stage
        """Return the record, its picture unchanged or as an array; a record that lacks it passes unchanged."""
        if self.output == "statistics" or self.field not in record.fields:
            return record
        pixels = cast("Image", record[self.field]).pixels
        return record.with_fields(**{self.field: Array(_normalized(pixels, self._in_use()))})

    def observe(self, records: Iterable[Record]) -> pa.Table:
        """Return one row a picture: `pixels`, and by channel `sum_…` and `squares_…`, all int64 and exact."""
        pictures = (record.fields.get(self.field) for record in records)
        rows = [_sums(cast("Image", picture).pixels) for picture in pictures if picture is not None]
        names = ["pixels", *(f"sum_{name}" for name in _CHANNELS), *(f"squares_{name}" for name in _CHANNELS)]
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return pa.table({name: pa.array(column, pa.int64()) for name, column in zip(names, columns, strict=True)})

    def reduce(self, observations: pa.Table) -> dict[str, bytes]:
        """Return the statistics as one file of canonical JSON. Raises NothingToLearnError where no picture came."""
        pixels = _total(observations["pixels"])
        if pixels == 0:
            raise NothingToLearnError(f"no picture of field {self.field!r} came to {self.stage}: there is nothing to learn from")
        sums = [_total(observations[f"sum_{name}"]) for name in _CHANNELS]
        squares = [_total(observations[f"squares_{name}"]) for name in _CHANNELS]
        mean = tuple(total / (pixels * 255) for total in sums)
        # The variance as a ratio of whole numbers: nothing cancels, and the order of rows cannot matter.
        deviation = tuple(math.sqrt(pixels * s - total * total) / (pixels * 255) for total, s in zip(sums, squares, strict=True))
        text = json.dumps(asdict(Statistics(mean, deviation, pixels)), sort_keys=True, separators=(",", ":"))
        return {self._file: text.encode()}

    @property
    def files(self) -> tuple[str, ...]:
        """The statistics, named after the field."""
        return (self._file,)

    @property
    def _file(self) -> str:
        return f"{self.field}-statistics.json"


def _total(column: pa.ChunkedArray) -> int:
    """Sum int64 numbers without overflow: high and low halves apart."""
    high = pc.sum(pc.shift_right(column, 32)).as_py() or 0
    low = pc.sum(pc.bit_wise_and(column, 0xFFFFFFFF)).as_py() or 0
    return int(high) * (1 << 32) + int(low)


def _sums(pixels: NDArray[np.uint8]) -> list[int]:
    """Return the number of pixels, the sums of the three channels and the sums of their squares, exactly."""
    rows = max(1, _EXACT_COUNTS // pixels.shape[1])
    counts = np.zeros((3, 256), np.int64)
    for start in range(0, len(pixels), rows):
        part = pixels[start : start + rows]
        for channel in range(3):
            counts[channel] += cv2.calcHist([part], [channel], None, [256], [0, 256]).reshape(256).astype(np.int64)
    values = np.arange(256)
    return [pixels.shape[0] * pixels.shape[1], *(counts @ values).tolist(), *(counts @ (values * values)).tolist()]


def _normalized(pixels: NDArray[np.uint8], statistics: Statistics) -> NDArray[np.float32]:
    """Return (pixels / 255 - mean) / deviation as float32 [3, height, width]; a deviation of 0 divides by 1."""
    looked_up: Any = cv2.LUT(np.ascontiguousarray(pixels), _table(statistics))
    return np.stack(cv2.split(looked_up))


@lru_cache(maxsize=8)
def _table(statistics: Statistics) -> NDArray[np.float32]:
    """Return what each level becomes: float32 [1, 256, 3]."""
    mean = np.array(statistics.mean)
    deviation = np.array([deviation or 1.0 for deviation in statistics.deviation])
    table: NDArray[np.float32] = ((np.arange(256)[:, None] / 255 - mean) / deviation).astype(np.float32)[None]
    table.setflags(write=False)
    return table


@lru_cache(maxsize=8)
def _read(content: bytes) -> Statistics:
    found = json.loads(content)
    return Statistics(tuple(found["mean"]), tuple(found["deviation"]), found["pixels"])
