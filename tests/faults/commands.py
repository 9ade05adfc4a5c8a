"""Builds that are started by the command line, as people start them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


def command(folder: Path, data: dict[str, Any], out: Path, *more: str) -> list[str]:
    """Write a recipe to a folder and return the command line that builds it with two workers."""
    (folder / "recipe.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    code = "from mmdata.cli.main import main; main()"
    return [sys.executable, "-c", code, "build", str(folder / "recipe.yaml"), str(out), "--workers", "2", *more]


def without_progress(said: str) -> str:
    """Return what a command says on standard error, without what it says of its progress where the machine is slow."""
    return re.sub(r"^mmdata: (preparing|learning|building)\b.*\n", "", said, flags=re.MULTILINE)


def started(command: list[str]) -> subprocess.Popen[str]:
    """Start a command in a session of its own."""
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
