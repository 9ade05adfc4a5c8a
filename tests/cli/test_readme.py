"""The README: its recipe, its commands and its Python run as they stand, and it names every command."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mmdata.cli.main import COMMANDS
from tests.corpus import caption, picture, recording

README = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the console as a user would, in a folder."""
    words = shlex.split(line, comments=True)
    assert words[0] == "mmdata"
    command = [sys.executable, "-c", "from mmdata.cli.main import main; main()", *words[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def birds(folder: Path, rows: int = 170) -> None:
    """Write the corpus that the README's recipe is about."""
    corpus = folder / "corpus"
    corpus.mkdir()
    lines = []
    for row in range(rows):
        (corpus / f"{row}.png").write_bytes(picture(row, 24, 18))
        (corpus / f"{row}.wav").write_bytes(recording(row, 0.3, 8000))
        names = {"photo": f"{row}.png", "call": f"{row}.wav", "caption": caption(row), "species": f"s{row % 60}"}
        lines.append(json.dumps({"id": f"bird-{row}", **names}))
    (corpus / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command of the README was run, in its order."""
    folder = tmp_path_factory.mktemp("readme")
    birds(folder)
    folder.joinpath("birds.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    commands = [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ mmdata")]
    assert len(commands) >= 8
    for line in commands:
        done = run(line.replace("KEY", "bird-7"), folder)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip()
    return folder


def test_commands_leave_what_they_say(folder: Path) -> None:
    """The dataset, its report, the page and the run are where the README puts them."""
    for path in ("out/birds/dataset.json", "out/birds/report/index.html", "birds.html", "runs/birds/checkpoint.pt"):
        assert (folder / path).is_file()


def test_python_runs(folder: Path) -> None:
    """The blocks of Python run in the same folder."""
    for block in blocks("python"):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", block], cwd=folder, env=environment, check=True, capture_output=True)


def test_every_link_leads_to_a_file() -> None:
    """Links into the project name files that exist."""
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", README):
        assert Path(__file__).parents[2].joinpath(target).is_file(), target


def test_every_extra_is_named() -> None:
    """Who needs one learns of it before a stage or a loader asks for it."""
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = README[README.index("Extras:") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", extras)) - {"Trainer"} == project["optional-dependencies"].keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_stands_in_the_readme(name: str, tmp_path: Path) -> None:
    """A user finds each command there, and its own help says what it does."""
    assert re.search(rf"mmdata {name}\b", README) or f"make {name}" in README
    done = run(f"mmdata {name} --help", tmp_path)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 4


def test_help_is_quick_to_load() -> None:
    """Asking for help imports none of the heavy libraries."""
    code = """
import sys
from mmdata.cli.main import group
group.main(["--help"], standalone_mode=False)
print(sorted({"torch", "numpy", "pyarrow", "cv2", "spacy", "librosa"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
