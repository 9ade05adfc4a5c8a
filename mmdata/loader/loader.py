"""The loader: batches of a finished dataset, in an order that can be taken up again at any step by any number of ranks."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Generator, Iterator, Mapping
from functools import lru_cache
from typing import Any, Self

import torch

from mmdata.loader.batch import Batch
from mmdata.loader.batching import BatchSize
from mmdata.loader.collection import Collection, Readable
from mmdata.loader.device import Transfer, device_named
from mmdata.loader.nvjpeg import GpuJpegs
from mmdata.loader.options import LoaderOptions, Ranks
from mmdata.loader.pipeline import Pipeline, Prepared
from mmdata.loader.planning import look_ahead_for, plan_of, settings_of
from mmdata.loader.records import ShardedRecords
from mmdata.loader.schedule import START, Schedule
from mmdata.loader.state import Identity
from mmdata.loader.stats import LoaderStats, Meter
from mmdata.loader.substitution import Ledger, Substitution

_DEFAULTS = LoaderOptions()


class Loader:
    """Yields the batches of a split: `for batch in loader` is the rest of the current epoch, the next `for` the next epoch.

    An epoch that was left in the middle goes on where it was left. `len(loader)` is the number of steps of this epoch, the
    same on every rank. Threads prepare batches ahead, also of the next epoch; `close`, the end of a `with` block, or the garbage
    collector ends them.

    Args:
        out: the dataset folder, the open dataset, or a `Mixture` of several.
        split: "train", "val" or "test".
        batch_size: what makes a step of all ranks together: so many records, a multiple of `world_size`; or a `Budget` of tokens,
            patches and frames; or a `Packing` of token sequences into rows.
        seed: decides the order, together with the dataset and the number of the epoch.
        rank: number of this process among `world_size`; where neither is given, RANK and WORLD_SIZE of the environment are
            taken, as torchrun sets them, else there is one process.
        world_size: number of processes.
        device: where the tensors of the batches are to be.
        options: everything else.
        environment: where RANK, WORLD_SIZE and LOCAL_WORLD_SIZE are looked up.

    Raises DatasetError for a folder that is no finished dataset or lacks the split, ConfigError for settings that do not fit.
    """

    def __init__(  # noqa: PLR0913 - what a run sets stands in one call; the rest is in the options
        self,
        out: Readable,
        *,
        split: str = "train",
        batch_size: BatchSize,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        device: torch.device | str = "cpu",
        options: LoaderOptions = _DEFAULTS,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        collection = Collection.of(out, options.cache).select(options.fields)
        self.device = device_named(device)
        # On a GPU, pictures can be resized in whole batches; here, one by one, in the threads that decode them.
        in_threads = self.device.type == "cpu" or options.resize == "threads"
        jpegs = GpuJpegs(self.device) if options.decode == "device" else None
        self._records = ShardedRecords(collection, split, options, resize=in_threads, jpegs=jpegs)
        plan = plan_of(collection, split, batch_size, seed, options)
        self.schedule = Schedule(plan.order, plan.cut, Ranks.of(rank, world_size, environment))
        self.identity = Identity(collection.checksum, split, seed, settings_of(collection, batch_size, options))
        self._mixed, self._sources = plan.mixed, collection.names
        self._ahead = look_ahead_for(collection, split, plan.order, options)
        self._meter = Meter()
        self._transfer = Transfer(self.device, self._records.types, options.views, self._meter)
        self._pipeline = Pipeline(self._records, self.schedule, self._transfer, self._meter)
        self._threads, self._prefetch = options.thread_count(environment), options.prefetch
        self._ledger = Ledger(logging.getLogger("mmdata.loader"))
        self._next = START
        self._digest = lru_cache(2)(plan.order.digest)
        self._running: Generator[Prepared] | None = None
        self._stop: weakref.finalize[..., Loader] | None = None

    @property
    def ledger(self) -> tuple[Substitution, ...]:
        """The substitutions on this rank, in the batches that this loader has yielded."""
        return tuple(self._ledger.entries)

    def __len__(self) -> int:
        return self.schedule.steps(self._next.epoch)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self._next.epoch
        while self._next.epoch == epoch:
            yield self._advance()

    def _advance(self) -> Batch:
        asked = self._meter.begin()
        if self._running is None:
            self._look_ahead()
            self._running = self._pipeline.run(self._next, self._threads, self._prefetch)
            # Also when the loader is forgotten, or the program ends: threads must be gone before the interpreter is.
            self._stop = weakref.finalize(self, self._running.close)
        try:
            prepared = next(self._running)
        except BaseException:
            self.close()  # an iterator that has failed yields nothing more; the next call begins at the same step
            raise
        self._ledger.enter(prepared.substitutions)
        # The state speaks of what was handed out, so it moves here and not where batches are prepared.
        self._next = prepared.following
        self._look_ahead()
        batch = self._transfer.receive(prepared.sent)
        self._meter.received(asked)
        return batch

    def _look_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.move_to(self._next)

    def stats(self) -> LoaderStats:
        """Return how long this rank has waited for batches, and how fast each stage was, since the first one was asked for."""
        return self._meter.stats()

    @property
    def source_epochs(self) -> dict[str, float]:
        """How many times each dataset of a mixture has been gone through, up to the batch that was yielded last."""
        if self._mixed is None:
            return {}
        epochs = self._mixed.epochs_of_sources(self._next.epoch, self._next.position)
        return {name: float(share) for name, share in zip(self._sources, epochs, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """Return the state after the batch yielded last: a few numbers and strings, the same on every rank."""
        return self.identity.state(self._next, self._digest(self._next.epoch))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the batch that was yielded last when the state was taken; ranks and threads may be others.

        Raises ConfigError, with each difference on a line, for a state of another dataset, split, seed, batch size, window,
        shuffle or last.
        """
        self._next = self.identity.restored(state, self.schedule)
        self.close()

    def close(self) -> None:
        """End the threads and drop what they prepared; the loader can be used again afterwards."""
        self._running = None
        if self._stop is not None:
            self._stop()
        if self._ahead is not None:
            self._ahead.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
