"""The command `mmdata` itself: what it says to a word that it does not know."""

from __future__ import annotations

from click.testing import CliRunner

from mmdata.cli.main import group
from mmdata.wording import counted


def test_a_misspelt_command_is_answered_with_the_right_one() -> None:
    """It is a wrong request, so exit status 2; a word that is like none gets the list."""
    done = CliRunner().invoke(group, ["bild", "x"])
    assert done.exit_code == 2
    assert "there is no command 'bild'; did you mean 'build'?" in done.output
    assert "the commands are build, validate" in CliRunner().invoke(group, ["qqqq"]).output


def test_one_thing_has_no_plural() -> None:
    """Counts stand with their nouns."""
    assert [counted(number, "row") for number in (0, 1, 2, 1000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
