"""Every promise that docs/promises.md makes names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", TEXT)


def test_every_test_that_is_named_exists() -> None:
    """By file and name, as pytest knows it."""
    for file, name in NAMED:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_every_promise_names_its_proof() -> None:
    """A line of the tables of promises without a test would be a claim."""
    tables = TEXT.partition("## What the processor changes")[0]
    lines = [line for line in tables.splitlines() if line.startswith("| ") and not line.startswith("| promise |")]
    assert len(lines) >= 30
    for line in lines:
        assert "`tests/" in line or line.endswith("| the same |"), line
