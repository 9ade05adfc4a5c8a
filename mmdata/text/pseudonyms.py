"""Pseudonyms: stand-ins that are the same for the same value, look alike, and can never be anyone's.

They come from HMAC-SHA256 (RFC 2104) of kind and value under a secret key: whoever has the key can tell whether a guess is right.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from mmdata.errors import RecipeError
from mmdata.text.matches import Match, PersonalKind

LEAST_KEY = 16
"""Bytes; a shorter key could be found by trial."""


@lru_cache(maxsize=4)
def read_key(path: Path) -> bytes:
    """Return the key in a file, white space around it left out. Raises RecipeError; no message shows any of it."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise RecipeError(f"key_file: {path} cannot be read: {error.strerror}") from error
    if len(key) < LEAST_KEY:
        detail = f"{path} holds {len(key)} bytes, at least {LEAST_KEY} are needed"
        raise RecipeError(f"key_file: {detail}; make one with: openssl rand -hex 32 > FILE")
    return key


def pseudonym(match: Match, key: bytes) -> str:
    """Return the stand-in of a match.

    E-mail: under the top-level domain `invalid` (RFC 2606). Phone: country code 999, which ITU-T E.164 keeps in reserve. IPv4:
    240.0.0.0/4 (RFC 1112, reserved). IPv6: 3fff::/20 (RFC 9637, documentation). Card: issuer prefix 0000. IBAN: country XX (free
    for any use in ISO 3166) with the check digits 00, which no account has.
    """
    message = f"{match.kind}\0{match.value}".encode("utf-8", "surrogatepass")
    digest = hmac.digest(key, message, "sha256")
    number, letters = int.from_bytes(digest, "big"), digest.hex()
    digits = f"{number % 10**16:016d}"
    groups = [digits[i : i + 4] for i in range(0, 16, 4)]
    is_long = ":" in match.value
    address = IPv6Address((0x3FFF << 112) + number % (1 << 108)) if is_long else IPv4Address((0xF0 << 24) + number % (15 << 24))
    stand_ins: dict[PersonalKind, str] = {
        "email": f"user-{letters[:12]}@example.invalid",
        "phone": f"+999 {' '.join(groups[:3])}",
        "ip": str(address),
        "card": f"0000 {' '.join(groups[:3])}",
        "iban": f"XX00 0000 {' '.join(groups[:3])} {digits[12:14]}",
        "national_id": f"ID-{letters[:12]}",
        "name": f"Person-{letters[:12]}",
    }
    return stand_ins[match.kind]
