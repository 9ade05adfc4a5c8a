"""A detector of telephone numbers: libphonenumber's rules for the regions at hand, and what tells a number from a phone number.

libphonenumber knows which numbers a region gives out; it cannot know that an order, a price or a population has as many digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mmdata.text.matches import Match, stands_before

_ENOUGH_DIGITS = re.compile(r"(?:\d[^\w\n]{0,4}){6}\d", re.ASCII)
_PHONE_WORD = re.compile(
    r"\b(?:tel|telephone|telefon\w*|teléfono|telefone|téléphone|tél|phone|call|dial|cell|mobile|mobil\w*|móvil|celular|telemóvel"
    r"|fax|whatsapp|sms|text|signal|viber|handy|ruf\w*|anruf\w*|appel\w*|portable|joindre|ll[aá]m\w+|ligu?e|contact\w*"
    r"|kontakt\w*|zadzwo\w+|dzwo\w+|komórk\w*|numer(?:em|u)? telefonu|infoline|hotline|zap|gsm|puhelin|тел|телефон\w*|звони\w*)\b"
    r"|☎|📞|📱|电话|電話|手机|手機|致电|微信|传真|هاتف|جوال|اتصل|موبايل|الاتصال|واتساب",
    re.IGNORECASE,
)
_OTHER_WORD = re.compile(
    r"(?:\b(?:order|invoice|isbn|issn|ean|gtin|upc|imei|serial|tracking|parcel|article|item|part|sku|case|ticket|r[eé]f(?:erence)?"
    r"|account|bestell\w*|rechnung\w*|auftrag\w*|kunden\w*|artikel\w*|sendung\w*|serien\w*|vorgang\w*|aktenzeichen|konto\w*"
    r"|pedido|factura|expediente|seguimiento|referencia|artículo|commande|facture|suivi|référence|siret|siren|zamówieni\w+"
    r"|faktur\w+|przesyłk\w+|regon|nip|krs|encomenda|fatura|nota fiscal|protocolo|rastreamento|version|id|doi|pmid|arxiv|lot"
    r"|batch)\b|订单|编号|单号|发票|رقم الطلب|فاتورة|طلب)[^\d\n+]{0,16}$|[$€£¥₹#№=_][ ]?$|(?:USD|EUR|PLN|GBP|R\$|CHF)[ ]?$",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"[ ]?(?:[€$£¥₹%°]|(?:USD|EUR|PLN|GBP|CHF|zł|euros?|dollars?|Einwohner|inhabitants|people|habitants|habitantes|personas"
    r"|pessoas|mieszkańców|osób|km|kg|GB|MB|bytes?|views|元|人|次|نسمة|دولار)\b|元|人|次)",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"\d{1,3}(?:[ .,]\d{3})+")
_REFERENCE_LIKE = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|\d+\.\d+|\d+\.\d+-\d+|0\..*")
"""An address of the Internet, a decimal number, a clause, a version."""
_GOES_ON = re.compile(r"/|-\w")
_DAY_OR_TIME = re.compile(
    r"(?:19|20)\d\d[-/.](?:0[1-9]|1[0-2])[-/.]|(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|1[0-2])[-/.](?:19|20)\d\d"
)
_YEARS = re.compile(r"(?:1[89]|20)\d\d[ ]?[-/][ ]?(?:1[89]|20)\d\d")
_CHINESE_MOBILE = re.compile(r"1[3-9]\d{9}")
_BEFORE, _AFTER = 40, 24

_REGIONS = {
    language: tuple(regions.split())
    for language, regions in (
        *(("ar", "EG SA AE MA"), ("bg", "BG"), ("cs", "CZ"), ("da", "DK"), ("de", "DE AT CH"), ("el", "GR"), ("en", "US GB")),
        *(("es", "ES MX AR"), ("et", "EE"), ("fa", "IR"), ("fi", "FI"), ("fr", "FR BE CH"), ("he", "IL"), ("hi", "IN")),
        *(("hr", "HR"), ("hu", "HU"), ("id", "ID"), ("it", "IT CH"), ("ja", "JP"), ("ko", "KR"), ("lt", "LT"), ("lv", "LV")),
        *(("nb", "NO"), ("nl", "NL BE"), ("no", "NO"), ("pl", "PL"), ("pt", "BR PT"), ("ro", "RO"), ("ru", "RU"), ("sk", "SK")),
        *(("sl", "SI"), ("sv", "SE FI"), ("th", "TH"), ("tr", "TR"), ("uk", "UA"), ("vi", "VN"), ("zh", "CN TW HK")),
    )
}


def regions_of(language: str) -> tuple[str, ...]:
    """Return the regions (ISO 3166) whose national numbers a text in this language (BCP 47) may hold; none for one not known.

    A region in the tag, as in pt-BR, is the only one.
    """
    first, *rest = language.strip().replace("_", "-").split("-")
    named = tuple(part.upper() for part in rest if len(part) == 2 and part.isalpha())
    return named[:1] or _REGIONS.get(first.lower(), ())


def phones(text: str, regions: Iterable[str] = ()) -> Iterator[Match]:
    """Find international numbers (with +), and national ones as these regions write them."""
    from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

    if not _ENOUGH_DIGITS.search(text):
        return
    # Behind a + the length is enough: the plans of all countries change faster than any library.
    searches: list[tuple[str | None, int]] = [
        (None, Leniency.POSSIBLE),
        *((one, Leniency.VALID) for one in dict.fromkeys(regions)),
    ]
    for region, leniency in searches:
        for found in PhoneNumberMatcher(text, region, leniency=leniency):
            # The bracket of "(call 202-555-0142)" belongs to the sentence.
            start = found.start + (found.raw_string.count("(") > found.raw_string.count(")"))
            if _is_meant(text, start, found.end):
                yield Match(start, found.end, "phone", format_number(found.number, PhoneNumberFormat.E164))


def _is_meant(text: str, start: int, end: int) -> bool:
    """Whether a number that could be dialled stands here to be dialled."""
    written = text[start:end]
    if written.startswith(("+", "(+")):
        return True
    if _REFERENCE_LIKE.fullmatch(written) or _DAY_OR_TIME.match(written) or _YEARS.fullmatch(written):
        return False
    if stands_before(text, start, _OTHER_WORD, _BEFORE) or _UNIT.match(text, end):
        return False
    if text[start - 1 : start] == "/" or _GOES_ON.match(text, end):
        return False
    return not _needs_word(written) or _has_word(text, start, end)


def _needs_word(written: str) -> bool:
    """Whether a number is written as any count is: no leading zero or bracket, and one run of digits or thousands apart."""
    if written.startswith(("0", "(")) or _CHINESE_MOBILE.fullmatch(written):
        return False
    return written.isdigit() or _THOUSANDS.fullmatch(written) is not None


def _has_word(text: str, start: int, end: int) -> bool:
    return stands_before(text, start, _PHONE_WORD, _BEFORE) or _PHONE_WORD.search(text, end, end + _AFTER) is not None
