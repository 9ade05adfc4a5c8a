"""Draws random chains of stages, all families mixed, over records whose data say where they came from; and runs them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import spacy  # noqa: F401 - text.words imports it when a plan is made; it seeds `random`, which nothing may while one draws
from hypothesis import strategies as st

from mmdata.errors import RecipeError
from mmdata.pipeline import Pipeline
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages import STAGES, stage_class
from mmdata.stages.base import FitStage, Stage
from mmdata.stages.quality import LineRules
from mmdata.values import Kind

SEED = 3
MOST_RECORDS = 6
"""Of the records that a stage makes, so many go on: grids, clips and parts multiply."""

Drawn = st.SearchStrategy[Any]
CLASSES = {name: stage_class(name) for name in STAGES}


@dataclass(frozen=True)
class Names:
    """The fields that there are at a place of a chain, by kind."""

    schema: Schema

    def of(self, kind: Kind) -> list[str]:
        """Return the fields of a kind."""
        return [name for name, type_ in self.schema.fields.items() if type_.kind == kind]

    def some(self, kind: Kind) -> Drawn:
        """Draw a field of a kind."""
        return st.sampled_from(self.of(kind))

    def maybe(self, kind: Kind) -> Drawn:
        """Draw a field of a kind, or None."""
        return st.sampled_from([None, *self.of(kind)])


def _renamed(name: str) -> str:
    """Return another name for a field, that does not grow when it is renamed again: members of a tar have short names."""
    first, _, last = name.partition("_")
    return f"{first}_also" if last == "too" else f"{first}_too"


LABELS = st.sampled_from(["0", "1", "2"])
SIDES = st.tuples(st.integers(12, 90), st.integers(12, 90))
SHORT = st.integers(12, 90)

OPTIONS: Mapping[str, Callable[[Names], Iterable[Mapping[str, Drawn]]]] = {
    "text.normalize": lambda names: [
        {
            "field": names.some("text"),
            "form": st.sampled_from(["NFC", "NFD", "NFKC", "NFKD", "none"]),
            "case": st.sampled_from(["keep", "lower", "fold"]),
            "keep_lines": st.booleans(),
            "repair": st.booleans(),
            "punctuation": st.sampled_from([(), ("quotes", "dashes"), ("dots", "width")]),
        }
    ],
    "text.language": lambda names: [{"field": names.some("text")}],
    "text.quality": lambda names: [
        {
            "field": names.some("text"),
            "lines": st.sampled_from([False, LineRules(words=1, terminal=False, phrases=("ok.",))]),
        }
    ],
    "text.sentences": lambda names: [{"field": names.some("text")}],
    "text.chunk": lambda names: [
        {
            "field": names.some("text"),
            "most": st.integers(8, 80),
            "overlap": st.integers(0, 4),
            "border": st.sampled_from(["sentence", "word", "character"]),
            "others": st.sampled_from(["keep", "first"]),
            "tokens": names.maybe("tokens"),
        }
    ],
    "text.tokenize": lambda names: [{"field": names.some("text"), "vocabulary": st.sampled_from([262, 300])}],
    "text.words": lambda names: [{"field": names.some("text")}],
    "text.redact": lambda names: [{"field": names.some("text"), "language": st.just("en")}],
    "image.decode": lambda names: [{"field": names.some("image")}],
    "image.resize": lambda names: [
        {"field": names.some("image"), "size": SHORT, "mode": st.sampled_from(["short", "long"]), "only_shrink": st.booleans()},
        {"field": names.some("image"), "size": SIDES, "mode": st.just("exact")},
    ],
    "image.crop": lambda names: [
        {
            "field": names.some("image"),
            "size": SIDES,
            "mode": st.sampled_from(["center", "random", "salient", "grid"]),
            "smaller": st.sampled_from(["pad", "keep"]),
        },
        {
            "field": names.some("image"),
            "mode": st.just("box"),
            "label": st.none() | LABELS,
            "margin": st.floats(0.0, 0.5),
        },
    ],
    "image.pad": lambda names: [
        {
            "field": names.some("image"),
            "aspect": st.sampled_from([(1, 1), (16, 9)]),
            "place": st.sampled_from(["center", "top left"]),
        }
    ],
    "image.filter": lambda names: [{"field": names.some("image")}],
    "image.blur": lambda names: [{"field": names.some("image"), "label": st.none() | LABELS}],
    "image.blur_faces": lambda names: [{"field": names.some("image"), "confidence": st.just(0.1)}],
    "image.hash": lambda names: [{"field": names.some("image")}],
    "image.normalize": lambda names: [{"field": names.some("image"), "output": st.sampled_from(["statistics", "array"])}],
    "audio.decode": lambda names: [{"field": names.some("audio"), "channels": st.sampled_from(["mono", "keep"])}],
    "audio.resample": lambda names: [
        {"field": names.some("audio"), "rate": st.just(16000)},
        {"field": names.some("audio"), "rate": st.sampled_from([8000, 11025, 44100])},
    ],
    "audio.channels": lambda names: [{"field": names.some("audio"), "to": st.sampled_from(["mono", "left", "right", 1, 2])}],
    "audio.filter": lambda names: [{"field": names.some("audio")}],
    "audio.denoise": lambda names: [
        {"field": names.some("audio"), "strength": st.floats(0.0, 1.0), "keep_raw": st.sampled_from([None, "untouched"])}
    ],
    "audio.speech": lambda names: [{"field": names.some("audio")}],
    "audio.trim": lambda names: [
        {"field": names.some("audio"), "threshold_db": st.floats(-60.0, -1.0), "margin": st.floats(0.0, 0.3)},
        {"field": names.some("audio"), "by": st.just("segments"), "label": LABELS, "margin": st.floats(0.0, 0.3)},
    ],
    "audio.clip": lambda names: [
        {
            "field": names.some("audio"),
            "minimum": st.just(0.2),
            "maximum": st.floats(0.4, 3.0),
            "by": st.sampled_from(["level", "segments"]),
            "label": LABELS | st.just("speech"),
            "text": names.maybe("text"),
        }
    ],
    "audio.loudness": lambda names: [{"field": names.some("audio")}],
    "audio.features": lambda names: [{"field": names.some("audio"), "dtype": st.sampled_from(["float32", "float16"])}],
    "video.cut": lambda names: [
        {
            "field": names.some("video"),
            "by": st.sampled_from(["segments", "scenes", "length"]),
            "max_seconds": st.floats(0.6, 3.0),
            "min_seconds": st.just(0.3),
            "gap": st.floats(0.0, 1.0),
            "margin": st.floats(0.0, 0.2),
            "text": st.sampled_from([None, "subtitles"]),
        }
    ],
    "video.decode": lambda names: [
        {
            "field": names.some("video"),
            "rate": st.floats(1.0, 8.0),
            "size": st.none() | st.integers(16, 64),
            "sound": st.booleans(),
        },
        {"field": names.some("video"), "take": st.sampled_from(["all", "key"]), "max_frames": st.integers(1, 9)},
    ],
    "video.audio": lambda names: [{"field": names.some("video"), "channels": st.sampled_from(["mono", "keep"])}],
    "record.require": lambda _: [{}],
    "record.where": lambda _: [{"expression": st.sampled_from(["lang != 'xx'", "text.characters > 3", "image.width > 4"])}],
    "record.rename": lambda names: [
        {"fields": st.sampled_from(list(names.schema.fields)).map(lambda name: {name: _renamed(name)})},
        {"metadata": st.just({"lang": "language"})},
    ],
    "record.drop": lambda names: [{"fields": st.tuples(st.sampled_from(list(names.schema.fields)))}],
    "record.sample": lambda _: [{"share": st.floats(0.8, 1.0)}],
    "record.balance": lambda _: [{"by": st.just("lang"), "most": st.integers(2, 9)}],
    "record.deduplicate": lambda names: [
        {"method": st.just("exact"), "fields": st.sampled_from(list(names.schema.fields)).map(lambda name: (name,))},
        {"method": st.just("near"), "fields": st.just(tuple(names.of("text")))},
    ],
}  # fmt: skip
"""For each stage, the options that it may have among these fields: one or more sets of strategies."""


def stages_named(name: str, schema: Schema) -> Drawn:
    """Draw a stage with options that stand for the fields there are."""
    return st.one_of([st.builds(CLASSES[name], **options) for options in OPTIONS[name](Names(schema))])


def applicable(name: str, schema: Schema) -> bool:
    """Whether there is a field of the stage's family, in the state that its decoders leave it, or want it."""
    family, _, verb = name.partition(".")
    if family == "record":
        return True
    found = [type_ for type_ in schema.fields.values() if type_.kind == family]
    wants_encoded = verb == "decode" or family == "video"
    return any(type_.encoded == wants_encoded for type_ in found)


@st.composite
def chains(draw: st.DrawFn, schema: Schema, families: Sequence[str], opening: Sequence[str], most: int) -> list[Stage]:
    """Draw a chain of these families: the opening in its order, then up to `most` stages; the schema accepts each of them."""
    chain: list[Stage] = []
    for place in range(len(opening) + draw(st.integers(1, most))):
        # A family first, so that those with few stages are not left out.
        family = draw(st.sampled_from(families)) + "."
        wanted = opening[place : place + 1] or [name for name in STAGES if name.startswith(family)]
        fitting = [name for name in wanted if applicable(name, schema)]
        if not fitting:
            continue
        stage = draw(stages_named(draw(st.sampled_from(fitting)), schema))
        try:
            schema = stage.infer(schema)
        except RecipeError:
            continue
        chain.append(stage)
    return chain


@dataclass(frozen=True)
class Move:
    """One stage, and a record before and after it."""

    stage: Stage
    before: Record
    after: Record


def run(chain: Sequence[Stage], record: Record) -> tuple[list[Record], list[Move]]:
    """Run a record through a chain, each stage fitted on what comes to it; return what comes out, and every move on the way."""
    records, moves = [record], []
    for number, stage in enumerate(chain):
        if not records:
            break  # all were turned away; a stage with nothing to learn from would say so
        ready = fitted(stage, records)
        made = [Move(ready, before, after) for before in records for after in passed(ready, f"stages[{number}]", before)]
        moves += made[:MOST_RECORDS]
        records = [move.after for move in made[:MOST_RECORDS]]
    return records, moves


def passed(stage: Stage, name: str, record: Record) -> Iterator[Record]:
    """Yield the records that one stage makes of one."""
    return (outcome for outcome in Pipeline([stage], [name], SEED)(record) if isinstance(outcome, Record))


def fitted(stage: Stage, records: Sequence[Record]) -> Stage:
    """Return a stage as it would reach a worker: pickled, with what it learned of these records."""
    if isinstance(stage, FitStage) and stage.needs_fit:
        stage = stage.fitted(stage.reduce(stage.observe(records)))
    again = pickle.loads(pickle.dumps(stage))
    assert isinstance(again, Stage)
    return again


def schema_after(chain: Sequence[Stage], schema: Schema) -> Schema:
    """Return the schema of what comes out of a chain."""
    return reduce(lambda found, stage: stage.infer(found), chain, schema)
