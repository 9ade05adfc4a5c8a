"""`mmdata.validate` on whole datasets, and what its report says."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

import mmdata
from mmdata.builder import build
from mmdata.errors import ConfigError, DatasetError
from mmdata.recipe import Recipe
from mmdata.record import Record
from mmdata.validation.checks import validate
from mmdata.validation.findings import CHECKS, Finding, Ledger
from mmdata.values import Box, Image, Span, Text
from tests.validation.datasets import change_payload, edit, make_dataset, repack, rewrite_index, seal, with_value

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e&\"'"


def test_a_whole_dataset_has_no_finding(whole: Path) -> None:
    """Nothing is wrong, and every check says how many items it looked at."""
    report = validate(whole)
    assert report.ok
    assert report.findings == []
    assert [check.name for check in report.checks] == list(CHECKS)
    assert all(check.items for check in report.checks)
    assert report.counts["splits"] == {"train": 7, "val": 3}


def test_a_dataset_that_was_built_has_no_finding(recipe: Recipe, tmp_path: Path) -> None:
    """What `mmdata.build` writes keeps every promise."""
    build(recipe, tmp_path / "out", workers=1)
    report = validate(tmp_path / "out")
    assert report.findings == []
    assert {check.name for check in report.checks if not check.items} <= {"annotations", "rejects"}


def test_the_report_does_not_disturb_a_later_validation(out: Path) -> None:
    """What is written to OUT/report is no foreign file."""
    validate(out, out / "report")
    assert validate(out).findings == []


def test_absent_fields_are_whole(tmp_path: Path) -> None:
    """A record without picture, or with an empty text, keeps every promise: its payload is empty and its measures are zero."""

    def change(record: Record) -> Record:
        return record.without("image", "tokens") if record.origin.row == 3 else record

    assert validate(make_dataset(tmp_path / "out", change)).findings == []


def test_workers_change_nothing(out: Path) -> None:
    """Two processes find the same in the same order as one."""
    change_payload(out, "train-000000.tar", "row-001.txt", lambda _: b"other")
    change_payload(out, "val-000000.tar", "row-008.txt", lambda _: b"other")
    assert validate(out, workers=2).to_json() == validate(out).to_json()


def test_fewer_than_one_worker_are_refused(whole: Path) -> None:
    """Nothing could check anything."""
    with pytest.raises(ConfigError, match="workers is at least 1, not 0"):
        validate(whole, workers=0)


def test_progress_ends_with_all_records(whole: Path) -> None:
    """Progress is told of after each shard."""
    seen: list[tuple[int, int]] = []
    validate(whole, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 10), (7, 10), (10, 10)]


def test_a_folder_without_a_description_is_no_dataset(tmp_path: Path) -> None:
    """That is an error, not a finding, and says whether a build was broken off."""
    with pytest.raises(DatasetError, match="is this a dataset folder"):
        mmdata.validate(tmp_path)
    (tmp_path / ".build").mkdir()
    with pytest.raises(DatasetError, match="did not finish"):
        mmdata.validate(tmp_path)


def test_a_damaged_tokenizer_accuses_no_tokens(out: Path) -> None:
    """It is a finding of its own, and no measure for anything else."""
    path = out / "artifacts/tokenizer.json"
    data = json.loads(path.read_bytes())
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["e"] = vocabulary["e"], vocabulary["a"]
    path.write_text(json.dumps(data), encoding="utf-8")
    assert [(one.check, one.file) for one in validate(out).findings] == [("checksums", "artifacts/tokenizer.json")]


def test_numbers_beyond_all_measure_are_no_crash(out: Path) -> None:
    """Measures whose difference no float holds, and a length that no tokenizer takes, end in findings."""

    def change(table: pa.Table) -> pa.Table:
        return with_value(with_value(table, "audio.snr", 0, 1.7e308), "audio.snr", 1, -1.7e308)

    rewrite_index(out, "train-000000.tar", change)
    seal(out)
    edit(out, lambda data: data["recipe"]["stages"][0]["text.tokenize"].update(max_tokens=10**30))
    report = validate(out, out / "report")
    assert {one.check for one in report.findings} == {"agreement", "statistics"}
    assert "audio.snr" not in report.histograms


def test_a_group_in_the_split_of_another_seed_is_found(built: Path, tmp_path: Path) -> None:
    """The split of each group follows from the recipe, so a record that stands elsewhere is named."""
    out = Path(shutil.copytree(built, tmp_path / "dataset"))
    edit(out, lambda data: [recipe.update(seed=1) for recipe in (data["recipe"], data["identity"]["recipe"])])
    found = validate(out).findings_of("groups")
    assert found
    assert all(one.record and "the recipe puts its group" in one.message for one in found)


def test_a_byte_order_mark_is_a_warning(out: Path) -> None:
    """It breaks nothing by itself, but is named; here the tokens differ as well."""
    change_payload(out, "train-000000.tar", "row-001.txt", lambda payload: b"\xef\xbb\xbf" + payload)
    found = [one for one in validate(out).findings if one.severity == "warning"]
    assert [(one.check, one.record, one.member) for one in found] == [("payloads", "row-001", "txt")]


def test_many_findings_are_counted_and_a_few_kept() -> None:
    """Of each check 200 findings are kept, those of other checks beside them, also when ledgers are added up."""
    total = Ledger()
    for _ in range(3):
        ledger = Ledger()
        for number in range(150):
            ledger.add(Finding("places", "error", "a.tar", f"k{number}", None, "damaged"))
        ledger.add(Finding("json", "warning", "a.tar", None, None, "odd"))
        total.absorb(ledger)
    assert total.errors["places"] == 450
    assert total.warnings["json"] == 3
    assert len([one for one in total.findings if one.check == "places"]) == 200
    assert len([one for one in total.findings if one.check == "json"]) == 3


class _Tags(HTMLParser):
    """Collects the tags, attributes and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_hostile_text_is_inert_in_the_report(tmp_path: Path) -> None:
    """Markup and control characters of captions, labels, metadata and keys are text in the page; nothing is loaded or run."""

    def change(record: Record) -> Record:
        text, image = record["text"], record["image"]
        assert isinstance(text, Text)
        assert isinstance(image, Image)
        hostile = Text(HOSTILE, (Span(0, 8, HOSTILE),))
        boxes = Image(image.data, (Box(1.0, 1.0, 5.0, 5.0, HOSTILE),), (), image.lineage)
        metadata = {"number": 1, "tags": json.dumps(HOSTILE)}
        return replace(record.with_fields(text=hostile, image=boxes), metadata=metadata)

    out = make_dataset(tmp_path / "out", change)
    repack(out, "val-000000.tar", lambda members: [(f"<script>{name}", payload) for name, payload in members])
    report = validate(out, tmp_path / "report")
    assert not report.ok
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    parsed = _Tags()
    parsed.feed(page)
    assert "script" not in parsed.tags
    assert "img" not in parsed.tags
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    addresses = [value or "" for name, value in parsed.attributes if name in {"src", "href"}]
    assert addresses
    assert all(value.startswith("data:") for value in addresses)
    assert "default-src 'none'" in page
    assert HOSTILE[:25] in "".join(parsed.text)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", page)


def test_the_report_holds_findings_samples_and_histograms(out: Path) -> None:
    """The page shows what was found and some records; the JSON file says the same as the report."""
    change_payload(out, "train-000000.tar", "row-001.txt", lambda _: b"other")
    report = validate(out, out / "report")
    assert json.loads((out / "report/validation.json").read_bytes()) == report.to_json()
    page = (out / "report/index.html").read_text(encoding="utf-8")
    assert "train-000000.tar, record row-001 .txt" in page
    assert page.count("<article") == 10
    assert page.count("data:image/png") == 10
    assert page.count("<audio") == 10
    assert page.count('class="bar"') > 10


def test_the_report_is_the_same_every_time(out: Path, tmp_path: Path) -> None:
    """The same folder gives the same pages, byte for byte."""
    for name in ("one", "two"):
        validate(out, tmp_path / name)
    assert (tmp_path / "one/index.html").read_bytes() == (tmp_path / "two/index.html").read_bytes()


def test_a_report_that_cannot_be_written_is_an_error(out: Path) -> None:
    """The message names the folder."""
    (out / "report").write_text("a file", encoding="utf-8")
    seal(out)
    with pytest.raises(DatasetError, match="report cannot be written"):
        validate(out, out / "report")
