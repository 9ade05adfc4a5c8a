"""The versions of what makes bytes: where they agree, the same recipe over the same rows gives the same dataset."""

from __future__ import annotations

import platform
from importlib import metadata
from importlib.util import find_spec

import mmdata

_LIBRARIES = (
    "ftfy", "icu4py", "librosa", "numpy", "opencv-python-headless", "pillow", "py3langid", "pyarrow", "resvg-py", "scipy",
    "simplejpeg", "soundfile", "soxr", "spacy", "tokenizers",
)  # fmt: skip

_OPTIONAL = {"av": "av"}
"""Those of extras that make bytes: distribution to module."""


def versions() -> dict[str, str]:
    """Return the versions of what makes bytes: mmdata, Python, the libraries, and the kind of processor."""
    found = {name: metadata.version(name) for name in _LIBRARIES}
    found |= {name: metadata.version(name) for name, module in _OPTIONAL.items() if find_spec(module) is not None}
    return {"mmdata": mmdata.__version__, "python": platform.python_version(), "machine": platform.machine(), **found}
