"""Texts of a corpus on the terminal and on pages: they steer nothing, run nothing, and do not flood."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from mmdata.cli.main import group, one_line, printable
from mmdata.codec import METADATA_MEMBER
from mmdata.dataset import Dataset
from mmdata.errors import RecordError
from mmdata.record import Record
from mmdata.shards.index import parquet_bytes
from mmdata.validation.inspection import inspected
from mmdata.validation.page import document
from mmdata.validation.samples import Sample
from mmdata.values import Audio, Box, Image, Point, Segment, Span, Text
from tests.faults.hostile import SHOWN, STEERS, mmdata
from tests.validation.datasets import edit, make_dataset, seal, with_value

LONG = SHOWN * 20_000
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _hostile(label: str, text: str, count: int) -> Callable[[Record], Record]:
    """Return what replaces the values of a record by ones with this text and label, `count` annotations of each kind."""

    def change(record: Record) -> Record:
        image, audio = record["image"], record["audio"]
        assert isinstance(image, Image)
        assert isinstance(audio, Audio)
        fields = {
            "text": Text(text, tuple(Span(0, 8, label) for _ in range(count))),
            "image": replace(image, boxes=(Box(1.0, 1.0, 5.0, 5.0, label),) * count, points=(Point(2.0, 2.0, label),) * count),
            "audio": replace(audio, segments=(Segment(0.01, 0.02, label),) * count),
        }
        origin = replace(record.origin, source_key=f"{record.origin.source_key}{label}", group=label)
        metadata = {"number": 1, "tags": json.dumps(label)}
        return replace(record.with_fields(**fields), origin=origin, metadata=metadata)

    return change


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose every text is hostile: captions, labels, keys, groups, metadata, reasons, its own name."""
    out = make_dataset(tmp_path_factory.mktemp("hostile") / "out", _hostile(SHOWN, SHOWN, 3))
    rejects = pq.read_table(out / "rejects.parquet")
    for column in ("key", "stage", "reason", "detail"):
        rejects = with_value(rejects, column, 0, SHOWN)
    (out / "rejects.parquet").write_bytes(parquet_bytes(rejects))
    edit(out, lambda data: data.update(name=SHOWN))
    seal(out)
    return out


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("command", ["stats", "inspect", "preview", "validate"])
def test_no_command_lets_a_text_steer_the_terminal(hostile: Path, tmp_path: Path, command: str, options: list[str]) -> None:
    """Control characters, 8-bit ones and turned writing among them, are shown by number, as text and as JSON."""
    more = {"inspect": ["row-001"], "preview": ["--html", str(tmp_path / "a.html")], "validate": ["--report", str(tmp_path)]}
    result = CliRunner().invoke(group, [command, str(hostile), *more.get(command, []), *options])
    assert result.exit_code in {0, 1}, result.output
    assert not STEERS.search(result.output)
    if options:
        json.loads(result.stdout)


def test_errors_and_logs_do_not_steer_the_terminal(hostile: Path, tmp_path: Path) -> None:
    """What a command says of a key that is not there, of a rejected row, and of files that it leaves out, is printable."""
    done = mmdata("inspect", hostile, f"{SHOWN} is not there")
    assert done.returncode == 2
    rejected = mmdata("inspect", hostile, SHOWN)
    assert rejected.returncode == 0
    assert not STEERS.search(rejected.stdout + rejected.stderr)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/a.txt").write_text("a text")
    (tmp_path / "corpus/.\x1b[31m\u202e").write_text("left out")
    (tmp_path / "recipe.yaml").write_text(
        "name: a\nsource: {type: files, path: corpus}\nfields: {text: {kind: text, column: txt}}\n"
    )
    built = mmdata("build", tmp_path / "recipe.yaml", tmp_path / "out", "--workers", "1")
    assert "belong to no row" in built.stderr
    assert not STEERS.search(done.stdout + done.stderr + built.stdout + built.stderr)


def test_a_bug_keeps_its_traceback_and_steers_nothing(tmp_path: Path) -> None:
    """The traceback of an error that nobody foresaw quotes what was read, and is printable all the same."""
    code = f"""
import mmdata.cli.main as main
import mmdata.dataset
def broken(path): raise ValueError({SHOWN!r})
mmdata.dataset.Dataset = broken
import sys; sys.argv = ["mmdata", "stats", {str(tmp_path)!r}]
main.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "in broken" in done.stderr
    assert not STEERS.search(done.stderr)


def test_a_caption_without_end_floods_neither_terminal_nor_page(tmp_path: Path) -> None:
    """A megabyte of repetition in texts and labels, and many annotations, are cut; --json and the shard have all of it."""
    out = make_dataset(tmp_path / "out", _hostile("label " * 200, LONG, 500))
    result = CliRunner().invoke(group, ["inspect", str(out), "row-001"])
    assert result.exit_code == 0, result.output
    assert max(map(len, result.output.split("\n"))) < 15_000
    assert "more; --json has all of them" in result.output
    assert f"({len(LONG):,} characters)" in result.output
    assert len(
        json.loads(CliRunner().invoke(group, ["inspect", str(out), "row-001", "--json"]).stdout)["fields"]["text"]["text"]
    ) == len(LONG)
    assert CliRunner().invoke(group, ["preview", str(out), "--count", "1", "--html", str(tmp_path / "a.html")]).exit_code == 0
    assert (tmp_path / "a.html").stat().st_size < 2_000_000


@pytest.mark.parametrize(
    "change",
    [
        {"source_key": ["<script>"]},
        {"key": 5},
        {"inputs": {"image": {"uri": 1, "sha256": "", "bytes": 0}}},
        {"inputs": []},
        {"annotations": "[]"},
        {"annotations": '{"image": {"boxes": [["<b>", 1, 2, 3]]}}'},
        {"annotations": '{"image": {"boxes": [[1, 2, 3, 4, "", false, 7]]}}'},
        {"annotations": '{"image": {"frames": [[1]]}}'},
        {"annotations": '{"tokens": {"offsets": [[99999999999, 1]]}}'},
        {"annotations": "[" * 5000},
        {"lineage": '{"image": [{"stage": "x", "map": "exec", "numbers": [], "removed": 0}]}'},
        {"metadata": {"number": {"a": []}}},
    ],
)
def test_a_json_member_of_other_types_is_an_error(hostile: Path, change: dict[str, object]) -> None:
    """Whatever is put on a page or a terminal has the type that the page expects."""
    dataset = Dataset(hostile)
    payloads = next(dataset.payloads())
    changed = json.dumps({**json.loads(payloads[METADATA_MEMBER]), **change}).encode()
    with pytest.raises(RecordError):
        dataset.codec.decode({**payloads, METADATA_MEMBER: changed})


@pytest.mark.parametrize(
    "steps",
    [
        [{"stage": "x", "map": "affine", "numbers": [0, 0, 0, 0, 0, 0], "removed": 0}],
        [{"stage": "x", "map": kind, "numbers": numbers, "removed": 0} for kind, numbers in (("edits", []), ("affine", []))],
    ],
)
def test_a_lineage_that_cannot_be_undone_is_an_error(hostile: Path, steps: list[object]) -> None:
    """A map that flattens the picture, and maps of two kinds in one lineage, end in an error of one line."""
    dataset = Dataset(hostile)
    payloads = next(dataset.payloads())
    described = json.loads(payloads[METADATA_MEMBER])
    changed = {**payloads, METADATA_MEMBER: json.dumps({**described, "lineage": json.dumps({"image": steps})}).encode()}
    sample = Sample(dataset.shards[0], dataset.codec.decode(changed), changed, dataset.schema, dataset.members)
    with pytest.raises(RecordError, match="lineage cannot be undone"):
        inspected(sample)


def test_only_what_is_long_is_cut() -> None:
    """Texts that fit stay as they are; what is cut says how long it was."""
    assert one_line("a\nb") == "a b"
    assert one_line("x" * 2000) == "x" * 2000
    assert one_line("x" * 2001).endswith("(2,001 characters)")
    assert printable("a\x1b\x9b\u202e\n\ud800") == "a\\x1b\\x9b\\x202e\n\\xd800"


def _seen(page: Path) -> str:
    """Return a page as a browser has it after its scripts would have run."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--virtual-time-budget=2000"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *flags, profile, "--dump-dom", page.as_uri()], capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    return done.stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs the browser Chromium")
def test_a_browser_runs_nothing_of_a_corpus(hostile: Path, tmp_path: Path) -> None:
    """In a real browser, neither the preview nor the report runs a script; the policy would stop one that were there."""
    assert CliRunner().invoke(group, ["preview", str(hostile), "--html", str(tmp_path / "a.html")]).exit_code == 0
    CliRunner().invoke(group, ["validate", str(hostile), "--report", str(tmp_path)])
    attack = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    (tmp_path / "open.html").write_text(f"<title>fine</title>{attack}")
    assert "<title>pwned</title>" in _seen(tmp_path / "open.html"), "the attack works where nothing stops it"
    (tmp_path / "policy.html").write_text(document("fine", [attack]))
    assert "<title>fine</title>" in _seen(tmp_path / "policy.html")
    for page in ("a.html", "index.html"):
        seen = _seen(tmp_path / page)
        assert "</html>" in seen
        assert "<title>pwned" not in seen
        assert "<script" not in seen
        assert "<img" not in seen
