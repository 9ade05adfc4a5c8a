"""The end of a build: every row is accounted for, and `dataset.json` says what the folder holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmdata.codec import Codec
from mmdata.dataset import FORMAT, fingerprint_of
from mmdata.errors import TooManyRejectsError
from mmdata.files import canonical_json, digest_of_json
from mmdata.fit import Fitted
from mmdata.plan import Plan, RowReject
from mmdata.reasons import Reason, check_limit, grouped, told
from mmdata.record import LONGEST_DETAIL, Reject, printable
from mmdata.shards.index import ShardIndex, parquet_bytes
from mmdata.stages.base import FitStage
from mmdata.versions import versions

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


def rejects_table(rejects: Iterable[RowReject]) -> pa.Table:
    """Return rejects as a table with the columns of `rejects.parquet`."""
    rows = [
        {"row": one.row, "key": one.key, "stage": one.stage}
        | {"kind": one.reject.kind, "reason": one.reject.reason, "detail": one.reject.detail[:LONGEST_DETAIL]}
        for one in rejects
    ]
    lines = [{name: printable(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows]
    return pa.Table.from_pylist(lines, schema=REJECTS_SCHEMA)


@dataclass(frozen=True)
class Account:
    """What became of the rows: the indexes of all shards by split, and all rejects in row order."""

    plan: Plan
    codec: Codec
    indexes: Mapping[str, Sequence[ShardIndex]]
    rejects: pa.Table

    @classmethod
    def of(cls, plan: Plan, codec: Codec, indexes: Mapping[str, Sequence[ShardIndex]]) -> Account:
        """Take together what the tasks left, those without records included, and check that every row is in exactly one place.

        Raises TooManyRejectsError where more rows failed than the recipe allows, or no record is left.
        """
        rows = {row.source_key: row.row for row in plan.planned}
        left = [
            RowReject(rows[one.source_key], one.key, one.stage, Reject(one.kind, one.reason, one.detail))
            for found in indexes.values()
            for index in found
            for one in index.rejects
        ]
        rejects = rejects_table([*plan.rejects, *left])
        order = np.argsort(rejects.column("row").to_numpy(), kind="stable")
        with_records = {split: [index for index in found if len(index)] for split, found in indexes.items()}
        account = cls(plan, codec, with_records, rejects.take(order))
        account.check_rows()
        account.check_limit()
        return account

    @property
    def rows_written(self) -> int:
        """Number of rows that gave at least one record."""
        return len(self._written)

    @property
    def _written(self) -> set[int]:
        return {row for found in self.indexes.values() for index in found for row in index.column("row")}

    def check_rows(self) -> None:
        """Check that every row is written or rejected. A row that is neither is a bug, not an error of the user's."""
        missing = set(range(self.plan.rows)) - self._written - set(self.rejects.column("row").to_pylist())
        if missing:
            raise RuntimeError(f"{len(missing)} rows are in no shard and not among the rejects, such as row {min(missing)}")

    def check_limit(self) -> None:
        """Raise TooManyRejectsError where the rows rejected as errors are more than the recipe allows."""
        errors = self.rejects.filter(pc.equal(self.rejects.column("kind"), "error"))
        failed = len(set(errors.column("row").to_pylist()) - self._written)
        check_limit(self.plan, failed, _reasons(errors))
        if not self.rows_written:
            raise TooManyRejectsError(f"none of {self.plan.rows} rows gave a record.\n{told(_reasons(self.rejects))}")

    def counts(self) -> dict[str, Any]:
        """Return the counts that `dataset.json` holds."""
        kinds = Counter(self.rejects.column("kind").to_pylist())
        splits = {split: sum(len(index) for index in found) for split, found in self.indexes.items() if found}
        return {
            "rows": self.plan.rows,
            "rows_written": self.rows_written,
            "rows_rejected": self.plan.rows - self.rows_written,
            "records": sum(splits.values()),
            "rejects": {kind: kinds[kind] for kind in ("error", "filtered", "duplicate")},
            "splits": splits,
        }

    def shards(self) -> dict[str, list[dict[str, Any]]]:
        """Return what `dataset.json` says of each shard, by split."""
        return {
            split: [
                {"file": f"{split}-{number:06d}.tar"}
                | {"records": index.info.records, "bytes": index.info.bytes, "sha256": index.info.sha256}
                for number, index in enumerate(found)
            ]
            for split, found in self.indexes.items()
            if found
        }

    def statistics(self) -> dict[str, Any]:
        """Return count, mean, minimum and maximum of every numeric measure, over all records."""
        tables = [index.table for found in self.indexes.values() for index in found]
        numeric = [name for name, type_ in self.codec.measures.items() if type_ in {"int", "float"}]
        columns = {name: np.concatenate([table.column(name).to_numpy() for table in tables]) for name in numeric}
        return {
            name: {
                "count": len(values),
                "mean": float(values.mean()),
                "minimum": values.min().item(),
                "maximum": values.max().item(),
            }
            for name, values in columns.items()
        }


def _reasons(rejects: pa.Table) -> list[Reason]:
    """Return the reasons of rejects in row order, grouped."""
    return grouped(
        Reason(RowReject(one["row"], one["key"], one["stage"], Reject(one["kind"], one["reason"], one["detail"])))
        for one in rejects.to_pylist()
    )


def rejects_file(account: Account) -> bytes:
    """Return the content of `rejects.parquet`."""
    return parquet_bytes(account.rejects)


def describe(account: Account, fitted: Fitted, files: Mapping[str, str]) -> dict[str, Any]:
    """Return what `dataset.json` says; `files` are the index files and `rejects.parquet`, with their sha256."""
    recipe, codec = account.plan.recipe, account.codec
    known: dict[str, Any] = {}
    for stage in fitted.stages:
        known = stage.carried(known) | (stage.statistics() if isinstance(stage, FitStage) else {})
    return {
        "format": FORMAT,
        "name": recipe.name,
        "recipe": recipe.to_json(),
        "identity": account.plan.identity,
        "fingerprint": fingerprint_of(account.plan.identity, fitted.artifacts),
        "versions": versions(recipe),
        "schema": codec.schema.to_json(),
        "members": {extension: name for extension, (name, _) in codec.members.items()},
        "inputs": list(codec.inputs),
        "counts": account.counts(),
        "shards": account.shards(),
        "index": dict(sorted(files.items())),
        "artifacts": dict(fitted.artifacts),
        "statistics": account.statistics() | known,
    }


def description_file(description: Mapping[str, Any]) -> bytes:
    """Return the content of `dataset.json`: what it says, sealed with a checksum of it."""
    return canonical_json({**description, "checksum": digest_of_json(description)}).encode()
