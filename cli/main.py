"""The command `mmdata`: its subcommands, and what becomes of errors."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import logging
import os
import signal
import sys
import traceback
from types import FrameType

import click

import mmdata
from mmdata.errors import MmdataError

COMMANDS = {
    "build": "Build a dataset folder from a recipe.",
    "validate": "Re-check every promise of a dataset folder.",
    "stats": "Show what a dataset folder holds.",
    "preview": "Write a page that shows records.",
    "inspect": "Show one record, its annotations and where it came from.",
    "train": "Train the reference model on a dataset.",
    "evaluate": "Measure a trained model on held-out records.",
    "stages": "List the stages, or describe one.",
    "recipes": "List the bundled recipes, or print one.",
    "doctor": "Check that this installation works.",
    "demo": "Run the whole job on the embedded demo corpus.",
}
_INTERRUPTED, _TERMINATED = 130, 143
_LONGEST_ERROR = 4000
_LONGEST_LINE = 2000
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


class _Commands(click.Group):
    """Imports a command when it is asked for, so that `mmdata --help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of a job."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"mmdata.cli.{cmd_name}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for; one that there is not is answered with the one most like it."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(COMMANDS)}"
            ctx.fail(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(mmdata.__version__, prog_name="mmdata")
def group() -> None:
    """Build aligned, sharded multimodal datasets, prove that they are right, and train on them.

    Exit status: 0 done; 1 the check found problems, or too many rows were rejected; 2 the request cannot be carried out; 130
    interrupted (143 by SIGTERM), can be resumed.
    """
    log = _Log(logging.WARNING)
    log.setFormatter(_LogLines("mmdata: %(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[log])


class _Terminated(KeyboardInterrupt):
    """SIGTERM came: everything ends as it does for Ctrl-C, but for the exit status."""


class _Log(logging.Handler):
    """Writes to what standard error is at the moment: while a progress bar is shown, that prints above it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        print(self.format(record), file=sys.stderr, flush=True)  # noqa: T201 - see the class


class _LogLines(logging.Formatter):
    """Formats records as text that cannot steer the terminal: it may come from a corpus."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of one record."""
        return printable(super().format(record))


def main() -> None:
    """Run the command line; errors of the user's are said in a line or two, a bug keeps its traceback."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        status = group.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        usage = io.StringIO()
        error.show(usage)
        click.echo(_said(usage.getvalue()), err=True, nl=False)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo("mmdata: interrupted; run the same command again to go on", err=True)
        sys.exit(_TERMINATED if _Terminated in (type(error), type(error.__cause__)) else _INTERRUPTED)
    except MmdataError as error:
        click.echo(f"mmdata: error: {_said(str(error))}", err=True)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            _show_bug()
            sys.exit(1)
        where = f"{error.filename}: " if error.filename else ""
        advice = f"{where}{error.strerror}; make room or name another folder, then run it again"
        click.echo(f"mmdata: error: {_said(advice)}", err=True)
        sys.exit(MmdataError.exit_status)
    except Exception:  # noqa: BLE001 - any bug
        _show_bug()
        sys.exit(1)


def _show_bug() -> None:
    """Print the traceback that is handled, as Python does, but for what could steer the terminal."""
    click.echo(printable(traceback.format_exc()), err=True)


def printable(text: str) -> str:
    """Return text with control characters shown by number: what comes from a corpus must not steer the terminal."""
    return "".join(c if c == "\n" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def one_line(value: object) -> str:
    """Return a value on one line, cut where it is long: nobody reads a terminal full of one caption."""
    return _cut(str(value), _LONGEST_LINE).replace("\n", " ")


def _said(message: str) -> str:
    """Return the text of an error, which may quote what a corpus or a recipe holds, so that it can be shown."""
    return printable(_cut(message, _LONGEST_ERROR))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text):,} characters)"


def _terminate(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise _Terminated
