"""`text.words`: marks the words of a text as spans, by spaCy's rules for its language."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.stages.languages import check_column, check_one_language, code_of, keep_small, pipeline_of, tag_of
from mmdata.stages.text import check_encodable
from mmdata.values import Span, Text

if TYPE_CHECKING:
    from spacy.language import Language


class Words(Stage):
    """Marks each word of a text with a span, found by the spaCy tokenizer of its language.

    Punctuation marks are words of their own, white space is none. Where no language is given, that which `text.language` found
    counts. A language that spaCy does not know is treated by the rules of `xx` (many languages). Japanese, Korean, Thai and
    Vietnamese need packages that spaCy names.

    Example:
        - text.words: {language_column: lang, fallback: true}
    """

    field: str = Field("text", description="the text field")
    language: str | None = Field(None, description="language tag of every text, such as en or zh-CN")
    language_column: str | None = Field(None, description="metadata column that holds the language tag of each text")
    label: str = Field("word", description="label of the spans")
    fallback: bool = Field(
        default=False, description="whether xx stands in for a language whose extra packages are not installed"
    )

    @model_validator(mode="after")
    def _has_one_language(self) -> Self:
        check_one_language(self.language, self.language_column)
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the field, the metadata column, and that a fixed language can be had."""
        schema.require(self.field, "text")
        if self.language_column is not None:
            check_column(schema, self.language_column)
        else:
            self._language_for(self.language or "xx")
        return schema

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Add the spans. Raises RecordError for a text with lone surrogates; a record without the field stays as it is."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        tag = tag_of(record, self.field, self.language, self.language_column)
        tokens = self._language_for(tag).tokenizer(value.text)
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
