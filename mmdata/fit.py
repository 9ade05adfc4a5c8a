"""The fit pass: stages that learn from the corpus observe its rows in parallel, then reduce what they saw in row order.

A stage sees the rows as the stages before it leave them, but only those stages run that its own fields depend on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from mmdata.engines.base import Casualties, Engine, Tick, Watch
from mmdata.files import canonical_json, publish, publishing, sha256_of
from mmdata.plan import Plan, PlannedRow
from mmdata.recipe import Recipe
from mmdata.record import Record
from mmdata.shard_task import RowRunner
from mmdata.stages.base import FieldStage, FitStage, Stage

EVERY_FIELD = "*"
_ROWS_A_TASK = 256


@dataclass(frozen=True)
class FitTask:
    """Some rows, in the order of the source."""

    number: int
    rows: tuple[PlannedRow, ...]


@dataclass(frozen=True)
class FitJob:
    """Lets one stage observe tasks of rows."""

    stage: FitStage
    runner: RowRunner
    folder: Path

    @property
    def places(self) -> tuple[str, ...]:
        """The names of what a row passes: the source, the stages before, and the one that learns."""
        return (*self.runner.places, self.stage.stage)

    def __call__(self, task: FitTask, watch: Watch, casualties: Casualties) -> None:
        """Write what the stage observes in these rows."""
        self.runner.open()
        table = self.stage.observe(self._records(task.rows, watch, casualties))
        with publishing(self.folder / f"{task.number:06d}.arrow") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    def _records(self, rows: Iterable[PlannedRow], watch: Watch, casualties: Casualties) -> Iterator[Record]:
        """Yield the records to learn from. A casualty gives none; where it matters, the build meets it again and rejects it."""
        for position, planned in enumerate(rows):
            watch.begin(position)
            results = self.runner(planned, watch) if position not in casualties else ()
            for record in (result for result in results if isinstance(result, Record)):
                watch.enter(len(self.runner.places))
                yield record
            watch.end(rejected=False)


@dataclass(frozen=True)
class Fitting:
    """Fits the stages of a plan, one after the other; what is done already is taken from the disk."""

    plan: Plan
    artifacts: Path
    work: Path
    engine: Engine

    def __call__(self, start: Callable[[str, int], Tick]) -> tuple[list[Stage], dict[str, str]]:
        """Return the stages with what they learned, and the sha256 of every artifact by file.

        `start(name, rows)` is told of each pass and returns where it counts its rows.
        """
        stages = list(self.plan.recipe.stages)
        digests: dict[str, str] = {}
        for number, stage in enumerate(stages):
            if isinstance(stage, FitStage) and stage.needs_fit:
                files = self._fitted(number, stage, stages, start)
                stages[number] = stage.fitted(files)
                digests |= {self._file(number, name).name: sha256_of(self._file(number, name)) for name in files}
        return stages, dict(sorted(digests.items()))

    def _fitted(
        self, number: int, stage: FitStage, stages: Sequence[Stage], start: Callable[[str, int], Tick]
    ) -> dict[str, bytes]:
        done = self.work / f"{number}.json"
        if not done.exists():
            files = stage.reduce(self._observed(number, stage, stages, start))
            self.artifacts.mkdir(exist_ok=True)
            for name, content in sorted(files.items()):
                publish(self._file(number, name), content, self.work)
            publish(done, canonical_json(sorted(files)).encode())
        return {name: self._file(number, name).read_bytes() for name in json.loads(done.read_bytes())}

    def _file(self, number: int, name: str) -> Path:
        """Stages of one kind would name their files alike; all but the first have their number before the name."""
        kinds = [type(stage) for stage in self.plan.recipe.stages]
        is_first = kinds.index(kinds[number]) == number
        return self.artifacts / (name if is_first else f"{number}-{name}")

    def _observed(self, number: int, stage: FitStage, stages: Sequence[Stage], start: Callable[[str, int], Tick]) -> pa.Table:
        folder = self.work / f"{number}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [row for row in self.plan.planned if stage.every_split or row.split == "train"]
        starts = range(0, len(rows), _ROWS_A_TASK)
        tasks = [FitTask(count, tuple(rows[first : first + _ROWS_A_TASK])) for count, first in enumerate(starts)]
        tick = start(self.plan.recipe.stage_names[number], len(rows))
        pending = [task for task in tasks if not (folder / f"{task.number:06d}.arrow").exists()]
        tick(len(rows) - sum(len(task.rows) for task in pending), 0)
        job = FitJob(stage, runner_for(self.plan.recipe, stages, number), folder)
        for _ in self.engine.run(job, pending, tick):
            pass
        if not tasks:
            return stage.observe([])
        return pa.concat_tables(pa.ipc.open_file(folder / f"{task.number:06d}.arrow").read_all() for task in tasks)


def runner_for(recipe: Recipe, stages: Sequence[Stage], number: int) -> RowRunner:
    """Return the runner of the stages before `number` that what it observes depends on, and of those that read no field."""
    schemas = recipe.schemas(stages[:number])
    fitting = stages[number]
    needed, kept = set(fitting.observes() if isinstance(fitting, FitStage) else fitting.reads()), []
    for before in reversed(range(number)):
        reads = stages[before].reads()
        touched = reads | _changed(stages[before], schemas[before].fields, schemas[before + 1].fields)
        if not reads or EVERY_FIELD in needed or EVERY_FIELD in touched or touched & needed:
            needed |= reads
            kept.append(before)
    names = [recipe.stage_names[before] for before in reversed(kept)]
    fields = None if EVERY_FIELD in needed else frozenset(needed)
    return RowRunner(recipe, [stages[before] for before in reversed(kept)], names, fields)


def _changed(stage: Stage, before: object, after: object) -> frozenset[str]:
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    own = frozenset([stage.field]) if isinstance(stage, FieldStage) else frozenset[str]()
    return own | {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
