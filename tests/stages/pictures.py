"""Pictures, records and schemas that the tests of picture stages share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmdata.record import Origin, Record
from mmdata.schema import FieldType, Schema
from mmdata.values import Image

SCHEMA = Schema({"image": FieldType("image", dtype="uint8", shape=(None, None, 3))})


def smooth(width: int, height: int) -> NDArray[np.uint8]:
    """Make a picture without sharp edges, on which good filters agree."""
    x, y = np.meshgrid(np.linspace(10, 240, width), np.linspace(10, 240, height))
    return np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Make a picture in which no two rows are alike."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def disc(width: int, height: int, centre: tuple[int, int], radius: int) -> NDArray[np.uint8]:
    """Make a red disc on grey, which stands out."""
    rows, columns = np.mgrid[:height, :width]
    inside = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2
    return np.where(inside[..., None], np.uint8([220, 30, 30]), np.uint8([150, 150, 150]))


def record_of(image: Image | None, key: str = "a") -> Record:
    """Make a record with this picture, or with none."""
    return Record(key, {} if image is None else {"image": image}, Origin(0, key, "train", key))


def image_of(record: object) -> Image:
    """Return the picture of a record."""
    assert isinstance(record, Record)
    value = record["image"]
    assert isinstance(value, Image)
    return value


def images_of(records: object) -> list[Image]:
    """Return the pictures of the records that a stage made of one."""
    assert isinstance(records, Sequence)
    return [image_of(record) for record in records]
