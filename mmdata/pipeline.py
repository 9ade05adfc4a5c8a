"""Runs a record through the stages and turns whatever goes wrong with it into a reject."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmdata.engines.base import Unwatched, Watch
from mmdata.errors import MmdataError, RecordError
from mmdata.latest import Latest
from mmdata.plan import RowReject
from mmdata.record import Record, Reject
from mmdata.rng import Undrawn, rng_for
from mmdata.stages.base import FieldStage, Outcome, Stage

Apply = Callable[[Record, np.random.Generator], Outcome]
_UNWATCHED = Unwatched()


class Pipeline:
    """A chain of stages with the names that rejects and random numbers go by."""

    def __init__(self, stages: Sequence[Stage], names: Sequence[str], seed: int) -> None:
        self._stages: list[tuple[str, Apply]] = [(name, _remembering(stage)) for name, stage in zip(names, stages, strict=True)]
        self._undrawn = {name: Undrawn(name) for name, stage in zip(names, stages, strict=True) if not stage.random}
        self._seed = seed

    def __call__(self, record: Record, watch: Watch = _UNWATCHED) -> Iterator[Record | RowReject]:
        """Yield what became of a record: usually one record or one reject; several where a stage makes several.

        Each is made when it is asked for, so that the clips of a long film are not all decoded at once. The stages are the
        places 1, 2, … of the `watch`.
        """
        return self._run(record, 0, record.origin.source_key, watch)

    def _run(self, record: Record, first: int, key: str, watch: Watch) -> Iterator[Record | RowReject]:
        """Run a record from stage `first` on; `key` is what rejects call it."""
        for number in range(first, len(self._stages)):
            name, apply = self._stages[number]
            watch.enter(number + 1)
            outcome = _outcome(apply, record, self._undrawn.get(name) or rng_for(self._seed, name, record.key))
            if isinstance(outcome, Reject):
                yield RowReject(record.origin.row, key, name, outcome)
                return
            if isinstance(outcome, list):
                for count, part in enumerate(outcome):
                    clip = replace(part, key=f"{record.key}-{count:04d}")
                    yield from self._run(clip, number + 1, f"{key}-{count:04d}", watch)
                    watch.made()
                return
            record = outcome
        yield record


def _outcome(apply: Apply, record: Record, rng: np.random.Generator) -> Outcome:
    try:
        outcome = apply(record, rng)
    except RecordError as error:
        return Reject.of(error, "stage")
    except (MmdataError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a stage raises costs its record; what Rust raises is no Exception
        return Reject.of(error, "stage")
    parts = outcome if isinstance(outcome, list) else [outcome]
    if all(isinstance(part, Record) for part in parts) or isinstance(outcome, Reject):
        return outcome
    return Reject("error", f"stage returned {type(outcome).__name__}", "not a Record, a Reject, or a list of Records")


def _remembering(stage: Stage) -> Apply:
    """Let a stage that is a pure function of one value answer at once when the same value comes again.

    Values are immutable and shared, so a picture with many captions is decoded and resized once.
    """
    if not isinstance(stage, FieldStage) or stage.random or type(stage).__call__ is not FieldStage.__call__:
        return stage
    undrawn = Undrawn(stage.stage)
    result_of = Latest[Any, Any](lambda value: stage.apply(value, undrawn))

    def apply(record: Record, _: np.random.Generator) -> Outcome:
        if stage.field not in record.fields:
            return record
        return stage.put_back(record, result_of(record[stage.field]))

    return apply
