"""Mutates valid inputs byte by byte and piece by piece: the strategy behind every target."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

_EXTREMES = [value.to_bytes(size, order) for size in (1, 2, 4, 8) for order in ("little", "big") for value in
             (0, 1, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1)]  # fmt: skip
"""Numbers at which sizes and counts overflow, as files store them."""

_MOST_CHANGES = 6
_LONGEST_PIECE = 64


def mutated(seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> SearchStrategy[bytes]:
    """Return a strategy of inputs that are seeds with some changes, few or none; `words` are pieces worth inserting."""
    return _mutated(list(seeds), [*words, *_EXTREMES])


@st.composite
def _mutated(draw: DrawFn, seeds: list[bytes], words: list[bytes]) -> bytes:
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, _MOST_CHANGES))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, _LONGEST_PIECE))
        match draw(st.sampled_from(["set", "insert", "overwrite", "delete", "repeat", "truncate", "splice"])):
            case "set":
                data = data[:start] + draw(st.binary(min_size=1, max_size=2)) + data[start + 1 :]
            case "insert":
                data = data[:start] + draw(st.sampled_from(words)) + data[start:]
            case "overwrite":
                word = draw(st.sampled_from(words))
                data = data[:start] + word + data[start + len(word) :]
            case "delete":
                data = data[:start] + data[start + length :]
            case "repeat":
                data = data[:start] + data[start : start + length] * draw(st.integers(2, 50)) + data[start + length :]
            case "truncate":
                data = data[:start]
            case _:
                other = draw(st.sampled_from(seeds))
                data = data[:start] + other[draw(st.integers(0, len(other))) :]
    return data
