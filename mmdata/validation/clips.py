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
    if described is None:
        return value if isinstance(value, Video) else None
    held = described.annotations.get(name)
    times = held.get("times") if isinstance(held, dict) else None
    seconds = described.measures.get(f"{name}.seconds", 0.0)
    if not isinstance(times, list) or not all(isinstance(time, int | float) and not isinstance(time, bool) for time in times):
        notes.error("payloads", f"the json gives no times of its frames, but {shown(times)}")
        return None
    frames = len(value.frames) if isinstance(value, Video) else len(value.array) if isinstance(value, Array) else 0
    if len(times) != frames:
        notes.error("payloads", f"it has {frames} frames, the json gives {len(times)} times")
        return None
    whole = np.array([*times, seconds], dtype=np.float64)
    if not (np.isfinite(whole).all() and whole[0] >= 0 and (np.diff(whole) > 0).all()):
        notes.error("payloads", f"its times must be in order, from 0 to the clip's {seconds:g} seconds, not {shown(times)}")
        return None
    if isinstance(value, Video):
        if np.abs(value.times - whole[:-1]).max(initial=0.0) > _TOLERANCE:
            notes.error("payloads", "its frames have other times than the json gives")
        return value
    assert isinstance(value, Array)
    try:
        return clip_of(value, times, seconds)
    except RecordError as error:
        notes.error("payloads", str(error))
        return None
