"""`mmdata inspect`: one record, with its annotations and where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from mmdata.cli.main import one_line, printable

_MOST_NOTES = 100


@click.command("inspect")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("key")
@click.option("--export", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Write its members as files into DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(out: Path, key: str, folder: Path | None, *, as_json: bool) -> None:
    """Show the record KEY of the dataset folder OUT: members, metadata, annotations, lineage and origin.

    KEY is the record's own key, or the key that the source has for it. Annotations are shown as they now are, and as they were
    in the raw data.

    Example: mmdata inspect out/stamps fish/trout-03
    """
    from mmdata.dataset import Dataset
    from mmdata.validation.inspection import export, inspected
    from mmdata.validation.samples import find_sample

    sample = find_sample(Dataset(out), key)
    files = [] if folder is None else export(sample, folder)
    found = inspected(sample) | ({"files": [str(file) for file in files]} if files else {})
    click.echo(json.dumps(found) if as_json else printable("\n".join(_lines(found))))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['key']}  ({found['split']}, {found['shard']})"
    yield from _part("members", {f".{name}": f"{size:,} bytes" for name, size in found["members"].items()})
    for name, field in found["fields"].items():
        yield from _field(name, field)
    yield from _part("metadata", found["metadata"])
    yield from _part("measures", found["measures"])
    origin = found["origin"]
    yield from _part("origin", {name: origin[name] for name in ("source_key", "row", "group")})
    for name, given in origin["inputs"].items():
        yield f"  {name}: {one_line(given['uri'])} ({given['bytes']:,} bytes, sha256 {given['sha256']})"
    yield from (f"wrote {file}" for file in found.get("files", []))


def _part(title: str, values: dict[str, Any]) -> Iterator[str]:
    if values:
        width = max(map(len, values))
        yield title
        yield from (f"  {name:<{width}}  {one_line(value)}" for name, value in values.items())


def _field(name: str, field: dict[str, Any]) -> Iterator[str]:
    notes = {kind: held for kind, held in field.items() if kind in {"boxes", "points", "segments", "spans"}}
    plain = {key: value for key, value in field.items() if key not in {"kind", "lineage", *notes}}
    yield f"{name} ({field['kind']})"
    yield from (f"  {key}: {one_line(value)}" for key, value in plain.items())
    yield from (f"  moved by {step}" for step in field["lineage"])
    for kind, held in notes.items():
        for note in held[:_MOST_NOTES]:
            numbers = ", ".join(
                f"{key} {_number(value)}" for key, value in note.items() if key not in {"label", "clipped", "raw"}
            )
            raw = f"; in the raw data {', '.join(map(_number, note['raw']))}" if "raw" in note else ""
            clipped = " (clipped)" if note.get("clipped") else ""
            yield f"  {kind}: {one_line(note['label'])}: {numbers}{clipped}{raw}"
        if len(held) > _MOST_NOTES:
            yield f"  {kind}: and {len(held) - _MOST_NOTES:,} more; --json has all of them"


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
