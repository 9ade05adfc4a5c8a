"""The plan: a recipe made concrete and checked before any raw file is read.

Every row gets its key, its split and its shard task here. Where shards begin and end depends on the rows' own keys, not on counts
from the start: a row that is added or removed changes the shards around it, and no other.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from mmdata.codec import Codec
from mmdata.dataset import SPLITS, fingerprint_of
from mmdata.errors import RecipeError, RecordError, SourceError
from mmdata.files import digest_of_json
from mmdata.keys import key_for
from mmdata.listing import line_of, line_of_row, used_columns
from mmdata.recipe import Recipe, SplitSpec
from mmdata.record import Reject
from mmdata.rng import digest_of, fraction_of
from mmdata.sources.base import Row, Source
from mmdata.stages.base import Stage


@dataclass(frozen=True)
class PlannedRow:
    """An input row with its place in the plan.

    `digest` stands for all that a build knows of the row before it reads its files: the row as it is listed, and what stages
    that look at the whole corpus decided about it. It holds no row number, which changes with the rows before. `listed` stands
    for the row as it is listed alone.
    """

    row: int
    source_key: str
    key: str
    group: str
    split: str
    digest: str
    listed: str


@dataclass(frozen=True)
class Task:
    """The unit of work, of commit and of resume: the rows that make one shard."""

    split: str
    rows: tuple[PlannedRow, ...]

    def digest(self, made_by: str) -> str:
        """Return the name of the task: a sha256 of what it is made of, and of what it is `made_by`."""
        return digest_of_json([made_by, [row.digest for row in self.rows]])


@dataclass(frozen=True)
class RowReject:
    """A row or record that is in no shard, with the stage that turned it away."""

    row: int
    key: str
    stage: str
    reject: Reject


@dataclass(frozen=True)
class Plan:
    """What a build does: the rows planned, the tasks, the rows turned away while listing, and the digest of the listing.

    `planned` is in the order of the source; `rows` counts every row, those turned away included. `left_out` names the files that
    the source found but that belong to no row.
    """

    recipe: Recipe
    planned: tuple[PlannedRow, ...]
    tasks: tuple[Task, ...]
    rejects: tuple[RowReject, ...]
    rows: int
    rows_digest: str
    left_out: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What is built of what: a folder must agree in it to be gone on with."""
        return {"recipe": self.recipe.substance(), "rows": {"count": self.rows, "digest": self.rows_digest}}

    def judged(self, digests: Mapping[int, str]) -> Plan:
        """Return the plan in which some rows, by their number, have another digest: a stage has decided about them."""
        if not digests:
            return self

        def with_digest(row: PlannedRow) -> PlannedRow:
            return replace(row, digest=digests[row.row]) if row.row in digests else row

        planned = tuple(map(with_digest, self.planned))
        tasks = tuple(replace(task, rows=tuple(map(with_digest, task.rows))) for task in self.tasks)
        return replace(self, planned=planned, tasks=tasks)

    @property
    def fingerprint(self) -> str:
        """The sha256 of all that decides over the bytes, but for what the fit passes learn."""
        return fingerprint_of(self.identity, {})

    def codec(self, stages: Sequence[Stage] | None = None) -> Codec:
        """Return the codec of the records that come out of the last stage. Raises RecipeError."""
        schema = self.recipe.schemas(stages)[-1]
        return Codec.plan(schema, self.recipe.output, self.recipe.raw_inputs)


def make_plan(recipe: Recipe, limit: int | None = None) -> Plan:
    """Check the recipe, list the source, and lay its first `limit` rows into tasks. Raises RecipeError or SourceError."""
    Codec.plan(recipe.schemas()[-1], recipe.output, recipe.raw_inputs)
    source = recipe.open_source()
    count = len(source) if limit is None else min(limit, len(source))
    listing = _Listing(recipe)
    rows = list(listing.rows(source, count))
    listing.check_columns()
    if not rows and listing.rejects:
        first = listing.rejects[0].reject
        raise SourceError(
            f"none of {count} rows can be used, such as row {listing.rejects[0].row}: {first.reason} ({first.detail})"
        )
    ordered = rows
    if recipe.shards.order == "shuffled":
        ordered = sorted(rows, key=lambda row: digest_of(recipe.seed, "order", row.source_key))
    by_split = ([row for row in ordered if row.split == split] for split in SPLITS)
    tasks = chain.from_iterable(_tasks(split, found, recipe) for split, found in zip(SPLITS, by_split, strict=True))
    return Plan(recipe, tuple(rows), tuple(tasks), tuple(listing.rejects), count, listing.digest.hexdigest(), source.left_out)


class _Listing:
    """One walk over the rows of a source: plans each, turns away what has no key of its own, hashes all that was seen."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.rejects: list[RowReject] = []
        self.digest = hashlib.sha256()
        self._seen: dict[str, int] = {}
        self._columns: dict[str, None] = {}

    def rows(self, source: Source, count: int) -> Iterator[PlannedRow]:
        used = used_columns(self.recipe)
        for number in range(count):
            try:
                row = source[number]
            except RecordError as error:
                self._turn_away(number, "", Reject("error", error.reason, error.detail))
                continue
            self._columns |= dict.fromkeys(row.columns)
            digest = self._noted(line_of_row(row, used))
            if (planned := self._planned(number, row, digest)) is not None:
                yield planned

    def _planned(self, number: int, row: Row, digest: str) -> PlannedRow | None:
        key = key_for(row.key)
        first = self._seen.setdefault(key, number)
        if first != number:
            self._turn_away(number, row.key, Reject("error", "key is not unique", f"row {first} has the same key"))
            return None
        try:
            group = _group(self.recipe.split.by, row)
        except RecordError as error:
            self._turn_away(number, row.key, Reject("error", error.reason, error.detail))
            return None
        return PlannedRow(number, row.key, key, group, split_of(group, self.recipe.split, self.recipe.seed), digest, digest)

    def _turn_away(self, number: int, key: str, reject: Reject) -> None:
        self.rejects.append(RowReject(number, key, "source", reject))
        self._noted(line_of([number, reject.reason, reject.detail]))

    def _noted(self, line: bytes) -> str:
        """Let the line of what was seen enter the digest of the listing; return its own."""
        self.digest.update(line)
        return hashlib.sha256(line).hexdigest()

    def check_columns(self) -> None:
        """Raise RecipeError where the recipe uses a column that no row has."""
        if not self._columns:
            return
        for column in used_columns(self.recipe):
            if column not in self._columns:
                near = difflib.get_close_matches(column, self._columns, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(self._columns)}"
                raise RecipeError(f"no row of the source has a column {column!r}{hint}")


def _group(column: str | None, row: Row) -> str:
    if column is None:
        return row.key
    if (value := row.columns.get(column)) is None:
        raise RecordError("row has no group", f"column {column!r} is empty")
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        raise RecordError("group is not valid Unicode", f"column {column!r}: {error.reason}") from error
    return str(value)


def split_of(group: str, spec: SplitSpec, seed: int) -> str:
    """Return the split that a group belongs to, by a hash of its name."""
    place = fraction_of(seed, "split", group)
    if place < spec.val:
        return "val"
    return "test" if place < spec.val + spec.test else "train"


def _tasks(split: str, rows: Iterable[PlannedRow], recipe: Recipe) -> Iterator[Task]:
    return (Task(split, tuple(shard_rows)) for shard_rows in _shards(rows, recipe.shards.rows))


def _shards(rows: Iterable[PlannedRow], size: int) -> Iterator[list[PlannedRow]]:
    """Cut rows into shards of `size` on average: after half of it, each row may be the last with a chance by its own key."""
    least, most = max(1, size // 2), 2 * size
    shard: list[PlannedRow] = []
    for row in rows:
        shard.append(row)
        may_end = len(shard) >= least and fraction_of("shard", row.source_key) * max(1, size - least) < 1
        if may_end or len(shard) >= most:
            yield shard
            shard = []
    if shard:
        yield shard
