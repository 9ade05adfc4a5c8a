"""The fit passes: stages that learn from the corpus observe its rows, then reduce what they saw in row order.

A stage sees the rows as the stages before it leave them, but only those stages run that its own fields depend on. What a stage
has learned is kept as long as the folder is gone on with. What one judges is judged anew each time: over what was observed before
and is still so, and over the rest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from mmdata.changes import Mode, RawChanges
from mmdata.differences import differences, refusal
from mmdata.engines.base import Engine, Tick
from mmdata.errors import DatasetError, NothingToLearnError, TooManyRejectsError
from mmdata.files import canonical_json, digest_of_json, publish
from mmdata.folder import BuildFolder
from mmdata.observations import counts, flat, gave_nothing
from mmdata.observing import EARLIER, FitJob, Observer
from mmdata.plan import Plan, PlannedRow, RowReject
from mmdata.reasons import ADVICE, Reason, check_limit, grouped, told
from mmdata.recipe import Recipe
from mmdata.shard_task import RowRunner
from mmdata.shards.index import parquet_bytes
from mmdata.stages.base import FieldStage, FitStage, JudgingStage, Stage

EVERY_FIELD = "*"

Start = Callable[[str, int], Tick]
"""Told of each pass, by its name and number of rows; returns where it counts them."""


@dataclass(frozen=True)
class Fitted:
    """The stages with what they learned, the plan with what they decided, and the sha256 of every artifact by file.

    `learned` are the artifacts that every record may depend on; of what was judged, only the verdict on its own row touches one.
    """

    plan: Plan
    stages: Sequence[Stage]
    learned: Mapping[str, str]
    artifacts: Mapping[str, str]


@dataclass(frozen=True)
class Fitting:
    """Fits the stages of a plan, one after the other; what is done already is taken from the disk.

    `given` are files learned elsewhere, taken in place of learning. `promised` says what sha256 a file must come to. `seen` gets
    what the raw files of each row held when a pass observed it: JSON text by the row's key in the source, for each pass.
    """

    plan: Plan
    folder: BuildFolder
    engine: Engine
    changes: RawChanges
    given: Mapping[str, bytes]
    promised: Mapping[str, str]
    seen: list[Mapping[str, str]] = field(default_factory=list)
    _failed: dict[int, RowReject] = field(default_factory=dict)
    """An error of each row of which is known already that it is rejected as an error, by the row's number."""

    def __call__(self, start: Start) -> Fitted:
        """Fit all stages. Raises TooManyRejectsError as soon as more rows failed than the recipe allows."""
        plan, stages = self.plan, list(self.plan.recipe.stages)
        self._count([one for one in plan.rejects if one.reject.kind == "error"])
        learned: dict[str, str] = {}
        judged: dict[str, str] = {}
        for number, stage in enumerate(stages):
            if isinstance(stage, JudgingStage):
                observer = self._observer(plan, number, stages, start)
                rows = observer.by_row()
                self._count(observer.failed(gave_nothing(rows)))
                self.seen.append(_files_seen(_rows_for(plan, stage), rows))
                fitted = stage.fitted(stage.reduce(flat(rows)))
                judged |= self._publish(number, {**fitted.learned, **self._observations(stage, rows)})
                plan = plan.judged(_digests(_rows_for(plan, stage), rows, fitted.verdicts(flat(rows))))
                stages[number] = fitted
            elif isinstance(stage, FitStage) and stage.needs_fit:
                files = self._learned(number, stage)
                if files is None:
                    observer = self._observer(plan, number, stages, start)
                    files = self._reduced(number, stage, observer)
                    self.seen.append(observer.files())
                    self._mark(number, self._publish(number, files), is_learned_here=True)
                    self._count(observer.failed({row.digest for row in observer.rows}))
                stages[number] = stage.fitted(files)
                learned |= self._named(number, files)
        return Fitted(plan, stages, dict(sorted(learned.items())), dict(sorted((judged | learned).items())))

    def keep(self, promised: Mapping[str, str], damaged: Collection[Path]) -> None:
        """Let the artifacts that a complete dataset has, but for damaged ones, be taken in place of learning and observing.

        Raises DatasetError where an update would have to learn again: it would learn something else from other rows.
        """
        recipe = self.plan.recipe
        for number, stage in enumerate(recipe.stages):
            if isinstance(stage, JudgingStage):
                path = self.folder.artifacts / artifact_name(recipe, number, _observed_file(stage))
                if path.name in promised and path not in damaged:
                    self._work(number).mkdir(parents=True, exist_ok=True)
                    publish(self._work(number) / EARLIER, path.read_bytes())
            elif isinstance(stage, FitStage) and stage.needs_fit:
                files = [artifact_name(recipe, number, name) for name in stage.files]
                if not any(self.folder.artifacts / file in damaged for file in files):
                    self._mark(number, {file: promised[file] for file in files}, is_learned_here=False)
                elif self.changes.mode is Mode.UPDATE:
                    hint = "put it back from a copy, or build without --update while the corpus is as it was, which repairs it"
                    raise DatasetError(f"{self.folder.artifacts / files[0]}: is damaged or missing; {hint}")

    def forget(self) -> None:
        """Forget what was learned here, and what was observed for it."""
        for marker in self.folder.fit.glob("*.json"):
            if json.loads(marker.read_bytes())["is_learned_here"]:
                marker.unlink()
                shutil.rmtree(marker.with_suffix(""), ignore_errors=True)

    def _learned(self, number: int, stage: FitStage) -> dict[str, bytes] | None:
        """Return the files that the stage has learned, here or elsewhere; None where it must still learn.

        Raises DatasetError where a file is not what was learned, or what is given is not what the folder was begun with.
        """
        names = {name: artifact_name(self.plan.recipe, number, name) for name in stage.files}
        given = {name: self.given[file] for name, file in names.items() if file in self.given}
        marker = self.folder.fit / f"{number}.json"
        if not marker.exists():
            if given:
                self._mark(number, self._publish(number, given), is_learned_here=False)
            return given or None
        held = json.loads(marker.read_bytes())["files"]
        files = {name: _read(self.folder.artifacts / file) for name, file in names.items()}
        if lines := differences(self._named(number, files), held, "artifacts"):
            raise DatasetError(refusal(self.folder.out, lines))
        if given and (lines := differences(held, self._named(number, given), "artifacts")):
            raise DatasetError(refusal(self.folder.out, lines))
        return files

    def _count(self, failed: Iterable[RowReject]) -> None:
        """Add rows that are rejected as errors. Raises TooManyRejectsError where they are more than the recipe allows."""
        self._failed.update((one.row, one) for one in failed)
        reasons = grouped(Reason(one) for _, one in sorted(self._failed.items()))
        check_limit(self.plan, len(self._failed), reasons, "No shard was made yet, which may turn more rows away. ")

    def _reduced(self, number: int, stage: FitStage, observer: Observer) -> dict[str, bytes]:
        """Let a stage learn. Raises TooManyRejectsError, with the reasons, where no row is left that it could learn from."""
        try:
            return stage.reduce(observer.table())
        except NothingToLearnError as error:
            in_listing = (Reason(reject) for reject in self.plan.rejects)
            if not (reasons := grouped([*in_listing, *observer.reasons()])):
                raise
            shutil.rmtree(self._work(number))  # every row is tried anew
            raise TooManyRejectsError(f"{error}, as rows were rejected before it.\n{told(reasons)}\n{ADVICE}.") from error

    def _observer(self, plan: Plan, number: int, stages: Sequence[Stage], start: Start) -> Observer:
        stage = stages[number]
        assert isinstance(stage, FitStage)
        rows = _rows_for(plan, stage)
        self._work(number).mkdir(parents=True, exist_ok=True)
        runner = runner_for(plan.recipe, stages, number)
        job = FitJob(stage, runner, self._work(number), _telling(plan.recipe, stages[:number], runner))
        tick = start(plan.recipe.stage_names[number], len(rows))
        return Observer(job, rows, self.engine, self.changes, tick, retries=self.folder.has_failed())

    def _observations(self, stage: JudgingStage, rows: pa.Table) -> dict[str, bytes]:
        """Return the file of what was observed. Of a corpus in which something is concealed, no digests of rows are kept."""
        return {} if self.plan.recipe.conceals else {_observed_file(stage): parquet_bytes(rows)}

    def _named(self, number: int, files: Mapping[str, bytes]) -> dict[str, str]:
        """Return the sha256 of what a stage learned, by the files of the artifacts."""
        contents = sorted(files.items())
        return {artifact_name(self.plan.recipe, number, name): hashlib.sha256(content).hexdigest() for name, content in contents}

    def _publish(self, number: int, files: Mapping[str, bytes]) -> dict[str, str]:
        """Write artifacts; return their sha256. Raises DatasetError where one is not what the dataset promises."""
        digests = self._named(number, files)
        for file, sha256 in digests.items():
            if self.promised.get(file, sha256) != sha256:
                raise DatasetError(
                    f"{self.folder.artifacts / file}: it, or what it depends on, is damaged and does not come out the same: raw "
                    "files changed, or it was learned from earlier rows; put it back from a copy, or build into a new folder"
                )
        for name, content in sorted(files.items()):
            self.folder.publish(self.folder.artifacts / artifact_name(self.plan.recipe, number, name), content)
        return digests

    def _mark(self, number: int, files: Mapping[str, str], *, is_learned_here: bool) -> None:
        content = canonical_json({"files": files, "is_learned_here": is_learned_here})
        publish(self.folder.fit / f"{number}.json", content.encode())

    def _work(self, number: int) -> Path:
        return self.folder.fit / f"{number}"


def artifact_name(recipe: Recipe, number: int, name: str) -> str:
    """Return the file of an artifact. Stages of one kind name theirs alike, so all but the first have their number before it."""
    kinds = [type(stage) for stage in recipe.stages]
    is_first = kinds.index(kinds[number]) == number
    return name if is_first else f"{number}-{name}"


def _observed_file(stage: JudgingStage) -> str:
    return f"{Path(stage.files[0]).stem}.observed.parquet"


def _rows_for(plan: Plan, stage: FitStage) -> list[PlannedRow]:
    return [row for row in plan.planned if stage.every_split or row.split == "train"]


def _files_seen(rows: Sequence[PlannedRow], observed: pa.Table) -> dict[str, str]:
    return dict(zip((row.source_key for row in rows), observed.column("files").to_pylist(), strict=True))


def _digests(rows: Sequence[PlannedRow], observed: pa.Table, verdicts: Sequence[str]) -> dict[int, str]:
    """Return the new digest of each row of which a record was turned away, by the row's number."""
    digests, first = {}, 0
    for row, count in zip(rows, counts(observed), strict=True):
        own = verdicts[first : first + count]
        if any(own):
            digests[row.row] = digest_of_json([row.digest, own])
        first += count
    return digests


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


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


def _telling(recipe: Recipe, stages: Sequence[Stage], runner: RowRunner) -> frozenset[str]:
    """Return the places of a pass at which an error is one of the build, too.

    Where a filter was skipped, a row that fails behind it may be one that the filter turns away, which is no error.
    """
    places = ["source"]
    for name, stage in zip(recipe.stage_names, stages, strict=False):
        if name in runner.names:
            places.append(name)
        elif not stage.keeps_all:
            break
    return frozenset(places)


def _changed(stage: Stage, before: object, after: object) -> frozenset[str]:
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    own = frozenset([stage.field]) if isinstance(stage, FieldStage) else frozenset[str]()
    return own | {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
