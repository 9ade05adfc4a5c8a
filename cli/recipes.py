"""`mmdata recipes`: the recipes that come with mmdata."""

from __future__ import annotations

import json

import click

from mmdata.cli.main import printable


@click.command("recipes")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(name: str | None, *, as_json: bool) -> None:
    """List the bundled recipes, or print the one called NAME, to start a recipe of your own from."""
    from mmdata.recipe_text import bundled_recipes, find_recipe, parse_yaml

    if name:
        path = find_recipe(name)
        data, _ = parse_yaml(path)
        click.echo(json.dumps(data) if as_json else printable(path.read_text(encoding="utf-8-sig")), nl=as_json)
        return
    summaries = {each: str(parse_yaml(path)[0].get("description", "")) for each, path in bundled_recipes().items()}
    if as_json:
        click.echo(json.dumps(summaries))
        return
    width = max(map(len, summaries))
    click.echo("\n".join(f"{each:<{width}}  {text}" for each, text in summaries.items()))
