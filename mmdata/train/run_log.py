"""The log of a training run: `log.jsonl`, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmdata.files import canonical_json, publish

LOG = "log.jsonl"


class RunLog:
    """Appends lines to a log. Lines of steps after `step`, which a run that stopped has written, are removed at the start."""

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        publish(path, "".join(f"{canonical_json(line)}\n" for line in read_log(path) if line["step"] <= step).encode())

    def write(self, line: dict[str, Any]) -> None:
        """Append one line, which must name its `step`."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{canonical_json(line)}\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a last one that was cut off is left out, and there are none where there is no file."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines
