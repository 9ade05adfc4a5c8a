"""`mmdata train`: the reference model on a dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmdata.cli.main import printable
from mmdata.cli.progress import Work, shown
from mmdata.cli.retrieval import retrieval_text

if TYPE_CHECKING:
    from mmdata.train.loop import TrainProgress, TrainResult


@click.command("train")
@click.argument("config")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The dataset folder.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder of the run: checkpoint and log.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a setting; may be repeated.")
@click.option("--device", default="cpu", show_default=True, help="Where the model learns: cpu, cuda, cuda:1, …")
@click.option("--threads", type=click.IntRange(1), help="Threads of torch; by default its own choice.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(
    config: str, data: Path, out: Path, settings: tuple[str, ...], device: str, threads: int | None, *, as_json: bool
) -> None:
    """Train the reference model with CONFIG, a YAML file or a preset (nano, tiny, small), and measure retrieval.

    A run that was stopped goes on when the same command is run again.

    Example: mmdata train tiny --data out/stamps --out runs/stamps
    """
    from mmdata.train.config import load_config
    from mmdata.train.loop import train

    with training() as progress:
        result = train(load_config(config, settings), data, out, device=device, threads=threads, progress=progress)
    click.echo(json.dumps(result.to_json()) if as_json else printable(result_text(result)))


def result_text(result: TrainResult) -> str:
    """Return what a run came to, as lines of text."""
    resumed = f", resumed at step {result.resumed_from:,}" if result.resumed_from else ""
    loss = "" if result.loss is None else f", last loss {result.loss:.3f}"
    lines = [f"{result.run}: {result.steps:,} steps in {result.seconds:,.0f} s{resumed}{loss}; log in {result.run / 'log.jsonl'}"]
    return "\n".join(lines if result.retrieval is None else [*lines, retrieval_text(result.retrieval)])


@contextmanager
def training() -> Iterator[Callable[[TrainProgress], None]]:
    """Show the progress of a run."""
    with shown(Work("preparing", "steps")) as show:

        def tell(now: TrainProgress) -> None:
            remark = f"loss {now.loss:.3f}, {now.records_per_second:,.0f} records/s, waiting {now.waiting:.0%}"
            show(Work("training", "steps", now.step, now.steps, remark))

        yield tell
