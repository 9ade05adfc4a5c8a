"""The stage that gives pictures their perceptual hashes: `image.hash`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import FieldStage, Outcome
from mmdata.values import Image, Kind
from mmdata.vision.perceptual_hash import dhash, phash

_HASHES: dict[str, Callable[[NDArray[np.uint8]], str]] = {"phash": phash, "dhash": dhash}


class Hash(FieldStage[Image]):
    """Adds perceptual hashes to the measures, by which near copies of a picture can be found; the picture stays as it is.

    `FIELD.phash` is by discrete cosine transform, `FIELD.dhash` by differences of neighbours; both are 64 bits as 16 hexadecimal
    digits, the same as from `imagehash`. Near copies differ in few bits: at most about 10 of the 64.

    Example:
        stages:
          - image.hash: {methods: [phash, dhash]}
    """

    kind: ClassVar[Kind] = "image"
    keeps_all: ClassVar[bool] = True

    field: str = Field("image", description="The field of the pictures.")
    methods: tuple[Literal["phash", "dhash"], ...] = Field(
        ("phash",), min_length=1, description="phash (sturdier), dhash (faster), or both."
    )

    def infer(self, schema: Schema) -> Schema:
        """Check the field and add the measures."""
        return super().infer(schema).with_measures({f"{self.field}.{method}": "str" for method in self.methods})

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record with its hashes."""
        if self.field not in record.fields:
            return record
        pixels = cast("Image", record[self.field]).pixels
        return record.with_measures({f"{self.field}.{method}": _HASHES[method](pixels) for method in self.methods})

    def apply(self, value: Image, rng: np.random.Generator) -> Image:  # noqa: ARG002 - the interface of every field stage
        """Return the picture as it is."""
        return value
