"""`text.chunk`: cuts a long text into parts, each a record of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from mmdata.errors import RecipeError, RecordError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import Outcome
from mmdata.stages.chunk_borders import Border, ruler_of
from mmdata.stages.languages import LanguageStage
from mmdata.stages.text import check_encodable
from mmdata.values import Text, Tokens, Value


class Chunk(LanguageStage):
    """Makes several records of one, each with a part of the text, on borders of sentences where possible.

    A part holds as many whole sentences as fit; of a sentence that does not fit it holds whole words, and of such a word whole
    characters (grapheme clusters, Unicode Standard Annex 29). An overlap is left out where it would cost a whole sentence.
    Spans, lineage and tokens follow, and no token is cut. White space at the ends of a part goes, unless there are tokens.
    Tokens that stand for no character, such as `<bos>` and `<eos>`, are kept around each part and count. Measures of the whole
    text do not hold for its parts and go; so measure after this.

    Example:
        - text.chunk: {tokens: tokens, unit: tokens, most: 512, overlap: 64}
    """

    most: int = Field(2000, ge=1, description="greatest size of a part, in units")
    overlap: int = Field(0, ge=0, description="how much of the end of a part the next one may repeat, in units; less than most")
    unit: Literal["characters", "tokens"] = Field("characters", description="what is counted: code points, or tokens")
    tokens: str | None = Field(None, description="the tokens field that points into the text, if there is one; it is cut too")
    border: Border = Field("sentence", description="the largest thing that is kept whole where it fits")
    others: Literal["keep", "first"] = Field(
        "keep", description="whether each part keeps the other fields, such as a picture, or the first part alone"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.overlap >= self.most:
            raise ValueError(f"overlap must be less than most, {self.most}, or no part would bring anything new")
        if self.unit == "tokens" and self.tokens is None:
            raise ValueError("unit tokens needs the name of the tokens field: tokens")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the fields and the metadata column, and remove the measures of the text."""
        schema = super().infer(schema)
        if self.tokens is not None and (found := schema.require(self.tokens, "tokens").text) != self.field:
            raise RecipeError(f"the tokens in {self.tokens!r} point into {found!r}, not {self.field!r}")
        for name, type_ in schema.fields.items():
            if type_.text == self.field and name != self.tokens:
                raise RecipeError(f"the tokens in {name!r} point into {self.field!r} and would be left whole; chunk before them")
        return replace(schema, measures={name: one for name, one in schema.measures.items() if not self._is_of_text(name)})

    def reads(self) -> frozenset[str]:
        """Every field: the stage decides how many records there are."""
        return frozenset("*")

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the parts. Raises RecordError for a text with lone surrogates, or for one that cannot be cut small enough."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        tokens = record.fields.get(self.tokens) if self.tokens is not None else None
        tokens = tokens if isinstance(tokens, Tokens) else None
        whole = replace(record, measures={name: one for name, one in record.measures.items() if not self._is_of_text(name)})
        parts = [self._part(value, tokens, start, end) for start, end in self._places(record, value.text, tokens)]
        if not parts:
            return [whole]
        rest = whole if self.others == "keep" else whole.without(*(record.fields.keys() - parts[0].keys()))
        return [(rest if number else whole).with_fields(**part) for number, part in enumerate(parts)]

    def _is_of_text(self, measure: str) -> bool:
        return measure.startswith(f"{self.field}.")

    def _places(self, record: Record, text: str, tokens: Tokens | None) -> Iterator[tuple[int, int]]:
        """Give the start and end of each part, without those that hold only white space where there are no tokens."""
        around = int(np.count_nonzero(~_covers(tokens))) if tokens is not None and self.unit == "tokens" else 0
        if around >= self.most:
            raise RecordError("text cannot be cut", f"{around} special tokens leave no room in {self.most}")
        offsets = None if tokens is None else tokens.offsets
        ruler = ruler_of(text, self.tag_of(record), self.border, offsets, count_tokens=self.unit == "tokens")
        for start, end in ruler.chunks(self.most - around, self.overlap):
            if tokens is not None:
                yield start, end
            elif found := text[start:end].strip():
                first = start + len(text[start:end]) - len(text[start:end].lstrip())
                yield first, first + len(found)

    def _part(self, text: Text, tokens: Tokens | None, start: int, end: int) -> dict[str, Value]:
        """Return the fields of one part: the text, and the tokens if there are any."""
        part: dict[str, Value] = {self.field: text.edited([(0, start, ""), (end, len(text.text), "")], self.stage)}
        if tokens is not None and self.tokens is not None:
            covers, offsets = _covers(tokens), tokens.offsets
            is_here = ~covers | ((offsets[:, 0] >= start) & (offsets[:, 1] <= end))
            moved = np.where(covers[:, None], offsets - np.int32(start), np.int32(0))
            part[self.tokens] = Tokens(tokens.ids[is_here], moved[is_here])
        return part


def _covers(tokens: Tokens) -> NDArray[np.bool_]:
    """Return for each token, bool [n], whether it stands for any character; special tokens do not."""
    return np.asarray(tokens.offsets[:, 0] < tokens.offsets[:, 1])
