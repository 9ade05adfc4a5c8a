"""The progress of long work: what a log gets of it, and what a terminal."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from mmdata.cli import progress
from mmdata.cli.main import group
from mmdata.cli.progress import Work, shown
from tests.corpus import make_corpus, recipe_data
from tests.validation.datasets import make_dataset


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lines come from the first moment."""
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.0)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines_of(*args: str) -> list[str]:
    """Run a command without a terminal; return what it says on standard error."""
    result = CliRunner().invoke(group, args, catch_exceptions=False)
    assert "\x1b" not in result.stderr
    assert "\r" not in result.stderr
    return result.stderr.splitlines()


def first_of(lines: list[str], name: str) -> str:
    """Return the first line about some work."""
    return next(line for line in lines if line.startswith(f"mmdata: {name}"))


@pytest.mark.usefixtures("at_once")
def test_a_build_without_a_terminal_says_a_line_at_each_pass(tmp_path: Path) -> None:
    """A log shows what is being done, of how many rows, without anything that steers a terminal."""
    stages = ["record.deduplicate", "image.decode", "image.normalize"]
    fields = {"image": {"kind": "image"}, "text": {"kind": "text"}}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(json.dumps(recipe_data(make_corpus(tmp_path / "corpus"), fields=fields, stages=stages)))
    lines = lines_of("build", str(recipe), str(tmp_path / "out"), "--workers", "1", "--json")
    names = [line.split(":")[1].strip() for line in lines]
    assert list(dict.fromkeys(names)) == [
        "preparing",
        "learning record.deduplicate",
        "learning image.normalize",
        "building",
    ]
    assert first_of(lines, "building").startswith("mmdata: building: 0 of 24 rows")


@pytest.mark.usefixtures("at_once")
def test_validating_and_training_say_lines_too(tmp_path: Path) -> None:
    """Every command that takes long is seen to be at work."""
    out = make_dataset(tmp_path / "dataset")
    assert first_of(lines_of("validate", str(out)), "checking") == "mmdata: checking"
    args = ["train", "tiny", "--data", str(out), "--out", str(tmp_path / "run")]
    sets = ["modalities=[text, image]", "batch_size=4", "epochs=1"]
    lines = lines_of(*args, *(word for each in sets for word in ("--set", each)))
    assert first_of(lines, "preparing") == "mmdata: preparing"
    assert "mmdata: training: 1 of 1 steps, loss " in first_of(lines, "training")


def test_work_of_a_few_seconds_says_nothing(tmp_path: Path) -> None:
    """What stands on standard error of a short command is an error or a warning."""
    assert lines_of("validate", str(make_dataset(tmp_path / "dataset"))) == []


@pytest.mark.usefixtures("at_once")
def test_lines_come_while_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row that takes long does not look like a command that hangs; time left is that of the rate so far."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(progress, "_EVERY_SECONDS", 0.02)
    with shown(Work("building", "rows", 10, 100)) as show:
        time.sleep(0.01)
        show(Work("building", "rows", 40, 100, "3 rejected"))
        before = len(said.getvalue().splitlines())
        for _ in range(3000):
            lines = said.getvalue().splitlines()
            if len(lines) >= before + 3:
                break
            time.sleep(0.01)
    assert len(lines) >= before + 3
    assert lines[0] == "mmdata: building: 10 of 100 rows"
    assert lines[-1].startswith("mmdata: building: 40 of 100 rows, ")
    assert lines[-1].endswith(" left, 3 rejected")


def test_a_reader_that_went_away_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build whose log is closed goes on."""

    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", Closed())
    with shown(Work("building", "rows")) as show:
        show(Work("checking", "records", 1, 2))


@pytest.mark.parametrize(
    ("done_here", "seconds", "says"),
    [
        (0, 40.0, "600 of 1,000 rows"),
        (500, 250.0, "600 of 1,000 rows, 2 rows/s, about 3 min left"),
        (500, 1.0, "600 of 1,000 rows, 500 rows/s, about 1 s left"),
        (1, 100.0, "600 of 1,000 rows, 0.01 rows/s, about 11 h 7 min left"),
    ],
)
def test_time_left_follows_from_what_was_done_here(done_here: int, seconds: float, says: str) -> None:
    """Rows that an earlier run had done make nobody hope; where there is no rate yet, nothing is promised."""
    assert progress._line(Work("building", "rows", 600, 1000), done_here, seconds) == f"mmdata: building: {says}"


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same work is shown by bars, one for each part of it that has a total."""
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with shown(Work("preparing", "rows")) as show:
        show(Work("building", "rows", 10, 100, "3 rejected"))
    last = terminal.getvalue().rsplit("\x1b[2K", 1)[-1]
    assert "building" in last
    assert "10/100" in last
    assert "3 rejected" in last
    assert "preparing" not in last
