"""Every kind of trouble with raw data costs its row alone, which is rejected with stage, kind and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdata.builder import build
from mmdata.errors import TooManyRejectsError
from tests.corpus import picture, recording
from tests.faults.accounts import check_account, payloads, rejects
from tests.faults.bad_files import SVG, TROUBLES

GOOD = 8
NAMES = {"image": "png", "audio": "wav", "note": "txt"}
BAD_LINES: dict[str, tuple[str, str]] = {
    "{broken": ("", "manifest line is not valid JSON"),
    '["a", "list"]': ("", "manifest line is not valid JSON"),
    '{"key": "twice", "key": "twice"}': ("", "manifest line repeats a name"),
    '{"image": "good-0.png"}': ("", "row has no key"),
    '{"key": "latin-1", "text": "Grüße"}': ("", "manifest line is not UTF-8"),
    '{"key": "good-0", "text": "a key that was there before"}': ("good-0", "key is not unique"),
    '{"key": "surrogate", "text": "half \\ud800 a pair", "image": null}': ("surrogate", "text is not valid Unicode"),
    '{"key": "list", "text": ["not", "a", "text"]}': ("list", "column has the wrong type"),
    '{"key": "outside", "image": "../../../etc/passwd"}': ("outside", "path leads outside of the corpus"),
    '{"key": "folder", "image": "."}': ("folder", "path is not a file"),
    '{"key": "unreadable", "image": "link-to-itself.png"}': ("unreadable", "file cannot be read"),
    '{"key": "nul", "image": "a\\u0000.png"}': ("nul", "path has control characters"),
    '{"key": "boxes", "boxes": [[1, 2]], "image": "good-0.png"}': ("boxes", "boxes are malformed"),
}
"""Lines of the manifest, with the key and the reason of their rejects; all of them are rejected by the source."""


def good_row(folder: Path, key: str, number: int) -> dict[str, Any]:
    """Write the files of a row with which nothing is wrong, and return the row."""
    (folder / f"{key}.png").write_bytes(picture(number))
    (folder / f"{key}.wav").write_bytes(recording(number))
    (folder / f"{key}.txt").write_text(f"note {number}", encoding="utf-8")
    files = {field: f"{key}.{suffix}" for field, suffix in NAMES.items()}
    return {"key": key, "text": f"text {number}", "boxes": [[1, 2, 3, 4]], **files}


def recipe(folder: Path, lines: list[bytes], **changes: Any) -> dict[str, Any]:
    """Write a manifest and return a recipe over it."""
    (folder / "manifest.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return {
        "name": "troubles",
        "source": {"type": "manifest", "path": str(folder / "manifest.jsonl"), "key": "key"},
        "fields": {
            "image": {"kind": "image", "boxes": "boxes"},
            "audio": {"kind": "audio"},
            "note": {"kind": "text", "file": True},
            "text": {"kind": "text"},
        },
        "stages": ["record.require", "text.normalize", "image.decode", {"image.resize": {"size": 16}}, "audio.decode"],
        "output": {"image": {"format": "png"}},
        "limits": {"memory": "1GiB"},
        "max_rejects": 0.95,
        "shards": {"rows": 10},
        **changes,
    }


def as_line(row: object) -> bytes:
    """Return a row as a line of the manifest."""
    return json.dumps(row).encode()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes], list[bytes]]:
    """A folder, the lines of the good rows, and all lines: bad files and bad lines, good rows among them."""
    folder = tmp_path_factory.mktemp("troubles")
    good = [as_line(good_row(folder, f"good-{number}", number)) for number in range(GOOD)]
    (folder / "link-to-itself.png").symlink_to("link-to-itself.png")
    bad = []
    for number, (key, trouble) in enumerate(TROUBLES.items()):
        row = good_row(folder, key, 100 + number)
        path = folder / row[trouble.field]
        path.unlink()
        trouble.write(path)
        bad.append(as_line(row))
    bad += [line.encode("latin-1" if "latin-1" in line else "utf-8") for line in BAD_LINES]
    mixed = [*good[:1], *bad[: len(bad) // 2], *good[1:-1], *bad[len(bad) // 2 :], *good[-1:]]
    return folder, good, mixed


@pytest.fixture(scope="module")
def built(corpus: tuple[Path, list[bytes], list[bytes]]) -> Path:
    """The folder that two workers built of it all."""
    folder, _, mixed = corpus
    return build(recipe(folder, mixed), folder.with_name("troubles-built"), workers=2).path


@pytest.mark.parametrize("key", TROUBLES)
def test_a_bad_file_costs_its_row(built: Path, key: str) -> None:
    """The row is rejected once, by the stage that found out."""
    trouble = TROUBLES[key]
    (reject,) = [reject for reject in rejects(built) if reject["key"] == key]
    assert (reject["kind"], reject["stage"], reject["reason"]) == (trouble.kind, trouble.stage, trouble.reason)


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_costs_its_row(corpus: tuple[Path, list[bytes], list[bytes]], built: Path, line: str) -> None:
    """The row is rejected once, by the source, and the lines around it are read."""
    encoded = line.encode("latin-1" if "latin-1" in line else "utf-8")
    (reject,) = [reject for reject in rejects(built) if reject["row"] == corpus[2].index(encoded)]
    assert (reject["kind"], reject["stage"]) == ("error", "source")
    assert (reject["key"], reject["reason"]) == BAD_LINES[line]


def test_every_other_row_is_as_if_nothing_were_wrong(corpus: tuple[Path, list[bytes], list[bytes]], built: Path) -> None:
    """The good rows have the payloads of a build without the bad ones, and every row is in one place."""
    folder, good, mixed = corpus
    check_account(built, len(mixed))
    clean = build(recipe(folder, good), folder.with_name("troubles-clean"), workers=1)
    assert payloads(built) == payloads(clean.path)
    assert len(payloads(built)) == GOOD


def test_what_only_looks_like_trouble_is_written(tmp_path: Path) -> None:
    """A vector picture of vast size is drawn at the size asked for; a byte order mark and a NUL are taken out of texts."""
    row = good_row(tmp_path, "vast", 1)
    vast = SVG.replace("10", "1000000000").format('<rect width="1" height="1"/>')
    (tmp_path / "vast.png").write_text(vast, encoding="utf-8")
    (tmp_path / "vast.txt").write_text("note", encoding="utf-8-sig")
    stages = ["record.require", "text.normalize", "image.decode", {"image.resize": {"size": 16}}, "audio.decode"]
    build(recipe(tmp_path, [as_line(row | {"text": "a\0b"})], stages=stages), tmp_path / "built", workers=1)
    (members,) = payloads(tmp_path / "built").values()
    assert members["note.txt"] == b"note"
    assert b"\0" not in members["txt"]


@pytest.mark.parametrize(("limit", "allowed"), [(2, 2), (0, 0), ("30%", 3), (0.25, 2)])
def test_too_many_rejects_end_the_build_with_the_reasons_grouped(tmp_path: Path, limit: float | str, allowed: int) -> None:
    """A count or a share; the most frequent reason stands first, with how often, where, and a row of it."""
    rows = [good_row(tmp_path, f"row-{number}", number) for number in range(10)]
    for number, suffix in ((1, "wav"), (4, "png"), (6, "wav"), (7, "wav")):
        (tmp_path / f"row-{number}.{suffix}").write_bytes(b"neither picture nor sound")
    data = recipe(tmp_path, [as_line(row) for row in rows], max_rejects=limit)
    with pytest.raises(TooManyRejectsError) as caught:
        build(data, tmp_path / "built", workers=1)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"4 of 10 rows were rejected as errors; max_rejects allows {allowed}."
    assert lines[1].split(maxsplit=1)[0] == "3"
    assert "audio.decode: not a known sound format; such as row 1 'row-1'" in lines[1]
    assert lines[2].split(maxsplit=1)[0] == "1"
    assert "image.decode: not a known picture format; such as row 4 'row-4'" in lines[2]
    assert not (tmp_path / "built/dataset.json").exists()
    build({**data, "max_rejects": "40%"}, tmp_path / "built", workers=1)
    check_account(tmp_path / "built", 10)


def test_where_nothing_is_left_to_learn_from_the_reasons_are_told(tmp_path: Path) -> None:
    """The build says why rows never came to the stage that learns, most frequent first; mended rows are learned from."""
    rows = [good_row(tmp_path, f"row-{number}", number) for number in range(6)]
    for number in range(6):
        whole = (tmp_path / f"row-{number}.png").read_bytes()
        (tmp_path / f"row-{number}.png").write_bytes(b"no picture" if number == 1 else whole[: len(whole) // 2])
    stages = ["record.require", "image.decode", {"image.resize": {"size": 16}}, "image.normalize", "audio.decode"]
    data = recipe(tmp_path, [as_line(row) for row in rows] + [b"{broken", b"{broken"], stages=stages, max_rejects=2)
    for _ in range(2):  # the second time, nothing of the first is taken for done
        with pytest.raises(TooManyRejectsError) as caught:
            build(data, tmp_path / "built", workers=1)
        first, *lines, advice = str(caught.value).splitlines()
        assert "no picture of field 'image' came to image.normalize" in first
        assert [line.split(maxsplit=1)[0] for line in lines] == ["5", "2", "1"]
        assert "image.decode: picture is truncated; such as row 0 'row-0'" in lines[0]
        assert "source: manifest line is not valid JSON; such as row 6" in lines[1]
        assert "image.decode: not a known picture format; such as row 1 'row-1'" in lines[2]
        assert "Mend these files and run the build again" in advice
    for number in range(6):
        (tmp_path / f"row-{number}.png").write_bytes(picture(number))
    build(data, tmp_path / "built", workers=1)
    check_account(tmp_path / "built", 8)
