"""What the stages that follow the rules of a language share: which language a text is in, and spaCy's rules for it."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.schema import Schema

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


def tag_of(record: Record, field: str, language: str | None, column: str | None) -> str:
    """Return the language tag of a text: the one given, the column's, or what `text.language` found; empty for none."""
    if language is not None:
        return language
    found = record.measures.get(f"{field}.language", "") if column is None else record.metadata.get(column, "")
    return str(found)


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
