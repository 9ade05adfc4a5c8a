"""YAML that stands for plain data and nothing else: no objects, no aliases, no more depth than a person writes.

The one module that needs PyYAML: a machine that only loads and trains does without.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

NO_YAML = (ValueError, RecursionError, yaml.YAMLError)
"""What is raised on texts that are no YAML, or stand for values that do not exist."""

_DEEPEST = 50
_OPENING = (yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken, yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def plain_data(text: str) -> tuple[yaml.Node | None, Any]:
    """Return the node of a YAML text and its plain data. Raises one of `NO_YAML`, for aliases and objects as well."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            raise yaml.MarkedYAMLError(problem=f"aliases (*{token.value}) are not taken", problem_mark=token.start_mark)
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        # The library takes time by the square of the depth, so it must not be let go on.
        if depth > _DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {_DEEPEST}", problem_mark=token.start_mark)
    loader = yaml.SafeLoader(text)
    node = loader.get_single_node()
    return node, loader.construct_document(node) if node is not None else None


def lines_of(node: yaml.Node | None, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], int]]:
    """Yield the path and the line, from 1, of every value. Raises one of `NO_YAML` where a mapping has a key twice."""
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from lines_of(item, (*path, index))
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} stands here twice", problem_mark=key.start_mark)
            seen.add(name)
            yield from lines_of(value, (*path, name))
            yield (*path, name), key.start_mark.line + 1
