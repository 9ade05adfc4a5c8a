"""`mmdata validate`: re-checks every promise of a dataset folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmdata.cli.main import one_line, printable
from mmdata.cli.progress import Work, shown
from mmdata.wording import counted

if TYPE_CHECKING:
    from mmdata.validation.report import CheckResult, Report

_MOST_SHOWN = 20


@click.command("validate")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--report", "folder", type=click.Path(path_type=Path), help="Folder for the report; by default OUT/report.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes, 1 by default. Changes nothing in the result.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
@click.pass_context
def command(context: click.Context, out: Path, folder: Path | None, workers: int, *, as_json: bool) -> None:
    """Re-check every promise of the dataset folder OUT from the files in it, and write a report.

    Every file, every byte of every shard, every record with its payloads and annotations, and the account of all rows. Exit
    status 0: nothing is wrong; 1: problems were found; 2: there is no dataset.

    Example: mmdata validate out/stamps
    """
    from mmdata.validation.checks import validate

    folder = folder or out / "report"
    with _checking() as progress:
        report = validate(out, folder, workers=workers, progress=progress)
    if as_json:
        click.echo(json.dumps(report.to_json()))
    else:
        click.echo(printable(_text(report, folder)))
    context.exit(0 if report.ok else 1)


def _text(report: Report, folder: Path) -> str:
    counts = report.counts
    splits = ", ".join(f"{count:,} {split}" for split, count in counts["splits"].items()) or "none"
    size = f"{counts['bytes'] / (1 << 20):,.1f} MiB"
    lines = [f"{report.out}: {counted(counts['records'], 'record')} ({splits}) in {counted(counts['shards'], 'shard')} of {size}"]
    for check in sorted(report.checks, key=lambda one: -(one.errors + one.warnings)):
        if check.errors + check.warnings:
            lines += _check_lines(report, check)
    kept = [check for check in report.checks if check.items and not check.errors + check.warnings]
    lines += ["checked and right: " + ", ".join(f"{check.items:,} {check.name}" for check in kept)] if kept else []
    unseen = [check.name for check in report.checks if not check.items and not check.errors + check.warnings]
    lines += ["nothing there to check: " + ", ".join(unseen)] if unseen else []
    verdict = "every promise is kept" if report.ok else f"{counted(report.errors, 'problem')} found"
    warned = f", {counted(report.warnings, 'warning')}" if report.warnings else ""
    return "\n".join([*lines, f"{verdict}{warned}; the report: {folder / 'index.html'}"])


def _check_lines(report: Report, check: CheckResult) -> list[str]:
    lines = [f"{check.name}: {counted(check.errors, 'error')}, {counted(check.warnings, 'warning')} ({check.about})"]
    found = report.findings_of(check.name)[:_MOST_SHOWN]
    lines += [f"  {'warning: ' if one.severity == 'warning' else ''}{one.place}: {one_line(one.message)}" for one in found]
    if (more := check.errors + check.warnings - len(found)) > 0:
        lines.append(f"  and {more:,} more")
    return lines


@contextmanager
def _checking() -> Iterator[Callable[[int, int], None]]:
    """Show how many records are checked."""
    with shown(Work("checking", "records")) as show:
        yield lambda done, total: show(Work("checking", "records", done, total))
