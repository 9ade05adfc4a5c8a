"""Views: windows of pictures, resizing wherever it is done, and spectrograms; the same on any threads, ranks and restores."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.utils.data import DataLoader

from mmdata.dsp.mel import RATE
from mmdata.errors import ConfigError
from mmdata.formats import Format
from mmdata.loader import ByCount, Loader, LoaderOptions, LogMelView, Order, PictureView, Schedule, ShardedRecords, StepSampler
from mmdata.loader.batch import Batch
from mmdata.loader.collating import collate
from mmdata.loader.decoding import Decoded
from mmdata.loader.example import Example
from mmdata.loader.finishing import Finish
from mmdata.loader.log_mel import LogMel
from mmdata.loader.picture_columns import Cut, PictureField, frames_of
from mmdata.loader.resizing import resized
from mmdata.loader.scratch import BatchMemory
from mmdata.loader.testing import assert_equal_after_restore, assert_equal_batches, stream
from mmdata.loader.views import DRAWS
from mmdata.record import Record
from mmdata.rng import rng_for
from mmdata.schema import FieldType
from mmdata.values import Audio, Image
from tests.loader.conftest import SCHEMA, MakeDataset

RANDOM = PictureView((10, 14), crop="random", flip=0.5)
LEVELS = 1
"""How far levels from 0 to 255 may lie apart between the resizing of single pictures and that of whole batches."""


def noise(height: int, width: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a picture whose neighbours differ."""
    return rng_for(seed, "noise").integers(0, 256, (height, width, 3)).astype(np.uint8)


def photo(height: int, width: int) -> bytes:
    """Return a JPEG of slopes with some noise, as photos are."""
    slopes = np.linspace(0, 200, width)[None, :, None] + np.linspace(0, 40, height)[:, None, None]
    return simplejpeg.encode_jpeg(np.ascontiguousarray((slopes + noise(height, width) / 20).astype(np.uint8)), quality=90)


def pictures(batch: Batch) -> torch.Tensor:
    """Return the pictures of a batch."""
    found = batch.fields["image"]
    assert isinstance(found, torch.Tensor)
    return found


def window(view: PictureView, height: int, width: int, draw: float) -> list[int]:
    """Return the window of one picture, whose draws are all the same."""
    found: list[int] = view.windows(np.array([[height, width]]), np.full((1, DRAWS), draw))[0].tolist()
    return found


def decoded(view: PictureView, payload: bytes, size: tuple[int, int], *, resize: bool) -> Decoded:
    """Return a JPEG of a size (height, width) as a decoding thread leaves it."""
    column = PictureField("image", view, "jpg", resize=resize).column(["key"], np.array([size]), 3, 5, BatchMemory())
    return column.decode(0, memoryview(payload))


def options(**views: PictureView | LogMelView) -> LoaderOptions:
    """Return options with these views."""
    return LoaderOptions(window=2, threads=3, views=views)


@given(st.integers(1, 500), st.integers(1, 500), st.lists(st.floats(0, 1, exclude_max=True), min_size=DRAWS, max_size=DRAWS))
def test_windows_lie_inside_the_picture(height: int, width: int, draws: list[float]) -> None:
    """Whatever is drawn, a window has pixels, and all of them are the picture's."""
    for view in (RANDOM, replace(RANDOM, crop="center"), replace(RANDOM, crop="none")):
        top, left, rows, columns, _ = view.windows(np.array([[height, width]]), np.array([draws]))[0].tolist()
        assert rows >= 1
        assert columns >= 1
        assert 0 <= top <= height - rows
        assert 0 <= left <= width - columns


def test_random_windows_have_the_area_and_shape_that_is_asked_for() -> None:
    """Over many draws, areas and ratios fill their ranges and do not leave them."""
    view = PictureView((8, 8), crop="random", area=(0.2, 0.6), ratio=(0.5, 2.0))
    top, _, rows, columns, _ = view.windows(np.tile([900, 1000], (2000, 1)), rng_for(0).random((2000, DRAWS))).T
    areas, ratios = rows * columns / 900_000, columns / rows
    assert 0.195 < areas.min() < 0.21
    assert 0.59 < areas.max() < 0.605
    assert abs(areas.mean() - 0.4) < 0.01
    assert 0.495 < ratios.min() < 0.55
    assert 1.7 < ratios.max() < 2.01
    assert top.any()


@given(st.lists(st.tuples(st.integers(1, 900), st.integers(1, 900)), min_size=1, max_size=30), st.integers(0, 1000))
def test_windows_do_not_depend_on_their_neighbours(sizes: list[tuple[int, int]], seed: int) -> None:
    """Together, pictures get the windows that each gets alone, which is how substitutes are planned."""
    draws = rng_for(seed).random((len(sizes), DRAWS))
    together = RANDOM.windows(np.array(sizes), draws)
    alone = [RANDOM.windows(np.array([size]), draws[row : row + 1])[0] for row, size in enumerate(sizes)]
    assert np.array_equal(together, alone)


def test_a_panorama_gets_the_shape_that_it_has_room_for() -> None:
    """Where no window of the wanted shape has the area, the nearest shape is taken."""
    view = PictureView((8, 8), crop="random", area=(1.0, 1.0))
    assert window(view, 100, 1000, 0.5) == [0, 0, 100, 1000, 0]


def test_the_middle_is_taken_in_the_shape_of_the_batch() -> None:
    """`center` is the largest window of that shape, `none` the whole picture."""
    assert window(PictureView((10, 20)), 100, 100, 0.9) == [25, 0, 50, 100, 0]
    assert window(PictureView((20, 10)), 100, 100, 0.9) == [0, 25, 100, 50, 0]
    assert window(PictureView((10, 20), crop="none"), 90, 100, 0.9) == [0, 0, 90, 100, 0]
    assert window(PictureView((10, 20), crop="none", flip=0.95), 90, 100, 0.9) == [0, 0, 90, 100, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"size": (0, 4)}, "size is two numbers"),
        ({"crop": "middle"}, "crop is 'none'"),
        ({"area": (0.5, 0.2)}, "area is a range"),
        ({"ratio": (0.0, 1.0)}, "ratio is a range"),
        ({"flip": 1.5}, "flip is a chance"),
        ({"dtype": "int8"}, "dtype is uint8"),
        ({"mean": (0.5,)}, "mean is three numbers"),
        ({"deviation": (0.5, 0.5, 0.0)}, "deviation is three numbers"),
        ({"mean": (0.5, 0.5, 0.5)}, "cannot be normalized"),
    ],
)
def test_views_out_of_range_are_refused_by_name(change: dict[str, Any], said: str) -> None:
    """A wrong value is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=said):
        replace(RANDOM, **change)


def test_views_that_do_not_fit_the_dataset_are_refused(shared: Path) -> None:
    """Unknown fields, other kinds and other rates are found before anything is read."""
    for views, said in (
        ({"picture": RANDOM}, "no field 'picture'"),
        ({"audio": RANDOM}, "'audio' is of kind audio"),
        ({"audio": LogMelView()}, "one channel at 16000 Hz"),
    ):
        with pytest.raises(ConfigError, match=said):
            Loader(shared, batch_size=4, options=options(**views))
    with pytest.raises(ConfigError, match="bins is at least 1"):
        LogMelView(0)


@pytest.mark.parametrize("size", [(5, 5), (16, 40), (33, 21), (64, 64)])
def test_a_batch_is_resized_as_single_pictures_are(size: tuple[int, int]) -> None:
    """Pictures that shrink, grow or stay in one padded batch come out as torch's own antialiased filter gives each alone."""
    sources = [noise(33, 21, 1), noise(7, 60, 2), noise(40, 40, 3)]
    batch = np.full((4, 40, 60, 3), 99, np.uint8)
    for row, source in zip(batch, sources, strict=False):
        row[: source.shape[0], : source.shape[1]] = source
    sizes = torch.tensor([*(source.shape[:2] for source in sources), (0, 0)])
    flipped = torch.tensor([False, True, False, True])
    found = resized(torch.from_numpy(batch), sizes, size, flipped)
    for row, source in enumerate(sources):
        single = torch.from_numpy(source).permute(2, 0, 1)[None].float()
        expected = functional.interpolate(single, size, mode="bilinear", antialias=True)[0]
        torch.testing.assert_close(found[row], expected.flip(2) if flipped[row] else expected, rtol=0, atol=2e-3)
    assert not found[3].any()
    half = resized(torch.from_numpy(batch), sizes, size, flipped, torch.float16)
    assert (half - found).abs().max() < 0.5  # of a level: what a GPU makes rounds to the same level or the one beside it


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize(("height", "width"), [(30, 40), (200, 90), (64, 64), (500, 420)])
def test_resizing_alone_and_in_batches_gives_the_same_levels(height: int, width: int, flip: float) -> None:
    """What a decoding thread makes of a picture is what the device makes of its cut, to one level."""
    view = PictureView((64, 48), crop="random", flip=flip)
    types = {"image": FieldType("image", shape=(None, None, 3))}
    alone, cut = (decoded(view, photo(height, width), (height, width), resize=resize) for resize in (True, False))
    assert isinstance(alone, np.ndarray)
    batch = Finish(types, {"image": view})(collate([Example("key", {"image": cut}, {})], types))
    difference = pictures(batch)[0].permute(1, 2, 0).int() - torch.from_numpy(alone).int()
    assert difference.abs().max() <= LEVELS
    assert difference.float().abs().mean() < 0.3
    assert batch.lengths["image"].tolist() == [[64, 48]]


@pytest.mark.parametrize(("side", "factor"), [(63, 1), (127, 1), (128, 2), (255, 2), (256, 4), (511, 4), (512, 8), (4000, 8)])
def test_no_more_is_decoded_than_is_shown(side: int, factor: int) -> None:
    """The scale is the smallest that keeps the wanted pixels, and the cut is that part of the reduced picture."""
    view = PictureView((64, 64), crop="none")
    shown = -(-side // factor)
    frames = frames_of(view, np.array([[side, side]]), np.ones((1, DRAWS)), reducible=True)
    assert frames.sizes.tolist() == [[shown, shown]]
    assert frames.windows.tolist() == [[0, 0, shown, shown, 0]]
    if side < 1000:
        payload = photo(side, side)
        cut = decoded(view, payload, (side, side), resize=False)
        assert isinstance(cut, Cut)
        assert cut.pixels.shape == (shown, shown, 3)
        whole = simplejpeg.decode_jpeg(payload, "RGB").astype(np.float32)
        shrunk = whole[: side // factor * factor, : side // factor * factor].reshape(side // factor, factor, -1, factor, 3)
        assert np.abs(shrunk.mean(axis=(1, 3)) - cut.pixels.numpy()[: side // factor, : side // factor]).max() < 8


def test_where_pictures_are_resized_is_checked() -> None:
    """Anything but the two places is a ConfigError."""
    with pytest.raises(ConfigError, match="resize is 'device' or 'threads', not 'gpu'"):
        LoaderOptions(resize="gpu")  # type: ignore[arg-type]


def test_pictures_of_a_view_have_one_size_and_no_padding(shared: Path) -> None:
    """The batch has the size of the view; its lengths say so, in whatever dtype."""
    for dtype in ("uint8", "float32", "float16", "bfloat16"):
        with Loader(shared, batch_size=6, options=options(image=replace(RANDOM, dtype=dtype))) as loader:
            batch = next(iter(loader))
        assert pictures(batch).shape == (6, 3, 10, 14)
        assert pictures(batch).dtype == getattr(torch, dtype)
        assert pictures(batch).is_contiguous(memory_format=torch.channels_last)
        assert batch.lengths["image"].tolist() == [[10, 14]] * 6


def test_normalized_levels_are_those_of_the_formula(shared: Path) -> None:
    """Floats are (level / 255 - mean) / deviation of what uint8 holds."""
    plain = PictureView((12, 12))
    mean, deviation = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    normal = replace(plain, dtype="float32", mean=mean, deviation=deviation)
    with (
        Loader(shared, batch_size=6, options=options(image=plain)) as levels,
        Loader(shared, batch_size=6, options=options(image=normal)) as floats,
    ):
        level, found = pictures(next(iter(levels))), pictures(next(iter(floats)))
    expected = (level.double() / 255 - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_every_epoch_shows_another_part_of_the_same_record(make_dataset: MakeDataset) -> None:
    """A record's window is drawn anew in each epoch; another seed draws others."""
    out = make_dataset((4,))
    shown: dict[tuple[int, int], torch.Tensor] = {}
    for seed in (0, 1):
        with Loader(out, batch_size=4, seed=seed, options=options(image=RANDOM)) as loader:
            for batch in islice(stream(loader), 3):
                shown[seed, batch.epoch] = pictures(batch)[batch.keys.index("r0002")]
    assert len({pixels.numpy().tobytes() for pixels in shown.values()}) == 6


def test_windows_depend_on_neither_threads_nor_ranks_nor_restores(shared: Path) -> None:
    """Random views keep what the loader promises: the same batches, restored at any step, on any threads and ranks."""
    few = LoaderOptions(window=2, threads=1, prefetch=0, views={"image": RANDOM})
    assert_equal_after_restore(
        lambda: Loader(shared, batch_size=12, options=options(image=RANDOM)),
        5,
        lambda: Loader(shared, batch_size=12, options=few),
    )
    with Loader(shared, batch_size=12, options=few) as alone:
        whole = pictures(next(iter(alone)))
    for rank in range(3):
        with Loader(shared, batch_size=12, rank=rank, world_size=3, options=few) as loader:
            assert torch.equal(pictures(next(iter(loader))), whole[rank * 4 : rank * 4 + 4])


def test_a_plain_dataloader_takes_views_that_are_not_random(shared: Path) -> None:
    """Center views are the same as the loader's; random ones are refused, for want of an epoch."""
    view = PictureView((9, 9), dtype="float32")
    records = ShardedRecords(shared, options=options(image=view))
    schedule = Schedule(Order(records.counts, 0, window=2), ByCount(6))
    plain = DataLoader(pickle.loads(pickle.dumps(records)), batch_sampler=StepSampler(schedule), collate_fn=records.collate)
    with Loader(shared, batch_size=6, options=options(image=view)) as loader:
        for found, expected in zip(plain, loader, strict=True):
            assert_equal_batches(replace(found, epoch=expected.epoch, step=expected.step), expected)
    with pytest.raises(ConfigError, match="need the epoch"):
        ShardedRecords(shared, options=options(image=RANDOM))[0]


def test_pictures_that_are_not_there_are_black_and_have_no_size(make_dataset: MakeDataset) -> None:
    """An absent picture has length 0, on either way through the loader."""

    def without(record: Record) -> Record:
        fields = {name: value for name, value in record.fields.items() if name != "image" or int(record.key[1:]) % 2}
        return replace(record, fields=fields)

    out = make_dataset((6,), change=without)
    view = PictureView((9, 9))
    with Loader(out, batch_size=6, options=options(image=view)) as loader:
        batch = next(iter(loader))
    cuts = ShardedRecords(out, options=options(image=view), resize=False)
    in_batches = cuts.collate([cuts[index] for index in range(6)])
    for found in (batch, in_batches):
        for key, size, picture in zip(found.keys, found.lengths["image"].tolist(), pictures(found), strict=True):
            there = int(key[1:]) % 2
            assert size == [9 * there, 9 * there]
            assert bool(picture.any()) == bool(there)


def test_every_format_is_shown_through_the_same_windows(make_dataset: MakeDataset, image_format: Format[Image] | None) -> None:
    """A view draws by key, so the same picture as PNG, WebP or JPEG is cut at the same place."""
    slope = np.linspace(0, 250, 64).astype(np.uint8)[None, :, None]
    picture = Image(np.ascontiguousarray(np.broadcast_to(slope, (48, 64, 3))))
    shown = []
    for format_ in (None, image_format):
        out = make_dataset((4,), image=format_, change=lambda record: record.with_fields(image=picture))
        with Loader(out, batch_size=4, options=options(image=RANDOM)) as loader:
            shown.append(pictures(next(iter(loader))).int())
    assert (shown[0] - shown[1]).abs().max() <= 8  # of 250: JPEG's own loss, and rounding of windows in reduced pictures
    assert shown[0].float().mean(dim=(1, 2, 3)).std() > 5


def test_recordings_become_the_spectrograms_that_the_trainer_sees(make_dataset: MakeDataset) -> None:
    """A log-mel view gives frames and their number; the samples cross as they are."""
    schema = SCHEMA.with_field("audio", replace(SCHEMA.fields["audio"], rate=RATE))

    def at_16k(record: Record) -> Record:
        audio = record.fields["audio"]
        assert isinstance(audio, Audio)
        return record.with_fields(audio=Audio(audio.samples, RATE))

    out = make_dataset((5,), change=at_16k, schema=schema)
    with (
        Loader(out, batch_size=5, options=options()) as plain,
        Loader(out, batch_size=5, options=options(audio=LogMelView(32))) as viewed,
    ):
        samples, found = next(iter(plain)), next(iter(viewed))
    recordings = samples.fields["audio"]
    assert isinstance(recordings, torch.Tensor)
    frames, count = LogMel(32)(recordings, samples.lengths["audio"])
    torch.testing.assert_close(found.fields["audio"], frames)
    assert found.lengths["audio"].tolist() == count.tolist()
