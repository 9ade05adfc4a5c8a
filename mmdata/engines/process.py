"""A worker process as its parent sees it: what it is at, whether it answers, and how it died."""

from __future__ import annotations

import signal
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from pathlib import Path

from mmdata.engines.signs import Sight, Signs
from mmdata.engines.worker import Answer, Order, serve
from mmdata.interrupts import held_back

_SECONDS_TO_END = 5.0
_LAST_LINES = 12
_LINES_OF_CRASH = 8
"""What faulthandler says of a crash begins with its kind and the innermost calls; the rest is ours, and long."""

_WIDEST_LINE = 160
_LONGEST_TAIL = 1 << 14


class WorkerProcess:
    """A process that was started to carry out orders, one at a time.

    `task` is the number of the task it is at; None before it is ready, and while it waits. `quiet` is for how many seconds the
    row that it is at has given no sign of life; `stopped` says that it was ended for that.
    """

    def __init__(self, context: SpawnContext, memory: int, said: Path) -> None:
        """Start the process; what it prints goes to the file `said`."""
        self.task: int | None = None
        self.ready = False
        self.quiet = 0.0
        self.stopped = False
        self._said = said
        self._signs = Signs(context)
        self._last = self._signs.seen()
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, self._signs, memory, said))
        with held_back():
            self._process.start()
        other.close()

    @property
    def handles(self) -> tuple[Connection[Order, Answer], int]:
        """What to wait for: an answer, or the end."""
        return self._pipe, self._process.sentinel

    @property
    def sight(self) -> Sight:
        """What its signs said when they were looked at last."""
        return self._last

    def give(self, number: int, order: Order) -> None:
        """Let it carry out a task, which it calls by this number. It must be ready and without one."""
        self._signs.clear()
        self.task, self.quiet, self._last = number, 0.0, self._signs.seen()
        try:
            self._pipe.send(order)
        except OSError:
            self._end()

    def look(self, seconds: float) -> tuple[int, int]:
        """Look at the signs, `seconds` after the last look; return how many rows and rejects there are since."""
        before, self._last = self._last, self._signs.seen()
        alive = self._last.beats != before.beats or self._last.position is None
        self.quiet = 0.0 if alive else self.quiet + seconds
        return self._last.rows - before.rows, self._last.rejects - before.rejects

    def forget(self) -> tuple[int, int]:
        """Return what has to be added to the counts of rows and rejects where the task is done again."""
        return -self._last.rows, -self._last.rejects

    def answered(self) -> bool:
        """Whether it has answered since the last time: it is ready, or has finished its task. Raises what the job raised."""
        try:
            if not self._pipe.poll():
                return False
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._end()
            return False
        if answer is not None:
            raise answer
        self.ready = True
        return True

    def died(self) -> bool:
        """Whether the process is no more."""
        return not self._process.is_alive()

    def stop(self) -> None:
        """End the process for having been quiet too long. Until then it may have moved on: look again to see who is to blame."""
        self.stopped = True
        self.kill()
        self._process.join()

    def kill(self) -> None:
        """Let the system end the process; it need not have ended when this returns."""
        self._process.kill()

    def _end(self) -> None:
        """Wait for a process that has closed its pipe, which is as good as dead: so that how it ended is known."""
        self._process.join(_SECONDS_TO_END)
        self.kill()
        self._process.join()

    def cause(self) -> str:
        """How the process ended, in words that are the same each time."""
        status = self._process.exitcode
        if status is None or status >= 0:
            return f"it ended itself with status {status}"
        name = next((known.name for known in signal.Signals if known == -status), f"signal {-status}")
        return f"killed by {name}" + (", perhaps by the system, for want of memory" if name == "SIGKILL" else "")

    def last_words(self) -> str:
        """Return what it printed last, each line after a line break: up to a crash and where that was, if there was one."""
        try:
            with self._said.open("rb") as file:
                file.seek(max(0, self._said.stat().st_size - _LONGEST_TAIL))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        crash = next((number for number, line in enumerate(lines) if line.startswith("Fatal Python error")), len(lines))
        end = crash + _LINES_OF_CRASH
        return "".join(f"\n  {line[:_WIDEST_LINE]}" for line in lines[:end][-_LAST_LINES:])

    def close(self) -> int:
        """Give back what an ended process leaves here; return its process id."""
        number = self._process.pid
        assert number is not None
        self._pipe.close()
        self._process.join()
        self._process.close()
        self._said.unlink(missing_ok=True)
        return number
