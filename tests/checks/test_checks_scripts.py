"""Error categories in scripts that put no spaces between words: there, a character counts as a word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.check_helpers import FAIL, INVALID, PASS, ask

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


# --- rouge ---------------------------------------------------------------------------------------------------------

REFERENCE = "基因 BRCA1 的突变会增加患乳腺癌的风险"
KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def rouge(kind: str, answer: str, reference: str, **options: Any) -> float:
    value = ask({kind: {"min": 0.5, **options}}, answer, reference).value
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("other", "reference"),
    [
        ("天气很好 BRCA1", REFERENCE),
        ("我不知道 TP53", "该病由 TP53 突变引起，呈显性遗传"),
        ("今日は天気が良いので公園を散歩します。BRCA1", "BRCA1遺伝子の変異は乳癌のリスクを高める"),
        ("วันนี้อากาศดีมากเราจะไปเดินเล่นในสวนสาธารณะ BRCA1", "การกลายพันธุ์ของยีน BRCA1 เพิ่มความเสี่ยงต่อมะเร็งเต้านม"),
        ("Погода сегодня очень хорошая, BRCA1", "Мутации гена BRCA1 повышают риск рака молочной железы"),
        ("오늘 날씨가 좋습니다 BRCA1", "유전자 BRCA1 돌연변이는 유방암 위험을 높인다"),
    ],
)
def test_an_answer_on_another_topic_shares_little(kind: str, other: str, reference: str) -> None:
    assert rouge(kind, other, reference) < 0.3
    assert rouge(kind, reference, reference) == 1.0


def test_rouge_by_hand_in_chinese() -> None:
    assert rouge("rouge1", "基因突变", "基因变异", measure="precision") == 3 / 4
    assert rouge("rouge2", "基因突变", "基因变异", measure="recall") == 1 / 3
    assert rouge("rougeL", "BRCA1基因", "基因BRCA1", measure="recall") == 2 / 3
    assert rouge("rougeLsum", "甲乙\n丙丁", "甲乙\n丙丁戊", measure="recall") == 4 / 5


def test_letters_with_accents_are_letters() -> None:
    assert rouge("rougeL", "café", "cafe\u0301") == 1.0
    assert rouge("rougeL", "CAFÉ crème", "café crème") == 1.0
    assert rouge("rouge1", "caf crème", "café crème") == 0.5
    assert rouge("rouge1", "ＢＲＣＡ１", "BRCA1") == 1.0
    assert rouge("rouge1", "हिन्दी में", "हिन्दी को") == 0.5
    assert rouge("rouge1", "ﾊﾝｶｸ", "ハンカク") == 1.0


def test_stems_are_of_english_words_alone() -> None:
    assert rouge("rouge1", "mutations in 基因", "mutation in 基因", stemmer=True) == 1.0
    assert rouge("rouge1", "créations", "création", stemmer=True) == 0.0


def test_a_reference_of_signs_alone_is_still_invalid() -> None:
    assert ask({"rougeL": 0.5}, "。。", "。。").verdict is INVALID


@given(
    answer=st.text(st.characters(codec="ascii"), max_size=60),
    reference=st.text(st.characters(codec="ascii"), min_size=1, max_size=60),
    stemmer=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_rouge_of_ascii_text_is_what_the_library_says(answer: str, reference: str, stemmer: bool) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    reference = f"one two {reference}"
    scores = RougeScorer(KINDS, use_stemmer=stemmer).score(reference, answer)
    for kind in KINDS:
        for measure in ("precision", "recall", "fmeasure"):
            value = rouge(kind, answer, reference, stemmer=stemmer, measure=measure)
            assert abs(value - getattr(scores[kind], measure)) <= 1e-9
