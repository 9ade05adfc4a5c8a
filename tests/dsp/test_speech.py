"""Speech activity: the probabilities and the stretches are those of the wheel's own code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmdata.dsp.speech import RATE, WINDOW, SpeechRules, require_speech, speech_probabilities, speech_spans
from mmdata.errors import MissingExtraError

pytest.importorskip("onnxruntime")
if find_spec("silero_vad") is None:
    pytest.skip("the extra `speech` is not installed", allow_module_level=True)

Timestamps = Callable[..., list[dict[str, int]]]
DEMO = Path(__file__).parents[2] / "pipelines" / "demo" / "audio"


def spoken(name: str = "beagle-01.flac") -> NDArray[np.float32]:
    """Read a recording of the demo corpus, mono at 16 kHz, [samples]."""
    samples, rate = soundfile.read(DEMO / name, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, RATE), dtype=np.float32)


@pytest.fixture(scope="module")
def timestamps() -> Timestamps:
    """The wheel's own rules; importing it sets torch to one thread, which is put back."""
    import torch

    threads = torch.get_num_threads()
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    torch.set_num_threads(threads)
    return cast("Timestamps", get_speech_timestamps_from_probs)


def window_by_window(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run the streaming model of the wheel, one window a call."""
    import onnxruntime

    package = find_spec("silero_vad")
    assert package is not None
    assert package.origin is not None
    session: Any = onnxruntime.InferenceSession(Path(package.origin).with_name("data") / "silero_vad.onnx")
    state, context, found = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for start in range(0, len(samples), WINDOW):
        window = np.pad(samples[start : start + WINDOW], (0, max(0, start + WINDOW - len(samples))))
        seen = np.concatenate([context, window])[None]
        probability, state = session.run(None, {"input": seen, "state": state, "sr": np.array(RATE)})
        found.append(probability[0, 0])
        context = window[-64:]
    return np.array(found, np.float32)


def test_probabilities_are_those_of_the_streaming_model() -> None:
    """Window by window, across the border of two blocks; a second run gives the same bytes."""
    samples = np.tile(spoken(), 12)[: 600 * WINDOW + 100]
    found = speech_probabilities(samples)
    assert found.shape == (601,)
    np.testing.assert_allclose(found, window_by_window(samples), atol=1e-4)
    assert speech_probabilities(samples.copy()).tobytes() == found.tobytes()


def test_people_speak_and_noise_does_not() -> None:
    """A demo recording is mostly speech; white noise and silence are none; no samples give no windows."""
    rules = SpeechRules()
    samples = spoken()
    spans = speech_spans(speech_probabilities(samples), len(samples) / RATE, rules)
    assert sum(end - start for start, end in spans) > 0.4 * len(samples) / RATE
    hiss = (0.05 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32)
    for nothing in (hiss, np.zeros(2 * RATE, np.float32), np.zeros(0, np.float32)):
        assert speech_spans(speech_probabilities(nothing), len(nothing) / RATE, rules) == []


@given(
    st.lists(st.floats(0.0, 1.0, width=32), max_size=60),
    st.integers(0, WINDOW - 1),
    st.floats(0.1, 0.9),
    st.tuples(st.sampled_from([0, 100, 250]), st.sampled_from([0, 32, 100, 200]), st.sampled_from([0, 30, 100])),
)
@settings(max_examples=150, deadline=None)
def test_stretches_are_those_of_the_wheel(
    timestamps: Timestamps,
    probabilities: list[float],
    missing: int,
    threshold: float,
    milliseconds: tuple[int, int, int],
) -> None:
    """For any probabilities and rules, to the sample that the wheel rounds to."""
    speech, silence, margin = milliseconds
    length = max(0, len(probabilities) * WINDOW - missing)
    expected = timestamps(
        probabilities,
        sampling_rate=RATE,
        threshold=threshold,
        min_speech_duration_ms=speech,
        min_silence_duration_ms=silence,
        speech_pad_ms=margin,
        audio_length_samples=length,
    )
    rules = SpeechRules(threshold, speech / 1000, silence / 1000, margin / 1000)
    found = speech_spans(np.array(probabilities, np.float32), length / RATE, rules)
    assert len(found) == len(expected)
    for (start, end), span in zip(found, expected, strict=True):
        assert start * RATE == pytest.approx(span["start"], abs=1.01)
        assert end * RATE == pytest.approx(span["end"], abs=1.01)


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feature that needs it, and the command."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # how Python marks a module that cannot be imported
    with pytest.raises(MissingExtraError, match=r"audio.speech needs the extra 'speech'.*pip install 'mmdata\[speech\]'"):
        require_speech("audio.speech")
