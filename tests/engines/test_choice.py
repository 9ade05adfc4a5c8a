"""An engine is chosen by its name, before anything is read or written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmdata.builder import build
from mmdata.engines import ENGINES, engine_named
from mmdata.errors import ConfigError, MissingExtraError
from mmdata.recipe import Recipe


def test_every_engine_has_its_name() -> None:
    """The table names what there is."""
    assert {name: engine_named(name).__name__ for name in ENGINES} == {"local": "LocalEngine", "ray": "RayEngine"}


def test_an_unknown_engine_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    """With the names of those that are known."""
    with pytest.raises(ConfigError, match="engine 'rey' is not known; the engines are local, ray"):
        build(recipe, tmp_path / "out", engine="rey")
    assert not (tmp_path / "out").exists()


def test_an_engine_that_is_not_installed_is_refused(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"the engine 'ray' needs the extra 'ray'.*pip install 'mmdata\[ray\]'"):
        build(recipe, tmp_path / "out", engine="ray")
    assert not (tmp_path / "out").exists()
