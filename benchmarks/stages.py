"""Measure how fast every stage is, beside the bare library call that it stands on.

    python -m benchmarks.stages --stamps DIR --photos DIR [--clips DIR] [--records 200] [--only NAME]… [--json FILE]
                                [--markdown FILE]

DIR of `--stamps` holds pictures, recordings and texts with their `manifest.jsonl`, DIR of `--photos` JPEG photos with theirs, DIR
of `--clips` MP4 files; without it, some are made of the photos. All runs in one process, each library on one thread. What comes
before a stage, fit passes included, is done before it is timed. Stage and library call take turns over the same records, so that
what else the machine does strikes both; of each the fastest round counts, which other work has slowed down the least.

Times are processor seconds: of one thread, and on an idle machine, that is the time that passes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any, cast

from benchmarks.stage_cases import CASES, Case
from benchmarks.stage_data import InputMissingError, Inputs, after, amount_of, fitted, made, outcome_of, results_of
from mmdata.errors import MissingExtraError
from mmdata.record import Record, Reject
from mmdata.rng import rng_for
from mmdata.schema import Schema
from mmdata.stages import STAGES
from mmdata.stages.base import FitStage, Stage

Work = Callable[[], object]

UNITS = {"image": "megapixels/s", "audio": "seconds of sound/s", "text": "characters/s"}
COLUMNS = ("stage", "records of", "records/s", "units/s", "library call", "its records/s", "overhead", "µs a record")
_NUMBERS = frozenset({"records/s", "units/s", "its records/s", "overhead", "µs a record"})
LEAST_SECONDS, MOST_SECONDS = 0.05, 2.0  # of a pass: shorter ones are repeated, of longer ones some records are left out


class UnmeasuredStageError(Exception):
    """A stage has no case."""


@dataclass(frozen=True)
class Result:
    """What was measured of a case. A `note` says why there is nothing.

    `overhead` is a share of the library's time, `overhead_microseconds` the same for one record.
    """

    stage: str
    input: str
    records: int = 0
    records_per_second: float = 0.0
    unit: str = ""
    units_per_second: float = 0.0
    library: str = ""
    library_records_per_second: float = 0.0
    overhead: float | None = None
    overhead_microseconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Prepared:
    """A case with all it needs in hand."""

    stage: Stage
    records: Sequence[Record]
    fit: bool

    def work(self) -> Work:
        """Return what is timed: the stage over all records, or its fit pass."""
        if self.fit:
            return lambda: cast("FitStage", self.stage).reduce(cast("FitStage", self.stage).observe(self.records))
        calls = [partial(self.stage, record, rng_for(0, self.stage.stage, record.key)) for record in self.records]
        return partial(_call_each, calls)


def _call_each(calls: Sequence[Work]) -> None:
    for call in calls:
        call()


def chosen_cases(cases: Sequence[Case], only: Sequence[str]) -> list[Case]:
    """Return the cases of the stages that there are, or of those named. Raises UnmeasuredStageError for a stage without one."""
    measured = {case.stage for case in cases}
    if missing := [name for name in [*STAGES, *only] if name not in measured]:
        raise UnmeasuredStageError(f"no case measures {', '.join(missing)}; add one to benchmarks/stage_cases.py")
    return [case for case in cases if case.stage in STAGES and (not only or case.stage in only)]


def measure(case: Case, inputs: Inputs, rounds: int) -> Result:
    """Measure one case; what cannot be measured has a note."""
    empty = partial(Result, title_of(case), case.input)
    try:
        prepared = _prepared(case, *inputs.read(case.input))
    except MissingExtraError as error:
        return empty(note=f"not installed: {error}")
    except InputMissingError as error:
        return empty(note=f"skipped: {error}")
    unit, amount = _amount(case, prepared)
    library = None if case.library is None else _library(case, prepared)
    count = len(prepared.records)
    seconds, library_seconds = (min(column) for column in zip(*_times(prepared.work(), library, rounds), strict=True))
    return empty(
        records=count,
        records_per_second=count / seconds,
        unit=unit,
        units_per_second=amount / seconds,
        library=("" if case.library is None else case.library.name) + ("" if library or not case.library else " (not installed)"),
        library_records_per_second=count / library_seconds if library else 0.0,
        overhead=seconds / library_seconds - 1.0 if library else None,
        overhead_microseconds=(seconds - library_seconds) / count * 1e6 if library else None,
    )


def _prepared(case: Case, raw: Sequence[Record], schema: Schema) -> Prepared:
    """Bring the records to the stage; those that it and the library can use, and of a slow stage as many as fit into a pass."""
    records, schema = after(raw, schema, case.before)
    stage = made((case.stage, case.options))
    stage.infer(schema)
    if case.fit:
        return Prepared(stage, records, fit=True)
    stage = fitted(stage, records)
    _is_usable(case, stage, records[0])  # so that what is loaded once does not count against the time of a pass
    usable, started = [], process_time()
    for record in records:
        if _is_usable(case, stage, record):
            usable.append(record)
        if process_time() - started > MOST_SECONDS and usable:
            break
    if not usable:
        raise InputMissingError("the stage can use no record")
    return Prepared(stage, usable, fit=False)


def _is_usable(case: Case, stage: Stage, record: Record) -> bool:
    """Whether both the stage and the library call can use a record; stages mend some files that a library alone refuses."""
    outcome = outcome_of(stage, record)
    if isinstance(outcome, Reject) and outcome.kind == "error":
        return False
    try:
        if case.library is not None:
            case.library.call(stage, record)()
    except ModuleNotFoundError:
        return True
    except Exception:  # noqa: BLE001 - libraries raise nearly anything on broken files
        return False
    return True


def _library(case: Case, prepared: Prepared) -> Work | None:
    """Return the library call over all records; None where the library is not installed."""
    assert case.library is not None
    try:
        return partial(_call_each, [case.library.call(prepared.stage, record) for record in prepared.records])
    except ModuleNotFoundError:
        return None


def _amount(case: Case, prepared: Prepared) -> tuple[str, float]:
    """Return the unit, and how much of it goes into the stage; where that is encoded still, how much comes out."""
    kind = case.stage.partition(".")[0]
    amount = math.fsum(amount_of(kind, record) for record in prepared.records)
    if not amount and kind in UNITS and not prepared.fit:
        made_of = (result for record in prepared.records for result in results_of(outcome_of(prepared.stage, record)))
        amount = math.fsum(amount_of(kind, result) for result in made_of)
    return UNITS.get(kind, ""), amount


def _times(own: Work, library: Work | None, rounds: int) -> list[tuple[float, float]]:
    """Return (stage, library) in seconds of each round; they take turns, and each goes first in every other round."""
    bare = library or (lambda: None)
    repeats = {work: _repeats(work) for work in (own, bare)}
    found = []
    for number in range(rounds):
        order = (own, bare) if number % 2 == 0 else (bare, own)
        seconds = {work: _seconds(work, repeats[work]) for work in order}
        found.append((seconds[own], seconds[bare]))
    return found


def _repeats(work: Work) -> int:
    """Warm up, and return how often the work must be done to last long enough to be timed."""
    work()
    return max(1, math.ceil(LEAST_SECONDS / max(_seconds(work, 1), 1e-6)))


def _seconds(work: Work, repeats: int) -> float:
    """Return processor seconds of doing the work once."""
    started = process_time()
    for _ in range(repeats):
        work()
    return (process_time() - started) / repeats


def title_of(case: Case) -> str:
    """Return the stage with its options, as in a recipe."""
    options = ", ".join(f"{name}: {_shown(value)}" for name, value in case.options.items())
    return case.stage + (f" {{{options}}}" if options else "") + (", fit pass" if case.fit else "")


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def cells_of(result: Result) -> tuple[str, ...]:
    """Return the row of a result, with the columns of COLUMNS."""
    if result.note:
        return (result.stage, result.input, result.note, *[""] * (len(COLUMNS) - 3))
    units = f"{_number(result.units_per_second)} {result.unit.removesuffix('/s')}" if result.unit else "—"
    library_rate = _number(result.library_records_per_second) if result.overhead is not None else "—"
    overhead = "—" if result.overhead is None else f"{result.overhead:+,.0%}"
    microseconds = "—" if result.overhead_microseconds is None else f"{result.overhead_microseconds:+,.0f}"
    own = (result.stage, f"{result.records} {result.input}", _number(result.records_per_second), units)
    return (*own, result.library or "—", library_rate, overhead, microseconds)


def _number(value: float) -> str:
    """Return a rate with three digits that count."""
    return f"{value:,.{max(0, 2 - math.floor(math.log10(value))) if value < 100 else 0}f}" if value > 0 else "0"


def markdown(results: Sequence[Result]) -> str:
    """Return the table in Markdown."""
    rows = [COLUMNS, ["---:" if name in _NUMBERS else "---" for name in COLUMNS], *map(cells_of, results)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def with_table(page: str, table: str) -> str:
    """Return a page with the table in the place of the one that it holds, or at its end; what stands around it stays."""
    lines = page.splitlines(keepends=True)
    rows = [number for number, line in enumerate(lines) if line.startswith("|")] or [len(lines)]
    return "".join([*lines[: rows[0]], table, *lines[rows[-1] + 1 :]])


def printed(results: Sequence[Result]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for result in results:
        table.add_row(*cells_of(result))
    Console(width=170, markup=False).print(table)


def run(cases: Sequence[Case], inputs: Inputs, rounds: int) -> Iterator[Result]:
    """Measure each case, every library on one thread."""
    import cv2
    from rich.console import Console
    from rich.progress import track
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries that are called without the care of a stage
        for case in track(cases, "measuring", console=Console(stderr=True)):
            yield measure(case, inputs, rounds)


def _report(results: Sequence[Result], options: Mapping[str, Any]) -> None:
    printed(results)
    if options["json"]:
        options["json"].write_text(json.dumps([asdict(result) for result in results], indent=1), encoding="utf-8")
    if options["markdown"]:
        page = options["markdown"].read_text(encoding="utf-8") if options["markdown"].exists() else ""
        options["markdown"].write_text(with_table(page, markdown(results)), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of all stages, or of those named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path, help="a page: its table is replaced, what stands around it stays")
    options = parser.parse_args(arguments)
    os.environ["RAYON_NUM_THREADS"] = "1"  # of the tokenizers library, which reads it when it trains first
    try:
        cases = chosen_cases(CASES, options.only)
    except UnmeasuredStageError as error:
        parser.error(str(error))
    inputs = Inputs(options.stamps, options.photos, options.clips, options.records)
    _report(list(run(cases, inputs, options.rounds)), vars(options))


if __name__ == "__main__":
    main()
