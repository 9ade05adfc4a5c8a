"""Subtitle files to segments: SubRip (.srt) and WebVTT (.vtt), told apart by their content.

Where a corpus has subtitles, they are the segments of its clips and recordings: start, end, and the words that are spoken.
"""

from __future__ import annotations

import html
import re

from mmdata.errors import RecordError
from mmdata.values import Segment

_CLOCK = r"(?:([0-9]{1,6}):)?([0-9]{1,2}):([0-9]{1,2})[.,]([0-9]{1,3})"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?")
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_NO_CUES = ("WEBVTT", "NOTE", "STYLE", "REGION")


def is_subtitles(path: str) -> bool:
    """Whether a path names a subtitle file, by its extension."""
    return path.lower().endswith((".srt", ".vtt"))


def parse_subtitles(data: bytes) -> tuple[Segment, ...]:
    """Return the cues of a subtitle file in the order of their start; the label is the text, on one line, without markup.

    Cues are as in WebVTT (W3C Candidate Recommendation, 2019), of which SubRip is nearly a subset: a line of times, then the
    text, up to an empty line. Times without hours are taken. A cue without text or without time is left out.
    Raises RecordError where the file is not UTF-8, has no line of times, or has one that cannot be read.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordError("subtitles are not UTF-8", f"byte {error.start}: {error.reason}") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    cues = [cue for block in re.split(r"\n[ \t]*\n", lines) if (cue := _cue(block.strip("\n"))) is not None]
    if not cues and text.strip() and not text.startswith("WEBVTT"):
        raise RecordError("subtitles are malformed", f"no line of times, such as 00:00:01,000 --> 00:00:02,500: {text[:80]!r}")
    found = [cue for cue in cues if cue.label and cue.start < cue.end]
    return tuple(sorted(found, key=lambda cue: (cue.start, cue.end)))


def _cue(block: str) -> Segment | None:
    """Return the cue of a block of lines; None where the block is a header, a comment or a style."""
    lines = block.split("\n")
    # A line before the times is the cue's number or name; a block without times is no cue.
    place = next((number for number, line in enumerate(lines[:2]) if "-->" in line), None)
    if place is None or lines[0].startswith(_NO_CUES):
        return None
    times = _TIMING.fullmatch(lines[place])
    if times is None:
        raise RecordError("subtitles are malformed", f"cannot read the times {lines[place][:80]!r}")
    words = html.unescape(_TAG.sub("", "\n".join(lines[place + 1 :])))
    return Segment(_seconds(times.groups()[:4]), _seconds(times.groups()[4:]), " ".join(words.split()))


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) + int(fraction.ljust(3, "0")) / 1000
