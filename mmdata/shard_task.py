"""The shard task: a pure function from (plan, shard number) to one tar, its index and its rejects.

It leaves them in the staging folder, the index last: its presence there means that the task is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmdata.codec import Codec
from mmdata.crc import crc32
from mmdata.engines.local import Tick
from mmdata.errors import RecordError
from mmdata.files import publish, publishing
from mmdata.ingest import Ingest
from mmdata.pipeline import Pipeline
from mmdata.plan import PlannedRow, RowReject, Task
from mmdata.recipe import Recipe
from mmdata.record import Record, Reject
from mmdata.shards.index import ShardInfo, index_schema, parquet_bytes, write_index
from mmdata.shards.tar import TarWriter
from mmdata.stages.base import Stage

REJECTS_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("key", pa.string()),
        ("kind", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


def staged_tar(staging: Path, task: str) -> Path:
    """Where a task leaves its tar; there is none where it gave no record."""
    return staging / f"{task}.tar"


def staged_index(staging: Path, task: str) -> Path:
    """Where a task leaves its index, last of all."""
    return staging / f"{task}.parquet"


def staged_rejects(staging: Path, task: str) -> Path:
    """Where a task leaves its rejects."""
    return staging / f"{task}.rejects.parquet"


def rejects_table(rejects: Iterable[RowReject]) -> pa.Table:
    """Return rejects as a table with the columns of `rejects.parquet`."""
    rows = [
        {"row": one.row, "key": one.key, "stage": one.stage}
        | {"kind": one.reject.kind, "reason": one.reject.reason, "detail": one.reject.detail}
        for one in rejects
    ]
    return pa.Table.from_pylist([{name: _printable(value) for name, value in row.items()} for row in rows], schema=REJECTS_SCHEMA)


def _printable(value: object) -> object:
    """Parquet holds UTF-8 only; what came as a lone surrogate is shown by its number."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


@dataclass(frozen=True)
class RowRunner:
    """Runs rows through ingest and stages; workers make one each, lazily."""

    recipe: Recipe
    stages: Sequence[Stage]
    names: Sequence[str]
    fields: frozenset[str] | None = None

    @cached_property
    def _ingest(self) -> Ingest:
        return Ingest(self.recipe, self.recipe.open_source(), self.fields)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return Pipeline(self.stages, self.names, self.recipe.seed)

    def __call__(self, planned: PlannedRow) -> Iterator[Record | RowReject]:
        """Yield what became of one row."""
        try:
            record = self._ingest(planned)
        except RecordError as error:
            yield RowReject(planned.row, planned.source_key, "source", Reject("error", error.reason, error.detail))
            return
        yield from self._pipeline(record)


def _nothing(planned: PlannedRow) -> RowReject:
    """The reject of a row of which a stage that makes several records made none."""
    return RowReject(planned.row, planned.source_key, "codec", Reject("filtered", "row gave no record"))


@dataclass(frozen=True)
class ShardJob:
    """Carries out shard tasks."""

    runner: RowRunner
    codec: Codec
    fingerprint: str
    staging: Path

    def __call__(self, task: Task, tick: Tick) -> None:
        """Build one shard and leave it in the staging folder."""
        rows: list[dict[str, Any]] = []
        rejects: list[RowReject] = []
        with publishing(staged_tar(self.staging, task.name)) as file:
            tar = TarWriter(file)
            for planned in task.rows:
                results = [self._written(tar, result, rows) for result in self.runner(planned)] or [_nothing(planned)]
                turned_away = [result for result in results if result is not None]
                rejects += turned_away
                tick(1, int(len(turned_away) == len(results)))
            sha256 = tar.finish()
        info = ShardInfo(task.name, self.fingerprint, len(rows), tar.bytes, sha256)
        schema = index_schema(self.codec.extensions, self.codec.measures, self.codec.schema.metadata)
        publish(staged_rejects(self.staging, task.name), parquet_bytes(rejects_table(rejects)))
        publish(staged_index(self.staging, task.name), write_index(rows, schema, info))

    def _written(self, tar: TarWriter, result: Record | RowReject, rows: list[dict[str, Any]]) -> RowReject | None:
        """Write a record to the tar and its place to `rows`; return a reject, or what encoding made one."""
        if isinstance(result, RowReject):
            return result
        reject = Reject("error", "record has no field")
        try:
            payloads = self.codec.encode(result) if result.fields else None
        except RecordError as error:
            payloads, reject = None, Reject("error", error.reason, error.detail)
        except Exception as error:  # noqa: BLE001 - what an encoder cannot write costs its record, never the build
            payloads, reject = None, Reject("error", f"encoder raised {type(error).__name__}", str(error))
        if payloads is None:
            return RowReject(result.origin.row, result.origin.source_key, "codec", reject)
        rows.append(self._add(tar, result, payloads))
        return None

    def _add(self, tar: TarWriter, record: Record, payloads: dict[str, bytes]) -> dict[str, Any]:
        origin = record.origin
        row: dict[str, Any] = {"key": record.key, "row": origin.row, "split": origin.split, "group": origin.group}
        for extension, payload in payloads.items():
            row[f"{extension}.offset"] = tar.add(f"{record.key}.{extension}", payload)
            row[f"{extension}.size"] = len(payload)
            row[f"{extension}.crc32"] = crc32(payload)
        metadata = {f"metadata.{name}": value for name, value in record.metadata.items()}
        return row | self.codec.measure(record) | metadata
