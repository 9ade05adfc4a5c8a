"""What a source is: the rows of a raw corpus, listed cheaply, each readable on its own and in any order."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Row:
    """One row of the corpus: its key, and its columns as the source has them (text, numbers, paths, bytes)."""

    key: str
    columns: Mapping[str, Any]


class Source(Protocol):
    """An open corpus. Opening lists it; nothing but the list is read. It can be opened again in any process."""

    left_out: tuple[str, ...]
    """The files that the source found in the corpus's folder but that belong to no row."""

    def __len__(self) -> int:
        """Number of rows, those included that cannot be read."""

    def __getitem__(self, index: int) -> Row:
        """Return one row without reading the files it names. Raises RecordError for a row that is damaged."""

    def read(self, path: str) -> bytes:
        """Return the bytes of a file that a row names.

        Raises RecordError where it is missing, unreadable, or lies outside of the corpus.
        """


class SourceConfig(BaseModel):
    """Base of the `source` part of a recipe: which corpus, and how its rows are found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(1 << 31, ge=1, description="largest file of this machine that a row may name, in bytes")

    @property
    def columns_are_files(self) -> bool:
        """Whether every column names a file; else only those of pictures, recordings and clips do."""
        return False

    @abstractmethod
    def open(self) -> Source:
        """List the corpus. Raises SourceError where that cannot be done."""
