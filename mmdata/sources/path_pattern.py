"""Path patterns: which files of a folder belong together, and what their paths say about them.

    {name}        one or more characters of a folder's or file's name
    {name:path}   the same, folders included
    *  **         any characters, without or with folders; they are not kept

All else stands for itself. A name that comes again must be equal there: `{speaker}/{speaker}-{key}.{column}`.
"""

from __future__ import annotations

import re

_PART = re.compile(r"\{(?P<name>[A-Za-z_]\w*)(?P<folders>:path)?\}|(?P<stars>\*+)|(?P<brace>[{}])|(?P<plain>[^{}*]+)", re.ASCII)


class PathPattern:
    """A compiled pattern. Raises ValueError for braces that are not as above."""

    def __init__(self, pattern: str) -> None:
        self._seen: set[str] = set()
        self._expression = re.compile("".join(self._piece(part) for part in _PART.finditer(pattern)), re.DOTALL)

    @property
    def names(self) -> frozenset[str]:
        """The names in the pattern."""
        return frozenset(self._seen)

    def match(self, path: str) -> dict[str, str] | None:
        """Return what each name stands for in a path from the folder, or None where the path does not match.

        Names to the left take as much as they can: `{key}.{column}` takes `a.b.jpg` apart at its last dot.
        """
        found = self._expression.fullmatch(path)
        return None if found is None else found.groupdict()

    def _piece(self, part: re.Match[str]) -> str:
        """Return one part of the pattern as a regular expression."""
        name, any_character = part["name"], "." if part["folders"] or part["stars"] == "**" else "[^/]"
        if part["brace"] or len(part["stars"] or "") > 2:
            raise ValueError(
                f"cannot be read at {part.group()!r}, character {part.start() + 1}: names stand in braces, as in {{key}}"
            )
        if part["stars"]:
            return f"{any_character}*"
        if not name:
            return re.escape(part["plain"])
        if name in self._seen:
            return f"(?P={name})"
        self._seen.add(name)
        return f"(?P<{name}>{any_character}+)"
