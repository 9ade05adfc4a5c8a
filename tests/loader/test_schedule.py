"""Every rank has equally many steps, and the ranks' parts together are the same batch whatever their number."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest

from mmdata.errors import ConfigError
from mmdata.loader.options import Last, LoaderOptions, Ranks
from mmdata.loader.order import Order, RecordOrder
from mmdata.loader.schedule import START, ByCount, Place, Schedule, Step, StepSampler

COUNTS = [5, 7, 3, 8, 1, 6, 7]


def schedule(batch_size: int, rank: int = 0, world_size: int = 1, last: Last = "drop") -> Schedule:
    """Return a schedule over 37 records."""
    return Schedule(Order(COUNTS, 3, window=2), ByCount(batch_size, last), Ranks(rank, world_size))


@pytest.mark.parametrize("last", ["drop", "pad"])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 12])
def test_the_whole_batch_is_the_same_for_every_world_size(world_size: int, last: Last) -> None:
    """The parts of the ranks, one after the other, are the batch of one process, in every step and epoch."""
    alone = schedule(12, last=last)
    parts = [schedule(12, rank, world_size, last) for rank in range(world_size)]
    for epoch in range(3):
        for step in range(alone.steps(epoch)):
            place = Place(epoch, step, step * 12)
            together = np.concatenate([part.indices(place) for part in parts])
            assert together.tolist() == alone.indices(place).tolist()
            padding = np.concatenate([part.rows(place).padding for part in parts])
            assert padding.tolist() == alone.rows(place).padding.tolist()
    assert {part.steps(2) for part in parts} == {alone.steps(2)}


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 37), (5, 7), (36, 1), (37, 1)])
def test_drop_leaves_out_what_fills_no_batch(batch_size: int, steps: int) -> None:
    """With `drop` an epoch has only whole batches, and no record twice."""
    dropping = schedule(batch_size)
    indices = np.concatenate([dropping.indices(place) for place in dropping.epoch(0)])
    assert dropping.steps(0) == steps
    assert len(set(indices.tolist())) == len(indices) == steps * batch_size


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 37), (5, 8), (36, 2), (37, 1), (100, 1)])
def test_pad_covers_the_epoch_and_marks_repeats(batch_size: int, steps: int) -> None:
    """With `pad` every record occurs once, and all that is more is marked and repeats the epoch's start."""
    padding = schedule(batch_size, last="pad")
    rows = [padding.rows(place) for place in padding.epoch(1)]
    marked = np.concatenate([row.padding for row in rows])
    indices = np.concatenate([padding.indices(place) for place in padding.epoch(1)])
    assert padding.steps(1) == steps
    assert sorted(indices[~marked].tolist()) == list(range(37))
    assert indices[marked].tolist() == np.resize(indices[:37], marked.sum()).tolist()


def test_steps_follow_each_other_through_epochs() -> None:
    """After the last step of an epoch comes the first one of the next."""
    three = schedule(12)
    assert three.after(Place(0, 0, 0)) == Place(0, 1, 12)
    assert three.after(Place(0, 2, 24)) == Place(1, 0, 0)


@pytest.mark.parametrize(("step", "position"), [(-1, -12), (3, 36), (1, 0), (1, 13)])
def test_a_step_that_the_epoch_does_not_have_is_refused(step: int, position: int) -> None:
    """Steps below 0, beyond the last one, or at another step's position are an IndexError."""
    with pytest.raises(IndexError, match="no step"):
        schedule(12).rows(Place(0, step, position))


@pytest.mark.parametrize(
    ("batch_size", "world_size", "said"),
    [(10, 3, "9 and 12 would fit"), (2, 3, "3 would fit"), (0, 1, "at least 1"), (38, 1, "at most 37, or last='pad'")],
)
def test_batch_sizes_that_do_not_fit_say_which_do(batch_size: int, world_size: int, said: str) -> None:
    """A batch that cannot be divided, or that no epoch fills, is refused with what would fit."""
    with pytest.raises(ConfigError, match=said):
        schedule(batch_size, 0, world_size)


def test_the_sampler_goes_through_epochs() -> None:
    """Each iteration of a sampler is the next epoch; `set_epoch` chooses it."""
    six = schedule(6)
    sampler = StepSampler(six)
    epochs = [[six.indices(place).tolist() for place in six.epoch(epoch)] for epoch in range(3)]
    assert len(sampler) == six.steps(0) == 6
    assert [list(sampler), list(sampler)] == epochs[:2]
    sampler.set_epoch(0)
    assert [list(sampler), list(sampler), list(sampler)] == epochs


def test_ranks_are_given_or_taken_from_the_environment() -> None:
    """What is given wins; else torchrun's variables; else there is one process."""
    environment = {"RANK": "2", "WORLD_SIZE": "4"}
    assert Ranks.of(None, None, environment) == Ranks(2, 4)
    assert Ranks.of(0, 2, environment) == Ranks(0, 2)
    assert Ranks.of(None, None, {}) == Ranks(0, 1)


@pytest.mark.parametrize(
    ("rank", "world_size", "environment", "said"),
    [
        (1, None, {}, "belong together"),
        (None, None, {"RANK": "0"}, "RANK and WORLD_SIZE belong together"),
        (None, None, {"RANK": "x", "WORLD_SIZE": "2"}, "RANK must be a whole number, not 'x'"),
        (2, 2, {}, "rank 2 does not fit world_size 2"),
        (-1, 2, {}, "rank -1 does not fit"),
    ],
)
def test_ranks_that_make_no_sense_are_refused(
    rank: int | None, world_size: int | None, environment: dict[str, str], said: str
) -> None:
    """Half of a pair, no number, and a rank beyond the world size are ConfigErrors."""
    with pytest.raises(ConfigError, match=said):
        Ranks.of(rank, world_size, environment)


@pytest.mark.parametrize(
    ("option", "value"),
    [("window", 0), ("max_tokens", 0), ("threads", 0), ("prefetch", -1), ("max_seconds", 0.0), ("max_seconds", float("nan"))],
)
def test_options_out_of_range_are_refused_by_name(option: str, value: float) -> None:
    """An option out of its range is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=option):
        LoaderOptions(**{option: value})  # type: ignore[arg-type]


def test_an_unknown_last_is_refused() -> None:
    """`last` is one of two words."""
    with pytest.raises(ConfigError, match="'drop' or 'pad', not 'keep'"):
        LoaderOptions(last="keep")  # type: ignore[arg-type]


def test_ranks_of_one_machine_share_its_cores() -> None:
    """The number of threads is the one given, or a share of the cores that is never zero."""
    assert LoaderOptions(threads=3).thread_count({"LOCAL_WORLD_SIZE": "8"}) == 3
    assert LoaderOptions().thread_count({"LOCAL_WORLD_SIZE": "100000"}) == 1
    assert 1 <= LoaderOptions().thread_count({}) <= 16


@pytest.mark.parametrize("batch_size", [1, 12, 37])
def test_steps_that_are_looked_up_together_are_those_looked_up_alone(batch_size: int) -> None:
    """Going on through the epochs gives each step's rows, and names the step that follows."""
    two = schedule(batch_size, 0, 1, last="pad")
    place = Place(0, 1, batch_size) if batch_size < 37 else Place(0, 0, 0)
    for rows, following in islice(two.onward(place), 100):
        alone = two.rows(place)
        assert rows.place == place
        for name in ("positions", "shards", "records", "padding"):
            assert getattr(rows, name).tolist() == getattr(alone, name).tolist()
        assert following == two.after(place)
        place = following
    assert place.epoch >= 2


@dataclass(frozen=True)
class ByCountUpTo(ByCount):
    """Steps that cannot be cut from a position on."""

    end: int = 24

    def step(self, order: RecordOrder, epoch: int, start: int) -> Step | None:
        """Return the step, or raise ConfigError."""
        if start >= self.end:
            raise ConfigError(f"no step at {start}")
        return super().step(order, epoch, start)


def test_a_step_that_cannot_be_cut_takes_no_earlier_one_with_it() -> None:
    """Those before it, whose following step is known, come out first; then the error."""
    steps = Schedule(Order(COUNTS, 3, window=2), ByCountUpTo(6)).onward(START)
    found = [next(steps)[0].place.position for _ in range(3)]
    assert found == [0, 6, 12]
    with pytest.raises(ConfigError, match="no step at 24"):
        next(steps)
