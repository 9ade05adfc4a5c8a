"""The end of a build: every row is accounted for, and `dataset.json` says what the folder holds."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import mmdata
from mmdata.codec import Codec
from mmdata.dataset import DESCRIPTION, FORMAT, SPLITS
from mmdata.errors import TooManyRejectsError
from mmdata.files import canonical_json, digest_of_json, publish, sha256_of
from mmdata.folder import BuildFolder
from mmdata.plan import Plan
from mmdata.shard_task import rejects_table, staged_rejects
from mmdata.shards.index import ShardIndex, parquet_bytes
from mmdata.stages.base import FitStage, Stage

_LIBRARIES = (
    "ftfy", "icu4py", "librosa", "numpy", "opencv-python-headless", "pillow", "py3langid", "pyarrow", "resvg-py", "scipy",
    "simplejpeg", "soundfile", "soxr", "spacy", "tokenizers",
)  # fmt: skip

_OPTIONAL = {"av": "av"}
"""Those of extras that make bytes: distribution to module."""


def versions() -> dict[str, str]:
    """Return the versions of what makes bytes: mmdata, Python, the libraries, and the kind of processor."""
    found = {name: metadata.version(name) for name in _LIBRARIES}
    found |= {name: metadata.version(name) for name, module in _OPTIONAL.items() if find_spec(module) is not None}
    return {"mmdata": mmdata.__version__, "python": platform.python_version(), "machine": platform.machine(), **found}


@dataclass(frozen=True)
class Account:
    """What became of the rows: the indexes of all shards by split, and all rejects in row order."""

    plan: Plan
    folder: BuildFolder
    codec: Codec
    indexes: Mapping[str, tuple[ShardIndex, ...]]
    rejects: pa.Table

    @classmethod
    def of(cls, plan: Plan, folder: BuildFolder, codec: Codec) -> Account:
        """Read what the tasks left and check that every row is in exactly one place.

        Raises TooManyRejectsError where more rows failed than the recipe allows, or no record is left.
        """
        indexes = {
            split: tuple(ShardIndex.read(path) for path in sorted(folder.index.glob(f"{split}-*.parquet"))) for split in SPLITS
        }
        parts = [pq.read_table(staged_rejects(folder.staging, task.name)) for task in plan.tasks]
        rejects = pa.concat_tables([rejects_table(plan.rejects), *parts])
        order = np.argsort(rejects.column("row").to_numpy(), kind="stable")
        account = cls(plan, folder, codec, indexes, rejects.take(order))
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
        limit = self.plan.recipe.max_rejects
        allowed = int(limit * self.plan.rows) if isinstance(limit, float) and limit <= 1 else int(limit)
        if failed > allowed:
            raise TooManyRejectsError(
                f"{failed} of {self.plan.rows} rows were rejected as errors; max_rejects allows {allowed}.\n"
                f"{self._reasons(errors)}\nMend these files and run the build again, which tries their rows anew; or raise the "
                "limit (--set max_rejects=20%). A changed manifest is another build, for a new folder."
            )
        if not self.rows_written:
            raise TooManyRejectsError(f"none of {self.plan.rows} rows gave a record.\n{self._reasons(self.rejects)}")

    @staticmethod
    def _reasons(rejects: pa.Table) -> str:
        """Return the reasons, most frequent first, each with its first row."""
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for reject in rejects.to_pylist():
            groups.setdefault((reject["stage"], reject["reason"]), []).append(reject)
        often = sorted(groups.items(), key=lambda group: -len(group[1]))[:10]
        return "\n".join(
            f"  {len(found):>8}  {stage}: {reason}; such as row {found[0]['row']} {found[0]['key']!r}: {found[0]['detail'][:120]}"
            for (stage, reason), found in often
        )

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


def describe(
    account: Account, identity: Mapping[str, Any], fingerprint: str, artifacts: Mapping[str, str], stages: Sequence[Stage]
) -> None:
    """Write `rejects.parquet`, and last of all `dataset.json`."""
    out = account.folder.out
    publish(out / "rejects.parquet", parquet_bytes(account.rejects), account.folder.work)
    files = [*sorted(account.folder.index.glob("*.parquet")), out / "rejects.parquet"]
    recipe = account.plan.recipe
    learned: dict[str, Any] = {}
    for stage in stages:
        learned = stage.carried(learned) | (stage.statistics() if isinstance(stage, FitStage) else {})
    description = {
        "format": FORMAT,
        "name": recipe.name,
        "recipe": recipe.to_json(),
        "identity": identity,
        "fingerprint": fingerprint,
        "versions": versions(),
        "schema": account.codec.schema.to_json(),
        "members": {extension: name for extension, (name, _) in account.codec.members.items()},
        "inputs": list(account.codec.inputs),
        "counts": account.counts(),
        "shards": account.shards(),
        "index": {file.relative_to(out).as_posix(): sha256_of(file) for file in files},
        "artifacts": dict(artifacts),
        "statistics": account.statistics() | learned,
    }
    publish(
        out / DESCRIPTION, canonical_json({**description, "checksum": digest_of_json(description)}).encode(), account.folder.work
    )
