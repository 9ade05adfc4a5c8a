"""Why rows were turned away, taken together: so a build that cannot go on says what to mend, whichever pass it fails in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mmdata.errors import TooManyRejectsError
from mmdata.plan import Plan, RowReject

ADVICE = "Mend these files and run the build again, which tries their rows anew"

_MOST_TOLD = 10
_LONGEST_TOLD = 120


@dataclass(frozen=True)
class Reason:
    """Rejects of one stage that have the same reason: the first of them, and how many there are."""

    first: RowReject
    count: int = 1


def grouped(reasons: Iterable[Reason]) -> list[Reason]:
    """Return one for each stage and reason, with the first of its rejects, most frequent first."""
    groups: dict[tuple[str, str], Reason] = {}
    for one in reasons:
        name = one.first.stage, one.first.reject.reason
        groups[name] = replace(groups[name], count=groups[name].count + one.count) if name in groups else one
    return sorted(groups.values(), key=lambda group: -group.count)


def check_limit(plan: Plan, failed: int, reasons: Sequence[Reason], note: str = "") -> None:
    """Raise TooManyRejectsError, with the grouped reasons, where more rows were rejected as errors than the recipe allows."""
    limit = plan.recipe.max_rejects
    allowed = int(limit * plan.rows) if isinstance(limit, float) and limit <= 1 else int(limit)
    if failed > allowed:
        raise TooManyRejectsError(
            f"{failed} of {plan.rows} rows were rejected as errors; max_rejects allows {allowed}.\n{told(reasons)}\n"
            f"{note}{ADVICE}; or raise the limit (--set max_rejects=20%). A changed manifest is taken over with --update."
        )


def told(reasons: Sequence[Reason]) -> str:
    """Return the most frequent of grouped reasons, a line each, with its first row."""
    return "\n".join(
        f"  {one.count:>8}  {one.first.stage}: {one.first.reject.reason}; such as row {one.first.row} {one.first.key!r}: "
        f"{one.first.reject.detail[:_LONGEST_TOLD]}"
        for one in reasons[:_MOST_TOLD]
    )
