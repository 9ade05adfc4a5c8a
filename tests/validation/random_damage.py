"""Random damage to the bytes and the files of a dataset folder, with nothing adapted to it: what happens to disks and copies.

Every kind damages a copy of the folder and says in a line what it did. What findings must name is computed from the undamaged
folder alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmdata.files import canonical_json
from mmdata.shards.index import parquet_bytes
from tests.validation.datasets import with_value
from tests.validation.whole import Part, Place, Stretch, Whole, index_of

DESCRIPTION = "dataset.json"
_PAGE = 4096
_T = TypeVar("_T")


@dataclass(frozen=True)
class Damage:
    """What was done, in a line, and the places that findings must name; where `alone`, no other record may be named."""

    line: str
    places: frozenset[Place]
    alone: bool = False


Kind = Callable[[Path, Whole, np.random.Generator], Damage]


def chosen(rng: np.random.Generator, items: Sequence[_T]) -> _T:
    """Return one of some items."""
    return items[int(rng.integers(len(items)))]


def pair(rng: np.random.Generator, items: Sequence[_T]) -> tuple[_T, _T]:
    """Return two different ones of some items, in the order in which they stand."""
    one, other = sorted(rng.choice(len(items), 2, replace=False).tolist())
    return items[one], items[other]


def _written(out: Path, whole: Whole, file: str, content: bytes, what: str) -> Damage:
    (out / file).write_bytes(content)
    return Damage(f"{file}: {what}", whole.touched(file, content), alone=file in whole.layout)


def flipped(content: bytes, bit: int) -> bytes:
    """Return bytes with one bit flipped."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def bit_in(part: Part) -> Kind:
    """One bit of one part of a tar."""

    def kind(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
        stretch = chosen(rng, whole.stretches(part))
        bit = int(rng.integers(8 * stretch.start, 8 * stretch.end))
        what = f"bit {bit % 8} of byte {bit // 8} in the {part} of {stretch.record} .{stretch.member}"
        return _written(out, whole, stretch.file, flipped(whole.files[stretch.file], bit), what)

    return kind


def bit_anywhere(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """One bit of any file."""
    file = chosen(rng, list(whole.files))
    bit = int(rng.integers(8 * len(whole.files[file])))
    return _written(out, whole, file, flipped(whole.files[file], bit), f"bit {bit % 8} of byte {bit // 8}")


def _cut(out: Path, whole: Whole, rng: np.random.Generator, files: Sequence[str]) -> Damage:
    file = chosen(rng, files)
    size = int(rng.integers(len(whole.files[file])))
    return _written(out, whole, file, whole.files[file][:size], f"cut to {size} of {len(whole.files[file])} bytes")


def cut_tar(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A tar that ends at any byte."""
    return _cut(out, whole, rng, whole.tars)


def cut_file(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """Any file that ends at any byte."""
    return _cut(out, whole, rng, list(whole.files))


def zeroed_page(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A page of 4096 bytes, or a block of 512, that reads as zeros."""
    file, size = chosen(rng, list(whole.files)), chosen(rng, (_PAGE, 512))
    content = whole.files[file]
    start = chosen(rng, [start for start in range(0, len(content), size) if any(content[start : start + size])])
    zeros = bytes(min(size, len(content) - start))
    return _written(out, whole, file, content[:start] + zeros + content[start + size :], f"{size} bytes zeroed from {start} on")


def overwritten(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A run of other bytes."""
    file = chosen(rng, list(whole.files))
    content = whole.files[file]
    start = int(rng.integers(len(content)))
    end = min(len(content), start + int(rng.integers(1, 700)))
    junk = np.frombuffer(content[start:end], np.uint8) ^ rng.integers(1, 256, end - start, dtype=np.uint8)
    return _written(out, whole, file, content[:start] + junk.tobytes() + content[end:], f"bytes {start} to {end} overwritten")


def inserted(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """Bytes that stand between others, or behind all of them."""
    file = chosen(rng, list(whole.files))
    content, count = whole.files[file], chosen(rng, (1, 7, 512, _PAGE))
    place = len(content) if rng.random() < 0.2 else int(rng.integers(len(content)))
    more = chosen(rng, (bytes(count), rng.bytes(count)))
    return _written(out, whole, file, content[:place] + more + content[place:], f"{count} bytes inserted at {place}")


def removed(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """Bytes that are gone from between others."""
    file = chosen(rng, list(whole.files))
    content, count = whole.files[file], chosen(rng, (1, 7, 512, _PAGE))
    place = int(rng.integers(len(content)))
    return _written(out, whole, file, content[:place] + content[place + count :], f"{count} bytes gone from {place} on")


def swapped_payloads(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """Two payloads in each other's place, where they take the same number of blocks."""
    stretches = whole.stretches("payload")
    while True:
        one, other = pair(rng, stretches)
        if one.file == other.file and _blocks(one) == _blocks(other) and whole.bytes_of(one) != whole.bytes_of(other):
            break
    content, size = bytearray(whole.files[one.file]), 512 * _blocks(one)
    here, there = slice(one.start, one.start + size), slice(other.start, other.start + size)
    content[here], content[there] = content[there], content[here]
    what = f"payloads of {one.record} .{one.member} and {other.record} .{other.member} swapped"
    return _written(out, whole, one.file, bytes(content), what)


def _blocks(stretch: Stretch) -> int:
    return -((stretch.start - stretch.end) // 512)


def swapped_members(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """Two members in each other's place, with their headers."""
    file = chosen(rng, whole.tars)
    starts = [one.start for one in whole.layout[file] if one.part in {"header", "end"}]
    members = [whole.files[file][low:high] for low, high in pairwise(starts)]
    one, other = pair(rng, range(len(members)))
    members[one], members[other] = members[other], members[one]
    content = b"".join(members) + whole.files[file][starts[-1] :]
    return _written(out, whole, file, content, f"members {one} and {other} swapped")


def exchanged(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """Two files under each other's name."""
    # A tar that is exchanged with its own index leaves nothing that could tell which records it held.
    others = [file for file in whole.files if file != DESCRIPTION and file not in whole.indexes]
    one, other = pair(rng, chosen(rng, (whole.tars, whole.indexes, others)))
    (out / one).write_bytes(whole.files[other])
    (out / other).write_bytes(whole.files[one])
    places = whole.touched(one, whole.files[other]) | whole.touched(other, whole.files[one])
    return Damage(f"{one} and {other} exchanged", places)


def replaced(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A file with the content of another one."""
    one, other = pair(rng, chosen(rng, (whole.tars, whole.indexes, list(whole.files))))
    (out / one).write_bytes(whole.files[other])
    return Damage(f"{one}: replaced by {other}", whole.touched(one, whole.files[other]))


def deleted(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A file that is gone, or a folder of its name."""
    file, is_folder = chosen(rng, list(whole.files)), rng.random() < 0.2
    (out / file).unlink()
    if is_folder:
        (out / file).mkdir()
    return Damage(f"{file}: {'a folder of this name' if is_folder else 'deleted'}", frozenset([(file, None, None)]))


def foreign(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A file that does not belong to the dataset, or a second copy of one that does."""
    file = chosen(rng, list(whole.files))
    folder, _, name = file.rpartition("/")
    more = f"{folder}/{chosen(rng, ('x', '.', 'train-000099-'))}{name}".lstrip("/")
    (out / more).write_bytes(whole.files[file])
    return Damage(f"{more}: a copy of {file}", frozenset([(more, None, None)]))


def edited_index(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """An index in which one value is another, written as a build writes it."""
    tar = chosen(rng, whole.tars)
    table = pq.read_table(pa.BufferReader(whole.files[index_of(tar)]))
    row, column = int(rng.integers(table.num_rows)), chosen(rng, table.column_names)
    value = table.column(column)[row].as_py()
    (out / index_of(tar)).write_bytes(parquet_bytes(with_value(table, column, row, other_value(value, rng))))
    places = {(index_of(tar), None, None)}
    key, (extension, _, part) = whole.rows[tar][row]["key"], column.rpartition(".")
    if part in {"offset", "size", "crc32"}:
        places.add((tar, key, extension))
    return Damage(f"{index_of(tar)}: {column} of {key} is no longer {value!r}", frozenset(places))


def short_index(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """An index in which a row is gone or doubled, or the rows stand in another order."""
    tar = chosen(rng, whole.tars)
    table = pq.read_table(pa.BufferReader(whole.files[index_of(tar)]))
    rows = list(range(table.num_rows))
    row = chosen(rng, rows)
    order = chosen(rng, ([one for one in rows if one != row], [*rows, row], [*rows[row + 1 :], *rows[: row + 1]][::-1]))
    if order == rows:
        order = [*rows, row]
    (out / index_of(tar)).write_bytes(parquet_bytes(table.take(order)))
    return Damage(f"{index_of(tar)}: its rows are {order}", frozenset([(index_of(tar), None, None)]))


def edited_description(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A dataset.json in which one value is another, or a key is gone, with its checksum as it was."""
    data = json.loads(whole.files[DESCRIPTION])
    holder, key, path = chosen(rng, list(leaves(data)))
    if isinstance(holder, dict) and rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = other_value(holder[key], rng)
    return _written(out, whole, DESCRIPTION, canonical_json(data).encode(), f"{path} changed")


def rewritten_description(out: Path, whole: Whole, rng: np.random.Generator) -> Damage:
    """A dataset.json that holds the same data in other bytes."""
    content = whole.files[DESCRIPTION]
    data = json.loads(content)
    place = int(rng.integers(1, 1 + content.index(b'"')))
    others = {
        "spaced": json.dumps(data, indent=chosen(rng, (None, 1, 2))).encode(),
        "a space": content[:place] + chosen(rng, (b" ", b"\n", b"\t")) + content[place:],
        "a newline at the end": content + b"\n",
        "a key more": canonical_json(data).encode()[:1] + b'"zz":1,' + content[1:],
        "a key twice": b'{"name":"other",' + content[1:],
        "a letter escaped": content.replace(b'"name"', b'"n\\u0061me"', 1),
        "a number spelled otherwise": content.replace(b'"format":1', b'"format":1.0', 1),
    }
    what = chosen(rng, list(others))
    return _written(out, whole, DESCRIPTION, others[what], what)


def leaves(data: Any, path: str = "") -> list[tuple[Any, Any, str]]:
    """Return every value of plain data that holds no others: what it stands in, under which key, and its path."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    found: list[tuple[Any, Any, str]] = []
    for key, value in items:
        here = f"{path}.{key}".lstrip(".")
        found += leaves(value, here) if isinstance(value, dict | list) and value else [(data, key, here)]
    return found


def other_value(value: Any, rng: np.random.Generator) -> Any:
    """Return another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + chosen(rng, (1, 2, 512)) if value < 2**31 else value - 1
        case float():
            return chosen(rng, (float(np.nextafter(value, np.inf)), value + 1.0, -value - 1.0))
        case str():
            place = int(rng.integers(len(value) + 1))
            return value[:place] + chosen(rng, "xyz") + value[place + int(rng.integers(2)) :] + "x"
        case _:
            return 1


KINDS: dict[str, Kind] = {
    "bit in a payload": bit_in("payload"),
    "bit in a header": bit_in("header"),
    "bit in a padding": bit_in("padding"),
    "bit in the end of a tar": bit_in("end"),
    "bit in any file": bit_anywhere,
    "tar cut": cut_tar,
    "file cut": cut_file,
    "page zeroed": zeroed_page,
    "bytes overwritten": overwritten,
    "bytes inserted": inserted,
    "bytes removed": removed,
    "payloads swapped": swapped_payloads,
    "members swapped": swapped_members,
    "files exchanged": exchanged,
    "file replaced": replaced,
    "file deleted": deleted,
    "foreign file": foreign,
    "index edited": edited_index,
    "index rows changed": short_index,
    "dataset.json edited": edited_description,
    "dataset.json written otherwise": rewritten_description,
}
