"""The benchmark of stages runs on a small corpus, and measures every stage that there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.stage_cases import CASES, Case
from benchmarks.stage_data import Inputs, after, made, outcome_of, results_of
from benchmarks.stages import Result, UnmeasuredStageError, cells_of, chosen_cases, main, measure, title_of, with_table
from mmdata.errors import MissingExtraError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages import STAGES
from mmdata.stages.base import Stage
from mmdata.values import Audio, Image, Value, Video


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
    assert resize["overhead_microseconds"] == pytest.approx(
        1e6 * (1 / resize["records_per_second"] - 1 / resize["library_records_per_second"])
    )
    assert [len(line.split("|")) for line in table.read_text().splitlines()] == [10] * 4


def test_a_table_is_replaced_where_it_stands() -> None:
    """What is written around a table stays; a page without one gets it at its end."""
    assert with_table("# Before\n\n| old |\n| --- |\n| 1 |\n\nAfter\n", "| new |\n") == "# Before\n\n| new |\n\nAfter\n"
    assert with_table("# Before\n", "| new |\n") == "# Before\n| new |\n"


def test_a_fit_pass_is_measured(manifest: Path) -> None:
    """A case may measure what a stage learns by, in place of what it does."""
    case = next(case for case in CASES if case.fit and case.stage == "text.tokenize")
    found = measure(case, Inputs(manifest.parent, manifest.parent, None, 2), rounds=1)
    assert found.stage.endswith(", fit pass")
    assert found.records == 1  # all captions make one document
    assert found.units_per_second > 0


def test_what_has_no_input_gets_a_note(manifest: Path) -> None:
    """A case without anything to measure on is shown with the reason."""
    inputs = Inputs(manifest.parent, manifest.parent, manifest.parent / "none", 2)
    found = measure(Case("image.decode", input="clips"), inputs, rounds=1)
    assert found == Result("image.decode", "clips", note="skipped: there are no clips")
    assert "skipped: there are no clips" in cells_of(found)


SAME = {
    "Pillow, over white": {},
    "cv2.resize": {"size": 16},
    "array slice": {"size": 16},
    "cv2.copyMakeBorder": {},
    "soxr.resample": {"rate": 8000},
    "PyAV decode": {},
}
"""Library calls that must give the very array that their stage gives, and the options that fit the small corpus."""


def array_of(value: Value) -> NDArray[Any]:
    """Return the array of a picture, a recording or a clip."""
    assert isinstance(value, Image | Audio | Video)
    assert not isinstance(value.data, bytes)
    return value.data


@pytest.mark.parametrize("case", [case for case in CASES if case.library and case.library.name in SAME], ids=title_of)
def test_the_library_call_does_the_work_of_the_stage(case: Case, manifest: Path) -> None:
    """A stage is compared with a call that gives the same pixels or samples, not with one that does less, or more."""
    assert case.library is not None
    records, schema = Inputs(manifest.parent, manifest.parent, None, 4).read(case.input)
    records, _ = after(records, schema, case.before)
    stage = made((case.stage, {**case.options, **SAME[case.library.name]}))
    for record in records:
        found = array_of(results_of(outcome_of(stage, record))[0][case.stage.partition(".")[0]])
        bare = np.asarray(case.library.call(stage, record)())
        np.testing.assert_array_equal(found, bare if found.ndim == bare.ndim else bare[None])


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
