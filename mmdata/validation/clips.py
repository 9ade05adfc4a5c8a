"""Checks clips: that the times in the json member belong to the frames of the payload."""

from __future__ import annotations

import numpy as np

from mmdata.codec import clip_of
from mmdata.errors import RecordError
from mmdata.validation.described import Described
from mmdata.validation.findings import Notes, shown
from mmdata.values import Array, Value, Video

_TOLERANCE = 1e-5


def read_clip(name: str, value: Value, described: Described | None, notes: Notes) -> Video | None:
    """Return a clip with the times that its json member gives; None where they cannot belong to it, which is noted."""
    if described is None or not isinstance(value, Array | Video):
        return value if isinstance(value, Video) else None
    held = described.annotations.get(name)
    times = held.get("times") if isinstance(held, dict) else None
    seconds = described.measures.get(f"{name}.seconds", 0.0)
    frames = value.array if isinstance(value, Array) else value.frames
    try:
        told = clip_of(Array(frames), times, seconds)
        _check_order(told)
    except RecordError as error:
        notes.error("payloads", f"{error}; the json says of its times {shown(times)}")
        return None
    if isinstance(value, Array):
        return told
    if np.abs(value.times - told.times).max(initial=0.0) > _TOLERANCE:
        notes.error("payloads", "its frames have other times than the json says")
    return value


def _check_order(clip: Video) -> None:
    whole = np.array([*clip.times, clip.seconds])
    if not (np.isfinite(whole).all() and whole[0] >= 0 and (np.diff(whole) > 0).all()):
        raise RecordError("its times are out of order", f"or not inside of its {clip.seconds:g} seconds")
