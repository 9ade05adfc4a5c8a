"""The build: same bytes for any workers and interruptions, every row accounted for, folders never mixed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import mmdata
from mmdata.builder import Progress, build
from mmdata.errors import ConfigError, DatasetError, TooManyRejectsError
from mmdata.files import sha256_of
from mmdata.recipe import Recipe
from mmdata.values import Audio, Image, Text, Tokens
from tests.corpus import make_corpus, recipe_data


def contents(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of a folder."""
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest and the folder that one worker built from it."""
    folder = tmp_path_factory.mktemp("built")
    manifest = make_corpus(folder / "corpus")
    build(Recipe.from_data(recipe_data(manifest)), folder / "out", workers=1)
    return manifest, folder / "out"


def test_folder_holds_what_the_contract_names(built: tuple[Path, Path]) -> None:
    """Shards are contiguous, each with its index, and nothing of the work is left."""
    _, out = built
    names = sorted(contents(out))
    description = json.loads((out / "dataset.json").read_bytes())
    shards = [shard["file"] for split in ("train", "val") for shard in description["shards"][split]]
    assert shards == [f"{split}-{n:06d}.tar" for split in ("train", "val") for n in range(len(description["shards"][split]))]
    indexes = [f"index/{name.removesuffix('.tar')}.parquet" for name in shards]
    artifacts = [f"artifacts/{name}" for name in description["artifacts"]]
    assert names == sorted([*shards, *indexes, *artifacts, "dataset.json", "rejects.parquet"])
    assert description["counts"]["records"] == 24
    assert list(description["members"]) == ["flac", "png", "tokens.npy", "txt"]


def test_records_come_back_whole(built: tuple[Path, Path]) -> None:
    """An opened dataset gives records with values, metadata, measures, annotations, lineage and origin."""
    _, out = built
    dataset = mmdata.open(out)
    record = dataset.find("row/005")
    image, audio, text, tokens = (record[name] for name in ("image", "audio", "text", "tokens"))
    assert isinstance(image, Image)
    assert isinstance(audio, Audio)
    assert isinstance(text, Text)
    assert isinstance(tokens, Tokens)
    assert image.pixels.shape == (16, 16, 3)
    assert audio.rate == 16000
    assert [step.stage for step in image.lineage] == ["image.decode", "image.resize", "image.crop"]
    assert "".join(text.text[start:end] for start, end in tokens.offsets) == text.text
    assert record.metadata == {"number": 5, "tags": '["a","a"]'}
    assert record.measures["audio.seconds"] == audio.seconds
    assert record.origin.inputs["image"].uri == "files/5.png"
    assert len(list(dataset)) == len(dataset) == 24


@pytest.mark.parametrize("workers", [2, 3])
def test_same_bytes_for_any_number_of_workers(built: tuple[Path, Path], tmp_path: Path, workers: int) -> None:
    """Every file of the folder has the same sha256, whoever built it."""
    manifest, out = built
    build(Recipe.from_data(recipe_data(manifest)), tmp_path / "out", workers=workers)
    assert contents(tmp_path / "out") == contents(out)


def test_progress_reaches_the_end(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Every pass is reported from its first row to its last."""
    manifest, _ = built
    seen: list[Progress] = []
    build(Recipe.from_data(recipe_data(manifest)), tmp_path / "out", workers=2, progress=seen.append)
    last = {progress.phase: progress for progress in seen}
    assert {name: progress.done for name, progress in last.items()} == {name: progress.total for name, progress in last.items()}
    assert last["build"].total == 24


@pytest.mark.parametrize("number", [0, -1])
def test_fewer_than_one_row_or_worker_are_refused(built: tuple[Path, Path], tmp_path: Path, number: int) -> None:
    """The error names what is wrong, not what would follow from it; nothing is begun."""
    recipe = recipe_data(built[0])
    with pytest.raises(ConfigError, match=f"limit is at least 1 row, not {number}; leave it out to take all"):
        build(recipe, tmp_path / "out", limit=number)
    with pytest.raises(ConfigError, match=f"workers is at least 1, not {number}; leave it out"):
        build(recipe, tmp_path / "out", workers=number)
    assert not (tmp_path / "out").exists()


def test_finished_folder_is_left_as_it_is(built: tuple[Path, Path]) -> None:
    """Building again into a finished folder changes nothing."""
    manifest, out = built
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    build(Recipe.from_data(recipe_data(manifest)), out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_folder_of_another_recipe_is_refused_with_the_difference(built: tuple[Path, Path]) -> None:
    """The refusal names each setting that differs, and the folder stays as it is."""
    manifest, out = built
    before = contents(out)
    with pytest.raises(DatasetError, match=r"shards.rows: 4 in the folder, 5 asked for"):
        build(Recipe.from_data(recipe_data(manifest, shards={"rows": 5})), out)
    assert contents(out) == before


def test_folder_inside_a_listed_corpus_is_refused(built: tuple[Path, Path]) -> None:
    """A corpus that is a folder would grow by its own dataset."""
    corpus = built[0].parent
    data = recipe_data(
        corpus, source={"type": "files", "path": str(corpus)}, fields={"image": {"kind": "image", "column": "png"}}
    )
    with pytest.raises(DatasetError, match="lies inside of the corpus"):
        build({**data, "metadata": {}, "split": {}, "stages": ["image.decode"]}, corpus / "out")
    assert not (corpus / "out").exists()


def test_foreign_folder_is_refused(built: tuple[Path, Path], tmp_path: Path) -> None:
    """A folder with other files in it is not built into."""
    manifest, _ = built
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="holds 'thesis.txt', which no build wrote"):
        build(Recipe.from_data(recipe_data(manifest)), tmp_path)
    assert contents(tmp_path).keys() == {"thesis.txt"}


def spoiled_corpus(folder: Path) -> Path:
    """Return a manifest with one row of each kind of trouble."""
    manifest = make_corpus(folder)
    files = folder / "files"
    files.joinpath("1.png").write_bytes(files.joinpath("1.png").read_bytes()[:200])
    files.joinpath("4.wav").write_bytes(b"")
    files.joinpath("6.png").unlink()
    for name in ("png", "wav"):
        files.joinpath(f"9.{name}").write_bytes(files.joinpath(f"8.{name}").read_bytes())
    lines = manifest.read_text().splitlines()
    lines[9] = json.dumps({**json.loads(lines[9]), "text": json.loads(lines[8])["text"]})
    lines[12] = json.dumps({**json.loads(lines[12]), "text": " "})
    lines[15] = json.dumps({**json.loads(lines[15]), "number": "many"})
    lines[18] = "{broken"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def test_every_row_is_written_or_rejected_with_a_reason(tmp_path: Path) -> None:
    """Rows in = rows written + rows rejected, and each reject names its stage, kind and reason."""
    stages = [*recipe_data(tmp_path)["stages"][:1], "record.deduplicate", *recipe_data(tmp_path)["stages"][1:]]
    data = recipe_data(spoiled_corpus(tmp_path / "corpus"), stages=stages, max_rejects=6, shards={"rows": 1})
    dataset = build(Recipe.from_data(data), tmp_path / "out", workers=2)
    rejects = {row["row"]: row for row in pq.read_table(tmp_path / "out/rejects.parquet").to_pylist()}
    written = {record.origin.row for record in dataset}
    assert written | rejects.keys() == set(range(24))
    assert not written & rejects.keys()
    found = {row: (reject["kind"], reject["stage"].split()[-1]) for row, reject in rejects.items()}
    assert found == {
        1: ("error", "image.decode"),
        4: ("filtered", "record.require"),
        6: ("error", "source"),
        9: ("duplicate", "record.deduplicate"),
        12: ("filtered", "record.require"),
        15: ("error", "source"),
        18: ("error", "source"),
    }
    counts = dataset.description["counts"]
    assert counts["rows"] == 24 == counts["rows_written"] + counts["rows_rejected"]
    assert counts["rejects"] == {"error": 4, "filtered": 2, "duplicate": 1}
    for split, shards in dataset.description["shards"].items():
        assert [shard["file"] for shard in shards] == [f"{split}-{number:06d}.tar" for number in range(len(shards))]
        assert all(shard["records"] for shard in shards)


def test_too_many_rejects_fail_and_can_be_resumed(tmp_path: Path) -> None:
    """A build over its limit says the reasons; with a higher limit it finishes from what is there."""
    learning = ("image.normalize", {"text.tokenize": {"vocabulary": 300}})  # what learns would end the build before
    stages = [stage for stage in recipe_data(tmp_path)["stages"] if stage not in learning]
    data = recipe_data(spoiled_corpus(tmp_path / "corpus"), stages=stages, max_rejects=2)
    with pytest.raises(TooManyRejectsError, match=r"4 of 24 rows were rejected as errors; max_rejects allows 2"):
        build(Recipe.from_data(data), tmp_path / "out", workers=1)
    assert not (tmp_path / "out/dataset.json").exists()
    build(Recipe.from_data({**data, "max_rejects": "30%"}), tmp_path / "out", workers=1)
    build(Recipe.from_data({**data, "max_rejects": "30%"}), tmp_path / "again", workers=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "again")


def test_rows_that_failed_are_tried_again_after_a_failure(tmp_path: Path) -> None:
    """Files mended after a build failed for its rejects give the bytes of a build from nothing."""
    good = make_corpus(tmp_path / "good")
    bad = make_corpus(tmp_path / "bad")
    mended = [1, 2, 9, 16]
    for row in mended:
        bad.with_name("files").joinpath(f"{row}.png").write_bytes(b"no picture")
    with pytest.raises(TooManyRejectsError, match=r"4 of 24 rows .*\n.*such as row 1 'row/001'"):
        build(Recipe.from_data(recipe_data(bad, shards={"rows": 1})), tmp_path / "out", workers=2)
    for row in mended:
        shutil.copy(good.with_name("files") / f"{row}.png", bad.with_name("files") / f"{row}.png")
    for folder in ("out", "again"):
        build(Recipe.from_data(recipe_data(bad, shards={"rows": 1})), tmp_path / folder, workers=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "again")
    assert len(mmdata.open(tmp_path / "out")) == 24


def command(recipe: Path, out: Path, *more: str) -> list[str]:
    """Return the command line of a build."""
    return [sys.executable, "-c", "from mmdata.cli.main import main; main()", "build", str(recipe), str(out), *more]


def recipe_file(folder: Path, manifest: Path, **changes: Any) -> Path:
    """Write the recipe over the small corpus to a file."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_data(manifest, **changes)), encoding="utf-8")
    return path


def test_killed_builds_resume_to_the_same_bytes(built: tuple[Path, Path], tmp_path: Path) -> None:
    """A build killed by SIGKILL at random moments, again and again, ends with the bytes of an undisturbed one.

    It reads its recipe from a file, which names the fields in another order: that must not matter either.
    """
    manifest, out = built
    recipe = recipe_file(tmp_path, manifest)
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen(command(recipe, tmp_path / "out", "--workers", "2"), start_new_session=True)
        time.sleep(rng.uniform(0.5, 4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    for _ in range(100):  # the workers follow their parent by themselves
        if not any("spawn_main" in line for line in process_lines(process.pid)):
            break
        time.sleep(0.1)
    subprocess.run(command(recipe, tmp_path / "out", "--workers", "2"), check=True, capture_output=True)
    ours, undisturbed = contents(tmp_path / "out"), contents(out)
    assert ours == undisturbed


def process_lines(group: int) -> list[str]:
    """Return the command lines of the processes of a process group."""
    found = subprocess.run(["ps", "-o", "args=", "-g", str(group)], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def test_interrupted_build_says_so_and_leaves_a_resumable_folder(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Ctrl-C ends with status 130 and a hint; the same command then finishes."""
    manifest, _ = built
    recipe = recipe_file(tmp_path, manifest)
    out = tmp_path / "out"
    process = subprocess.Popen(command(recipe, out, "--workers", "1"), stderr=subprocess.PIPE, text=True)
    while not (out / ".build/fit").is_dir():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "run the same command again" in said
    assert not (out / "dataset.json").exists()
    subprocess.run(command(recipe, out), check=True, capture_output=True)
    assert mmdata.open(out).description["counts"]["records"] == 24


def test_second_build_into_a_folder_is_refused(built: tuple[Path, Path], tmp_path: Path) -> None:
    """While a build holds a folder, another one is refused and told who holds it."""
    from mmdata.folder import BuildFolder

    manifest, _ = built
    with BuildFolder(tmp_path / "out").held("recipe"), pytest.raises(DatasetError, match=f"process {os.getpid()} on "):
        build(Recipe.from_data(recipe_data(manifest)), tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["nowhere.yaml"], 2, "there is no recipe file 'nowhere.yaml'"),
        (["stamps"], 2, "manifest.jsonl"),
        (["demo", "--set", "stages.image.resize.size=0"], 2, "image.resize"),
    ],
)
def test_bad_requests_end_with_status_two(tmp_path: Path, arguments: list[str], status: int, says: str) -> None:
    """What cannot be carried out is said in a line or two on standard error, without a traceback."""
    line = command(Path(arguments[0]), tmp_path / "out", *arguments[1:])
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_unwritable_folder_is_refused(built: tuple[Path, Path], tmp_path: Path) -> None:
    """A place that cannot be written to is named before any work is done."""
    manifest, _ = built
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be written to|is a file"):
        build(Recipe.from_data(recipe_data(manifest)), tmp_path / "file")
    with pytest.raises(DatasetError, match="cannot be written to"):
        build(Recipe.from_data(recipe_data(manifest)), Path("/proc/mmdata"))
