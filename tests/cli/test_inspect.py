"""`mmdata inspect` and `mmdata preview`: records for people."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mmdata.cli.main import group
from mmdata.errors import DatasetError
from mmdata.record import Record
from tests.validation.datasets import make_dataset


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole dataset; the tests only read it."""
    return make_dataset(tmp_path_factory.mktemp("inspect") / "dataset")


def test_annotations_come_back_to_the_raw_data(out: Path) -> None:
    """Each annotation is given as it now is and as it was in the raw data."""
    found = json.loads(CliRunner().invoke(group, ["inspect", str(out), "row-003", "--json"], catch_exceptions=False).stdout)
    fields = found["fields"]
    assert fields["image"]["boxes"][0]["raw"] == pytest.approx([4, 4, 20, 30])
    assert fields["image"]["points"][0]["raw"] == pytest.approx([10, 10])
    assert fields["audio"]["segments"][0]["raw"] == pytest.approx([0.15, 0.25])
    assert fields["text"]["spans"][0]["raw"] == [2, 5]
    assert found["members"].keys() == {"flac", "json", "png", "tokens.npy", "txt", "vector.npy"}
    assert found["origin"]["inputs"]["image"]["sha256"] == f"{3:064x}"


def test_lines_for_people(out: Path) -> None:
    """Members, annotations, lineage and origin are shown."""
    text = CliRunner().invoke(group, ["inspect", str(out), "row-003"], catch_exceptions=False).stdout
    for words in (".flac", "thing: left 1.6", "moved by image.resize", "files/3.image", "in the raw data 4, 4, 20, 30"):
        assert words in text


def test_lines_can_be_read_by_a_newcomer(out: Path) -> None:
    """What stages did is said in words, tokens by the text they stand for, and numbers say what they count."""
    text = CliRunner().invoke(group, ["inspect", str(out), "row-003"], catch_exceptions=False).stdout
    for words in (
        "moved by image.resize: scaled by 0.4\n",
        "which is, of the raw image: left 0, top 0, right 60, bottom 40 in its pixels",
        "which is, of the raw audio: 0.1 s to 0.30375 s",
        "moved by text.normalize: 2 characters became 0, in 1 place",
        "3 of the source, of which the first is 0",
    ):
        assert words in text
    caption = text.partition("  text: ")[2].partition("\n")[0]
    assert text.partition("  pieces: ")[2].partition("\n")[0].replace(" | ", "") == caption
    for numbers in ("affine", "timemap", "0 annotations", "offsets"):
        assert numbers not in text
    fields = json.loads(CliRunner().invoke(group, ["inspect", str(out), "row-003", "--json"]).stdout)["fields"]
    assert fields["image"]["lineage"][0].items() >= {"map": "affine", "numbers": [0.4, 0, 0, 0, 0.4, 0], "removed": 0}.items()
    assert fields["tokens"]["offsets"][0][0] == 0


def test_export_writes_the_members(out: Path, tmp_path: Path) -> None:
    """Every member becomes a file with the bytes of its payload."""
    args = ["inspect", str(out), "row-003", "--export", str(tmp_path / "files")]
    assert CliRunner().invoke(group, args, catch_exceptions=False).exit_code == 0
    names = {path.name for path in (tmp_path / "files").iterdir()}
    assert names == {f"row-003.{each}" for each in ("flac", "json", "png", "tokens.npy", "txt", "vector.npy")}
    assert json.loads((tmp_path / "files/row-003.json").read_bytes())["key"] == "row-003"


def test_an_unknown_key_is_an_error(out: Path) -> None:
    """The message names the key, and the keys that are like it."""
    error = CliRunner().invoke(group, ["inspect", str(out), "rwo-003"]).exception
    assert isinstance(error, DatasetError)
    assert "'rwo-003'" in str(error)
    assert "did you mean 'row-003'" in str(error)


def test_a_rejected_row_says_why(out: Path, tmp_path: Path) -> None:
    """It is in no shard, yet nobody needs Python to learn where it ended; there is nothing to export of it."""
    done = CliRunner().invoke(group, ["inspect", str(out), "row-011"], catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (0, "row-011: rejected in stages[0] some.stage: reason (detail)\n")
    found = json.loads(CliRunner().invoke(group, ["inspect", str(out), "row-011", "--json"], catch_exceptions=False).stdout)
    (rejected,) = found["rejected"]
    assert (rejected["row"], rejected["kind"], rejected["detail"]) == (11, "filtered", "detail")
    exported = CliRunner().invoke(group, ["inspect", str(out), "row-011", "--export", str(tmp_path / "files")])
    assert isinstance(exported.exception, DatasetError)
    assert not (tmp_path / "files").exists()


def test_a_row_in_parts_lists_their_keys(tmp_path: Path) -> None:
    """The key of the source finds every record of its row; the key of a record finds that one."""

    def parts(one: Record) -> Record:
        if one.origin.row not in {1, 2}:
            return one
        return replace(one, key=f"row-part-{one.origin.row:04d}", origin=replace(one.origin, source_key="the whole"))

    out = make_dataset(tmp_path / "dataset", parts)
    text = CliRunner().invoke(group, ["inspect", str(out), "the whole"], catch_exceptions=False).stdout
    assert "became 2 records" in text
    assert text.split()[-2:] == ["row-part-0001", "row-part-0002"]
    args = ["inspect", str(out), "row-part-0002", "--json"]
    assert json.loads(CliRunner().invoke(group, args, catch_exceptions=False).stdout)["origin"]["row"] == 2


def test_preview_draws_evenly(out: Path, tmp_path: Path) -> None:
    """The page holds as many records as were asked for, from all splits."""
    file = tmp_path / "page.html"
    args = ["preview", str(out), "--count", "5", "--html", str(file), "--json"]
    found = json.loads(CliRunner().invoke(group, args, catch_exceptions=False).stdout)
    page = file.read_text(encoding="utf-8")
    assert found == {"file": str(file), "records": 5}
    assert page.count("<article") == 5
    assert ">train · " in page
    assert ">val · " in page
