"""Targets that read what describes a corpus: manifests, recipes, expressions, subtitles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from mmdata.errors import RecordError
from mmdata.expression import parsed
from mmdata.ingest import Ingest
from mmdata.keys import is_key, key_for
from mmdata.plan import make_plan
from mmdata.recipe import Recipe
from mmdata.recipe_text import bundled_recipes
from mmdata.sources.manifest import Manifest
from mmdata.subtitles import parse_subtitles
from tests.corpus import recipe_data
from tests.fuzz.target import Reader, Target

_ROWS = [
    {"key": "a/1", "image": "files/1.png", "text": "one", "number": 1, "boxes": [[0, 0, 5, 5, "thing"]], "tags": ["x"]},
    {"key": "b", "image": "files/2.png", "text": 'two "2", \u4e8c', "number": 2, "boxes": [], "tags": {"y": [1.5, None]}},
]
_MOST_ROWS = 1000
_JSON_WORDS = (
    b'"key"',
    b"null",
    b"NaN",
    b"1e999",
    b"[" * 70,
    b'{"":' * 70,
    b"9" * 5000,
    b'"\\ud800"',
    b"\\u0000",
    b"true",
    b"-0.0",
    b"../",
)


def _manifest(format_: str, seeds: Sequence[bytes]) -> Target:
    """Lists the rows, plans them, and makes a record of each."""

    def open_(folder: Path) -> tuple[Reader, Sequence[bytes]]:
        path = folder / f"manifest.{format_}"
        path.write_bytes(seeds[0])
        recipe = Recipe.from_data(
            {
                "name": "fuzz",
                "source": {"type": "manifest", "path": str(path), "format": format_, "key": "key"},
                "fields": {"image": {"kind": "image", "boxes": "boxes"}, "text": {"kind": "text"}},
                "metadata": {"number": "int", "tags": "json"},
                "stages": ["image.decode"],
            }
        )

        def read(data: bytes) -> None:
            path.write_bytes(data)
            source = Manifest(path=str(path), format=recipe.source.format, key="key").open()
            assert len(source) <= _MOST_ROWS + len(data) + (1 << 20), "more rows than there can be"
            plan = make_plan(recipe, _MOST_ROWS)
            assert len(plan.planned) + len(plan.rejects) == plan.rows, "a row is lost"
            ingest = Ingest(recipe, source)
            for planned in plan.planned:
                assert is_key(planned.key)
                with suppress(RecordError):
                    ingest(planned)

        return read, seeds

    return Target(f"manifest-{format_}", open_, (*_JSON_WORDS, b'"', b'""', b"\r", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\t"))


def _delimited(delimiter: str) -> bytes:
    rows = [delimiter.join(("key", "image", "text", "number", "boxes", "tags"))]
    rows += [delimiter.join((row["key"], row["image"], '"a ""b"" c\nd"', "1", '"[]"', "null")) for row in _ROWS]  # type: ignore[arg-type]
    return "\n".join(rows).encode()


def _parquet(**options: object) -> bytes:
    rows = [{**row, "boxes": json.dumps(row["boxes"]), "tags": json.dumps(row["tags"])} for row in _ROWS]
    sink = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, **options)
    return sink.getvalue()


def _recipe(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    """Reads a recipe; lines behind a zero byte are settings of the command line."""
    path = folder / "recipe.yaml"
    own = yaml.safe_dump(recipe_data(Path("manifest.jsonl"))).encode()
    settings = b"\0stages.image.resize.size=128\nseed=3\nsource.path=x\nstages.0={a: 1}"
    seeds = [own, own + settings, *(file.read_bytes() for file in bundled_recipes().values())]

    def read(data: bytes) -> None:
        text, _, lines = data.partition(b"\0")
        path.write_bytes(text)
        recipe = Recipe.load(path, lines.decode("utf-8", "replace").split("\n") if lines else ())
        assert Recipe.from_data(recipe.to_json()).to_json() == recipe.to_json(), "a recipe changes as it is written and read"

    return read, seeds


def _expression(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    del folder
    seeds = [b'audio.seconds < 20 and lang in ["fr", "de"]', b"not (a + 1) * 2 / b >= -3.5 or lang == 'x'", b"1 < a < 2"]
    types = {"audio.seconds": "float", "lang": "str", "a": "int", "b": "float", "ok": "bool"}
    values = {"audio.seconds": 1.5, "lang": "fr", "a": 3, "b": 0.0, "ok": True}

    def read(data: bytes) -> None:
        try:
            found = parsed(data.decode("utf-8", "surrogateescape"))
        except ValueError:  # the recipe makes a RecipeError of it
            return
        found.check(types)  # type: ignore[arg-type]
        assert found(values) in {True, False}

    return read, seeds


def _subtitles(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    del folder
    seeds = [
        b"1\n00:00:01,000 --> 00:00:02,500\nHello <i>there</i>\n\n2\n00:00:03,000 --> 00:00:04,000\n{\\an8}Two\nlines\n",
        b"WEBVTT\n\nNOTE x\n\n01:02.000 --> 01:03.500 align:start\n- &amp; &lt;\n",
    ]

    def read(data: bytes) -> None:
        for cue in parse_subtitles(data):
            assert 0 <= cue.start < cue.end
            assert cue.label

    return read, seeds


def _key(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    del folder

    def read(data: bytes) -> None:
        key = key_for(data.decode("utf-8", "replace"))
        assert is_key(key)
        assert key_for(key) == key

    return read, [b"row-1", b"a/b.c", b"../../x", b"__x"]


_YAML_WORDS = (
    b"&a ", b"*a", b"<<: ", b"!!python/object/apply:os.system [ls]", b"!!binary ", b"2001-99-99", b"? ", b"[" * 50, b"{", b"|\n",
    b"1:1:1", b"0o7", b".nan", b".inf", b"null", b"~", b"stages.\xc2\xb2.size=1", b"\0stages=", b"--- ", b"package.module:Class",
)  # fmt: skip
_EXPRESSION_WORDS = (
    b"__class__",
    b".",
    b"(",
    b"[",
    b"**",
    b"lambda: ",
    b"1e400",
    b"'",
    b" in ",
    b"/ 0",
    b"{}",
    b"9" * 400,
    b"\\N{",
    b"\0",
)

TARGETS = (
    _manifest("jsonl", ["\n".join(json.dumps(row) for row in _ROWS).encode()]),
    _manifest("csv", [_delimited(",")]),
    _manifest("tsv", [_delimited("\t")]),
    _manifest(
        "parquet",
        [_parquet(), _parquet(compression="zstd", row_group_size=1), _parquet(compression="none", use_dictionary=False)],
    ),
    Target("recipe", _recipe, _YAML_WORDS),
    Target("expression", _expression, _EXPRESSION_WORDS),
    Target("subtitles", _subtitles, (b" --> ", b"9" * 5000, b"\xd9\xa3", b"<" * 50, b"&#0;", b"\n\n", b"\0", b"00:00")),
    Target("key", _key, (b"..", b"\0", b"\xff", b"__", b"-")),
)
