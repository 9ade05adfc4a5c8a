"""What may change bytes is named, and only that: versions of the libraries that a recipe uses, their code for this processor."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import mmdata
from mmdata.files import canonical_json, digest_of_json
from mmdata.recipe import Recipe
from mmdata.versions import _ALWAYS, _USED_BY, versions
from tests.corpus import picture
from tests.faults.accounts import contents
from tests.faults.commands import command, started
from tests.incremental import Corpus

MAKE_NO_BYTES = {"click", "fsspec", "isal", "pydantic", "pydantic-core", "pyyaml", "ray", "threadpoolctl", "rich"}
"""They read recipes and corpora, carry tasks, sum up, show things and count threads: what they return is the same or an error."""

ELSEWHERE = ("loader", "train", "validation", "cli", "pipelines")
"""Folders whose code runs after a dataset is complete."""


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, here or there."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_every_library_that_a_build_imports_is_named() -> None:
    """One that is new to the code has to be put into the table, or among those that make no bytes."""
    root = Path(mmdata.__file__).parent
    files = [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in ELSEWHERE]
    modules = set[str]().union(*(imported(path) for path in files)) - sys.stdlib_module_names - {"mmdata"}
    distributions = metadata.packages_distributions()
    names = {name.lower().replace("_", "-") for module in modules for name in distributions.get(module, [module])[:1]}
    assert names - _USED_BY.keys() - _ALWAYS - MAKE_NO_BYTES == set()


def test_every_library_that_is_named_can_be_had() -> None:
    """Names are those of distributions, so that a version is found for each in an installation with all extras."""
    for name in [*_USED_BY, *_ALWAYS]:
        assert metadata.version(name), name


def recipe(**fields: str) -> Recipe:
    """Return a recipe with fields of these kinds."""
    stages = ["text.normalize"] if "text" in fields else ["image.decode"]
    kinds = {name: {"kind": kind} for name, kind in fields.items()}
    return Recipe.from_data(
        {"name": "v", "source": {"type": "manifest", "path": "m.jsonl", "key": "key"}, "fields": kinds, "stages": stages}
    )


def test_a_library_that_a_recipe_does_not_use_is_not_named() -> None:
    """So that its change warns nobody; code paths of numpy and its linear algebra are always named."""
    text, image = versions(recipe(text="text")), versions(recipe(image="image"))
    assert {"ftfy", "numpy", "numpy code paths", "blas code paths", "machine", "python"} <= text.keys()
    assert not {"opencv-python-headless", "opencv code paths", "soxr", "av", "phonenumbers"} & text.keys()
    assert {"opencv-python-headless", "opencv code paths", "pillow", "simplejpeg"} <= image.keys()
    assert "ftfy" not in image
    assert all(text.values())


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("NPY_DISABLE_CPU_FEATURES", "X86_V3 X86_V4 AVX512_ICL AVX512_SPR", "numpy code paths"),
        ("OPENCV_CPU_DISABLE", "AVX512-SKX,AVX2", "opencv code paths"),
        ("OPENBLAS_CORETYPE", "Nehalem", "blas code paths"),
    ],
)
def test_code_for_another_processor_is_seen(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str) -> None:
    """The libraries themselves are told to do without some features of the processor, as an older one would make them."""
    code = "import json; from tests.test_versions import recipe, versions; print(json.dumps(versions(recipe(image='image'))))"
    known = versions(recipe(image="image"))
    if "X86_V3" not in known["numpy code paths"]:
        pytest.skip("these features are those of x86 processors")
    monkeypatch.setenv(variable, value)
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True).stdout
    other = json.loads(told)
    assert {name for name in known if other[name] != known[name]} == {key}


SAID = "mmdata: WARNING: gone on with under another version, so bytes may differ: "


def built(line: list[str]) -> list[str]:
    """Run a command; return its warnings."""
    process = started(line)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return [one for one in said.splitlines() if "WARNING" in one]


def make_old(data: dict[str, Any], path: Path) -> None:
    """Write a description or a claim that names an older library, another machine, and one that is used no more."""
    data = {**data, "versions": data["versions"] | {"pillow": "1.0", "machine": "abacus"}}
    data.pop("checksum", None)
    path.parent.mkdir(exist_ok=True)
    path.write_text(canonical_json({**data, "checksum": digest_of_json(data)}), encoding="utf-8")


@pytest.mark.parametrize("way", ["repaired", "updated", "resumed"])
def test_other_versions_are_shown_line_by_line(tmp_path: Path, way: str) -> None:
    """Wherever a folder is gone on with: only what differs. The dataset then names the present ones, unless it is as it was."""
    corpus = Corpus.make(tmp_path / "corpus", 8)
    corpus.write()
    out = tmp_path / "out"
    line = command(tmp_path, corpus.data, out)
    assert built(line) == []
    undisturbed = contents(out)
    description = json.loads((out / "dataset.json").read_bytes())
    make_old(description, out / "dataset.json")
    (out / "train-000000.tar").unlink()
    if way == "resumed":
        (out / "dataset.json").unlink()
        make_old({"identity": description["identity"], "versions": description["versions"]}, out / ".build/build.json")
    warnings = built([*line, "--update"] if way == "updated" else line)
    now = description["versions"]
    assert warnings == [
        f'{SAID}machine: "abacus" in the folder, "{now["machine"]}" asked for',
        f'{SAID}pillow: "1.0" in the folder, "{now["pillow"]}" asked for',
    ]
    changed = {name for name, sha256 in contents(out).items() if undisturbed[name] != sha256}
    assert changed == ({"dataset.json"} if way == "repaired" else set())
    assert built(line) == []


def test_workers_resize_alike_on_every_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pictures that are enlarged, built as they would be on an older processor, and without OpenCV's own code for this one."""
    corpus = Corpus.make(tmp_path / "corpus", 4)
    corpus.data["stages"] = ["image.decode", {"image.resize": {"size": 168}}, "image.normalize"]
    for number in range(4):
        (corpus.folder / f"{number}.png").write_bytes(picture(number, 120, 90))
    corpus.write()
    assert built(command(tmp_path, corpus.data, tmp_path / "here")) == []
    monkeypatch.setenv("OPENCV_IPP", "sse42")
    monkeypatch.setenv("OPENCV_CPU_DISABLE", "AVX512-SKX,AVX2,FP16,AVX,SSE4.2,SSE4.1")
    assert built(command(tmp_path, corpus.data, tmp_path / "older")) == []
    here, older = contents(tmp_path / "here"), contents(tmp_path / "older")
    assert {name for name in here if here[name] != older[name]} <= {"dataset.json"}
