"""Where somebody speaks: Silero VAD, a small recurrent network for speech activity. It needs the extra `speech`.

Source: Silero Team, "Silero VAD: pre-trained enterprise-grade voice activity detector", https://github.com/snakers4/silero-vad;
wheel `silero-vad` (MIT), which carries its weights, run by `onnxruntime` (MIT). Nothing is downloaded.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import MissingExtraError

RATE = 16_000
WINDOW = 512
"""Samples at 16 kHz that get one probability: 32 ms."""

_CONTEXT = 64  # samples that each window sees of the one before
_BLOCK = 512  # windows a call: 16 s
_STATE = (1, 1, 128)
_HYSTERESIS = 0.15  # speech ends where the probability falls this much below the threshold, as in the wheel's own code


def require_speech(feature: str) -> None:
    """Raise MissingExtraError where the model or its runtime is not installed."""
    if find_spec("onnxruntime") is None or find_spec("silero_vad") is None:
        raise MissingExtraError("speech", feature)


def speech_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of speech in each window of 32 ms of [samples] at 16 kHz: float32 [windows], 0 to 1.

    The last window may reach past the end; it is filled with zeros. Raises MissingExtraError where the model is not installed.
    """
    session = _session()
    hidden, cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
    found = [np.zeros(0, np.float32)]
    for windows in _blocks(samples):
        probabilities, hidden, cell = session.run(["speech_probs", "hn", "cn"], {"input": windows, "h": hidden, "c": cell})
        found.append(probabilities.ravel())
    return np.concatenate(found)


def _blocks(samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield float32 [windows, 64 + 512]: each window after the end of the one before it."""
    padded = np.pad(samples, (_CONTEXT, -len(samples) % WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + WINDOW)[::WINDOW] if len(samples) else padded[:0]
    for start in range(0, len(windows), _BLOCK):
        yield np.ascontiguousarray(windows[start : start + _BLOCK])


@cache
def _session() -> Any:  # noqa: ANN401 - onnxruntime ships no types
    """Load the model from the installed wheel, to run in one thread: its sums then have one order."""
    require_speech("speech activity")
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; a warning names an unused constant of the model
    # The file is found without importing the package, which would import torch and set its number of threads.
    package = find_spec("silero_vad")
    assert package is not None
    assert package.origin is not None
    model = Path(package.origin).parent / "data" / "silero_vad_16k_sequence.onnx"
    return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class SpeechRules:
    """How probabilities become stretches of speech: a probability, and three times in seconds."""

    threshold: float = 0.5
    minimum_speech: float = 0.25
    minimum_silence: float = 0.1
    margin: float = 0.03


def speech_spans(probabilities: NDArray[np.float32], seconds: float, rules: SpeechRules) -> list[tuple[float, float]]:
    """Return where speech is in a recording of `seconds`, as (start, end) in seconds, in order and apart.

    `probabilities` are those of windows of 32 ms. Speech begins where one reaches the threshold, and ends where they have been
    0.15 below it for `minimum_silence`. What lasts no longer than `minimum_speech` is none. Each stretch grows by `margin` at
    both ends, or by half of the silence between two. The rules are those of the wheel's own `get_speech_timestamps`.
    """
    stretches = ((start, min(end, seconds)) for start, end in _stretches(probabilities, rules))
    spans = [(start, end) for start, end in stretches if end - start > rules.minimum_speech]
    middles = ((end + start) / 2 for (_, end), (start, _) in pairwise(spans))
    limits = pairwise([0.0, *middles, seconds])
    return [
        (max(start - rules.margin, before), min(end + rules.margin, after))
        for (start, end), (before, after) in zip(spans, limits, strict=False)
    ]


def _stretches(probabilities: NDArray[np.float32], rules: SpeechRules) -> Iterator[tuple[float, float]]:
    """Yield (start, end) in seconds of what is above the threshold, with shorter silences taken in."""
    seconds = WINDOW / RATE
    low = max(rules.threshold - _HYSTERESIS, 0.01)
    start = silence = None
    for number, probability in enumerate(probabilities.tolist()):
        if probability >= rules.threshold:
            start, silence = number if start is None else start, None
        elif probability < low and start is not None:
            silence = number if silence is None else silence
            if (number - silence) * seconds >= rules.minimum_silence:
                yield start * seconds, silence * seconds
                start = silence = None
    if start is not None:
        yield start * seconds, math.inf
