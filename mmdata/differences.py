"""How two builds differ, line by line: what a refusal shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def differences(held: Any, wanted: Any, path: str = "") -> list[str]:  # noqa: ANN401 - plain data
    """Return how two pieces of plain data differ, one line a place: path, what the folder has, what is asked for."""
    if isinstance(held, dict) and isinstance(wanted, dict):
        keys = sorted(held.keys() | wanted.keys())
        return [line for key in keys for line in differences(held.get(key), wanted.get(key), f"{path}.{key}".lstrip("."))]
    if isinstance(held, list) and isinstance(wanted, list) and len(held) == len(wanted):
        pairs = enumerate(zip(held, wanted, strict=True))
        return [line for number, (one, other) in pairs for line in differences(one, other, f"{path}[{number}]")]
    return [] if held == wanted else [f"{path}: {_short(held)} in the folder, {_short(wanted)} asked for"]


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def refusal(out: Path, lines: Sequence[str]) -> str:
    """Return the message that refuses a folder of another build."""
    hint = "" if not all(line.startswith("rows.") for line in lines) else ", or take the changed rows over with --update"
    return _with_lines(f"{out}: belongs to another build; choose another folder, or remove it{hint}. The difference:", lines)


def changed_files(out: Path, lines: Sequence[str]) -> str:
    """Return the message that refuses to go on with raw files that changed."""
    told = f"{out}: raw files changed since the build read them; put them back, or take them over with --update:"
    return _with_lines(told, lines)


def changing_files(out: Path, lines: Sequence[str]) -> str:
    """Return the message that ends a build whose raw files changed between two of its passes."""
    return _with_lines(f"{out}: raw files changed while the dataset was built; take them over with --update:", lines)


def _with_lines(told: str, lines: Sequence[str], most: int = 20) -> str:
    more = [f"  and {len(lines) - most:,} more"] if len(lines) > most else []
    return "\n".join([told, *(f"  {line}" for line in lines[:most]), *more])
