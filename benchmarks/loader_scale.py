"""How the loader opens a dataset of 100 million records in 100,000 shards, and how long a step's plan takes.

python -m benchmarks.loader_scale --out out/scale
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from mmdata.dataset import DESCRIPTION, FORMAT
from mmdata.files import canonical_json, digest_of_json

MEGABYTE = 1 << 20


def write_description(out: Path, shards: int, records: int) -> None:
    """Write the `dataset.json` of a dataset of text tokens. Opening reads nothing else, so there are no tars and no indexes."""
    described = [
        {
            "file": f"train-{number:06d}.tar",
            "records": records,
            "bytes": 4_000_000 + number,
            "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        }
        for number in range(shards)
    ]
    schema = {"fields": {"tokens": {"kind": "tokens", "dtype": "int32", "shape": [None]}}, "metadata": {}, "measures": {}}
    members = {"tokens.npy": "tokens"}
    description = {"format": FORMAT, "schema": schema, "members": members, "inputs": [], "shards": {"train": described}}
    out.mkdir(parents=True, exist_ok=True)
    (out / DESCRIPTION).write_text(canonical_json({**description, "checksum": digest_of_json(description)}))


def resident() -> int:
    """Return the bytes of memory that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(out: Path, batch_size: int, steps: int) -> dict[str, float]:
    """Open the dataset in this process, which has only imported the loader, and plan steps all over an epoch."""
    from mmdata.loader import Loader
    from mmdata.loader.schedule import Place

    before = resident()
    begin, begin_cpu = time.perf_counter(), time.process_time()
    loader = Loader(out, batch_size=batch_size)
    opened, opened_cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    begin = time.perf_counter()
    loader.schedule.rows(Place(0, 0, 0))
    first = time.perf_counter() - begin
    seconds = []
    for step in np.linspace(1, len(loader) - 1, steps).astype(int).tolist():
        begin = time.perf_counter()
        loader.schedule.rows(Place(0, step, step * batch_size))
        seconds.append(time.perf_counter() - begin)
    return {
        "records": loader.schedule.order.records,
        "open_seconds": opened,
        "open_cpu_seconds": opened_cpu,
        "open_peak_megabytes": peak / MEGABYTE,
        "held_megabytes": (resident() - before) / MEGABYTE,
        "first_plan_milliseconds": first * 1000,
        "plan_milliseconds_median": float(np.median(seconds)) * 1000,
        "plan_milliseconds_p99": float(np.quantile(seconds, 0.99)) * 1000,
        "state_bytes": len(json.dumps(loader.state_dict())),
    }


def measured_apart(out: Path, batch_size: int, steps: int) -> dict[str, Any]:
    """Measure in a process of its own: memory that something else held before would hide what is needed."""
    code = (
        "import json, sys, torch, mmdata.loader.loader; from pathlib import Path; from benchmarks.loader_scale import measure; "
        "print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))"
    )
    line = [sys.executable, "-c", code, str(out), str(batch_size), str(steps)]
    found: dict[str, Any] = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    return found


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder for the synthetic dataset.")
@click.option("--shards", default=100_000, show_default=True)
@click.option("--records", default=1000, show_default=True, help="Records a shard.")
@click.option("--batch-size", default=1024, show_default=True)
@click.option("--steps", default=500, show_default=True, help="Steps that are planned.")
def main(out: Path, shards: int, records: int, batch_size: int, steps: int) -> None:
    """Print what was measured, one number a line; exit with 1 where it is more than promised: a second, 200 MB, a millisecond."""
    write_description(out, shards, records)
    found = measured_apart(out, batch_size, steps)
    for name, value in found.items():
        print(f"{name}: {value:,.3f}" if isinstance(value, float) else f"{name}: {value:,}")
    kept = found["open_cpu_seconds"] < 1 and found["open_peak_megabytes"] < 200 and found["plan_milliseconds_median"] < 1
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
