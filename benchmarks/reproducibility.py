"""Builds one corpus undisturbed with one worker and with two, then kills a build at random moments; compares every byte.

python -m benchmarks.reproducibility stamps --set source.path=corpus/manifest.jsonl --out out/proof --kills 10
"""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def build(recipe: str, out: Path, settings: tuple[str, ...], workers: int) -> subprocess.Popen[bytes]:
    """Start `mmdata build`."""
    line = [sys.executable, "-c", "from mmdata.cli.main import main; main()", "build", recipe, str(out)]
    return subprocess.Popen([*line, "--workers", str(workers), *(part for one in settings for part in ("--set", one))])


def timed(recipe: str, out: Path, settings: tuple[str, ...], workers: int) -> float:
    """Build undisturbed; return the seconds it took."""
    start = time.monotonic()
    if status := build(recipe, out, settings, workers).wait():
        raise SystemExit(f"the build ended with status {status}")
    return time.monotonic() - start


def killed(recipe: str, out: Path, settings: tuple[str, ...], moments: list[float]) -> int:
    """Build, and kill with SIGKILL each time after so many seconds; then let it finish. Return how many kills hit."""
    hits = 0
    for moment in moments:
        process = build(recipe, out, settings, 2)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            hits += 1
        print(f"  killed after {moment:.1f} s; complete shards: {len(list(out.glob('*.tar')))}", flush=True)
    timed(recipe, out, settings, 2)
    return hits


@click.command()
@click.argument("recipe")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for mmdata build.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder to work in.")
@click.option("--kills", default=10, show_default=True, help="How often the third build is killed.")
@click.option("--seed", default=0, show_default=True, help="Of the moments of the kills.")
def main(recipe: str, settings: tuple[str, ...], out: Path, kills: int, seed: int) -> None:
    """Print the time of each build and whether all folders are the same; exit with 1 where they are not."""
    if out.exists():
        raise click.UsageError(f"{out} exists; name a new folder")
    seconds = {workers: timed(recipe, out / f"workers-{workers}", settings, workers) for workers in (1, 2)}
    print(f"1 worker {seconds[1]:.0f} s, 2 workers {seconds[2]:.0f} s", flush=True)
    rng = random.Random(seed)
    moments = [rng.uniform(2, 2 + 0.25 * seconds[2]) for _ in range(kills)]
    hits = killed(recipe, out / "killed", settings, moments)
    folders = {name: digests(out / name) for name in ("workers-1", "workers-2", "killed")}
    same = folders["workers-1"] == folders["workers-2"] == folders["killed"]
    print(f"{len(folders['workers-1'])} files, {hits} kills by SIGKILL: {'all the same bytes' if same else 'BYTES DIFFER'}")
    if same:
        shutil.rmtree(out / "workers-2")
        shutil.rmtree(out / "killed")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
