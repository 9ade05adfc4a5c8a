"""Repairs and resumes: exactly what is damaged is made again, and nothing is mixed with what is made of something else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import mmdata
from mmdata.builder import Found, Options, Progress, build, carry_out
from mmdata.cli.build import built_text
from mmdata.errors import DatasetError, TooManyRejectsError
from mmdata.shards.index import ShardIndex
from tests.corpus import picture
from tests.incremental import Corpus, Inline, contents, stamps

Damage = Callable[[Path], object]


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let builds work where they are called."""
    monkeypatch.setattr("mmdata.engines.local.LocalEngine", Inline)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Path]:
    """A corpus of 24 rows, one a duplicate, one broken and one empty, and its dataset; do not change them."""
    folder = tmp_path_factory.mktemp("repair")
    corpus = Corpus.make(folder / "corpus", 24)
    corpus.rows[6] = {**corpus.rows[5], "key": "row/006"}
    corpus.rows[9]["text"] = ""
    (corpus.folder / "12.png").write_bytes(b"no picture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmdata.engines.local.LocalEngine", Inline)
        corpus.build(folder / "out")
    return corpus, folder / "out"


def flip(path: Path, place: int) -> None:
    """Flip a bit of a file; `place` counts from its end where it is negative."""
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Cut the second half of a file off."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, tuple[Damage, set[str]]] = {
    "a payload": (lambda out: flip(out / "train-000001.tar", 600), {"train-000001.tar"}),
    "padding": (lambda out: flip(out / "train-000001.tar", -1), {"train-000001.tar"}),
    "half a shard": (lambda out: cut(out / "train-000002.tar"), {"train-000002.tar"}),
    "a shard": (lambda out: (out / "train-000003.tar").unlink(), {"train-000003.tar"}),
    "an index": (lambda out: flip(out / "index/train-000001.parquet", 40), {"index/train-000001.parquet"}),
    "a lost index": (lambda out: (out / "index/train-000000.parquet").unlink(), {"index/train-000000.parquet"}),
    "all indexes": (lambda out: shutil.rmtree(out / "index"), {"index"}),
    "two shards exchanged": (
        lambda out: [
            (out / "train-000000.tar").rename(out / "x"),
            (out / "train-000001.tar").rename(out / "train-000000.tar"),
            (out / "x").rename(out / "train-000001.tar"),
        ],
        {"train-000000.tar", "train-000001.tar"},
    ),
    "the rejects": (lambda out: cut(out / "rejects.parquet"), {"rejects.parquet"}),
    "the lost rejects": (lambda out: (out / "rejects.parquet").unlink(), {"rejects.parquet"}),
    "the tokenizer": (lambda out: cut(out / "artifacts/tokenizer.json"), {"artifacts/tokenizer.json"}),
    "the statistics": (
        lambda out: (out / "artifacts/image-statistics.json").unlink(),
        {"artifacts/image-statistics.json"},
    ),
    "the duplicates": (lambda out: (out / "artifacts/duplicates.jsonl").write_text(""), {"artifacts/duplicates.jsonl"}),
    "what was observed": (
        lambda out: cut(out / "artifacts/duplicates.observed.parquet"),
        {"artifacts/duplicates.observed.parquet"},
    ),
    "all artifacts": (lambda out: shutil.rmtree(out / "artifacts"), {"artifacts"}),
    "a changed dataset.json": (lambda out: flip(out / "dataset.json", 200), {"dataset.json"}),
    "a lost dataset.json": (lambda out: (out / "dataset.json").unlink(), {"dataset.json"}),
    "dataset.json, a shard, an index and the tokenizer": (
        lambda out: [
            (out / "dataset.json").unlink(),
            cut(out / "train-000001.tar"),
            (out / "index/train-000002.parquet").unlink(),
            flip(out / "artifacts/tokenizer.json", 5),
        ],
        {
            "dataset.json",
            "train-000001.tar",
            "index/train-000001.parquet",
            "index/train-000002.parquet",
            "artifacts/tokenizer.json",
        },
    ),
}


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("name", DAMAGE)
def test_exactly_what_is_damaged_is_made_again(built: tuple[Corpus, Path], tmp_path: Path, name: str) -> None:
    """The folder is what it was, byte for byte, and no file that was whole is touched."""
    corpus, whole = built
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    before = stamps(out)
    damage, damaged = DAMAGE[name]
    damage(out)
    corpus.build(out)
    assert contents(out) == contents(whole)
    touched = {file for file, stamp in stamps(out).items() if stamp != before[file]}
    assert {file for file in touched if file not in damaged and file.partition("/")[0] not in damaged} == set()


@pytest.mark.usefixtures("inline")
def test_a_repair_says_what_it_did(built: tuple[Corpus, Path], tmp_path: Path) -> None:
    """Shards made again and kept are counted, and the files named."""
    corpus, whole = built
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    cut(out / "train-000001.tar")
    (out / "rejects.parquet").unlink()
    changes = corpus.build(out, max_rejects=999).changes  # a limit, as the place of the corpus, is no other recipe
    assert changes is not None
    assert changes.repaired == ("train-000001.tar", "rejects.parquet")
    assert (changes.shards_rebuilt, changes.shards_kept) == (1, len(mmdata.open(out).shards) - 1)
    assert (changes.rows_added, changes.rows_changed, changes.rows_removed, changes.rows_kept) == (0, 0, 0, 24)


@pytest.fixture
def own(tmp_path: Path, inline: None) -> tuple[Corpus, Path]:  # noqa: ARG001 - a fixture
    """A corpus of 16 rows and its dataset."""
    corpus = Corpus.make(tmp_path / "corpus", 16, split={})
    corpus.build(tmp_path / "out")
    return corpus, tmp_path / "out"


def test_a_repair_from_other_raw_files_is_refused(own: tuple[Corpus, Path]) -> None:
    """What cannot be what it was is not put in its place; the raw file that changed is named, and --update takes it over."""
    corpus, out = own
    shard = mmdata.open(out).shards[1]
    key = ShardIndex.read(out / shard.index_file).column("source_key")[0]
    number = int(key.removeprefix("row/"))
    (corpus.folder / f"{number}.png").write_bytes(picture(99, 12, 10))
    corpus.build(out)  # the raw files of a complete dataset do not matter
    (out / shard.file).unlink()
    before = contents(out)
    with pytest.raises(DatasetError, match=rf"these raw files changed:\n  {number}.png of row '{key}'"):
        corpus.build(out)
    assert {name: sha256 for name, sha256 in contents(out).items() if not name.startswith(".build")} == before
    corpus.build(out, update=True)
    corpus.build(out.with_name("fresh"), artifacts=str(out))
    assert contents(out) == contents(out.with_name("fresh"))


@pytest.mark.parametrize("lost", ["a shard", "what was observed"])
def test_a_repair_that_was_refused_succeeds_once_the_raw_files_are_back(own: tuple[Corpus, Path], lost: str) -> None:
    """What the refused one made of other raw files is not taken for what is wanted."""
    corpus, out = own
    before = contents(out)
    path = {"a shard": out / "train-000001.tar", "what was observed": out / "artifacts/duplicates.observed.parquet"}[lost]
    path.unlink()
    raw = {file: file.read_bytes() for file in corpus.folder.glob("*.png")}
    for number, file in enumerate(raw):
        file.write_bytes(picture(100 + number, 12, 10))
    for _ in range(2):
        with pytest.raises(DatasetError, match="does not come out the same"):
            corpus.build(out)
    for file, content in raw.items():
        file.write_bytes(content)
    corpus.build(out)
    assert contents(out) == before


def test_raw_files_are_needed_only_for_damaged_records(own: tuple[Corpus, Path]) -> None:
    """Records of a damaged shard that are whole themselves are copied."""
    corpus, out = own
    before = contents(out)
    index = ShardIndex.read(out / "index/train-000000.parquet")
    for key in index.column("source_key")[1:]:
        (corpus.folder / f"{int(key.removeprefix('row/'))}.png").unlink()
    flip(out / "train-000000.tar", index.members("png")[0].offset)
    corpus.build(out)
    assert contents(out) == before


def test_a_folder_that_lost_its_description_is_not_updated_in_passing(own: tuple[Corpus, Path]) -> None:
    """Other rows are refused, and so is another recipe, though nothing but the shards tells."""
    corpus, out = own
    (out / "dataset.json").unlink()
    before = stamps(out)
    with pytest.raises(DatasetError, match="the shards are of another recipe"):
        corpus.build(out, shards={"rows": 5})
    assert stamps(out) == before
    del corpus.rows[0]
    for _ in range(2):  # to have tried it once makes no difference
        with pytest.raises(DatasetError, match="holds shards of other rows"):
            corpus.build(out)
        with pytest.raises(DatasetError, match="the shards are of another recipe"):
            corpus.build(out, update=True, shards={"rows": 5})
    corpus.build(out, update=True)
    corpus.build(out.with_name("fresh"), artifacts=str(out))
    assert contents(out) == contents(out.with_name("fresh"))


def test_rows_that_failed_are_judged_once_they_do_not(tmp_path: Path, inline: None) -> None:  # noqa: ARG001 - a fixture
    """What made them fail may lie outside of the corpus; a duplicate among them is found as in a new build."""
    stages = ["tests.faults.misdeeds:NeedFile", "record.deduplicate", "image.decode"]
    corpus = Corpus.make(tmp_path / "corpus", 12, stages=stages, max_rejects=0)
    corpus.rows[3]["text"] = f"needs {tmp_path / 'font'}"
    corpus.rows[7] = {**corpus.rows[3], "key": "again"}
    with pytest.raises(TooManyRejectsError, match="2 of 12 rows"):
        corpus.build(tmp_path / "out")
    (tmp_path / "font").touch()
    corpus.build(tmp_path / "out")
    assert [(one["key"], one["kind"]) for one in mmdata.open(tmp_path / "out").rejects()] == [("again", "duplicate")]
    corpus.build(tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_file_that_took_too_much_memory_is_none_that_changed(tmp_path: Path) -> None:
    """A worker may read less than the process that compares files; the build goes on, and a picture in its place is taken."""
    stages = ["record.deduplicate", "image.decode"]
    corpus = Corpus.make(tmp_path / "corpus", 8, stages=stages, split={}, limits={"memory": "64MiB"}, shards={"rows": 2})
    corpus.rows[0]["text"] = corpus.rows[5]["text"]
    with (corpus.folder / "0.png").open("wb") as file:
        file.truncate(300 << 20)  # without a byte on the disk

    def break_off(progress: Progress) -> None:
        if progress.phase == "build" and progress.done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(corpus.write(), tmp_path / "out", Options(workers=1), break_off)
    assert list((tmp_path / "out").glob("*.tar"))
    corpus.build(tmp_path / "out")
    assert [(one["key"], one["reason"]) for one in mmdata.open(tmp_path / "out").rejects()] == [("row/000", "memory exhausted")]
    (corpus.folder / "0.png").write_bytes((corpus.folder / "5.png").read_bytes())
    corpus.build(tmp_path / "out", update=True)
    assert [(one["key"], one["kind"]) for one in mmdata.open(tmp_path / "out").rejects()] == [("row/005", "duplicate")]


@pytest.mark.parametrize("update", [False, True])
def test_an_index_for_which_nothing_vouches_is_written_as_it_should_be(own: tuple[Corpus, Path], *, update: bool) -> None:
    """Damage that changes nothing of what an index says is found where dataset.json is lost as well."""
    corpus, out = own
    before = contents(out)
    (out / "dataset.json").unlink()
    path = out / "index/train-000001.parquet"
    pq.write_table(pq.read_table(path), path, compression="none")
    assert ShardIndex.read(path).is_whole
    corpus.build(out, update=update)
    assert contents(out) == before


def interrupted(corpus: Corpus, out: Path, monkeypatch: pytest.MonkeyPatch, *, update: bool = False) -> None:
    """Let a build break off in the middle of its shards."""
    from mmdata.shard_task import ShardJob

    work = ShardJob.__call__
    calls = []

    def breaking(self: ShardJob, *arguments: object) -> None:
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        work(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ShardJob, "__call__", breaking)
        with pytest.raises(KeyboardInterrupt):
            corpus.build(out, update=update)
    assert not (out / "dataset.json").exists()


@pytest.fixture
def broken_off(tmp_path: Path, inline: None, monkeypatch: pytest.MonkeyPatch) -> tuple[Corpus, Path]:  # noqa: ARG001
    """A corpus of 16 rows, and a folder in which its build broke off after two shards."""
    corpus = Corpus.make(tmp_path / "corpus", 16, split={})
    interrupted(corpus, tmp_path / "out", monkeypatch)
    return corpus, tmp_path / "out"


def test_what_was_there_is_said(broken_off: tuple[Corpus, Path]) -> None:
    """A build that goes on says what it found done; one of a complete dataset, that it is complete and what was not looked at."""
    corpus, out = broken_off
    resumed = corpus.build(out)
    assert (resumed.found, resumed.was_complete) == (Found(shards=2, stages=2), False)
    assert "gone on with: 2 shards and 2 stages that had learned were found done" in built_text(resumed)
    again = corpus.build(out)
    assert (again.found, again.changes, again.was_complete) == (None, None, True)
    assert "complete already: every file is as it was built; raw files were not looked at (--update does)" in built_text(again)
    fresh = corpus.build(out.with_name("fresh"))
    assert (fresh.found, fresh.was_complete) == (None, False)


def test_what_changed_since_a_build_broke_off_is_refused(broken_off: tuple[Corpus, Path]) -> None:
    """Recipe, shard size, rows and artifacts: the difference is shown line by line, and nothing is changed."""
    corpus, out = broken_off
    before = stamps(out)
    before.pop(".build/lock")
    with pytest.raises(DatasetError, match=r"recipe.shards.rows: 4 in the folder, 5 asked for"):
        corpus.build(out, shards={"rows": 5})
    with pytest.raises(DatasetError, match=r"recipe.seed: 0 in the folder, 1 asked for"):
        corpus.build(out, update=True, seed=1)
    corpus.add(16)
    with pytest.raises(DatasetError, match=r"rows.count: 16 in the folder, 17 asked for\n  rows.digest: "):
        corpus.build(out)
    corpus.rows.pop()
    tokenizer = (out / "artifacts/tokenizer.json").read_bytes()
    flip(out / "artifacts/tokenizer.json", 9)
    with pytest.raises(DatasetError, match=r"artifacts.tokenizer.json: .* in the folder, .* asked for"):
        corpus.build(out)
    (out / "artifacts/tokenizer.json").write_bytes(tokenizer)
    assert stamps(out).items() >= {n: s for n, s in before.items() if "tokenizer" not in n and "corpus" not in n}.items()
    corpus.build(out)
    corpus.build(out.with_name("fresh"))
    assert contents(out) == contents(out.with_name("fresh"))


def test_a_raw_file_that_changed_since_is_noticed(broken_off: tuple[Corpus, Path]) -> None:
    """It is named, whether a shard or only a fit pass has read it; put back, the build goes on; taken over, it is as new."""
    corpus, out = broken_off
    for number in (0, 15):
        path = corpus.folder / f"{number}.png"
        raw = path.read_bytes()
        path.write_bytes(picture(99, 12, 10))
        with pytest.raises(DatasetError, match=rf"raw files changed(.|\n)*  {number}.png of row 'row/{number:03d}'"):
            corpus.build(out)
        path.write_bytes(raw)
    shutil.copytree(out, out.with_name("updated"))
    corpus.build(out)
    (corpus.folder / "0.png").write_bytes(picture(99, 12, 10))
    corpus.build(out.with_name("updated"), update=True)
    corpus.build(out.with_name("fresh"), artifacts=str(out))
    assert contents(out.with_name("updated")) == contents(out.with_name("fresh"))


def test_an_update_that_breaks_off_goes_on(own: tuple[Corpus, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With --update or without, however often, and though rows change again meanwhile."""
    corpus, out = own
    for number in range(16, 40):
        corpus.add(number, number % 7)
    interrupted(corpus, out, monkeypatch, update=True)
    shutil.copytree(out, out.with_name("copy"))
    corpus.build(out)
    corpus.build(out.with_name("fresh"), artifacts=str(out))
    assert contents(out) == contents(out.with_name("fresh"))
    out = out.with_name("copy")
    del corpus.rows[3:9]
    interrupted(corpus, out, monkeypatch, update=True)
    corpus.add(50, 2)
    corpus.build(out, update=True)
    corpus.build(out.with_name("fresh-2"), artifacts=str(out))
    assert contents(out) == contents(out.with_name("fresh-2"))


def test_rows_that_failed_an_update_are_tried_again(own: tuple[Corpus, Path]) -> None:
    """The dataset stays as it was while they are too many, with what it learned; files mended, it ends as a new build."""
    corpus, out = own
    before = contents(out)
    corpus.data["max_rejects"] = 1
    for number in range(16, 20):
        corpus.add(number)
        (corpus.folder / f"{number}.png").rename(corpus.folder / f"{number}.bak")
    with pytest.raises(TooManyRejectsError, match="4 of 20 rows were rejected"):
        corpus.build(out, update=True)
    assert contents(out).items() >= before.items()
    for number in range(16, 20):
        (corpus.folder / f"{number}.bak").rename(corpus.folder / f"{number}.png")
    corpus.build(out, update=True)
    assert contents(out)["artifacts/tokenizer.json"] == before["artifacts/tokenizer.json"]
    corpus.build(out.with_name("fresh"), artifacts=str(out))
    assert contents(out) == contents(out.with_name("fresh"))


def test_other_versions_are_shown(own: tuple[Corpus, Path], caplog: pytest.LogCaptureFixture) -> None:
    """A dataset that was built under other versions of libraries is updated with a warning that names them."""
    from mmdata.summary import description_file

    corpus, out = own
    description = json.loads((out / "dataset.json").read_bytes())
    description.pop("checksum")
    description["versions"]["numpy"] = "0.1"
    (out / "dataset.json").write_bytes(description_file(description))
    corpus.build(out, update=True)
    assert 'numpy: "0.1" in the folder' in caplog.text


def test_an_update_killed_again_and_again_is_the_same(tmp_path: Path) -> None:
    """Killed by SIGKILL in its processes at several moments, the command ends with the bytes of a new build."""
    corpus = Corpus.make(tmp_path / "corpus", 24)
    corpus.write()
    out = tmp_path / "out"
    build(corpus.data, out, workers=2)
    for number in range(24, 48):
        corpus.add(number, (number * 5) % 20)
    corpus.write()
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(corpus.data), encoding="utf-8")
    line = [sys.executable, "-c", "from mmdata.cli.main import main; main()", "build", str(tmp_path / "recipe.yaml"), str(out)]
    for seconds in (1.0, 2.5, 4.0):
        process = subprocess.Popen([*line, "--update", "--workers", "2"], stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    time.sleep(1)  # the workers follow their parent by themselves
    done = subprocess.run([*line, "--update", "--json"], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["changes"]["rows_kept"] + json.loads(done.stdout)["changes"]["rows_added"] <= 48
    build({**corpus.data, "artifacts": str(out)}, tmp_path / "fresh", workers=2)
    assert contents(out) == contents(tmp_path / "fresh")


class Stopped(BaseException):
    """Stands for a kill: no code expects it."""


def stop_at(point: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Let the process stop at one of the points at which it renames, removes or flushes a file; return the points passed."""
    passed: list[str] = []

    def stopping(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            passed.append(name)
            if len(passed) > point:
                raise Stopped
            return work(*arguments, **options)

        return call

    patch.setattr(Path, "replace", stopping("rename", Path.replace))
    patch.setattr(Path, "unlink", stopping("remove", Path.unlink))
    patch.setattr(os, "fsync", stopping("flush", os.fsync))
    return passed


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("first", range(4))
def test_an_update_may_stop_at_any_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """Stopped at any rename, removal or flush, an update goes on to the bytes of one that was not stopped."""
    corpus, base, out = Corpus.make(tmp_path / "corpus", 12, split={}), tmp_path / "base", tmp_path / "out"
    corpus.build(base)
    del corpus.rows[2:4]
    corpus.add(12, 5)
    corpus.add(13)
    with monkeypatch.context() as patch:
        shutil.copytree(base, out)
        passed = stop_at(10**9, patch)
        corpus.build(out, update=True)
        points = len(passed)
    expected = contents(out)
    assert points > 20
    for point in range(first, points, 12):
        shutil.rmtree(out)
        shutil.copytree(base, out)
        with monkeypatch.context() as patch, contextlib.suppress(Stopped):
            stop_at(point, patch)
            corpus.build(out, update=True)
        # With its old rows the dataset may still be complete; else the plain command goes on as well.
        corpus.build(out, update=point % 8 < 4 or (out / "dataset.json").exists())
        assert contents(out) == expected, point
