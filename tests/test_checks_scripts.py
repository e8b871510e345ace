"""Error categories in scripts that put no spaces between words: there, a character counts as a word."""

from __future__ import annotations

from typing import Any

import pytest
from check_helpers import FAIL, PASS, ask

SENTENCE = "患者通常在儿童期发病，需要长期随访、规律复查和积极的治疗。"
THAI = "ผู้ป่วยมักเริ่มมีอาการในวัยเด็กและต้องติดตามการรักษาในระยะยาวอย่างสม่ำเสมอ "
JAPANESE = "患者は通常小児期に発症し、長期の経過観察と定期的な検査が必要です。"


def spans(
    category: str, answer: str, *references: str, case: dict[str, Any] | None = None, **settings: Any
) -> list[str]:
    finding = ask({"errors": {"forbid": [category], **settings}}, answer, *references, **case or {})
    assert finding.verdict is (FAIL if finding.errors else PASS)
    return [error.text for error in finding.errors]


@pytest.mark.parametrize(
    "answer",
    [
        SENTENCE * 10,
        "好的。" * 10,
        "好的。" * 3,
        THAI * 3,
        JAPANESE * 4,
        "BRCA1基因突变会增加风险，" * 3,
        "很" * 6,
        "ကောင်းပါတယ်။" * 5,
        (SENTENCE + JAPANESE) * 3,
        "👍👎" * 4,
    ],
)
def test_a_loop_of_characters_is_found(answer: str) -> None:
    assert spans("repetition", answer) == [answer.strip()]


@pytest.mark.parametrize(
    "answer",
    ["哈哈哈", "高高兴兴地上班去", SENTENCE * 2, SENTENCE, THAI, JAPANESE, "555", "มากๆๆ", "great 😀😀😀 work"],
)
def test_what_is_said_twice_or_laughed_is_no_loop(answer: str) -> None:
    assert not spans("repetition", answer)


def test_words_are_counted_by_characters() -> None:
    assert spans("too_long", "这是一种常染色体隐性遗传病。", max_words=10) == ["遗传病。"]
    assert spans("too_long", "这是 BRCA1 基因。", max_words=5) == []
    assert spans("too_long", "这是BRCA1基因。", max_words=4) == ["因。"]
    assert spans("too_long", "โรคทางพันธุกรรม", max_words=3)
    assert spans("too_short", "隐性遗传", min_words=5) == ["隐性遗传"]
    assert not spans("too_short", "隐性遗传病", min_words=5)
    assert not spans("too_long", "one two, three", max_words=3)


@pytest.mark.parametrize(
    ("prompt", "answer", "echoed"),
    [
        ("翻译下面的句子：基因突变会增加患乳腺癌的风险。", "好，基因突变会增加患乳腺癌的风险。", True),
        ("请总结这份报告的主要内容并列出三个要点。", "请总结这份报告的主要内容并列出三个要点。", True),
        (JAPANESE, JAPANESE, True),
        (THAI.strip(), THAI.strip(), True),
        ("最可能的致病基因是哪一个？", "最可能的致病基因是WAS。", False),
        ("请总结。", "请总结。", False),
        ("这种疾病是由哪个基因引起的？", "这种疾病是由WAS基因引起的。", False),
    ],
)
def test_an_echo_of_the_question(prompt: str, answer: str, echoed: bool) -> None:
    assert bool(spans("prompt_echo", answer, case={"prompt": prompt})) is echoed


@pytest.mark.parametrize(
    ("answer", "source", "claimed"),
    [
        ("大约9000人", "大约3000人", ["9000"]),
        ("大约3000人", "大约3000人", []),
        ("大约42年", "三年", ["42"]),
        ("3年后，约20人", "三年后，约二十人", []),
        ("3万人", "30,000 people", []),
        ("30000人", "三万人", []),
        ("约1.5亿", "150000000", []),
        ("第９０００号", "第3000号", ["９０００"]),
        ("1、基因；\n2、突变", "基因，突变", []),
        ("9000명이 참가했다", "3000명", ["9000"]),
        ("ประมาณ 9000คน", "3000 คน", ["9000"]),
        ("约9000人患有BRCA1突变和COVID-19", "3000", ["9000"]),
        ("BRCA1基因与TP53基因", "基因", []),
        ("3000kg of COVID-19 and 1,000x", "nothing", []),
    ],
)
def test_a_number_beside_a_character_is_a_number(answer: str, source: str, claimed: list[str]) -> None:
    assert spans("unsupported_number", answer, case={"context": source}) == claimed


def test_a_symbol_beside_a_character_is_a_word() -> None:
    assert not spans("unsupported_entity", "BRCA1基因的突变", case={"context": "基因BRCA1"})
    assert spans("unsupported_entity", "是TP53基因的突变", case={"context": "基因BRCA1"}) == ["TP53"]
    assert spans("misspelling", "是BRAC1基因", case={"prompt": "BRCA1基因？"}) == ["BRAC1"]
