"""Code of others that misbehaves costs the row it was at, and nothing else: the same bytes, whoever had to die for it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mmdata.builder import Progress, build
from mmdata.errors import MmdataError
from tests.faults.accounts import check_account, contents, payloads, rejects
from tests.faults.commands import command, without_progress
from tests.faults.misdeeds import DEEDS

STAGE = "tests.faults.misdeeds:Obey"
DIED, SLOW, EXHAUSTED = "worker process died", "took longer than limits.seconds", "memory exhausted"
EXPECTED = {
    "raise": ("stage raised ValueError", "it holds <object object at 0x…>"),
    "raise RecordError": ("text is unwanted", "by the stage"),
    "raise with half a character": ("stage raised ValueError", "it holds \\ud800"),
    "recurse": ("stage raised RecursionError", "maximum recursion depth exceeded"),
    "panic": ("stage raised Panic", "index out of bounds"),
    "return nothing": ("stage raised TypeError", "apply returned NoneType, which is not a value"),
    "sleep": (SLOW, "10 seconds"),
    "hold the GIL": (SLOW, "10 seconds"),
    "crash": (DIED, "killed by SIGSEGV"),
    "abort": (DIED, "killed by SIGABRT"),
    "exit": (DIED, "it ended itself with status 3"),
    "leave": (DIED, "it ended itself with status 4"),
    "be killed": (DIED, "killed by SIGKILL, perhaps by the system, for want of memory"),
    "print and crash": (DIED, "killed by SIGABRT"),
    "take a lot at once": (EXHAUSTED, "stage took more than limits.memory allows"),
    "take more and more": (EXHAUSTED, "stage took more than limits.memory allows"),
    "let C++ take a lot": (EXHAUSTED, "stage took more than limits.memory allows"),
}


def recipe(folder: Path, texts: Sequence[str], **changes: Any) -> dict[str, Any]:
    """Write a manifest of these texts and return a recipe over it; a text that is a deed has it as its key."""
    lines = [json.dumps({"key": text.replace(" ", "-").replace("+", "p"), "text": text}) for text in texts]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        "name": "misdeeds",
        "source": {"type": "manifest", "path": str(folder / "manifest.jsonl"), "key": "key"},
        "fields": {"text": {"kind": "text"}},
        "stages": ["text.normalize", STAGE],
        "limits": {"seconds": 10, "memory": "256MiB"},
        "max_rejects": 0.9,
        "shards": {"rows": 8},
        **changes,
    }


def good_texts(count: int) -> list[str]:
    """Return texts that no deed is known for."""
    return [f"good text {number}" for number in range(count)]


def mixed_texts() -> list[str]:
    """Return every deed, good texts before, between and after them."""
    good = good_texts(len(DEEDS) + 1)
    return [good[0], *(text for pair in zip(DEEDS, good[1:], strict=True) for text in pair)]


@dataclass(frozen=True)
class Built:
    """A build of all misdeeds: its folder, and what was reported of its progress."""

    out: Path
    progress: list[Progress]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """All misdeeds, built by two workers."""
    folder = tmp_path_factory.mktemp("misdeeds")
    seen: list[Progress] = []
    build(recipe(folder, mixed_texts()), folder / "out", workers=2, progress=seen.append)
    return Built(folder / "out", seen)


@pytest.mark.parametrize("deed", DEEDS)
def test_a_misdeed_costs_its_row_alone(built: Built, deed: str) -> None:
    """The row is rejected once, as an error of its stage, with a reason that can be counted."""
    row = mixed_texts().index(deed)
    (reject,) = [reject for reject in rejects(built.out) if reject["row"] == row]
    assert (reject["kind"], reject["stage"], reject["reason"], reject["detail"]) == ("error", STAGE, *EXPECTED[deed])


def test_every_other_row_is_as_if_nothing_had_happened(built: Built, tmp_path: Path) -> None:
    """All other rows are written, with the payloads of a build that never saw the misdeeds."""
    check_account(built.out, len(mixed_texts()))
    build(recipe(tmp_path, good_texts(len(DEEDS) + 1)), tmp_path / "out", workers=1)
    assert payloads(built.out) == payloads(tmp_path / "out")


def test_progress_counts_every_row_once(built: Built) -> None:
    """A task that begins again takes its rows back from the count."""
    assert (built.progress[-1].done, built.progress[-1].total) == (len(mixed_texts()), len(mixed_texts()))
    assert built.progress[-1].rejects == len(DEEDS)
    assert all(0 <= progress.done <= progress.total for progress in built.progress)


def test_same_bytes_with_casualties_for_any_number_of_workers(tmp_path: Path) -> None:
    """One worker and three give the same files, rejects included."""
    texts = [*good_texts(9), "crash", *(f"more {text}" for text in good_texts(9)), "take a lot at once", "abort"]
    for workers in (1, 3):
        build(recipe(tmp_path, texts, shards={"rows": 4}), tmp_path / f"out{workers}", workers=workers)
    assert contents(tmp_path / "out1") == contents(tmp_path / "out3")
    assert len(rejects(tmp_path / "out1")) == 3


def test_the_log_says_what_a_dead_worker_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last lines before a crash and the crash itself are in the log, and nothing reaches the terminal."""
    with caplog.at_level(logging.WARNING, "mmdata.build"):
        build(recipe(tmp_path, [*good_texts(3), "print and crash"]), tmp_path / "out", workers=1)
    first, second = [record.getMessage() for record in caplog.records]
    assert f"a worker process died at row 3 of its task, in {STAGE} (killed by SIGABRT); its task begins again" in first
    assert "all is lost" in first
    assert "Fatal Python error: Aborted" in first
    assert "misdeeds.py" in first
    assert second.endswith("the row is given up")
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "out").rglob("*.log"))


def test_the_command_prints_its_own_words_only(tmp_path: Path) -> None:
    """What workers print is not among the JSON, and what of it is shown cannot steer the terminal."""
    data = recipe(tmp_path, [*good_texts(3), "print and crash"])
    done = subprocess.run(command(tmp_path, data, tmp_path / "out", "--json"), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["counts"]["rows_rejected"] == 1
    assert without_progress(done.stderr).startswith("mmdata: WARNING: a worker process died at row 3")
    assert "decoder: \\x1b[31mall is lost" in done.stderr
    assert "\x1b" not in done.stderr


def test_workers_that_cannot_start_end_the_build_with_a_reason(tmp_path: Path) -> None:
    """A script that builds while it is imported is told what to do, and does not start processes for ever."""
    data = recipe(tmp_path, good_texts(2), stages=["text.normalize"])
    script = f"import mmdata\nmmdata.build({data!r}, {str(tmp_path / 'out')!r}, workers=1)\n"
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    done = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, check=False)
    assert "MmdataError: worker processes cannot start (it ended itself with status 1)" in done.stderr
    assert "put the call under `if __name__ == '__main__'`" in done.stderr


def test_a_worker_that_died_once_costs_no_row(tmp_path: Path) -> None:
    """One death may be bad luck; the task is run again, and gives what it always gives."""
    texts = [*good_texts(5), f"die once {tmp_path / 'died'}"]
    stages = ["text.normalize", "tests.faults.misdeeds:DieOnce"]
    build(recipe(tmp_path, texts, stages=stages), tmp_path / "out", workers=2)
    assert (tmp_path / "died").exists()
    build(recipe(tmp_path, texts, stages=stages), tmp_path / "again", workers=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "again")
    assert len(payloads(tmp_path / "out")) == 6


def test_a_row_that_kills_in_a_fit_pass_is_not_learned_from(tmp_path: Path) -> None:
    """The fit pass goes on without it, and the build rejects it; what is learned is what the other rows teach."""
    stages = ["text.normalize", STAGE, {"text.tokenize": {"vocabulary": 270}}]
    for name, texts in (("out", [*good_texts(9), "crash", "take a lot at once"]), ("clean", good_texts(9))):
        build(recipe(tmp_path / name, texts, stages=stages), tmp_path / name / "set", workers=2)
    assert {reject["key"]: reject["reason"] for reject in rejects(tmp_path / "out/set")} == {
        "crash": DIED,
        "take-a-lot-at-once": EXHAUSTED,
    }
    assert payloads(tmp_path / "out/set") == payloads(tmp_path / "clean/set")
    check_account(tmp_path / "out/set", 11)


def test_a_row_that_kills_while_it_is_observed_is_not_learned_from(tmp_path: Path) -> None:
    """Where only the learning is fatal, the row itself is written."""
    texts = [*good_texts(4), "crash", "take a lot at once", "hold the GIL"]
    data = recipe(tmp_path, texts, stages=["text.normalize", "tests.faults.misdeeds:Learn"])
    build(data, tmp_path / "out", workers=2)
    assert (tmp_path / "out/artifacts/texts.txt").read_text().splitlines() == good_texts(4)
    assert len(payloads(tmp_path / "out")) == 7


def test_records_of_a_row_that_makes_many_have_their_time_each(tmp_path: Path) -> None:
    """A row may take longer than the limit when each of its records does not."""
    stages = ["text.normalize", "tests.faults.misdeeds:Repeat", {"tests.faults.misdeeds:Linger": {"seconds": 2}}]
    build(recipe(tmp_path, ["one text"], stages=stages, limits={"seconds": 8}), tmp_path / "out", workers=1)
    assert len(payloads(tmp_path / "out")) == 5


def test_deaths_between_rows_end_the_build_with_a_reason(tmp_path: Path) -> None:
    """A stage that kills its process while it is loaded is at fault for no row; the build says so and does not go on for ever."""
    stages = ["text.normalize", "tests.faults.misdeeds:FatalToLoad"]
    with pytest.raises(MmdataError, match=r"died 3 times at the same task, between rows \(it ended itself with status 5\)"):
        build(recipe(tmp_path, good_texts(2), stages=stages), tmp_path / "out", workers=1)
