"""Check digits, which distinguish a card, an account or a national id from other numbers."""

from __future__ import annotations

_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""Number of characters of an IBAN to the countries with it: all of the SWIFT IBAN registry, release 101 (2026)."""
_USED_UNREGISTERED = {
    25: "AO CV GW MZ",
    26: "DZ IR",
    27: "CF CG CM GA GQ KM MG TD",
    28: "BF BJ CI MA ML NE SN TG",
}
"""Countries whose banks use IBANs although they are not in the registry."""
IBAN_LENGTHS = {
    country: length
    for table in (_IBAN_COUNTRIES, _USED_UNREGISTERED)
    for length, countries in table.items()
    for country in countries.split()
}
"""Characters of an IBAN by country."""

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_CF_ODD = "BAKPLCQDREVOSFTGUHMINJWZYX"
"""A letter's position in this string is its value at an odd place; a digit counts as the letter of its number."""


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812-1, annex B)."""
    doubled = (divmod(2 * int(digit), 10) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(tens + ones for tens, ones in doubled)) % 10 == 0


def is_card(digits: str) -> bool:
    """Whether digits are a payment card's: a known issuer's first digits, its length, and Luhn's check digit."""
    return len(digits) in _card_lengths(digits) and luhn(digits)


def _card_lengths(digits: str) -> tuple[int, ...]:
    two, four = int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720 or two == 35:
        return (16,)
    if two in (34, 37):
        return (15,)
    if two in (36, 38, 39) or 3000 <= four <= 3059:
        return (14,)
    return (16, 19) if four == 6011 or two in (62, 65) or 6440 <= four <= 6499 else ()


def is_iban(text: str) -> bool:
    """Whether a text without blanks is an IBAN: its country's length, and 1 modulo 97 (ISO 13616, ISO 7064)."""
    if len(text) != IBAN_LENGTHS.get(text[:2]) or not (text.isalnum() and text.isascii()):
        return False
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def is_ssn(digits: str) -> bool:
    """Whether nine digits can be a US social security number; it has no check digit, but unissued numbers."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def is_dni(text: str) -> bool:
    """Whether a text is a Spanish DNI or NIE: eight digits (or X, Y, Z and seven) and a letter, modulo 23."""
    number = text[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI_LETTERS[int(number) % 23] == text[-1]


def is_codice_fiscale(text: str) -> bool:
    """Whether the last of 16 letters and digits is the check letter of an Italian tax code (D.M. 12/03/1974)."""
    letters = [chr(ord("A") + int(char)) if char.isdigit() else char for char in text[:15]]
    odd = sum(_CF_ODD.index(letter) for letter in letters[0::2])
    even = sum(ord(letter) - ord("A") for letter in letters[1::2])
    return chr(ord("A") + (odd + even) % 26) == text[15]


def is_nir(text: str) -> bool:
    """Whether 15 characters are a French social security number, whose last two digits are 97 minus the remainder."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def is_cpf(digits: str) -> bool:
    """Whether eleven digits are a Brazilian CPF: two check digits modulo 11, and not a single repeated digit."""
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        weighed = sum(int(digit) * weight for digit, weight in zip(digits, range(length + 1, 1, -1), strict=False))
        if weighed * 10 % 11 % 10 != int(digits[length]):
            return False
    return True
