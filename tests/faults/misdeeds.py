"""A stage that does what the text of a record tells it to: all the ways in which code of others can misbehave."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, cast

import cv2
import numpy as np
import pyarrow as pa

from mmdata.errors import RecordError
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages.base import FieldStage, FitStage, Outcome
from mmdata.values import Kind, Text


class Panic(BaseException):
    """As the libraries that are written in Rust raise it: not an Exception."""


class Obey(FieldStage[Text]):
    """Does the deed that a text names, and lets every other text pass."""

    kind: ClassVar[Kind] = "text"
    field: str = "text"

    def apply(self, value: Text, rng: np.random.Generator) -> Any:  # noqa: ARG002 - the interface of every field stage
        """Return the text, or whatever the deed returns."""
        deed = DEEDS.get(value.text)
        return value if deed is None else deed()


class DieOnce(FieldStage[Text]):
    """Kills its process at the first text that says `die once FILE`, and makes the file to remember it by."""

    kind: ClassVar[Kind] = "text"
    field: str = "text"

    def apply(self, value: Text, rng: np.random.Generator) -> Text:  # noqa: ARG002 - the interface of every field stage
        """Return the text, unless this is the first time."""
        words, _, name = value.text.rpartition(" ")
        if words == "die once" and not Path(name).exists():
            Path(name).touch()
            os.abort()
        return value


class NeedFile(FieldStage[Text]):
    """Fails at a text that says `needs FILE` while there is no such file, as code does that lacks a font or a model."""

    kind: ClassVar[Kind] = "text"
    field: str = "text"

    def apply(self, value: Text, rng: np.random.Generator) -> Text:  # noqa: ARG002 - the interface of every field stage
        """Return the text, unless its file is missing."""
        words, _, name = value.text.rpartition(" ")
        if words == "needs" and not Path(name).exists():
            raise RecordError("file is missing", "for the stage")
        return value


class Repeat(FieldStage[Text]):
    """Makes five records of one."""

    kind: ClassVar[Kind] = "text"
    field: str = "text"

    def apply(self, value: Text, rng: np.random.Generator) -> list[Text]:  # noqa: ARG002 - the interface of every field stage
        """Return the text five times."""
        return [Text(f"{value.text} {number}") for number in range(5)]


class Linger(FieldStage[Text]):
    """Takes its time, by default about a second."""

    kind: ClassVar[Kind] = "text"
    field: str = "text"
    seconds: float = 1.2

    def apply(self, value: Text, rng: np.random.Generator) -> Text:  # noqa: ARG002 - the interface of every field stage
        """Return the text after a while."""
        time.sleep(self.seconds)
        return value


class FatalToLoad(Obey):
    """Kills the process that unpickles it."""

    def __setstate__(self, state: dict[Any, Any]) -> None:
        os._exit(5)


def _raise(error: BaseException) -> None:
    raise error


def _recurse() -> None:
    _recurse()


def _allocate() -> None:
    """Take memory bit by bit, without end."""
    held = []
    while True:
        held.append(np.ones(1 << 24, np.uint8))


def _hold_the_gil() -> None:
    """Sleep in C without letting any other thread run, as a stuck decoder does."""
    ctypes.PyDLL(None).sleep(1000)


DEEDS: dict[str, Callable[[], Any]] = {
    "raise": lambda: _raise(ValueError(f"it holds {object()!r}")),
    "raise RecordError": lambda: _raise(RecordError("text is unwanted", "by the stage")),
    "raise with half a character": lambda: _raise(ValueError("it holds \ud800")),
    "recurse": _recurse,
    "panic": lambda: _raise(Panic("index out of bounds")),
    "return nothing": lambda: None,
    "sleep": lambda: time.sleep(1000),
    "hold the GIL": _hold_the_gil,
    "crash": faulthandler._sigsegv,  # type: ignore[attr-defined]
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "leave": lambda: sys.exit(4),
    "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "print and crash": lambda: (os.write(2, b"decoder: \x1b[31mall is lost\n"), os.write(1, b"{}\n"), os.abort()),
    "take a lot at once": lambda: np.ones(1 << 40, np.uint8),
    "take more and more": _allocate,
    "let C++ take a lot": lambda: cv2.resize(np.zeros((8, 8, 3), np.uint8), (30000, 30000)),
}
"""What each text makes the stage do."""


class Learn(FitStage):
    """Learns which texts there are, and does what they say while it observes them."""

    field: str = "text"

    @property
    def files(self) -> tuple[str, ...]:
        """One file of all texts."""
        return ("texts.txt",)

    def infer(self, schema: Schema) -> Schema:
        """Change nothing."""
        return schema

    def observe(self, records: Iterable[Record]) -> pa.Table:
        """Return the texts."""
        texts = []
        for record in records:
            text = cast("Text", record[self.field]).text
            DEEDS.get(text, bool)()
            texts.append(text)
        return pa.table({"text": texts})

    def reduce(self, observations: pa.Table) -> dict[str, bytes]:
        """Return a file of all texts."""
        return {"texts.txt": "\n".join(observations.column("text").to_pylist()).encode()}

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Let every record pass."""
        return record
