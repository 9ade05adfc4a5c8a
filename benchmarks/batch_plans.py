"""How full batches are, and how long it takes to plan them: by count, bucketed, by budget and packed.

python -m benchmarks.batch_plans --out out/plans
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmdata.dataset import DESCRIPTION, FORMAT
from mmdata.files import canonical_json, digest_of_json
from mmdata.loader import Bucket, Budget, LoaderOptions, Packing
from mmdata.loader.batching import BatchSize, Units
from mmdata.loader.collection import Collection
from mmdata.loader.planning import plan_of
from mmdata.loader.schedule import Schedule
from mmdata.loader.sizes import Sizes
from mmdata.rng import rng_for
from mmdata.shards.index import ShardInfo, index_schema, write_index

LONGEST = 2048
SCHEMA = {"fields": {"tokens": {"kind": "tokens", "dtype": "int32", "shape": [None]}}, "metadata": {}, "measures": {}}


@dataclass(frozen=True)
class Case:
    """A way to make batches."""

    name: str
    batch_size: BatchSize
    bucket: Bucket | None = None


CASES = (
    Case("256 records", 256),
    Case("256 records, bucketed", 256, Bucket(by="tokens")),
    Case("budget of 65,536 tokens", Budget(tokens=1 << 16, world_sizes=(1, 2, 4, 8))),
    Case("the same, bucketed", Budget(tokens=1 << 16, world_sizes=(1, 2, 4, 8)), Bucket(by="tokens")),
    Case("32 packed rows of 2048", Packing(rows=32, length=LONGEST)),
)


def write_dataset(out: Path, shards: int, records: int) -> None:
    """Write description and indexes of a dataset of token sequences; plans need no more, so there are no tars."""
    (out / "index").mkdir(parents=True)
    described = []
    for number in range(shards):
        lengths = rng_for(0, "lengths", number).lognormal(np.log(200), 0.9, records).astype(int).clip(1, LONGEST)
        rows = [
            {"key": f"{number}-{row}", "row": row, "source_key": "", "split": "train", "group": "", "input.digest": ""}
            | {"tokens.tokens": length}
            for row, length in enumerate(lengths.tolist())
        ]
        file = f"train-{number:06d}"
        table = pa.Table.from_pylist(rows, schema=index_schema([], (), {"tokens.tokens": "int"}, {}))
        info = ShardInfo(digest_of_json(file), "", {}, records, 0, "")
        (out / "index" / f"{file}.parquet").write_bytes(write_index(table, info))
        described.append({"file": f"{file}.tar", "records": records, "bytes": 0, "sha256": ""})
    members = {"tokens.npy": "tokens"}
    description = {"format": FORMAT, "schema": SCHEMA, "members": members, "inputs": [], "shards": {"train": described}}
    (out / DESCRIPTION).write_text(canonical_json({**description, "checksum": digest_of_json(description)}))


def measure(out: Path, case: Case) -> str:
    """Return a row of the table: records a step, padding, and the time of a step's plan, for one epoch on one rank."""
    collection, options = Collection.of(out), LoaderOptions(bucket=case.bucket)
    plan = plan_of(collection, "train", case.batch_size, 0, options)
    schedule = Schedule(plan.order, plan.cut)
    sizes = Sizes(collection, "train", Units(), options)
    used, held, records, seconds = 0, 0, [], []
    place = next(schedule.epoch(0))
    while place.epoch == 0:
        begin = time.process_time()
        rows = schedule.rows(place)
        following = schedule.after(place)
        seconds.append(time.process_time() - begin)
        place = following
        tokens: NDArray[np.int64] = sizes(rows.shards, rows.records)[:, 0]
        used += int(tokens.sum())
        held += len(tokens) * int(tokens.max()) if rows.packed is None else rows.packed.count * rows.packed.length
        records.append(len(tokens))
    plan_time = f"{np.median(seconds) * 1000:.2f} | {np.mean(seconds) * 1000:.2f}"
    return f"| {case.name} | {len(records)} | {min(records)} to {max(records)} | {1 - used / held:.1%} | {plan_time} |"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder for the synthetic dataset.")
@click.option("--shards", default=100, show_default=True)
@click.option("--records", default=1000, show_default=True, help="Records a shard.")
def main(out: Path, shards: int, records: int) -> None:
    """Print a table."""
    if out.exists():
        raise click.UsageError(f"{out} exists; name a new folder")
    write_dataset(out, shards, records)
    print("| batches | steps | records in a step | padding | plan of a step, ms: median | mean |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        print(measure(out, case), flush=True)
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
