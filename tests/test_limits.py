"""Limits of a recipe: amounts of memory as people write them, and their part in what a dataset is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdata.errors import RecipeError
from mmdata.recipe import Recipe
from tests.corpus import recipe_data


def recipe(**limits: Any) -> Recipe:
    """Return a recipe with these limits."""
    return Recipe.from_data(recipe_data(Path("manifest.jsonl"), limits=limits))


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("4GiB", 4 * 2**30),
        ("1.5 GiB", 3 * 2**29),
        ("512 mib", 2**29),
        ("2GB", 2 * 10**9),
        ("123456789", 123456789),
        (2**30, 2**30),
    ],
)
def test_memory_is_a_number_or_an_amount(written: str | int, amount: int) -> None:
    """Binary and decimal units, or bytes."""
    assert recipe(memory=written).limits.memory == amount


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"memory": "much"}, "limits.memory.*found 'much'"),
        ({"memory": "1MiB"}, "limits.memory.*67108864"),
        ({"seconds": 0}, "limits.seconds.*greater than 0"),
        ({"second": 1}, "limits.second: unknown option; did you mean 'seconds'"),
    ],
)
def test_wrong_limits_are_refused(limits: dict[str, Any], says: str) -> None:
    """The error names the place."""
    with pytest.raises(RecipeError, match=says):
        recipe(**limits)


def test_limits_belong_to_what_is_built() -> None:
    """They decide which rows are in a dataset, so they are in its identity, written out."""
    assert recipe().substance()["limits"] == {"seconds": 600.0, "memory": 8 * 2**30}
    assert recipe(seconds=5).substance() != recipe().substance()
