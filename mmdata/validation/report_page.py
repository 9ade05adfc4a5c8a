"""Writes the report of a validation: `validation.json` for programs, `index.html` for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mmdata.dataset import Dataset
from mmdata.errors import DatasetError
from mmdata.files import publish
from mmdata.validation.cards import cards
from mmdata.validation.figures import histogram
from mmdata.validation.page import document, escaped, size_text, table, tiles
from mmdata.validation.report import CheckResult, Report
from mmdata.validation.samples import Sample, draw_samples
from mmdata.wording import counted

_SAMPLES = 12
_MOST_SHOWN = 20


def write_report(report: Report, out: Path, folder: Path) -> None:
    """Write both files of a report into a folder, which is made. Raises DatasetError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        publish(folder / "validation.json", json.dumps(report.to_json(), ensure_ascii=False, indent=1).encode())
        publish(folder / "index.html", report_page(report, _samples(out)).encode())
    except OSError as error:
        raise DatasetError(
            f"{folder}: the report cannot be written ({error.strerror}); name another folder (--report)"
        ) from error


def _samples(out: Path) -> list[Sample]:
    """Draw records; none where the dataset is so damaged that it cannot be opened."""
    try:
        return draw_samples(Dataset(out), _SAMPLES)
    except (DatasetError, KeyError, TypeError, ValueError, OverflowError):
        return []


def report_page(report: Report, samples: Sequence[Sample]) -> str:
    """Return a report as a page of its own."""
    name = Path(report.out).resolve().name
    counts = report.counts
    numbers = [(split, f"{count:,}") for split, count in counts["splits"].items()]
    numbers = [("records", f"{counts['records']:,}"), *numbers, ("shards", f"{counts['shards']:,}")]
    body = [
        f"<h1>{escaped(name)}</h1>",
        f'<div class="soft mono">dataset {escaped(report.checksum[:16])}</div>',
        _verdict(report),
        tiles([*numbers, ("in tars", size_text(counts["bytes"]))]),
        *(["<h2>Findings</h2>", _findings(report)] if report.findings else []),
        "<h2>What was checked</h2>",
        table(["check", "what it looks at", "items#", "errors#", "warnings#"], [_check_row(check) for check in report.checks]),
    ]
    if report.histograms:
        charts = "".join(histogram(name, found) for name, found in report.histograms.items())
        body += ["<h2>Measures</h2>", f'<div class="grid charts">{charts}</div>']
    if samples:
        body += ["<h2>Some records</h2>", cards(samples)]
    return document(f"validation of {name}", body)


def _verdict(report: Report) -> str:
    if report.ok:
        more = f", {counted(report.warnings, 'warning')}" if report.warnings else ""
        return f'<div class="verdict good">Every promise is kept{more}</div>'
    return f'<div class="verdict bad">{counted(report.errors, "problem")} found</div>'


def _check_row(check: CheckResult) -> list[str]:
    errors = f'<b class="bad">{check.errors:,}</b>' if check.errors else "0"
    warnings = f'<b class="warn">{check.warnings:,}</b>' if check.warnings else "0"
    items = f"{check.items:,}" if check.items else '<span class="warn">none</span>'
    return [f"<code>{check.name}</code>", escaped(check.about), items, errors, warnings]


def _findings(report: Report) -> str:
    """Return the findings, the most frequent check first, and of each check the first ones."""
    rows = []
    for check in sorted(report.checks, key=lambda one: -(one.errors + one.warnings)):
        found = report.findings_of(check.name)
        for finding in found[:_MOST_SHOWN]:
            kind = "bad" if finding.severity == "error" else "warn"
            place = f"<code>{escaped(finding.place)}</code>"
            rows.append([f'<code class="{kind}">{finding.check}</code>', place, escaped(finding.message)])
        if (more := check.errors + check.warnings - _MOST_SHOWN) > 0:
            rows.append([f"<code>{check.name}</code>", "", f'<span class="soft">and {more:,} more of this check</span>'])
    return table(["check", "where", "what was found"], rows, "findings")
