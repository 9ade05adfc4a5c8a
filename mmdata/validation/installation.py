"""`mmdata doctor`: does this installation work? Versions, extras, decoders on tiny samples, torch, and the disk."""

from __future__ import annotations

import importlib
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path

import numpy as np

from mmdata.rng import rng_for

_PYTHON = (3, 11), (3, 14)
_LEAST_FREE = 1 << 30
_MODULES = {"opencv-python-headless": "cv2", "pillow": "PIL", "PyYAML": "yaml", "resvg-py": "resvg_py"}
"""Module by distribution, where their names differ."""
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)[^;]*(?:;.*extra == ['\"]([a-z0-9-]+)['\"])?")
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="6"><rect width="8" height="6" fill="#c03020"/></svg>'


@dataclass(frozen=True)
class Probe:
    """One thing that was tried: whether it works, whether mmdata needs it, and what was found."""

    name: str
    ok: bool
    required: bool
    detail: str

    def to_json(self) -> dict[str, str | bool]:
        """Return plain data."""
        return asdict(self)


def examine(folder: Path) -> Iterator[Probe]:
    """Try everything, one after the other; `folder` is where datasets would be written."""
    yield _python()
    requirements = requirements_of(metadata.requires("mmdata") or [])
    yield from (_library(distribution) for distribution in requirements.pop("", []))
    yield from (_extra(name, distributions) for name, distributions in requirements.items())
    yield from (_decodes(name, _picture, name) for name in ("JPEG", "PNG", "WebP", "SVG"))
    yield from (_decodes(name, _recording, name) for name in ("FLAC", "Ogg", "MP3"))
    yield _cuda()
    yield _disk(folder)


def _python() -> Probe:
    is_known = _PYTHON[0] <= sys.version_info[:2] < _PYTHON[1]
    wanted = "" if is_known else "; 3.11 to 3.13 is needed"
    return Probe("python", is_known, required=True, detail=f"{platform.python_version()} on {platform.machine()}{wanted}")


def requirements_of(lines: Iterable[str]) -> dict[str, list[str]]:
    """Return the distributions that a package needs, under "", and those that each extra brings."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if match := _REQUIREMENT.match(line):
            found.setdefault(match[2] or "", []).append(match[1])
    return found


def _library(distribution: str) -> Probe:
    try:
        importlib.import_module(_MODULES.get(distribution, distribution))
        return Probe(distribution, ok=True, required=True, detail=metadata.version(distribution))
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything when it is imported
        detail = f"{type(error).__name__}: {error}; pip install {distribution}"
        return Probe(distribution, ok=False, required=True, detail=detail)


def _extra(name: str, distributions: Sequence[str]) -> Probe:
    missing = [distribution for distribution in distributions if not _is_installed(distribution)]
    detail = f"without {', '.join(missing)}: pip install 'mmdata[{name}]'" if missing else "installed"
    return Probe(f"extra {name}", ok=not missing, required=False, detail=detail)


def _is_installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def _decodes(name: str, trial: Callable[[str], str], sample: str) -> Probe:
    try:
        return Probe(f"decode {name}", ok=True, required=True, detail=trial(sample))
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the answer
        return Probe(f"decode {name}", ok=False, required=True, detail=f"{type(error).__name__}: {error}")


def _picture(name: str) -> str:
    """Decode a picture of 8 x 6 pixels as the stage does. Raises ValueError where its pixels are not those that went in."""
    import PIL.Image

    from mmdata.stages.image_decode import Decode
    from mmdata.values import Image

    colour = (192, 48, 32)
    sink = BytesIO(_SVG)
    if name != "SVG":
        PIL.Image.new("RGB", (8, 6), colour).save(sink, name)
    decoded = Decode().apply(Image(sink.getvalue()), rng_for(0))
    if np.abs(decoded.pixels.astype(int) - np.array(colour)).max() > 12:
        raise ValueError(f"wrong pixels: {decoded.pixels[0, 0].tolist()} instead of {list(colour)}")
    height, width = decoded.pixels.shape[:2]
    return f"{width} x {height} pixels"


def _recording(name: str) -> str:
    """Decode a tone of a quarter of a second as the stage does. Raises ValueError where it is silent or of another length."""
    import soundfile

    from mmdata.stages.audio import Decode
    from mmdata.values import Audio

    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 16000)
    sink = BytesIO()
    soundfile.write(sink, tone, 16000, format=name.upper())
    decoded = Decode().apply(Audio(sink.getvalue()), rng_for(0))
    assert isinstance(decoded, Audio)
    if not (0.2 < float(np.abs(decoded.samples).max()) < 0.8 and 0.2 < decoded.seconds < 0.4):
        raise ValueError(f"wrong samples: {decoded.seconds:.3f} s, peak {np.abs(decoded.samples).max():.3f}")
    return f"{decoded.seconds:.3f} s at {decoded.rate:,} Hz"


def _cuda() -> Probe:
    """Whether torch sees a GPU; training works without one, only slower."""
    try:
        import torch

        if not torch.cuda.is_available():
            return Probe("cuda", ok=False, required=False, detail=f"torch {torch.__version__} sees no GPU")
        names = ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
        return Probe("cuda", ok=True, required=False, detail=f"{names} (CUDA {torch.version.cuda})")
    except Exception as error:  # noqa: BLE001 - drivers fail in many ways
        return Probe("cuda", ok=False, required=False, detail=f"{type(error).__name__}: {error}")


def _disk(folder: Path) -> Probe:
    free = shutil.disk_usage(folder).free
    return Probe("disk", free >= _LEAST_FREE, required=False, detail=f"{free / (1 << 30):,.1f} GiB free in {folder}")
