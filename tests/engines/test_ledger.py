"""The ledger: what is held against a row, and when."""

from __future__ import annotations

import pytest

from mmdata.engines.base import Casualty
from mmdata.engines.ledger import Ledger
from mmdata.engines.signs import Sight
from mmdata.errors import MmdataError
from mmdata.record import Reject

PLACES = ("source", "image.decode", "codec")


def at(position: int | None, place: int = 1, *, exhausted: bool = False) -> Sight:
    """Return what a worker shows at a row."""
    return Sight(beats=9, position=position, place=place, rows=0, rejects=0, exhausted=exhausted)


def test_a_row_is_given_up_at_its_second_death() -> None:
    """Deaths at other rows, or at the same position of another task, do not count."""
    ledger = Ledger(PLACES)
    assert not ledger.died(0, at(5), "killed by SIGSEGV")
    assert not ledger.died(0, at(6), "killed by SIGSEGV")
    assert not ledger.died(1, at(5), "killed by SIGSEGV")
    assert ledger.casualties(0) == ledger.casualties(1) == {}
    assert ledger.died(0, at(5, 2), "killed by SIGBUS")
    assert ledger.casualties(0) == {5: Casualty("codec", Reject("error", "worker process died", "killed by SIGBUS"))}
    assert ledger.casualties(1) == {}


def test_lack_of_memory_is_named() -> None:
    """A worker that gave up for lack of memory did not just die."""
    ledger = Ledger(PLACES)
    ledger.died(0, at(0, exhausted=True), "it ended itself with status 1")
    ledger.died(0, at(0, exhausted=True), "it ended itself with status 1")
    assert ledger.casualties(0)[0].reject.reason == "memory exhausted"


def test_a_row_that_hangs_is_given_up_at_once() -> None:
    """There is no second try: it would take as long again."""
    ledger = Ledger(PLACES)
    ledger.hung(3, at(2, 0), 600.0)
    assert ledger.casualties(3) == {2: Casualty("source", Reject("error", "took longer than limits.seconds", "600 seconds"))}


def test_deaths_between_rows_are_not_forgiven_for_ever() -> None:
    """The third one at the same task ends the run."""
    ledger = Ledger(PLACES)
    for task in (0, 1, 0, 1):
        assert not ledger.died(task, at(None), "killed by SIGKILL")
    with pytest.raises(MmdataError, match=r"died 3 times .* between rows \(killed by SIGKILL\); .*run the build again"):
        ledger.died(0, at(None), "killed by SIGKILL")
