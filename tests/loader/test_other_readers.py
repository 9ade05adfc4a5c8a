"""What the loader shows is what other libraries find in the same tars: Python's tarfile, Pillow, libsndfile and NumPy."""

from __future__ import annotations

from io import BytesIO
from itertools import islice

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image as Picture

from mmdata.formats import Format
from mmdata.loader import Batch, Loader, LoaderOptions, PictureView
from mmdata.loader.testing import stream
from mmdata.loader.views import DRAWS
from mmdata.record import Record
from mmdata.rng import fractions_by_key, rng_for
from mmdata.values import Audio, Image
from tests.faults.accounts import payloads
from tests.loader.conftest import RATE, SCHEMA, MakeDataset

SEED = 5


def with_gaps(record: Record) -> Record:
    """Give some records a recording of a megabyte between small members, or none; and leave other fields out of others."""
    number, rng = int(record.key[1:]), rng_for(int(record.key[1:]), "gaps")
    if number % 4 == 0:
        record = record.with_fields(audio=Audio((rng.standard_normal((1, 700_000)) * 0.2).astype(np.float32), RATE))
    absent = [name for name in SCHEMA.fields if rng.random() < 0.2]
    return record.without(*absent)


def pixels_of(payload: bytes) -> NDArray[np.uint8]:
    """Return a picture as Pillow decodes it, uint8 [height, width, 3]."""
    return np.array(Picture.open(BytesIO(payload)).convert("RGB"))


def shown(view: PictureView, payload: bytes, key: str, epoch: int) -> torch.Tensor:
    """Return a picture through a view, cut and resized by Pillow: uint8 [3, height, width]."""
    pixels = pixels_of(payload)
    draws = fractions_by_key(DRAWS, (SEED, "view", "image", epoch), [key]) if view.random else np.ones((1, DRAWS))
    top, left, height, width, mirrored = view.windows(np.array([pixels.shape[:2]]), draws)[0].tolist()
    cut = Picture.fromarray(pixels[top : top + height, left : left + width].copy())
    resized = np.array(cut.resize(view.size[::-1], Picture.Resampling.BILINEAR))
    return torch.from_numpy(resized[:, ::-1].copy() if mirrored else resized).permute(2, 0, 1)


def assert_other_fields(batch: Batch, row: int, members: dict[str, bytes]) -> None:
    """Compare all but the picture of a record."""
    recording = next(payload for extension, payload in members.items() if extension in ("flac", "wav", "ogg"))
    samples = soundfile.read(BytesIO(recording), dtype="float32")[0] if recording else np.zeros(0, np.float32)
    wanted = {"audio": samples}
    for name in ("tokens", "mel", "place"):
        payload = members[f"{name}.npy"]
        wanted[name] = np.load(BytesIO(payload)) if payload else np.zeros([0] * (2 if name == "mel" else 1))
    assert batch.fields["text"][row] == members["txt"].decode()
    for name, value in wanted.items():
        held = batch.fields[name][row]
        assert isinstance(held, torch.Tensor)
        expected = np.zeros(held.shape)
        expected[tuple(map(slice, value.shape))] = value
        assert np.array_equal(held.numpy(), expected), (batch.keys[row], name)
        if name in batch.lengths:
            assert batch.lengths[name][row].item() == value.shape[-1]


@pytest.mark.parametrize(
    "view",
    [None, PictureView((11, 16), crop="random", flip=0.5), PictureView((30, 1)), PictureView((1, 9), crop="none", flip=1.0)],
    ids=["whole", "random", "column", "row"],
)
def test_batches_hold_what_other_libraries_find(
    make_dataset: MakeDataset,
    image_format: Format[Image] | None,
    audio_format: Format[Audio] | None,
    view: PictureView | None,
) -> None:
    """Payload by payload, in every format, with gaps of any size and absent fields; pictures of views to one level."""
    out = make_dataset((1, 9, 4), image=image_format, audio=audio_format, change=with_gaps)
    members = payloads(out)
    views = {} if view is None else {"image": view}
    seen: set[tuple[int, str]] = set()
    with Loader(out, batch_size=7, seed=SEED, options=LoaderOptions(threads=3, window=2, views=views)) as loader:
        for batch in islice(stream(loader), 4):
            for row, key in enumerate(batch.keys):
                assert_other_fields(batch, row, members[key])
                assert_picture(batch, row, view, members[key])
                seen.add((batch.epoch, key))
    assert len(seen) == 28


def assert_picture(batch: Batch, row: int, view: PictureView | None, members: dict[str, bytes]) -> None:
    """Compare the picture of a record; JPEGs that are decoded at a part of their size only have the size of the view."""
    payload = next(payload for extension, payload in members.items() if extension in ("jpg", "png", "webp"))
    held, size = batch.fields["image"][row], batch.lengths["image"][row].tolist()
    assert isinstance(held, torch.Tensor)
    if not payload:
        assert (size, bool(held.any())) == ([0, 0], False)
        return
    if view is None:
        expected = torch.from_numpy(pixels_of(payload)).permute(2, 0, 1)
        assert size == list(expected.shape[1:])
        assert torch.equal(held[:, : size[0], : size[1]], expected)
        assert int(held.sum(dtype=torch.int64)) == int(expected.sum(dtype=torch.int64))
        return
    assert size == list(view.size)
    if "jpg" in members and view.size != (11, 16):
        return
    assert (held.int() - shown(view, payload, batch.keys[row], batch.epoch).int()).abs().max() <= 1
