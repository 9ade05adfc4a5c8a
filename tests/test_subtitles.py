"""Subtitle files become segments."""

from __future__ import annotations

import pytest

from mmdata.errors import RecordError
from mmdata.subtitles import is_subtitles, parse_subtitles
from mmdata.values import Segment

SRT = """\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Bonjour</i>\r\nle monde\r
\r\n2\r\n01:00:00,5 --> 01:00:01,000\r\n{\\an8}Fin\r\n"""
VTT = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE nobody says this --> here

intro
00:01.000 --> 00:02.500 align:start position:0%
<v Ada>Tom &amp; I</v>

00:00.500 --> 00:00.900
first

00:05.000 --> 00:06.000

"""


def test_both_kinds_are_read() -> None:
    """Markup, styles, comments and settings are gone; the order is that of time; a cue without words is left out."""
    assert parse_subtitles(SRT.encode()) == (Segment(1.0, 2.5, "Bonjour le monde"), Segment(3600.5, 3601.0, "Fin"))
    assert parse_subtitles(VTT.encode()) == (Segment(0.5, 0.9, "first"), Segment(1.0, 2.5, "Tom & I"))
    assert parse_subtitles(b"WEBVTT\n") == ()
    assert is_subtitles("a/b.SRT")
    assert not is_subtitles("a/b.json")


@pytest.mark.parametrize("data", [b"\xff\xfe1", b"no times at all", b"1\n00:00:xx --> 00:01\nwords"])
def test_what_is_no_subtitle_is_refused(data: bytes) -> None:
    """With a reason that can be counted."""
    with pytest.raises(RecordError, match="^subtitles are"):
        parse_subtitles(data)
