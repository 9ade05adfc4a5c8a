"""`mmdata doctor`: what is needed works here."""

from __future__ import annotations

import json

from click.testing import CliRunner

from mmdata.cli.main import group
from mmdata.validation.installation import _library, requirements_of


def test_this_installation_works() -> None:
    """Everything that is needed is found, every decoder decodes its sample, and the exit status is 0."""
    result = CliRunner().invoke(group, ["doctor", "--json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    names = {probe["name"] for probe in found["probes"]}
    assert {"python", "numpy", "torch", "decode JPEG", "decode SVG", "decode MP3", "cuda", "disk"} <= names
    assert [probe for probe in found["probes"] if probe["required"] and not probe["ok"]] == []
    assert result.exit_code == 0


def test_a_missing_library_is_named() -> None:
    """The probe fails and says what to install."""
    probe = _library("no-such-library")
    assert not probe.ok
    assert probe.required
    assert "pip install no-such-library" in probe.detail


def test_requirements_of_extras_stand_apart() -> None:
    """Names are read without versions and markers."""
    lines = ["numpy>=1.26", "PyYAML>=6.0", 'pytest>=8.3; extra == "dev"', "ray[data]>=2 ; extra == 'ray'"]
    assert requirements_of(lines) == {"": ["numpy", "PyYAML"], "dev": ["pytest"], "ray": ["ray"]}
