"""Detectors of the numbers that states give to people, by country: format, check digits, and where these say little, a word.

Check digits are computed by python-stdnum. A number that nothing but its digits tells from any other of its length counts
only where the line names it before: one nine-digit number in eleven passes the Dutch check.
"""

# ruff: noqa: RUF001 - the words are Greek and Bulgarian, whatever Latin letters they resemble

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import import_module
from typing import cast

from mmdata.text.matches import NUMBER_END, NUMBER_START, Match, compact, stands_before

_DIGITS = re.compile(r"\d\d", re.ASCII)
_REACH = 48
"""How many characters before a number its word may stand."""


@dataclass(frozen=True)
class NationalId:
    """One kind of number: its country (ISO 3166), how it is written, its check, and the words that must stand before it.

    `check` is a module of stdnum or a function of this one. Without words the number stands for itself.
    """

    country: str
    pattern: str
    check: str | Callable[[str], bool]
    words: str = ""


def _has_no_check(_: str) -> bool:
    return True


def _is_belgian(number: str) -> bool:
    """Check a number as stdnum does, but without asking for today's date."""
    rest = 97 - int(number[-2:])
    return rest in {int(number[:-2]) % 97, int("2" + number[:-2]) % 97} and int(number[2:4]) % 20 <= 12


def _is_norwegian(number: str) -> bool:
    """Check a number as stdnum does, but without asking for today's date."""
    from stdnum.exceptions import ValidationError
    from stdnum.no import fodselsnummer

    digits = fodselsnummer.calc_check_digit1(number) + fodselsnummer.calc_check_digit2(number)
    try:
        return digits == number[-2:] and fodselsnummer.get_birth_date(number) is not None
    except ValidationError:
        return False


def _is_danish(number: str) -> bool:
    """Check the date alone: numbers given since 2007 have no check digit."""
    return _is_day(int(number[4:6]), int(number[2:4]), int(number[:2]))


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        return date(2000 + year, month, day) is not None
    except ValueError:
        return False


_TAX_NUMBER = r"\b(?:NIF|CIF|contribuinte|fiscal)\b"
_RULES = (
    NationalId("AR", r"\d{2}-\d{8}-\d", "ar.cuit"),
    NationalId("AT", r"\d{4} ?\d{6}", "at.vnr", r"\b(?:SVNR|SV-N(?:umme)?r|Sozialversicherungsnummer|Versicherungsnummer)\b"),
    NationalId("BE", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", _is_belgian),
    NationalId("BE", r"\d{6} ?-?\d{3} ?\.?\d\d", _is_belgian, r"rijksregister|registre national|\b(?:NISS|INSZ)\b"),
    NationalId("BG", r"\d{10}", "bg.egn", r"\b(?:ЕГН|EGN)\b"),
    NationalId("BR", r"\d{3}\.\d{3}\.\d{3}-\d\d", "br.cpf"),
    NationalId("BR", r"\d{9}-?\d\d", "br.cpf", r"\bCPF\b"),
    NationalId("BR", r"\d\d\.\d{3}\.\d{3}/\d{4}-\d\d", "br.cnpj"),
    NationalId("BR", r"\d{14}", "br.cnpj", r"\bCNPJ\b"),
    NationalId("CA", r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", r"\b(?:SIN|NAS|social insurance|assurance sociale)\b"),
    NationalId("CH", r"756\.?\d{4}\.?\d{4}\.?\d\d", "ch.ssn"),
    NationalId("CL", r"\d{1,2}\.\d{3}\.\d{3}-[\dK]", "cl.rut"),
    NationalId("CL", r"\d{7,8}-[\dK]", "cl.rut", r"\b(?:RUT|RUN)\b"),
    NationalId("CN", r"\d{17}[\dX]", "cn.ric"),
    NationalId("CZ", r"\d{6}/\d{3,4}", "cz.rc"),
    NationalId("DE", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "de.idnr", r"\b(?:Steuer-?ID|IdNr|TIN|(?:Steuer)?Identifikationsnummer)"),
    NationalId("DK", r"\d{6}[- ]?\d{4}", _is_danish, r"\bCPR|personnummer"),
    NationalId("EE", r"\d{11}", "ee.ik", r"isikukood"),
    NationalId("ES", r"\d{8}[ -]?[A-Z]", "es.dni"),
    NationalId("ES", r"\d\d\.\d{3}\.\d{3} ?-? ?[A-Z]", "es.dni"),
    NationalId("ES", r"[XYZ][ -]?\d{7}[ -]?[A-Z]", "es.nie"),
    NationalId("FI", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", "fi.hetu"),
    NationalId("FR", r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?/?\d\d", "fr.nir"),
    NationalId("GB", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]", _has_no_check),
    NationalId("GB", r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs", r"\bNHS\b"),
    NationalId("GR", r"\d{11}", "gr.amka", r"\b(?:ΑΜΚΑ|AMKA)\b"),
    NationalId("HR", r"\d{11}", "hr.oib", r"\bOIB\b"),
    NationalId("IE", r"\d{7}[A-W][A-IW]?", "ie.pps"),
    NationalId("IL", r"\d{8}-?\d", "il.idnr", r"תעודת זהות|ת\.ז|\bteudat zehut\b"),
    NationalId("IN", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", "in_.aadhaar", r"a+dha+r|\bUIDAI\b|आधार"),
    NationalId("IN", r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", "in_.pan"),
    NationalId("IT", r"[A-Z]{6}[0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]", "it.codicefiscale"),
    NationalId("JP", r"\d{4}[ -]?\d{4}[ -]?\d{4}", "jp.in_", r"マイナンバー|個人番号|\bMy ?Number\b"),
    NationalId("KR", r"\d{6}-[1-8]\d{6}", "kr.rrn"),
    NationalId("LT", r"\d{11}", "lt.asmens", r"asmens koda"),
    NationalId("LV", r"\d{6}-\d{5}", "lv.pvn", r"personas kod"),
    NationalId("MX", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[0-9A-Z]\d", "mx.curp"),
    NationalId("NL", r"\d{4}\.?\d\d\.?\d{3}|\d{3}[ .]\d{3}[ .]\d{3}", "nl.bsn", r"\bBSN|burgerservicenummer|sofinummer"),
    NationalId("NO", r"\d{6} ?\d{5}", _is_norwegian),
    NationalId("PL", r"\d{11}", "pl.pesel", r"\bPESEL"),
    NationalId("PL", r"\d{3}-\d{3}-\d\d-\d\d|\d{3}-\d\d-\d\d-\d{3}|\d{10}", "pl.nip", r"\bNIP\b"),
    NationalId("PT", r"\d{3}[ .]?\d{3}[ .]?\d{3}", "pt.nif", _TAX_NUMBER),
    NationalId("RO", r"\d{13}", "ro.cnp", r"\bCNP\b|cod numeric personal"),
    NationalId("RU", r"\d{12}", "ru.inn", r"\bИНН\b"),
    NationalId("SE", r"(?:\d\d)?\d{6}[-+]\d{4}", "se.personnummer"),
    NationalId("SE", r"(?:\d\d)?\d{10}", "se.personnummer", r"personnummer|personnr"),
    NationalId("SK", r"\d{6}/\d{3,4}", "cz.rc"),
    NationalId("TR", r"\d{11}", "tr.tckimlik", r"kimlik|\bTCKN\b"),
    NationalId("US", r"\d{3}-\d\d-\d{4}", "us.ssn"),
    NationalId("US", r"9\d\d-\d\d-\d{4}", "us.itin"),
    NationalId("US", r"\d{3}[ .]?\d\d[ .]?\d{4}", "us.ssn", r"\bSSN\b|social security"),
    NationalId("ZA", r"\d{13}", "za.idnr", r"\b(?:ID number|identity number|SA ID)\b"),
)
COUNTRIES = frozenset(rule.country for rule in _RULES)


def national_ids(text: str, countries: Collection[str] = ()) -> Iterator[Match]:
    """Find the numbers of these countries (ISO 3166, upper case); of all that are known where none are given."""
    if not _DIGITS.search(text):
        return
    for rule in _RULES:
        if countries and rule.country not in countries:
            continue
        pattern, words = _compiled(rule)
        if words is not None and not words.search(text):
            continue
        for match in pattern.finditer(text):
            named = words is None or stands_before(text, match.start(), words, _REACH)
            if named and _is_valid(rule, compact(match[0]), match[0]):
                yield Match(match.start(), match.end(), "national_id", compact(match[0]))


@cache
def _compiled(rule: NationalId) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
    number = re.compile(f"{NUMBER_START}(?:{rule.pattern}){NUMBER_END}", re.ASCII | re.IGNORECASE)
    return number, re.compile(rule.words, re.IGNORECASE) if rule.words else None


def _is_valid(rule: NationalId, value: str, written: str) -> bool:
    if callable(rule.check):
        return rule.check(value)
    is_valid = cast("Callable[[str], bool]", import_module(f"stdnum.{rule.check}").is_valid)
    # Some modules know the dots of everyday writing, others only the bare number; a few need the sign within.
    try:
        return is_valid(written.upper()) or is_valid(value)
    except (IndexError, KeyError, ValueError):  # what some modules raise for digits that stand for nothing
        return False
