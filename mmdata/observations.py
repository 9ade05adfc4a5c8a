"""What a fit pass saw, as a table that tells for each row what it was made of and what was observed of it.

So what was observed of a row that is as it was need not be observed again, whatever became of the rows around it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from mmdata.plan import PlannedRow
from mmdata.raw import FileDigests

_OF_ROWS = ("digest", "files", "failed")


@dataclass(frozen=True)
class Sight:
    """A row that was observed: its digest, what its files held, the number of its records, and whether it or one of them failed.

    Where a file is not among `files`, nothing is known of it: the row was given up while it was read.
    """

    digest: str
    files: FileDigests
    records: int
    failed: bool


def nested(sights: Sequence[Sight], observations: pa.Table) -> pa.Table:
    """Return one line a row: `digest`, `files` (JSON text), `failed`, and `observed`, a list of the lines of its records."""
    if (count := sum(sight.records for sight in sights)) != observations.num_rows:
        raise RuntimeError(f"{observations.num_rows} lines were observed of {count} records; there must be one for each")
    digests = pa.array([sight.digest for sight in sights], pa.string())
    files = pa.array([json.dumps(sight.files, sort_keys=True) for sight in sights], pa.string())
    failed = pa.array([sight.failed for sight in sights], pa.bool_())
    return _nested([digests, files, failed], [sight.records for sight in sights], observations)


def retyped(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return such a table, read from a file, with the very types of what a stage observes."""
    return _nested([rows.column(name) for name in _OF_ROWS], counts(rows), flat(rows).cast(schema))


def _nested(of_rows: Sequence[pa.Array], lengths: Sequence[int], observations: pa.Table) -> pa.Table:
    ends = pa.array(accumulate(lengths, initial=0), pa.int32())
    observed = pa.ListArray.from_arrays(ends, _structs(observations))
    return pa.table([*of_rows, observed], names=[*_OF_ROWS, "observed"])


def _structs(table: pa.Table) -> pa.Array:
    type_ = pa.struct(list(table.schema))
    chunks = table.to_struct_array().chunks
    return pa.concat_arrays(chunks) if chunks else pa.array([], type_)


def flat(rows: pa.Table) -> pa.Table:
    """Return what was observed, without the rows."""
    column = rows.column("observed")
    batches = [pa.RecordBatch.from_struct_array(chunk.flatten()) for chunk in column.chunks]
    return pa.Table.from_batches(batches, pa.schema(list(column.type.value_type)))


def counts(rows: pa.Table) -> list[int]:
    """Return how many records of each row were observed."""
    lengths: list[int] = pc.list_value_length(rows.column("observed")).to_pylist()
    return lengths


def gave_nothing(rows: pa.Table) -> set[str]:
    """Return the digests of the rows that failed and of which nothing was observed."""
    is_empty = pc.equal(pc.list_value_length(rows.column("observed")), 0)
    return set(rows.column("digest").filter(pc.and_(rows.column("failed"), is_empty)).to_pylist())


class Seen:
    """Rows observed before, to be had by their digests."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._places = {digest: place for place, digest in enumerate(rows.column("digest").to_pylist())}

    def __contains__(self, row: PlannedRow) -> bool:
        return row.digest in self._places

    def changed(self, row: PlannedRow, files: FileDigests, *, if_known: bool) -> list[str]:
        """Return the names of the files that held something else then; unless `if_known`, those too of which nothing is known."""
        held: FileDigests = json.loads(self._rows.column("files")[self._places[row.digest]].as_py())
        unknown = [] if if_known or not self.failed(row) else [name for name in files if name not in held]
        return unknown + [name for name, sha256 in held.items() if files.get(name) != sha256]

    def failed(self, row: PlannedRow) -> bool:
        """Whether the row, or a record of it, failed."""
        failed: bool = self._rows.column("failed")[self._places[row.digest]].as_py()
        return failed

    def take(self, rows: Iterable[PlannedRow]) -> pa.Table:
        """Return these rows, in this order. Each must be there."""
        return self._rows.combine_chunks().take(pa.array([self._places[row.digest] for row in rows], pa.int64()))
