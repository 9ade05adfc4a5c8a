"""Folds typographic characters to ASCII: a part of `text.normalize`."""

# ruff: noqa: RUF001 - letters that look alike are what this is about

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal

Replacement = tuple[int, int, str]
Punctuation = Literal["quotes", "dashes", "dots", "width"]

_FOLDED: dict[Punctuation, dict[str, str]] = {
    # Corner brackets are the quotation marks of Chinese and Japanese, and have no ASCII form; U+02BC is a letter.
    "quotes": dict.fromkeys("“”„‟❝❞〝〞〟«»", '"') | dict.fromkeys("‘’‚‛❛❜‹›", "'"),
    "dashes": dict.fromkeys("‐‑‒–—―⸺⸻−﹘﹣", "-"),
    "dots": {"…": "...", "‥": ".."},
    "width": {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
}


def folded(text: str, kinds: Sequence[Punctuation]) -> Iterator[Replacement]:
    """Give the replacements that fold these kinds of characters, one for each character."""
    if not kinds or text.isascii():
        return
    pattern, ascii_of = _table(tuple(kinds))
    for match in pattern.finditer(text):
        yield match.start(), match.end(), ascii_of[match[0]]


@cache
def _table(kinds: tuple[Punctuation, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    ascii_of = {character: new for kind in kinds for character, new in _FOLDED[kind].items()}
    return re.compile(f"[{re.escape(''.join(ascii_of))}]"), ascii_of
