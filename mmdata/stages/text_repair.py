"""Mends texts that were decoded with the wrong encoding, in small edits: a part of `text.normalize`.

The library ftfy (Speer 2019, doi:10.5281/zenodo.2591652) finds what a broken text was meant to say, but gives only the whole new
text. Which of the old characters became which of the new ones is worked out here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import lru_cache

Replacement = tuple[int, int, str]

# A piece is a line: ftfy takes each to have one history. A longer one is cut at white space, so that its cost stays bounded.
_PIECE = re.compile(r"[^\n]{0,9999}(?:\s|\Z)|[^\n]{1,10000}")
_MOST_COMPARED = 1_000_000
"""Characters times characters that are compared at most where a change follows no known pattern; beyond, it is one edit."""


def repaired(text: str) -> Iterator[Replacement]:
    """Give the replacements that undo mojibake, such as `Ã©` for é; a text without it gives none."""
    if text.isascii():
        return
    from ftfy import fix_encoding

    for piece in _PIECE.finditer(text):
        raw = piece[0]
        if not raw.isascii() and (fixed := fix_encoding(raw)) != raw:
            yield from _differences(raw, fixed, piece.start())


def _differences(raw: str, fixed: str, offset: int) -> Iterator[Replacement]:
    """Give the replacements that make `fixed` of `raw`, one for each new character where its old ones are recognized."""
    place = 0
    for number, character in enumerate(fixed):
        size = _old_size(raw, place, character)
        if size == 0:
            yield from _compared(raw[place:], fixed[number:], offset + place)
            return
        if raw[place : place + size] != character:
            yield offset + place, offset + place + size, character
        place += size
    if place < len(raw):
        yield offset + place, offset + len(raw), ""


def _old_size(raw: str, place: int, character: str) -> int:
    """Return how many raw characters at this place are a broken form of the character, or the character itself; 0: none."""
    if character.isascii():
        return int(raw.startswith(character, place))
    # ftfy also reads a space where a no-break space was meant.
    found = raw[place : place + 16].replace(" ", "\xa0")
    return next((len(form) for form in _broken_forms(character) if found.startswith(form)), 0)


@lru_cache(maxsize=1 << 14)
def _broken_forms(character: str) -> tuple[str, ...]:
    """Return what a character looks like after UTF-8 was read as another encoding once or twice, and itself; longest first.

    One more form comes of Windows-1252 that was read as Latin-1: quotes as C1 controls.
    """
    once = _misread(character)
    twice = {form for broken in once for form in _misread(broken)}
    control = character.encode("cp1252", "ignore").decode("latin-1")
    return tuple(sorted({character, *once, *twice, control} - {""}, key=lambda form: (-len(form), form)))


def _misread(text: str) -> set[str]:
    from ftfy.chardata import CHARMAP_ENCODINGS

    return {text.encode().decode(encoding).replace(" ", "\xa0") for encoding in CHARMAP_ENCODINGS}


def _compared(raw: str, fixed: str, offset: int) -> Iterator[Replacement]:
    """Give the replacements between two texts of which only the texts are known."""
    if len(raw) * len(fixed) > _MOST_COMPARED:
        yield offset, offset + len(raw), fixed
        return
    for tag, start, end, new_start, new_end in difflib.SequenceMatcher(None, raw, fixed, autojunk=False).get_opcodes():
        if tag != "equal":
            yield offset + start, offset + end, fixed[new_start:new_end]
