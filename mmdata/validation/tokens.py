"""Checks tokens against the stored text: ids in the vocabulary, offsets in the text, and both as the tokenizer makes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdata.schema import FieldType
from mmdata.validation.description import Promised
from mmdata.validation.findings import Notes, shown
from mmdata.validation.folder import ARTIFACTS
from mmdata.values import Array

if TYPE_CHECKING:
    import tokenizers

_STAGE = "text.tokenize"


@dataclass(frozen=True)
class Encoder:
    """Encodes a text as the tokenize stage of the recipe does."""

    tokenizer: tokenizers.Tokenizer
    add_special: bool

    def __call__(self, text: str) -> tuple[list[int], list[list[int]]]:
        """Return ids and offsets."""
        encoding = self.tokenizer.encode(text, add_special_tokens=self.add_special)
        return list(encoding.ids), [list(pair) for pair in encoding.offsets]


def encoders_of(out: Path, promised: Promised) -> dict[str, Encoder]:
    """Return the encoder of each tokens field whose tokenizer is among the artifacts and can be read."""
    recipe = promised.parts.get("recipe", {})
    stages = recipe["stages"] if isinstance(recipe.get("stages"), list) else []
    numbers = [number for number, stage in enumerate(stages) if isinstance(stage, dict) and isinstance(stage.get(_STAGE), dict)]
    found = {}
    for number in numbers:
        options = stages[number][_STAGE]
        # Stages of one kind would name their files alike; all but the first have their number before the name.
        path = out / ARTIFACTS / ("tokenizer.json" if number == numbers[0] else f"{number}-tokenizer.json")
        wanted = promised.parts.get("artifacts", {}).get(path.name)
        if (tokenizer := _loaded(path, wanted, options.get("max_tokens"))) is not None:
            found[str(options.get("output"))] = Encoder(tokenizer, bool(options.get("add_special")))
    return found


def _loaded(path: Path, sha256: str | None, most: object) -> tokenizers.Tokenizer | None:
    """Return a tokenizer; None where it is not the one that was learned, which is a finding of its own, or cannot be used."""
    from tokenizers import Tokenizer

    try:
        content = path.read_bytes()
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            return None
        tokenizer = Tokenizer.from_buffer(content)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        if type(most) is int and most > 0:
            tokenizer.enable_truncation(most)
    except Exception:  # noqa: BLE001 - the library raises bare Exceptions
        return None
    return tokenizer


def check_tokens(value: Array, type_: FieldType, notes_of_field: Mapping[str, Any], text: str | None, notes: Notes) -> bool:
    """Check ids and offsets of one field; `text` is the stored text they point into, None where it is not known.

    Returns whether they are well formed, so that `check_encoding` can compare them.
    """
    notes.covered("tokens")
    ids, pairs = value.array, notes_of_field.get("offsets", [])
    if ids.dtype != np.int32 or ids.ndim != 1:
        notes.error("tokens", f"ids must be int32 [n], not {ids.dtype} {list(ids.shape)}")
        return False
    most = type_.vocabulary
    if len(ids) and (ids.min() < 0 or (most is not None and ids.max() >= most)):
        notes.error("tokens", f"ids must be from 0 to {'' if most is None else most - 1}, found {ids.min()} to {ids.max()}")
    if not _are_pairs(pairs) or len(pairs) != len(ids):
        notes.error("tokens", f"there are {len(ids)} tokens, but the offsets are not {len(ids)} pairs of integers")
        return False
    if text is not None and (wrong := _wrong_offset(pairs, len(text))):
        notes.error("tokens", wrong)
    return True


def _are_pairs(pairs: object) -> bool:
    return isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is int and type(pair[1]) is int for pair in pairs
    )


def _wrong_offset(pairs: list[list[int]], length: int) -> str | None:
    """Return what is wrong with the first offset that does not lie in the text, or is out of order."""
    low = 0
    for number, (start, end) in enumerate(pairs):
        if not 0 <= start <= end <= length:
            return f"token {number} has the offset [{start}, {end}), the text has {length} characters"
        # Special tokens stand for no characters: their offset is [0, 0) wherever they are.
        if (start, end) != (0, 0):
            if start < low:
                return f"token {number} begins at {start}, before the token that precedes it, which begins at {low}"
            low = start
    return None


def check_encoding(value: Array, pairs: list[list[int]], text: str, encoder: Encoder, notes: Notes) -> None:
    """Check that encoding the stored text again gives the stored ids and offsets."""
    ids, offsets = encoder(text)
    stored = value.array.tolist()
    if stored != ids:
        place = next((n for n, (a, b) in enumerate(zip(stored, ids, strict=False)) if a != b), min(len(stored), len(ids)))
        here, there = stored[place : place + 1], ids[place : place + 1]
        notes.error("tokens", f"they are not those of the stored text: token {place} is {shown(here)}, encoding gives {there}")
    elif pairs != offsets:
        place = next(n for n, (a, b) in enumerate(zip(pairs, offsets, strict=True)) if a != b)
        notes.error("tokens", f"token {place} has the offset {pairs[place]}, encoding the text gives {offsets[place]}")
