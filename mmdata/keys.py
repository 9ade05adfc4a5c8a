"""Keys of records: made from the keys of the source so that every reader of tar shards takes them as one name."""

from __future__ import annotations

import re

from mmdata.rng import digest_of

LONGEST_KEY = 80
"""Leaves room for the extension: the name of a member in a USTAR header has at most 100 characters."""

LONGEST_FROM_SOURCE = 64
"""Leaves room for the suffixes of records that stages cut out of one: `-0000` each."""

_VALID = re.compile(r"(?!__|-)[A-Za-z0-9_-]{1,80}")
_MARK_SIZE = 8


def is_key(key: str) -> bool:
    """Whether a key may name a record: letters, digits, `_` and `-`, at most 80, not beginning with `__` or `-`."""
    return _VALID.fullmatch(key) is not None


def key_for(source_key: str) -> str:
    """Return the key of a record: the source's own where it is valid, else made to fit and marked with a hash of it."""
    if is_key(source_key) and len(source_key) <= LONGEST_FROM_SOURCE:
        return source_key
    fitted = re.sub(r"[^A-Za-z0-9_-]+", "_", source_key).lstrip("_-")
    mark = digest_of("key", source_key, size=_MARK_SIZE // 2).hex()
    return f"{fitted[: LONGEST_FROM_SOURCE - _MARK_SIZE - 1] or 'row'}-{mark}"
