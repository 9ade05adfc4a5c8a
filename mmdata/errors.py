"""The errors of mmdata: each one says where, what was found and what to do next.

Everything that a user can cause derives from `MmdataError`; any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
from pathlib import Path


class MmdataError(Exception):
    """Base of every error that a user can cause; `exit_status` is what the command line ends with."""

    exit_status = 2


class RecipeError(MmdataError):
    """The recipe cannot be carried out as written: unknown stage, wrong option, fields that do not fit."""


class NothingToLearnError(RecipeError):
    """No record came to a stage that learns from the corpus. Where rows were turned away before it, the build says why."""


class SourceError(MmdataError):
    """The raw corpus as a whole cannot be listed: missing manifest, unreadable folder, absent column."""


class DatasetError(MmdataError):
    """The dataset folder cannot be used: incomplete, damaged, or made by another recipe."""


class OpenFilesError(MmdataError):
    """This process may open no more files. Nothing is wrong with the one it wanted, so it must not count as damaged."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(f"{path}: too many open files; raise the limit (ulimit -n)")


class ConfigError(MmdataError):
    """A setting of a command, a loader or a training run is wrong."""


class MissingExtraError(MmdataError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, extra: str, feature: str) -> None:
        super().__init__(f"{feature} needs the extra {extra!r}, which is not installed: pip install 'mmdata[{extra}]'")


class TooManyRejectsError(MmdataError):
    """More rows were rejected than the recipe allows; the folder stays resumable."""

    exit_status = 1


class RecordError(MmdataError):
    """One row or record cannot be used. The build rejects it with `reason` (a short, countable phrase) and `detail`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[RecordError], tuple[str, str]]:
        """Keep both arguments when the error crosses a process border."""
        return type(self), (self.reason, self.detail)

    def alone(self) -> RecordError:
        """Return the same error without its traceback and causes.

        A traceback holds the frames that the error went through, with all that stands in them. An error that is kept in one of
        them would hold itself, until the collector comes.
        """
        return RecordError(self.reason, self.detail)


def says_too_many_files(error: BaseException) -> bool:
    """Whether an error says that this process, or the machine, has too many files open."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def is_memory_error(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted; OpenCV and what else is written in C++ has its own words for it."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("bad_alloc", "Insufficient memory", "can't allocate memory")
    )
