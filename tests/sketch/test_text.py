"""MinHash: the estimate against the exact share of shingles, in scripts with and without spaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdata.sketch.text import HASHES, band_keys, rows_a_band, shingle_hashes, signature, similarity


def estimated(one: str, other: str, size: int = 3) -> float:
    """Return the estimated share of shingles in common."""
    return similarity(signature(shingle_hashes(one, size)), signature(shingle_hashes(other, size)))


def exact(one: str, other: str, size: int = 3) -> float:
    """Return the share of shingles in common (Jaccard), by sets of strings."""
    padded = (f"{' ' * (size - 1)}{text}{' ' * (size - 1)}" for text in (one, other))
    first, second = ({text[place : place + size] for place in range(len(text) - size + 1)} for text in padded)
    return len(first & second) / len(first | second)


@given(st.text("abcd", min_size=1, max_size=60), st.text("abcd", min_size=1, max_size=60))
def test_the_estimate_is_near_the_exact_share(one: str, other: str) -> None:
    """Within five deviations of 128 draws."""
    share = exact(one, other)
    assert abs(estimated(one, other) - share) <= 5 * (share * (1 - share) / HASHES) ** 0.5 + 1e-9


@pytest.mark.parametrize(
    ("one", "other", "least", "most"),
    [
        ("一只橙色的猫坐在木头栅栏上看着鸟儿", "一只橙色的猫坐在木头栅栏上看着小鸟", 0.6, 0.95),
        ("แมวสีส้มนั่งอยู่บนรั้วไม้และมองดูนก", "แมวสีส้มนั่งอยู่บนรั้วไม้และมองดูสุนัข", 0.5, 0.95),
        ("一只橙色的猫坐在木头栅栏上", "三个苹果放在桌子中间的盘子里", 0.0, 0.1),
        ("The cat sat on the mat.", "  the CAT sat, on the mat", 1.0, 1.0),
        ("ﬁne ｃａｆé", "fine cafe\u0301", 1.0, 1.0),
    ],
)
def test_scripts_and_spellings(one: str, other: str, least: float, most: float) -> None:
    """Chinese and Thai need no words; case, punctuation, spaces and compatibility forms do not count."""
    assert least <= estimated(one, other) <= most


def test_short_and_empty_texts() -> None:
    """Every character stands in three shingles; a text of spaces and punctuation has none, and no signature."""
    assert (len(shingle_hashes("猫", 3)), len(shingle_hashes("猫咪", 3))) == (3, 4)
    assert estimated("猫", "狗") < 0.1
    assert len(shingle_hashes(" ?!…\n", 3)) == 0
    with pytest.raises(ValueError, match="without characters"):
        signature(shingle_hashes("", 3))


def test_a_long_text_is_worked_on_in_parts() -> None:
    """The signature of more shingles than fit in one part is the least of the parts' signatures."""
    shingles = np.arange(10_000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    parts = [signature(part) for part in np.array_split(shingles, 7)]
    assert np.array_equal(signature(shingles), np.minimum.reduce(parts))


def test_signatures_never_change() -> None:
    """They are compared across tasks and machines, so they are pinned."""
    assert signature(shingle_hashes("a red boat", 3))[:4].tolist() == [427490369, 22606856, 889529351, 79764869]


@pytest.mark.parametrize("least", [0.3, 0.5, 0.7, 0.9, 1.0])
def test_bands_catch_what_is_similar_enough(least: float) -> None:
    """At most one pair in a hundred of that similarity shares no band, and a longer band would miss more."""
    rows = rows_a_band(least)
    assert (1 - least**rows) ** (HASHES // rows) <= 0.01
    assert rows == HASHES or (1 - least ** (rows + 1)) ** (HASHES // (rows + 1)) > 0.01


def test_bands_are_keys_of_their_numbers_and_place() -> None:
    """Equal bands at equal places share a key; the same numbers at another place do not."""
    one = np.arange(HASHES, dtype=np.uint32)
    other = one.copy()
    other[:4] += 1
    assert np.flatnonzero(band_keys(one, 4) != band_keys(other, 4)).tolist() == [0]
    assert len(set(band_keys(np.zeros(HASHES, np.uint32), 4).tolist())) == HASHES // 4
