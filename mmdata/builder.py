"""The build: plan, fit passes, shards, and at the end the account of every row and `dataset.json`.

There is one way to build, whatever the folder holds: what is there as it would be made now is taken, the rest is made. A folder
that is new, gone on with, updated or repaired differs in what may have changed since.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmdata.changes import Changes, Mode, RawChanges
from mmdata.dataset import DESCRIPTION, Dataset
from mmdata.differences import differences
from mmdata.engines import OpenEngine, engine_named
from mmdata.engines.base import Tick
from mmdata.engines.local import refuse_recursion
from mmdata.errors import ConfigError, DatasetError, TooManyRejectsError
from mmdata.files import digest_of_json, sha256_of
from mmdata.fit import Fitted, Fitting
from mmdata.folder import REJECTS, BuildFolder
from mmdata.learned import given_artifacts
from mmdata.plan import Plan, make_plan
from mmdata.raw import CorpusFiles
from mmdata.recipe import Recipe
from mmdata.shard_build import ShardBuild
from mmdata.shards.index import ShardIndex
from mmdata.standing import Standing, find_standing, refuse_another
from mmdata.stock import FileHashes, Stock
from mmdata.summary import Account, describe, description_file, rejects_file
from mmdata.versions import versions

_log = logging.getLogger("mmdata.build")


@dataclass(frozen=True)
class Progress:
    """How far a build is: the pass it is in, rows done of all rows, and rows rejected so far."""

    phase: str
    done: int
    total: int
    rejects: int


Report = Callable[[Progress], None]


def _silent(_: Progress) -> None:
    return None


@dataclass(frozen=True)
class Options:
    """How a build is carried out; see `build`. Raises ConfigError for a number of workers or rows below 1."""

    workers: int | None = None
    engine: str = "local"
    limit: int | None = None
    update: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers is at least 1, not {self.workers}; leave it out for one a core")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is at least 1 row, not {self.limit}; leave it out to take all rows of the source")


@dataclass(frozen=True)
class Found:
    """What of a build that had broken off was done already: so many shards, and stages that had learned."""

    shards: int
    stages: int


@dataclass(frozen=True)
class Outcome:
    """A dataset that is complete, and what was done to one that was there before: None where it is new, or nothing was to do.

    `found` is what a build that was gone on with had done. Where `was_complete`, every file was as it had been built.
    """

    dataset: Dataset
    changes: Changes | None = None
    found: Found | None = None
    was_complete: bool = False


def build(  # noqa: PLR0913 - the options of the command, by name
    recipe: Recipe | Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    engine: str = "local",
    limit: int | None = None,
    update: bool = False,
    progress: Report = _silent,
) -> Dataset:
    """Build a dataset folder and return it open.

    A build that was interrupted goes on where it stopped, and of a dataset that is damaged exactly what is damaged is made again.
    With `update`, rows and raw files may have changed since the folder was built: what holds them is made again, what was learned
    is kept, and the folder is then the same as one built from nothing with these artifacts.

    The engine `local` starts processes that import the calling script; so a script calls it under `if __name__ == "__main__":`.

    Args:
        recipe: A recipe, its data, its file, or the name of a bundled one.
        out: The folder: new, empty, or left by the same build.
        workers: Number of worker processes, from 1; by default one a core. It changes nothing in the result.
        engine: Where they run: `local`, on this machine, or `ray`, on a Ray cluster. It changes nothing in the result either.
        limit: Take only so many rows of the source, from the first on; at least 1, by default all.
        update: Take over what changed in the source.
        progress: Called a few times a second with how far the build is.

    Raises:
        ConfigError: `workers` or `limit` is below 1, or the engine is not known.
        RecipeError: The recipe cannot be carried out.
        SourceError: The corpus cannot be listed.
        DatasetError: The folder cannot be used, belongs to another build, or raw files changed since it was begun.
        TooManyRejectsError: More rows were rejected than the recipe allows; the folder can be resumed.
        MissingExtraError: The engine or a stage is not installed.
    """
    return carry_out(recipe, out, Options(workers, engine, limit, update), progress).dataset


def carry_out(
    recipe: Recipe | Mapping[str, Any] | str | Path, out: str | Path, options: Options, progress: Report = _silent
) -> Outcome:
    """Build as `build` does, and say also what became of a dataset that was there before."""
    refuse_recursion()
    crew = _Crew(options.workers, engine_named(options.engine))
    loaded = _loaded(recipe)
    _refuse_inside(loaded, Path(out))
    plan = make_plan(loaded, options.limit)
    if plan.left_out:
        _log.warning("%d files belong to no row, such as %s", len(plan.left_out), plan.left_out[0])
    return _Build(plan, given_artifacts(loaded), BuildFolder(Path(out)), crew, progress).run(update=options.update)


def _loaded(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    return Recipe.from_data(recipe) if isinstance(recipe, Mapping) else Recipe.load(recipe)


def _refuse_inside(recipe: Recipe, out: Path) -> None:
    """A source that lists a folder would find the files of the dataset there when the build goes on."""
    corpus = Path(recipe.corpus)
    if recipe.source.columns_are_files and corpus.is_dir() and out.resolve().is_relative_to(corpus.resolve()):
        raise DatasetError(f"{out}: lies inside of the corpus {corpus}, whose files are listed; name a folder outside of it")


@dataclass(frozen=True)
class _Crew:
    """Who works: so many workers of an engine, and as many threads here, where files are read, as there are cores for."""

    workers: int | None
    open_engine: OpenEngine

    @property
    def threads(self) -> int:
        """How many threads read files."""
        cores = os.cpu_count() or 1
        return min(self.workers or cores, cores)


@dataclass(frozen=True)
class _Build:
    plan: Plan
    given: Mapping[str, bytes]
    folder: BuildFolder
    crew: _Crew
    progress: Report

    def run(self, *, update: bool) -> Outcome:
        """Leave a complete folder as it is where nothing is to do; else hold it, and do what is."""
        if (description := self.folder.description()) is not None:
            refuse_another(self.plan, self.given, self.folder.out, description, update=update)
            if (
                not update
                and not self.folder.work.exists()
                and not self.folder.damage(description, FileHashes(self.crew.threads))
            ):
                return Outcome(Dataset(self.folder.out), was_complete=True)
        with self.folder.held(digest_of_json(self.plan.recipe.substance())):
            hashes = FileHashes(self.crew.threads)
            standing = find_standing(self.plan, self.given, self.folder, hashes, update=update)
            is_done = standing.mode is Mode.REPAIR and not standing.damaged
            changes, found = (None, None) if is_done else self._carry_out(standing, hashes, update=update)
            self.folder.clear()
        return Outcome(Dataset(self.folder.out), changes, found, is_done)

    def _carry_out(self, standing: Standing, hashes: FileHashes, *, update: bool) -> tuple[Changes | None, Found | None]:
        """Make what is not there; return what changed in a dataset that was, or what of one that broke off was found done."""
        folder, mode = self.folder, standing.mode
        folder.keeps_description = mode is Mode.REPAIR
        if mode is Mode.REPAIR:
            folder.discard_work(_tars(standing).values())
        stock = folder.stock(hashes, standing.damaged)
        known = self._known_rows(stock, standing) if update or standing.description is not None else None
        raw = RawChanges(folder.out, CorpusFiles(self.plan.recipe, self.crew.threads), mode)
        stages = len(list(folder.fit.glob("*.json")))
        with self.crew.open_engine(self.crew.workers, folder.work, self.plan.recipe.limits) as engine:
            promised = {} if mode is Mode.UPDATE else standing.artifacts
            fitting = Fitting(self.plan, folder, engine, raw, self.given, promised)
            if standing.artifacts:
                fitting.keep(standing.artifacts, standing.damaged)
            if folder.has_failed():
                fitting.forget()
            fitted = self._fitted(fitting)
            shards = ShardBuild(fitted, fitted.plan.codec(fitted.stages), folder, raw, hashes, stock, _tars(standing))
            if standing.is_strict:
                shards.refuse_strays()
                folder.claim(self.plan.identity, versions(self.plan.recipe))
            shards.prepare()
            found = Found(sum(one.tar is not None for one in shards.done.values()), stages)
            folder.forget_failure()
            indexes = shards.run(engine, self._phase("build", self.plan.rows))
        shards.refuse_changed(fitting.seen)
        self._close(standing, fitted, shards, indexes)
        if known is not None:
            return self._changes(known, shards, standing), None
        return None, found if found.shards or found.stages else None

    def _fitted(self, fitting: Fitting) -> Fitted:
        try:
            return fitting(self._phase)
        except TooManyRejectsError:
            self.folder.mark_failed()
            raise

    def _close(self, standing: Standing, fitted: Fitted, shards: ShardBuild, indexes: Mapping[str, Sequence[ShardIndex]]) -> None:
        """Account for every row, and write `rejects.parquet` and `dataset.json`."""
        out = self.folder.out
        try:
            account = Account.of(fitted.plan, shards.codec, indexes)
        except TooManyRejectsError:
            self.folder.mark_failed()
            raise
        self.folder.publish(out / REJECTS, rejects_file(account))
        files = [one.index_file for one in shards.done.values() if one.tar is not None]
        tars = [one.tar for one in shards.done.values() if one.tar is not None]
        self.folder.check_there([*tars, *files, *(self.folder.artifacts / file for file in fitted.artifacts)])
        digests = {file.relative_to(out).as_posix(): sha256_of(file) for file in [*files, out / REJECTS]}
        description = describe(account, fitted, digests)
        if standing.mode is not Mode.REPAIR or not self._is_as_promised(standing, description):
            self.folder.publish(out / DESCRIPTION, description_file(description))

    def _is_as_promised(self, standing: Standing, description: Mapping[str, Any]) -> bool:
        """Whether a repaired dataset is what it was; under other versions of the libraries it may differ.

        Raises DatasetError where it differs under the same ones.
        """
        assert standing.description is not None
        # The recipe as run may name another place of the corpus; what of it matters is the identity, which agrees.
        promised, now = standing.description, json.loads(description_file(description))
        names = sorted(now.keys() - {"checksum", "recipe"})
        lines = differences({name: promised.get(name) for name in names}, {name: now[name] for name in names})
        other = [line for line in lines if not line.startswith("versions.")]
        if other and len(other) == len(lines):
            told = "\n".join(f"  {line}" for line in other[:20])
            raise DatasetError(
                f"{self.folder.out}: is repaired, but not what it was, as raw files changed; --update takes them over:\n{told}"
            )
        return not other

    def _known_rows(self, stock: Stock, standing: Standing) -> set[str]:
        """Return the keys in the source of the rows that the folder was made of."""
        keys = {key for one in stock.shards if one.index_file.parent != self.folder.retired for key in one.rows}
        path = self.folder.out / REJECTS
        if standing.description is not None and path not in standing.damaged:
            # Where a whole task gave no record, only this table knows its rows.
            keys |= set(pq.read_table(path, columns=["key"]).column("key").to_pylist())
        return keys

    def _changes(self, known: set[str], shards: ShardBuild, standing: Standing) -> Changes:
        planned = {row.source_key for row in self.plan.planned}
        made = {row.source_key: place in task.earlier for task in shards.pending for place, row in enumerate(task.task.rows)}
        is_repair = standing.mode is Mode.REPAIR
        added = 0 if is_repair else len(planned - known)
        anew = set() if is_repair else {key for key, is_copied in made.items() if not is_copied and key in known}
        changed = len(anew & shards.changed)
        rebuilt = sum(shards.done[task.digest].tar is not None for task in shards.pending)
        total = sum(one.tar is not None for one in shards.done.values())
        return Changes(
            rows_added=added,
            rows_changed=changed,
            rows_made_anew=len(anew) - changed,
            rows_removed=0 if is_repair else len(known - planned - {reject.key for reject in self.plan.rejects}),
            rows_kept=len(planned) - added - len(anew),
            rows_turned_away=len(self.plan.rejects),
            shards_rebuilt=rebuilt,
            shards_kept=total - rebuilt,
            repaired=tuple(path.relative_to(self.folder.out).as_posix() for path in standing.damaged),
        )

    def _phase(self, name: str, total: int) -> Tick:
        done = rejects = 0

        def tick(more: int, more_rejects: int) -> None:
            nonlocal done, rejects
            done, rejects = done + more, rejects + more_rejects
            self.progress(Progress(name, done, total, rejects))

        return tick


def _tars(standing: Standing) -> dict[str, str]:
    """Return the sha256 that each tar must come to where a dataset is repaired."""
    if standing.mode is not Mode.REPAIR or standing.description is None:
        return {}
    return {shard["file"]: shard["sha256"] for found in standing.description["shards"].values() for shard in found}
