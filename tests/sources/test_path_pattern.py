"""Path patterns: what each part stands for."""

from __future__ import annotations

import pytest

from mmdata.sources.path_pattern import PathPattern


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("{key}.jpg", "a.jpg", {"key": "a"}),
        ("{key}.jpg", "a.png", None),
        ("{key}.jpg", "x/a.jpg", None),
        ("{key}.jpg", ".jpg", None),
        ("{key}.jpg", "axjpg", None),
        ("{key}.{column}", "a.b.jpg", {"key": "a.b", "column": "jpg"}),
        ("{key:path}.jpg", "x/y/a.jpg", {"key": "x/y/a"}),
        ("*/{key}.*", "x/a.b.jpg", {"key": "a.b"}),
        ("*/{key}.*", "x/y/a.jpg", None),
        ("**/{key}.*", "x/y/a.jpg", {"key": "a"}),
        ("{s}/{s}-{key}.wav", "anna/anna-1.wav", {"s": "anna", "key": "1"}),
        ("{s}/{s}-{key}.wav", "anna/ben-1.wav", None),
        ("(a+)/[{key}]?", "(a+)/[1]?", {"key": "1"}),
        ("{key}", "a\n", {"key": "a\n"}),
    ],
)
def test_a_pattern_takes_a_path_apart(pattern: str, path: str, found: dict[str, str] | None) -> None:
    """The whole path must match; names do not span folders unless they are paths."""
    assert PathPattern(pattern).match(path) == found


def test_the_error_shows_the_place() -> None:
    """A brace that cannot be read is named with its position."""
    with pytest.raises(ValueError, match=r"cannot be read at '\{', character 3"):
        PathPattern("a/{b c}")
