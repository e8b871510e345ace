"""Further forms of answers, found by trying: marks of reasoning, letters, blocks of JSON, turns that run on."""

from __future__ import annotations

import pytest

from tunegate.cases.case import Case
from tunegate.checks.answers.part import AUTO, RUN_ON, THINK, AnswerRule, Part, part_of
from tunegate.checks.outcome import Finding, Verdict
from tunegate.models.model import Response

LETTER, JSON = AnswerRule(extract=("letter",)), AnswerRule(extract=("fenced_json",))


def part(answer: str, rule: AnswerRule = AUTO, prompt: str = "Which gene is it?") -> Part | Finding:
    return part_of(Response(answer, "stop"), Case("1", prompt, ("BLM",)), rule)


def judged(answer: str, rule: AnswerRule = AUTO, prompt: str = "Which gene is it?") -> str | None:
    found = part(answer, rule, prompt)
    return found.text if isinstance(found, Part) else None


@pytest.mark.parametrize(
    "answer",
    [
        "< think >BLM</ think >TP53",
        "<think>BLM<\\think>TP53",
        "<|thinking|>BLM<|/thinking|>TP53",
        "<|think|>BLM</think>TP53",
        "<analysis>BLM</analysis>TP53",
        "<internal_monologue>BLM</internal_monologue>\nTP53",
        "<inner_thoughts>BLM</inner_thoughts>TP53",
        "&lt;think&gt;BLM&lt;/think&gt;TP53",
        "<|assistant_reasoning|>BLM<|/assistant_reasoning|>TP53",
        "<longcat_think>BLM</longcat_think>TP53",
        "<mm:think>BLM</mm:think>TP53",
        "<|im_start|>think\nBLM<|im_end|>\n<|im_start|>answer\nTP53<|im_end|>",
        "<|start_of_thinking|>BLM<|end_of_thinking|>TP53",
        "<|START_THINKING|>BLM<|END_THINKING|><|START_RESPONSE|>TP53<|END_RESPONSE|>",
        "<think>BLM</think>\n<answer>\nTP53\n</answer>",
        "<|begin_of_thought|>BLM<|end_of_thought|>\n<|begin_of_solution|>TP53<|end_of_solution|>",
    ],
)
def test_reasoning_in_any_marks_is_taken_off_and_never_judged_unasked(answer: str):
    assert judged(answer, AnswerRule(THINK)) == "TP53"
    unasked = part(answer)
    assert isinstance(unasked, Finding)
    assert unasked.verdict is Verdict.INVALID


@pytest.mark.parametrize(
    "answer",
    [
        "a < b and analysis > c",
        "<cotton> and <rethinking>",
        "2 <think 3",
        "<end> of it",
        "List<Thought> all = f();",
        "<Thoughts/>",
    ],
)
def test_signs_that_only_look_like_marks_are_text(answer: str):
    assert judged(answer) == answer


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("I think it's B", "B"),
        ("It's B.", "B"),
        ("Option B", "B"),
        ("<answer>B</answer>", "B"),
        ("Answer: the liver (B)", "B"),
        ("The answer is not the liver (B)", None),
        ("D is the correct answer", "D"),
        ("D is correct", "D"),
        ("So D is right.", "D"),
        ("选B", "B"),
        ("故选：B", "B"),
        ("正解はBです", "B"),
        ("정답은 B입니다", "B"),
        ("Ответ: B", "B"),
        ("La respuesta correcta es B", "B"),
        ("A resposta é B", "B"),
        ("La risposta corretta è C", "C"),
        ("Answer - B", "B"),
        ("Ans: B", "B"),
        ("The answer is A. Wait, that is wrong. It should be B.", "B"),
        ("(A) is wrong, (B) is right.", "B"),
        ("(A) is wrong.", None),
        ("Answer: I don't know", None),
        ("I am not sure.", None),
        ('{"answer": "B"}', "B"),
        ('```json\n{"answer": "B"}\n```', "B"),
        ("\uff22", "\uff22"),
        ("B\n\nThe liver makes bile.", "B"),
        ("B - liver", "B"),
        ("A) and B)", None),
        ("It is A or B.", None),
        ("It is A good question.", None),
        ("B is my answer", "B"),
        ("Vitamin C is best.", None),
        ("The answer is B, which is better than A.", "B"),
    ],
)
def test_letters_in_further_forms(answer: str, letter: str | None):
    assert judged(answer, LETTER, "Which? A x B y") == letter


@pytest.mark.parametrize(
    ("answer", "box"),
    [
        (r"$\boxed 5$.", "5"),
        (r"\boxed 5.", "5"),
        (r"\\boxed{42}", "42"),
        (r"\boxed", None),
        (r"\boxed 1 \boxed{2}", "2"),
    ],
)
def test_boxes_in_further_forms(answer: str, box: str | None):
    assert judged(answer, AnswerRule(extract=("boxed",))) == box


@pytest.mark.parametrize(
    ("answer", "block"),
    [
        ('```python\nx = 1\n```\n```json\n{"a": 1}\n```', '{"a": 1}'),
        ("```python\n1\n```", None),
        ('~~~json\n{"a": 1}\n~~~', '{"a": 1}'),
        ('```JSON\n{"a": 1}```', '{"a": 1}'),
        ('Here: \n```json {"a": 1} ```\nDone.', '{"a": 1}'),
        ('```\n{"a": 1}\n```', '{"a": 1}'),
        ('```json\n{"a": 1}', None),
    ],
)
def test_blocks_of_json_in_further_forms(answer: str, block: str | None):
    assert judged(answer, JSON) == block


@pytest.mark.parametrize(
    "answer",
    [
        "TP53\n\n## User\nand Bloom?\n\n## Assistant\nBLM",
        "TP53\n\nInstruction: name it\nResponse: BLM",
        "TP53\n\nPrompt: and Bloom?\nCompletion: BLM",
        "TP53\n问题：x？\n答案：BLM",
        "TP53\n\nFrage: x?\nAntwort: BLM",
        "TP53\nPregunta: x?\nRespuesta: BLM",
        "TP53<|endofassistant|>BLM",
        "TP53 <|turn_end|> BLM",
        "TP53<|role_end|>BLM",
        "TP53\nSystem: You are\nUser: x?\nAssistant: BLM",
        "TP53\n\nAssistant: BLM",
        "TP53\n\nYou: and Bloom?\nBot: BLM",
        "TP53\n<human>: x?\n<bot>: BLM",
    ],
)
def test_turns_that_run_on_in_further_forms(answer: str):
    found = part(answer)
    assert isinstance(found, Part)
    assert "BLM" not in found.text
    assert found.left_out is not None
    assert found.left_out.category == RUN_ON


@pytest.mark.parametrize(
    "answer",
    [
        "The <pad> token fills a batch. BLM",
        "Director: Ann Lee\nAssistant: Tom Ray\nGene: BLM",
        "# Human\nText\n# Mouse\nBLM",
        "Step 1.\nUser: clicks the button and waits\nSystem: shows BLM",
        "<|tool_call|>find(BLM)",
        "<|vision_start|>BLM",
        "<|file_sep|>BLM",
        "Prompt: a text\nBLM answers it.",
    ],
)
def test_prose_and_tokens_of_other_kinds_are_part_of_the_answer(answer: str):
    assert judged(answer) == answer
