"""`mmdata evaluate`: a trained model on held-out records."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mmdata.cli.main import printable
from mmdata.cli.retrieval import retrieval_text


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The dataset folder; may be another one.")
@click.option("--split", default="val", show_default=True, help="The split to measure on.")
@click.option("--device", default="cpu", show_default=True, help="Where the model runs: cpu, cuda, cuda:1, …")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(run: Path, data: Path, split: str, device: str, *, as_json: bool) -> None:
    """Measure the model of RUN: how often the right answer is found, in every direction of every pair of modalities.

    Example: mmdata evaluate runs/stamps --data out/stamps --split test
    """
    from mmdata.train.evaluate import evaluate

    found = evaluate(run, data, split=split, device=device)
    click.echo(json.dumps(found.to_json()) if as_json else printable(retrieval_text(found)))
