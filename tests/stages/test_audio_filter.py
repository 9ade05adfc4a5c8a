"""`audio.filter`: every recording is measured, and one outside a limit is filtered with the number that was found."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from mmdata.errors import RecipeError
from mmdata.record import Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.audio_filter import Filter
from mmdata.values import Audio
from tests.dsp.test_spectral_gate import noise, speech_like
from tests.stages.sounds import record

_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"audio": FieldType("audio", dtype="float32", shape=(1, None))})


def noisy(snr: float = 15.0) -> NDArray[np.float32]:
    """Make 3 seconds of speech in white noise at 16 kHz."""
    clean = speech_like(3.0, 16000)
    return clean + noise(clean, snr)


def run(stage: Filter, samples: NDArray[np.float32]) -> Record | Reject:
    """Run the stage over one recording at 16 kHz."""
    outcome = stage(record(Audio(samples, 16000)), _RNG)
    assert not isinstance(outcome, list)
    return outcome


def test_every_recording_is_measured() -> None:
    """Without any limit; the measures are those that `infer` promises, and the record is else as it was."""
    value = Audio(noisy(), 16000)
    given_record = record(value)
    result = Filter()(given_record, _RNG)
    assert isinstance(result, Record)
    assert result["audio"] is value
    assert given_record.measures == {}
    assert result.measures["audio.snr"] == pytest.approx(15.0, abs=1.0)
    assert result.measures["audio.clipping"] == 0.0
    assert 0.0 <= float(result.measures["audio.silence"]) < 0.5
    assert float(result.measures["audio.bandwidth"]) > 7500.0
    assert Filter().infer(_SCHEMA).measures == dict.fromkeys(result.measures, "float")
    assert pickle.loads(pickle.dumps(Filter()))(given_record, _RNG).measures == result.measures


@pytest.mark.parametrize(
    ("options", "reason", "detail"),
    [
        ({"minimum_seconds": 3.5}, "recording is too short", "3.000 s; at least 3.5 s are wanted"),
        ({"maximum_seconds": 2.5}, "recording is too long", "3.000 s; at most 2.5 s are wanted"),
        ({"minimum_snr": 25}, "recording is noisy", "at least 25 dB are wanted"),
        ({"maximum_clipping": 0.001}, "recording is clipped", "at most 0.1000% are wanted"),
        ({"maximum_silence": 0.2}, "recording is mostly silent", "at most 20.0% are wanted"),
        ({"minimum_bandwidth": 7900}, "recording has a narrow band", "at least 7900 Hz are wanted"),
    ],
)
def test_a_recording_outside_a_limit_is_filtered(options: dict[str, Any], reason: str, detail: str) -> None:
    """With a reason that can be counted and the number that was found; one inside of it is not."""
    poor = noisy(5.0)
    if reason == "recording is clipped":
        poor = np.clip(10 * poor, -1, 1)
    if reason == "recording is mostly silent":
        poor = np.concatenate([poor[:, :16000], np.zeros((1, 32000), np.float32)], axis=1)
    if reason == "recording has a narrow band":
        poor = 0.5 * np.sin(np.arange(48000, dtype=np.float32) / 4)[None]
    outcome = run(Filter(**options), poor)
    assert isinstance(outcome, Reject)
    assert (outcome.kind, outcome.reason) == ("filtered", reason)
    assert detail in outcome.detail
    good = {"minimum_seconds": 3.0, "maximum_seconds": 3.0, "minimum_snr": 10, "maximum_clipping": 0, "maximum_silence": 0.5}
    assert isinstance(run(Filter(**good, minimum_bandwidth=7500), noisy()), Record)


def test_silence_and_nothing_have_measures_too() -> None:
    """Nothing to hear: the lowest ratio, all silence, no band."""
    for length in (0, 1, 16000):
        result = run(Filter(), np.zeros((2, length), np.float32))
        assert isinstance(result, Record)
        assert list(result.measures.values()) == [-20.0, 0.0, 1.0, 0.0]


def test_wrong_options_are_refused() -> None:
    """Limits that leave nothing, an unknown one, a field that is encoded."""
    with pytest.raises(ValidationError, match="minimum_seconds 3.0 is above maximum_seconds 2.0"):
        Filter(minimum_seconds=3, maximum_seconds=2)
    with pytest.raises(ValidationError):
        Filter.model_validate({"minimum_snrr": 3})
    with pytest.raises(RecipeError, match=r"decode it first \(audio.decode\)"):
        Filter().infer(Schema({"audio": FieldType("audio", encoded=True)}))


def test_a_record_without_the_recording_goes_through() -> None:
    """There is nothing to measure."""
    empty = record(Audio(noisy(), 16000)).without("audio")
    assert Filter(minimum_seconds=9)(empty, _RNG) is empty
