"""How much work it is to draw a vector picture: a few lines may ask for more than a lifetime of it.

Masks, clips, patterns and filters may be used by what stands in others of them, so that each level multiplies the work of the one
below. The drawing library bounds the copies that `use` makes, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree as ET

from mmdata.errors import RecordError

_MOST_WORK = 1_000_000
"""In plain shapes: some seconds."""

_LAYER = 100
"""What drawing into a layer of its own costs, in plain shapes."""

_LAYERS = ("mask", "clipPath", "pattern", "filter")
_EMBEDDED = 5_000
"""What drawing a picture that stands in the file costs."""

_REFERENCE = re.compile(r"url\(\s*[\"']?#([^\"')\s]+)")
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_MOST_NUMBERS = {"numOctaves": 16.0, "order": 32.0}
"""Options of filters that a picture has no use for above these."""


def check_work(root: ET.Element) -> None:
    """Raise RecordError for a picture that would take too long to draw."""
    for element in root.iter():
        for name, most in _MOST_NUMBERS.items():
            if any(number > most for number in _numbers(element.get(name, ""))):
                raise RecordError("vector picture takes too long to draw", f"a filter with {name} {element.get(name, '')[:40]}")
    named = {element.attrib["id"]: element for element in root.iter() if "id" in element.attrib}
    try:
        work = _Work(named)(root)
    except RecursionError as error:
        raise RecordError("vector picture is nested too deeply") from error
    if work > _MOST_WORK:
        raise RecordError("vector picture takes too long to draw", "its masks, clips, patterns or copies multiply each other")


def _numbers(text: str) -> Iterator[float]:
    for word in text.replace(",", " ").split():
        try:
            yield float(word)
        except ValueError:
            return


class _Work:
    """Adds up the work of an element: its own, that of what stands in it, and that of what it refers to."""

    def __init__(self, named: Mapping[str, ET.Element]) -> None:
        self._named = named
        self._known: dict[ET.Element, int] = {}

    def __call__(self, element: ET.Element) -> int:
        if element not in self._known:
            self._known[element] = 1  # an element that refers to itself is drawn without what it refers to
            names = [name for value in element.attrib.values() for name in _REFERENCE.findall(value)]
            targets = [element.get(name, "").strip() for name in _HREFS]
            names += [target[1:] for target in targets if target.startswith("#")]
            referred = [self._named[name] for name in names if name in self._named]
            own = 1 + _EMBEDDED * any(target.startswith("data:") for target in targets)
            layers = _LAYER * sum(one.tag.endswith(_LAYERS) for one in referred)
            self._known[element] = own + layers + sum(map(self, element)) + sum(map(self, referred))
        return self._known[element]
