"""A record as a card on a page: its picture, sound and text with their annotations, and where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from mmdata.validation.figures import MOST_MARKS, clip, picture, sound
from mmdata.validation.movements import moved
from mmdata.validation.page import escaped
from mmdata.validation.samples import Sample
from mmdata.values import Array, Audio, Box, FrameBox, Image, Kind, Point, Segment, Span, Text, Tokens, Value, Video

_LONGEST_TEXT = 4000
_MOST_NOTES = 20
_LONGEST_LABEL = 80
_ORDER: tuple[Kind, ...] = ("image", "video", "audio", "text", "tokens", "array")


def card(sample: Sample) -> str:
    """Return one record as HTML."""
    record = sample.record
    badge = f'<span class="badge">{escaped(sample.shard.split)} · row {escaped(record.origin.row)}</span>'
    parts = [f"<header><h3>{escaped(record.key)}</h3>{badge}</header>"]
    for name, value in sorted(record.fields.items(), key=lambda item: (_ORDER.index(item[1].kind), item[0])):
        label = f'<p class="label">{escaped(name)}{escaped(_extent(value))}</p>'
        parts.append(f"<section>{label}{_shown(sample, name, value)}</section>")
    return f'<article class="card">{"".join(parts)}{_origin(sample)}</article>'


def cards(samples: Iterable[Sample]) -> str:
    """Return records as a grid, without those that are too damaged to be shown."""
    return f'<div class="grid">{"".join(filter(None, map(_card_if_sound, samples)))}</div>'


def _card_if_sound(sample: Sample) -> str | None:
    try:
        return card(sample)
    except Exception:  # noqa: BLE001 - what a damaged record says of itself may be of any type and size
        return None


def _shown(sample: Sample, name: str, value: Value) -> str:
    match value:
        case Image():
            return picture(value, *sample.payload_of(name)) + _listed([*value.boxes, *value.points])
        case Audio():
            return sound(value, *sample.payload_of(name)) + _listed(value.segments)
        case Text():
            return f'<p class="text">{_highlighted(value)}</p>{_listed(value.spans)}'
        case Tokens():
            text = sample.record.fields.get(sample.schema.fields[name].text or "")
            return _pieces(value, text.text) if isinstance(text, Text) else ""
        case Array():
            return f'<p class="mono">{escaped(str(value.array.ravel()[:12].tolist())[1:-1])}</p>'
        case Video():
            return clip(value, *sample.payload_of(name)) + _listed([*value.segments, *value.frame_boxes])


def _extent(value: Value) -> str:
    match value:
        case Image():
            return f" · {value.pixels.shape[1]} x {value.pixels.shape[0]}"
        case Audio():
            return f" · {value.seconds:.2f} s at {value.rate:,} Hz"
        case Text():
            return f" · {len(value.text):,} characters"
        case Tokens():
            return f" · {len(value.ids):,}"
        case Array():
            return f" · {value.array.dtype} {list(value.array.shape)}"
        case Video():
            return f" · {len(value.frames)} frames of {value.frames.shape[2]} x {value.frames.shape[1]} in {value.seconds:.2f} s"


def _highlighted(value: Text) -> str:
    """Return a text in which every character that lies in a span is marked, with the labels of its spans."""
    text, spans = value.text[:_LONGEST_TEXT], value.spans[:MOST_MARKS]
    borders = sorted({0, len(text), *(min(max(place, 0), len(text)) for span in spans for place in (span.start, span.end))})
    parts = []
    for start, end in pairwise(borders):
        labels = [span.label[:_LONGEST_LABEL] for span in spans if span.start <= start and end <= span.end]
        inner = escaped(text[start:end])
        parts.append(f'<mark title="{escaped(", ".join(labels))}">{inner}</mark>' if labels else inner)
    return "".join(parts) + (" …" if len(value.text) > len(text) else "")


def _pieces(value: Tokens, text: str) -> str:
    """Return a text cut into its tokens; neighbours differ in colour, and each says its id."""
    pieces = "".join(
        f'<span title="{number}">{escaped(text[start:end])}</span>'
        for number, (start, end) in zip(value.ids.tolist()[:_LONGEST_TEXT], value.offsets.tolist(), strict=False)
        if end <= _LONGEST_TEXT
    )
    return f'<p class="text tokens">{pieces}</p>'


def _listed(notes: Sequence[Span | Box | FrameBox | Point | Segment]) -> str:
    if not notes:
        return ""
    items = [f"<li>{escaped(line)}</li>" for line in _lines(notes[:_MOST_NOTES])]
    more = [f"<li>and {len(notes) - _MOST_NOTES} more</li>"] if len(notes) > _MOST_NOTES else []
    return f'<ul class="notes">{"".join([*items, *more])}</ul>'


def _lines(notes: Sequence[Span | Box | FrameBox | Point | Segment]) -> Iterator[str]:
    for note in notes:
        numbers = [
            f"{value:g}" for value in vars(note).values() if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        clipped = ", clipped" if getattr(note, "clipped", False) else ""
        yield f"{note.label or type(note).__name__.lower()}: {', '.join(numbers)}{clipped}"


def _origin(sample: Sample) -> str:
    record = sample.record
    pairs = [("source key", record.origin.source_key), ("group", record.origin.group), ("shard", sample.shard.file)]
    pairs += [(f"raw {name}", given.uri) for name, given in record.origin.inputs.items() if given.sha256]
    pairs += [(name, str(value)) for name, value in record.metadata.items()]
    pairs += [(name, f"{value:g}" if isinstance(value, float) else str(value)) for name, value in record.measures.items()]
    for name, value in record.fields.items():
        steps = [moved(step) for step in getattr(value, "lineage", ())]
        pairs += [(f"{name} moved by", " | ".join(steps))] if steps else []
    items = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in pairs)
    return f"<details><summary>origin and measures</summary><dl>{items}</dl></details>"
