"""`record.deduplicate`: finds records of the same, or nearly the same, content in a fit pass over the corpus; keeps the first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.sketch.content import content_digest
from mmdata.sketch.near import AudioLikeness, ImageLikeness, Likeness, TextLikeness, near_repeats, sketch_of
from mmdata.stages.base import JudgingStage, Outcome
from mmdata.stages.record import check_fields
from mmdata.values import Value

_FILE = "duplicates.jsonl"
_CONTENT = {"exact": pa.binary(32), "near": pa.map_(pa.string(), pa.large_binary())}


class Deduplicate(JudgingStage):
    """Rejects a record whose content is the same as that of an earlier one, byte for byte, or nearly the same.

    Compared is the content as it is at this stage, not annotations, metadata or keys. The first in row order stays; what an
    earlier stage turns away is not compared. A record that has none of the fields is no duplicate. With `near`, pictures
    are compared by perceptual hash, texts by MinHash, sounds by the fingerprint of Haitsma and Kalker, all other fields byte
    for byte; pictures and sounds must be decoded. A record that is rejected really is near the one it is rejected for: likeness
    is not handed on from one record to the next.

    Example:
        - record.deduplicate: {method: near, fields: [image, text]}
    """

    version: ClassVar[int] = 2
    every_split: ClassVar[bool] = True

    method: Literal["exact", "near"] = Field("exact", description="exact: byte for byte. near: by sketches of the content.")
    fields: tuple[str, ...] = Field(
        (), description="The fields that must all be the same, or near; every field where none is named."
    )
    image_bits: int = Field(
        7, ge=0, le=11, description="near: how many of the 64 bits of the perceptual hashes of pictures may differ, 0 to 11."
    )
    image_crops: bool = Field(
        default=True,
        description="near: whether a picture is near one that it was cut out of, where up to a tenth of each side is gone; "
        "without, the fit pass needs a tenth of the memory and is faster.",
    )
    text_similarity: float = Field(
        0.7, ge=0.3, le=1.0, description="near: share of runs of characters that texts have in common at least, 0.3 to 1."
    )
    text_shingle: int = Field(3, ge=1, le=50, description="near: characters in a run, 1 to 50; 3 for captions, 5 for long texts.")
    audio_errors: float = Field(
        0.2, ge=0.0, le=0.35, description="near: share of the bits of the fingerprints of sounds that may differ, 0 to 0.35."
    )

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        unused = self.model_fields_set & {"image_bits", "image_crops", "text_similarity", "text_shingle", "audio_errors"}
        changed = sorted(name for name in unused if getattr(self, name) != type(self).model_fields[name].default)
        if self.method == "exact" and changed:
            raise ValueError(f"{changed[0]} is for method near, not for method exact")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check that the fields exist, and with `near` that pictures and sounds are decoded."""
        check_fields(schema, self.fields)
        if self.method == "near":
            for name in self.fields or schema.fields:
                if (kind := schema.fields[name].kind) in {"image", "audio"}:
                    schema.require(name, kind)
        return schema

    def reads(self) -> frozenset[str]:
        """None: once it has learned, it knows its records by their keys."""
        return frozenset()

    def observes(self) -> frozenset[str]:
        """All fields: what any stage before turns away must not be kept as the first."""
        return frozenset("*")

    @property
    def files(self) -> tuple[str, ...]:
        """The duplicates."""
        return (_FILE,)

    def observe(self, records: Iterable[Record]) -> pa.Table:
        """Return columns `key` and `content`: one sha256, or sketches by field; null for a record that has no content."""
        seen = [(record.key, self._content(self._compared(record))) for record in records]
        types = {"key": pa.string(), "content": _CONTENT[self.method]}
        columns = (pa.array([line[number] for line in seen], type_) for number, type_ in enumerate(types.values()))
        return pa.table(list(columns), names=list(types))

    def reduce(self, observations: pa.Table) -> dict[str, bytes]:
        """Return one line of JSON for each duplicate: [key, key kept]."""
        keys, content = observations.filter(pc.is_valid(observations["content"])).combine_chunks().columns
        if self.method == "exact":
            repeats = _repeats(content)
        else:
            repeats = near_repeats((dict(sketches.as_py()) for sketches in content), self._likeness)
        lines = [json.dumps([keys[place].as_py(), keys[first].as_py()]) + "\n" for place, first in repeats]
        return {_FILE: "".join(lines).encode()}

    def verdicts(self, observations: pa.Table) -> list[str]:
        """Return for each record observed the key of the one that is kept in its place."""
        kept = _duplicates(self.learned[_FILE])
        return [kept.get(key, "") for key in observations["key"].to_pylist()]

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record, or a Reject of kind `duplicate` that names the one kept."""
        kept = _duplicates(self.learned[_FILE]).get(record.key)
        if kept is None:
            return record
        reason = "same content as an earlier row" if self.method == "exact" else "nearly the same content as an earlier row"
        return Reject("duplicate", reason, kept)

    def _compared(self, record: Record) -> dict[str, Value]:
        return {name: record[name] for name in self.fields or sorted(record.fields) if name in record.fields}

    def _content(self, compared: Mapping[str, Value]) -> bytes | list[tuple[str, bytes]] | None:
        if not compared:
            return None
        if self.method == "exact":
            return content_digest(compared)
        return [(name, sketch_of(value, self._likeness)) for name, value in compared.items()]

    @property
    def _likeness(self) -> dict[str, Likeness]:
        return {
            "image": ImageLikeness(self.image_bits, self.image_crops),
            "text": TextLikeness(self.text_similarity, self.text_shingle),
            "audio": AudioLikeness(self.audio_errors),
        }


def _repeats(digests: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """Give (place, place of the first) of each digest that stood before."""
    codes = digests.combine_chunks().dictionary_encode().indices.to_numpy()
    _, firsts, inverse = np.unique(codes, return_index=True, return_inverse=True)
    first = firsts[inverse]
    for place in np.flatnonzero(first != np.arange(len(codes))):
        yield int(place), int(first[place])


@lru_cache(maxsize=8)
def _duplicates(content: bytes) -> dict[str, str]:
    """Return the key of the record that is kept, by the key of each that is not."""
    return dict(json.loads(line) for line in content.splitlines())
