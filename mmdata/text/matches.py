"""A match: a place in a text that holds personal data. And what all detectors share: a plain form of texts, and words nearby.

A detector is a function of the plain text; it gives matches in any order, and they may overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

PersonalKind = Literal["email", "iban", "card", "national_id", "ip", "phone", "name"]
KINDS: tuple[PersonalKind, ...] = get_args(PersonalKind)
"""In the order that decides between matches of the same length: the more a kind proves of itself, the earlier it stands."""

NUMBER_START = r"(?<!\w)(?<!\d[-/.,])"
NUMBER_END = r"(?!\w|[-/]\w|[.,]\d)"
"""What stands around a number that is no part of a longer one; for patterns compiled with `re.ASCII`."""

# The zeros of the decimal digits in use: Arabic, Persian, the scripts of India, Thai, Lao, Tibetan, Burmese, Khmer, Mongolian.
_ZEROS = (
    *(0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66),
    *(0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x17E0, 0x1810),
)
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_SPACES = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


@dataclass(frozen=True)
class Match:
    """A place [start, end), in code points, and the value that it writes, in one form for all ways of writing it."""

    start: int
    end: int
    kind: PersonalKind
    value: str


def plain(text: str) -> str:
    """Return a text as long as this one: full-width characters, dashes, spaces and decimal digits become those of ASCII."""
    return text if text.isascii() else text.translate(_plain_characters())


@cache
def _plain_characters() -> dict[int, str]:
    full_width = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    digits = {zero + digit: str(digit) for zero in _ZEROS for digit in range(10)}
    return full_width | digits | dict.fromkeys(map(ord, _DASHES), "-") | dict.fromkeys(map(ord, _SPACES), " ")


def compact(written: str) -> str:
    """Return letters and digits alone, in upper case."""
    return "".join(character for character in written if character.isalnum()).upper()


def stands_before(text: str, start: int, words: re.Pattern[str], reach: int) -> bool:
    """Whether one of the words stands in the line before a place, at most so many characters before it."""
    line = text.rfind("\n", 0, start) + 1
    return words.search(text, max(line, start - reach), start) is not None


def resolved(matches: Iterable[Match]) -> list[Match]:
    """Return matches that do not overlap, in the order of the text: the longest wins, then the kind, then the first."""
    kept: list[Match] = []
    for match in sorted(matches, key=lambda m: (m.start - m.end, KINDS.index(m.kind), m.start)):
        if all(match.end <= other.start or other.end <= match.start for other in kept):
            kept.append(match)
    return sorted(kept, key=lambda m: m.start)
