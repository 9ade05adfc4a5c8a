"""`text.words`: marks the words of a text as spans, by spaCy's rules for its language, and by ICU where no spaces part them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np
from pydantic import Field

from mmdata.record import Record
from mmdata.stages.base import Outcome
from mmdata.stages.boundaries import word_pieces
from mmdata.stages.languages import LanguageStage, code_of, keep_small, pipeline_of
from mmdata.stages.text import check_encodable
from mmdata.values import Span, Text

# spaCy parts Chinese into characters, and needs further packages for the others: what it does would hang on what is installed.
_NOT_BY_SPACY = frozenset({"ja", "ko", "th", "vi", "zh"})
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Kana and Han: scripts whose words do not stand apart."""


class Words(LanguageStage):
    """Marks each word of a text with a span, found by the spaCy tokenizer of its language.

    Punctuation marks are words of their own, white space is none. Where no language is given, that which `text.language` found
    counts. A language that spaCy does not know, Korean and Vietnamese are treated by its rules of `xx` (many languages). Chinese,
    Japanese, Thai, Lao, Burmese and Khmer put no spaces between words: there the borders are those of ICU (Unicode Standard
    Annex 29, with its dictionaries), in a text of any language.

    Example:
        - text.words: {language_column: lang}
    """

    version: ClassVar[int] = 2
    keeps_all: ClassVar[bool] = True

    label: str = Field("word", description="label of the spans")

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Add the spans. Raises RecordError for a text with lone surrogates; a record without the field stays as it is."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        words = [Span(start, end, self.label) for start, end in words_in(value.text, self.tag_of(record))]
        return record.with_fields(**{self.field: replace(value, spans=(*value.spans, *words))})


def words_in(text: str, tag: str) -> Iterator[tuple[int, int]]:
    """Give the start and end of each word of a text in a language, in order; of an unknown one by common rules."""
    code = code_of(tag)
    language = pipeline_of("xx" if code in _NOT_BY_SPACY else code)
    for token in language.tokenizer(text):
        if _WITHOUT_SPACES.search(token.text):
            yield from _cut(token.text, token.idx)
        elif not token.is_space:
            yield token.idx, token.idx + len(token)
    keep_small(language)


def _cut(token: str, start: int) -> Iterator[tuple[int, int]]:
    """Give the start and end of each word of a token that begins at a place of the text."""
    for piece in word_pieces(token):
        if not piece.isspace():
            yield start, start + len(piece)
        start += len(piece)
