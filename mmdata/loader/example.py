"""The example: one decoded record, before it becomes a row of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmdata.loader.decoding import Decoded


class Example(NamedTuple):
    """A decoded record: its key, its fields by name, and its metadata.

    By kind: image uint8 [height, width, 3]; video uint8 [frames, height, width, 3]; audio int16 or float32 [channels, samples];
    tokens int32 [tokens]; text str; array as stored. A field that is absent from the record is empty.
    """

    key: str
    fields: Mapping[str, Decoded]
    metadata: Mapping[str, Any]
