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


def _check_batch_size(batch_size: int, dataset: Dataset) -> None:
    """Raise ConfigError where the train split does not fill a batch."""
    records = sum(shard.records for shard in dataset.shards_of("train"))
    if records < 2:
        raise ConfigError(f"{dataset.path}: split 'train' has fewer than two records; there is nothing to tell apart")
    if records < batch_size:
        fitting = 1 << (records.bit_length() - 1)
        raise ConfigError(
            f"{dataset.path}: split 'train' has {records} records, fewer than a batch of {batch_size}; "
            f"choose a smaller one: --set batch_size={fitting}"
        )


class _Run:
    """A run in progress. `step` steps are done, and `loader_state` is the loader's state after them."""

    def __init__(self, config: TrainConfig, dataset: Dataset, out: Path, device: torch.device | str, threads: int | None) -> None:
        self.config = config
        self.dataset = dataset
        self.out = out
        self.layout = Layout.of(dataset, config)
        _check_batch_size(config.batch_size, dataset)
        options = loader_options(self.layout, config, shuffle=True, threads=threads)
        self.loader = Loader(
            dataset, batch_size=config.batch_size, seed=config.seed, rank=0, world_size=1, device=device, options=options
        )
        self.steps = len(self.loader) * config.epochs
        self.device = torch.device(device)
        self.learner = Learner(config, self.layout, self.steps, self.device)
        self.step = 0
        self.loader_state = self.loader.state_dict()
        self.whole = True
        self.meter = _Meter()

    def go(self, report: Report) -> TrainResult:
        """Restore, learn, measure."""
        begin = time.perf_counter()
        self.out.mkdir(parents=True, exist_ok=True)
        self._restore()
        resumed_from, loss = self.step, None
        log = RunLog(self.out / LOG, self.step)
        with self.loader:
            try:
                loss = self._learn(log, report)
            except KeyboardInterrupt:
                # Stopped inside an update, the weights belong to no step; the checkpoint before is then the one to go on from.
                if self.whole:
                    self._save()
                raise
        retrieval = self._measure()
        if resumed_from < self.steps:
            log.write(self._evaluation_line(retrieval))
        return TrainResult(self.out, self.steps, resumed_from, time.perf_counter() - begin, loss, retrieval)

    def _learn(self, log: RunLog, report: Report) -> float | None:
        """Do the steps that are left and return the loss of the last one."""
        loss = None
        self.meter = _Meter()
        for batch in self._batches():
            losses = self._advance(batch)
            loss = losses.mean
            rate, waiting = self.meter.rate(self.config.batch_size), self.meter.waiting()
            report(TrainProgress(self.step, self.steps, self.epoch, loss, rate, waiting))
            last = self.step == self.steps
            if last or self.step % self.config.log_every == 0:
                log.write(self._line(losses, rate, waiting))
                self.meter = _Meter()
            if last or self.step % self.config.checkpoint_every == 0:
                self._save()
            every = self.config.evaluate_every * len(self.loader)
            if every and not last and self.step % every == 0:
                log.write(self._evaluation_line(self._measure()))
        return loss

    def _batches(self) -> Iterator[Batch]:
        """Yield the batches of the steps that are left, and note the time that each was waited for."""
        while self.step < self.steps:
            batches = iter(self.loader)
            while (batch := self.meter.timed(batches)) is not None:
                yield batch

    def _advance(self, batch: Batch) -> Losses:
        losses = self.learner.gradient(batch, self.step)
        self.whole = False
        self.learner.update(self.step)
        self.step, self.loader_state = self.step + 1, self.loader.state_dict()
        self.whole = True
        self.meter.steps += 1
        return losses

    @property
    def epoch(self) -> int:
        """The epoch of the step done last, from 0."""
        return max(0, self.step - 1) // len(self.loader)

    def _line(self, losses: Losses, rate: float, waiting: float) -> dict[str, Any]:
        speed = {"records_per_second": round(rate, 1), "waiting": round(waiting, 4)}
        lr = learning_rate(self.config, self.step - 1, self.steps)
        return {"step": self.step, "epoch": self.epoch, "loss": losses.mean, "losses": losses.pairs, "learning_rate": lr, **speed}

    def _evaluation_line(self, retrieval: Retrieval | None) -> dict[str, Any]:
        return {"step": self.step, "epoch": self.epoch, "evaluation": None if retrieval is None else retrieval.to_json()}

    def _measure(self) -> Retrieval | None:
        """Measure the model on the held-out split, where the dataset has one."""
        if all(shard.split != HELD_OUT for shard in self.dataset.shards):
            return None
        return evaluate_model(self.learner.model, self.config, self.dataset, HELD_OUT, self.device)

    def _save(self) -> None:
        state = self.learner.state()
        Checkpoint(self.config, self.layout, self.dataset.checksum, self.step, self.loader_state, **state).write(self._path)

    def _restore(self) -> None:
        """Go on from the checkpoint of the folder, where there is one. Raises ConfigError where it is of another run."""
        if not self._path.exists():
            return
        checkpoint = Checkpoint.read(self._path)
        checkpoint.check(self.config, self.layout, self.dataset.checksum, self._path)
        self.learner.restore({"model": checkpoint.model, "losses": checkpoint.losses, "optimizer": checkpoint.optimizer})
        self.loader.load_state_dict(checkpoint.loader)
        self.step, self.loader_state = checkpoint.step, checkpoint.loader

    @property
    def _path(self) -> Path:
        return self.out / CHECKPOINT


class _Meter:
    """Measures speed: steps, and seconds spent waiting for data, since it was made."""

    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.waited = 0.0
        self.steps = 0

    def timed(self, batches: Iterator[Batch]) -> Batch | None:
        """Return the next batch, None at the end of an epoch, and note how long it took to come."""
        begin = time.perf_counter()
        batch = next(batches, None)
        self.waited += time.perf_counter() - begin
        return batch

    def rate(self, records: int) -> float:
        """Return records a second, for this many in each step."""
        return self.steps * records / max(1e-9, time.perf_counter() - self.begin)

    def waiting(self) -> float:
        """Return the share of the time that was spent waiting."""
        return min(1.0, self.waited / max(1e-9, time.perf_counter() - self.begin))


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    """Let torch use this many threads inside the block."""
    if threads is None:
        yield
        return
    if threads < 1:
        raise ConfigError(f"threads is at least 1, not {threads}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
