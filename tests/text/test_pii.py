"""Personal data: known numbers are found, wrong check digits and what only looks like one are left alone."""

from __future__ import annotations

import json
import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.leak_helpers import GENES
from tunegate.exceptions import ConfigError, MissingExtra
from tunegate.models.pii_names import name_finder
from tunegate.reading.rows import read_rows
from tunegate.text import pii
from tunegate.text.pii import Found, find_pii, mask
from tunegate.text.pii_numbers import (
    _IBAN_COUNTRIES,
    IBAN_LENGTHS,
    is_card,
    is_codice_fiscale,
    is_cpf,
    is_dni,
    is_iban,
    is_nir,
    is_ssn,
    luhn,
)

GENERAL = GENES.parent / "general"


def kinds(text: str) -> list[str]:
    return [found.kind for found in find_pii(text)]


def masked(text: str) -> str:
    return mask(text, find_pii(text))


# --- check digits --------------------------------------------------------------------------------------------------

CARDS = ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "3530111333300000"]
IBANS = ["DE89370400440532013000", "GB29NWBK60161331926819", "FR1420041010050500013M02606", "NO9386011117947"]
IBANS += ["MT84MALT011000012345MTLCAST001S", "CH9300762011623852957"]
NATIONAL_IDS = ["123-45-6789", "12345678Z", "X1234567L", "RSSMRA85T10A562S", "255081416802538", "111.444.777-35"]


@given(st.text("0123456789", min_size=1, max_size=30), st.integers(1, 9))
def test_luhn_takes_one_check_digit_and_sees_every_wrong_digit(digits: str, off: int) -> None:
    (check,) = [digit for digit in "0123456789" if luhn(digits + digit)]
    number = digits + check
    for at, digit in enumerate(number):
        wrong = str((int(digit) + off) % 10)
        assert not luhn(number[:at] + wrong + number[at + 1 :])


NEWER_IBANS = [
    "BI4210000100010000332045181",
    "DJ2100010000000154000100186",
    "FK88SC123456789012",
    "HN88CABF00000000000250005469",
    "LY83002048000020100120361",
    "MN121234123456789123",
    "NI45BAPR00000013000003558124",
    "OM810180000001299123456",
    "RU0304452522540817810538091310419",
    "SD8811123456789012",
    "SO211000001001000100141",
    "YE15CBYE0001018861234567891234",
    "SN08SN0100152000048500003035",
    "MA64011519000001205000534921",
    "CI93CI0080111301134291200589",
]
"""The examples of the SWIFT IBAN registry for its newer countries, and three of countries that it does not have."""


@pytest.mark.parametrize("iban", NEWER_IBANS)
def test_ibans_of_newer_countries_are_found(iban: str) -> None:
    in_fours = " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))
    for written in (iban, in_fours):
        text = f"Please pay to {written}, thank you."
        assert mask(text, find_pii(text)) == "Please pay to [IBAN], thank you."


def test_the_registry_has_89_countries() -> None:
    registered = [country for countries in _IBAN_COUNTRIES.values() for country in countries.split()]
    assert len(registered) == len(set(registered)) == 89  # release 101, as python-stdnum 2.2 carries it


@given(st.sampled_from(IBANS), st.data())
def test_an_iban_with_one_wrong_character_is_none(iban: str, data: st.DataObject) -> None:
    assert is_iban(iban)
    at = data.draw(st.integers(2, len(iban) - 1))
    alphabet = "0123456789" if iban[at].isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    other = data.draw(st.sampled_from(alphabet.replace(iban[at], "")))
    assert not is_iban(iban[:at] + other + iban[at + 1 :])


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.integers(0, 10**30))
def test_one_check_number_in_97_makes_an_iban(country: str, account: int) -> None:
    digits = str(account).zfill(30)[: IBAN_LENGTHS[country] - 4]
    assert sum(is_iban(f"{country}{check:02d}{digits}") for check in range(2, 99)) == 1
    assert not is_iban(f"{country}02{digits}0")


def test_known_numbers_and_their_neighbours() -> None:
    assert all(map(is_card, CARDS))
    assert not any(is_card(card[:-1] + str((int(card[-1]) + 1) % 10)) for card in CARDS)
    assert not is_card("1234567890123452"), "Luhn alone is no card: no issuer begins so"
    assert is_ssn("123456789")
    assert not any(map(is_ssn, ("000456789", "666456789", "900456789", "123006789", "123450000")))
    assert is_dni("12345678Z")
    assert not is_dni("12345678A")
    assert is_codice_fiscale("RSSMRA85T10A562S")
    assert not is_codice_fiscale("RSSMRA85T10A562T")
    assert is_nir("255081416802538")
    assert not is_nir("255081416802539")
    assert is_cpf("11144477735")
    assert not is_cpf("11144477736")
    assert not is_cpf("11111111111")


# --- in a text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann.lee+news@mail.co.uk.", "write to [EMAIL]."),
        ("müller@bücher.de, or <x_y@a-b.org>", "[EMAIL], or <[EMAIL]>"),
        ("IBAN: DE89 3704 0044 0532 0130 00 BANK", "IBAN: [IBAN] BANK"),
        ("de89370400440532013000", "[IBAN]"),
        ("card 4111 1111 1111 1111, valid to 12/27", "card [CARD], valid to 12/27"),
        ("pay 5555-5555-5555-4444", "pay [CARD]"),
        ("SSN 123-45-6789.", "SSN [NATIONAL_ID]."),
        ("DNI 12345678-Z, NIE X1234567L", "DNI [NATIONAL_ID], NIE [NATIONAL_ID]"),
        ("c.f. RSSMRA85T10A562S", "c.f. [NATIONAL_ID]"),
        ("n° 2 55 08 14 168 025 38", "n° [NATIONAL_ID]"),
        ("CPF 111.444.777-35", "CPF [NATIONAL_ID]"),
        ("+44 20 7946 0958 or +1 (212) 555-0123", "[PHONE] or [PHONE]"),
        ("(212) 555-0123, 212.555.0123, 1-212-555-0123", "[PHONE], [PHONE], [PHONE]"),
        ("Tel.: 030 1234567, phone number 0664/1234567", "Tel.: [PHONE], phone number [PHONE]"),
        ("please call us at (123) 456-7890 or click", "please call us at [PHONE] or click"),
    ],
)
def test_what_is_found_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Mutations in the BRCA1, TBC1D24, COL4A5, SLC26A4 and MT-ND1 genes; c.1521_1523delCTT; p.Phe508del",
        "chr7:117559590-117559593, NM_000492.4, rs113993960, ENSG00000001626, OMIM 602421, GRCh38",
        "1 in 100,000 people; 1,234,567,890,123,456 of them; 3.14159265358979323846; 6.02214076e23",
        "on 2019-12-31, 31.12.2019, 12/31/2019, 20191231 at 12:30:45, in 1998-2003, 1984 1985",
        "call 911; phone in 2007-2008; call 2019-2020; tel 12/31/2019; mobile phone 15 pro",
        "ISBN 978-3-16-148410-0, CAS 7732-18-5, 192.168.100.200, v1.2.3-rc4, 555-1234, RFC 2606",
        "4111 1111 1111 1112, DE89 3704 0044 0532 0130 01, 000-45-6789, 12345678A, 111.444.777-36",
        "user@example.com, a@b, @handle, name@localhost, git@host:repo, x @ y . com",
        "0.4111111111111111, 41111111111111111111, tracking 1Z999AA10123456784, order 1234567890",
        "5 + 12345678 = 12345683, x+1234567, pH 7.2-7.4, 10-20 30-40 50-60 mg, 1 2 3 4 5 6 7 8 9 10 11 12 13",
    ],
)
def test_genes_dates_and_plain_numbers_are_left_alone(text: str) -> None:
    assert find_pii(text) == []


FORMS = [pii._CARD, *(form for form, _ in pii._NATIONAL_IDS), pii._INTERNATIONAL, pii._AMERICAN, pii._AFTER_A_WORD]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.pattern[:20])
@given(st.data())
def test_the_look_that_spares_the_closer_ones_misses_no_form(form: re.Pattern[str], data: st.DataObject) -> None:
    number = data.draw(st.from_regex(form))
    assert form.search(number)
    assert pii._HAS_A_NUMBER.search(number)


LETTERED = ["AZ75NABZABCDEFGHIJKLMNOPQRST", "QA69DOHBABCDEFGHIJKLMNOPQRSTU"]
"""Accounts may be of letters: all digits that these hold are the two that check them."""
PIECES = [*CARDS, *IBANS, *LETTERED, *NATIONAL_IDS, "+44 20 7946 0958", "(555) 234-5678", "tel. ", *"07 +-.()/aZé\n"]


@example(LETTERED[0])
@example(f"of {LETTERED[1]}.")
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_the_looks_that_spare_the_closer_ones_change_nothing(text: str) -> None:
    closer = [found for look in (pii._ibans, pii._cards, pii._national_ids, pii._phones) for found in look(text)]
    assert list(pii._all(text)) == closer


@given(st.text(st.sampled_from("0123456789 +-.()@aZ/,"), max_size=60))
def test_what_is_found_lies_in_the_text_in_order_and_apart(text: str) -> None:
    end = 0
    for found in find_pii(text):
        assert end <= found.start < found.end <= len(text)
        end = found.end


@given(st.lists(st.sampled_from([*CARDS, *IBANS, *NATIONAL_IDS, "ann@mail.org", "+44 20 7946 0958"]), max_size=5))
def test_masking_leaves_nothing_to_find(numbers: list[str]) -> None:
    text = "; ".join(f"about {number}" for number in numbers)
    assert len(find_pii(text)) == len(numbers)
    assert find_pii(masked(text)) == []


def test_the_shipped_data_hold_next_to_none() -> None:
    """One row of dolly explains how an e-mail address looks; genes, grammar and exam questions have none."""
    found: dict[str, list[str]] = {}
    for path in sorted((*GENES.glob("*.jsonl"), *GENERAL.glob("*.jsonl"))):
        texts = [text for _, row in read_rows(path) for text in _texts(row)]
        found[path.stem] = [text[one.start : one.end] for text in texts for one in find_pii(text)]
    assert {name: texts for name, texts in found.items() if texts} == {"dolly": ["lorem.ipsum@dolor.com"]}


def _texts(row: dict[str, object]) -> list[str]:
    return [value if isinstance(value, str) else json.dumps(value) for value in row.values()]


@pytest.mark.parametrize(
    "text",
    ["1" * 200_000, "1 " * 100_000, "a@" * 100_000, "DE12 " * 50_000, "tel number " * 20_000, "x.y@z.w " * 20_000],
)
def test_no_text_is_slow(text: str) -> None:
    find_pii(text)


# --- names ---------------------------------------------------------------------------------------------------------


def test_names_need_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtra, match=r"finding the names of people needs the extra 'names'"):
        name_finder("en_core_web_sm")


def _fake_spacy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that knows one name, and one model."""

    def load(model: str, exclude: list[str]) -> object:
        if model != "known":
            raise OSError("[E050] Can't find model")
        at = SimpleNamespace(start_char=0, end_char=3, label_="PERSON")
        place = SimpleNamespace(start_char=4, end_char=6, label_="GPE")
        return lambda text: SimpleNamespace(ents=[at, place] if text.startswith("Ann") else [])

    module = ModuleType("spacy")
    module.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spacy", module)


def test_names_are_masked_where_a_model_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_spacy(monkeypatch)
    find = name_finder("known")
    assert mask("Ann in UK", find_pii("Ann in UK", find)) == "[NAME] in UK"
    assert find_pii("Bob", find) == []
    assert find("x" * 100_000 + "Ann") == [(100_000, 100_003)]
    with pytest.raises(ConfigError, match="python -m spacy download other"):
        name_finder("other")


def test_found_says_only_where_and_what() -> None:
    assert find_pii("ann@mail.org") == [Found("email", 0, 12)]
    assert not hasattr(Found("email", 0, 1), "text"), "what is personal is never carried about"
