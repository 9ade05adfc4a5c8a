"""The bytes of a dataset depend on recipe and rows alone: not on where, when, in which language and by how many it is built."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.corpus import caption, picture, recipe_data, recording
from tests.faults.accounts import check_account, contents, rejects

NAMES = ["é", "été", "İstanbul", "\u0131I", "文字", "Straße", "b 1", "a10", "a9", "Z", "\u00c5ngström", "A\u030angström"]
"""Names that are sorted, folded and encoded in many ways; the last two are one word in two Unicode forms."""


@dataclass(frozen=True)
class Surroundings:
    """Where and how a build runs. The files of its corpus are made in an order of their own: each `step`th of the sorted ones."""

    workers: int
    environment: dict[str, str] = field(default_factory=dict)
    module: str = "mmdata.cli.main"
    flags: tuple[str, ...] = ()
    step: int = 1
    umask: int = -1
    is_absolute: bool = False


def locales() -> set[str]:
    """Return the locales that this machine has."""
    try:
        found = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout.split()
    except FileNotFoundError:
        return set()
    return {name.lower().replace("-", "") for name in found}


TURKISH = "tr_TR.UTF-8" if "tr_tr.utf8" in locales() else "C.UTF-8"

OTHERS = {
    "ASCII locale, other zone, many threads, strict umask, absolute paths": Surroundings(
        2,
        {
            "LC_ALL": "POSIX", "PYTHONUTF8": "0", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "1",
            "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4",
        },
        step=-1,
        umask=0o077,
        is_absolute=True,
    ),
    "Turkish where there is, no asserts, folders listed in any order": Surroundings(
        3,
        {"LC_ALL": TURKISH, "TZ": "America/St_Johns", "PYTHONHASHSEED": "random", "OMP_NUM_THREADS": "1"},
        module="tests.faults.shuffled_main",
        flags=("-O",),
        step=7,
    ),
}  # fmt: skip


def make_corpus(folder: Path, step: int) -> None:
    """Write the files of a corpus, in an order of its own, and a recipe that names their folder."""
    files: dict[str, bytes] = {}
    for number, name in enumerate(NAMES):
        files |= {f"{name}.png": picture(number), f"{name}.wav": recording(number), f"{name}.txt": caption(number).encode()}
    files |= {"twin.png": files["Z.png"], "twin.wav": files["Z.wav"], "twin.txt": files["Z.txt"], "broken.png": b"no picture"}
    names = sorted(files)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for place in range(len(names)):
        name = names[place * step % len(names)]
        (corpus / name).write_bytes(files[name])
    assert len(list(corpus.iterdir())) == len(files)
    data: dict[str, Any] = recipe_data(Path("corpus"), source={"type": "files", "path": "corpus"}, metadata={}, max_rejects=0.5)
    data["fields"] = {"image": {"kind": "image", "column": "png"}, "audio": {"kind": "audio", "column": "wav"}}
    data["fields"]["text"] = {"kind": "text", "column": "txt"}
    data |= {"split": {"val": 0.2}, "shards": {"rows": 4, "order": "shuffled"}}
    data["stages"].insert(1, "record.deduplicate")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")


def built(folder: Path, how: Surroundings) -> dict[str, str]:
    """Build in these surroundings; return the sha256 of every file."""
    make_corpus(folder, how.step)
    paths = [str(folder / name) if how.is_absolute else name for name in ("recipe.yaml", "out")]
    start = ["-m", how.module] if how.module != "mmdata.cli.main" else ["-c", "from mmdata.cli.main import main; main()"]
    line = [sys.executable, *how.flags, *start, "build", *paths, "--workers", str(how.workers)]
    environment = {name: value for name, value in os.environ.items() if name not in {"LANG", "LC_ALL", "PYTHONHASHSEED"}}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), **how.environment}
    where = "/" if how.is_absolute else folder
    ended = subprocess.run(line, cwd=where, env=environment, umask=how.umask, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return contents(folder / "out")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset that one worker built."""
    folder = tmp_path_factory.mktemp("plain")
    built(folder / "a", Surroundings(1, {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}))
    return folder / "a"


def test_the_corpus_is_worth_it(plain: Path) -> None:
    """Every name makes a row, the twin is a duplicate, and what is broken is among the rejects."""
    check_account(plain / "out", len(NAMES) + 2)
    assert {reject["key"]: reject["kind"] for reject in rejects(plain / "out")} == {"twin": "duplicate", "broken": "filtered"}


@pytest.mark.parametrize("name", OTHERS)
def test_other_surroundings_give_the_same_bytes(tmp_path: Path, plain: Path, name: str) -> None:
    """Several things are different at once; were the bytes others, one would look which of them is to blame."""
    assert built(tmp_path / "b", OTHERS[name]) == contents(plain / "out")
