"""Checks which files lie in a dataset folder, and the checksums of those that are no shards."""

from __future__ import annotations

from pathlib import Path

from mmdata.dataset import DESCRIPTION, SPLITS
from mmdata.files import sha256_of
from mmdata.validation.description import Promised
from mmdata.validation.findings import Notes

REJECTS = "rejects.parquet"
ARTIFACTS = "artifacts"
_REPORT = "report"


def check_folder(out: Path, promised: Promised, notes: Notes) -> None:
    """Check that every file is there that must be, none else, and that their checksums are right (shards: see there)."""
    files = [DESCRIPTION, REJECTS, *(shard.file for shard in promised.shards), *(shard.index_file for shard in promised.shards)]
    files += [f"{ARTIFACTS}/{name}" for name in promised.parts.get("artifacts", {})]
    for file in files:
        notes.covered("files")
        if not (out / file).is_file():
            notes.on(file).error("files", "it is no file" if (out / file).exists() else "it is missing")
    _check_foreign(out, set(files), promised, notes)
    _check_names(promised, notes)
    if promised.has_shards and "index" in promised.parts:
        _check_listed(promised, notes)
    _check_sha256(out, promised, notes)


def _check_foreign(out: Path, expected: set[str], promised: Promised, notes: Notes) -> None:
    folders = {_REPORT, "index", *([ARTIFACTS] if promised.parts.get("artifacts", True) else [])}
    listed = [path for path in sorted(out.iterdir()) if not (path.name in folders and path.is_dir())]
    for folder in ("index", *([ARTIFACTS] if "artifacts" in promised.parts else [])):
        if (out / folder).is_dir():
            listed += sorted((out / folder).iterdir())
    for path in listed:
        file = path.relative_to(out).as_posix()
        notes.covered("files")
        if file not in expected:
            notes.on(file).error("files", _foreign(path))


def _foreign(path: Path) -> str:
    if path.name == ".build":
        return "a build runs here, or was broken off; run it again to finish it"
    if path.name.endswith(".tmp"):
        return "it is a temporary file that a build left behind; remove it"
    return "it does not belong to the dataset; remove it"


def _check_names(promised: Promised, notes: Notes) -> None:
    """Check that the shards of each split are numbered without gaps, and that none is empty."""
    for split in SPLITS:
        files = [shard.file for shard in promised.shards if shard.split == split]
        wanted = [f"{split}-{number:06d}.tar" for number in range(len(files))]
        for file, name in zip(files, wanted, strict=True):
            if file != name:
                notes.on(file).error("files", f"it stands where {name} must stand: shards are numbered from 000000 without gaps")
                break
    for shard in promised.shards:
        if promised.has_shards and shard.records == 0:
            notes.on(shard.file).error("counts", "dataset.json says that it holds no record; there are no empty shards")


def _check_listed(promised: Promised, notes: Notes) -> None:
    listed, wanted = set(promised.parts["index"]), {REJECTS, *(shard.index_file for shard in promised.shards)}
    for file in sorted(listed ^ wanted):
        where = "is listed under 'index', but belongs to no shard" if file in listed else "is not listed under 'index'"
        notes.error("description", f"{file} {where}")


def _check_sha256(out: Path, promised: Promised, notes: Notes) -> None:
    wanted = dict(promised.parts.get("index", {}))
    wanted |= {f"{ARTIFACTS}/{name}": sha256 for name, sha256 in promised.parts.get("artifacts", {}).items()}
    for file, sha256 in sorted(wanted.items()):
        if (out / file).is_file():
            notes.covered("checksums")
            try:
                is_right = sha256_of(out / file) == sha256
            except OSError as error:
                notes.on(file).error("files", f"it cannot be read: {error.strerror}")
                continue
            if not is_right:
                notes.on(file).error("checksums", "its sha256 differs from the one in dataset.json: it was changed or damaged")
