"""mmdata builds aligned, sharded, reproducible multimodal datasets, proves that they are right, and feeds them to GPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdata.builder import build
    from mmdata.dataset import Dataset
    from mmdata.dataset import Dataset as open  # noqa: A004, N813 - the public name is mmdata.open
    from mmdata.errors import MmdataError
    from mmdata.recipe import Recipe
    from mmdata.validation.checks import validate

__version__ = "0.1.0"
__all__ = ["Dataset", "MmdataError", "Recipe", "__version__", "build", "open", "validate"]

_PUBLIC = {
    "Dataset": ("mmdata.dataset", "Dataset"),
    "MmdataError": ("mmdata.errors", "MmdataError"),
    "Recipe": ("mmdata.recipe", "Recipe"),
    "build": ("mmdata.builder", "build"),
    "open": ("mmdata.dataset", "Dataset"),
    "validate": ("mmdata.validation.checks", "validate"),
}
_PACKAGES = {"loader", "train"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the public name stands for
    """Import public names when they are first used, so that importing mmdata costs nothing."""
    import importlib

    if name in _PACKAGES:
        return importlib.import_module(f"mmdata.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mmdata' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(module), attribute)
