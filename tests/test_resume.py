"""Builds and updates that broke off or failed: they go on as if they had not, and what changed meanwhile is refused."""

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

import pytest
import yaml

import mmdata
from mmdata.builder import Found, Options, Progress, build, carry_out
from mmdata.cli.build import built_text
from mmdata.errors import DatasetError, TooManyRejectsError
from tests.corpus import picture
from tests.incremental import Corpus, contents, flip, stamps


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
