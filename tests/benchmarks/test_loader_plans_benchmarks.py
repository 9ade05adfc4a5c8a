"""The benchmarks of order, opening and planning run at a small size, and measure what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import batch_plans, loader_scale, shuffle_quality


def test_shuffle_quality_tells_good_from_bad() -> None:
    """What is stored in order keeps all neighbours; a permutation keeps next to none and travels a third of the dataset."""
    stored = np.arange(4000)
    still = shuffle_quality.measured((stored, stored), 500, 100)
    assert (still.travel, still.neighbours, still.shards_in_batch) == (0, 1, 1)
    assert still.repeated == pytest.approx(40)
    mixed = shuffle_quality.measured(shuffle_quality.full_permutation(8, 500), 500, 100)
    assert 0.9 < mixed.travel < 1.1
    assert mixed.neighbours < 0.005
    assert mixed.shards_in_batch > 7.9
    assert 0.8 < mixed.repeated < 1.2
    for order in (*shuffle_quality.loader_order(8, 500, 2), *shuffle_quality.buffer_order(8, 500, 100)):
        assert sorted(order.tolist()) == stored.tolist()


def test_scale_is_measured_through_the_real_opening(tmp_path: Path) -> None:
    """The synthetic dataset opens in a process of its own, and has as many records as asked for."""
    loader_scale.write_description(tmp_path, 50, 100)
    found = loader_scale.measured_apart(tmp_path, 64, 5)
    assert found["records"] == 5000
    assert all(value > 0 for name, value in found.items() if "megabytes" not in name)


def test_plans_of_every_kind_are_measured(tmp_path: Path) -> None:
    """The table has a row for every kind of batch, and packed rows have the least padding."""
    done = CliRunner().invoke(batch_plans.main, ["--out", str(tmp_path / "new"), "--shards", "4", "--records", "300"])
    assert done.exit_code == 0, done.output
    rows = [line.split(" | ") for line in done.output.splitlines()[2:]]
    assert [row[0].removeprefix("| ") for row in rows] == [case.name for case in batch_plans.CASES]
    padding = [float(row[3].rstrip("%")) for row in rows]
    assert min(padding) == padding[-1] < padding[1] < padding[0]
    assert not (tmp_path / "new").exists()
