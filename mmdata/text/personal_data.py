"""Personal data in a text: runs the detectors of the kinds that are wanted and settles where their matches overlap."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from mmdata.text.internet import emails, ip_addresses
from mmdata.text.matches import Match, PersonalKind, plain, resolved
from mmdata.text.names import names
from mmdata.text.national_ids import national_ids
from mmdata.text.payment import cards, ibans
from mmdata.text.phones import phones


@dataclass(frozen=True)
class Search:
    """What to look for: kinds; regions of telephone numbers; countries of national ids (all where empty); a model for names."""

    kinds: Collection[PersonalKind]
    phone_regions: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    names_model: str | None = None

    def __call__(self, text: str) -> list[Match]:
        """Return the places of personal data in a text, in order and without overlap."""
        return resolved(match for find in self._detectors(text) for match in find())

    def _detectors(self, text: str) -> Iterator[Callable[[], Iterator[Match]]]:
        same_length = plain(text)
        detectors: dict[PersonalKind, Callable[[], Iterator[Match]]] = {
            "email": lambda: emails(same_length),
            "ip": lambda: ip_addresses(same_length),
            "card": lambda: cards(same_length),
            "iban": lambda: ibans(same_length),
            "national_id": lambda: national_ids(same_length, self.countries),
            "phone": lambda: phones(same_length, self.phone_regions),
        }
        yield from (find for kind, find in detectors.items() if kind in self.kinds)
        if self.names_model is not None:
            model = self.names_model
            yield lambda: names(text, model)
