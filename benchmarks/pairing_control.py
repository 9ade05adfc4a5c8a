"""Proves that the pairing in the shards carries the signal: the same model learns a corpus, and the same corpus mispaired.

    python -m benchmarks.pairing_control --stamps DIR --out DIR [--preset tiny] [--set KEY=VALUE]… [--within lang]

DIR holds the Tux Paint stamps and their `manifest.jsonl`. A second manifest has the column `audio` permuted over its rows, so
both corpora hold the same texts, recordings and pictures. Both are built with the recipe `stamps`, both train the same preset
with the same seed, and both are measured on the correctly paired held-out records. Had the build mixed up its pairs, the two
would be alike; had the measure a leak, the second would be above chance. `--within lang` permutes among rows of one language,
which shows how much is learned of the sentence beyond its language.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from mmdata.builder import build
from mmdata.recipe import Recipe
from mmdata.rng import rng_for
from mmdata.train.config import TrainConfig, load_config
from mmdata.train.evaluate import evaluate
from mmdata.train.loop import TrainProgress, train
from mmdata.train.retrieval import Direction, Retrieval

PERMUTED = "audio"


def permuted(rows: list[dict[str, Any]], column: str, within: str | None, seed: int) -> list[dict[str, Any]]:
    """Return the rows with the values of a column permuted over them, or only among rows that agree in another column."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[row[within] if within else None].append(number)
    changed = [dict(row) for row in rows]
    for value, members in groups.items():
        order = rng_for(seed, "pairing control", column, str(value)).permutation(len(members))
        for member, place in zip(members, order.tolist(), strict=True):
            changed[member][column] = rows[members[place]][column]
    return changed


def write_control(stamps: Path, path: Path, within: str | None, seed: int) -> int:
    """Write the mispaired manifest and return how many rows have kept their own recording."""
    with (stamps / "manifest.jsonl").open(encoding="utf-8") as manifest:
        rows = [json.loads(line) for line in manifest]
    changed = permuted(rows, PERMUTED, within, seed)
    kept = sum(bool(row[PERMUTED] == other[PERMUTED]) for row, other in zip(rows, changed, strict=True))
    # Files are named relative to a manifest, and this one stands elsewhere.
    places = [row | {name: str((stamps / row[name]).resolve()) for name in ("image", "audio")} for row in changed]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in places), encoding="utf-8")
    return kept


def learn(config: TrainConfig, data: Path, run: Path, threads: int | None) -> float:
    """Train on a dataset, say how it goes, and return the seconds it took."""

    def show(progress: TrainProgress) -> None:
        if progress.step % max(1, progress.steps // 10) == 0:
            print(f"  step {progress.step} of {progress.steps}, loss {progress.loss:.3f}", flush=True)

    return train(config, data, run, threads=threads, progress=show).seconds


def table(name: str, retrieval: Retrieval) -> Table:
    """Lay out one measurement: a row a direction."""
    result = Table("direction", "queries", "answers", "median rank", "R@1", "chance", "R@10", "chance", "lift", title=name)
    for direction in retrieval.directions:
        result.add_row(
            direction.name, str(direction.queries), str(direction.answers), f"{direction.median_rank:.0f}", *cells(direction)
        )
    return result


def cells(direction: Direction) -> list[str]:
    """Return recall at 1 and 10 with their 95 % intervals and chance, and how many times chance recall at 10 is."""
    texts = []
    for recall in direction.recalls:
        low, high = recall.interval
        texts += [f"{recall.share:.1%} ({low:.1%} to {high:.1%})", f"{recall.chance:.1%}"]
    at_ten = direction.recall(10)
    return [*texts, f"{at_ten.share / at_ten.chance:.1f}x"]


@click.command()
@click.option("--stamps", type=click.Path(path_type=Path, exists=True), required=True, help="Folder of the corpus.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to work in; what is there is gone on with.")
@click.option("--preset", default="tiny", show_default=True, help="As for mmdata train.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for mmdata train.")
@click.option("--within", metavar="COLUMN", help="Permute only among rows that agree in this column.")
@click.option("--seed", default=0, show_default=True, help="Of the permutation.")
@click.option("--threads", type=click.IntRange(1), help="Of torch and the loader.")
def main(
    stamps: Path, out: Path, preset: str, settings: tuple[str, ...], within: str | None, seed: int, threads: int | None
) -> None:
    """Build, train and measure both corpora, print both tables, and write them to `control.json`."""
    config = load_config(preset, settings)
    name = f"permuted-within-{within}" if within else "permuted"
    out.mkdir(parents=True, exist_ok=True)
    kept = write_control(stamps, out / f"{name}.jsonl", within, seed)
    print(f"{kept} rows have kept their own recording by chance", flush=True)
    corpora = {
        "paired": [f"source.path={stamps / 'manifest.jsonl'}"],
        name: [f"source.path={out / f'{name}.jsonl'}", "source.outside=true"],
    }
    found = {}
    for corpus, source in corpora.items():
        print(f"{corpus}: building and training", flush=True)
        build(Recipe.load("stamps", source), out / corpus)
        seconds = learn(config, out / corpus, out / f"{corpus}-{config.name}", threads)
        found[corpus] = evaluate(out / f"{corpus}-{config.name}", out / "paired")
        Console(width=130).print(table(f"{corpus} ({seconds:.0f} s of training)", found[corpus]))
    measures = {corpus: retrieval.to_json() for corpus, retrieval in found.items()}
    (out / "control.json").write_text(json.dumps(measures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
