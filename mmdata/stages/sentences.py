"""`text.sentences`: marks the sentences of a text as spans, by spaCy's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from mmdata.record import Record
from mmdata.stages.base import Outcome
from mmdata.stages.languages import LanguageStage, code_of, keep_small, pipeline_of
from mmdata.stages.text import check_encodable
from mmdata.values import Span, Text

if TYPE_CHECKING:
    from spacy.pipeline import Sentencizer
    from spacy.tokens import Doc

# Their tokenizers look for words, at the cost of large packages, or take each character for one; sentences need neither.
_WITHOUT_SPACES = frozenset({"zh", "ja", "ko", "th", "vi"})
# What opens a quotation or a bracket belongs to what follows; spaCy leaves it with the full stop before.
_OPENING = re.compile("(?<=\\s)[\"'“‘„‚«‹「『《〈（【〔(\\[{¿¡]+\\s*\\Z")  # noqa: RUF001 - full-width marks are meant
_CLOSING = "”’」』）〉》】〕)\"'\\]"  # noqa: RUF001
_BLANK_LINE = re.compile(r"\s*\n[^\S\n]*\n\s*")
_LINE_BREAK = re.compile(r"\s*\n\s*")
# Thai and Lao end a sentence by a space alone; a space before or after other scripts, or after the repetition mark, ends none.
_BETWEEN_THAI = re.compile("(?<=[\u0e01-\u0e45\u0e47-\u0e4e\u0e81-\u0ec5\u0ec8-\u0ecd])[^\\S\n]+(?=[\u0e01-\u0e44\u0e81-\u0ec4])")


class Sentences(LanguageStage):
    """Marks each sentence of a text with a span.

    Sentences end as spaCy's sentencizer has it, at the full stops of any script, where the tokenizer of the language does not
    take them for part of an abbreviation or a number; and at a blank line. Thai and Lao, which have no full stop, end at a space
    between two of their letters. A span holds the closing quotation marks, and no white space at its ends.

    Example:
        - text.sentences: {language_column: lang}
    """

    keeps_all: ClassVar[bool] = True

    lines: bool = Field(default=False, description="whether every line break ends a sentence, and not only a blank line")
    label: str = Field("sentence", description="label of the spans")

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Add the spans. Raises RecordError for a text with lone surrogates; a record without the field stays as it is."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        found = sentences_of(value.text, self.tag_of(record), lines=self.lines)
        spans = [Span(start, end, self.label) for start, end in found]
        return record.with_fields(**{self.field: replace(value, spans=(*value.spans, *spans))})


def sentences_of(text: str, tag: str, *, lines: bool = False) -> Iterator[tuple[int, int]]:
    """Give the start and end of each sentence of a text in a language, in order; those of an unknown one by common rules."""
    code = code_of(tag)
    if code in _WITHOUT_SPACES:
        code = "xx"
    for start, end in _blocks(text, lines=lines):
        yield from ((start + first, start + last) for first, last in _in_block(text[start:end], code))
    keep_small(pipeline_of(code))


def _blocks(text: str, *, lines: bool) -> Iterator[tuple[int, int]]:
    """Give the stretches of text whose borders are borders of sentences for certain."""
    breaks = [*(_LINE_BREAK if lines else _BLANK_LINE).finditer(text), *_BETWEEN_THAI.finditer(text)]
    start = 0
    for found in sorted(breaks, key=lambda found: found.start()):
        yield start, found.start()
        start = found.end()
    yield start, len(text)


def _in_block(block: str, code: str) -> Iterator[tuple[int, int]]:
    start = 0
    for sentence in _sentencizer()(_document(block, code)).sents:
        end = sentence.end_char
        if end < len(block) and (opening := _OPENING.search(block[start:end])):
            end = start + opening.start()
        if found := block[start:end].strip():
            first = block.index(found, start)
            yield first, first + len(found)
        start = end


def _document(block: str, code: str) -> Doc:
    """Return the tokens of the language, cut further where full stops stand in them."""
    from spacy.tokens import Doc

    language, stops = pipeline_of(code), _stops()
    words, spaces = [], []
    for token in language.tokenizer(block):
        pieces = [piece for piece in stops.split(token.text) if piece] if stops.search(token.text) else [token.text]
        words += pieces
        spaces += [*[False] * (len(pieces) - 1), bool(token.whitespace_)]
    return Doc(language.vocab, words=words, spaces=spaces)


@cache
def _sentencizer() -> Sentencizer:
    from spacy.pipeline import Sentencizer

    return Sentencizer()


@cache
def _stops() -> re.Pattern[str]:
    """Return what finds the full stops that are never part of a word, and the closing marks that belong to the sentence.

    spaCy's tokenizers cut off few of them, and its sentencizer knows them only as tokens of their own.
    """
    from spacy.pipeline import Sentencizer

    full_width = "．"  # noqa: RUF001 - which is a decimal point as well
    own = "".join(sorted(set(Sentencizer.default_punct_chars) - {*".!?", full_width}))
    return re.compile(f"([{re.escape(own)}]|{full_width}(?![0-9０-９]))([{_CLOSING}]*)")  # noqa: RUF001
