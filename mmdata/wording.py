"""Words that the command line and the reports share."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """Return a count with its noun, in the plural where it is not 1."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
