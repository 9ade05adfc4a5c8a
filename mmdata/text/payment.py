"""Detectors of payment card numbers (ISO/IEC 7812) and of bank accounts (IBAN, ISO 13616)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmdata.text.matches import NUMBER_END, NUMBER_START, Match, compact

# Grouped 4-4-4-4(-3), 4-6-4 or 4-6-5 with the same separator throughout, or not grouped at all.
_CARD = re.compile(
    NUMBER_START
    + r"(?:\d{4}([ .-])\d{4}\1\d{4}\1\d{4}\1\d{3}|\d{4}([ .-])\d{4}\2\d{4}\2\d{4}|\d{4}([ .-])\d{6}\3\d{4,5}|\d{14,19})"
    + NUMBER_END,
    re.ASCII,
)
# Prefixes and lengths by issuer: American Express, Diners Club, Discover, JCB, Maestro, Mastercard, Mir, RuPay, UnionPay, Visa.
_ISSUERS = re.compile(
    r"3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|(?:6011|64[4-9]\d|65\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{12,15}|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|220[0-4]\d{12}|(?:60|81|82|508\d?)\d{12,14}|62\d{14,17}|4\d{15}(?:\d{3})?"
)
_IBAN = re.compile(r"(?<![^\W_])[A-Z]{2}\d\d(?:[ .-]?[A-Z0-9]){11,30}", re.ASCII | re.IGNORECASE)
_SHORTEST_IBAN, _LONGEST_IBAN = 15, 34


def cards(text: str) -> Iterator[Match]:
    """Find card numbers: the prefix and length of a known issuer, and the check digit of Luhn."""
    for match in _CARD.finditer(text):
        digits = compact(match[0])
        if _ISSUERS.fullmatch(digits) and _passes_luhn(digits) and len(set(digits)) > 1:
            yield Match(match.start(), match.end(), "card", digits)


def ibans(text: str) -> Iterator[Match]:
    """Find IBANs: the length and structure that their country has registered, and a remainder of 1 modulo 97."""
    from stdnum import iban

    done = 0
    for match in _IBAN.finditer(text):
        if match.start() < done or not (match[0][:2].isupper() or match[0].islower()):
            continue
        for end in _ends(text, match):
            value = compact(text[match.start() : end])
            if iban.is_valid(value, check_country=False):
                yield Match(match.start(), end, "iban", value)
                done = end
                break


def _ends(text: str, match: re.Match[str]) -> Iterator[int]:
    """Give the places where the account could end, the longest first: words may follow it after a space."""
    places = [i + 1 for i in range(match.start(), match.end()) if text[i].isalnum()]
    for count in range(min(len(places), _LONGEST_IBAN), _SHORTEST_IBAN - 1, -1):
        end = places[count - 1]
        if not (text[end : end + 1].isascii() and text[end : end + 1].isalnum()):
            yield end


def _passes_luhn(digits: str) -> bool:
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits)))
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0
