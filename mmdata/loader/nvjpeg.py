"""JPEG files decoded by a GPU, many in one call: nvJPEG, as TorchCodec brings it, and torchvision before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdata.errors import ConfigError, RecordError

_LIBRARIES = ("torchcodec.decoders", "torchvision.io")
"""Where `decode_jpeg` is looked for; the first that works on the device is taken."""


class GpuJpegs:
    """Decodes JPEG files on a GPU; threads share it. Raises ConfigError for another device, or where no library there can do it.

    It works on a stream of its own, on which nothing else waits: the library writes into new memory at once, so none of it may
    still be read by what was asked for earlier.
    """

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda":
            raise ConfigError(f"decode='device' is for a GPU, but the loader's device is {device}")
        self._device = device
        self._decode = _decoder_on(device)
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, files: Sequence[memoryview]) -> list[Tensor]:
        """Return the pictures, uint8 [3, height, width]. Raises RecordError where one of them cannot be decoded."""
        sources = [torch.frombuffer(file, dtype=torch.uint8) for file in files]
        with torch.cuda.stream(self._stream):
            try:
                return self._decode(sources, mode="RGB", device=self._device)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                raise RecordError("picture cannot be decoded", str(error)) from error

    def uploaded(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return a picture uint8 [height, width, 3] that was decoded here as one that was decoded there."""
        with torch.cuda.stream(self._stream):
            return torch.from_numpy(pixels).to(self._device).permute(2, 0, 1).contiguous()

    def hand_over(self, pictures: Iterable[Tensor]) -> None:
        """Let the current stream use pictures, and their memory not be used again before it is done."""
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._stream)
        for picture in pictures:
            picture.record_stream(current)


def _decoder_on(device: torch.device) -> Callable[..., list[Tensor]]:
    import simplejpeg

    smallest = torch.frombuffer(bytearray(simplejpeg.encode_jpeg(np.zeros((8, 8, 3), np.uint8))), dtype=torch.uint8)
    reasons = []
    for library in _LIBRARIES:
        try:
            decode: Callable[..., Any] = import_module(library).decode_jpeg
            decode([smallest], mode="RGB", device=device)
        except (ImportError, AttributeError, OSError, RuntimeError) as error:
            reasons.append(f"  {library}: {str(error).partition(chr(10))[0]}")
        else:
            return decode
    raise ConfigError(
        "\n".join(
            [f"decode='device': no library decodes JPEG files on {device}; install one, or leave it to the threads", *reasons]
        )
    )
