"""A smoke run of every fuzzing target, the same inputs each time: some seconds in all. `make fuzz` goes on from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.table import TARGETS

_SLOW = {"description": 8, "index": 20, "tar": 20}
_EXAMPLES = 40


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_input_stays_an_error_or_what_it_was(name: str, tmp_path: Path) -> None:
    """Valid inputs are read; of mutated ones only errors come out that a user can cause."""
    check, strategy, seeds = TARGETS[name].opened(tmp_path)
    for data in seeds:
        check(data)
    quiet = settings(
        max_examples=_SLOW.get(name, _EXAMPLES),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    quiet(given(strategy)(check))()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("subtitles", b"9" * 5000 + b":00:00,000 --> " + b"9" * 5000 + b":00:01,000\nx"),
        ("ogg-pages", b"OggS" + bytes(5)),
        ("member-npy", b"\x93NUMPY\x01\x00\x76\x00" + b"(".ljust(117) + b"\n"),
        ("recipe", b"name: a\nsource: {type: manifest, path: m.csv}\nfields: {text: {kind: text}}\nseed: 2001-99-99\n"),
        ("recipe", b"name: a\nsource: {type: files, path: m}\nfields: {text: {kind: text}}\nstages: ['..evil:X']\n"),
        ("recipe", b"name: a\nsource: {type: files, path: m}\nfields: {text: {kind: text}}\n\0stages.\xc2\xb2.size=1"),
    ],
)
def test_what_was_found_once_stays_mended(name: str, data: bytes, tmp_path: Path) -> None:
    """Inputs that once ended in something else than an error."""
    check, _, _ = TARGETS[name].opened(tmp_path)
    check(data)
