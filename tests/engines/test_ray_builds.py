"""Builds on a Ray cluster: the same bytes as here, whatever happens, and a folder that either engine goes on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from mmdata.builder import Progress, build
from tests.corpus import make_corpus, recipe_data
from tests.faults.accounts import check_account, contents, rejects
from tests.faults.commands import command, started, without_progress
from tests.faults.test_misdeeds import good_texts, recipe
from tests.faults.test_signals import LINGER, at_work, living, wait_for

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and what the local engine builds of it."""
    folder = tmp_path_factory.mktemp("local")
    build(recipe_data(make_corpus(folder / "corpus")), folder / "out", workers=1)
    return folder


@pytest.fixture(scope="module")
def lingering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts that take their time, and what the local engine builds of them."""
    folder = tmp_path_factory.mktemp("lingering")
    build(slow_recipe(folder), folder / "out", workers=2)
    return folder


def slow_recipe(folder: Path) -> dict[str, Any]:
    """Return a recipe over a few texts, each of which takes a second or so and has a shard of its own."""
    return recipe(folder, good_texts(5), stages=LINGER, shards={"rows": 1})


@pytest.fixture
def session() -> Iterator[list[subprocess.Popen[str]]]:
    """Builds that are ended with the test, whatever becomes of it."""
    held: list[subprocess.Popen[str]] = []
    yield held
    for process in held:
        process.kill()
        process.communicate()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("workers", [1, 3])
def test_same_bytes_as_the_local_engine(local: Path, tmp_path: Path, workers: int) -> None:
    """Every file has the same sha256, what is learned from the corpus included; every pass is reported to its end."""
    seen: dict[str, Progress] = {}
    data = recipe_data(local / "corpus/manifest.jsonl")
    build(data, tmp_path / "out", workers=workers, engine="ray", progress=lambda now: seen.update({now.phase: now}))
    assert contents(tmp_path / "out") == contents(local / "out")
    assert [(now.done, now.total) for now in seen.values()] == [(now.total, now.total) for now in seen.values()]


@pytest.mark.usefixtures("cluster")
def test_paths_count_from_the_current_folder(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They mean the same to the workers; only `dataset.json` says which path it was."""
    monkeypatch.chdir(local)
    build(recipe_data(Path("corpus/manifest.jsonl")), Path("relative"), engine="ray")
    built, wanted = contents(local / "relative"), contents(local / "out")
    assert built | {"dataset.json": ""} == wanted | {"dataset.json": ""}


@pytest.mark.usefixtures("cluster")
def test_misdeeds_cost_their_rows_alone(tmp_path: Path) -> None:
    """Rows that kill their process or take all memory are rejected as the local engine rejects them."""
    texts = [*good_texts(5), "crash", "more", "take a lot at once", "and more"]
    data = recipe(tmp_path, texts, shards={"rows": 3})
    for engine in ("local", "ray"):
        build(data, tmp_path / engine, workers=2, engine=engine)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert len(rejects(tmp_path / "ray")) == 2
    check_account(tmp_path / "ray", len(texts))


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("first", "then", "sent", "status"),
    [
        ("ray", "local", signal.SIGINT, 130),
        pytest.param("ray", "local", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("ray", "local", signal.SIGKILL, -9, marks=pytest.mark.slow),
        pytest.param("local", "ray", signal.SIGKILL, -9, marks=pytest.mark.slow),
    ],
)
def test_either_engine_goes_on_with_what_the_other_began(
    lingering: Path,
    session: list[subprocess.Popen[str]],
    first: str,
    then: str,
    sent: signal.Signals,
    status: int,
) -> None:
    """However a build ends, the other engine finishes it, and what was done is not done again."""
    data, out = slow_recipe(lingering), Path(mkdtemp(dir=lingering))
    session.append(started(command(lingering, data, out, "--engine", first)))
    wait_for(lambda: any(out.glob("train-*.tar")) and at_work(out))
    session[0].send_signal(sent)
    _, said = session[0].communicate(timeout=60)
    assert session[0].returncode == status
    if status > 0:
        assert without_progress(said).strip() == "mmdata: interrupted; run the same command again to go on"
    before = {tar.name: tar.stat().st_mtime_ns for tar in out.glob("*.tar")}
    build(data, out, workers=2, engine=then)
    assert contents(out) == contents(lingering / "out")
    assert before.items() <= {tar.name: tar.stat().st_mtime_ns for tar in out.glob("*.tar")}.items()


def test_without_a_cluster_one_is_made_for_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: list[subprocess.Popen[str]]
) -> None:
    """It prints nothing of its own, and no process of it is left."""
    monkeypatch.setenv("RAY_ADDRESS", "local")
    data = recipe(tmp_path, [*good_texts(3), "exit"])
    session.append(started(command(tmp_path, data, tmp_path / "out", "--engine", "ray", "--json")))
    out, said = session[0].communicate(timeout=120)
    assert session[0].returncode == 0, said
    assert json.loads(out)["counts"]["rows_rejected"] == 1
    lines = [line for line in without_progress(said).splitlines() if line and not line.startswith("  ")]
    assert [line.partition(" a worker process died ")[0] for line in lines] == ["mmdata: WARNING:"] * 2
    wait_for(lambda: not living(session[0].pid))


@pytest.mark.slow
def test_a_cluster_of_its_own_ends_with_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: list[subprocess.Popen[str]]
) -> None:
    """Ctrl-C reaches every process of the terminal's group at once, and none of them is left."""
    monkeypatch.setenv("RAY_ADDRESS", "local")
    data = recipe(tmp_path, good_texts(8), stages=LINGER)
    session.append(started(command(tmp_path, data, tmp_path / "out", "--engine", "ray")))
    wait_for(lambda: at_work(tmp_path / "out"))
    os.killpg(session[0].pid, signal.SIGINT)
    said = without_progress(session[0].communicate(timeout=60)[1])
    assert (session[0].returncode, said.strip()) == (
        130,
        "mmdata: interrupted; run the same command again to go on",
    )
    wait_for(lambda: not living(session[0].pid))
