"""Builds the dataset that random damage is done to: small, but with all that a folder can hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmdata.builder import build
from tests.corpus import caption, picture, recipe_data, recording

ROWS = 15
_BROKEN, _COPY, _MUTE = 3, 7, 11
"""Rows that end among the rejects: a truncated picture, a duplicate of the row before it, and a row without text."""


def build_dataset(folder: Path) -> Path:
    """Build pictures, sounds, texts and tokens with annotations: several shards, two splits, artifacts, every kind of reject."""
    (folder / "files").mkdir(parents=True)
    lines = []
    for row in range(ROWS):
        content = row - (row == _COPY)
        size = 200 if row == _BROKEN else None
        (folder / f"files/{row}.png").write_bytes(picture(content, 24, 18)[:size])
        (folder / f"files/{row}.wav").write_bytes(recording(content, 0.2 + 0.01 * content, 8000))
        lines.append(json.dumps(_row(row, "" if row == _MUTE else caption(content))))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    build(_recipe(manifest), folder / "dataset", workers=1)
    return folder / "dataset"


def _row(row: int, text: str) -> dict[str, Any]:
    rng = np.random.default_rng(row)
    left, top = (int(number) for number in rng.integers(5, 9, 2))
    return {
        "key": f"row/{row:03d}",
        "image": f"files/{row}.png",
        "audio": f"files/{row}.wav",
        "text": text,
        "group": f"g{row // 2}",
        "number": row,
        "tags": ["a"] * (row % 3),
        "boxes": [[left, top, left + 6, top + 5, "thing"]],
        "points": [[left + 1, top + 1, "nose"]],
        "segments": [[0.06, 0.12, "word"]],
        "spans": [[0, 2, "start"]] if text else [],
    }


def _recipe(manifest: Path) -> dict[str, Any]:
    return recipe_data(
        manifest,
        fields={
            "image": {"kind": "image", "boxes": "boxes", "points": "points"},
            "audio": {"kind": "audio", "segments": "segments"},
            "text": {"kind": "text", "spans": "spans"},
        },
        split={"by": "group", "val": 0.4},
        stages=[
            "record.require",
            "record.deduplicate",
            "text.normalize",
            "image.decode",
            {"image.resize": {"size": 14}},
            {"image.crop": {"size": 14}},
            "image.normalize",
            "audio.decode",
            "audio.trim",
            {"text.tokenize": {"vocabulary": 300}},
        ],
        shards={"rows": 5},
        max_rejects="50%",
    )
