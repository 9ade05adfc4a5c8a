"""The training loop: steps, log, checkpoints, evaluation. A run that stopped goes on as if it had not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmdata.dataset import Dataset
from mmdata.errors import ConfigError
from mmdata.files import publish
from mmdata.loader import Batch, Loader
from mmdata.train.checkpoint import CHECKPOINT, Checkpoint
from mmdata.train.config import TrainConfig
from mmdata.train.evaluate import evaluate_model, loader_options
from mmdata.train.layout import Layout
from mmdata.train.learner import Learner, Losses, learning_rate
from mmdata.train.retrieval import Retrieval
from mmdata.train.run_log import LOG, RunLog

HELD_OUT = "val"


@dataclass(frozen=True)
class TrainProgress:
    """How far a run is after a step.

    `records_per_second` and `waiting`, the share of the time spent waiting for data, are since the last line of the log.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    records_per_second: float
    waiting: float


Report = Callable[[TrainProgress], None]


@dataclass(frozen=True)
class TrainResult:
    """What a run came to. `loss` is that of the last step; `retrieval` is None where the dataset has no held-out split."""

    run: Path
    steps: int
    resumed_from: int
    seconds: float
    loss: float | None
    retrieval: Retrieval | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        found = None if self.retrieval is None else self.retrieval.to_json()
        return {**self.__dict__, "run": str(self.run), "retrieval": found}


def _silent(_: TrainProgress) -> None:
    return None


def train(
    config: TrainConfig,
    data: str | Path,
    out: str | Path,
    *,
    device: torch.device | str = "cpu",
    threads: int | None = None,
    progress: Report = _silent,
) -> TrainResult:
    """Train the reference model on a dataset and measure it on the held-out split. A run that stopped goes on where it was.

    The same settings on the same dataset give the same losses, step by step, with the same device and threads; so does a run
    that was stopped and taken up again. After Ctrl-C the run can go on from the step that was done last.

    Args:
        config: The settings; see `load_config`.
        data: The dataset folder.
        out: The folder of the run, for `checkpoint.pt` and `log.jsonl`: new, or left by the same run.
        device: Where the model learns: "cpu", "cuda", "cuda:1", …
        threads: Threads of torch and of the loader; by default theirs. Set back at the end.
        progress: Called after every step.

    Raises:
        ConfigError: The settings do not fit the dataset, or the folder belongs to another run.
        DatasetError: The dataset cannot be used.
        MmdataError: The loss is not finite.
    """
    with _torch_threads(threads):
        return _Run(config, Dataset(data), Path(out), device, threads).go(progress)


class _Run:
    """A run in progress. `step` steps are done, and `loader_state` is the loader's state after them."""

    def __init__(self, config: TrainConfig, dataset: Dataset, out: Path, device: torch.device | str, threads: int | None) -> None:
        self.config = config
        self.dataset = dataset
        self.out = out
        self.layout = Layout.of(dataset, config)
        options = loader_options(self.layout, config, shuffle=True, threads=threads)
        self.loader = Loader(
            dataset, batch_size=config.batch_size, seed=config.seed, rank=0, world_size=1, device=device, options=options
        )
        self.steps = len(self.loader) * config.epochs
        self.learner = Learner(config, self.layout, self.steps, torch.device(device))
        self.step = 0
        self.loader_state = self.loader.state_dict()
        self.meter = _Meter(config.batch_size)

    def go(self, report: Report) -> TrainResult:
        """Restore, train, measure."""
        begin = time.perf_counter()
        self.out.mkdir(parents=True, exist_ok=True)
        self._restore()
        resumed_from, loss, retrieval = self.step, None, None
        log = RunLog(self.out / LOG, self.step)
        with self.loader:
            for losses in self._learned():
                loss = losses.mean
                report(self._progress(losses))
                if self.step % self.config.log_every == 0 or self.step == self.steps:
                    log.write(self._line(losses))
                    self.meter = _Meter(self.config.batch_size)
                if self._evaluation_is_due():
                    retrieval = self._evaluate()
                    log.write({"step": self.step, "epoch": self.epoch, "evaluation": retrieval and retrieval.to_json()})
                if self.step % self.config.checkpoint_every == 0 or self.step == self.steps:
                    self._save()
        if resumed_from == self.steps:
            retrieval = self._evaluate()  # there was nothing left to learn
        return TrainResult(self.out, self.steps, resumed_from, time.perf_counter() - begin, loss, retrieval)

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 0."""
        return max(0, self.step - 1) // len(self.loader)

    def _learned(self) -> Iterator[Losses]:
        """Yield the losses of every step that is left, after its update. Leaves a checkpoint when it is interrupted."""
        batches = self._batches()
        whole = True
        try:
            while self.step < self.steps:
                batch = self.meter.wait(batches)
                losses = self.learner.gradient(batch, self.step)
                whole = False
                self.learner.update(self.step)
                self.step, self.loader_state = self.step + 1, self.loader.state_dict()
                whole = True
                self.meter.count()
                yield losses
        except (KeyboardInterrupt, GeneratorExit):
            # Stopped inside an update, the weights belong to no step; the checkpoint of before is then the one to go on from.
            if whole:
                self._save()
            raise
