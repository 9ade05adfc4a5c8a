"""What the stages that follow the rules of a language share: which language a text is in, and spaCy's rules for it."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import Stage

if TYPE_CHECKING:
    from spacy.language import Language

MOST_STRINGS = 1_000_000
"""spaCy keeps every string it has seen; beyond so many a pipeline is made anew, so that a long build does not grow."""


def check_column(schema: Schema, column: str) -> None:
    """Raise RecipeError where there is no metadata column of this name that holds strings."""
    if (found := schema.metadata.get(column)) != "str":
        what = f"is of type {found}" if found else "is not there"
        known = ", ".join(name for name, type_ in schema.metadata.items() if type_ == "str") or "none"
        raise RecipeError(f"metadata column {column!r} {what}; the columns of type str are: {known}")


def check_one_language(language: str | None, column: str | None) -> None:
    """Raise ValueError where a stage is given both a language and a column of languages."""
    if language is not None and column is not None:
        raise ValueError("give language or language_column, not both")


class LanguageStage(Stage):
    """Base of the stages that go by the language of a text: the one given, the column's, or what `text.language` found."""

    field: str = Field("text", description="the text field")
    language: str | None = Field(None, description="language tag of every text, such as en or zh-CN")
    language_column: str | None = Field(None, description="metadata column that holds the language tag of each text")

    @model_validator(mode="after")
    def _has_one_language(self) -> Self:
        check_one_language(self.language, self.language_column)
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the field and the metadata column."""
        schema.require(self.field, "text")
        if self.language_column is not None:
            check_column(schema, self.language_column)
        return schema

    def tag_of(self, record: Record) -> str:
        """Return the language tag of a record's text; empty for none."""
        if self.language is not None:
            return self.language
        if self.language_column is not None:
            return str(record.metadata.get(self.language_column, ""))
        return str(record.measures.get(f"{self.field}.language", ""))


@lru_cache(maxsize=1024)
def code_of(tag: str) -> str:
    """Return spaCy's code for a language tag (BCP 47, only its first part counts), or xx."""
    code = tag.strip().replace("_", "-").split("-")[0].lower()
    is_code = code.isascii() and code.isalpha() and len(code) in {2, 3}
    return code if is_code and find_spec(f"spacy.lang.{code}") is not None else "xx"


@lru_cache(maxsize=64)
def pipeline_of(code: str) -> Language:
    """Return spaCy's empty pipeline, which has the tokenizer alone. Raises ImportError where a package is missing."""
    import spacy

    return spacy.blank(code)


def keep_small(language: Language) -> None:
    """Forget all pipelines once one has seen too many strings."""
    if len(language.vocab.strings) > MOST_STRINGS:
        pipeline_of.cache_clear()
