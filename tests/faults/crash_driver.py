"""Kills a build at every point at which it changes the disk, goes on with what is left, and compares with an undisturbed one.

A program of its own: it imports what builds need once, then forks for each case a process that builds, with its tasks in the
same process, so that the points are the same each time. `python -m tests.faults.crash_driver SITE SCENARIO FIRST STEP` tries each
STEPth case from the FIRST on and prints one JSON object.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import PIL.BmpImagePlugin
import PIL.GifImagePlugin
import PIL.JpegImagePlugin
import PIL.PngImagePlugin
import pyarrow.dataset
import pyarrow.pandas_compat
import pyarrow.parquet
import scipy.linalg
import tokenizers

import mmdata.engines.local
import mmdata.stages.deduplicate
import mmdata.stages.image
import mmdata.stages.image_decode
import mmdata.stages.image_normalize
import mmdata.stages.record
import mmdata.stages.text
import mmdata.stages.tokenize
from mmdata.builder import build
from mmdata.dataset import DESCRIPTION
from tests.faults.platter import Loss, Platter
from tests.faults.watched import Call, Watch
from tests.incremental import Corpus, Inline, contents

IMPORTED = (cv2, pd, PIL, pyarrow, scipy, tokenizers, mmdata)
"""What builds import when they come to it: here it is done before any process is forked."""

ENDS = {
    "killed": None,
    "killed in a write": None,
    "power cut, contents lost": Loss(contents=True, names=False),
    "power cut, names lost": Loss(contents=False, names=True),
    "power cut, both lost": Loss(contents=True, names=True),
}
FORKED_DEATH = -signal.SIGKILL


@dataclass(frozen=True)
class Case:
    """One way for a build to end: before the point of this number, where there is one, and how."""

    point: int
    end: str


@dataclass
class Site:
    """Where it happens: `disk` is the watched folder, `disk/out` the dataset, `cut` what a power cut leaves of the disk."""

    folder: Path
    corpora: dict[str, Corpus] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.disk, self.cut, self.said = self.folder / "disk", self.folder / "cut", self.folder / "said.txt"
        self.disk.mkdir(parents=True)
        for name in ("before", "after"):
            corpus = self.corpora[name] = Corpus.make(self.folder / name, 10, shards={"rows": 3}, max_rejects=5)
            corpus.rows[7] = {**corpus.rows[4], "key": "row/007"}
            (corpus.folder / "2.png").write_bytes(b"no picture")
        self.corpora["after"].rows[5]["text"] = "changed"
        del self.corpora["after"].rows[0]
        self.corpora["after"].add(11)
        for corpus in self.corpora.values():
            corpus.write()

    @property
    def out(self) -> Path:
        """The dataset folder."""
        return self.disk / "out"

    def build(self, name: str, *, update: bool = False) -> None:
        """Build a corpus into the folder, here and now."""
        build(self.corpora[name].data, self.out, workers=1, update=update)

    def reset(self, kept: Path | None) -> None:
        """Put a copy of a folder, or nothing, in place of the disk."""
        shutil.rmtree(self.disk, ignore_errors=True)
        if kept is None:
            self.disk.mkdir()
        else:
            shutil.copytree(kept, self.disk)


@dataclass(frozen=True)
class Scenario:
    """A build that is tried: what the disk holds before, what is built, and which contents the folder may have as complete."""

    site: Site
    corpus: str
    start: Path | None
    update: bool
    complete: Sequence[dict[str, str]]

    @classmethod
    def make(cls, name: str, site: Site) -> Scenario:
        """Make the disk that a scenario starts from, and see what it comes to undisturbed."""
        if name == "build":
            return cls(site, "before", None, update=False, complete=[_built(site, "before")])
        before = _built(site, "before")
        start = site.folder / "start"
        if name == "update":
            shutil.copytree(site.disk, start)
            return cls(site, "after", start, update=True, complete=[_built(site, "after", update=True), before])
        assert name == "repair"
        tars = sorted(site.out.glob("*.tar"))
        tars[0].write_bytes(tars[0].read_bytes()[:700])
        next(site.out.glob("index/*.parquet")).unlink()
        (site.out / "artifacts/tokenizer.json").write_bytes(b"{}")
        shutil.copytree(site.disk, start)
        return cls(site, "before", start, update=False, complete=[before])

    def run(self) -> None:
        """Build, in this process."""
        self.site.build(self.corpus, update=self.update)


def _built(site: Site, corpus: str, *, update: bool = False) -> dict[str, str]:
    assert _forked(lambda: site.build(corpus, update=update), site.said) == 0, site.said.read_text()
    return contents(site.out)


def _forked(work: Callable[[], object], said: Path) -> int:
    """Do something in a forked process; return how that ended. What it raised is written to a file."""
    said.write_text("")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - it is told by the parent
            said.write_text(traceback.format_exc())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def trace(scenario: Scenario) -> list[dict[str, str]]:
    """Return all points of an undisturbed run: kind, path below the disk, and target of a rename.

    Raises AssertionError where the folder changes between two points, so without being seen, or where at the end a power cut
    could still take something.
    """
    site = scenario.site
    site.reset(scenario.start)
    found = site.folder / "trace.json"

    def work() -> None:
        points: list[dict[str, str]] = []
        platter, last = Platter(site.disk), contents_and_folders(site.disk)

        def before(call: Call) -> None:
            assert contents_and_folders(site.disk) == last, f"the disk changed unseen before {call}"
            points.append({"kind": call.kind, "path": _below(call.path, site), "target": _below(call.target, site)})

        def after(call: Call) -> None:
            nonlocal last
            platter.changed(call)
            last = contents_and_folders(site.disk)

        Watch(str(site.disk), before, after).install()
        scenario.run()
        platter.write(site.cut, ENDS["power cut, both lost"] or Loss(contents=True, names=True))
        assert contents_and_folders(site.cut) == contents_and_folders(site.disk), "a power cut after the end takes something"
        found.write_text(json.dumps(points))

    status = _forked(work, site.said)
    assert status == 0, site.said.read_text()
    shutil.rmtree(site.cut)
    points: list[dict[str, str]] = json.loads(found.read_bytes())
    return points


def contents_and_folders(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, and the names of the folders."""
    return {path.relative_to(folder).as_posix(): "" for path in folder.rglob("*") if path.is_dir()} | contents(folder)


def _below(path: str, site: Site) -> str:
    return os.path.relpath(path, site.disk) if path else ""


def tried(scenario: Scenario, case: Case) -> str:
    """End a build as the case says, go on with what is left, and return what is wrong; nothing where all is as it should be."""
    site = scenario.site
    site.reset(scenario.start)
    status = _forked(lambda: _ended(scenario, case), site.said)
    if status != FORKED_DEATH:
        return f"it was to be killed, and ended with {status}: {site.said.read_text()}"
    if ENDS[case.end] is not None:
        site.reset(site.cut)
        shutil.rmtree(site.cut)
    left = {name: sha256 for name, sha256 in contents(site.out).items() if not name.startswith(".build/")}
    is_repair = scenario.start is not None and not scenario.update
    if DESCRIPTION in left and left not in scenario.complete and not is_repair:
        return f"what is left calls itself complete and is not: {_difference(left, scenario.complete[0])}"
    if status := _forked(scenario.run, site.said):
        return f"it cannot be gone on with ({status}): {site.said.read_text()}"
    return _difference(contents(site.out), scenario.complete[0])


def _ended(scenario: Scenario, case: Case) -> None:
    """Build until the point of the case, then end this process by SIGKILL."""
    site, passed = scenario.site, 0
    platter = Platter(site.disk)

    def before(call: Call) -> None:
        nonlocal passed
        if passed == case.point:
            if case.end == "killed in a write" and call.tear is not None:
                call.tear()
            elif (loss := ENDS[case.end]) is not None:
                platter.write(site.cut, loss)
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    Watch(str(site.disk), before, platter.changed).install()
    scenario.run()


def _difference(held: dict[str, str], wanted: dict[str, str]) -> str:
    lines = [f"{name} is missing" for name in sorted(wanted.keys() - held.keys())]
    lines += [f"{name} is too many" for name in sorted(held.keys() - wanted.keys())]
    return ", ".join(lines + [f"{name} is other" for name in sorted(held.keys() & wanted.keys()) if held[name] != wanted[name]])


def cases(points: Sequence[dict[str, str]]) -> list[Case]:
    """Return every way to end a build at its points. After a point is before the next one."""
    return [
        Case(number, end)
        for number, point in enumerate(points)
        for end in ENDS
        if end != "killed in a write" or point["kind"] == "write"
    ]


def main(arguments: Sequence[str]) -> dict[str, Any]:
    """Try every STEPth case of a scenario; return the points of the scenario, and the cases with what is wrong with each."""
    folder, name, first, step = arguments
    mmdata.engines.local.LocalEngine = Inline  # type: ignore[misc, assignment]
    scenario = Scenario.make(name, Site(Path(folder).resolve()))
    points = trace(scenario)
    chosen = cases(points)[int(first) :: int(step)]
    return {"points": points, "cases": [{**asdict(case), "wrong": tried(scenario, case)} for case in chosen]}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))  # noqa: T201 - this is what it is run for
