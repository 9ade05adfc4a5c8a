"""The loader's benchmarks: every contender does the whole task, and the verdicts follow from the figures."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import loader as benchmark
from benchmarks import loader_gpu
from benchmarks.loader import Turn
from benchmarks.loader_gpu import Rate
from benchmarks.loader_peers import RAW_EPOCHS, Task, contenders, raw_contenders
from mmdata.builder import build
from mmdata.dataset import Dataset
from mmdata.loader import PictureView
from mmdata.recipe import Recipe
from tests.loader.conftest import MakeDataset, make_dataset

__all__ = ["make_dataset"]


@pytest.fixture(scope="module")
def task(make_dataset: MakeDataset, tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A task of forty small pictures."""
    view = PictureView((8, 8), crop="random", flip=0.5)
    return Task(Dataset(make_dataset((20, 20))), 8, 2, tmp_path_factory.mktemp("peers"), view)


@pytest.mark.filterwarnings("ignore")
def test_every_contender_gives_every_picture(task: Task) -> None:
    """An epoch has all forty pictures, in batches of eight, whoever makes it."""
    found = {name: sum(epoch()) for name, epoch in contenders(task).items()}
    assert set(found.values()) == {40}
    assert {"mmdata", "webdataset", "datasets"} <= set(found)
    assert ("litdata" in found) == (find_spec("litdata") is not None)


@pytest.mark.filterwarnings("ignore")  # webdataset leaves files open
def test_raw_contenders_give_every_record(task: Task) -> None:
    """Undecoded, both give every record, so many times over."""
    assert {name: sum(epoch()) for name, epoch in raw_contenders(task).items()} == {
        "mmdata": 40 * RAW_EPOCHS,
        "webdataset": 40 * RAW_EPOCHS,
    }


def test_ratios_are_of_turns_of_the_same_round() -> None:
    """Ratios compare turns of one round; a missed target is named with what was found."""
    own = [Turn(100.0, 0.01), Turn(50.0, 0.02), Turn(90.0, 0.01)]
    other = [Turn(80.0, 0.03), Turn(40.0, 0.06), Turn(60.0, 0.02)]
    rows = benchmark.table({"mmdata": own, "webdataset": other})
    assert rows["webdataset"]["wall_ratio"] == pytest.approx(1.25)
    assert rows["webdataset"]["cpu_ratio"] == pytest.approx(3.0)
    assert rows["webdataset"]["records_per_second"] == 60
    assert list(benchmark.missed(rows, {"webdataset": {"wall_ratio": 9.0}})) == ["webdataset: 1.25 instead of 1.5"]


def test_a_turn_counts_what_was_prepared_ahead_as_work() -> None:
    """Processor time is divided by all records that were made, the rate by those that came."""

    def epoch(ahead: int) -> benchmark.Epoch:
        def counts():  # type: ignore[no-untyped-def]  # noqa: ANN202
            for _ in range(6):
                sum(range(200_000))
                yield 10
            return ahead

        return counts

    alone, more = (benchmark.take_turn(epoch(ahead)) for ahead in (0, 6000))
    assert alone.records_per_second > 0
    assert more.cpu_seconds < alone.cpu_seconds / 10


def rates(loader: float, model: float, both: float, waiting: float) -> dict[str, Rate]:
    """Return one round."""
    return {"loader": Rate(loader, 1.0, None), "model": Rate(model, 0.0, 0.01), "both": Rate(both, waiting, 0.02)}


def test_targets_of_the_gpu_are_shares_of_the_smaller_rate() -> None:
    """Both together are compared with the slower of the two; waiting decides as well."""
    assert loader_gpu.summary([rates(200, 100, 97, 0.01)])["targets_met"]
    assert not loader_gpu.summary([rates(200, 100, 90, 0.01)])["targets_met"]
    assert not loader_gpu.summary([rates(200, 100, 97, 0.05)])["targets_met"]
    assert loader_gpu.summary([rates(100, 200, 97, 0.01), rates(50, 200, 49, 0.01)])["both_of_the_smaller"] == pytest.approx(
        0.975
    )


def test_the_gpu_benchmark_runs_on_a_processor(recipe: Recipe, tmp_path: Path) -> None:
    """The same program, on small pictures: it learns, measures, and writes both reports."""
    build(recipe, tmp_path / "data", workers=1)
    out = tmp_path / "figures"
    settings = ["--device", "cpu", "--batch-size", "4", "--size", "16", "--seconds", "0.2", "--rounds", "1", "--out", str(out)]
    assert loader_gpu.main([str(tmp_path / "data"), *settings]) in (0, 1)
    report = json.loads((out / "loader_gpu.json").read_text())
    assert {name for found in report["rounds"] for name, rate in found.items() if rate["records_per_second"] > 0} == {
        "loader", "model", "both",
    }  # fmt: skip
    assert report["stages"]["stages"]["decode"]["records"] > 0
    assert "| both together |" in (out / "loader_gpu.md").read_text()
