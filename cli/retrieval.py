"""How retrieval is shown: a table of recalls beside chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmdata.train.retrieval import Recall, Retrieval


def retrieval_text(found: Retrieval) -> str:
    """Return the recalls of every direction, with the 95 % interval and chance, as lines of text."""
    unread = f" ({found.unread:,} could not be read)" if found.unread else ""
    lines = [f"retrieval on {found.records:,} records of split {found.split}{unread}"]
    lines += [f"  {'query → answer':<16} {'recall at 1':>30} {'recall at 10':>30} {'median rank':>12}"]
    for direction in found.directions:
        at_1, at_10 = (_recall_text(direction.recall(k)) for k in (1, 10))
        rank = f"{direction.median_rank:.0f} of {direction.answers}"
        lines.append(f"  {direction.name:<16} {at_1:>30} {at_10:>30} {rank:>12}")
    return "\n".join(lines)


def _recall_text(recall: Recall) -> str:
    low, high = recall.interval
    return f"{recall.share:.1%} [{low:.1%}, {high:.1%}] chance {recall.chance:.1%}"
