"""Further forms of numbers and words, found by trying: powers, fractions, signs in words, scales, negating prefixes."""

from __future__ import annotations

import pytest

from tests.support.check_helpers import FAIL, PASS, ask


@pytest.mark.parametrize(
    ("answer", "reference", "verdict"),
    [
        ("10^3", "1000", PASS),
        ("10³", "1000", PASS),
        ("10^{-3}", "0.001", PASS),
        ("2^3", "3", FAIL),
        ("2^3", "8", PASS),
        ("0^{-1}", "0", FAIL),
        ("9^9999", "5", FAIL),
        ("1.2·10^3", "1200", PASS),
        (r"1.2 \times 10^{3}", "1200", PASS),
        (r"-\frac{3}{4}", "-3/4", PASS),
        (r"-\frac{3}{4}", "3/4", FAIL),
        ("1 1/2", "1.5", PASS),
        ("1½", "1.5", PASS),
        ("½", "0.5", PASS),
        ("⅔", "2/3", PASS),
        ("It is minus 5.", "-5", PASS),
        ("minus 5", "5", FAIL),
        ("negative 5", "5", FAIL),
        ("8 minus 5", "5", PASS),
        ("tested negative 5 days later", "5", PASS),
        ("$1.2B", "1,200,000,000", PASS),
        ("$5M", "5", FAIL),
        ("5 lakh", "500,000", PASS),
        ("5 lakh", "5", FAIL),
        ("2 crore", "20,000,000", PASS),
        ("2 dozen", "24", PASS),
        ("5 hundred", "500", PASS),
        ("5 Mio.", "5000000", PASS),
        ("5 Millionen", "5000000", PASS),
        ("5 Billionen", "5000000000000", PASS),
        ("5 миллионов", "5000000", PASS),
        ("5万", "50000", PASS),
        ("5万", "5", FAIL),
        ("5억", "500000000", PASS),
        ("2千克", "2", PASS),
        ("5 lbs", "5 kg", FAIL),
        ("5mmHg", "5", PASS),
    ],
)
def test_numbers_in_further_forms(answer: str, reference: str, verdict: object):
    assert ask("number", answer, reference).verdict is verdict


@pytest.mark.parametrize(
    ("answer", "reference", "verdict"),
    [
        ("not 42", "42", FAIL),
        ("It isn't **42**.", "42", FAIL),
        ("It is 42, not 43.", "43", FAIL),
        ("not only 42", "42", PASS),
        ("did not exceed 42", "42", PASS),
        ("41-43", "43", FAIL),
        ("41 – 43", "43", FAIL),
        ("41 to 43", "43", FAIL),
        ("$10-$20", "$20", FAIL),
        ("between 41 and 43", "43", FAIL),
        ("2 and 3", "3", PASS),
        ("It rose from 20 to 42.", "42", PASS),
        ("8 - 5", "5", PASS),
        ("10 -5", "-5", PASS),
        ("Step 1 - 42", "42", PASS),
        ("42 ± 1", "42", PASS),
        ("42 ± 1", "1", FAIL),
        ("42 +/- 1", "42", PASS),
        ("10:30", "30", FAIL),
        ("ratio 3:4", "4", FAIL),
        ("Q1:42", "42", PASS),
        ("Answer:42", "42", PASS),
        ("2024-05-06", "6", FAIL),
        ("< 42", "42", FAIL),
        ("x >= 42", "42", FAIL),
        (r"$x \leq 42$", "42", FAIL),
        (r"$x \le 42$", "≤42", PASS),
        ("<5", "< 5", PASS),
        ("5", "<5", FAIL),
        ("<b>42</b>", "42", PASS),
        ("> 42", "42", PASS),
        ("-> 42", "42", PASS),
        ("x => 42", "42", PASS),
        ("x = 42", "42", PASS),
    ],
)
def test_what_is_said_of_a_number(answer: str, reference: str, verdict: object):
    assert ask("number", answer, reference).verdict is verdict


def test_a_number_said_again_with_its_unit_is_no_other_number():
    assert ask({"number": {"which": "only"}}, "5 (5 mg)", "5 mg").verdict is PASS
    assert ask({"number": {"which": "only"}}, "5 g (5 mg)", "5 mg").verdict is FAIL


@pytest.mark.parametrize(
    ("answer", "reference", "verdict"),
    [
        ("It is non-X-linked.", "X-linked", FAIL),
        ("anti-inflammatory", "inflammatory", FAIL),
        ("这是不对的", "对", FAIL),
        ("没有", "有", FAIL),
        ("对，是的", "对", PASS),
        ("시간이다", "간", FAIL),
        ("정답은 간입니다", "간", PASS),
        ("급성간염", "간염", PASS),
        ("see e.g. this", "g", FAIL),
        ("10 a.m.", "m", FAIL),
        ("A.Paris", "A", PASS),
        ("twenty-one", "twenty", FAIL),
        ("twenty-fold", "twenty", PASS),
        ("İstanbul", "istanbul", PASS),
        ("½", "1/2", PASS),
        ("minus 5", "5", FAIL),
    ],
)
def test_words_in_further_forms(answer: str, reference: str, verdict: object):
    assert ask("contains", answer, reference).verdict is verdict
