"""The datasets of the loader's tests.

On a machine that has no more than the loader needs, run `pytest --confcutdir=tests/cuda tests/cuda`.
"""

from tests.loader.conftest import make_dataset, shared

__all__ = ["make_dataset", "shared"]
