"""`text.words`: marks the words of a text as spans, by spaCy's rules for its language."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.stages.text import check_encodable
from mmdata.values import Span, Text

if TYPE_CHECKING:
    from spacy.language import Language

_MOST_STRINGS = 1_000_000
"""spaCy keeps every string it has seen; beyond so many a pipeline is made anew, so that a long build does not grow."""


class Words(Stage):
    """Marks each word of a text with a span, found by the spaCy tokenizer of its language.

    Punctuation marks are words of their own, white space is none. A language that spaCy does not know is treated by the rules
    of `xx` (many languages). Japanese, Korean, Thai and Vietnamese need packages that spaCy names.

    Example:
        - text.words: {language_column: lang, fallback: true}
    """

    field: str = Field("text", description="the text field")
    language: str | None = Field(None, description="language tag of every text, such as en or zh-CN; xx where nothing is given")
    language_column: str | None = Field(None, description="metadata column that holds the language tag of each text")
    label: str = Field("word", description="label of the spans")
    fallback: bool = Field(
        default=False, description="whether xx stands in for a language whose extra packages are not installed"
    )

    @model_validator(mode="after")
    def _has_one_language(self) -> Self:
        if self.language is not None and self.language_column is not None:
            raise ValueError("give language or language_column, not both")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the field, the metadata column, and that a fixed language can be had."""
        schema.require(self.field, "text")
        column = self.language_column
        if column is None:
            self._language_for(self.language or "xx")
        elif (found := schema.metadata.get(column)) != "str":
            what = f"is of type {found}" if found else "is not there"
            known = ", ".join(name for name, type_ in schema.metadata.items() if type_ == "str") or "none"
            raise RecipeError(f"metadata column {column!r} {what}; the columns of type str are: {known}")
        return schema

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Add the spans. Raises RecordError for a text with lone surrogates; a record without the field stays as it is."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        tag = self.language or "xx" if self.language_column is None else str(record.metadata.get(self.language_column, ""))
        tokens = self._language_for(tag).tokenizer(value.text)
        words = [Span(token.idx, token.idx + len(token), self.label) for token in tokens if not token.is_space]
        return record.with_fields(**{self.field: replace(value, spans=(*value.spans, *words))})

    def _language_for(self, tag: str) -> Language:
        code = _code_of(tag)
        try:
            language = _language(code)
        except ImportError as error:
            if not self.fallback:
                message = " ".join(str(error).split())
                raise RecipeError(f"language {tag!r}: {message} (fallback: true takes xx instead)") from error
            language = _language("xx")
        if len(language.vocab.strings) > _MOST_STRINGS:
            _language.cache_clear()
        return language


@lru_cache(maxsize=1024)
def _code_of(tag: str) -> str:
    """Return spaCy's code for a language tag (BCP 47, only its first part counts), or xx."""
    code = tag.strip().replace("_", "-").split("-")[0].lower()
    is_code = code.isascii() and code.isalpha() and len(code) in {2, 3}
    return code if is_code and find_spec(f"spacy.lang.{code}") is not None else "xx"


@lru_cache(maxsize=64)
def _language(code: str) -> Language:
    import spacy

    return spacy.blank(code)
