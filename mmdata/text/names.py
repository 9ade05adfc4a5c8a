"""A detector of the names of people, by a spaCy model that the user installed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mmdata.errors import RecipeError
from mmdata.text.matches import Match

if TYPE_CHECKING:
    from spacy.language import Language

_PEOPLE = frozenset({"PERSON", "PER", "persName"})
"""What the models of different languages call people."""


def check_model(model: str) -> None:
    """Raise RecipeError where a model is neither a folder nor installed, or finds no names of people."""
    if not Path(model).is_dir() and (not model.isidentifier() or find_spec(model) is None):
        raise RecipeError(f"names: the spaCy model {model!r} is not installed: python -m spacy download {model}")
    pipeline = _model(model)
    found = {label for labels in pipeline.pipe_labels.values() for label in labels}
    if not found & _PEOPLE:
        known = ", ".join(sorted(found)) or "none"
        raise RecipeError(f"names: the spaCy model {model!r} knows no people; its labels are: {known}")


def names(text: str, model: str) -> Iterator[Match]:
    """Find the names of people in a text as it is written; `model` is a package or a folder that spaCy can load."""
    for entity in _model(model)(text).ents:
        if entity.label_ in _PEOPLE:
            yield Match(entity.start_char, entity.end_char, "name", " ".join(entity.text.casefold().split()))


@lru_cache(maxsize=4)
def _model(model: str) -> Language:
    import spacy

    return spacy.load(model)
