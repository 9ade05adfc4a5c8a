"""`mmdata inspect`: one record, with its annotations and where it came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mmdata.cli.main import one_line, printable
from mmdata.errors import DatasetError

if TYPE_CHECKING:
    from mmdata.dataset import Dataset

_MOST_NOTES = 100
_NOTES = {"boxes", "points", "segments", "frame_boxes", "spans"}


@click.command("inspect")
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("key")
@click.option("--export", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Write its members as files into DIR.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(out: Path, key: str, folder: Path | None, *, as_json: bool) -> None:
    """Show the record KEY of the dataset folder OUT: members, metadata, annotations, lineage and origin.

    KEY is the record's own key, or the key that the source has for its row. Annotations are shown as they now are, and as they
    were in the raw data. Of a row that was rejected, the stage and the reason are said; of one that became several records, their
    keys.

    Example: mmdata inspect out/stamps fish/trout-03
    """
    from mmdata.dataset import Dataset
    from mmdata.validation.inspection import export, inspected
    from mmdata.validation.samples import find_records, read_sample

    dataset = Dataset(out)
    records = find_records(dataset, key)
    if len(records) == 1:
        sample = read_sample(dataset, *records[0][:2])
        files = [] if folder is None else export(sample, folder)
        found = inspected(sample) | ({"files": [str(file) for file in files]} if files else {})
        lines = list(_lines(found))
    else:
        found, lines = _no_single_record(dataset, key, [record for _, _, record in records])
        if folder is not None:
            raise DatasetError(f"{out}: nothing to export; {' '.join(lines[:5])}")
    click.echo(json.dumps(found) if as_json else printable("\n".join(lines)))


def _no_single_record(dataset: Dataset, key: str, records: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Return what became of a row that is not one record, as data and as lines. Raises DatasetError for an unknown key."""
    from mmdata.validation.samples import find_rejected, no_such_key

    if records:
        lines = [f"{key}: the row became {len(records):,} records; inspect one of them", *(f"  {one}" for one in records)]
        return {"source_key": key, "records": records}, lines
    rejected = find_rejected(dataset, key)
    if not rejected:
        raise no_such_key(dataset, key)
    lines = [f"{one.key}: {one_line(one)}" for one in rejected]
    return {"source_key": rejected[0].key, "rejected": [asdict(one) for one in rejected]}, lines


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"{found['key']}  ({found['split']}, {found['shard']})"
    yield from _part("members", {f".{name}": f"{size:,} bytes" for name, size in found["members"].items()})
    for name, field in found["fields"].items():
        yield from _field(name, field, found["fields"])
    yield from _part("metadata", found["metadata"])
    yield from _part("measures", found["measures"])
    origin = found["origin"]
    row = f"{origin['row']:,} of the source, of which the first is 0"
    yield from _part("origin", {"source_key": origin["source_key"], "row": row, "group": origin["group"]})
    for name, given in origin["inputs"].items():
        yield f"  {name}: {one_line(given['uri'])} ({given['bytes']:,} bytes, sha256 {given['sha256']})"
    yield from (f"wrote {file}" for file in found.get("files", []))


def _part(title: str, values: dict[str, Any]) -> Iterator[str]:
    if values:
        width = max(map(len, values))
        yield title
        yield from (f"  {name:<{width}}  {one_line(value)}" for name, value in values.items())


def _field(name: str, field: dict[str, Any], fields: dict[str, Any]) -> Iterator[str]:
    notes = {kind: held for kind, held in field.items() if kind in _NOTES}
    plain = {key: value for key, value in field.items() if key not in {"kind", "lineage", "raw_part", *notes}}
    if "text_field" in field:
        text = fields.get(field["text_field"], {}).get("text", "")
        del plain["offsets"]
        plain["pieces"] = " | ".join(text[start:end] for start, end in field["offsets"])
    yield f"{name} ({field['kind']})"
    yield from (f"  {key}: {one_line(value)}" for key, value in plain.items())
    yield from (f"  moved by {one_line(step['words'])}" for step in field["lineage"])
    if field["raw_part"]:
        yield f"  which is, of the raw {name}: {field['raw_part']}"
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
