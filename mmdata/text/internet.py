"""Detectors of e-mail addresses (RFC 5321, RFC 6531) and of public IP addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from mmdata.text.matches import Match, stands_before

# Letters of scripts that put spaces between words; in Chinese or Japanese the sentence would run into the address.
_LETTER = "A-Za-z0-9\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u052f"
# Of the signs that RFC 5322 allows, those that people use: with / = ? & an address would swallow the link it stands in.
_ATOM = rf"[{_LETTER}%+'_-]"
_LABEL = rf"[{_LETTER}](?:[{_LETTER}-]{{0,61}}[{_LETTER}])?"
_AT = r"(?:@|[ ]{0,2}[\[({<][ ]?(?:at|@|arroba|arobase|chez|małpa|klammeraffe)[ ]?[\])}>][ ]{0,2})"
_DOT = r"(?:\.|[ ]{0,2}[\[({<][ ]?(?:dot|\.|punkt|punto|point|kropka|ponto)[ ]?[\])}>][ ]{0,2})"
_EMAIL = re.compile(
    rf"(?<![{_LETTER}@.%+'_-])({_ATOM}{{1,64}}(?:{_DOT}{_ATOM}{{1,64}}){{0,8}}){_AT}"
    rf"({_LABEL}(?:{_DOT}{_LABEL}){{1,8}})",
    re.IGNORECASE,
)
_AROUND_DOT = re.compile(_DOT, re.IGNORECASE)
_TOP_LEVEL = re.compile(r"xn--[a-z0-9-]+|[^\W\d_]{2,24}", re.IGNORECASE)
_FILE_ENDINGS = frozenset({"png", "jpg", "jpeg", "gif", "webp", "svg", "ico", "css", "js", "mp4", "pdf"})
_NEVER_REAL = ("invalid",)
"""RFC 2606: no address can end so; pseudonyms do."""

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4_DOT = r"(?:\.|\[\.\]|\(\.\))"
_IPV4 = re.compile(
    rf"(?<![\w.:-])(?<!\w/){_OCTET}(?:{_IPV4_DOT}{_OCTET}){{3}}(?!\w|-\d|{_IPV4_DOT}\w|-[a-z])", re.ASCII | re.IGNORECASE
)
_IPV6 = re.compile(r"(?<![\w:.])[0-9a-f]{1,4}:[0-9a-f:]++(?!\w|\.\w)", re.ASCII | re.IGNORECASE)
_NUMBERED = re.compile(
    r"(?:\b(?:v|ver|versions?|versione|versión|versão|versie|wersj[aię]|verze|версия|версии|release|build|firmware"
    r"|revision|rev|oid|sections?|sec|chapter|clause|article|art|abschnitt|kapitel|ziffer|artikel|sección|capítulo|apartado|artículo|artigo"
    r"|articolo|sezione|capitolo|secção|seção|chapitre|rozdział|punkt|пункт|глава|раздел|статья)|§|版本|バージョン|버전|第"
    r"|الإصدار)[.:]?[ ]*v?$|[<>=~!]=[ ]?$",
    re.IGNORECASE,
)
_NOT_PUBLIC = (
    *(ip_network("0.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("100.64.0.0/10"), ip_network("127.0.0.0/8")),
    *(ip_network("169.254.0.0/16"), ip_network("172.16.0.0/12"), ip_network("192.168.0.0/16"), ip_network("224.0.0.0/3")),
)
_GLOBAL_IPV6 = ip_network("2000::/3")
_PSEUDONYMS_IPV6 = ip_network("3fff::/20")


def emails(text: str) -> Iterator[Match]:
    """Find e-mail addresses, those of other alphabets and those with a bracketed (at) or [dot] among them."""
    if "@" not in text and not any(bracket in text for bracket in "[({<"):
        return
    for match in _EMAIL.finditer(text):
        start = next(i for i in range(match.start(), match.end() + 1) if i == match.end() or text[i].isalnum())
        local = _AROUND_DOT.sub(".", text[start : match.end(1)])
        domain = _AROUND_DOT.sub(".", match[2])
        top = domain.rpartition(".")[2].lower()
        is_path = text.startswith(":", match.end()) and re.match(r"[\w~]+/", text[match.end() + 1 : match.end() + 40])
        if start >= match.end(1) or not _TOP_LEVEL.fullmatch(top) or top in _FILE_ENDINGS or top in _NEVER_REAL or is_path:
            continue
        yield Match(start, match.end(), "email", f"{local}@{domain}".lower())


def ip_addresses(text: str) -> Iterator[Match]:
    """Find public IPv4 and IPv6 addresses: private, local and multicast ones name nobody, and stay."""
    for match in _IPV4.finditer(text):
        address = IPv4Address(re.sub(r"[^\d.]", "", match[0]))
        if _is_public(address) and not stands_before(text, match.start(), _NUMBERED, 24):
            yield Match(match.start(), match.end(), "ip", str(address))
    for match in _IPV6.finditer(text):
        # A colon at the end is the sentence's, two are the address's.
        end = match.end() - (match[0].endswith(":") and not match[0].endswith("::"))
        try:
            address6 = ip_address(text[match.start() : end])
        except ValueError:
            continue
        if isinstance(address6, IPv6Address) and address6 in _GLOBAL_IPV6 and address6 not in _PSEUDONYMS_IPV6:
            yield Match(match.start(), end, "ip", str(address6))


def _is_public(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC)
