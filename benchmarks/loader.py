r"""Measure how fast photos come out of the loader, beside other loaders and beside the bare library calls.

    mmdata build benchmarks/photos.yaml DATASET --limit 1000 \
        --set source.path=PHOTOS/manifest.jsonl --set stages.image.resize.size=480
    python -m benchmarks.loader DATASET [--workers 2] [--batch-size 64] [--rounds 5] [--out DIR]

Everyone reads the same JPEG payloads and gives batches of 224 by 224 pixels: cut at random, resized, mirrored by chance. mmdata
works in threads, the others in as many worker processes. The limit makes the same calls of simplejpeg and torch on payloads that
lie in memory, with as many threads, and nothing else; `decode` is the first of these calls alone. Contenders take turns, an epoch
each, so that what else the machine does strikes all; ratios are medians over the rounds. `wall` is the rate from the fourth batch
on, `CPU` the processor time of all processes a record, start included. The raw table is of undecoded records, on one thread.

LitData takes part where it is installed. It asks for packages that the pinned ones exclude and does not need them here:
`pip install --no-deps litdata lightning-utilities obstore tifffile`. MosaicML Streaming cannot be installed beside these pins.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from benchmarks.loader_peers import Epoch, Task, contenders, raw_contenders
from mmdata.dataset import Dataset

WARM_UP = 3  # batches: workers start, queues fill
TARGETS = {"decode, cut, resize (limit)": 0.9, "webdataset": 1.5, "datasets": 1.0, "litdata": 1.0}
RAW_TARGET = 8.0


@dataclass(frozen=True)
class Turn:
    """One epoch of one contender: records a second after the warm-up, and processor seconds a record over all of it."""

    records_per_second: float
    cpu_seconds: float


def take_turn(epoch: Epoch) -> Turn:
    """Run an epoch to its end. What was prepared of the next one counts where processor time is concerned."""
    cpu, running = _cpu_seconds(), epoch()
    counts, times, ahead = [], [], 0
    while True:
        try:
            counts.append(next(running))
        except StopIteration as end:
            ahead = end.value or 0
            break
        times.append(perf_counter())
    rate = sum(counts[WARM_UP + 1 :]) / (times[-1] - times[WARM_UP])
    return Turn(rate, (_cpu_seconds() - cpu) / (sum(counts) + ahead))


def _cpu_seconds() -> float:
    """Return processor seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(found.ru_utime + found.ru_stime for found in used)


def measure(epochs: Mapping[str, Epoch], rounds: int) -> dict[str, list[Turn]]:
    """Return the turns of each contender; all take one in every round, in an order that rotates."""
    turns: dict[str, list[Turn]] = {name: [] for name in epochs}
    names = list(epochs)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            turns[name].append(take_turn(epochs[name]))
    return turns


def table(turns: Mapping[str, list[Turn]]) -> dict[str, dict[str, float]]:
    """Return medians, and how many times as fast mmdata is: by the clock, and by processor time."""
    own = turns["mmdata"]
    return {
        name: {
            "records_per_second": median(turn.records_per_second for turn in found),
            "cpu_milliseconds": 1000 * median(turn.cpu_seconds for turn in found),
            "wall_ratio": median(a.records_per_second / b.records_per_second for a, b in zip(own, found, strict=True)),
            "cpu_ratio": median(b.cpu_seconds / a.cpu_seconds for a, b in zip(own, found, strict=True)),
        }
        for name, found in turns.items()
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Return the report as tables."""
    where, given = report["machine"], report["settings"]
    context = (
        f"{where['cores']} cores, {where['python']}, torch {where['torch']}; {given['records']} photos, "
        f"{given['workers']} threads or workers, batches of {given['batch_size']}; "
        f"medians of {given['rounds']} alternating rounds."
    )
    lines = [context]
    for title in ("decoded", "raw"):
        lines += [
            "",
            f"| {title} | records/s | CPU ms a record | mmdata is … times as fast, wall | CPU |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {row['records_per_second']:,.0f} | {row['cpu_milliseconds']:.3f} | {row['wall_ratio']:.2f} "
            f"| {row['cpu_ratio']:.2f} |"
            for name, row in report[title].items()
        ]
    missed = "; ".join(report["missed"]) or "none"
    return "\n".join([*lines, "", f"Targets missed: {missed}."]) + "\n"


def missed(decoded: Mapping[str, Mapping[str, float]], raw: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield the targets that were missed, by the clock."""
    for name, least in TARGETS.items():
        if name in decoded and decoded[name]["wall_ratio"] < least:
            yield f"{name}: {decoded[name]['wall_ratio']:.2f} instead of {least}"
    if raw["webdataset"]["wall_ratio"] < RAW_TARGET:
        yield f"raw, webdataset: {raw['webdataset']['wall_ratio']:.2f} instead of {RAW_TARGET}"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure, print, write; return 1 where a target is missed."""
    given = parse(arguments)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        task = Task(Dataset(given.dataset), given.batch_size, given.workers, Path(folder))
        decoded = measure(contenders(task), given.rounds)
        raw = measure(raw_contenders(task), given.rounds)
    tables = {"decoded": table(decoded), "raw": table(raw)}
    report = {
        "machine": {"cores": os.cpu_count(), "python": f"Python {platform.python_version()}", "torch": torch.__version__},
        "settings": {
            "records": len(task.records), "workers": given.workers, "batch_size": given.batch_size, "rounds": given.rounds,
        },
        **tables,
        "missed": list(missed(**tables)),
        "turns": {"decoded": _plain(decoded), "raw": _plain(raw)},
    }  # fmt: skip
    print(markdown(report))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "loader.json").write_text(json.dumps(report, indent=1) + "\n")
        (given.out / "loader.md").write_text(markdown(report))
    return 1 if report["missed"] else 0


def _plain(turns: Mapping[str, list[Turn]]) -> dict[str, list[dict[str, float]]]:
    return {name: [asdict(turn) for turn in found] for name, found in turns.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
