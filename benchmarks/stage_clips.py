"""Clips for `benchmarks.stages`: a camera that pans over photos, one after the other, to recorded speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from mmdata.dsp.mp4 import Clip, write_mp4
from mmdata.dsp.sound_file import read_sound
from mmdata.stages.image_files import format_of, read_picture

Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 640, 360
FRAMES_A_SECOND = 25
SECONDS_A_PHOTO = 2
PHOTOS_A_CLIP = 3
_ROOM = 1.25
"""How much larger a photo is than what the camera sees of it."""


def clip_of(photos: Sequence[bytes], recording: bytes) -> bytes:
    """Return an MP4 file of picture files, to a sound file that is repeated or cut off where the pictures end."""
    frames = np.stack([frame for photo in photos for frame in _panned(photo)])
    seconds = len(frames) / FRAMES_A_SECOND
    samples, rate = read_sound(recording, 3600.0)
    heard = np.resize(samples.mean(axis=1, dtype=np.float32), round(seconds * rate))[None]
    return write_mp4(Clip(frames, np.arange(len(frames)) / FRAMES_A_SECOND, seconds, heard, rate), "h264", 23)


def _panned(photo: bytes) -> Iterator[Pixels]:
    """Yield what the camera sees on its way from the top left corner of a photo to the bottom right one."""
    pixels = read_picture(photo, format_of(photo) or "", "#ffffff", 1 << 28).pixels
    scale = _ROOM * max(WIDTH / pixels.shape[1], HEIGHT / pixels.shape[0])
    large = cast("Pixels", cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR))
    count = FRAMES_A_SECOND * SECONDS_A_PHOTO
    for number in range(count):
        top, left = ((side - seen) * number // count for side, seen in zip(large.shape[:2], (HEIGHT, WIDTH), strict=True))
        yield large[top : top + HEIGHT, left : left + WIDTH]
