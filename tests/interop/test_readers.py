"""A finished folder is read as it is by tar, Python, webdataset and Hugging Face datasets, and all of them find the same."""

from __future__ import annotations

import gc
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import soundfile
import webdataset

from mmdata.builder import build
from mmdata.dataset import Dataset
from mmdata.recipe import Recipe
from tests.corpus import make_corpus, recipe_data

# Both readers leave the closing of tars to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

PICTURES = ("jpg", "png", "webp")
RECORDINGS = ("flac", "wav", "ogg")


@dataclass(frozen=True)
class Folder:
    """A finished dataset folder, and what Python's tarfile finds in its shards: by split, records in order."""

    dataset: Dataset
    records: dict[str, list[dict[str, Any]]]

    def files(self, split: str) -> list[str]:
        """The shards of a split."""
        return [str(self.dataset.path / shard.file) for shard in self.dataset.shards_of(split)]

    def extension(self, *known: str) -> str:
        """The one extension of the dataset among `known`."""
        (found,) = [extension for extension in known if extension in self.dataset.members]
        return found


def members_of(tar_file: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a tar: `__key__`, and the bytes of each member by extension."""
    with tarfile.open(tar_file) as tar:
        for key, members in groupby(tar, lambda member: member.name.partition(".")[0]):
            yield {"__key__": key} | {member.name.partition(".")[2]: read(tar, member) for member in members}


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the bytes of a member."""
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def small_recipe(folder: Path, picture: str, recording: str) -> Recipe:
    """Return a recipe over a corpus whose metadata would mislead readers that infer types from the first rows."""
    manifest = make_corpus(folder)
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows):
        # Empty first and filled later, whole first and broken later, absent first and present later.
        row |= {"note": "ü" * max(0, number - 8), "score": number / 8 if number > 8 else 1, "odd": [{}, None] * (number > 8)}
    manifest.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    metadata = {"number": "int", "tags": "json", "note": "str", "score": "float", "odd": "json"}
    output = {"image": {"format": picture}, "audio": {"format": recording}}
    return Recipe.from_data(recipe_data(manifest, metadata=metadata, output=output))


@pytest.fixture(scope="module", params=["demo", "jpg flac", "png wav", "webp ogg"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The demo dataset, and a small one in each format of pictures and recordings."""
    place = tmp_path_factory.mktemp("interop")
    recipe = Recipe.load("demo") if request.param == "demo" else small_recipe(place / "corpus", *request.param.split())
    dataset = build(recipe, place / "out", workers=2)
    splits = dict.fromkeys(shard.split for shard in dataset.shards)
    files = {split: [dataset.path / shard.file for shard in dataset.shards_of(split)] for split in splits}
    return Folder(dataset, {split: [record for file in files[split] for record in members_of(str(file))] for split in splits})


@pytest.fixture(scope="module")
def hugging_face(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The same folder as Hugging Face datasets without any option, by split; nothing is asked of the hub."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        import datasets

        options = {"cache_dir": str(cache)}
        loaded = {
            split: datasets.load_dataset("webdataset", data_files={split: folder.files(split)}, split=split, **options)
            for split in folder.records
        }
        gc.collect()  # while the warning is expected
        yield loaded


def pixels(payload: bytes) -> np.ndarray:
    """Return the pixels of a picture file, uint8 [height, width, 3], as Pillow decodes it."""
    return np.asarray(PIL.Image.open(BytesIO(payload)).convert("RGB"))


def holds_none(value: object) -> bool:
    """Whether there is a None anywhere in plain data."""
    if isinstance(value, dict | list):
        return any(map(holds_none, value.values() if isinstance(value, dict) else value))
    return value is None


def webdataset_rows(files: list[str], *decoders: str) -> list[dict[str, Any]]:
    """Return all that plain webdataset finds in some shards."""
    pipeline = webdataset.WebDataset(files, shardshuffle=False)
    rows = list(pipeline.decode(*decoders) if decoders else pipeline)
    gc.collect()  # while the warning is expected
    return rows


def test_every_record_has_the_members_that_the_dataset_names(folder: Folder) -> None:
    """Python's tarfile finds as many records as dataset.json says, each with the same members."""
    counts = {split: len(records) for split, records in folder.records.items()}
    assert counts == folder.dataset.description["counts"]["splits"]
    expected = {"__key__", "json", *folder.dataset.members}
    assert all(record.keys() == expected for records in folder.records.values() for record in records)


def test_tar_lists_the_members_that_python_lists(folder: Folder) -> None:
    """GNU tar reads every shard to its end without a complaint."""
    for split in folder.records:
        for file in folder.files(split):
            with tarfile.open(file) as tar:
                names = tar.getnames()
            listed = subprocess.run(["tar", "tf", file], capture_output=True, text=True, check=True)
            assert listed.stdout.splitlines() == names
            assert listed.stderr == ""


def test_webdataset_gives_every_record_as_it_is(folder: Folder) -> None:
    """Plain webdataset finds the same records in the same order, with the same bytes."""
    for split, records in folder.records.items():
        found = webdataset_rows(folder.files(split))
        assert [{name: row[name] for name in records[0]} for row in found] == records


def test_webdataset_decodes_pictures_texts_and_json(folder: Folder) -> None:
    """Its own decoders give the pixels that Pillow gives, the text, and the fields of the json."""
    picture = folder.extension(*PICTURES)
    for split, records in folder.records.items():
        found = webdataset_rows(folder.files(split), "rgb8")
        assert len(found) == len(records)
        for row, record in zip(found, records, strict=True):
            np.testing.assert_array_equal(row[picture], pixels(record[picture]))
            assert row["txt"] == record["txt"].decode()
            assert row["json"] == json.loads(record["json"])
            np.testing.assert_array_equal(row["tokens.npy"], np.load(BytesIO(record["tokens.npy"])))


def test_hugging_face_finds_every_record_and_no_none(folder: Folder, hugging_face: dict[str, Any]) -> None:
    """The keys are the same in the same order, and nothing became None on the way."""
    for split, records in folder.records.items():
        rows = list(hugging_face[split])
        assert [row["__key__"] for row in rows] == [record["__key__"] for record in records]
        assert rows[0].keys() == {*records[0], "__url__"}
        assert not any(map(holds_none, rows))


def test_hugging_face_keeps_json_text_and_tokens(folder: Folder, hugging_face: dict[str, Any]) -> None:
    """Every field of the json has the value and the type that the member has, though types were inferred from few rows."""
    columns = ["json", "txt", "tokens.npy"]
    for split, records in folder.records.items():
        for row, record in zip(hugging_face[split].select_columns(columns), records, strict=True):
            expected = json.loads(record["json"])
            assert json.dumps(row["json"], sort_keys=True) == json.dumps(expected, sort_keys=True)
            assert row["txt"] == record["txt"].decode()
            assert row["tokens.npy"] == np.load(BytesIO(record["tokens.npy"])).tolist()


def test_hugging_face_decodes_pictures(folder: Folder, hugging_face: dict[str, Any]) -> None:
    """Pictures are recognised as such, and equal Pillow's pixel by pixel."""
    picture = folder.extension(*PICTURES)
    for split, records in folder.records.items():
        for found, record in zip(hugging_face[split][picture], records, strict=True):
            np.testing.assert_array_equal(np.asarray(found), pixels(record[picture]))


def test_hugging_face_decodes_recordings(folder: Folder, hugging_face: dict[str, Any]) -> None:
    """Recordings are recognised as such; decoded by torchcodec they equal soundfile's samples within 1e-4."""
    try:
        import torchcodec.decoders  # noqa: F401 - Hugging Face decodes with it
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"torchcodec cannot load the libraries of ffmpeg: {str(error).splitlines()[0]}")
    recording = folder.extension(*RECORDINGS)
    for split, records in folder.records.items():
        for found, record in zip(hugging_face[split][recording], records, strict=True):
            expected, rate = soundfile.read(BytesIO(record[recording]), dtype="float32", always_2d=True)
            decoded = found.get_all_samples()
            assert decoded.sample_rate == rate
            samples, common = decoded.data.numpy(), min(decoded.data.shape[1], len(expected))
            # ffmpeg ends a Vorbis stream up to one of its blocks before or after its last sample.
            assert abs(samples.shape[1] - len(expected)) <= (1024 if recording == "ogg" else 0)
            np.testing.assert_allclose(samples[:, :common], expected.T[:, :common], rtol=0, atol=1e-4)
