"""`mmdata preview`: a page that shows records."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mmdata.cli.main import printable


@click.command("preview")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--count", type=click.IntRange(1, 500), default=24, show_default=True, help="How many records to show.")
@click.option("--html", "file", type=click.Path(path_type=Path), help="File to write; by default OUT/report/preview.html.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(out: Path, count: int, file: Path | None, *, as_json: bool) -> None:
    """Write a page that shows records drawn evenly from the dataset folder OUT, with their annotations drawn in.

    Example: mmdata preview out/stamps --count 48
    """
    from mmdata.dataset import Dataset
    from mmdata.validation.preview import write_preview

    file = file or out / "report" / "preview.html"
    shown = write_preview(Dataset(out), count, file)
    if as_json:
        click.echo(json.dumps({"file": str(file), "records": shown}))
    else:
        click.echo(printable(f"{shown} records: {file}"))
