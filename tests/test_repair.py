"""Repairs: exactly what is damaged is made again, and nothing is mixed with what is made of something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mmdata
from mmdata.errors import DatasetError
from mmdata.shards.index import ShardIndex
from tests.corpus import picture
from tests.incremental import Corpus, Inline, contents, flip, stamps

Damage = Callable[[Path], object]


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
