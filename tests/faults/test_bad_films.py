"""Films that are broken, too long or too large cost their row alone; the limits are options of the stage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdata.builder import build
from tests.faults.accounts import check_account, payloads, rejects

pytest.importorskip("av")

from tests.stages.films import Film

SHORT = tuple(number / 25 for number in range(25))
FILMS = {
    "good": Film(SHORT, (0.4,)).encoded,
    "long": Film().encoded,
    "large": Film(SHORT, (0.4,), size=(128, 96)).encoded,
    "truncated": lambda: Film(SHORT, (0.4,)).encoded()[:2000],
    "text": lambda: b"#EXTM3U\nhttp://127.0.0.1/secret.ts\n",
    "empty": lambda: b"",
    "good-too": Film(SHORT, (0.6,)).encoded,
}
EXPECTED = {
    "long": "clip is too long",
    "large": "video has too many pixels",
    "truncated": "not a known video format",
    "text": "not a known video format",
    "empty": "video is empty",
}


def test_bad_films_cost_their_rows(tmp_path: Path) -> None:
    """Each is rejected with its reason; the good ones are what they are without the others."""
    for name, make in FILMS.items():
        (tmp_path / f"{name}.mp4").write_bytes(make())
    for out, names in (("all", list(FILMS)), ("clean", ["good", "good-too"])):
        lines = "".join(json.dumps({"key": name, "video": f"{name}.mp4"}) + "\n" for name in names)
        (tmp_path / f"{out}.jsonl").write_text(lines, encoding="utf-8")
        data = {
            "name": "films",
            "source": {"type": "manifest", "path": str(tmp_path / f"{out}.jsonl"), "key": "key"},
            "fields": {"video": {"kind": "video"}},
            "stages": [{"video.decode": {"max_seconds": 2, "max_pixels": 64 * 48}}],
            "max_rejects": 0.9,
        }
        build(data, tmp_path / out, workers=1)
    found = {reject["key"]: (reject["stage"], reject["reason"]) for reject in rejects(tmp_path / "all")}
    assert found == {name: ("video.decode", reason) for name, reason in EXPECTED.items()}
    check_account(tmp_path / "all", len(FILMS))
    assert payloads(tmp_path / "all") == payloads(tmp_path / "clean")
