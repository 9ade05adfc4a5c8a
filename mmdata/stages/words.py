"""`text.words`: marks the words of a text as spans, by spaCy's rules for its language."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import Outcome
from mmdata.stages.languages import LanguageStage, code_of, keep_small, pipeline_of
from mmdata.stages.text import check_encodable
from mmdata.values import Span, Text

if TYPE_CHECKING:
    from spacy.language import Language


class Words(LanguageStage):
    """Marks each word of a text with a span, found by the spaCy tokenizer of its language.

    Punctuation marks are words of their own, white space is none. Where no language is given, that which `text.language` found
    counts. A language that spaCy does not know is treated by the rules of `xx` (many languages). Japanese, Korean, Thai and
    Vietnamese need packages that spaCy names.

    Example:
        - text.words: {language_column: lang, fallback: true}
    """

    label: str = Field("word", description="label of the spans")
    fallback: bool = Field(
        default=False, description="whether xx stands in for a language whose extra packages are not installed"
    )

    def infer(self, schema: Schema) -> Schema:
        """Check the field, the metadata column, and that a fixed language can be had."""
        inferred = super().infer(schema)
        if self.language_column is None:
            self._language_for(self.language or "xx")
        return inferred

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Add the spans. Raises RecordError for a text with lone surrogates; a record without the field stays as it is."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        tokens = self._language_for(self.tag_of(record)).tokenizer(value.text)
        words = [Span(token.idx, token.idx + len(token), self.label) for token in tokens if not token.is_space]
        return record.with_fields(**{self.field: replace(value, spans=(*value.spans, *words))})

    def _language_for(self, tag: str) -> Language:
        code = code_of(tag)
        try:
            language = pipeline_of(code)
        except ImportError as error:
            if not self.fallback:
                message = " ".join(str(error).split())
                raise RecipeError(f"language {tag!r}: {message} (fallback: true takes xx instead)") from error
            language = pipeline_of("xx")
        keep_small(language)
        return language
