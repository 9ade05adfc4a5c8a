"""Random damage to which every checksum is adapted, as by a tool that edits a dataset, or by someone who wants it to go unseen.

What remains are contradictions in the content: each kind here makes one, and findings must name where.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.validation.damage import change_index, change_rejects
from tests.validation.datasets import change_json, change_payload, edit, repack, seal, with_value
from tests.validation.random_damage import Damage, Kind, chosen, flipped, leaves, other_value, pair
from tests.validation.whole import Part, Place, Stretch, Whole, index_of

REJECTS = "rejects.parquet"
Data = dict[str, Any]


def _one_of(whole: Whole, rng: np.random.Generator, member: str = "json") -> Stretch:
    """Return a random payload with this extension."""
    return chosen(rng, [one for one in whole.stretches("payload") if one.member == member])


def _named(line: str, *places: Place) -> Damage:
    return Damage(line, frozenset(places))


def sealed_bit(part: Part) -> Kind:
    """One bit of one part of a tar."""

    def kind(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
        stretch = chosen(rng, whole.stretches(part))
        bit = int(rng.integers(8 * stretch.start, 8 * stretch.end))
        (out / stretch.file).write_bytes(flipped(whole.files[stretch.file], bit))
        seal(out)
        return _named(f"{stretch.file}: bit {bit % 8} of byte {bit // 8} in a {part}", stretch.place)

    return kind


def payload_changed(what: str, members: Sequence[str], change: Callable[[bytes, np.random.Generator], bytes]) -> Kind:
    """One payload that is another, with offsets, size and crc32 adapted."""

    def kind(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
        stretch = _one_of(whole, rng, chosen(rng, members))
        changed = change(whole.bytes_of(stretch), rng)
        change_payload(out, stretch.file, f"{stretch.record}.{stretch.member}", lambda _: changed)
        return _named(f"{stretch.file}: {what} of {stretch.record} .{stretch.member}", stretch.place)

    return kind


def _bit(payload: bytes, rng: np.random.Generator) -> bytes:
    # In the second half, behind the headers of a FLAC, which no checksum of its own covers.
    return flipped(payload, int(rng.integers(4 * len(payload), 8 * len(payload))))


def _shorter(payload: bytes, rng: np.random.Generator) -> bytes:
    return payload[: int(rng.integers(1, len(payload)))]


def _other_token(payload: bytes, rng: np.random.Generator) -> bytes:
    ids = np.load(BytesIO(payload))
    place = int(rng.integers(len(ids)))
    ids[place] = (ids[place] + int(rng.integers(1, 300))) % 300
    sink = BytesIO()
    np.save(sink, ids)
    return sink.getvalue()


def other_letter(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A text in which one letter is another: its tokens are those of the text before."""
    stretch = _one_of(whole, rng, "txt")
    text = bytearray(whole.bytes_of(stretch))
    text[int(rng.integers(len(text)))] ^= 1 + int(rng.integers(3))
    change_payload(out, stretch.file, f"{stretch.record}.txt", lambda _: bytes(text))
    return _named(f"{stretch.file}: {stretch.record} .txt is now {bytes(text)!r}", (stretch.file, stretch.record, "tokens.npy"))


def swapped_payloads(member: str, tells: str) -> Kind:
    """The payloads of two records of a tar in each other's place."""

    def kind(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
        file = chosen(rng, [tar for tar in whole.tars if len(whole.rows[tar]) > 1])
        one, other = (f"{row['key']}.{member}" for row in pair(rng, whole.rows[file]))

        def change(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
            held = dict(members)
            return [(name, held[{one: other, other: one}.get(name, name)]) for name, _ in members]

        repack(out, file, change)
        places = [(file, name.partition(".")[0], tells) for name in (one, other)]
        return _named(f"{file}: {one} and {other} swapped", *places)

    return kind


def noted(what: str, part: str, change: Callable[[Data, np.random.Generator], object], member: str = "json") -> Kind:
    """The annotations or the lineage of one record, changed; `member` is the one that a finding must name."""

    def kind(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
        stretch = _one_of(whole, rng)

        def changed(data: Data) -> None:
            held = json.loads(data[part])
            change(held, rng)
            data[part] = json.dumps(held)

        change_json(out, stretch.file, str(stretch.record), changed)
        return _named(f"{stretch.file}: {what} of {stretch.record}", (stretch.file, stretch.record, member))

    return kind


def _pushed(field: str, kind: str, place: int, past: float) -> Callable[[Data, np.random.Generator], object]:
    """Return what moves one number of an annotation up to `past` or further, or below zero."""

    def change(held: Data, rng: np.random.Generator) -> None:
        number = past * float(rng.uniform(1.01, 3)) if rng.random() < 0.7 else -1 - past * float(rng.random())
        held[field][kind][0][place] = int(number) if kind == "spans" else number

    return change


def _moved_offset(held: Data, rng: np.random.Generator) -> None:
    found = chosen(rng, held["tokens"]["offsets"])
    found[int(rng.integers(2))] += chosen(rng, (-1, 1))


def _less(held: Data, rng: np.random.Generator) -> None:
    del held["tokens"]["offsets"][int(rng.integers(len(held["tokens"]["offsets"])))]


def _flat(held: Data, rng: np.random.Generator) -> None:
    chosen(rng, held["image"])["numbers"] = [0.0, 0.0, float(rng.random()), 0.0, 0.0, 0.0]


def _other_type(held: Data, rng: np.random.Generator) -> None:
    holder, key, _ = chosen(rng, leaves(held))
    holder[key] = chosen(rng, (None, {}, [[]]))


def said(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A json member in which a value that stands elsewhere too, or its type, is another."""
    stretch = _one_of(whole, rng)
    data = json.loads(whole.bytes_of(stretch))
    checked = {"key", "source_key", "split", "group", "measures", "metadata"}
    holder, key, path = chosen(rng, [one for one in leaves(data) if one[2].partition(".")[0] in checked])
    before = holder[key]
    holder[key] = chosen(rng, (other_value(before, rng), None))
    change_payload(out, stretch.file, f"{stretch.record}.json", lambda _: json.dumps(data).encode())
    return _named(f"{stretch.file}: {path} of {stretch.record} .json is no longer {before!r}", stretch.place)


def indexed(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """An index in which one value of a record is another."""
    tar = chosen(rng, whole.tars)
    row = int(rng.integers(len(whole.rows[tar])))
    values = whole.rows[tar][row]
    column = chosen(rng, [name for name in values if name in _SAID or name.startswith("metadata.") or _extension(name)])
    change_index(out, lambda table: with_value(table, column, row, other_value(values[column], rng)), tar)
    place = (index_of(tar) if column == "split" else tar, values["key"], _extension(column))
    return _named(f"{index_of(tar)}: {column} of {values['key']} is no longer {values[column]!r}", place)


_SAID = ("key", "split", "group", "audio.seconds", "image.width", "image.height", "text.characters", "tokens.tokens")


def _extension(column: str) -> str | None:
    extension, _, part = column.rpartition(".")
    return extension if part in {"offset", "size", "crc32"} else None


def other_row(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A record that says it came from a row that is rejected, that another record came from, or that there is not."""
    tar = chosen(rng, whole.tars)
    row = int(rng.integers(len(whole.rows[tar])))
    change_index(out, lambda table: with_value(table, "row", row, int(rng.integers(15, 99))), tar)
    return _named(f"{index_of(tar)}: row of {whole.rows[tar][row]['key']} is another", (REJECTS, None, None))


def other_group(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A record with the group of a record of another split, in its json member and in the index."""
    train, val = (chosen(rng, [tar for tar in whole.tars if tar.startswith(split)]) for split in ("train", "val"))
    row = int(rng.integers(len(whole.rows[train])))
    key, group = whole.rows[train][row]["key"], chosen(rng, whole.rows[val])["group"]
    change_json(out, train, key, lambda data: data.update(group=group))
    change_index(out, lambda table: with_value(table, "group", row, group), train)
    return _named(f"{train}: {key} has the group {group} of {val}", (train, key, None))


def record_gone(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A record that is neither in its tar nor in the index any more."""
    tar = chosen(rng, [tar for tar in whole.tars if len(whole.rows[tar]) > 1])
    row = int(rng.integers(len(whole.rows[tar])))
    key = whole.rows[tar][row]["key"]
    repack(out, tar, lambda members: [one for one in members if one[0].partition(".")[0] != key])
    change_index(out, lambda table: pa.concat_tables([table.slice(0, row), table.slice(row + 1)]), tar)
    return _named(f"{tar}: {key} gone", (tar, None, None), (REJECTS, None, None), ("dataset.json", None, None))


def member_gone(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A member that is not in its tar any more."""
    stretch = _one_of(whole, rng, chosen(rng, ("flac", "json", "png", "tokens.npy", "txt")))
    name = f"{stretch.record}.{stretch.member}"
    repack(out, stretch.file, lambda members: [one for one in members if one[0] != name])
    return _named(f"{stretch.file}: {name} gone", stretch.place)


def reordered(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A member that stands behind the others of its record."""
    stretch = _one_of(whole, rng, chosen(rng, ("flac", "json", "png", "tokens.npy")))

    def change(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        names = [name for name, _ in members]
        moved = members.pop(names.index(f"{stretch.record}.{stretch.member}"))
        members.insert(names.index(f"{stretch.record}.txt"), moved)
        return members

    repack(out, stretch.file, change)
    return _named(
        f"{stretch.file}: {stretch.record}.{stretch.member} is the last of its record", (stretch.file, stretch.record, None)
    )


def rejects_changed(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """Rejects in which a row is gone, is one that was written, has no reason, or a kind that there is not."""
    tar = chosen(rng, whole.tars)
    written = chosen(rng, whole.rows[tar])
    row = int(rng.integers(3))
    changes: Mapping[str, Callable[[pa.Table], pa.Table]] = {
        "a row gone": lambda table: pa.concat_tables([table.slice(0, row), table.slice(row + 1)]),
        "a row that was written": lambda table: with_value(table, "row", row, written["row"]),
        "a row beyond the source": lambda table: with_value(table, "row", row, 15 + row),
        "no kind": lambda table: with_value(table, "kind", row, "lost"),
        "no reason": lambda table: with_value(table, "reason", row, ""),
        "no stage": lambda table: with_value(table, "stage", row, ""),
        "a null": lambda table: with_value(table, "detail", row, None),
        "a column less": lambda table: table.drop_columns([chosen(rng, table.column_names)]),
    }
    what = chosen(rng, list(changes))
    change_rejects(out, changes[what])
    return _named(f"{REJECTS}: {what}", (REJECTS, written["key"] if what == "a row that was written" else None, None))


def description_changed(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A dataset.json in which a number that the files tell is another, or a key is missing or unknown."""
    data = json.loads(whole.files["dataset.json"])
    told = {"counts", "statistics", "members"}
    # What was learned of the pictures before they were encoded cannot be measured again.
    learned = ("statistics.image.mean", "statistics.image.deviation")
    paths = [path for _, _, path in leaves(data) if path.partition(".")[0] in told and not path.startswith(learned)]
    # What is computed from the rest is written again with the seal.
    path = chosen(rng, [*paths, *sorted(data.keys() - {"checksum", "fingerprint"}), "more"])

    def change(data: Data) -> None:
        if path in data:
            del data[path]
            return
        holder, key, _ = next((one for one in leaves(data) if one[2] == path), (data, path, ""))
        value = holder.get(key)
        holder[key] = value + 1 if isinstance(value, float) else other_value(value, rng)

    edit(out, change)
    return _named(f"dataset.json: {path} changed", ("dataset.json", None, None))


def schema_changed(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A schema that says another rate, shape, dtype or vocabulary than the payloads have."""
    options: Sequence[tuple[str, str, Any, str]] = (
        ("audio", "rate", 16000, "flac"),
        ("audio", "shape", [2, None], "flac"),
        ("image", "shape", [15, 14, 3], "png"),
        ("image", "dtype", "uint16", "png"),
        ("tokens", "dtype", "int64", "tokens.npy"),
        ("tokens", "vocabulary", 3, "tokens.npy"),
    )
    field, name, value, member = chosen(rng, options)
    edit(out, lambda data: data["schema"]["fields"][field].update({name: value}))
    places = [(tar, row["key"], member) for tar in whole.tars for row in whole.rows[tar]]
    return _named(f"dataset.json: schema.fields.{field}.{name} is {value}", *places)


KINDS: dict[str, Kind] = {
    "sealed bit in a header": sealed_bit("header"),
    "sealed bit in a padding": sealed_bit("padding"),
    "sealed bit in the end of a tar": sealed_bit("end"),
    "sealed bit in a payload": payload_changed("a bit", ("flac", "png"), _bit),
    "payload cut": payload_changed("the payload, cut,", ("flac", "json", "png", "tokens.npy"), _shorter),
    "token changed": payload_changed("a token", ("tokens.npy",), _other_token),
    "letter changed": other_letter,
    "texts swapped": swapped_payloads("txt", "tokens.npy"),
    "tokens swapped": swapped_payloads("tokens.npy", "tokens.npy"),
    "sounds swapped": swapped_payloads("flac", "flac"),
    "json swapped": swapped_payloads("json", "json"),
    "box moved": noted("a box", "annotations", _pushed("image", "boxes", 2, 14)),
    "point moved": noted("a point", "annotations", _pushed("image", "points", 1, 14)),
    "segment moved": noted("a segment", "annotations", _pushed("audio", "segments", 1, 0.4)),
    "span moved": noted("a span", "annotations", _pushed("text", "spans", 1, 80)),
    "offset moved": noted("an offset", "annotations", _moved_offset, "tokens.npy"),
    "offset gone": noted("an offset", "annotations", _less, "tokens.npy"),
    "map flattened": noted("a map", "lineage", _flat),
    "lineage of another type": noted("the lineage", "lineage", _other_type),
    "json changed": said,
    "index changed": indexed,
    "row changed": other_row,
    "group changed": other_group,
    "record gone": record_gone,
    "member gone": member_gone,
    "members reordered": reordered,
    "rejects changed": rejects_changed,
    "dataset.json changed": description_changed,
    "schema changed": schema_changed,
}
