"""`text.redact`: takes e-mail addresses, telephone, card and account numbers and the like out of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal, Self, cast

import numpy as np
from pydantic import Field, field_validator, model_validator

from mmdata.errors import MissingExtraError, RecipeError
from mmdata.lineage import Edits
from mmdata.record import Provenance, Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.stages.languages import check_column, check_one_language
from mmdata.stages.text import check_not_tokenized
from mmdata.text.matches import Match
from mmdata.text.personal_data import Search
from mmdata.text.phones import regions_of
from mmdata.values import Span, Text

RedactedKind = Literal["email", "phone", "ip", "card", "iban", "national_id"]
_LIBRARIES = {"phone": "phonenumbers", "iban": "stdnum", "national_id": "stdnum"}


class Redact(Stage):
    """Replaces personal data in a text by tags such as `<EMAIL>`, or by keyed pseudonyms; or turns the record away.

    Each replaced place gets a span `redacted:KIND`, the measure `FIELD.redactions` counts them. The lineage holds positions
    alone. The sha256 of a raw text that was redacted goes too: a few digits can be found from it by trial. What stands
    elsewhere stays: metadata, source keys, labels in other fields. `docs/redaction.md` says what is found and how well.

    Example:
        - text.redact: {language_column: lang, replacement: pseudonym, key_file: redaction.key}
    """

    version: ClassVar[int] = 1
    conceals: ClassVar[bool] = True

    field: str = Field("text", description="the text field")
    kinds: tuple[RedactedKind, ...] = Field(
        ("email", "phone", "ip", "card", "iban", "national_id"), min_length=1, description="what is redacted, besides names"
    )
    regions: tuple[str, ...] = Field(
        (),
        description="countries (ISO 3166, such as DE) whose telephone numbers and national ids are looked for; where none are "
        "given, telephone numbers go by the language and ids by all countries",
    )
    language: str | None = Field(None, description="language tag of every text (BCP 47), for national telephone numbers")
    language_column: str | None = Field(None, description="metadata column that holds the language tag of each text")
    names: str | None = Field(None, description="spaCy model, a package or a folder, that finds the names of people to redact")
    replacement: Literal["tag", "pseudonym"] = Field("tag", description="what stands in for personal data")
    key_file: Path | None = Field(
        None, description="file with the secret key of the pseudonyms, at least 16 bytes; it is neither copied nor shown"
    )
    reject: bool = Field(default=False, description="whether a record with personal data is turned away, not changed")

    @field_validator("regions")
    @classmethod
    def _in_upper_case(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(region.upper() for region in regions)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_one_language(self.language, self.language_column)
        if (self.replacement == "pseudonym") != (self.key_file is not None):
            raise ValueError("replacement: pseudonym needs a key_file, and nothing else does")
        if self.reject and self.key_file is not None:
            raise ValueError("reject turns records away; it replaces nothing, so leave out replacement and key_file")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check the field, the column, the regions, the key and what must be installed; add the measure.

        Raises MissingExtraError or RecipeError.
        """
        schema.require(self.field, "text")
        check_not_tokenized(schema, self.field)
        if self.language_column is not None:
            check_column(schema, self.language_column)
        for kind in self.kinds:
            if (library := _LIBRARIES.get(kind)) is not None and find_spec(library) is None:
                raise MissingExtraError("redact", f"text.redact of kind {kind}")
        self._check_regions()
        if self.key_file is not None:
            self._key()
        if self.names is not None:
            from mmdata.text.names import check_model

            check_model(self.names)
        return schema.with_measures({f"{self.field}.redactions": "int"})

    def reads(self) -> frozenset[str]:
        """The text field alone."""
        return frozenset([self.field])

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record redacted, or a Reject that says how many of each kind were found, never which."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        matches = self._search(record)(value.text)
        if matches and self.reject:
            return Reject("filtered", "personal data", _counted(matches))
        measures = {f"{self.field}.redactions": len(matches)}
        if not matches:
            return record.with_measures(measures)
        redacted = redact(value, matches, [self._replacement(match) for match in matches], self.stage)
        return _without_digest(record, self.field).with_fields(**{self.field: redacted}).with_measures(measures)

    def _search(self, record: Record) -> Search:
        language = self.language or ""
        if self.language_column is not None:
            language = str(record.metadata.get(self.language_column, ""))
        return Search(self.kinds, self.regions or regions_of(language), self.regions, self.names)

    def _replacement(self, match: Match) -> str:
        if self.replacement == "tag":
            return f"<{match.kind.upper()}>"
        from mmdata.text.pseudonyms import pseudonym

        return pseudonym(match, self._key())

    def _key(self) -> bytes:
        from mmdata.text.pseudonyms import read_key

        assert self.key_file is not None
        return read_key(self.key_file)

    def _check_regions(self) -> None:
        if "phone" in self.kinds and self.regions:
            from phonenumbers import SUPPORTED_REGIONS

            if unknown := [region for region in self.regions if region not in SUPPORTED_REGIONS]:
                raise RecipeError(f"regions: {unknown[0]!r} is no country of ISO 3166; write two letters, such as DE")


def redact(value: Text, matches: Sequence[Match], replacements: Sequence[str], stage: str) -> Text:
    """Return the text with each match replaced and marked by a span; labels that say the removed words lose them too."""
    wanted = [(match.start, match.end, new) for match, new in zip(matches, replacements, strict=True)]
    relabelled = replace(value, spans=tuple(_relabelled(span, value.text, wanted) for span in value.spans))
    edited = relabelled.edited(wanted, stage)
    edits = cast("Edits", edited.lineage[-1].map)
    places = [(edits.forward(match.start), edits.forward(match.end, end=True)) for match in matches]
    marks = [Span(start, end, f"redacted:{match.kind}") for (start, end), match in zip(places, matches, strict=True)]
    return replace(edited, spans=(*edited.spans, *marks))


def _relabelled(span: Span, text: str, replacements: Sequence[tuple[int, int, str]]) -> Span:
    for start, end, new in replacements:
        if start < span.end and span.start < end:
            says_it = span.label == text[span.start : span.end]
            label = new if says_it and start <= span.start <= span.end <= end else span.label.replace(text[start:end], new)
            span = replace(span, label=label)
    return span


def _without_digest(record: Record, field: str) -> Record:
    """Forget the raw input of a field: the sha256 of a short text tells which of some guesses was in it."""
    inputs = {name: Provenance("", "", 0) if name == field else given for name, given in record.origin.inputs.items()}
    return replace(record, origin=replace(record.origin, inputs=inputs))


def _counted(matches: Sequence[Match]) -> str:
    counts = Counter(match.kind for match in matches)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
