"""`mmdata stats`: what a dataset folder holds, in numbers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from mmdata.cli.main import one_line, printable
from mmdata.cli.table import table
from mmdata.wording import counted

_MOST_SHOWN = 30


@click.command("stats")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--rejects", type=click.IntRange(1), is_flag=False, flag_value=_MOST_SHOWN, metavar="[N]",
    help=f"Show instead the first N rows that were rejected, {_MOST_SHOWN} by default, each with its stage and reason.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(out: Path, rejects: int | None, *, as_json: bool) -> None:
    """Show counts, splits, sizes, measures and rejects of the dataset folder OUT; no shard is read.

    Example: mmdata stats out/stamps
    """
    from mmdata.dataset import Dataset
    from mmdata.validation.overview import overview

    dataset = Dataset(out)
    if rejects is None:
        found = overview(dataset)
        lines = _lines(found)
    else:
        rows = dataset.rejects()
        found = {"out": str(out), "rejected": len(rows), "rows": rows[:rejects]}
        lines = _reject_lines(found)
    click.echo(json.dumps(found) if as_json else printable("\n".join(lines)))


def _reject_lines(found: dict[str, Any]) -> Iterator[str]:
    total, rows = found["rejected"], found["rows"]
    yield f"{counted(total, 'row')} rejected" if total else "no row was rejected"
    columns = ("key", "kind", "stage", "reason", "detail")
    yield from _table(columns, [[one_line(row[name]) for name in columns] for row in rows], left=range(len(columns)))
    if total > len(rows):
        yield f"and {total - len(rows):,} more; --rejects {total} shows all"


def _lines(found: dict[str, Any]) -> Iterator[str]:
    counts = found["counts"]
    records, shards = counted(found["records"], "record"), counted(found["shards"], "shard")
    yield f"{found['name']}: {records} in {shards}, {_size(found['bytes'])}"
    yield f"{counted(counts['rows'], 'row')} in = {counts['rows_written']:,} written + {counts['rows_rejected']:,} rejected"
    splits = [[name, f"{one['records']:,}", f"{one['shards']:,}", _size(one["bytes"])] for name, one in found["splits"].items()]
    yield from _table(["split", "records", "shards", "bytes"], splits)
    members = [[f".{name}", _size(size), _size(size / max(found["records"], 1))] for name, size in found["members"].items()]
    yield from _table(["member", "bytes", "a record"], members)
    names = ("mean", "deviation", "minimum", "median", "maximum")
    measures = [[name, *(f"{one[each]:,.6g}" for each in names)] for name, one in found["measures"].items()]
    yield from _table(["measure", *names], measures)
    rejects = [
        [f"{one['count']:,}", one["kind"], one_line(f"{one['stage']}: {one['reason']}")] for one in found["rejects"][:_MOST_SHOWN]
    ]
    yield from _table(["rejected", "kind", "stage and reason"], rejects, left=(1, 2))
    if len(found["rejects"]) > _MOST_SHOWN:
        yield f"and {counted(len(found['rejects']) - _MOST_SHOWN, 'reason')} more"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> Iterator[str]:
    """Yield an empty line and the table; nothing where there are no rows."""
    if rows:
        yield ""
        yield from table(columns, rows, left)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
