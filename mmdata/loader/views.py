"""Views: the form in which a field enters the batch, where that is not the form in which it is stored.

A view is plain settings. Decoders use it to decode no more than it shows, and the device gives it its last form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmdata.dsp.mel import RATE
from mmdata.errors import ConfigError
from mmdata.schema import FieldType

Crop = Literal["none", "center", "random"]
PixelType = Literal["uint8", "float32", "float16", "bfloat16"]
Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]

DRAWS = 5
"""Random numbers that decide a window: area, ratio, row, column, flip."""


@dataclass(frozen=True)
class PictureView:
    """Pictures of one size, cut out of what is stored. Raises ConfigError for a value out of its range.

    Attributes:
        size: height and width in the batch.
        crop: "none" takes the whole picture, whatever its shape; "center" the largest window of the shape of `size` in its
            middle; "random" a window of random area and shape, other in every epoch (C. Szegedy et al., "Going deeper with
            convolutions", 2015).
        area: smallest and largest share of the picture that a random window has.
        ratio: smallest and largest width by height of a random window, as far as the picture has room for it.
        flip: chance that the picture is mirrored left to right.
        dtype: "uint8" leaves the levels from 0 to 255; in the others they are divided by 255, then normalized.
        mean: of red, green and blue in [0, 1]; what is subtracted.
        deviation: of red, green and blue in [0, 1]; what is divided by afterwards.
    """

    size: tuple[int, int]
    crop: Crop = "center"
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0
    dtype: PixelType = "uint8"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    deviation: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("size", len(self.size) == 2 and min(self.size) >= 1, "two numbers of pixels"),
            ("crop", self.crop in ("none", "center", "random"), "'none', 'center' or 'random'"),
            ("area", 0 < self.area[0] <= self.area[1] <= 1, "a range inside (0, 1]"),
            ("ratio", 0 < self.ratio[0] <= self.ratio[1], "a range above 0"),
            ("flip", 0 <= self.flip <= 1, "a chance from 0 to 1"),
            ("dtype", self.dtype in ("uint8", "float32", "float16", "bfloat16"), "uint8, float32, float16 or bfloat16"),
            ("mean", len(self.mean) == 3, "three numbers"),
            ("deviation", len(self.deviation) == 3 and min(self.deviation) > 0, "three numbers above 0"),
        ):
            if not fits:
                raise ConfigError(f"PictureView: {name} is {wanted}, not {getattr(self, name)!r}")
        if self.dtype == "uint8" and (any(self.mean) or set(self.deviation) != {1.0}):
            raise ConfigError("PictureView: levels of uint8 cannot be normalized; choose dtype='float32' or a shorter float")

    @property
    def random(self) -> bool:
        """Whether what is shown differs from epoch to epoch."""
        return self.crop == "random" or self.flip > 0

    def windows(self, sizes: Integers, draws: Numbers) -> Integers:
        """Return the parts of pictures that are shown: int64 [pictures, 5], top, left, height, width, and 1 where mirrored.

        `sizes`, int64 [pictures, 2], are height and width, at least 1; `draws`, float64 [pictures, DRAWS], are in [0, 1).
        """
        height, width = sizes.T
        rows, columns = self._shape(height.astype(np.float64), width.astype(np.float64), draws)
        rows, columns = np.clip(rows, 1, height), np.clip(columns, 1, width)
        row, column = draws[:, 2:4].T if self.crop == "random" else (0.5, 0.5)
        top, left = np.floor(row * (height - rows + 1)), np.floor(column * (width - columns + 1))
        return np.stack([top, left, rows, columns, draws[:, 4] < self.flip], axis=1).astype(np.int64)

    def _shape(self, height: Numbers, width: Numbers, draws: Numbers) -> tuple[Numbers, Numbers]:
        """Return height and width of the windows in whole numbers, not yet held to the picture's own."""
        match self.crop:
            case "none":
                return height, width
            case "center":
                ratio = self.size[1] / self.size[0]
                return np.rint(width / ratio), np.rint(height * ratio)
            case "random":
                # The ratio is drawn from those that have room, so no draw is in vain.
                share = self.area[0] + draws[:, 0] * (self.area[1] - self.area[0])
                widest, narrowest = width / (height * share), width * share / height
                low, high = (np.log(np.clip(ratio, narrowest, widest)) for ratio in self.ratio)
                ratio, pixels = np.exp(low + draws[:, 1] * (high - low)), share * height * width
                return np.rint(np.sqrt(pixels / ratio)), np.rint(np.sqrt(pixels * ratio))


@dataclass(frozen=True)
class LogMelView:
    """Recordings as log-mel spectrograms, as Whisper defines them; `bins` is 80 or another number of at least 1."""

    bins: int = 80

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise ConfigError(f"LogMelView: bins is at least 1, not {self.bins}")


View = PictureView | LogMelView


def check_views(views: Mapping[str, View], types: Mapping[str, FieldType]) -> None:
    """Raise ConfigError unless every view is of a field that there is, of the right kind, and at the right rate."""
    for name, view in views.items():
        type_ = types.get(name)
        if type_ is None:
            raise ConfigError(f"views: no field {name!r} is loaded; there are {', '.join(types)}")
        kind = "image" if isinstance(view, PictureView) else "audio"
        if type_.kind != kind:
            raise ConfigError(f"views: {type(view).__name__} is for fields of kind {kind}, but {name!r} is of kind {type_.kind}")
        if isinstance(view, LogMelView) and (type_.rate != RATE or type_.shape is None or type_.shape[0] != 1):
            raise ConfigError(
                f"views: LogMelView hears one channel at {RATE} Hz, and field {name!r} is not known to be that; "
                f"add `audio.resample: {{rate: {RATE}}}` and `audio.channels: {{channels: 1}}` to the recipe"
            )
