"""What `text.quality` measures of a text: how long it is, what it is made of, and how much it repeats itself.

The measures are those of Gopher (Rae et al. 2021, "Scaling language models: methods, analysis & insights from training Gopher",
arXiv:2112.11446, section A.1.1 and table A1). Where that counts what stands between spaces, this counts the words of Unicode
Standard Annex 29, so that scripts without spaces are measured alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Literal, get_args

from mmdata.stages.boundaries import is_word, word_pieces

Measure = Literal[
    "words", "mean_word_length", "symbol_ratio", "digit_ratio", "bullet_lines", "ellipsis_lines", "alphabetic_words",
    "stop_words", "duplicate_lines", "duplicate_line_characters", "duplicate_paragraphs", "duplicate_paragraph_characters",
    "top_2grams", "top_3grams", "top_4grams", "duplicate_5grams", "duplicate_6grams", "duplicate_7grams", "duplicate_8grams",
    "duplicate_9grams", "duplicate_10grams", "sentences",
]  # fmt: skip
MEASURES: tuple[Measure, ...] = get_args(Measure)
COUNTS: frozenset[Measure] = frozenset({"words", "stop_words", "sentences"})
"""The measures that are whole numbers; all others are fractions from 0 to 1, but for the mean length of words."""

Measured = dict[Measure, float]

_TOP: dict[Measure, int] = {"top_2grams": 2, "top_3grams": 3, "top_4grams": 4}
_NGRAMS: dict[Measure, int] = _TOP | {
    "duplicate_5grams": 5, "duplicate_6grams": 6, "duplicate_7grams": 7, "duplicate_8grams": 8, "duplicate_9grams": 9,
    "duplicate_10grams": 10,
}  # fmt: skip

# Scripts in which a character stands for a syllable or a word, or in which words do not stand apart.
_DENSE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_BULLETS = ("•", "‣", "▶", "◀", "◦", "■", "□", "▪", "▫", "●", "○", "・", "–", "-", "*")  # noqa: RUF001
_ELLIPSES = ("...", "…", "。。。")
_ELLIPSIS = re.compile(r"\.{3,}|…+|。{3,}")
_SYMBOLS = re.compile(r"(?<!\S)(?:[^\w\s]|_)+(?!\S)")
_BLANK_LINE = re.compile(r"\n\s*\n")


def words_of(text: str) -> list[str]:
    """Return the words of a text: what has a letter or a digit between two word borders."""
    return [piece for piece in word_pieces(text) if is_word(piece)]


def measured(text: str) -> Measured:
    """Return the measures of a text, without those that it has no ground for: no language is known, or no sentence counted.

    The mean length of words is that of scripts that spell words by letters and put spaces between them; where most words are of
    others, there is none.
    """
    words = words_of(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    paragraphs = [paragraph.strip() for paragraph in _BLANK_LINE.split(text) if paragraph.strip()]
    found = _of_words(text, words) | _of_lines(lines)
    found["duplicate_lines"], found["duplicate_line_characters"] = _duplicates(lines)
    found["duplicate_paragraphs"], found["duplicate_paragraph_characters"] = _duplicates(paragraphs)
    return found | _of_ngrams(words)


def _of_words(text: str, words: Sequence[str]) -> Measured:
    spelled = [len(word) for word in words if not _DENSE.search(word)]
    symbols = sum(1 for _ in _SYMBOLS.finditer(text))
    marks = max(text.count("#"), sum(1 for _ in _ELLIPSIS.finditer(text)))
    written = sum(not character.isspace() for character in text)
    found: Measured = {
        "words": len(words),
        "symbol_ratio": _share(marks, max(len(words), marks)),
        "digit_ratio": _share(sum(map(str.isdecimal, text)), written),
        "alphabetic_words": _share(sum(any(map(str.isalpha, word)) for word in words), len(words) + symbols),
    }
    is_spelled = 2 * len(spelled) > len(words)
    return found | ({"mean_word_length": round(sum(spelled) / len(spelled), 6)} if is_spelled else {})


def _of_lines(lines: Sequence[str]) -> Measured:
    return {
        "bullet_lines": _share(sum(line.startswith(_BULLETS) for line in lines), len(lines)),
        "ellipsis_lines": _share(sum(line.endswith(_ELLIPSES) for line in lines), len(lines)),
    }


def _duplicates(parts: Sequence[str]) -> tuple[float, float]:
    """Return which share of the parts, and of their characters, repeats an earlier part."""
    distinct = dict.fromkeys(parts)
    size = sum(map(len, parts))
    return _share(len(parts) - len(distinct), len(parts)), _share(size - sum(map(len, distinct)), size)


def _of_ngrams(words: Sequence[str]) -> Measured:
    """Return the share of characters in the most frequent n-gram (2 to 4), and in n-grams that occurred before (5 to 10)."""
    ends = [0, *accumulate(map(len, words))]
    found: Measured = {}
    for name, n in _NGRAMS.items():
        places = _places_of_most_frequent(words, n) if name in _TOP else _places_of_repeats(words, n)
        found[name] = _share(_covered(places, n, ends), ends[-1])
    return found


def _places_of_most_frequent(words: Sequence[str], n: int) -> list[int]:
    ngrams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counts = Counter(ngrams)
    most = max(counts, key=lambda ngram: (counts[ngram], sum(map(len, ngram))), default=())
    return [i for i, ngram in enumerate(ngrams) if ngram == most] if counts[most] > 1 else []


def _places_of_repeats(words: Sequence[str], n: int) -> list[int]:
    seen: set[tuple[str, ...]] = set()
    places = []
    for i in range(len(words) - n + 1):
        ngram = tuple(words[i : i + n])
        if ngram in seen:
            places.append(i)
        seen.add(ngram)
    return places


def _covered(places: Iterable[int], n: int, ends: Sequence[int]) -> int:
    """Count the characters in n-grams that begin at these words; one in which several overlap counts once."""
    count, done = 0, 0
    for place in places:
        count += ends[place + n] - ends[max(place, done)]
        done = place + n
    return count


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0
