"""The build: plan, fit pass, shard tasks, and at the end the account of every row and `dataset.json`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdata.dataset import SPLITS, Dataset, read_description
from mmdata.engines.base import Engine, Tick
from mmdata.engines.local import LocalEngine, refuse_recursion
from mmdata.errors import DatasetError, TooManyRejectsError
from mmdata.files import digest_of_json
from mmdata.fit import Fitting
from mmdata.folder import BuildFolder, complete_description, differences, refusal
from mmdata.plan import Plan, make_plan
from mmdata.recipe import Recipe
from mmdata.shard_task import RowRunner, ShardJob
from mmdata.stages.base import Stage
from mmdata.summary import Account, describe, versions

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


def build(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    limit: int | None = None,
    progress: Report = _silent,
) -> Dataset:
    """Build a dataset folder and return it open. A build that was interrupted goes on where it stopped.

    It starts processes that import the calling script; so a script calls it under `if __name__ == "__main__":`.

    Args:
        recipe: A recipe, its data, its file, or the name of a bundled one.
        out: The folder: new, empty, or left by the same build.
        workers: Number of processes; by default one a core. It changes nothing in the result.
        limit: Take only the first rows of the source.
        progress: Called a few times a second with how far the build is.

    Raises:
        RecipeError: The recipe cannot be carried out.
        SourceError: The corpus cannot be listed.
        DatasetError: The folder cannot be used, or belongs to another build.
        TooManyRejectsError: More rows were rejected than the recipe allows; the folder can be resumed.
    """
    refuse_recursion()
    loaded = _loaded(recipe)
    _refuse_inside(loaded, Path(out))
    plan = make_plan(loaded, limit)
    if plan.left_out:
        _log.warning("%d files belong to no row, such as %s", len(plan.left_out), plan.left_out[0])
    folder = BuildFolder(Path(out))
    identity = _identity(plan)
    if complete_description(folder.out):
        _refuse_another(folder.out, identity)
    else:
        with folder.held():
            folder.claim(identity, versions())
            folder.reopen()
            folder.forget_failures()
            with LocalEngine(workers or os.cpu_count() or 1, folder.work, loaded.limits) as engine:
                _Build(plan, folder, engine, progress).run()
    folder.clear()
    return Dataset(folder.out)


def _loaded(recipe: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    return Recipe.from_data(recipe) if isinstance(recipe, Mapping) else Recipe.load(recipe)


def _refuse_inside(recipe: Recipe, out: Path) -> None:
    """A source that lists a folder would find the files of the dataset there when the build goes on."""
    corpus = Path(recipe.corpus)
    if recipe.source.columns_are_files and corpus.is_dir() and out.resolve().is_relative_to(corpus.resolve()):
        raise DatasetError(f"{out}: lies inside of the corpus {corpus}, whose files are listed; name a folder outside of it")


def _identity(plan: Plan) -> dict[str, Any]:
    """What must agree for a folder to be resumed: what is built of what."""
    return {"recipe": plan.recipe.substance(), "rows": {"count": plan.rows, "digest": plan.rows_digest}}


def _refuse_another(out: Path, identity: dict[str, Any]) -> None:
    description = read_description(out)
    if lines := differences(description["identity"], identity):
        raise DatasetError(refusal(out, lines))


@dataclass(frozen=True)
class _Build:
    plan: Plan
    folder: BuildFolder
    engine: Engine
    progress: Report

    def run(self) -> None:
        """Carry out what is not done yet, then close the folder."""
        stages, artifacts = self._fit()
        fingerprint = digest_of_json({"plan": self.plan.fingerprint, "artifacts": artifacts})
        codec = self.plan.codec(stages)
        runner = RowRunner(self.plan.recipe, stages, self.plan.recipe.stage_names)
        self._build_shards(ShardJob(runner, codec, fingerprint, self.folder.staging))
        try:
            account = Account.of(self.plan, self.folder, codec)
        except TooManyRejectsError:
            self.folder.mark_failed()
            raise
        describe(account, _identity(self.plan), fingerprint, artifacts, stages)

    def _fit(self) -> tuple[list[Stage], dict[str, str]]:
        return Fitting(self.plan, self.folder.artifacts, self.folder.fit, self.engine)(self._phase)

    def _build_shards(self, job: ShardJob) -> None:
        pending = [task for task in self.plan.tasks if self.folder.staged(task.name, job.fingerprint) is None]
        tick = self._phase("build", self.plan.rows)
        tick(self.plan.rows - sum(len(task.rows) for task in pending), len(self.plan.rejects))
        commits = {split: self._commits(split, job.fingerprint) for split in SPLITS}
        for commit in commits.values():
            next(commit)
        for task in self.engine.run(job, pending, tick):
            next(commits[task.split])

    def _commits(self, split: str, fingerprint: str) -> Iterator[None]:
        """Each time, give the shards of a split their final names, in the order of the tasks, as far as tasks are done."""
        number = 0
        for task in (task for task in self.plan.tasks if task.split == split):
            while (info := self.folder.staged(task.name, fingerprint)) is None:
                yield
            if info.records:
                self.folder.commit(task.name, f"{split}-{number:06d}")
                number += 1
        while True:
            yield

    def _phase(self, name: str, total: int) -> Tick:
        done = rejects = 0

        def tick(more: int, more_rejects: int) -> None:
            nonlocal done, rejects
            done, rejects = done + more, rejects + more_rejects
            self.progress(Progress(name, done, total, rejects))

        return tick
