"""Recordings and sound files, and how to run a stage over one of them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from mmdata.record import Origin, Record
from mmdata.stages.base import FieldStage
from mmdata.values import Audio

FORMATS = {
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
    container, subtype, _ = FORMATS[name]
    soundfile.write(sink, (sound() if samples is None else samples).T, rate, subtype, format=container)
    return sink.getvalue()


def record(value: Audio) -> Record:
    """Make a record of one recording."""
    return Record("k", {"audio": value}, Origin(0, "k", "train", "k"))


def apply(stage: FieldStage[Audio], value: Audio) -> Audio:
    """Run a stage over one recording."""
    result = stage(record(value), np.random.default_rng(0))
    assert isinstance(result, Record)
    audio = result["audio"]
    assert isinstance(audio, Audio)
    return audio
