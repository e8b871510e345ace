"""exact, contains, regex, json."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.check_helpers import FAIL, HUGE, INVALID, PASS, ask
from tunegate.text.timing import TooSlow, time_limit
from tunegate_suites import text
from tunegate_suites.normalise import plain, squad

# --- exact ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("Autosomal  dominant.", "autosomal dominant"),
        ("**BLM**", "BLM"),
        ("“BLM”", "blm"),
        ("(BLM).", "BLM"),
        ("\u200bBLM\ufeff\n", "BLM"),
        ("ＢＬＭ", "BLM"),
        ("Straße", "STRASSE"),
        ("cafe\u0301", "café"),
        ("\u202bשלום\u202c.", "שלום"),
        ("¿Qué?", "qué"),
        ("👩🏽‍🚀", "👩🏽‍🚀."),
        ("10²", "10^2"),
        ("O₂", "O2"),
        ("5 m²", "5 m2"),
        ("1½", "1 1/2"),
        ("½", "1/2"),
    ],
)
def test_exact_overlooks_what_does_not_matter(answer: str, reference: str) -> None:
    assert ask("exact", answer, reference).verdict is PASS


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        *[
            ("-5", "5"),
            ("50%", "50"),
            ("C#", "C"),
            ("?", "!"),
            ("BLS", "BLM"),
            ("", "BLM"),
            ("👩🏽‍🚀", "👩🚀"),
            (".5", "5"),
        ],
        *[("10²", "102"), ("2⁵", "25"), ("10⁻³", "10-3"), ("1½", "11/2"), ("1½", "11⁄2")],
    ],
)
def test_exact_sees_what_matters(answer: str, reference: str) -> None:
    finding = ask("exact", answer, reference)
    assert (finding.verdict, finding.value) == (FAIL, False)


def test_exact_takes_any_reference_and_needs_one() -> None:
    assert ask("exact", "b", "a", "b").verdict is PASS
    assert ask("exact", "b").verdict is INVALID


def test_exact_without_normalisation_and_as_squad() -> None:
    assert ask({"exact": {"normalize": False}}, "BLM.", "BLM").verdict is FAIL
    assert ask({"exact": {"normalize": False}}, "BLM", "BLM").verdict is PASS
    assert ask({"exact": {"normalize": "squad"}}, "The  U.S. army", "us Army!").verdict is PASS
    assert ask({"exact": {"normalize": True}}, "The army", "army").verdict is FAIL


@pytest.mark.parametrize(
    ("normalize", "answer", "reference", "verdict"),
    [
        ("squad", "", "A", FAIL),
        ("squad", "... an", "The", FAIL),
        ("squad", "b", "A", FAIL),
        ("squad", " a.", "A", PASS),
        ("squad", "", "", INVALID),
        (True, "", "", INVALID),
        (True, "", "\u200b", INVALID),
        (False, "", "", INVALID),
    ],
)
def test_no_empty_answer_equals_a_reference(normalize: object, answer: str, reference: str, verdict: object) -> None:
    """SQuAD's normal form of `A` is empty, and so is that of no answer."""
    assert ask({"exact": {"normalize": normalize}}, answer, reference).verdict is verdict
    assert ask({"exact": {"normalize": normalize}}, answer, "XYZ", reference).verdict is verdict


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert squad(squad(text)) == squad(text)


@given(st.text())
def test_only_texts_without_a_visible_character_become_empty(text: str) -> None:
    if plain(text) == "":
        assert not any(sign.isalnum() or (sign.isprintable() and not sign.isspace()) for sign in text)


@given(
    st.text(alphabet=st.characters(whitelist_categories=["L", "N"]), min_size=1),
    st.sampled_from([".", "!", '"', "** "]),
)
def test_case_and_final_punctuation_never_matter(word: str, sign: str) -> None:
    assert plain(f" {word}{sign} ") == plain(word)


# --- contains ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "answer", "references", "verdict"),
    [
        ("dominant", "It is Autosomal Dominant.", (), PASS),
        ("dominant", "It is recessive.", (), FAIL),
        (["a", "b"], "only a", (), FAIL),
        ({"text": ["a", "b"], "match": "any"}, "only a", (), PASS),
        (None, "the BLM gene", ("XYZ", "BLM"), PASS),
        (None, "the BLM gene", ("XYZ",), FAIL),
        (None, "the BLM gene", (), INVALID),
        (None, "the BLM gene", ("",), INVALID),
        ({"text": "BLM", "whole_words": True}, "the BLMX gene", (), FAIL),
        ({"text": "BLM", "whole_words": True}, "(BLM)", (), PASS),
        ({"text": "BLM", "normalize": False}, "blm", (), FAIL),
    ],
)
def test_contains(options: object, answer: str, references: tuple[str, ...], verdict: object) -> None:
    assert ask({"contains": options}, answer, *references).verdict is verdict


# --- regex ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "answer", "verdict"),
    [
        ("[A-Z]+[0-9]", "the gene SLC2", PASS),
        ({"pattern": "[A-Z]+[0-9]", "fullmatch": True}, "the gene SLC2", FAIL),
        ({"pattern": "[A-Z]+[0-9]", "fullmatch": True}, " SLC2\n", PASS),
        ({"pattern": "slc", "ignore_case": True}, "SLC2", PASS),
    ],
)
def test_regex(options: object, answer: str, verdict: object) -> None:
    assert ask({"regex": options}, answer).verdict is verdict


def test_a_pattern_that_takes_exponential_time_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "REGEX_LIMIT_S", 0.1)
    finding = ask({"regex": r"^(a+)+$"}, "a" * 40 + "!")
    assert finding.verdict is INVALID
    assert "simplify" in finding.reason


def test_the_time_limit_puts_back_the_alarm_of_others() -> None:
    def ring(*_: object) -> None:
        raise AssertionError("not yet")

    before = signal.signal(signal.SIGVTALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_VIRTUAL, 100)
    try:
        with pytest.raises(TooSlow), time_limit(0.05):
            re.search(r"^(a+)+$", "a" * 40 + "!")
        assert 50 < signal.getitimer(signal.ITIMER_VIRTUAL)[0] < 100
        assert signal.getsignal(signal.SIGVTALRM) is ring
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, left)
        signal.signal(signal.SIGVTALRM, before)


def test_the_time_limit_is_on_computing_not_on_waiting_for_a_busy_machine() -> None:
    with time_limit(0.05):
        time.sleep(0.2)


def test_in_another_thread_the_time_limit_does_nothing() -> None:
    done: list[bool] = []

    def work() -> None:
        with time_limit(0.01):
            time.sleep(0.05)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


# --- json ----------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "object", "required": ["gene"], "properties": {"gene": {"type": "string"}}}


@pytest.mark.parametrize(
    ("options", "answer", "verdict"),
    [
        (None, '{"a": [1, 2.5, null]}', PASS),
        (None, "{'a': 1}", FAIL),
        (None, '{"a": NaN}', FAIL),
        (None, '{"a": 1, "a": 2}', FAIL),
        (None, '{"a": 1} and more', FAIL),
        (None, "", FAIL),
        (None, "[" * 100_000, FAIL),
        (None, '```json\n{"a": 1}\n```', FAIL),
        ({"fences": True}, '```json\n{"a": 1}\n```', PASS),
        ({"fences": True}, '{"a": "```"}', PASS),
        ({"schema": SCHEMA}, '{"gene": "BLM"}', PASS),
        ({"schema": SCHEMA}, '{"gene": 5}', FAIL),
        ({"schema": SCHEMA}, "[]", FAIL),
        ("gene.schema.json", '{"gene": 5}', FAIL),
        ("gene.schema.json", '{"gene": "BLM"}', PASS),
    ],
)
def test_json(options: object, answer: str, verdict: object, tmp_path: Path) -> None:
    (tmp_path / "gene.schema.json").write_text(json.dumps(SCHEMA))
    assert ask({"json": options}, answer, base_dir=tmp_path).verdict is verdict


def test_a_schema_says_where_the_answer_departs_from_it() -> None:
    assert ask({"json": {"schema": SCHEMA}}, '{"gene": 5}').reason == "$.gene: 5 is not of type 'string'"


def test_references_in_a_schema_are_not_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        schema = {"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"}
        with pytest.raises(Exception, match="Unresolvable"):  # the engine makes this INVALID, with the traceback
            ask({"json": {"schema": schema}}, "{}")
        with pytest.raises(BlockingIOError):  # nobody called
            server.accept()


# --- all -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HUGE)
def test_huge_answers_are_judged(kind: str) -> None:
    for entry in ("exact", {"contains": None}, {"regex": "B.M"}, "json"):
        assert ask(entry, HUGE[kind], "BLM").verdict is FAIL
