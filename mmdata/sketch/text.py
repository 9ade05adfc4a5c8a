"""The MinHash signature of a text: how alike two texts are can be told from the share of equal numbers in their signatures."""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray

HASHES = 128
_MISSED = 0.01
_CHUNK = 2048
_GOLDEN = 0x9E3779B97F4A7C15


def shingle_hashes(text: str, size: int) -> NDArray[np.uint64]:
    """Return a hash of each different run of `size` characters, uint64 [n]; a text of white space and punctuation has none.

    Characters, not words: so it works for scripts that put no spaces between words. Case, compatibility forms, punctuation and
    the amount of white space do not count. Spaces stand around the text, so that its ends count as much as its middle.
    """
    plain = _plain(text)
    if not plain:
        return np.zeros(0, np.uint64)
    plain = f"{' ' * (size - 1)}{plain}{' ' * (size - 1)}"
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    total = np.zeros(len(codes) - size + 1, np.uint64)
    for place in range(size):
        total = _mixed(total + codes[place : place + len(total)])
    return np.unique(total)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = "".join(" " if unicodedata.category(character)[0] in "PZC" else character for character in folded)
    return " ".join(kept.split())


def signature(shingles: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return the least of each of 128 hash functions over the shingles, uint32 [128].

    The share of equal places in two signatures estimates the share of shingles that the texts have in common (A. Broder, "On the
    resemblance and containment of documents", 1997), with a deviation of at most 0.045. Raises ValueError for no shingles.
    """
    least = np.full(HASHES, np.iinfo(np.uint64).max, np.uint64)
    for start in range(0, len(shingles), _CHUNK):
        part = shingles[start : start + _CHUNK, None] * _FACTORS + _TERMS
        np.minimum(least, part.min(axis=0), out=least)
    if not len(shingles):
        raise ValueError("a text without characters has no signature")
    return (least >> np.uint64(32)).astype(np.uint32)


def similarity(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """Return the estimated share of shingles in common, 0 to 1."""
    return float(np.mean(one == other))


def rows_a_band(least: float) -> int:
    """Return how many numbers a band of `band_keys` may have, so that 99 of 100 pairs of this similarity share a band."""
    fitting = (rows for rows in range(HASHES, 0, -1) if (1 - least**rows) ** (HASHES // rows) <= _MISSED)
    return next(fitting, 1)


def band_keys(found: NDArray[np.uint32], rows: int) -> NDArray[np.uint64]:
    """Return a key for each band of `rows` numbers of a signature, uint64 [128 // rows]: alike texts share one."""
    bands = found[: HASHES // rows * rows].reshape(-1, rows).astype(np.uint64)
    keys = np.arange(len(bands), dtype=np.uint64)
    for column in range(rows):
        keys = _mixed(keys + bands[:, column])
    return keys


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each number mixed (SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014)."""
    mixed = values + np.uint64(_GOLDEN)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


_FACTORS = _mixed(np.arange(HASHES, dtype=np.uint64)) | np.uint64(1)
_TERMS = _mixed(np.arange(HASHES, 2 * HASHES, dtype=np.uint64))
