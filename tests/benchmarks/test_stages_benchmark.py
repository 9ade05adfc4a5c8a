"""The benchmark of stages runs on a small corpus, and measures every stage that there is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.stage_cases import CASES, Case
from benchmarks.stage_data import Inputs
from benchmarks.stages import Result, UnmeasuredStageError, cells_of, chosen_cases, main, measure
from mmdata.errors import MissingExtraError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages import STAGES
from mmdata.stages.base import Stage


def test_every_stage_has_a_case() -> None:
    """Whoever enters a stage in the table is told to say how it is measured."""
    assert {case.stage for case in chosen_cases(CASES, [])} == set(STAGES)
    with pytest.raises(UnmeasuredStageError, match=r"image\.resize"):
        chosen_cases([case for case in CASES if case.stage != "image.resize"], [])


def test_only_named_stages_are_measured(manifest: Path, tmp_path: Path) -> None:
    """The command measures the stages named, and writes what it found as JSON and as Markdown."""
    found, table, folder = tmp_path / "found.json", tmp_path / "found.md", str(manifest.parent)
    names = ["--only", "image.resize", "--only", "record.require"]
    arguments = ["--stamps", folder, "--photos", folder, "--records", "2", "--rounds", "1", *names]
    main([*arguments, "--json", str(found), "--markdown", str(table)])
    resize, require = json.loads(found.read_text())
    assert resize["stage"] == "image.resize {size: 224}"
    assert (resize["records"], resize["unit"], resize["library"]) == (2, "megapixels/s", "cv2.resize")
    assert resize["units_per_second"] == pytest.approx(resize["records_per_second"] * 40 * 30 / 1e6)
    assert resize["library_records_per_second"] > 0
    assert resize["overhead"] > -1
    assert (require["stage"], require["overhead"]) == ("record.require", None)
    assert [len(line.split("|")) for line in table.read_text().splitlines()] == [9] * 4


def test_a_fit_pass_is_measured(manifest: Path) -> None:
    """A case may measure what a stage learns by, in place of what it does."""
    case = next(case for case in CASES if case.fit and case.stage == "text.tokenize")
    found = measure(case, Inputs(manifest.parent, manifest.parent, None, 2), rounds=1)
    assert found.stage.endswith(", fit pass")
    assert found.records == 1  # all captions make one document
    assert found.units_per_second > 0


def test_what_has_no_input_gets_a_note(manifest: Path) -> None:
    """A case without anything to measure on is shown with the reason."""
    found = measure(Case("image.decode", input="clips"), Inputs(manifest.parent, manifest.parent, None, 2), rounds=1)
    assert found == Result("image.decode", "clips", note="skipped: there are no clips")
    assert "skipped: there are no clips" in cells_of(found)


class NeedsExtra(Stage):
    """A stage that says at plan time that its extra is missing."""

    def infer(self, schema: Schema) -> Schema:  # noqa: ARG002 - the interface of every stage
        """Raise MissingExtraError."""
        raise MissingExtraError("speech", "this stage")

    def __call__(self, record: Record, rng: np.random.Generator) -> Record:  # noqa: ARG002 - the interface of every stage
        """Return the record."""
        return record


def test_a_stage_without_its_extra_gets_a_note(manifest: Path) -> None:
    """A stage whose extra is missing is listed as not installed."""
    found = measure(Case(f"{__name__}:NeedsExtra"), Inputs(manifest.parent, manifest.parent, None, 2), rounds=1)
    assert found.note.startswith("not installed: this stage needs the extra 'speech'")
