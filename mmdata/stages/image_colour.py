"""Colours of decoded pictures: everything that a file may hold becomes 8-bit sRGB, for `image.decode`.

Colour profiles are applied with Little CMS through Pillow; 16-bit samples are scaled with rounding, which Pillow's own
conversion does not do.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

_PROFILE_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_BASE_MODES = {"1": "L", "L": "L", "LA": "L", "La": "L", "CMYK": "CMYK"}


def rgb_pixels(picture: Pillow.Image, background: str) -> NDArray[np.uint8]:
    """Return a loaded picture of 8 bits or fewer as uint8 [height, width, 3] in sRGB, over `background` where transparent.

    Raises ValueError for a kind of colour that has no defined way to RGB, such as 32-bit samples.
    """
    if picture.mode in ("I", "F", "LAB", "HSV"):
        raise ValueError(f"samples of mode {picture.mode} have no defined way to RGB")
    profile = picture.info.get("icc_profile")
    base = _BASE_MODES.get(picture.mode, "RGB")
    if not picture.has_transparency_data:
        return np.asarray(_in_srgb(_as(picture, base), profile))
    # Colours in RGBA are pasted as they are: that spares a copy of them without alpha, where no profile asks for one.
    clear = _as(picture, "RGBA")
    colours = _in_srgb(clear.convert(base), profile) if profile else clear
    flat = Pillow.new("RGB", picture.size, background)
    flat.paste(colours, mask=clear)
    return np.asarray(flat)


def _as(picture: Pillow.Image, mode: str) -> Pillow.Image:
    return picture if picture.mode == mode else picture.convert(mode)


def corrected(pixels: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """Return RGB pixels uint8 [height, width, 3] in sRGB; a profile that is broken or is sRGB itself changes nothing."""
    if not profile or _to_srgb(profile, "RGB") is None:
        return pixels
    return np.asarray(_in_srgb(Pillow.fromarray(pixels), profile))


def _in_srgb(picture: Pillow.Image, profile: bytes | None) -> Pillow.Image:
    transform = _to_srgb(profile, picture.mode) if profile else None
    if transform is None:
        return picture if picture.mode == "RGB" else picture.convert("RGB")
    changed = ImageCms.applyTransform(picture, transform)
    assert changed is not None  # None only when it works in place
    return changed


@lru_cache(maxsize=32)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the way from a profile to sRGB, or None where the profile is of no use; building one takes milliseconds."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _PROFILE_SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if mode == "RGB" and _changes_nothing(transform) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether colours spread over the cube all stay within rounding: profiles lie about their names, so they are measured."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    changed = ImageCms.applyTransform(Pillow.fromarray(cube), transform)
    return int(np.abs(np.asarray(changed).astype(int) - cube).max()) <= 1


def to_eight_bits(samples: NDArray[np.uint16], bits: int = 16) -> NDArray[np.uint8]:
    """Scale samples of any shape from [0, 2^bits - 1] to [0, 255], rounded to the nearest."""
    maximum = (1 << bits) - 1
    scaled = (samples.astype(np.uint32) * 255 + maximum // 2) // maximum
    return np.minimum(scaled, 255).astype(np.uint8)
