"""How a build finds its folder: new, broken off, complete, damaged, or another's; and what may have changed since."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdata.changes import Mode
from mmdata.differences import differences, refusal
from mmdata.errors import DatasetError
from mmdata.files import digest_of_json
from mmdata.folder import BuildFolder
from mmdata.plan import Plan
from mmdata.recipe import Recipe
from mmdata.shards.index import ShardIndex
from mmdata.stock import FileHashes
from mmdata.versions import versions

_log = logging.getLogger("mmdata.build")


@dataclass(frozen=True)
class Standing:
    """What the folder of a build holds: how it is gone on with, what is promised of it, and which files are damaged.

    `artifacts` are promised by file. `description` is what `dataset.json` says of a complete dataset. Where `is_strict`, only the
    shards themselves tell what the folder was built of, so each of them must be one of the plan's.
    """

    mode: Mode
    artifacts: Mapping[str, str]
    damaged: tuple[Path, ...] = ()
    description: Mapping[str, Any] | None = None
    is_strict: bool = False


def refuse_another(plan: Plan, given: Mapping[str, bytes], out: Path, description: Mapping[str, Any], *, update: bool) -> None:
    """Raise DatasetError, with the difference line by line, where a complete dataset is not of this build.

    For an update, the rows may differ. Artifacts that are given must be those that the folder has.
    """
    lines = _differences(description["identity"], plan, update=update)
    wanted = {file: hashlib.sha256(content).hexdigest() for file, content in given.items()}
    lines += differences({file: description["artifacts"].get(file) for file in wanted}, wanted, "artifacts")
    if lines:
        raise DatasetError(refusal(out, lines))


def _differences(identity: Mapping[str, Any], plan: Plan, *, update: bool) -> list[str]:
    wanted = plan.identity
    return differences(identity["recipe"], wanted["recipe"], "recipe") if update else differences(dict(identity), wanted)


def find_standing(plan: Plan, given: Mapping[str, bytes], folder: BuildFolder, hashes: FileHashes, *, update: bool) -> Standing:
    """Find out how the folder stands, which is held, and write down that it now is of this build, unless its shards must tell.

    Raises DatasetError where it is of another one. Other versions of the libraries are let pass with a warning: they may make
    other bytes.
    """
    description, claim = folder.description(), folder.claimed()
    if description is not None:
        refuse_another(plan, given, folder.out, description, update=update)
        _warn_of_versions(description["versions"], plan.recipe)
        damaged = tuple(folder.damage(description, hashes))
        if update:
            folder.claim(plan.identity, versions(plan.recipe))
        return Standing(Mode.UPDATE if update else Mode.REPAIR, description["artifacts"], damaged, description)
    if claim is None:
        standing = _from_shards(plan, folder, hashes, update=update)
        if not standing.is_strict:
            folder.claim(plan.identity, versions(plan.recipe))
        return standing
    if lines := _differences(claim["identity"], plan, update=update):
        raise DatasetError(refusal(folder.out, lines))
    _warn_of_versions(claim["versions"], plan.recipe)
    if update:
        folder.claim(plan.identity, versions(plan.recipe))
    return Standing(Mode.UPDATE if update or folder.has_failed() else Mode.RESUME, {})


def _from_shards(plan: Plan, folder: BuildFolder, hashes: FileHashes, *, update: bool) -> Standing:
    """Return the standing of a folder that is new, or has lost its `dataset.json`: then the shards say what they were made by."""
    folder.refuse_other_recipe(digest_of_json(plan.recipe.substance()))
    infos = [info for path in sorted(folder.index.glob("*.parquet")) if (info := ShardIndex.read_info(path)) is not None]
    if len({digest_of_json(dict(info.artifacts)) for info in infos}) > 1:
        raise DatasetError(f"{folder.out}: the shards were made by different artifacts; build into a new folder")
    artifacts = infos[0].artifacts if infos else {}
    damaged = tuple(folder.artifacts / file for file, sha256 in artifacts.items() if hashes[folder.artifacts / file] != sha256)
    return Standing(Mode.UPDATE if update else Mode.RESUME, artifacts, damaged, is_strict=bool(infos) and not update)


def _warn_of_versions(held: Mapping[str, str], recipe: Recipe) -> None:
    for line in differences(dict(held), versions(recipe)):
        _log.warning("gone on with under another version, so bytes may differ: %s", line)
