"""What a build made of its rows: payloads by key, rejects by key, and the check that every row is in one place."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmdata.files import sha256_of


def contents(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a folder."""
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def payloads(out: Path) -> dict[str, dict[str, bytes]]:
    """Return the members of every record by key and extension."""
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                found.setdefault(key, {})[extension] = file.read()
    return found


def rejects(out: Path) -> list[dict[str, Any]]:
    """Return the rows of the rejects table."""
    found: list[dict[str, Any]] = pq.read_table(out / "rejects.parquet").to_pylist()
    return found


def check_account(out: Path, rows: int) -> None:
    """Check that each of the rows is in a shard, or else in the rejects table once."""
    written = {
        row for index in out.glob("index/*.parquet") for row in pq.read_table(index, columns=["row"]).column("row").to_pylist()
    }
    turned_away = [reject["row"] for reject in rejects(out)]
    assert sorted([*written, *turned_away]) == list(range(rows))
    counts = json.loads((out / "dataset.json").read_bytes())["counts"]
    assert counts["rows"] == rows == counts["rows_written"] + counts["rows_rejected"]
