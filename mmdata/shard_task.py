"""The shard task: a pure function from the rows of a shard to one tar and its index, which also holds the rejects.

It leaves them in the staging folder under the task's digest, the index last: its presence there means that the task is done. Rows
that an earlier shard holds as they would be made now are copied out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmdata.codec import Codec
from mmdata.crc import crc32
from mmdata.earlier import EarlierRow, EarlierShards
from mmdata.engines.base import Casualties, Casualty, Watch
from mmdata.errors import DatasetError
from mmdata.files import digest_of_json, publish, publishing
from mmdata.ingest import Ingest, Ingested
from mmdata.pipeline import Pipeline
from mmdata.plan import PlannedRow, RowReject, Task
from mmdata.recipe import Recipe
from mmdata.record import LONGEST_DETAIL, Record, Reject, printable
from mmdata.shards.index import ShardInfo, ShardReject, index_schema, write_index
from mmdata.shards.tar import TarWriter
from mmdata.stages.base import Stage


def staged_tar(staging: Path, task: str) -> Path:
    """Where a task leaves its tar; there is none where it gave no record."""
    return staging / f"{task}.tar"


def staged_index(staging: Path, task: str) -> Path:
    """Where a task leaves its index, last of all."""
    return staging / f"{task}.parquet"


@dataclass(frozen=True)
class RowRunner:
    """Runs rows through ingest and stages; workers make one each, lazily."""

    recipe: Recipe
    stages: Sequence[Stage]
    names: Sequence[str]
    fields: frozenset[str] | None = None

    @property
    def places(self) -> tuple[str, ...]:
        """The names of what a row passes: the source, then the stages."""
        return ("source", *self.names)

    def open(self) -> None:
        """List the source and set the stages up. The first row does it else, and would have to answer for the time."""
        _ = self._ingest, self._pipeline

    @cached_property
    def _ingest(self) -> Ingest:
        return Ingest(self.recipe, self.recipe.open_source(), self.fields)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return Pipeline(self.stages, self.names, self.recipe.seed)

    def read(self, planned: PlannedRow) -> Ingested:
        """Read one row."""
        return self._ingest(planned)

    def run(self, planned: PlannedRow, ingested: Ingested, watch: Watch) -> Iterator[Record | RowReject]:
        """Yield what becomes of a row that was read."""
        if isinstance(ingested.result, Reject):
            yield RowReject(planned.row, planned.source_key, "source", ingested.result)
            return
        yield from self._pipeline(ingested.result, watch)


def _nothing(planned: PlannedRow) -> RowReject:
    """The reject of a row of which a stage that makes several records made none."""
    return RowReject(planned.row, planned.source_key, "codec", Reject("filtered", "row gave no record"))


def lost(planned: PlannedRow, casualty: Casualty) -> RowReject:
    """The reject of a row that no worker survives."""
    return RowReject(planned.row, planned.source_key, casualty.stage, casualty.reject)


@dataclass(frozen=True)
class ShardTask:
    """A task with its digest, and where some of its rows, by their place in it, are to be had without work."""

    task: Task
    digest: str
    earlier: Mapping[int, EarlierRow]


@dataclass(frozen=True)
class MadeBy:
    """What shards are made by, besides their rows: the digest of the recipe, and what was learned, file to sha256."""

    recipe: str
    artifacts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The sha256 of both."""
        return digest_of_json([self.recipe, dict(self.artifacts)])

    def made(self, info: ShardInfo) -> bool:
        """Whether a shard was made by the same."""
        return self.recipe == info.recipe and dict(self.artifacts) == dict(info.artifacts)


@dataclass
class _Shard:
    """A shard on its way: the tar, the rows of its index, and the rejects."""

    tar: TarWriter
    rows: list[dict[str, Any]] = field(default_factory=list)
    rejects: list[ShardReject] = field(default_factory=list)

    def add(self, key: str, payloads: Mapping[str, bytes], row: Mapping[str, Any]) -> None:
        """Append a record: its payloads by extension, and the columns of its index that do not speak of them."""
        places: dict[str, int] = {}
        for extension, payload in payloads.items():
            places[f"{extension}.offset"] = self.tar.add(f"{key}.{extension}", payload)
            places[f"{extension}.size"] = len(payload)
            places[f"{extension}.crc32"] = crc32(payload)
        self.rows.append({**row, **places})


@dataclass(frozen=True)
class ShardJob:
    """Carries out shard tasks."""

    runner: RowRunner
    codec: Codec
    made_by: MadeBy
    staging: Path

    @property
    def places(self) -> tuple[str, ...]:
        """The names of what a row passes: the source, the stages, and the codec."""
        return (*self.runner.places, "codec")

    def __call__(self, task: ShardTask, watch: Watch, casualties: Casualties) -> None:
        """Build one shard and leave it in the staging folder."""
        self.runner.open()
        with EarlierShards() as earlier, publishing(staged_tar(self.staging, task.digest)) as file:
            shard = _Shard(TarWriter(file))
            for place, planned in enumerate(task.task.rows):
                before = len(shard.rows)
                watch.begin(place)
                known = task.earlier.get(place)
                if known is None or not self._copy(shard, planned, known, earlier):
                    self._make(shard, planned, watch, casualties.get(place))
                watch.end(rejected=len(shard.rows) == before)
            sha256 = shard.tar.finish()
        if not shard.rows:
            staged_tar(self.staging, task.digest).unlink()
        info = ShardInfo(task.digest, self.made_by.recipe, self.made_by.artifacts, len(shard.rows), shard.tar.bytes, sha256)
        codec = self.codec
        columns = index_schema(codec.extensions, codec.inputs, codec.measures, codec.schema.metadata)
        table = pa.Table.from_pylist(shard.rows, schema=columns)
        publish(staged_index(self.staging, task.digest), write_index(table, info, shard.rejects))

    def _copy(self, shard: _Shard, planned: PlannedRow, known: EarlierRow, earlier: EarlierShards) -> bool:
        """Take a row from an earlier shard; False where it is damaged there."""
        try:
            found = earlier.read(known, self.codec.extensions)
        except DatasetError:
            return False
        for row, payloads in found.records:
            shard.add(row["key"], payloads, {**row, "row": planned.row})
        shard.rejects += found.rejects
        return True

    def _make(self, shard: _Shard, planned: PlannedRow, watch: Watch, casualty: Casualty | None) -> None:
        """Run a row, or take a casualty for what it stands for; what killed a worker while it was read is not read again."""
        ingested = None if casualty is not None and casualty.stage == "source" else self.runner.read(planned)
        if casualty is not None or ingested is None:
            assert casualty is not None
            rejects = [lost(planned, casualty)]
        else:
            results = list(self._written(shard, planned, self.runner.run(planned, ingested, watch), watch))
            rejects = [result for result in results if result is not None] if results else [_nothing(planned)]
        # Where a stage conceals, why a row was turned away must not be told by a digest of it.
        kept = not self.runner.recipe.conceals
        digest, files = (planned.digest, ingested.files if ingested else {}) if kept else ("", {})
        for one in rejects:
            why = one.reject.kind, one.stage, printable(one.reject.reason), printable(one.reject.detail)[:LONGEST_DETAIL]
            shard.rejects.append(ShardReject(planned.source_key, digest, files, one.key, *why))

    def _written(
        self, shard: _Shard, planned: PlannedRow, results: Iterable[Record | RowReject], watch: Watch
    ) -> Iterator[RowReject | None]:
        """Write the records of a row to the shard; yield its rejects, and None for each record that is written."""
        for result in results:
            watch.enter(len(self.runner.places))
            if isinstance(result, RowReject):
                yield result
                continue
            reject = Reject("error", "record has no field")
            try:
                payloads = self.codec.encode(result) if result.fields else None
            except Exception as error:  # noqa: BLE001 - what an encoder cannot write costs its record, never the build
                payloads, reject = None, Reject.of(error, "encoder")
            if payloads is None:
                yield RowReject(result.origin.row, result.origin.source_key, "codec", reject)
            else:
                shard.add(result.key, payloads, self._columns(planned, result))
                yield None

    def _columns(self, planned: PlannedRow, record: Record) -> dict[str, Any]:
        """Return what the index says of a record, but for the places of its members."""
        origin = record.origin
        inputs = {f"input.{name}.sha256": origin.inputs[name].sha256 for name in self.codec.inputs}
        is_concealed = self.runner.recipe.conceals and bool(origin.absent)
        row = {"key": record.key, "row": origin.row, "source_key": origin.source_key, "split": origin.split}
        row |= {"group": origin.group, "input.digest": "" if is_concealed else planned.digest, **inputs}
        metadata = {f"metadata.{name}": value for name, value in record.metadata.items()}
        return row | self.codec.measure(record) | metadata
