"""Lets a stage observe the corpus: in parallel tasks of rows, whose results stay on the disk while the folder is built."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmdata.changes import Mode, RawChanges
from mmdata.engines.base import Casualties, Engine, Tick, Watch
from mmdata.files import digest_of_json, look_anew, publish, publishing
from mmdata.observations import Seen, Sight, nested, retyped
from mmdata.plan import PlannedRow, RowReject
from mmdata.raw import FileDigests
from mmdata.reasons import Reason, grouped
from mmdata.record import LONGEST_DETAIL, Record, Reject
from mmdata.shard_task import RowRunner, lost
from mmdata.shards.index import parquet_bytes
from mmdata.stages.base import FitStage, JudgingStage

EARLIER = "earlier.parquet"
"""What was observed for the dataset before it is updated; it stands among the results of tasks."""

_ROWS_A_TASK = 256


@dataclass(frozen=True)
class FitTask:
    """Some rows, in the order of the source."""

    rows: tuple[PlannedRow, ...]

    @property
    def name(self) -> str:
        """A digest of what the rows are made of."""
        return digest_of_json([row.digest for row in self.rows])


@dataclass(frozen=True)
class FitJob:
    """Lets one stage observe tasks of rows."""

    stage: FitStage
    runner: RowRunner
    folder: Path
    telling: frozenset[str]
    """The places at which an error means that the build would reject the row as an error, too."""

    @property
    def places(self) -> tuple[str, ...]:
        """The names of what a row passes: the source, the stages before, and the one that learns."""
        return (*self.runner.places, self.stage.stage)

    def __call__(self, task: FitTask, watch: Watch, casualties: Casualties) -> None:
        """Write what the stage observes in these rows, and what their files held."""
        self.runner.open()
        sights: list[Sight] = []
        rejects: list[RowReject] = []
        table = self.stage.observe(self._records(task.rows, sights, rejects, watch, casualties))
        files = {sight.digest: sight.files for sight in sights}
        beside = {"files": files, "rejects": _listed(rejects), "failed": self._failed(task, sights, rejects)}
        publish(_beside(self.folder, task.name), json.dumps(beside).encode())
        if isinstance(self.stage, JudgingStage):
            publish(self.folder / f"{task.name}.parquet", parquet_bytes(nested(sights, table)))
            return
        with publishing(_observed(self.folder, task)) as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    def _failed(self, task: FitTask, sights: Iterable[Sight], rejects: Sequence[RowReject]) -> dict[str, list[str]]:
        """Return key, stage, reason and detail of an error for each row that the build would reject for it, by its digest."""
        errors = {one.row: one for one in reversed(rejects) if one.reject.kind == "error" and one.stage in self.telling}
        rows = (row for row, sight in zip(task.rows, sights, strict=True) if not sight.records)
        found = ((row.digest, errors[row.row]) for row in rows if row.row in errors)
        return {digest: [one.key, one.stage, one.reject.reason, one.reject.detail[:LONGEST_DETAIL]] for digest, one in found}

    def _records(
        self, rows: Iterable[PlannedRow], sights: list[Sight], rejects: list[RowReject], watch: Watch, casualties: Casualties
    ) -> Iterator[Record]:
        """Yield the records to learn from. A casualty gives none; where it matters, the build meets it again and rejects it."""
        for position, planned in enumerate(rows):
            watch.begin(position)
            casualty = casualties.get(position)
            if casualty is not None:
                rejects.append(lost(planned, casualty))
            if casualty is not None and casualty.stage == "source":
                sights.append(Sight(planned.digest, {}, 0, failed=True))
            else:
                ingested = self.runner.read(planned)
                records, failed = 0, casualty is not None
                results = self.runner.run(planned, ingested, watch) if casualty is None else ()
                for result in results:
                    if isinstance(result, Record):
                        records += 1
                        watch.enter(len(self.runner.places))
                        yield result
                    else:
                        failed = failed or result.reject.kind == "error"
                        rejects.append(result)
                sights.append(Sight(planned.digest, ingested.files, records, failed))
            watch.end(rejected=False)


def _observed(folder: Path, task: FitTask) -> Path:
    return folder / f"{task.name}.arrow"


def _beside(folder: Path, task: str) -> Path:
    """Where the task of a name writes what its files held, and why rows of it gave nothing to learn from."""
    return folder / f"{task}.rows.json"


def _listed(rejects: Iterable[RowReject]) -> list[list[Any]]:
    """Return rejects as JSON, grouped. Rows stand there by their keys: their numbers change with the rows before."""
    groups = ((one.count, one.first.key, one.first.stage, one.first.reject) for one in grouped(map(Reason, rejects)))
    return [
        [count, key, stage, reject.kind, reject.reason, reject.detail[:LONGEST_DETAIL]] for count, key, stage, reject in groups
    ]


@dataclass(frozen=True)
class Observer:
    """Lets the stage of a job observe rows, in the order of the source; the results stay in the folder of the job.

    Where it `retries`, rows that failed are observed anew.
    """

    job: FitJob
    rows: Sequence[PlannedRow]
    engine: Engine
    changes: RawChanges
    tick: Tick
    retries: bool

    def table(self) -> pa.Table:
        """Return what the stage observes in all rows."""
        tasks = _tasks(self.rows)
        self._run([task for task in tasks if not self._is_done(task)])
        if not tasks:
            return self.job.stage.observe([])
        return pa.concat_tables(pa.ipc.open_file(_observed(self.job.folder, task)).read_all() for task in tasks)

    def files(self) -> dict[str, str]:
        """Return what the files of the rows held when `table` saw them: JSON text by the row's key in the source."""
        seen: dict[str, str] = {}
        for task in _tasks(self.rows):
            held = json.loads(_beside(self.job.folder, task.name).read_bytes())["files"]
            seen |= {row.source_key: json.dumps(held[row.digest]) for row in task.rows}
        return seen

    def reasons(self) -> list[Reason]:
        """Return why rows gave nothing to the table that was returned."""
        numbers = {row.source_key: row.row for row in self.rows}
        return [
            Reason(RowReject(numbers[key], key, stage, Reject(*reject)), count)
            for task in _tasks(self.rows)
            for count, key, stage, *reject in json.loads(_beside(self.job.folder, task.name).read_bytes())["rejects"]
        ]

    def failed(self, gave_nothing: Container[str]) -> list[RowReject]:
        """Return an error for each row that the build would reject for it; the digests of rows that gave no record are given."""
        errors: dict[str, list[str]] = {}
        for path in sorted(self.job.folder.glob("*.rows.json")):
            errors |= json.loads(path.read_bytes())["failed"]
        rows = (row for row in self.rows if row.digest in errors and row.digest in gave_nothing)
        found = ((row.row, errors[row.digest]) for row in rows)
        return [RowReject(row, key, stage, Reject("error", reason, detail)) for row, (key, stage, reason, detail) in found]

    def _is_done(self, task: FitTask) -> bool:
        if not _observed(self.job.folder, task).exists() or not _beside(self.job.folder, task.name).exists():
            return False
        held = json.loads(_beside(self.job.folder, task.name).read_bytes())["files"]

        def compare(row: PlannedRow, files: FileDigests) -> list[str]:
            return [name for name, sha256 in held.get(row.digest, {}).items() if files.get(name) != sha256]

        return not self.changes.rows(task.rows, compare)

    def by_row(self) -> pa.Table:
        """Return what the stage observes row by row (see `nested`). What was observed before is taken where it is still so."""
        seen = self._seen()
        known = [row for row in self.rows if row in seen]
        changed = self.changes.rows(known, partial(seen.changed, if_known=self.changes.mode is Mode.RESUME))
        self.changes.refuse()
        changed |= {row.row for row in known if self.retries and seen.failed(row)}
        if changed:
            self._keep(seen.take(row for row in known if row.row not in changed))
        tasks = _tasks([row for row in self.rows if row not in seen or row.row in changed])
        self._run(tasks)
        return (self._seen() if tasks else seen).take(self.rows)

    def _seen(self) -> Seen:
        schema = self.job.stage.observe([]).schema
        tables = [retyped(pq.read_table(path), schema) for path in sorted(self.job.folder.glob("*.parquet"))]
        return Seen(pa.concat_tables([nested([], schema.empty_table()), *tables]))

    def _keep(self, rows: pa.Table) -> None:
        """Forget all that was observed but for these rows, so that what is observed anew stands beside nothing older."""
        before = set(self.job.folder.glob("*.parquet")) - {self.job.folder / EARLIER}
        publish(self.job.folder / EARLIER, parquet_bytes(rows))
        for path in before:
            path.unlink()

    def _run(self, tasks: Sequence[FitTask]) -> None:
        self.changes.refuse()
        self.tick(len(self.rows) - sum(len(task.rows) for task in tasks), 0)
        for _ in self.engine.run(self.job, tasks, self.tick):
            pass
        look_anew(self.job.folder)


def _tasks(rows: Sequence[PlannedRow]) -> list[FitTask]:
    return [FitTask(tuple(rows[first : first + _ROWS_A_TASK])) for first in range(0, len(rows), _ROWS_A_TASK)]
