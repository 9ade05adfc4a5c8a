"""Runs the targets for a bounded time: `python -m tests.fuzz --seconds 120 [--engine atheris] [TARGET …]`.

Each target runs in a process of its own with bounded memory. What ends it, an exception, a crash, a hang or too much memory, is a
finding: the input is kept under the folder of findings and the exit status is 1. An input is run again with `--input FILE`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.engines import ENGINES, guarded
from tests.fuzz.table import TARGETS

_START = 60
"""Seconds that a process may take beyond its time: to import, and to shrink what it found."""


def main() -> int:
    """Fuzz the targets one after the other; return 1 where one has a finding."""
    options = _options()
    if options.child:
        return _child(options)
    folder: Path = options.findings
    folder.mkdir(parents=True, exist_ok=True)
    names = options.targets or list(TARGETS)
    failed = [name for name in names if not _passes(name, options.seconds / len(names), options.engine, folder)]
    print(f"{len(names)} targets, {len(failed)} with findings{': ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"by default all: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=120, help="for all targets together")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="hypothesis")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder for inputs with findings")
    parser.add_argument("--input", type=Path, help="run the one target on this file, and show what it does")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    options.child = options.child or options.input is not None
    return options


def _passes(name: str, seconds: float, engine: str, folder: Path) -> bool:
    latest = folder / f"{name}.input"
    command = [sys.executable, "-m", "tests.fuzz", name, "--child", "--seconds", str(seconds), "--engine", engine]
    process = subprocess.Popen([*command, "--findings", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate(timeout=seconds + _START)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    said = output.decode(errors="backslashreplace")
    if process.returncode == 0:
        latest.unlink(missing_ok=True)
        print(said.rstrip().rpartition("\n")[2])
        return True
    how = signal.Signals(-process.returncode).name if process.returncode < 0 else f"status {process.returncode}"
    print(f"{name}: FINDING ({how}; SIGPROF, SIGALRM: an input took too long); the input: {latest}\n{said[-6000:]}")
    return False


def _child(options: argparse.Namespace) -> int:
    """Run one target in this process."""
    (name,) = options.targets
    with tempfile.TemporaryDirectory() as folder:
        check, strategy, seeds = TARGETS[name].opened(Path(folder))
        if options.input is not None:
            guarded(check, None)(options.input.read_bytes())
            return 0
        run: Callable[..., int] = ENGINES[options.engine]
        count = run(guarded(check, options.findings / f"{name}.input"), strategy, seeds, options.seconds)
        print(f"{name}: {count:,} inputs in {options.seconds:.0f} s, no finding", flush=True)
    return 0


if __name__ == "__main__":
    os.environ["PYTHONWARNINGS"] = "ignore"
    sys.exit(main())
