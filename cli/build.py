"""`mmdata build`: from a recipe to a dataset folder."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmdata.cli.main import printable
from mmdata.cli.progress import building
from mmdata.engines import ENGINES
from mmdata.wording import counted

if TYPE_CHECKING:
    from mmdata.builder import Outcome
    from mmdata.changes import Changes
    from mmdata.plan import Plan
    from mmdata.stages.base import Stage


@click.command("build")
@click.argument("recipe")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--engine", type=click.Choice(ENGINES), default="local", help="Where workers run: on this machine, or on a Ray cluster."
)
@click.option("--workers", type=click.IntRange(1), help="Processes; by default one a core. Changes nothing in the result.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a value of the recipe; may be repeated.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Take only the first N rows of the source.")
@click.option("--update", is_flag=True, help="Take over rows and raw files that changed since OUT was built.")
@click.option("--dry-run", is_flag=True, help="Check the recipe and print the plan; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(
    recipe: str,
    out: Path,
    engine: str,
    workers: int | None,
    settings: tuple[str, ...],
    limit: int | None,
    *,
    update: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build the dataset folder OUT from RECIPE, a YAML file or the name of a bundled recipe.

    A build that was interrupted goes on where it stopped when the same command is run again, and a dataset that is damaged is
    repaired. The same recipe over the same rows gives the same bytes. Where rows or raw files changed, --update makes anew what
    holds them, and keeps what was learned. How far it is goes to standard error: bars on a terminal,
    else a line now and then.

    Example: mmdata build stamps out/stamps --set source.path=corpus/manifest.jsonl
    """
    from mmdata.builder import Options, carry_out
    from mmdata.plan import make_plan
    from mmdata.recipe import Recipe

    loaded = Recipe.load(recipe, settings)
    if dry_run:
        plan = make_plan(loaded, limit)
        click.echo(json.dumps(_planned(plan)) if as_json else printable(_plan_text(plan, out)))
        return
    with building() as progress:
        outcome = carry_out(loaded, out, Options(workers, engine, limit, update), progress)
    click.echo(json.dumps(_built(outcome)) if as_json else printable(built_text(outcome)))


def _planned(plan: Plan) -> dict[str, object]:
    codec = plan.codec()
    return {
        "recipe": plan.recipe.to_json(),
        "rows": plan.rows,
        "rejected_in_the_listing": len(plan.rejects),
        "left_out": list(plan.left_out),
        "splits": dict(Counter(row.split for row in plan.planned)),
        "shards": dict(Counter(task.split for task in plan.tasks)),
        "members": {extension: name for extension, (name, _) in codec.members.items()},
        "schema": codec.schema.to_json(),
        "fingerprint": plan.fingerprint,
    }


def _plan_text(plan: Plan, out: Path) -> str:
    codec, recipe = plan.codec(), plan.recipe
    rows = Counter(row.split for row in plan.planned)
    shards = Counter(task.split for task in plan.tasks)
    lines = [f"{recipe.name}: {counted(plan.rows, 'row')} into {out}"]
    if plan.rejects:
        first = plan.rejects[0]
        lines.append(f"  {counted(len(plan.rejects), 'row')} rejected already, such as row {first.row}: {first.reject.reason}")
    if plan.left_out:
        lines.append(f"  {counted(len(plan.left_out), 'file')} of no row, such as {plan.left_out[0]}")
    lines += [f"  {split}: {counted(count, 'row')} in {counted(shards[split], 'shard')}" for split, count in rows.items()]
    lines += ["fields:", *(f"  {name}: {_type_text(type_.to_json())}" for name, type_ in recipe.raw_schema.fields.items())]
    lines += [
        "stages:",
        *(f"  {name}{_options_text(stage)}" for name, stage in zip(recipe.stage_names, recipe.stages, strict=True)),
    ]
    lines += ["members of every record:"]
    lines += [
        f"  KEY.{extension}: {name}, {_type_text(codec.schema.fields[name].to_json())}"
        for extension, (name, _) in codec.members.items()
    ]
    return "\n".join([*lines, "  KEY.json: metadata, annotations, lineage, origin", "nothing was written"])


def _options_text(stage: Stage) -> str:
    set_here = stage.model_dump(exclude_defaults=True)
    return f": {', '.join(f'{name} {value}' for name, value in set_here.items())}" if set_here else ""


def _type_text(type_: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in type_.items())


def _built(outcome: Outcome) -> dict[str, object]:
    dataset, changes = outcome.dataset, outcome.changes
    said = {"out": str(dataset.path), **{key: dataset.description[key] for key in ("fingerprint", "counts")}}
    said |= {"complete_already": outcome.was_complete}
    said |= {"found_done": asdict(outcome.found)} if outcome.found else {}
    return said | ({"changes": asdict(changes)} if changes else {})


def built_text(outcome: Outcome) -> str:
    """Return what a build came to, as lines of text."""
    dataset = outcome.dataset
    counts = dataset.description["counts"]
    rejects = ", ".join(f"{count:,} {kind}" for kind, count in counts["rejects"].items() if count) or "none"
    splits = ", ".join(f"{count:,} {split}" for split, count in counts["splits"].items())
    records, shards = counted(counts["records"], "record"), counted(len(dataset.shards), "shard")
    return (
        f"{dataset.path}: {records} ({splits}) in {shards}\n"
        f"  {counted(counts['rows'], 'row')} in = {counts['rows_written']:,} written"
        f" + {counts['rows_rejected']:,} rejected ({rejects})"
        + (f"\n  the rejects and their reasons: {dataset.path / 'rejects.parquet'}" if counts["rows_rejected"] else "")
        + _history_text(outcome)
    )


def _history_text(outcome: Outcome) -> str:
    """Return what was there before: a complete dataset, one that changed, or a part of one."""
    if outcome.was_complete:
        return "\n  complete already: every file is as it was built; raw files were not looked at (--update does)"
    if found := outcome.found:
        stages = f" and {counted(found.stages, 'stage')} that had learned" if found.stages else ""
        return f"\n  gone on with: {counted(found.shards, 'shard')}{stages} were found done"
    return _changes_text(outcome.changes) if outcome.changes else ""


def _changes_text(changes: Changes) -> str:
    rows = (
        f"{changes.rows_added:,} added + {changes.rows_changed:,} changed + {changes.rows_made_anew:,} made anew + "
        f"{changes.rows_kept:,} kept + {changes.rows_turned_away:,} turned away in the listing; {changes.rows_removed:,} removed"
    )
    repaired = f"\n  repaired: {', '.join(changes.repaired)}" if changes.repaired else ""
    return f"\n  rows: {rows}; shards: {changes.shards_rebuilt:,} rebuilt, {changes.shards_kept:,} kept{repaired}"
