"""What drives a target: Hypothesis, which shrinks what it finds; or atheris, whose mutations follow the coverage of our code."""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.strategies import SearchStrategy

Check = Callable[[bytes], None]

_MOST_MEMORY = 4 << 30
_MOST_CPU_SECONDS = 20
_MOST_SECONDS = 120  # what waits for ever takes no CPU time
_BATCH = 200


def guarded(check: Check, latest: Path | None) -> Check:
    """Return the check under limits: the process ends by SIGPROF or SIGALRM at an input that takes too long.

    Memory is bounded as well.
    Each input is written to `latest` before it is checked, so that it is there when the process is not.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))

    def run(data: bytes) -> None:
        if latest is not None:
            latest.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, _MOST_CPU_SECONDS)
        signal.alarm(_MOST_SECONDS)
        check(data)
        signal.alarm(0)

    return run


def by_hypothesis(check: Check, strategy: SearchStrategy[bytes], seeds: Sequence[bytes], seconds: float) -> int:
    """Check inputs of a strategy, in batches with other random numbers each, until the time is over; return how many."""
    end, count = time.monotonic() + seconds, 0
    for data in seeds:
        check(data)

    def counted(data: bytes) -> None:
        nonlocal count
        count += time.monotonic() < end
        if time.monotonic() < end:
            check(data)

    quiet = settings(max_examples=_BATCH, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    batch = time.time_ns()
    while time.monotonic() < end:
        batch += 1
        seed(batch)(quiet(given(strategy)(counted)))()
    return count


def by_atheris(check: Check, strategy: SearchStrategy[bytes], seeds: Sequence[bytes], seconds: float) -> int:
    """Let libFuzzer mutate the seeds by the coverage of our code; it ends the process when the time is over."""
    del strategy
    import atheris

    folder = tempfile.mkdtemp()
    for number, data in enumerate(seeds):
        (Path(folder) / str(number)).write_bytes(data)
    # The modules are loaded by now, so their functions are instrumented as they are.
    for module in [found for name, found in sys.modules.items() if name.startswith("mmdata")]:
        for name, found in list(vars(module).items()):
            if callable(found) and getattr(found, "__module__", None) == module.__name__ and hasattr(found, "__code__"):
                setattr(module, name, atheris.instrument_func(found))
    atheris.Setup(["fuzz", f"-max_total_time={seconds:.0f}", "-max_len=65536", "-rss_limit_mb=4096", folder], check)
    atheris.Fuzz()
    return 0


ENGINES = {"hypothesis": by_hypothesis, "atheris": by_atheris}
