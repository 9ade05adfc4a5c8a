"""How retrieval is shown: a table of recalls beside chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmdata.cli.table import table
from mmdata.wording import counted

if TYPE_CHECKING:
    from mmdata.train.retrieval import Recall, Retrieval

_FEW = 50
_COLUMNS = (
    "query → answer", "recall at 1", "95 % interval", "chance", "recall at 10", "95 % interval", "chance", "median rank",
)  # fmt: skip


def retrieval_text(found: Retrieval) -> str:
    """Return the recalls of every direction, with the 95 % interval and chance, as lines of text."""
    unread = f" ({found.unread:,} could not be read)" if found.unread else ""
    rows = [
        [
            direction.name,
            *_recall(direction.recall(1)),
            *_recall(direction.recall(10)),
            f"{direction.median_rank:.0f} of {direction.answers}",
        ]
        for direction in found.directions
    ]
    lines = [f"retrieval on {counted(found.records, 'record')} of split {found.split}{unread}"]
    lines += [f"  {line}" for line in table(_COLUMNS, rows)]
    if found.records < _FEW:
        lines.append(f"{counted(found.records, 'record')}: too few to prove anything")
    return "\n".join(lines)


def _recall(recall: Recall) -> tuple[str, str, str]:
    low, high = recall.interval
    return f"{recall.share:.1%}", f"{low:.1%} to {high:.1%}", f"{recall.chance:.1%}"
