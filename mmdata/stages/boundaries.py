"""Where words and characters end, in every script: Unicode Standard Annex 29, by ICU.

ICU finds the words of Chinese, Japanese, Thai, Lao, Khmer and Burmese, which put no spaces between them, by dictionaries that
its wheel carries. Nothing here depends on the locale of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator

_ROOT = "und"


def word_pieces(text: str) -> Iterator[str]:
    """Give the pieces between the word borders of a text, in order: words, and what stands between them."""
    from icu4py.breakers import WordBreaker

    return iter(WordBreaker(text, _ROOT))


def characters(text: str) -> Iterator[str]:
    """Give what readers take for one character each (grapheme clusters), such as a letter with its marks, or a flag."""
    from icu4py.breakers import CharacterBreaker

    return iter(CharacterBreaker(text, _ROOT))


def is_word(piece: str) -> bool:
    """Whether a piece has a letter or a digit."""
    return any(character.isalnum() for character in piece)
