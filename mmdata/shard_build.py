"""The shards of a build: what is done is taken as it is, rows that are done are copied, the rest is made, all get their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmdata.changes import Mode, RawChanges
from mmdata.codec import Codec
from mmdata.dataset import SPLITS
from mmdata.differences import changing_files
from mmdata.earlier import EarlierRow
from mmdata.engines.base import Engine, Tick
from mmdata.errors import DatasetError
from mmdata.files import digest_of_json
from mmdata.fit import Fitted
from mmdata.folder import BuildFolder
from mmdata.plan import PlannedRow, Task
from mmdata.raw import FileDigests
from mmdata.shard_task import MadeBy, RowRunner, ShardJob, ShardTask
from mmdata.shards.index import ShardIndex
from mmdata.stock import FileHashes, Finished, Stock


@dataclass
class ShardBuild:
    """Builds the shards of one plan into a folder, whose `stock` is what it held before.

    `promised` is the sha256 of each tar that a repair must come to, by its file. `prepare` finds the `pending` tasks, and `run`
    makes them.
    """

    fitted: Fitted
    codec: Codec
    folder: BuildFolder
    changes: RawChanges
    hashes: FileHashes
    stock: Stock
    promised: Mapping[str, str]
    pending: list[ShardTask] = field(default_factory=list)
    done: dict[str, Finished] = field(default_factory=dict)
    """Where the files of each finished task lie, by its digest."""
    changed: set[str] = field(default_factory=set)
    """The pending rows that are known to differ from what the folder held of them, by their keys in the source."""
    _at: dict[Path, str] = field(default_factory=dict)
    """Which finished task's tar lies at a place, by its digest."""

    @cached_property
    def made_by(self) -> MadeBy:
        """What the shards are made by."""
        return MadeBy(digest_of_json(self.fitted.plan.recipe.substance()), self.fitted.learned)

    def digest(self, task: Task) -> str:
        """Return the digest of a task."""
        return task.digest(self.made_by.digest)

    def prepare(self) -> None:
        """Find out what is done and what is to be made, and put aside what is no more part of the dataset.

        Raises DatasetError where raw files changed that must not.
        """
        pending = []
        for task in self.fitted.plan.tasks:
            digest = self.digest(task)
            found = next((one for one in self.stock.of(digest) if self._is_as_it_would_be(one, task)), None)
            if found is None:
                pending.append(task)
            else:
                self.done[digest] = found
        self.changes.refuse()
        self._at = {one.tar: digest for digest, one in self.done.items() if one.tar is not None}
        chosen = {id(one) for one in self.done.values()}
        others = [one for one in self.stock.shards if id(one) not in chosen]
        if self.changes.mode is not Mode.REPAIR:
            others = [self.folder.retire(one) for one in others]
        self.pending = self._with_earlier(pending, others)

    def refuse_strays(self) -> None:
        """Raise DatasetError where a shard that is there is none of the plan's."""
        digests = {self.digest(task) for task in self.fitted.plan.tasks}
        if strays := [one.index_file.name for one in self.stock.shards if one.digest not in digests]:
            raise DatasetError(
                f"{self.folder.out}: lost its dataset.json, and holds shards of other rows, such as {strays[0]}; put the source "
                "back as it was, or take it over with --update"
            )

    def _is_as_it_would_be(self, one: Finished, task: Task) -> bool:
        """Whether what was done may be taken as it is. After a build failed for its rejects, rows that failed are tried anew."""
        if one.index_file.parent == self.folder.retired:
            return False
        if self.folder.has_failed() and any(row.failed for row in one.rows.values()):
            return False
        if_known = self.changes.mode is Mode.RESUME

        def compare(row: PlannedRow, files: FileDigests) -> Sequence[str]:
            return one.rows[row.source_key].changed(files, if_known=if_known)

        return not self.changes.rows([row for row in task.rows if row.source_key in one.rows], compare)

    def _with_earlier(self, tasks: Sequence[Task], others: Sequence[Finished]) -> list[ShardTask]:
        """Find the rows that earlier shards hold as they would be now. One that failed is tried anew."""
        is_there = [one for one in others if one.tar is not None or not one.index.info.records]
        sources = [one for one in is_there if self.made_by.made(one.index.info)]
        rows = [row for task in tasks for row in task.rows]
        is_compared = bool(sources) and self.changes.mode is not Mode.REPAIR
        files = self.changes.files_of(rows) if is_compared else [{}] * len(rows)
        wanted = {row.source_key: (row, held) for row, held in zip(rows, files, strict=True)}
        self.changed = _changed(wanted, others)
        found: dict[str, EarlierRow] = {}
        for source in sources:
            for key, held in source.rows.items():
                if key in wanted and held.is_of(*wanted[key]) and not held.failed:
                    found[key] = EarlierRow(source.tar, source.index_file, key, held.first, held.count)
        return [
            ShardTask(
                task, self.digest(task), {n: found[row.source_key] for n, row in enumerate(task.rows) if row.source_key in found}
            )
            for task in tasks
        ]

    def run(self, engine: Engine, tick: Tick) -> dict[str, list[ShardIndex]]:
        """Make what is pending; return the indexes of all tasks by split, those without records included."""
        plan = self.fitted.plan
        tick(plan.rows - sum(len(task.task.rows) for task in self.pending), len(plan.rejects))
        commits = {split: self._commits(split) for split in SPLITS}
        for commit in commits.values():
            next(commit)
        runner = RowRunner(plan.recipe, self.fitted.stages, plan.recipe.stage_names)
        job = ShardJob(runner, self.codec, self.made_by, self.folder.staging)
        for task in engine.run(job, self.pending, tick):
            self.done[task.digest] = self.folder.staged(task.digest)
            next(commits[task.task.split])
        if self.changes.mode is not Mode.REPAIR:
            self.folder.sweep({path for one in self.done.values() for path in (one.tar, one.index_file) if path is not None})
        return {
            split: [self.done[self.digest(task)].index for task in plan.tasks if task.split == split]
            for split in SPLITS
            if any(task.split == split for task in plan.tasks)
        }

    def refuse_changed(self, seen: Iterable[Mapping[str, str]]) -> None:
        """Raise DatasetError where shards hold other raw files than fit passes saw: these changed while the dataset was built.

        `seen` is what `Fitting` saw. Of what is concealed, and of a row that was given up while it was read, nothing is known.
        """
        if self.changes.mode is Mode.REPAIR:
            return
        passes, lines = list(seen), []
        for task in self.fitted.plan.tasks:
            held = self.done[self.digest(task)].rows
            for row in (row for row in task.rows if row.source_key in held):
                known = {name: sha256 for name, sha256 in held[row.source_key].files.items() if sha256}
                then = [json.loads(files[row.source_key]) for files in passes if row.source_key in files]
                names = {name for one in then for name in one if name in known and known[name] != one[name]}
                lines += [f"{self.changes.path(row, name)} of row {row.source_key!r}" for name in sorted(names)]
        if lines:
            raise DatasetError(changing_files(self.folder.out, lines))

    def _commits(self, split: str) -> Iterator[None]:
        """Each time, give the shards of a split their final names, in the order of the tasks, as far as tasks are done."""
        number = 0
        for task in (task for task in self.fitted.plan.tasks if task.split == split):
            digest = self.digest(task)
            while digest not in self.done:
                yield
            if self.done[digest].tar is not None:
                self._commit(task, digest, f"{split}-{number:06d}")
                number += 1
        while True:
            yield

    def _commit(self, task: Task, digest: str, shard: str) -> None:
        done, tar = self.done[digest], self.folder.out / f"{shard}.tar"
        sha256 = done.index.info.sha256
        if self.promised.get(tar.name, sha256) != sha256:
            raise DatasetError(self._broken_promise(task, done, shard))
        if (other := self._at.get(tar, digest)) != digest:
            self._moved(other, self.folder.stage(self.done[other]))
        is_there = done.tar != tar and tar.exists() and self.hashes[tar] == sha256
        index = done.index.numbered({row.source_key: row.row for row in task.rows})
        placed = self.folder.place(done, shard, is_there=is_there)
        self._moved(digest, Finished(index, placed.index_file, placed.tar))
        if self.changes.mode is not Mode.REPAIR:
            # The numbers of rows may be others now. And where no dataset.json vouches for the file, what is damaged of it may be
            # such that the index says the same.
            self.folder.write_index(self.done[digest])

    def _moved(self, digest: str, now: Finished) -> None:
        before = self.done[digest].tar
        if before is not None and self._at.get(before) == digest:
            del self._at[before]
        if now.tar is not None:
            self._at[now.tar] = digest
        self.done[digest] = now

    def _broken_promise(self, task: Task, done: Finished, shard: str) -> str:
        """Say which raw files changed, as far as the index of the damaged shard still tells."""
        before = next((one for one in self.stock.shards if one.index_file == self.folder.index / f"{shard}.parquet"), None)
        rows = {row.source_key: row for row in task.rows}
        names = [
            f"\n  {self.changes.path(rows[key], name)} of row {key!r}"
            for key, held in (before.rows if before else {}).items()
            if key in rows and key in done.rows
            for name in held.changed(done.rows[key].files)
        ]
        why = f"; these raw files changed:{''.join(names)}" if names else ", and its index does not tell which raw files changed"
        return (
            f"{self.folder.out / shard}.tar: is damaged, and does not come out the same again. Put the raw files back as they "
            f"were, or take them over with --update{why}"
        )


def _changed(wanted: Mapping[str, tuple[PlannedRow, FileDigests]], shards: Iterable[Finished]) -> set[str]:
    """Return which rows some shards hold, and each of them differs from what is wanted."""
    same, other = set[str](), set[str]()
    for shard in shards:
        for key, held in shard.rows.items():
            if key in wanted:
                (other if held.differs(*wanted[key]) else same).add(key)
    return other - same
