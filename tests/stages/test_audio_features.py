"""`audio.features`: the spectrogram stands beside the recording, as an array of the type that `infer` says."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from mmdata.dsp.mel import log_mel
from mmdata.errors import RecipeError
from mmdata.record import Record
from mmdata.schema import FieldType, Schema
from mmdata.stages.audio_features import Features
from mmdata.values import Array, Audio
from tests.stages.sounds import record, sound

_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"audio": FieldType("audio", dtype="float32", shape=(1, None), rate=16000)})


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_array_is_the_spectrogram(bins: Any, dtype: Any) -> None:
    """Of the bins and the type asked for; the same after a pickle; the recording stays as it was."""
    value = Audio(sound(1.0, 16000, 1), 16000)
    stage = Features(bins=bins, dtype=dtype)
    result = stage(record(value), _RNG)
    again = pickle.loads(pickle.dumps(stage))(record(value), _RNG)
    assert isinstance(result, Record)
    found = result["features"]
    assert isinstance(found, Array)
    assert result["audio"] is value
    assert np.array_equal(value.samples, sound(1.0, 16000, 1))
    assert found.array.tobytes() == again["features"].array.tobytes()
    assert np.array_equal(found.array, log_mel(value.samples[0], bins).astype(dtype))
    inferred = stage.infer(_SCHEMA).fields["features"]
    assert (inferred.kind, inferred.dtype, inferred.shape) == ("array", str(found.array.dtype), (bins, None))
    assert found.array.shape == (bins, 100)


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        (FieldType("audio", shape=(1, None), rate=8000), r"is at 8000 Hz, this needs 16000 Hz.*\(audio.resample\)"),
        (FieldType("audio", shape=(1, None)), "is of any rate, this needs 16000 Hz"),
        (FieldType("audio", shape=(None, None), rate=16000), "may have several channels.*audio.channels: {to: mono}"),
        (FieldType("audio", rate=16000), "may have several channels"),
        (FieldType("audio", encoded=True), r"decode it first \(audio.decode\)"),
        (FieldType("text"), "is of kind text, this needs audio"),
    ],
)
def test_a_recording_that_does_not_fit_is_said_before_any_data_is_read(type_: FieldType, message: str) -> None:
    """Wrong rate, unknown rate, too many channels, still encoded; and what to do."""
    with pytest.raises(RecipeError, match=message):
        Features().infer(Schema({"audio": type_}))
    with pytest.raises(RecipeError, match="there is a field 'audio' already"):
        Features(output="audio").infer(_SCHEMA)


def test_a_record_without_the_recording_goes_through() -> None:
    """It gets no array."""
    empty = record(Audio(sound(0.1, 16000, 1), 16000)).without("audio")
    assert Features()(empty, _RNG) is empty
