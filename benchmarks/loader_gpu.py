"""Measure whether the loader keeps a GPU busy: the rates of the loader alone, of the reference model alone, and of both together.

    python -m benchmarks.loader_gpu DATASET [--device cuda] [--batch-size 512] [--size 224] [--preset small]
                                    [--decode threads|device] [--resize device|threads] [--seconds 5] [--rounds 3] [--out DIR]

DATASET is a finished folder with pictures and tokens, for instance one of `benchmarks/photos.yaml`; nothing is built here, and
no more is needed than torch, numpy, pyarrow, pydantic and the decoders. Loader, model and both take turns; the figures are
medians of the rounds. Every picture is decoded, cut at random and mirrored anew each time; resizing and mirroring run on the GPU,
or with `--resize threads` in the threads that decode.

The model learns in earnest: forward, backward, update. `waiting` is the share of the time of both together in which the training
loop waited for a batch. `idle` is the share in which the GPU had nothing to do between two steps, for whatever reason, by its own
clock; the model alone, whose batch lies ready, shows how much of that is not the loader's doing. With `--out`, `loader_gpu.json`
and `loader_gpu.md` are written there. The exit status is 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from mmdata.dataset import Dataset
from mmdata.loader import Batch, Loader, LoaderOptions, PictureView
from mmdata.loader.options import Decode, Resize
from mmdata.loader.testing import stream
from mmdata.train.config import Augmentation, TrainConfig
from mmdata.train.layout import Layout
from mmdata.train.learner import Learner
from mmdata.train.presets import PRESETS

LEAST_COMBINED = 0.95
"""Of the smaller of the loader's and the model's rate."""

MOST_WAITING = 0.02
WARM_UP = 3  # steps that are not measured: they allocate, choose kernels and fill the queue


@dataclass(frozen=True)
class Rate:
    """What one kind of run came to: records a second, and shares of its time; `idle` is None without a GPU."""

    records_per_second: float
    waiting: float
    idle: float | None


@dataclass(frozen=True)
class Bench:
    """A dataset, a loader's settings, the reference model, and a place to run."""

    dataset: Dataset
    config: TrainConfig
    device: torch.device
    threads: int | None
    prefetch: int
    resize: Resize
    decode: Decode

    def loader(self) -> Loader:
        """Return a new loader of random crops."""
        layout = Layout.of(self.dataset, self.config)
        size = (self.config.image.size, self.config.image.size)
        view = PictureView(size, crop="random", flip=0.5)
        options = LoaderOptions(
            fields=tuple(layout.fields.values()),
            views={layout.fields["image"]: view},
            max_tokens=self.config.text.length,
            threads=self.threads,
            prefetch=self.prefetch,
            resize=self.resize,
            decode=self.decode,
        )
        return Loader(self.dataset, batch_size=self.config.batch_size, rank=0, world_size=1, device=self.device, options=options)

    def learner(self) -> Learner:
        """Return a new model with its optimizer."""
        return Learner(self.config, Layout.of(self.dataset, self.config), 1_000_000, self.device)


class Run:
    """A run for some seconds: `step` is called with each batch, and both clocks are read."""

    def __init__(self, device: torch.device, seconds: float) -> None:
        self._device = device
        self._seconds = seconds
        self._idle = 0.0
        self._ended: torch.cuda.Event | None = None

    def measure(self, batches: Iterator[Batch], learner: Learner | None) -> Rate:
        """Return the rate at which batches come, and are learned where there is a learner."""
        for number in range(WARM_UP):
            self._step(next(batches), learner, number)
        self._synchronize()
        begin, waited, records, number = perf_counter(), 0.0, 0, WARM_UP
        self._ended, self._idle = None, 0.0
        while perf_counter() - begin < self._seconds:
            asked = perf_counter()
            batch = next(batches)
            waited += perf_counter() - asked
            self._step(batch, learner, number)
            records, number = records + len(batch), number + 1
        self._synchronize()
        seconds = perf_counter() - begin
        return Rate(records / seconds, waited / seconds, self._idle / seconds if self._device.type == "cuda" else None)

    def _step(self, batch: Batch, learner: Learner | None, number: int) -> None:
        begun = self._event()
        if learner is not None:
            learner.gradient(batch, number)
            learner.update(number)
        if begun is not None:
            if self._ended is not None and learner is not None:
                # The learner has waited for the loss, and so for all before it.
                self._idle += self._ended.elapsed_time(begun) / 1000
            self._ended = self._event()

    def _event(self) -> torch.cuda.Event | None:
        if self._device.type != "cuda":
            return None
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def one_round(bench: Bench, learner: Learner, seconds: float) -> dict[str, Rate]:
    """Return the rates of loader, model and both, each measured for some seconds."""
    rates: dict[str, Rate] = {}
    with bench.loader() as loader:
        batches = stream(loader)
        kept = next(batches)
        rates["loader"] = Run(bench.device, seconds).measure(batches, None)
    rates["model"] = Run(bench.device, seconds).measure(repeat(kept), learner)
    with bench.loader() as loader:
        rates["both"] = Run(bench.device, seconds).measure(stream(loader), learner)
    return rates


def stage_rates(bench: Bench, seconds: float) -> dict[str, Any]:
    """Return what a loader says of its stages after some seconds of loading."""
    with bench.loader() as loader:
        begin = perf_counter()
        for _ in stream(loader):
            if perf_counter() - begin > seconds:
                break
        return asdict(loader.stats())


def summary(rounds: list[dict[str, Rate]]) -> dict[str, Any]:
    """Return medians over the rounds, what both together reach of the smaller, and whether the targets are met."""
    middle = {name: _middle([found[name] for found in rounds]) for name in ("loader", "model", "both")}
    reached = median(
        found["both"].records_per_second / min(found["loader"].records_per_second, found["model"].records_per_second)
        for found in rounds
    )
    waiting = middle["both"].waiting
    return {
        "median": {name: asdict(rate) for name, rate in middle.items()},
        "both_of_the_smaller": reached,
        "waiting": waiting,
        "targets_met": reached >= LEAST_COMBINED and waiting < MOST_WAITING,
    }


def _middle(rates: list[Rate]) -> Rate:
    idle = [rate.idle for rate in rates if rate.idle is not None]
    return Rate(
        median(rate.records_per_second for rate in rates),
        median(rate.waiting for rate in rates),
        median(idle) if idle else None,
    )


def machine(device: torch.device) -> dict[str, Any]:
    """Return what the figures depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"device": name, "cores": cores, "torch": torch.__version__, "python": platform.python_version()}


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a table with a line of context before and after."""
    found, where, settings = report["summary"], report["machine"], report["settings"]
    context = (
        f"{where['device']}, {where['cores']} cores, torch {where['torch']}, Python {where['python']}; batches of "
        f"{settings['batch_size']}, pictures of {settings['size']} pixels, "
        f"decoded by: {settings['decode']}, resized by: {settings['resize']}; preset {settings['preset']}, "
        f"{settings['precision']}; "
        f"medians of {settings['rounds']} rounds of {settings['seconds']} s."
    )
    lines = [
        context,
        "",
        "| | records/s | waiting for a batch | GPU idle between steps |",
        "|---|---|---|---|",
    ]
    for name, title in (("loader", "loader alone"), ("model", "model alone"), ("both", "both together")):
        row = found["median"][name]
        idle = "" if row["idle"] is None or name == "loader" else f"{row['idle']:.1%}"
        waiting = "" if name != "both" else f"{row['waiting']:.1%}"
        lines.append(f"| {title} | {row['records_per_second']:,.0f} | {waiting} | {idle} |")
    verdict = "met" if found["targets_met"] else "missed"
    lines += ["", f"Both together reach {found['both_of_the_smaller']:.3f} of the smaller; targets {verdict}."]
    return "\n".join(lines) + "\n"


def settings_of(arguments: argparse.Namespace) -> TrainConfig:
    """Return a preset as the arguments want it, reading pictures and tokens."""
    preset = PRESETS[arguments.preset]
    return preset.model_copy(
        update={
            "modalities": ("text", "image"),
            "text": preset.text.model_copy(update={"units": "tokens"}),
            "image": preset.image.model_copy(update={"size": arguments.size}),
            "augmentation": Augmentation(shift=0.0),  # the loader moves the pictures
            "batch_size": arguments.batch_size,
            "precision": arguments.precision,
        }
    )


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="small")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--prefetch", type=int, default=4)
    parser.add_argument("--resize", choices=("device", "threads"), default="device")
    parser.add_argument("--decode", choices=("device", "threads"), default="threads")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure, print, write; return the exit status."""
    given = parse(arguments)
    dataset, config = Dataset(given.dataset), settings_of(given)
    bench = Bench(dataset, config, torch.device(given.device), given.threads, given.prefetch, given.resize, given.decode)
    learner = bench.learner()
    rounds = [one_round(bench, learner, given.seconds) for _ in range(given.rounds)]
    found = summary(rounds)
    report = {
        "machine": machine(bench.device),
        "settings": {
            "dataset": dataset.checksum,
            "batch_size": given.batch_size,
            "size": given.size,
            "precision": given.precision,
            "threads": given.threads,
            "prefetch": given.prefetch,
            "resize": given.resize,
            "decode": given.decode,
            "preset": given.preset,
            "seconds": given.seconds,
            "rounds": given.rounds,
            "parameters": sum(parameter.numel() for parameter in learner.model.parameters()),
        },
        "summary": found,
        "rounds": [{name: asdict(rate) for name, rate in found.items()} for found in rounds],
        "stages": stage_rates(bench, given.seconds),
    }
    print(markdown(report))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "loader_gpu.json").write_text(json.dumps(report, indent=1) + "\n")
        (given.out / "loader_gpu.md").write_text(markdown(report))
    return 0 if found["targets_met"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
