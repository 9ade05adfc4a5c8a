"""Random numbers as a function of (seed, place, key): no global state, no dependence on who draws first.

Philox is counter-based (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): its whole state follows from a
128-bit key, which is hashed here from the arguments. The stream is the same on every platform.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from struct import unpack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import RecipeError


def digest_of(*parts: str | int, size: int = 16) -> bytes:
    """Return `size` bytes (1 to 64) that depend on every part and on where one part ends and the next begins."""
    return hashlib.blake2b(b"\x1f".join(map(_encoded, parts)), digest_size=size).digest()


def _encoded(part: str | int) -> bytes:
    text = str(part)
    return f"{len(text)}:{text}".encode("utf-8", "surrogatepass")


def fraction_of(*parts: str | int) -> float:
    """Return a number in [0, 1) that is a pure function of the parts, uniform over parts."""
    return fractions_of(1, *parts)[0]


def fractions_of(count: int, *parts: str | int) -> list[float]:
    """Return up to eight numbers in [0, 1), uniform and independent: a pure function of the parts.

    For a few numbers a record, where making a generator would take several times longer than all they are used for.
    """
    digest = digest_of(*parts, size=8 * count)
    return [(word >> 11) / (1 << 53) for word in unpack(f"<{count}Q", digest)]


def fractions_by_key(count: int, place: Iterable[str | int], keys: Iterable[str]) -> NDArray[np.float64]:
    """Return `fractions_of(count, *place, key)` for each key, float64 [keys, count]: what the keys share is hashed once."""
    shared = hashlib.blake2b(b"".join(_encoded(part) + b"\x1f" for part in place), digest_size=8 * count)
    digests = []
    for key in keys:
        digest = shared.copy()
        digest.update(_encoded(key))
        digests.append(digest.digest())
    words = np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, count)
    return (words >> np.uint64(11)) / float(1 << 53)


def rng_for(seed: int, *place: str | int) -> np.random.Generator:
    """Return the generator of one place, for instance `rng_for(seed, "stages[2] image.crop", key)`."""
    key = np.frombuffer(digest_of(seed, *place), dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


class Undrawn(np.random.Generator):
    """What is handed to a stage that says it draws no numbers: it costs nothing, and raises RecipeError where it is used."""

    def __init__(self, stage: str) -> None:
        super().__init__(np.random.Philox(key=0))
        self._stage = stage

    def __repr__(self) -> str:
        return f"Undrawn({self._stage!r})"

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401 - whatever a generator has
        """Refuse every method of a generator."""
        if name.startswith("_"):
            return super().__getattribute__(name)
        raise RecipeError(f"{self._stage} draws random numbers ({name}) and does not say so: its `random` must be True")
