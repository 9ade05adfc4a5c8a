"""Drawings as inline SVG: histograms, pictures with their boxes and points, recordings with their segments."""

from __future__ import annotations

import base64

import numpy as np

from mmdata.validation.page import escaped
from mmdata.validation.report import Histogram
from mmdata.values import Audio, Image, Video

_LARGEST_EMBEDDED = 4 << 20
_TYPES = {
    "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "flac": "audio/flac", "wav": "audio/wav", "ogg": "audio/ogg",
    "mp4": "video/mp4",
}  # fmt: skip
_COLUMNS = 300
MOST_MARKS = 200
"""Annotations of one kind that are drawn; more would hide what they mark."""


def data_uri(payload: bytes, format_name: str) -> str | None:
    """Return a payload as an address that holds all of it; None where it is too large for a page."""
    if len(payload) > _LARGEST_EMBEDDED:
        return None
    return f"data:{_TYPES[format_name]};base64,{base64.b64encode(payload).decode()}"


def histogram(name: str, found: Histogram) -> str:
    """Return a histogram with its ends and its highest count."""
    width, height, most = 240, 90, max(found.counts)
    step = width / len(found.counts)
    bars = "".join(
        f'<rect class="bar" x="{place * step + 0.5:.2f}" y="{height - count / most * height:.2f}"'
        f' width="{step - 1:.2f}" height="{count / most * height:.2f}"><title>{_bin(found, place)}: {count:,}</title></rect>'
        for place, count in enumerate(found.counts)
        if count
    )
    ends = (
        f'<text x="0" y="{height + 14}">{found.minimum:,.5g}</text>'
        f'<text x="{width}" y="{height + 14}" text-anchor="end">{found.maximum:,.5g}</text>'
    )
    return (
        f'<figure class="card chart"><p class="label">{escaped(name)} · highest bin {most:,}</p>'
        f'<svg viewBox="0 0 {width} {height + 18}" role="img">{bars}{ends}</svg></figure>'
    )


def _bin(found: Histogram, place: int) -> str:
    return f"{found.edges[place]:,.5g} to {found.edges[place + 1]:,.5g}"


def picture(value: Image, payload: bytes, format_name: str) -> str:
    """Return a picture with its boxes and points drawn over it."""
    height, width = value.pixels.shape[:2]
    uri = data_uri(payload, format_name)
    if uri is None:
        return f'<p class="soft">a picture of {width} x {height} pixels, too large for this page</p>'
    marks = "".join(
        f'<rect class="box" x="{box.left:.2f}" y="{box.top:.2f}" width="{box.right - box.left:.2f}"'
        f' height="{box.bottom - box.top:.2f}"><title>{escaped(box.label)}</title></rect>'
        for box in value.boxes[:MOST_MARKS]
    ) + "".join(
        f'<circle class="point" cx="{point.x:.2f}" cy="{point.y:.2f}" r="{max(width, height) / 80:.2f}">'
        f"<title>{escaped(point.label)}</title></circle>"
        for point in value.points[:MOST_MARKS]
    )
    return (
        f'<div class="picture"><svg viewBox="0 0 {width} {height}" role="img">'
        f'<image href="{uri}" width="{width}" height="{height}"/>{marks}</svg></div>'
    )


def clip(value: Video, payload: bytes, format_name: str) -> str:
    """Return a clip with a player; one that is stored as an array, or too large, as its size alone."""
    uri = data_uri(payload, format_name) if format_name == "mp4" else None
    if uri is None:
        return f'<p class="soft">{len(value.frames)} frames that this page cannot play</p>'
    return f'<div class="picture"><video controls preload="none" src="{uri}"></video></div>'


def sound(value: Audio, payload: bytes, format_name: str) -> str:
    """Return a recording as the outline of its samples, with its segments behind it, and a player."""
    low, high = _outline(value)
    step = 100 / len(low)
    upper = " ".join(f"{place * step:.2f},{20 - 19 * top:.2f}" for place, top in enumerate(high))
    lower = " ".join(f"{place * step:.2f},{20 - 19 * bottom:.2f}" for place, bottom in reversed(list(enumerate(low))))
    seconds = max(value.seconds, 1e-9)
    segments = "".join(
        f'<rect class="segment" x="{100 * segment.start / seconds:.3f}" y="0"'
        f' width="{100 * max(0.0, segment.end - segment.start) / seconds:.3f}" height="40">'
        f"<title>{escaped(segment.label)}</title></rect>"
        for segment in value.segments[:MOST_MARKS]
    )
    uri = data_uri(payload, format_name)
    player = (
        f'<audio controls preload="none" src="{uri}"></audio>' if uri else '<p class="soft">too long to play on this page</p>'
    )
    return (
        f'<div class="sound"><svg viewBox="0 0 100 40" height="56" preserveAspectRatio="none" role="img">{segments}'
        f'<polygon class="wave" points="{upper} {lower}"/></svg>{player}</div>'
    )


def _outline(value: Audio) -> tuple[list[float], list[float]]:
    """Return the lowest and the highest sample of each of some hundred stretches, from -1 to 1."""
    samples = np.clip(value.samples.mean(axis=0), -1, 1) if value.samples.size else np.zeros(1, np.float32)
    parts = np.array_split(samples, min(_COLUMNS, len(samples)))
    return [float(part.min()) - 0.01 for part in parts], [float(part.max()) + 0.01 for part in parts]
