"""A corpus that changes while it is built: no row takes the place of another, and a file stays what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

import mmdata
from mmdata.builder import Options, carry_out
from mmdata.engines.base import Job, Tick
from mmdata.errors import DatasetError, SourceError
from tests.corpus import caption, picture
from tests.incremental import Corpus, Inline, assert_as_new

T = TypeVar("T")
Edit = Callable[[], object]


def edit_before_run(monkeypatch: pytest.MonkeyPatch, number: int, edit: Edit) -> None:
    """Let an edit of the corpus come just before the run of this number of the next build: fit passes come first, then shards."""
    runs = 0

    class Edited(Inline):
        def run(self, job: Job[T], tasks: Sequence[T], progress: Tick) -> Iterator[T]:
            nonlocal runs
            runs += 1
            if runs == number:
                edit()
            yield from super().run(job, tasks, progress)

    monkeypatch.setattr("mmdata.engines.local.LocalEngine", Edited)


EDITS: dict[str, tuple[Callable[[Corpus], object], str]] = {
    "rows in another order": (lambda corpus: corpus.rows.reverse(), r"row 0, 'row/000': now 'row/011' stands there"),
    "a text changed": (lambda corpus: corpus.rows[4].update(text="new"), r"row 4, 'row/004': it says something else now"),
    "rows gone": (lambda corpus: corpus.rows.__delitem__(slice(6, None)), r"row \d+, 'row/0\d\d': the source has \d rows now"),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("run", [1, 2])
def test_a_manifest_that_changes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: str, run: int) -> None:
    """Whether before the fit pass or before the shards, the build ends and says which row; an update then takes it over."""
    corpus = Corpus.make(tmp_path / "corpus", 12, stages=["record.deduplicate", "image.decode"])
    change, told = EDITS[edit]
    edit_before_run(monkeypatch, run, lambda: (change(corpus), corpus.write()))
    with pytest.raises(SourceError, match=rf"changed while the dataset was built \({told}.*; build with --update"):
        corpus.build(tmp_path / "out")
    assert not (tmp_path / "out/dataset.json").exists()
    corpus.build(tmp_path / "out", update=True)
    assert mmdata.validate(tmp_path / "out").ok
    assert_as_new(corpus, tmp_path / "out", tmp_path / "fresh")


def test_a_file_that_is_added_to_a_folder_moves_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are sorted, so an added one moves the numbers of all behind it: each key would get its neighbour's data."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()

    def add(name: str, number: int) -> None:
        (corpus / f"{name}.png").write_bytes(picture(number, 12, 10))
        (corpus / f"{name}.txt").write_text(caption(number))

    for number in range(1, 6):
        add(f"{number}", number)
    data: dict[str, Any] = {
        "name": "folder",
        "source": {"type": "files", "path": str(corpus)},
        "fields": {"image": {"kind": "image", "column": "png"}, "text": {"kind": "text", "column": "txt"}},
        "stages": ["image.decode"],
    }
    edit_before_run(monkeypatch, 1, lambda: add("0", 0))
    with pytest.raises(SourceError, match=r"row 0, '1': now '0' stands there"):
        carry_out(data, tmp_path / "out", Options(workers=1))
    dataset = carry_out(data, tmp_path / "out", Options(workers=1, update=True)).dataset
    assert {record.key: record.origin.inputs["image"].uri for record in dataset} == {f"{n}": f"{n}.png" for n in range(6)}


def test_rows_appended_meanwhile_wait_for_the_next_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest that only grows disturbs nothing."""
    corpus = Corpus.make(tmp_path / "corpus", 8)

    def append() -> None:
        corpus.add(8)
        corpus.write()

    edit_before_run(monkeypatch, 1, append)
    corpus.build(tmp_path / "out")
    assert len(mmdata.open(tmp_path / "out")) == 8
    corpus.build(tmp_path / "out", update=True)
    assert_as_new(corpus, tmp_path / "out", tmp_path / "fresh")


@pytest.mark.parametrize("stages", [["record.deduplicate", "image.decode"], ["image.decode", "image.normalize"]])
def test_a_file_that_changes_after_a_fit_pass_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: list[Any]
) -> None:
    """What was learned or judged of one picture is not put beside another; an update takes it over."""
    corpus = Corpus.make(tmp_path / "corpus", 12, stages=stages, split={})
    corpus.rows[3]["text"] = corpus.rows[4]["text"]
    edit_before_run(monkeypatch, 2, lambda: (corpus.folder / "3.png").write_bytes(picture(4, 12, 10)))
    with pytest.raises(DatasetError, match=r"raw files changed while the dataset was built(.|\n)*3.png of row 'row/003'"):
        corpus.build(tmp_path / "out")
    assert not (tmp_path / "out/dataset.json").exists()
    corpus.build(tmp_path / "out", update=True)
    assert_as_new(corpus, tmp_path / "out", tmp_path / "fresh")
    assert len(mmdata.open(tmp_path / "out").rejects()) == (stages[0] == "record.deduplicate")
