"""Clips in a dataset: times that do not belong to the frames are findings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mmdata.validation.clips import read_clip
from mmdata.validation.described import Described
from mmdata.validation.findings import Ledger, Notes
from mmdata.values import Array, Value, Video

FRAMES = np.zeros((3, 4, 6, 3), np.uint8)


def read(value: Value, times: Any, seconds: float = 1.0) -> tuple[Video | None, list[str]]:
    """Return the clip, and what is said against it."""
    ledger = Ledger()
    described = Described({"measures": {"video.seconds": seconds}}, {"video": {"times": times}}, {})
    clip = read_clip("video", value, described, Notes(ledger, "train-000000.tar"))
    return clip, [json.dumps(finding.to_json()) for finding in ledger.findings]


def test_times_that_fit_are_taken() -> None:
    """An array becomes a clip with the times of the json."""
    clip, findings = read(Array(FRAMES), [0.0, 0.25, 0.5])
    assert clip is not None
    assert clip.times.tolist() == [0.0, 0.25, 0.5]
    assert findings == []


@pytest.mark.parametrize("times", [None, "x", [0.0, 0.5], [0.0, 0.5, 0.4], [0.0, 0.5, 1.5], [-1.0, 0.0, 0.5], [0.0, None, 1.0]])
def test_times_that_do_not_fit_are_findings(times: Any) -> None:
    """None, too few, out of order, behind the end."""
    clip, findings = read(Array(FRAMES), times)
    assert clip is None
    assert len(findings) == 1


def test_a_file_with_other_times_is_a_finding() -> None:
    """What the mp4 says must be what the json says."""
    _, findings = read(Video(FRAMES, np.array([0.0, 0.25, 0.5]), seconds=1.0), [0.0, 0.3, 0.5])
    assert len(findings) == 1
