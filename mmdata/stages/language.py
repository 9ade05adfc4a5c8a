"""`text.language`: says which language a text is in, and keeps the languages that are wanted."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from mmdata.errors import RecipeError
from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.stages.text import check_encodable
from mmdata.values import Text

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

UNKNOWN = "und"
"""The language tag (BCP 47) of a text in which there is nothing to go by."""


class Language(Stage):
    """Identifies the language of a text, and turns away what is in another one than wanted or uncertain.

    The method is langid.py's (Lui and Baldwin 2012): naive Bayes over byte n-grams, with the model that py3langid carries, for
    140 languages. The measures are `FIELD.language`, the ISO 639 code or `und` where a text has no letters, and
    `FIELD.language_confidence`, 0 to 1, rounded to four decimals. Short texts can hardly be told apart: name the `languages`
    that can occur. Of captions of 20 characters in 12 languages 59% were told right among all languages, 80% among the 12.

    Example:
        - text.language: {languages: [en, fr, zh], keep: [en, fr], minimum_confidence: 0.6}
    """

    field: str = Field("text", description="the text field")
    languages: tuple[str, ...] = Field((), description="the languages that can occur, as ISO 639 codes; by default all 140")
    keep: tuple[str, ...] = Field((), description="the languages whose texts are kept; by default all")
    minimum_confidence: float = Field(0.0, ge=0.0, le=1.0, description="least confidence of a text that is kept, 0 to 1")
    most_characters: int = Field(4096, ge=1, description="how many characters, from the first on, are looked at")

    def infer(self, schema: Schema) -> Schema:
        """Check the field and the languages, and add the measures."""
        schema.require(self.field, "text")
        known = _identifier(()).labels
        _check_known("languages", self.languages, known)
        _check_known("keep", self.keep, [*(self.languages or known), UNKNOWN])
        return schema.with_measures({f"{self.field}.language": "str", f"{self.field}.language_confidence": "float"})

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Add the measures, or return a Reject. Raises RecordError for a text with lone surrogates."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        language, confidence = self._identified(value.text[: self.most_characters])
        if self.keep and language not in self.keep:
            return Reject("filtered", "text is in another language", f"{language}, confidence {confidence}")
        if confidence < self.minimum_confidence:
            detail = f"{language}, confidence {confidence}, at least {self.minimum_confidence} is asked"
            return Reject("filtered", "language of the text is uncertain", detail)
        return record.with_measures({f"{self.field}.language": language, f"{self.field}.language_confidence": confidence})

    def _identified(self, text: str) -> tuple[str, float]:
        if not any(character.isalpha() for character in text):
            return UNKNOWN, 0.0
        language, confidence = _identifier(self.languages).classify(text)
        # Rounded, so that the last bits of a sum do not reach the dataset.
        return str(language), round(float(confidence), 4)


def _check_known(option: str, codes: Iterable[str], known: Iterable[str]) -> None:
    if unknown := [code for code in codes if code not in known]:
        raise RecipeError(f"{option}: {', '.join(unknown)} cannot be told; the languages are {', '.join(sorted(known))}")


@lru_cache(maxsize=8)
def _identifier(languages: tuple[str, ...]) -> LanguageIdentifier:
    """Return the identifier of these languages, or of all."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if languages:
        identifier.set_languages(languages)
    return identifier
