"""Personal data in a text: e-mail and IP addresses, phone, card and account numbers, national identity numbers.

Written for precision: where a number carries a check digit it must fit, and what is reserved for documentation does not
count. Names, street addresses and numbers without any mark of their kind are not looked for.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Final

LONGEST = 20_000

_EMAIL = re.compile(r"(?<![\w.+/@-])[A-Za-z0-9][\w.+-]{0,63}@((?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24})(?![\w@])")
_NO_DOMAIN = re.compile(r"(?:^|\.)(?:example|invalid|test|localhost|local)$|(?:^|\.)example\.(?:com|org|net)$", re.I)
_FILE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp|ico|css|js|ts|py|md|txt|html|json|ya?ml|toml|pdf|zip)$", re.I)
_SIGNED = re.compile(r"(?<![\w+.-])\+[1-9](?:[ .()/-]{0,2}\d){7,14}(?![\w+]|[.-]\d)")
_NORTH_AMERICAN = re.compile(
    r"(?<![\w+.(-])(?:1[ .-])?(?:\(([2-9]\d\d)\) ?|([2-9]\d\d)[ .-])([2-9]\d\d)[ .-](\d{4})(?![\w-]|\.\d)"
)
_TOLD = re.compile(
    r"\b(?:phone|telephone|tel|mobile|cell|fax|call(?: me| us)?|whatsapp|telefon|handy|t[ée]l[ée]fono?|portable)\b"
    r"(?: (?:number|no|nr|is|at|on|under|unter|au|al)\b\.?){0,3}"
    r"[ .:#]{0,3}(?<![\d+])(0\d(?:[ ./-]?\d){6,11})(?![\w-]|\.\d)",
    re.I,
)
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)")
_IBAN = re.compile(r"(?<!\w)([A-Z]{2}\d\d)((?: ?[A-Z0-9]){11,30})(?!\w)")
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{1,4}(?![\w:])")
_VERSION = re.compile(r"(?:\bv|\b(?:version|release|build|driver|firmware|section|chapter)\b[ :]?)\s?$", re.I)

_SSN = re.compile(r"(?<![\w-])(?!000|666|9)(\d{3})-(?!00)(\d\d)-(?!0000)(\d{4})(?![\w-])")
_SSN_PRINTED = frozenset({"078-05-1120", "219-09-9999", "123-45-6789"})
_NINO = re.compile(r"(?<!\w)(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D](?!\w)")
_DNI = re.compile(r"(?<![\w-])([XYZ]\d{7}|\d{8})-?([A-HJ-NP-TV-Z])(?![\w-])")
_CODICE = re.compile(r"(?<!\w)[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z](?!\w)")
_NIR = re.compile(r"(?<![\w-])([12]) ?(\d\d) ?(0[1-9]|1[0-2]) ?(\d\d|2[AB]) ?(\d{3}) ?(\d{3}) ?(\d\d)(?![\w-])")
_CPF = re.compile(r"(?<![\w.-])\d{3}\.\d{3}\.\d{3}-\d\d(?![\w-])")

# The countries whose account numbers have each length (the IBAN registry of ISO 13616).
_IBAN_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI NL",
    19: "MK SI",
    20: "AT EE KZ LT LU",
    21: "CH HR LI LV",
    22: "BG DE GB GE IE ME RS",
    23: "AE GI IL",
    24: "AD CZ ES MD PK RO SA SE SK TN",
    25: "PT",
    26: "IS TR",
    27: "FR GR IT MC SM",
    28: "CY HU LB PL",
    29: "BR QA UA",
    30: "KW",
    31: "MT",
}
_IBAN_LENGTHS: Final = {name: length for length, names in _IBAN_COUNTRIES.items() for name in names.split()}
# Issuer prefixes and lengths of the card networks (ISO/IEC 7812).
_ISSUED = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|"
    r"6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}"
)
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
         10, 22, 25, 24, 23),
        strict=True,
    )
)  # fmt: skip


def kinds(text: str) -> frozenset[str]:
    """The kinds of personal data in the first LONGEST characters: email, phone, card, iban, ip, national_id."""
    return frozenset(kind for kind, _ in _find(text))


def fresh_kinds(prompt: str, response: str) -> frozenset[str]:
    """The kinds of personal data in `response` that `prompt` did not hold in any spacing of its own."""
    told = _find(response)
    return frozenset(kind for kind, _ in told - _find(prompt)) if told else frozenset()


def _find(text: str) -> set[tuple[str, str]]:
    read = text[:LONGEST]
    return {(kind, value) for kind, search in _SEARCHES.items() for value in search(read)}


def luhn(digits: str) -> bool:
    """Whether the last of `digits` is the check digit of ISO/IEC 7812-1."""
    doubled = (int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(digits)))
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def iban(number: str) -> bool:
    """Whether `number`, without spaces, has its country's length and the check digits of ISO 7064 (mod 97-10)."""
    if _IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    return int("".join(str(int(sign, 36)) for sign in number[4:] + number[:4])) % 97 == 1


def _emails(text: str) -> Iterator[str]:
    for found in _EMAIL.finditer(text):
        domain = found.group(1).lower()
        if not (_NO_DOMAIN.search(domain) or _FILE.search(domain) or found.group().startswith("git@")):
            yield found.group().lower()


def _phones(text: str) -> Iterator[str]:
    for found in _SIGNED.finditer(text):
        number = _digits(found.group())
        # A long run of digits after a plus sign may be a sum; a number of this length may not.
        if len(set(number)) > 2 and (len(number) >= 10 or len(number) + 1 < len(found.group())):
            yield number
    for found in _NORTH_AMERICAN.finditer(text):
        area, exchange, line = found.group(1) or found.group(2), found.group(3), found.group(4)
        # 555-0100 to 555-0199 are kept for fiction.
        if not (exchange == "555" and line.startswith("01")):
            yield area + exchange + line
    for found in _TOLD.finditer(text):
        yield _digits(found.group(1))


def _cards(text: str) -> Iterator[str]:
    for found in _CARD.finditer(text):
        number = _digits(found.group())
        if _ISSUED.fullmatch(number) and luhn(number) and len(set(number)) > 2:
            yield number


def _ibans(text: str) -> Iterator[str]:
    for found in _IBAN.finditer(text):
        number = found.group().replace(" ", "")
        # A word in capitals may follow the number: cut to the length its country writes.
        number = number[: _IBAN_LENGTHS.get(number[:2], 0)]
        if iban(number):
            yield number


def _addresses(text: str) -> Iterator[str]:
    for pattern in (_IPV4, _IPV6):
        for found in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(found.group())
            except ValueError:
                continue
            parts = found.group().split(".")
            # Section numbers, versions and the well-known resolvers have short parts.
            short = address.version == 4 and sum(len(part) > 1 for part in parts) < 2
            if (
                address.is_global
                and not short
                and not _VERSION.search(text[max(0, found.start() - 12) : found.start()])
            ):
                yield address.compressed


def _national(text: str) -> Iterator[str]:
    yield from (m.group() for m in _SSN.finditer(text) if m.group() not in _SSN_PRINTED)
    yield from (m.group().replace(" ", "") for m in _NINO.finditer(text))
    yield from (m.group() for m in _DNI.finditer(text) if _dni(m.group(1), m.group(2)))
    yield from (m.group() for m in _CODICE.finditer(text) if _codice_fiscale(m.group()))
    yield from (m.group().replace(" ", "") for m in _NIR.finditer(text) if _nir(m.groups()))
    yield from (m.group() for m in _CPF.finditer(text) if _cpf(_digits(m.group())))


def _dni(number: str, letter: str) -> bool:
    """Spain: the letter is the number modulo 23."""
    plain = number.translate(str.maketrans("XYZ", "012"))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(plain) % 23] == letter


def _codice_fiscale(code: str) -> bool:
    """Italy: signs in odd places weigh by table, those in even places by value; the sum modulo 26 is the last."""
    value = sum(_ODD[s] if i % 2 == 0 else int(s) if s.isdigit() else ord(s) - 65 for i, s in enumerate(code[:15]))
    return chr(65 + value % 26) == code[15]


def _nir(parts: tuple[str, ...]) -> bool:
    """France: the key is 97 less the number modulo 97; Corsica's departments count as 19 and 18."""
    body = "".join(parts[:6]).replace("2A", "19").replace("2B", "18")
    return 97 - int(body) % 97 == int(parts[6])


def _cpf(digits: str) -> bool:
    """Brazil: two check digits modulo 11."""
    if len(set(digits)) == 1:
        return False
    for place in (9, 10):
        total = sum(int(d) * (place + 1 - i) for i, d in enumerate(digits[:place]))
        if total * 10 % 11 % 10 != int(digits[place]):
            return False
    return True


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


_SEARCHES: dict[str, Callable[[str], Iterator[str]]] = {
    "email": _emails,
    "phone": _phones,
    "card": _cards,
    "iban": _ibans,
    "ip": _addresses,
    "national_id": _national,
}
