"""A small corpus of pictures, recordings and texts, and a recipe over it, for the tests of every part."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import soundfile

WORDS = ("a", "red", "green", "blue", "small", "large", "cat", "dog", "house", "tree", "stands", "sleeps", "near", "under")


def picture(seed: int, width: int = 40, height: int = 30) -> bytes:
    """Return a PNG of coloured noise on a gradient."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 80, height)[:, None, None]
    pixels = (slope + rng.integers(0, 50, (height, width, 3))).astype(np.uint8)
    sink = BytesIO()
    PIL.Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def recording(seed: int, seconds: float = 0.6, rate: int = 22050) -> bytes:
    """Return a WAV of a tone with some noise, silence around it."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (200 + 20 * (seed % 20)) * time) * np.hanning(len(time))
    sink = BytesIO()
    soundfile.write(sink, tone + 0.003 * rng.standard_normal(len(time)), rate, "PCM_16", format="WAV")
    return sink.getvalue()


def caption(seed: int) -> str:
    """Return some words."""
    return " ".join(np.random.default_rng(seed).choice(WORDS, 6))


def make_corpus(folder: Path, rows: int = 24) -> Path:
    """Write a corpus and return its manifest; `group` holds three rows each."""
    (folder / "files").mkdir(parents=True)
    lines = []
    for row in range(rows):
        (folder / f"files/{row}.png").write_bytes(picture(row))
        (folder / f"files/{row}.wav").write_bytes(recording(row))
        names = {"key": f"row/{row:03d}", "image": f"files/{row}.png", "audio": f"files/{row}.wav", "text": caption(row)}
        lines.append(json.dumps(names | {"group": f"g{row // 3}", "number": row, "tags": ["a"] * (row % 3)}))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def recipe_data(manifest: Path, **changes: Any) -> dict[str, Any]:
    """Return the data of a recipe over such a corpus."""
    return {
        "name": "small",
        "source": {"type": "manifest", "path": str(manifest), "key": "key"},
        "fields": {"image": {"kind": "image"}, "audio": {"kind": "audio"}, "text": {"kind": "text"}},
        "metadata": {"number": "int", "tags": "json"},
        "split": {"by": "group", "val": 0.3},
        "stages": [
            "record.require",
            "text.normalize",
            "image.decode",
            {"image.resize": {"size": 16}},
            {"image.crop": {"size": 16}},
            "image.normalize",
            "audio.decode",
            {"audio.resample": {"rate": 16000}},
            "audio.trim",
            {"text.tokenize": {"vocabulary": 300}},
        ],
        "output": {"image": {"format": "png"}},
        "shards": {"rows": 4},
        **changes,
    }
