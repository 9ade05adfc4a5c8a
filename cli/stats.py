"""`mmdata stats`: what a dataset folder holds, in numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from mmdata.cli.main import one_line, printable

_MOST_SHOWN = 30


@click.command("stats")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(out: Path, *, as_json: bool) -> None:
    """Show counts, splits, sizes, measures and rejects of the dataset folder OUT; no shard is read.

    Example: mmdata stats out/stamps
    """
    from mmdata.dataset import Dataset
    from mmdata.validation.overview import overview

    found = overview(Dataset(out))
    click.echo(json.dumps(found) if as_json else printable("\n".join(_lines(found))))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    counts = found["counts"]
    yield f"{found['name']}: {found['records']:,} records in {found['shards']:,} shards, {_size(found['bytes'])}"
    yield f"{counts['rows']:,} rows in = {counts['rows_written']:,} written + {counts['rows_rejected']:,} rejected"
    splits = [[name, f"{one['records']:,}", f"{one['shards']:,}", _size(one["bytes"])] for name, one in found["splits"].items()]
    yield from _table(["split", "records", "shards", "bytes"], splits)
    records = max(found["records"], 1)
    members = [[f".{name}", _size(size), _size(size / records)] for name, size in found["members"].items()]
    yield from _table(["member", "bytes", "a record"], members)
    names = ("mean", "deviation", "minimum", "median", "maximum")
    measures = [[name, *(f"{one[each]:,.6g}" for each in names)] for name, one in found["measures"].items()]
    yield from _table(["measure", *names], measures)
    rejects = [
        [f"{one['count']:,}", one["kind"], one_line(f"{one['stage']}: {one['reason']}")] for one in found["rejects"][:_MOST_SHOWN]
    ]
    yield from _table(["rejected", "kind", "stage and reason"], rejects, left=(1, 2))
    if len(found["rejects"]) > _MOST_SHOWN:
        yield f"and {len(found['rejects']) - _MOST_SHOWN} reasons more"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> Iterator[str]:
    """Yield an empty line, the head and the rows; columns are set to the right, but for those in `left`."""
    if not rows:
        return
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    yield ""
    for row in (columns, *rows):
        cells = [
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
