"""The frame of the HTML pages: one file that loads nothing, runs nothing, and shows every text of the corpus inert."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from mmdata.validation.style import STYLE

POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy of every page: no script, no connection, no form."""

_LONGEST = 4000
_JOINERS = "\u200c\u200d"


def escaped(value: object, longest: int = _LONGEST) -> str:
    """Return a value as HTML text, cut where it is long: markup is inert, and control characters are shown by number.

    Characters that turn the direction of writing count as control characters; joiners, which words and emoji need, do not.
    """
    text = str(value)
    text = text if len(text) <= longest else f"{text[:longest]} …"
    text = text.encode("utf-8", "backslashreplace").decode()
    visible = "".join(c if c.isprintable() or c == "\n" or c in _JOINERS else f"\\x{ord(c):02x}" for c in text)
    return html.escape(visible, quote=True)


def document(title: str, body: Iterable[str]) -> str:
    """Return a whole page around parts that are HTML already."""
    head = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    )
    return head + "\n".join(body) + "\n</main>\n</body>\n</html>\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table; cells are HTML already, and a column whose name ends with `#` holds numbers."""
    classes = [' class="number"' if name.endswith("#") else "" for name in columns]
    head = "".join(f"<th{each}>{escaped(name.rstrip('#'))}</th>" for name, each in zip(columns, classes, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{each}>{cell}</td>" for cell, each in zip(row, classes, strict=True)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """Return large numbers with what they count under them."""
    items = "".join(f"<div><dd>{escaped(value)}</dd><dt>{escaped(name)}</dt></div>" for name, value in pairs)
    return f'<dl class="tiles">{items}</dl>'


def size_text(count: int) -> str:
    """Return a number of bytes for people."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"
