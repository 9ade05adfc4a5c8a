"""The audio stages: every format decodes whole or not at all, and segments stay with what was said."""

from __future__ import annotations

import math
import pickle
import re
import struct
import warnings
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from mmdata.dsp import flac, mp3
from mmdata.dsp.loudness import gated_loudness, integrated_loudness, k_weighting
from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import TimeMap, composed
from mmdata.record import Origin, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.audio import Decode, Loudness, Resample, Trim
from mmdata.stages.base import FieldStage
from mmdata.values import Audio, Segment

_RNG = np.random.default_rng(0)
_DECODED = Schema({"audio": FieldType("audio", dtype="float32", shape=(1, None), rate=16000)})
_FORMATS = {
    "wav8": ("WAV", "PCM_U8", 0.008),
    "wav16": ("WAV", "PCM_16", 1e-4),
    "wav24": ("WAVEX", "PCM_24", 1e-6),
    "wav32": ("WAV", "PCM_32", 1e-6),
    "float": ("WAV", "FLOAT", 1e-7),
    "double": ("WAV", "DOUBLE", 1e-7),
    "rf64": ("RF64", "PCM_16", 1e-4),
    "aiff": ("AIFF", "PCM_16", 1e-4),
    "flac": ("FLAC", "PCM_16", 1e-4),
    "flac24": ("FLAC", "PCM_24", 1e-6),
    "vorbis": ("OGG", "VORBIS", 0.05),
    "opus": ("OGG", "OPUS", 0.05),
    "mp3": ("MP3", "MPEG_LAYER_III", 0.05),
}


def sound(seconds: float = 1.0, rate: int = 48000, channels: int = 2, seed: int = 0) -> NDArray[np.float32]:
    """Make tones with a little noise, float32 [channels, samples], another tone in each channel."""
    time = np.arange(int(seconds * rate)) / rate
    tones = np.stack([0.3 * np.sin(2 * np.pi * (300 + 150 * channel) * time) for channel in range(channels)])
    return (tones + 0.003 * np.random.default_rng(seed).standard_normal(tones.shape)).astype(np.float32)


def encoded(name: str, samples: NDArray[Any] | None = None, rate: int = 48000) -> bytes:
    """Make a sound file."""
    sink = BytesIO()
    container, subtype, _ = _FORMATS[name]
    soundfile.write(sink, (sound() if samples is None else samples).T, rate, subtype, format=container)
    return sink.getvalue()


def record(value: Audio) -> Record:
    """Make a record of one recording."""
    return Record("k", {"audio": value}, Origin(0, "k", "train", "k"))


def apply(stage: FieldStage[Audio], value: Audio) -> Audio:
    """Run a stage over one recording."""
    result = stage(record(value), _RNG)
    assert isinstance(result, Record)
    audio = result["audio"]
    assert isinstance(audio, Audio)
    return audio


def reason_of(data: bytes, stage: Decode | None = None) -> str:
    """Return why a file is not decoded."""
    with pytest.raises(RecordError) as caught:
        apply(stage or Decode(), Audio(data))
    return caught.value.reason


@pytest.mark.parametrize("name", _FORMATS)
def test_every_format_is_decoded_in_full(name: str) -> None:
    """Rate, number of samples and content are those that were written; both channels are there."""
    decoded = apply(Decode(channels="keep"), Audio(encoded(name)))
    assert decoded.rate == 48000
    assert decoded.samples.shape == sound().shape
    assert decoded.samples.flags.c_contiguous
    # The Opus encoder does not flush what it looks ahead: its last milliseconds are wrong in the file.
    error = np.abs(decoded.samples - sound())[:, : -480 if name == "opus" else None]
    assert error.max() < _FORMATS[name][2]


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_mono_is_the_mean_of_the_channels(channels: int) -> None:
    """Whatever their number."""
    decoded = apply(Decode(), Audio(encoded("float", sound(channels=channels))))
    assert decoded.samples.shape == (1, 48000)
    assert np.abs(decoded.samples[0] - sound(channels=channels).mean(axis=0)).max() < 1e-6


@pytest.mark.parametrize("name", _FORMATS)
@pytest.mark.parametrize("cut", [1, 300, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_turned_away(name: str, cut: float) -> None:
    """Whether one byte is missing, some, half, or all but the header."""
    whole = encoded(name)
    missing = int(cut * len(whole)) if cut < 1 else int(cut)
    assert reason_of(whole[:-missing]) == "recording is truncated"


@pytest.mark.parametrize("name", ["wav16", "flac", "vorbis", "opus", "mp3"])
def test_a_file_cut_inside_its_header_is_truncated(name: str) -> None:
    """Twenty bytes name the format, and no more."""
    assert reason_of(encoded(name)[:20]) == "recording is truncated"


def test_a_flac_cut_between_two_frames_is_truncated() -> None:
    """Each frame that is there is whole, but they are fewer than the header says."""
    data = encoded("flac")
    border = [match.start() for match in re.finditer(rb"\xff\xf8", data) if flac.last_frame(data[: match.start()])]
    cuts = [data[:place] for place in border if (last := flac.last_frame(data[:place])) and last.whole]
    assert cuts
    assert {reason_of(cut) for cut in cuts} == {"recording is truncated"}


def test_damage_in_the_middle_is_told_from_a_missing_end() -> None:
    """A FLAC frame that does not check, and an Ogg page that is missing: samples that would shift all that follow."""
    for name in ("flac", "vorbis", "opus"):
        data = bytearray(encoded(name, sound(8.0)))
        data[len(data) // 2 : len(data) // 2 + 4] = bytes(255 - byte for byte in data[len(data) // 2 : len(data) // 2 + 4])
        assert reason_of(bytes(data)) == "recording is damaged"


def test_an_mp3_that_lost_frames_in_the_middle_is_turned_away() -> None:
    """Its header states more samples than there are."""
    data = encoded("mp3", sound(3.0))
    assert reason_of(data[: len(data) // 2] + data[len(data) // 2 + 1000 :]) == "recording is truncated"


def test_files_that_are_no_recordings_are_told_apart() -> None:
    """Nothing, something else, an Ogg stream of another codec, a chain of streams, and a recording without samples."""
    assert reason_of(b"") == "recording is empty"
    unknown = [b"hello world" * 99, b"\x89PNG\r\n\x1a\n" + bytes(99), b"RIFF\0\0\0\0AVI ", b"\xff", b"OggS" + bytes(99)]
    assert {reason_of(data) for data in unknown} == {"not a known sound format"}
    assert reason_of(encoded("vorbis") * 2) == "recording is a chain of several streams"
    for name in ("wav16", "vorbis"):
        assert reason_of(encoded(name, sound(0.0))) == "recording has no samples"
    assert reason_of(flac.with_stated_samples(encoded("flac")[:42], 0)) == "recording has no samples"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_samples_that_are_not_finite_are_turned_away(bad: float) -> None:
    """As they are, or too large for float32."""
    samples = sound().astype(np.float64)
    samples[1, 77] = bad
    with warnings.catch_warnings():
        assert reason_of(encoded("double", samples)) == "recording has samples that are not finite"


def test_a_recording_that_is_too_long_is_not_decoded() -> None:
    """The header decides; a limit is a limit, not one sample less."""
    data = encoded("wav16", sound(2.0))
    assert reason_of(data, Decode(max_seconds=1.999)) == "recording is too long"
    assert apply(Decode(max_seconds=2.0), Audio(data)).seconds == 2.0


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_read_to_its_end(size: int) -> None:
    """FFmpeg and SoX cannot go back to write the size; what they put there says so."""
    data = bytearray(encoded("wav16"))
    place = data.index(b"data")
    data[place + 4 : place + 8] = struct.pack("<I", size)
    assert apply(Decode(), Audio(bytes(data))).samples.shape == (1, 48000)


def test_a_flac_from_a_pipe_is_read_to_its_end() -> None:
    """Its header states no length, so the last frame does; one that is cut is still found out."""
    data = flac.with_stated_samples(encoded("flac24"), 0)
    decoded = apply(Decode(channels="keep"), Audio(data))
    assert np.abs(decoded.samples - sound()).max() < 1e-6
    assert reason_of(data[:-9]) == "recording is truncated"


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (22050, 2), (16000, 1), (8000, 1)])
def test_an_mp3_without_a_length_header_is_read_to_its_end(rate: int, channels: int) -> None:
    """With a variable bit rate the length cannot be guessed from the first frame; nothing is dropped for that."""
    loud = np.concatenate(
        [sound(1.0, rate, channels) * 1e-3, sound(1.0, rate, channels), sound(1.0, rate, channels) * 0.01], axis=1
    )
    sink = BytesIO()
    soundfile.write(sink, loud.T, rate, "MPEG_LAYER_III", format="MP3", bitrate_mode="VARIABLE", compression_level=0.2)
    data = sink.getvalue()
    frames = mp3.frames_of(data)
    assert frames.has_length
    bare = data[mp3._length_at(data, frames.start) :]
    assert not mp3.frames_of(bare).has_length
    decoded = apply(Decode(channels="keep"), Audio(bare))
    assert 0 <= decoded.samples.shape[1] - loud.shape[1] < 3 * 1152
    assert decoded.samples.shape[1] <= frames.count * (1152 if rate >= 32000 else 576)
    assert reason_of(bare[:-1]) == "recording is truncated"


def test_tags_around_a_recording_do_no_harm() -> None:
    """An ID3v2 tag before an MP3 or a FLAC file, an ID3v1 tag after an MP3, a further chunk after the samples of a WAV."""
    before, after = b"ID3\x03\0\0\0\0\x07\x76" + bytes(1014), b"TAG" + bytes(125)
    for data in (before + encoded("mp3"), encoded("mp3") + after, before + encoded("flac"), encoded("wav16") + b"LIST\2\0\0\0ab"):
        assert apply(Decode(), Audio(data)).samples.shape == (1, 48000)


@given(st.binary(max_size=200), st.sampled_from(sorted(_FORMATS)), st.integers(0, 99), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_no_bytes_break_the_decoder(junk: bytes, name: str, place: int, byte: int) -> None:
    """Whatever a file holds, it is decoded or it is a RecordError."""
    header = bytearray(encoded(name, sound(0.05)))
    header[min(place, len(header) - 1)] = byte
    for data in (junk, bytes(header[:16]) + junk, bytes(header)):
        try:
            decoded = apply(Decode(), Audio(data))
        except RecordError:
            continue
        assert decoded.samples.size


def test_segments_of_a_file_are_held_to_its_length() -> None:
    """Those inside stay as they are, without a step; one across the end is clipped, one past it is counted as removed."""
    data = encoded("wav16")
    inside = (Segment(0.0, 0.4, "a"), Segment(0.4, 1.0, "b"))
    kept = apply(Decode(), Audio(data, segments=inside))
    assert (kept.segments, kept.lineage) == (inside, ())
    held = apply(Decode(), Audio(data, segments=(Segment(0.9, 1.2, "a"), Segment(1.5, 2.0, "b"))))
    assert held.segments == (Segment(0.9, 1.0, "a", clipped=True),)
    assert [step.removed for step in held.lineage] == [1]


@pytest.mark.parametrize(("old", "new"), [(44100, 16000), (48000, 16000), (22050, 16000), (8000, 16000), (11025, 44100)])
@pytest.mark.parametrize("quality", ["HQ", "LQ"])
def test_resample_is_soxr_on_each_channel(old: int, new: int, quality: Any) -> None:
    """Bit for bit, of rounded length; segments stay where they are."""
    samples = sound(0.7, old)
    segments = (Segment(0.1, 0.6, "word"),)
    result = apply(Resample(rate=new, quality=quality), Audio(samples, old, segments))
    assert result.rate == new
    assert (result.segments, result.lineage) == (segments, ())
    assert result.samples.shape == (2, math.floor(samples.shape[1] * new / old + 0.5))
    for channel, expected in zip(result.samples, samples, strict=True):
        assert np.array_equal(channel, soxr.resample(expected, old, new, quality))


def test_resample_leaves_the_right_rate_alone_and_never_gives_nothing() -> None:
    """The same object comes back; a recording of a single sample keeps one."""
    value = Audio(sound(rate=16000), 16000)
    assert apply(Resample(), value) is value
    assert apply(Resample(rate=8000), Audio(sound(1 / 48000), 48000)).samples.shape == (2, 1)


def padded(before: int, after: int, rate: int = 16000, offset: float = 0.0) -> NDArray[np.float32]:
    """Make a second of tones with faint noise around it, all of it with a constant offset."""
    samples = 1e-4 * np.random.default_rng(1).standard_normal((1, before + rate + after))
    samples[:, before : before + rate] += sound(1.0, rate, 1)
    return (samples + offset).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_trim_cuts_the_silence_and_keeps_the_margin(offset: float) -> None:
    """To a frame; segments follow, one in the silence is removed, one that reaches into it is clipped."""
    segments = (Segment(0.05, 0.2, "hiss"), Segment(0.5, 1.2, "start"), Segment(1.0, 2.0, "all"))
    value = Audio(padded(16000, 8000, offset=offset), 16000, segments)
    result = apply(Trim(margin=0.1), value)
    (step,) = result.lineage
    assert isinstance(step.map, TimeMap)
    ((start, end, _, _),) = step.map.pieces
    assert 0.88 <= start <= 0.9
    assert 2.1 <= end <= 2.13
    assert np.array_equal(result.samples, value.samples[:, round(start * 16000) : round(end * 16000)])
    assert result.samples.base is None
    assert step.removed == 1
    assert [(segment.label, segment.clipped) for segment in result.segments] == [("start", True), ("all", False)]
    assert result.segments[1].start == pytest.approx(1.0 - start)


def test_trim_returns_what_has_no_silence_and_rejects_what_has_nothing_else() -> None:
    """A tone through and through is the same object; digital and faint silence are filtered."""
    value = Audio(sound(rate=16000), 16000)
    assert apply(Trim(), value) is value
    tiny = Audio(sound(0.001, 16000), 16000)
    assert apply(Trim(), tiny) is tiny
    for level in (0.0, 5e-5):
        silence = Audio((level * np.random.default_rng(0).standard_normal((2, 9999))).astype(np.float32), 16000)
        rejected = Trim()(record(silence), _RNG)
        assert isinstance(rejected, Reject)
        assert (rejected.kind, rejected.reason) == ("filtered", "recording is silent")


def test_trim_hears_a_channel_that_speaks_alone() -> None:
    """The loudest channel decides, in each frame."""
    left, right = padded(0, 16000), padded(16000, 0)
    value = Audio(np.concatenate([left, right]), 16000)
    assert apply(Trim(), value) is value


_STAGES = st.one_of(
    st.builds(Trim, threshold_db=st.floats(-60.0, -1.0), margin=st.floats(0.0, 0.3)),
    st.builds(Resample, rate=st.sampled_from([8000, 11025, 16000, 22050, 44100])),
)


@given(
    st.lists(_STAGES, min_size=1, max_size=5),
    st.lists(st.tuples(st.floats(0.0, 2.0), st.floats(0.0, 2.0)), max_size=8),
    st.integers(0, 8000),
    st.integers(0, 8000),
)
@example([Trim(margin=0.0), Resample(rate=11025), Trim(threshold_db=-1.0, margin=0.0)], [(0.3, 1.2)], 3001, 4001)
@settings(max_examples=60, deadline=None)
def test_segments_come_back_to_the_raw_recording(
    stages: list[FieldStage[Audio]], times: list[tuple[float, float]], before: int, after: int
) -> None:
    """Through any chain of stages, an end that was not cut maps back to the raw second within a sample."""
    samples = padded(before, after)
    seconds = samples.shape[1] / 16000
    spans = [(min(pair), max(pair)) for pair in times if pair[0] != pair[1] and max(pair) <= seconds]
    segments = tuple(Segment(start, end, str(number)) for number, (start, end) in enumerate(spans))
    value = Audio(samples, 16000, segments)
    for stage in stages:
        value = apply(stage, value)
    back = composed(value.lineage) or TimeMap.cut(0.0, seconds)
    assert isinstance(back, TimeMap)
    assert len(value.segments) + sum(step.removed for step in value.lineage) == len(segments)
    for segment in value.segments:
        raw = segments[int(segment.label)]
        found = back.backward(segment.start), back.backward(segment.end)
        low, high = back.pieces[0][0], back.pieces[-1][1]
        expected = max(raw.start, low), min(raw.end, high)
        assert np.abs(np.subtract(found, expected)).max() <= 1 / 8000
        if min(abs(raw.start - low), abs(raw.end - high)) > 1e-6:
            assert segment.clipped == (raw.start < low or raw.end > high)
        assert 0.0 <= segment.start < segment.end <= value.seconds + 1 / value.rate


def modulated(rate: int, channels: int) -> NDArray[np.float32]:
    """Make what a meter finds hard: coloured noise that swells, falls silent and comes back, five seconds of it."""
    rng = np.random.default_rng(channels)
    noise = np.cumsum(rng.standard_normal((channels, 5 * rate)), axis=1)
    noise = noise - np.convolve(noise.mean(axis=0), np.ones(rate // 50) / (rate // 50), "same") + rng.standard_normal(noise.shape)
    envelope = np.interp(np.arange(5 * rate) / rate, [0, 1, 2, 2.2, 3, 3.5, 5], [0.1, 1.0, 0.3, 1e-4, 1e-4, 0.7, 0.01])
    swelling = noise * envelope
    return (0.5 * swelling / np.abs(swelling).max()).astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_meter_agrees_with_another_one(rate: int, channels: int) -> None:
    """Within 0.1 LU of pyloudnorm, at any rate, with one channel and two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyloudnorm

        meter = pyloudnorm.Meter(rate, filter_class="DeMan")
        for samples in (modulated(rate, channels), sound(3.0, rate, channels)):
            expected = meter.integrated_loudness(samples.T.astype(np.float64))
            assert integrated_loudness(samples, rate) == pytest.approx(expected, abs=0.1)


def test_the_meter_reads_what_the_standard_says() -> None:
    """A full-scale sine of 997 Hz in one channel is -3.01 LUFS, and the filter is the one printed for 48 kHz."""
    sine = np.sin(2 * np.pi * 997 * np.arange(48000 * 3) / 48000).astype(np.float32)[None, :]
    assert integrated_loudness(sine, 48000) == pytest.approx(-3.01, abs=0.01)
    printed = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    assert np.abs(k_weighting(48000) - printed).max() < 1e-7


def test_the_meter_weighs_surrounds_and_leaves_out_the_effects() -> None:
    """Of six channels the fourth is not heard, the last two count 1.5 dB more."""
    one = sound(1.0, 48000, 1)
    levels = []
    for channel in (0, 3, 5):
        samples = np.zeros((6, 48000), np.float32)
        samples[channel] = one[0]
        levels.append(integrated_loudness(samples, 48000))
    assert levels[1] == -70.0
    assert levels[2] - levels[0] == pytest.approx(1.49, abs=0.01)


def test_quiet_passages_do_not_count() -> None:
    """Silence around a sound changes its loudness little: both gates keep it out."""
    samples = sound(2.0, 16000, 1)
    around = np.pad(samples, ((0, 0), (32000, 32000)))
    assert integrated_loudness(around, 16000) == pytest.approx(integrated_loudness(samples, 16000), abs=0.7)
    assert gated_loudness(np.array([1e-2, 1e-4])) == gated_loudness(np.array([1e-2]))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize("seconds", [0.01, 0.3999, 0.4, 3.0])
def test_loudness_brings_recordings_to_the_target(rate: int, seconds: float) -> None:
    """Long and short ones; the measure says what a meter says of the result."""
    value = Audio(sound(seconds, rate), rate, (Segment(0.0, 0.005),))
    result = Loudness(target=-20)(record(value), _RNG)
    assert isinstance(result, Record)
    audio = result["audio"]
    assert isinstance(audio, Audio)
    assert integrated_loudness(audio.samples, rate) == pytest.approx(-20.0, abs=0.002)
    assert result.measures["audio.loudness"] == pytest.approx(-20.0, abs=0.002)
    assert (audio.segments, audio.lineage) == (value.segments, ())


def test_loudness_never_clips() -> None:
    """A single click would have to be raised too far: the gain stops at the peak limit, and the measure says so."""
    samples = 0.001 * sound(2.0, 16000, 1)
    samples[0, 500] = 0.5
    result = Loudness(peak_limit=-6.0)(record(Audio(samples, 16000)), _RNG)
    assert isinstance(result, Record)
    audio = result["audio"]
    assert isinstance(audio, Audio)
    limit = 10 ** (-6 / 20)
    assert 0.999 * limit < np.abs(audio.samples).max() <= limit
    loudness = result.measures["audio.loudness"]
    assert isinstance(loudness, float)
    assert loudness < -30.0
    assert loudness == pytest.approx(integrated_loudness(audio.samples, 16000), abs=0.002)


def test_loudness_leaves_silence_as_it_is() -> None:
    """The same object, measured as -70."""
    silence = Audio(np.zeros((1, 16000), np.float32), 16000)
    result = Loudness()(record(silence), _RNG)
    assert isinstance(result, Record)
    assert result["audio"] is silence
    assert result.measures == {"audio.loudness": -70.0}


_EACH = [Decode(channels="keep"), Resample(), Trim(), Loudness()]


@pytest.mark.parametrize("stage", _EACH, ids=lambda stage: str(stage.stage))
def test_stages_are_pure_and_agree_with_their_inference(stage: FieldStage[Audio]) -> None:
    """Same input, same bytes, also after a pickle; the input stays as it was; `infer` says the kind, rate and shape that come."""
    samples = np.pad(sound(1.0, 22050), ((0, 0), (20000, 20000)))
    encoded_first = isinstance(stage, Decode)
    value = Audio(encoded("wav16", samples, 22050)) if encoded_first else Audio(samples.copy(), 22050)
    given_type = FieldType("audio", encoded=True) if encoded_first else FieldType("audio", dtype="float32", shape=(None, None))
    inferred = stage.infer(Schema({"audio": given_type}))
    first, second = apply(stage, value), apply(pickle.loads(pickle.dumps(stage)), value)
    assert first.samples.tobytes() == second.samples.tobytes()
    assert encoded_first or np.array_equal(value.samples, samples)
    assert (inferred.fields["audio"].kind, inferred.fields["audio"].dtype) == ("audio", str(first.samples.dtype))
    assert not inferred.fields["audio"].encoded
    assert inferred.fields["audio"].rate in (None, first.rate)
    result = stage(record(value), _RNG)
    assert isinstance(result, Record)
    assert set(inferred.measures) == set(result.measures)


def test_infer_says_what_is_known() -> None:
    """Decoding to mono fixes the channels, resampling the rate."""
    raw = Schema({"audio": FieldType("audio", encoded=True)})
    decoded = Decode().infer(raw)
    assert decoded.fields["audio"] == FieldType("audio", dtype="float32", shape=(1, None))
    assert Decode(channels="keep").infer(raw).fields["audio"].shape == (None, None)
    resampled = Resample(rate=8000).infer(decoded).fields["audio"]
    assert (resampled.rate, resampled.shape) == (8000, (1, None))
    assert Loudness().infer(_DECODED).measures == {"audio.loudness": "float"}


@pytest.mark.parametrize("stage", [Resample(), Trim(), Loudness()], ids=lambda stage: str(stage.stage))
def test_infer_says_what_is_wrong(stage: FieldStage[Audio]) -> None:
    """A field that is encoded, missing, or of another kind."""
    with pytest.raises(RecipeError, match=r"decode it first \(audio.decode\)"):
        stage.infer(Schema({"audio": FieldType("audio", encoded=True)}))
    with pytest.raises(RecipeError, match="there is no field 'audio'; the fields here are 'sound'"):
        stage.infer(Schema({"sound": FieldType("audio")}))
    with pytest.raises(RecipeError, match="field 'audio' is of kind text, this needs audio"):
        stage.infer(Schema({"audio": FieldType("text")}))
    with pytest.raises(RecipeError, match="already decoded"):
        Decode().infer(_DECODED)


def test_options_outside_their_range_are_refused() -> None:
    """A rate of nothing, a threshold above the loudest frame, an unknown option."""
    wrong: list[tuple[type[FieldStage[Audio]], dict[str, Any]]] = [
        (Resample, {"rate": 0}), (Trim, {"threshold_db": 3}), (Loudness, {"peak_limit": 1}), (Decode, {"chanels": "mono"}),
    ]  # fmt: skip
    for stage, options in wrong:
        with pytest.raises(ValidationError):
            stage(**options)


def test_a_record_without_the_recording_has_no_loudness() -> None:
    """It goes through as it is."""
    empty = Record("k", {}, Origin(0, "k", "train", "k"))
    assert Loudness()(empty, _RNG) is empty
