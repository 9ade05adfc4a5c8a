"""`text.quality`: measures texts, cuts lines that are none, and turns away texts that published rules call bad."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mmdata.record import Record, Reject, Scalar
from mmdata.schema import ScalarName, Schema
from mmdata.stages.base import Outcome
from mmdata.stages.languages import LanguageStage, code_of
from mmdata.stages.quality_measures import COUNTS, MEASURES, Measure, Measured, measured, words_of
from mmdata.stages.sentences import sentences_of
from mmdata.stages.text import check_encodable, check_not_tokenized
from mmdata.values import Text

Limits = dict[Measure, float | None]

# Terminal marks of the scripts in use, before closing quotation marks and brackets.
_TERMINAL = re.compile("[.!?։؟۔।॥။።．。！？｡\"'”’»」』](?:[)\\]”’」』\"']*)\\Z")  # noqa: RUF001 - full-width marks are meant
_WITHOUT_STOPS = re.compile("[\u0e01-\u0e30\u0e81-\u0eb0]")


class LineRules(BaseModel):
    """Which lines are cut from a text: by default, those of C4."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: int = Field(5, ge=0, description="least number of words of a line that is kept")
    terminal: bool = Field(
        default=True,
        description="whether a line must end with a full stop, or its like; not asked of Thai and Lao, which have none",
    )
    phrases: tuple[str, ...] = Field(
        ("javascript", "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
        description="a line with one of these is cut, in whatever case",
    )

    def keep(self, line: str) -> bool:
        """Whether a line is kept."""
        stripped, lowered = line.strip(), line.lower()
        if any(phrase.lower() in lowered for phrase in self.phrases):
            return False
        if self.terminal and (stripped.endswith("...") or not (_TERMINAL.search(stripped) or _WITHOUT_STOPS.search(stripped))):
            return False
        return self.words == 0 or len(words_of(stripped)) >= self.words


@dataclass(frozen=True)
class _Rules:
    minimum: Mapping[Measure, float] = field(default_factory=dict)
    maximum: Mapping[Measure, float] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()
    lines: LineRules | None = None


_REPETITION: dict[Measure, float] = {
    "duplicate_lines": 0.30, "duplicate_paragraphs": 0.30, "duplicate_line_characters": 0.20,
    "duplicate_paragraph_characters": 0.20, "top_2grams": 0.20, "top_3grams": 0.18, "top_4grams": 0.16, "duplicate_5grams": 0.15,
    "duplicate_6grams": 0.14, "duplicate_7grams": 0.13, "duplicate_8grams": 0.12,
    "duplicate_9grams": 0.11, "duplicate_10grams": 0.10,
}  # fmt: skip
_RULES: dict[str, _Rules] = {
    "none": _Rules(),
    "gopher": _Rules(
        {"words": 50, "mean_word_length": 3, "alphabetic_words": 0.8, "stop_words": 2},
        {
            "words": 100_000,
            "mean_word_length": 10,
            "symbol_ratio": 0.1,
            "bullet_lines": 0.9,
            "ellipsis_lines": 0.3,
            **_REPETITION,
        },
    ),
    "c4": _Rules({"sentences": 3}, {}, ("{", "lorem ipsum"), LineRules()),
    "caption": _Rules(
        {"words": 2, "alphabetic_words": 0.5}, {"words": 256, "digit_ratio": 0.5, "symbol_ratio": 0.5, "duplicate_5grams": 0.3}
    ),
}
_GOPHER_STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})


class Quality(LanguageStage):
    """Measures a text, and turns it away where a measure is beyond its limit.

    `gopher` is the quality and repetition rules of Rae et al. 2021 (section A.1.1, table A1). `c4` is the rules of Raffel et al.
    2020 (section 2.2) for single pages: it cuts lines first, and the spans and the lineage follow; its bad words, its language
    and its duplicates are for `forbidden`, `text.language` and `record.deduplicate`. `caption` is for the few words beside a
    picture, after the basic filter of DataComp (Gadre et al. 2023): two words, of letters and not of digits, without loops.

    Words are those of Unicode Standard Annex 29, in any script. Limits on the length of words hold where words are spelled by
    letters and put spaces between them, and those on stop words where the language is known and has a list: Gopher's for
    English, spaCy's for others.

    Example:
        - text.quality: {rules: gopher, minimum: {words: 20}, maximum: {digit_ratio: 0.2, bullet_lines: null}}
    """

    rules: Literal["none", "gopher", "c4", "caption"] = Field("none", description="published rules to begin with")
    minimum: Limits = Field(
        default_factory=dict, description="least value of a measure, in place of the rules' own; null for no limit"
    )
    maximum: Limits = Field(
        default_factory=dict, description="greatest value of a measure, in place of the rules' own; null for no limit"
    )
    forbidden: tuple[str, ...] | None = Field(None, description="a text with one of these is turned away, in whatever case")
    lines: LineRules | Literal[False] | None = Field(None, description="which lines are cut; false for none")
    stop_words: tuple[str, ...] = Field((), description="the stop words, in lower case; by default those of the language")

    def infer(self, schema: Schema) -> Schema:
        """Check the field and the metadata column, and add the measures; sentences are counted only where they are limited."""
        schema = super().infer(schema)
        if self._line_rules is not None:
            check_not_tokenized(schema, self.field)
        types: dict[str, ScalarName] = {f"{self.field}.{name}": "int" if name in COUNTS else "float" for name in self._names}
        return schema.with_measures(types)

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Add the measures, or return a Reject. Raises RecordError for a text with lone surrogates."""
        value = record.fields.get(self.field)
        if not isinstance(value, Text):
            return record
        check_encodable(value.text)
        if self._line_rules is not None:
            value = value.edited(_cuts(value.text, self._line_rules), self.stage)
        found = measured(value.text) | self._by_language(value.text, self.tag_of(record))
        if (reject := self._forbidden(value.text) or self._beyond(found)) is not None:
            return reject
        measures = {f"{self.field}.{name}": _scalar(name, found.get(name, 0)) for name in self._names}
        return record.with_fields(**{self.field: value}).with_measures(measures)

    @property
    def _names(self) -> tuple[Measure, ...]:
        is_limited = any("sentences" in limits for limits in self._limits)
        return MEASURES if is_limited else tuple(name for name in MEASURES if name != "sentences")

    @property
    def _limits(self) -> tuple[dict[Measure, float], dict[Measure, float]]:
        """The least and the greatest values, the recipe's own in place of the rules'."""
        rules = _RULES[self.rules]
        return _merged(rules.minimum, self.minimum), _merged(rules.maximum, self.maximum)

    @property
    def _line_rules(self) -> LineRules | None:
        return (_RULES[self.rules].lines if self.lines is None else self.lines) or None

    def _by_language(self, text: str, tag: str) -> Measured:
        """Return the measures that depend on the language."""
        found: Measured = {}
        if stop_words := frozenset(self.stop_words) or _stop_words(tag):
            found["stop_words"] = len(stop_words.intersection(word.lower() for word in words_of(text)))
        if "sentences" in self._names:
            found["sentences"] = sum(1 for _ in sentences_of(text, tag))
        return found

    def _forbidden(self, text: str) -> Reject | None:
        lowered = text.lower()
        for phrase in _RULES[self.rules].forbidden if self.forbidden is None else self.forbidden:
            if (place := lowered.find(phrase.lower())) >= 0:
                return Reject("filtered", "text has a forbidden phrase", f"{phrase!r} at character {place}")
        return None

    def _beyond(self, found: Measured) -> Reject | None:
        minimum, maximum = self._limits
        for name, value in found.items():
            if value < minimum.get(name, value):
                return Reject("filtered", f"{name} too low", f"{value:g}, at least {minimum[name]:g} is asked")
            if value > maximum.get(name, value):
                return Reject("filtered", f"{name} too high", f"{value:g}, at most {maximum[name]:g} is taken")
        return None


def _merged(rules: Mapping[Measure, float], own: Limits) -> dict[Measure, float]:
    return {name: limit for name, limit in {**rules, **own}.items() if limit is not None}


def _scalar(name: Measure, value: float) -> Scalar:
    return int(value) if name in COUNTS else float(value)


def _cuts(text: str, rules: LineRules) -> Iterator[tuple[int, int, str]]:
    """Give the cuts that leave only the lines to keep; what is empty between two of those stays."""
    start, gap = 0, 0
    was_cut, is_first = False, True
    for line in text.splitlines(keepends=True):
        end = start + len(line)
        if line.strip() and rules.keep(line):
            if was_cut:
                yield gap, start, ""
            gap, was_cut, is_first = end, False, False
        elif line.strip():
            was_cut = True
        start = end
    if was_cut:
        yield (gap if is_first else len(text[:gap].rstrip())), len(text), ""


@lru_cache(maxsize=256)
def _stop_words(tag: str) -> frozenset[str]:
    """Return the stop words of a language; none where it is not known."""
    code = code_of(tag)
    if code == "ko":  # the list that spaCy has is of stems and endings, which no space sets apart
        return frozenset()
    if code == "en":
        return _GOPHER_STOP_WORDS
    module = f"spacy.lang.{code}.stop_words"
    if code == "xx" or find_spec(module) is None:
        return frozenset()
    return frozenset(import_module(module).STOP_WORDS)
