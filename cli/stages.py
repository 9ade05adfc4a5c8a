"""`mmdata stages`: what the stages do, with their options."""

from __future__ import annotations

import inspect
import json
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click


@click.command("stages")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, nothing else.")
def command(name: str | None, *, as_json: bool) -> None:
    """List the stages, or describe the one called NAME with its options, defaults, units and an example."""
    from mmdata.stages import STAGES, stage_class

    names = [name] if name else list(STAGES)
    found = {each: stage_class(each) for each in names}
    if as_json:
        described = {each: {"summary": _summary(kind), "options": kind.model_json_schema()} for each, kind in found.items()}
        click.echo(json.dumps(described))
    elif name:
        click.echo(_described(name, found[name]))
    else:
        width = max(map(len, found))
        click.echo("\n".join(f"{each:<{width}}  {_summary(kind)}" for each, kind in found.items()))


def _summary(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def _described(name: str, kind: type) -> str:
    options = [_option(*item) for item in kind.model_fields.items()]  # type: ignore[attr-defined]
    return "\n".join([name, "", inspect.cleandoc(kind.__doc__ or ""), "", "Options:", *options])


def _option(name: str, field: object) -> str:
    from pydantic.fields import FieldInfo

    assert isinstance(field, FieldInfo)
    default = (
        "required" if field.is_required() else f"default {json.dumps(field.get_default(call_default_factory=True), default=str)}"
    )
    limits = [f"{kind} {value}" for limit in field.metadata for kind, value in _limits(limit)]
    about = f"\n      {field.description}" if field.description else ""
    return f"  {name}: {', '.join([_type_text(field.annotation), default, *limits])}{about}"


def _type_text(annotation: Any) -> str:  # noqa: ANN401, PLR0911 - any annotation; one line for each kind of it
    """Return a type as a reader of recipes would name it."""
    if annotation is type(None):
        return "null"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin is Literal:
        return " | ".join(json.dumps(argument) for argument in arguments)
    if origin in {Union, UnionType}:
        return " | ".join(map(_type_text, arguments))
    if origin in {tuple, list}:
        return f"[{', '.join('…' if argument is Ellipsis else _type_text(argument) for argument in arguments)}]"
    if origin is dict:
        return f"{{{_type_text(arguments[0])}: {_type_text(arguments[1])}}}"
    return str(getattr(annotation, "__name__", annotation))


def _limits(limit: object) -> list[tuple[str, object]]:
    names = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return [(text, getattr(limit, name)) for name, text in names.items() if hasattr(limit, name)]
