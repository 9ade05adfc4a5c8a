"""`mmdata.validate`: re-checks every promise of a dataset folder from the files in it, and from nothing else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from mmdata.dataset import DESCRIPTION, Shard
from mmdata.errors import ConfigError, MmdataError
from mmdata.interrupts import end_at_interrupts, held_back
from mmdata.validation.account import check_across
from mmdata.validation.description import Promised, read_promises
from mmdata.validation.findings import Ledger, Notes
from mmdata.validation.folder import check_folder
from mmdata.validation.report import Report
from mmdata.validation.shard import Facts, check_shard

Progress = Callable[[int, int], None]
"""Called after each shard: records checked so far, and records there are."""


def _silent(done: int, total: int) -> None:
    del done, total


def validate(out: str | Path, report: Path | None = None, *, workers: int = 1, progress: Progress = _silent) -> Report:
    """Re-check every promise of a dataset folder; damage of any kind is a finding in the report that is returned.

    Args:
        out: The dataset folder.
        report: A folder to write `validation.json` and `index.html` to; by default nothing is written.
        workers: Number of processes, from 1; it changes nothing in the result.
        progress: Called after each shard.

    Raises:
        ConfigError: `workers` is below 1.
        DatasetError: The folder is no dataset (there is no `dataset.json`), or the report cannot be written.
        MmdataError: A worker process died.
    """
    if workers < 1:
        raise ConfigError(f"workers is at least 1, not {workers}")
    folder, ledger = Path(out), Ledger()
    notes = Notes(ledger, DESCRIPTION)
    promised = read_promises(folder, notes)
    check_folder(folder, promised, notes)
    facts, done, total = [], 0, sum(shard.records for shard in promised.shards)
    for found, one in _checked(folder, promised, workers):
        ledger.absorb(found)
        facts.append(one)
        done += one.shard.records
        progress(done, total)
    check_across(folder, facts, promised, notes)
    size = sum((folder / shard.file).stat().st_size for shard in promised.shards if (folder / shard.file).is_file())
    result = Report.of(str(out), str(promised.parts.get("checksum", "")), ledger, facts, size)
    if report is not None:
        from mmdata.validation.report_page import write_report

        write_report(result, folder, report)
    return result


def _checked(out: Path, promised: Promised, workers: int) -> Iterator[tuple[Ledger, Facts]]:
    """Yield what was found in each shard, in the order of the shards."""
    check: Callable[[Shard], tuple[Ledger, Facts]] = partial(_check_one, out, promised)
    if workers == 1 or len(promised.shards) < 2:
        yield from map(check, promised.shards)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(promised.shards)), mp_context=context, initializer=end_at_interrupts) as pool:
        with held_back():  # all processes start here
            checked = pool.map(check, promised.shards)
        try:
            yield from checked
        except BrokenProcessPool as error:
            raise MmdataError("a worker process died (out of memory, or a decoder crashed); run it with one worker") from error


def _check_one(out: Path, promised: Promised, shard: Shard) -> tuple[Ledger, Facts]:
    return check_shard(out, shard, promised)
