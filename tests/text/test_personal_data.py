"""The detectors of personal data: what they find, what they leave, and that no text makes them fail."""

# ruff: noqa: RUF001 - full-width and foreign digits are what these tests are about

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn

from benchmarks.redaction import rates, read_lines, score
from mmdata.text.matches import KINDS, Match, plain, resolved
from mmdata.text.national_ids import _RULES, COUNTRIES, national_ids
from mmdata.text.payment import cards
from mmdata.text.personal_data import Search
from mmdata.text.phones import regions_of

_DIGITS = "0123456789٠١٢０１２३"


def found(text: str, *regions: str) -> list[tuple[str, str]]:
    """Return kind and words of every match."""
    return [(match.kind, text[match.start : match.end]) for match in Search(KINDS, regions)(text)]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(st.sampled_from(_DIGITS + " .-/:@[]()+,AZxétdo\ud800\n"), max_size=60)))
def test_matches_lie_in_the_text_in_order_and_apart(text: str) -> None:
    """Whatever the text, matches are ranges of it that do not overlap, the same each time."""
    matches = Search(KINDS, ("US", "DE"))(text)
    borders = [border for match in matches for border in (match.start, match.end)]
    assert borders == sorted(borders)
    assert all(0 <= match.start < match.end <= len(text) for match in matches)
    assert Search(KINDS, ("US", "DE"))(text) == matches


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_the_plain_text_is_as_long(text: str) -> None:
    """Positions in the plain form are positions in the text."""
    assert len(plain(text)) == len(text)


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: f"{rule.country} {rule.check}")
def test_no_number_of_the_right_form_makes_a_check_fail(rule: object) -> None:
    """Any digits in the form of a rule give a match or none, never an error."""
    pattern = rule.pattern  # type: ignore[attr-defined]

    @settings(max_examples=30, deadline=None, database=None)
    @given(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    def check(number: str) -> None:
        for match in national_ids(f"SSN CPF PESEL NIP NIF BSN CPR {number}"):
            assert match.value.isalnum()

    check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("jane@example.com.", ["jane@example.com"]),
        ("<jane+x@example.com>", ["jane+x@example.com"]),
        ("'jane@example.com'", ["jane@example.com"]),
        ("jane [at] example [dot] com", ["jane [at] example [dot] com"]),
        ("ｊａｎｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", ["ｊａｎｅ＠ｅｘａｍｐｌｅ．ｃｏｍ"]),
        ("https://example.org/?mail=jane@example.com&x=1", ["jane@example.com"]),
        ("写信给jane@example.com吧", ["jane@example.com"]),
        ("иван@пример.example", ["иван@пример.example"]),
        ("look at example dot com", []),
        ("logo@2x.png and @jane@social.example", []),
        ("git@github.com:org/repo.git", []),
        ("user-3f2a@example.invalid", []),
    ],
)
def test_emails(text: str, expected: list[str]) -> None:
    """Addresses of all alphabets, in links and brackets; not names of files, of accounts elsewhere, or what reads as prose."""
    assert found(text) == [("email", words) for words in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://203.0.113.9:80/", ["203.0.113.9"]),
        ("203[.]0[.]113[.]9", ["203[.]0[.]113[.]9"]),
        ("at 2001:db8::1: down", ["2001:db8::1"]),
        ("2001:0db8:85a3::8a2e:370:7334.", ["2001:0db8:85a3::8a2e:370:7334"]),
        ("192.168.1.1 10.0.0.1 127.0.0.1 fe80::1 ::1", []),
        ("version 1.2.3.4, v5.6.7.8, lz4>=1.7.4.2, Chrome/120.0.99.10, 1.3.6.1.4.1", []),
        ("12:30:45 00:1A:2B:3C:4D:5E std::vector a::b", []),
        ("256.1.1.1 01.02.03.04", []),
    ],
)
def test_ip_addresses(text: str, expected: list[str]) -> None:
    """Public addresses; not private ones, versions, times, or names of programs."""
    assert found(text) == [("ip", words) for words in expected]


@pytest.mark.parametrize(
    "number",
    ["4111111111111111", "5555 5555 5555 4444", "3782-822463-10005", "6011111111111117", "3530.1113.3330.0000", "30569309025904"],
)
def test_cards(number: str) -> None:
    """Published test numbers are found in every grouping; with another check digit they are not."""
    text = f"card {number}, exp 12/27"
    assert found(text) == [("card", number)]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not list(cards(f"card {wrong}"))


@settings(max_examples=100, deadline=None)
@given(st.integers(10**15, 10**16 - 1).map(str))
def test_every_card_passes_luhn(digits: str) -> None:
    """What is found as a card has the check digit that stdnum computes."""
    assert all(luhn.is_valid(match.value) for match in cards(digits))
    fitting = digits[:-1] + luhn.calc_check_digit(digits[:-1])
    assert bool(list(cards(f"4{fitting[1:]}"))) == luhn.is_valid(f"4{fitting[1:]}")


def test_ibans_end_where_their_country_says() -> None:
    """Words that follow an account are no part of it."""
    text = "GB29 NWBK 6016 1331 9268 19 NEXT DE89370400440532013000X de89370400440532013000"
    assert found(text) == [("iban", text[:27]), ("iban", "de89370400440532013000")]
    assert iban.is_valid(text[:27])


def test_phone_numbers_are_meant_to_be_dialled() -> None:
    """The same digits are a phone number after a word that says so, and nothing after an order or before a currency."""
    assert found("tel 3105550123", "US") == [("phone", "3105550123")]
    assert found("3105550123 items", "US") == []
    assert found("order 310-555-0123", "US") == []
    assert found("(310-555-0123 or later)", "US") == [("phone", "310-555-0123")]
    assert found("0.34.0 - 0.36.0    10.0.x BS.1770-4-201510-I", "US") == []
    assert found("Clause 252.227-7013 (c)", "US") == []
    assert found("tel. 600 123 456", "PL") == [("phone", "600 123 456")]
    assert found("600 123 456 zł", "PL") == []
    assert found("+44 7700 900123") == [("phone", "+44 7700 900123")]


@pytest.mark.parametrize(
    ("language", "regions"), [("pl", ("PL",)), ("pt-BR", ("BR",)), ("zh_Hant_TW", ("TW",)), ("xx", ()), ("", ())]
)
def test_regions_of_a_language(language: str, regions: tuple[str, ...]) -> None:
    """A region in the tag is the only one; a language that is not known has none."""
    assert regions_of(language) == regions


def test_weak_numbers_need_their_word() -> None:
    """A number that one in eleven would pass for counts where the line names it."""
    assert found("BSN 111222333") == [("national_id", "111222333")]
    assert found("order 111222333") == found("BSN\n111222333") == []


def test_all_countries_of_the_table_are_codes() -> None:
    """Countries are two capital letters, as the option `regions` takes them."""
    assert all(re.fullmatch("[A-Z]{2}", country) for country in COUNTRIES)
    assert len(COUNTRIES) >= 30


def test_the_longest_match_wins_then_the_kind() -> None:
    """Of matches that overlap the longest stays; of equal ones the kind that proves more of itself."""
    long, short = Match(0, 9, "phone", "a"), Match(2, 6, "email", "b")
    same = Match(0, 9, "card", "c")
    assert resolved([short, long]) == [long]
    assert resolved([long, same]) == resolved([same, long]) == [same]
    assert resolved([Match(9, 12, "ip", "d"), long]) == [long, Match(9, 12, "ip", "d")]


def test_labelled_lines_are_well_formed() -> None:
    """Every labelled span lies in its line and begins and ends with a sign of its own; both splits hold many lines."""
    lines = read_lines()
    assert len(lines) >= 300
    assert min(sum(line.split == split for line in lines) for split in ("dev", "test")) >= 140
    for line in lines:
        for start, end, kind in line.entities:
            assert kind in KINDS
            assert line.text[start:end] == line.text[start:end].strip() != ""


@pytest.mark.parametrize("split", ["dev", "test"])
def test_quality_does_not_fall(split: str) -> None:
    """Precision and recall on the labelled lines stay above what `docs/redaction.md` says, less a margin."""
    rate = rates(score(line for line in read_lines() if line.split == split)["all"])
    assert rate["precision"] >= 0.9
    assert rate["recall"] >= 0.9
