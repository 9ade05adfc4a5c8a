"""Batches to the device: copies and the last steps run on a stream of their own, beside the model's work."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from time import perf_counter

import torch

from mmdata.errors import ConfigError
from mmdata.loader.batch import Batch
from mmdata.loader.finishing import Finish
from mmdata.loader.stats import Meter
from mmdata.loader.views import View
from mmdata.schema import FieldType


@dataclass(frozen=True)
class Crossing:
    """The way of a batch to a GPU: where it begins and ends on the stream that copies it, and what is carried."""

    begun: torch.cuda.Event
    ended: torch.cuda.Event
    records: int
    bytes: int


@dataclass(frozen=True)
class Sent:
    """A batch on its way; on a GPU, `crossing` says when the current stream may use it."""

    batch: Batch
    crossing: Crossing | None = None


def device_named(device: torch.device | str) -> torch.device:
    """Return a device, a GPU with its number. Raises ConfigError for one that there is not."""
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device {device!r} is not one that torch knows: 'cpu', 'cuda', 'cuda:1', …") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {device!r} was asked for, but torch finds no GPU here; use 'cpu' (--device cpu)")
    if found.type == "cuda" and found.index is None:
        # "cuda" is the GPU that this thread has chosen; other threads have not chosen it.
        return torch.device("cuda", torch.cuda.current_device())
    return found


class Transfer:
    """Brings batches to a device: `send` in the thread that makes them, `receive` in the one that uses them."""

    def __init__(self, device: torch.device, types: Mapping[str, FieldType], views: Mapping[str, View], meter: Meter) -> None:
        self.device = device
        self._finish = Finish(types, views, device)
        self._meter = meter
        self._stream: torch.cuda.Stream | None = torch.cuda.Stream(device) if self.pinned else None  # type: ignore[no-untyped-call]
        self._crossings: deque[Crossing] = deque()
        if self._stream is not None:
            # What `Finish` holds was made on the current stream.
            self._stream.wait_stream(torch.cuda.current_stream(device))

    @property
    def pinned(self) -> bool:
        """Whether batches should be made in page-locked memory."""
        return self.device.type == "cuda"

    def stream(self) -> AbstractContextManager[None]:
        """Return a context in which what is done on the device is done beside the model's work, as copies are."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def send(self, batch: Batch) -> Sent:
        """Begin to copy a batch, as narrow as it is, and to finish it on the device."""
        if self._stream is None:
            begin, bytes_ = perf_counter(), batch.nbytes
            finished = self._finish(batch.to(self.device))
            self._meter.add("copy", len(batch), bytes_, perf_counter() - begin)
            return Sent(finished)
        pinned = batch.pin_memory()
        crossing = sum(tensor.nbytes for tensor in pinned.tensors() if not tensor.is_cuda)
        with self.stream():
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            begun.record()
            # The allocator of page-locked memory waits for the copy by itself before it uses the source again.
            finished = self._finish(pinned.to(self.device, non_blocking=True))
            ended.record()
        return Sent(finished, Crossing(begun, ended, len(batch), crossing))

    def receive(self, sent: Sent) -> Batch:
        """Return a batch that the current stream may use: it waits for the copies, the processor does not."""
        if sent.crossing is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(sent.crossing.ended)
            for tensor in sent.batch.tensors():
                # Memory that was allocated on the side stream must not be given away while the current stream uses it.
                tensor.record_stream(current)
            self._crossings.append(sent.crossing)
            self._measure()
        return sent.batch

    def _measure(self) -> None:
        """Enter the crossings that have ended; the processor waits for none."""
        while self._crossings and self._crossings[0].ended.query():  # type: ignore[no-untyped-call]
            done = self._crossings.popleft()
            self._meter.add("copy", done.records, done.bytes, done.begun.elapsed_time(done.ended) / 1000)
