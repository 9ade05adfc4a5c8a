"""The crc32 of payloads: one function, the fastest that is installed; all give the same number.

ISA-L's takes a tenth of the time of zlib's. A machine that only loads does without it.
"""

try:
    from isal.isal_zlib import crc32

    FAST = True
except ModuleNotFoundError:
    from zlib import crc32

    FAST = False

__all__ = ["FAST", "crc32"]
