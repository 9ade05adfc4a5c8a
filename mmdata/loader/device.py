"""Batches to the device: copies run on a stream of their own, beside the model's work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from mmdata.errors import ConfigError
from mmdata.loader.batch import Batch, widened
from mmdata.schema import FieldType


@dataclass(frozen=True)
class Sent:
    """A batch on its way; on a GPU, `arrived` marks the end of its copies on the stream that makes them."""

    batch: Batch
    arrived: torch.cuda.Event | None = None


class Transfer:
    """Brings batches to a device: `send` in the thread that makes them, `receive` in the one that uses them.

    Raises ConfigError for a device that there is not.
    """

    def __init__(self, device: torch.device | str, types: Mapping[str, FieldType]) -> None:
        try:
            self.device = torch.device(device)
        except RuntimeError as error:
            raise ConfigError(f"device {device!r} is not one that torch knows: 'cpu', 'cuda', 'cuda:1', …") from error
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError(f"device {device!r} was asked for, but torch finds no GPU here; use device='cpu'")
        if self.device.type == "cuda" and self.device.index is None:
            # "cuda" is the GPU that this thread has chosen; other threads have not chosen it.
            self.device = torch.device("cuda", torch.cuda.current_device())
        self._types = types
        self._stream: torch.cuda.Stream | None = torch.cuda.Stream(self.device) if self.pinned else None  # type: ignore[no-untyped-call]

    @property
    def pinned(self) -> bool:
        """Whether batches should be made in page-locked memory."""
        return self.device.type == "cuda"

    def send(self, batch: Batch) -> Sent:
        """Begin to copy a batch, as narrow as it is, and widen it on the device."""
        if self._stream is None:
            return Sent(widened(batch.to(self.device), self._types))
        with torch.cuda.stream(self._stream):
            # The allocator of page-locked memory waits for the copy by itself before it uses the source again.
            moved = widened(batch.to(self.device, non_blocking=True), self._types)
            return Sent(moved, self._stream.record_event())

    def receive(self, sent: Sent) -> Batch:
        """Return a batch that the current stream may use: it waits for the copies, the processor does not."""
        if sent.arrived is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(sent.arrived)
            for tensor in sent.batch.tensors():
                # Memory that was allocated on the side stream must not be given away while the current stream uses it.
                tensor.record_stream(current)
        return sent.batch
