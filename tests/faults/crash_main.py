"""A build, started as people start it, whose processes count every point at which they change the dataset folder, and end at one.

`python -m tests.faults.crash_main RECIPE OUT POINTS NUMBER`. Workers import this module too, so they count with it: all write to
one file of lines of one length, and the place of its own line tells a process the number of its point. At the point of the NUMBER
given the whole process group is killed; below zero, none is.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.faults.watched import Call, Watch

WIDTH = 512


def watch(out: str, points: str, number: int) -> None:
    """Write each point to the file of points before it is passed; at the one of this number, kill all processes of the group."""
    descriptor = os.open(points, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def before(call: Call) -> None:
        line = "\t".join([call.kind, os.path.relpath(call.path, out), os.path.relpath(call.target, out) if call.target else ""])
        os.write(descriptor, line.ljust(WIDTH - 1).encode() + b"\n")
        if os.lseek(descriptor, 0, os.SEEK_CUR) // WIDTH == number:
            os.killpg(0, signal.SIGKILL)

    Watch(out, before, lambda _: None).install()


def read(points: Path) -> list[tuple[str, str, str]]:
    """Return the points that were passed: kind, path below the dataset folder, target of a rename."""
    lines = [points.read_text()[first : first + WIDTH].rstrip() for first in range(0, points.stat().st_size, WIDTH)]
    return [(kind, path, target) for kind, path, target in ([*line.split("\t"), "", ""][:3] for line in lines)]


if __name__ in {"__main__", "__mp_main__"}:
    recipe, out, points, number = sys.argv[1:]
    watch(out, points, int(number))

if __name__ == "__main__":
    from mmdata.builder import build

    build(recipe, out, workers=2)
