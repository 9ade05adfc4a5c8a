"""The digest of what a value holds: equal for equal content, whatever is said of it and however memory holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mmdata.values import Array, Audio, Text, Tokens, Value, Video


def content_digest(fields: Mapping[str, Value]) -> bytes:
    """Return the sha256 of names and contents, in the order given: encoded bytes, pixels, samples and rate, characters, ids."""
    digest = hashlib.sha256()
    for name, value in fields.items():
        for part in (name.encode(), *_content(value)):
            # The length before each part says where it ends, so that no two contents read the same.
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.digest()


def _content(value: Value) -> Iterator[bytes | memoryview]:
    """Give what makes up the content of a value: its kind, its form, its bytes."""
    yield value.kind.encode()
    match value:
        case Text():
            yield value.text.encode("utf-8", "surrogatepass")
        case Tokens():
            yield from _array_content(value.ids)
        case Array():
            yield from _array_content(value.array)
        case _:
            if isinstance(value, Audio):
                yield str(value.rate).encode()
            if isinstance(value, Video):
                yield f"{value.start!r} {value.seconds!r} {value.times.tolist()}".encode()
                yield from _content(value.sound) if value.sound is not None else ()
            if isinstance(value.data, bytes):
                yield value.data
            else:
                yield from _array_content(value.data)


def _array_content(array: NDArray[np.generic]) -> Iterator[bytes]:
    portable = array.astype(array.dtype.newbyteorder("<"), copy=False)
    yield f"{portable.dtype.str} {portable.shape}".encode()
    yield portable.tobytes()
