"""Updates: whatever changed at the source, the folder is then one built from nothing, and what did not change is not touched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmdata
from mmdata.builder import Outcome
from mmdata.changes import Changes
from mmdata.cli.build import built_text
from mmdata.errors import DatasetError
from mmdata.shards.index import ShardIndex
from mmdata.values import Audio
from tests.corpus import picture, recording
from tests.incremental import STAGES, Corpus, Inline, assert_as_new, contents, stamps

Edit = Callable[[Corpus], object]


pytestmark = pytest.mark.usefixtures("inline")


def replace_text(corpus: Corpus) -> None:
    """Change what a row says."""
    corpus.rows[5]["text"] = "something else"


def replace_picture(corpus: Corpus) -> None:
    """Change a file that a row names."""
    (corpus.folder / "7.png").write_bytes(picture(99, 12, 10))


def several(corpus: Corpus) -> None:
    """Add, change, move and remove rows."""
    replace_text(corpus)
    replace_picture(corpus)
    del corpus.rows[10:13]
    corpus.add(50, 3)
    corpus.add(51)
    corpus.rows.insert(1, corpus.rows.pop(15))


EDITS: dict[str, tuple[Edit, dict[str, int]]] = {
    "rows appended": (lambda corpus: [corpus.add(40), corpus.add(41)], {"rows_added": 2, "rows_kept": 24}),
    "a text changed": (replace_text, {"rows_changed": 1, "rows_kept": 23}),
    "a raw file changed": (replace_picture, {"rows_changed": 1, "rows_kept": 23}),
    "rows removed in the middle": (lambda corpus: corpus.rows.__delitem__(slice(9, 11)), {"rows_removed": 2, "rows_kept": 22}),
    "the first row removed": (lambda corpus: corpus.rows.pop(0), {"rows_removed": 1, "rows_kept": 23}),
    "rows in another order": (lambda corpus: corpus.rows.reverse(), {"rows_kept": 24}),
    "a raw file lost": (lambda corpus: (corpus.folder / "3.png").unlink(), {"rows_changed": 1, "rows_kept": 23}),
    "all at once": (several, {"rows_added": 2, "rows_removed": 3, "rows_changed": 2, "rows_kept": 19}),
}
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "shuffled": {"shards": {"rows": 4, "order": "shuffled"}},
    "several records a row": {
        "stages": ["record.require", {"text.chunk": {"most": 12}}, {"record.deduplicate": {"fields": ["text"]}}, "image.decode"],
    },
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Corpus, Path]]:
    """A corpus of 24 rows and its dataset for each recipe; copy them."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmdata.engines.local.LocalEngine", Inline)
        for name, changes in RECIPES.items():
            folder = tmp_path_factory.mktemp("update")
            corpus = Corpus.make(folder / "corpus", 24, **changes)
            corpus.build(folder / "out")
            found[name] = corpus, folder / "out"
    return found


def copied(built: tuple[Corpus, Path], folder: Path) -> tuple[Corpus, Path]:
    """Return a corpus and its dataset, copied into a folder."""
    corpus, out = built
    shutil.copytree(corpus.folder, folder / "corpus")
    shutil.copytree(out, folder / "out")
    data = {**corpus.data, "source": {**corpus.data["source"], "path": str(folder / "corpus/manifest.jsonl")}}
    return Corpus(folder / "corpus", [dict(row) for row in corpus.rows], data), folder / "out"


def changes_of(outcome: Outcome) -> Changes:
    """Return what an update did."""
    assert outcome.changes is not None
    return outcome.changes


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("edit", EDITS)
def test_an_update_equals_a_build_from_nothing(
    built: dict[str, tuple[Corpus, Path]], tmp_path: Path, edit: str, recipe: str
) -> None:
    """Every file has the bytes of a new build with the same artifacts; shards whose rows are the same keep their files."""
    corpus, out = copied(built[recipe], tmp_path)
    before, files = contents(out), stamps(out)
    EDITS[edit][0](corpus)
    changes = changes_of(corpus.build(out, update=True))
    assert_as_new(corpus, out, tmp_path / "fresh")
    assert edit != "all at once" or mmdata.validate(out).ok
    after = contents(out)
    assert {name for name in after if stamps(out)[name] == files.get(name)} >= {
        name for name in after if before.get(name) == after[name] and not _was_moved(name, before, after)
    }
    counted = {"rows_added": 0, "rows_changed": 0, "rows_removed": 0} | EDITS[edit][1]
    if recipe != "several records a row":  # there, other rows may be judged otherwise too
        assert {name: getattr(changes, name) for name in counted} == counted


def _was_moved(name: str, before: dict[str, str], after: dict[str, str]) -> bool:
    return sum(sha256 == after[name] for sha256 in before.values()) > 1


def test_an_update_without_changes_touches_nothing(tmp_path: Path) -> None:
    """Every file keeps its inode and time."""
    corpus, out = Corpus.make(tmp_path / "corpus", 24), tmp_path / "out"
    corpus.build(out)
    before = stamps(out)
    assert changes_of(corpus.build(out, update=True)) == Changes(
        rows_added=0,
        rows_changed=0,
        rows_made_anew=0,
        rows_removed=0,
        rows_kept=24,
        rows_turned_away=0,
        shards_rebuilt=0,
        shards_kept=len(mmdata.open(out).shards),
    )
    assert stamps(out) == before


def test_a_row_tried_again_is_not_counted_as_changed(tmp_path: Path) -> None:
    """Rows that failed and are as they were are counted apart, and with the rows turned away in the listing the sum is whole."""
    corpus, out = Corpus.make(tmp_path / "corpus", 12, split={}, shards={"rows": 100}), tmp_path / "out"
    for number in (2, 5, 8):
        (corpus.folder / f"{number}.png").write_bytes(b"no picture")
    corpus.rows.append(dict(corpus.rows[0]))
    corpus.build(out)
    (corpus.folder / "5.png").write_bytes(picture(5, 12, 10))
    replace_picture(corpus)
    corpus.add(50)
    outcome = corpus.build(out, update=True)
    changes = changes_of(outcome)
    counted = changes.rows_added, changes.rows_changed, changes.rows_made_anew, changes.rows_kept, changes.rows_turned_away
    assert counted == (1, 2, 2, 8, 1)
    assert sum(counted) == outcome.dataset.description["counts"]["rows"] == 14
    assert "1 added + 2 changed + 2 made anew + 8 kept + 1 turned away in the listing; 0 removed" in built_text(outcome)


def test_rows_appended_leave_all_shards_but_the_last(tmp_path: Path) -> None:
    """One split in the order of the source: an appended row touches one shard."""
    corpus = Corpus.make(tmp_path / "corpus", 40, split={}, shards={"rows": 8})
    corpus.build(tmp_path / "out")
    before, shards = stamps(tmp_path / "out"), len(mmdata.open(tmp_path / "out").shards)
    corpus.add(40)
    changes = changes_of(corpus.build(tmp_path / "out", update=True))
    after = stamps(tmp_path / "out")
    assert (changes.shards_rebuilt, changes.shards_kept) == (1, len(mmdata.open(tmp_path / "out").shards) - 1)
    assert sum(before.get(name) == stamp for name, stamp in after.items() if name.endswith(".tar")) >= shards - 1


def test_an_appended_row_is_the_only_one_that_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rows of the shard that it comes to are copied, whatever the size of the shard."""
    from mmdata.ingest import Ingest

    corpus = Corpus.make(tmp_path / "corpus", 30, split={}, shards={"rows": 1000})
    corpus.build(tmp_path / "out")
    read: list[str] = []
    ingest = Ingest.__call__

    def counting(self: Ingest, planned: Any) -> Any:
        read.append(planned.source_key)
        return ingest(self, planned)

    monkeypatch.setattr(Ingest, "__call__", counting)
    corpus.add(30)
    assert changes_of(corpus.build(tmp_path / "out", update=True)).shards_rebuilt == 1
    assert read == ["row/030"] * 2  # observed by record.deduplicate, then built


def test_duplicates_are_judged_over_old_and_new_rows(tmp_path: Path) -> None:
    """An added row that repeats an old one is rejected; where the one that was kept goes, the next takes its place."""
    corpus = Corpus.make(tmp_path / "corpus", 16)
    out = tmp_path / "out"
    corpus.build(out)
    corpus.rows.append({**corpus.rows[3], "key": "again"})
    corpus.rows.append({**corpus.rows[3], "key": "again-2"})
    corpus.build(out, update=True)
    rejects = {reject["key"]: reject["detail"] for reject in mmdata.open(out).rejects()}
    first = mmdata.open(out).find("row/003").key
    assert rejects == {"again": first, "again-2": first}
    assert_as_new(corpus, out, tmp_path / "fresh")
    del corpus.rows[3]
    corpus.build(out, update=True)
    assert {reject["key"]: reject["detail"] for reject in mmdata.open(out).rejects()} == {"again-2": "again"}
    assert_as_new(corpus, out, tmp_path / "fresh-2")


def test_balance_is_kept_over_old_and_new_rows(tmp_path: Path) -> None:
    """The numbers by label are those of a new build, though other rows make room for an added one."""
    stages = [*STAGES[:1], {"record.balance": {"by": "label", "most": 5}}, *STAGES[1:]]
    corpus = Corpus.make(tmp_path / "corpus", 20, stages=stages, split={})
    corpus.build(tmp_path / "out")
    for number in range(20, 40):
        corpus.add(number)
    corpus.build(tmp_path / "out", update=True)
    assert len(mmdata.open(tmp_path / "out")) == 10
    assert_as_new(corpus, tmp_path / "out", tmp_path / "fresh")


def test_only_rows_may_differ_in_an_update(tmp_path: Path) -> None:
    """Another recipe is refused with the difference, and changed rows are without --update; the folder stays as it is."""
    corpus = Corpus.make(tmp_path / "corpus", 8)
    corpus.build(tmp_path / "out")
    before = stamps(tmp_path / "out")
    with pytest.raises(DatasetError, match="shards.rows: 4 in the folder, 5 asked for"):
        corpus.build(tmp_path / "out", update=True, shards={"rows": 5})
    corpus.add(8)
    with pytest.raises(
        DatasetError, match=r"take the changed rows over with --update(.|\n)*rows.count: 8 in the folder, 9 asked"
    ):
        corpus.build(tmp_path / "out")
    assert stamps(tmp_path / "out") == before


def test_no_row_number_stands_in_a_shard(tmp_path: Path) -> None:
    """A row that goes shifts the numbers behind it: the index says so, and the tars stay."""
    corpus = Corpus.make(tmp_path / "corpus", 24, split={})
    corpus.build(tmp_path / "out")
    before = {inode for inode, _ in stamps(tmp_path / "out").values()}
    del corpus.rows[0]
    corpus.build(tmp_path / "out", update=True)
    dataset, after = mmdata.open(tmp_path / "out"), stamps(tmp_path / "out")
    assert [record.origin.row for record in dataset] == list(range(23))
    last = dataset.shards[-1]
    assert after[last.file][0] in before


def test_a_record_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    """An update of a damaged dataset copies no damage."""
    corpus = Corpus.make(tmp_path / "corpus", 12, split={}, shards={"rows": 100})
    corpus.build(tmp_path / "out")
    index = ShardIndex.read(tmp_path / "out/index/train-000000.parquet")
    tar = tmp_path / "out/train-000000.tar"
    content = bytearray(tar.read_bytes())
    content[index.members("png")[4].offset + 9] ^= 1
    tar.write_bytes(content)
    corpus.add(12)
    assert changes_of(corpus.build(tmp_path / "out", update=True)).repaired == ("train-000000.tar",)
    assert_as_new(corpus, tmp_path / "out", tmp_path / "fresh")


def test_subtitles_are_raw_inputs(tmp_path: Path) -> None:
    """A subtitle file has its provenance and sha256 in the record and the index, and an update notices where it changed."""
    corpus = Corpus.make(tmp_path / "corpus", 6, split={}, stages=["audio.decode"], output={}, metadata={})
    corpus.data["fields"] = {"audio": {"kind": "audio", "segments": "subtitles"}}
    for number, row in enumerate(corpus.rows):
        (corpus.folder / f"{number}.wav").write_bytes(recording(number))
        row |= {"audio": f"{number}.wav", "subtitles": f"{number}.srt" if number % 2 else [[0.0, 0.1, "word"]]}
        (corpus.folder / f"{number}.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nspoken\n")
    out = tmp_path / "out"
    corpus.build(out)
    record = mmdata.open(out).find("row/001")
    assert record.origin.inputs["audio.segments"].uri == "1.srt"
    assert mmdata.open(out).find("row/002").origin.inputs["audio.segments"].uri == ""
    (corpus.folder / "1.srt").write_text("1\n00:00:00,100 --> 00:00:00,200\nsung\n")
    assert changes_of(corpus.build(out, update=True)).rows_changed == 1
    audio = mmdata.open(out).find("row/001")["audio"]
    assert isinstance(audio, Audio)
    assert [segment.label for segment in audio.segments] == ["sung"]
    assert mmdata.validate(out).ok


def test_no_digest_tells_what_was_redacted(tmp_path: Path) -> None:
    """Neither index nor artifacts hold a digest of a row that was redacted or turned away; updates are as new all the same."""
    stages = [
        "record.deduplicate",
        {"text.redact": {"kinds": ["email"]}},
        {"record.where": {"expression": "label != 'c'"}},
        "image.decode",
    ]
    corpus = Corpus.make(tmp_path / "corpus", 24, split={}, stages=stages)
    corpus.rows[2]["text"] = "write to someone@example.org"
    corpus.rows[3]["label"] = "c"
    corpus.build(tmp_path / "out")
    digests: dict[str, str] = {}
    for path in (tmp_path / "out/index").iterdir():
        index = ShardIndex.read(path)
        digests |= dict(zip(index.column("source_key"), index.column("input.digest"), strict=True))
        assert all((reject.digest, reject.files) == ("", {}) for reject in index.rejects)
    assert [key for key, digest in digests.items() if not digest] == ["row/002"]
    assert [path.name for path in (tmp_path / "out/artifacts").iterdir()] == ["duplicates.jsonl"]
    several(corpus)
    corpus.build(tmp_path / "out", update=True)
    assert_as_new(corpus, tmp_path / "out", tmp_path / "fresh")


def edit_at_random(corpus: Corpus, rng: np.random.Generator, number: int) -> None:
    """Change one thing, or several."""
    for step in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(corpus.rows)))
        row = corpus.rows[place]
        match int(rng.integers(8)):
            case 0 | 1:
                corpus.add(1000 + 10 * number + step, int(rng.integers(len(corpus.rows) + 1)))
            case 2 if len(corpus.rows) > 8:
                del corpus.rows[place]
            case 3:
                corpus.rows.insert(int(rng.integers(len(corpus.rows))), corpus.rows.pop(place))
            case 4:
                row["text"] = str(rng.choice(["a cat", "a dog", "", "a tree near a house"]))
            case 5:
                (corpus.folder / row["image"]).write_bytes(picture(int(rng.integers(9)), 12, 10))
            case 6:
                (corpus.folder / row["image"]).write_bytes(b"no picture")
            case _:
                corpus.rows.insert(place, {**row, "key": f"copy-{number}-{step}"})


@pytest.mark.parametrize("seed", range(3))
def test_any_edits_one_after_the_other(tmp_path: Path, seed: int) -> None:
    """Updated again and again after edits at random, a folder never differs from a new one."""
    rng = np.random.default_rng(seed)
    stages = [*STAGES[:2], {"record.balance": {"by": "label", "most": 11}}, *STAGES[2:]]
    corpus = Corpus.make(tmp_path / "corpus", 20, stages=stages, shards={"rows": 4, "order": ["source", "shuffled"][seed % 2]})
    corpus.build(tmp_path / "out")
    for number in range(8):
        edit_at_random(corpus, rng, number)
        corpus.build(tmp_path / "out", update=True)
        assert_as_new(corpus, tmp_path / "out", tmp_path / f"fresh-{number}")
