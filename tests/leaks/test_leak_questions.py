"""Leaks by question: a case's question in another frame, with other options, or alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.leak_helpers import prompts, suite
from tunegate.cases.case import Case, Prompt
from tunegate.leaks.leakage import compare
from tunegate.leaks.parts import frame, questions, segments
from tunegate.leaks.texts import TrainRow, row_as_it_is
from tunegate.suites.suite import Suite
from tunegate.text.normal_form import normalised

ENZYME = "Which of the following enzymes is deficient in patients with classic phenylketonuria?"
NERVE = "Which of these cranial nerves carries taste from the anterior part of the tongue?"
PLANET = "Which planet of the solar system has the shortest day measured at its equator?"
SHORT, SHORTER = "What causes malaria in humans?", "What causes malaria?"
OPTIONS = {
    ENZYME: ("phenylalanine hydroxylase", "tyrosinase", "homogentisate oxidase", "fumarylacetoacetase"),
    NERVE: ("facial nerve", "vagus nerve", "hypoglossal nerve", "trigeminal nerve"),
    PLANET: ("Jupiter", "Mars", "Venus", "Mercury"),
    SHORT: ("a virus", "a parasite", "a bacterium", "a fungus"),
    SHORTER: ("virus", "parasite", "bacterium", "fungus"),
}
EXAMPLES = "Question: What is the capital of France?\nA. Paris\nB. Rome\nAnswer: A\n\n"


def listed(question: str, form: str = "{}. ", labels: str = "ABCD", joint: str = "\n") -> str:
    return joint.join([question, *(form.format(x) + o for x, o in zip(labels, OPTIONS[question], strict=False))])


FRAMES = {
    "MMLU": lambda q: f"{listed(q)}\nAnswer:",
    "labelled": lambda q: f"Question: {q}\nOptions:\n{listed(q, '({}) ')[len(q) + 1 :]}\nAnswer with one letter.",
    "in one line": lambda q: f"Q: {listed(q, '({}) ', joint=' ')} A:",
    "instructions": lambda q: (
        f"The following are multiple choice questions. Give your answer as a letter.\n\n{listed(q)}\n\n"
        "Answer with the letter of the right option and nothing else."
    ),
    "examples": lambda q: f"{EXAMPLES}Question: {listed(q)}\nAnswer:",
    "bullets": lambda q: f"{q}\n" + "\n".join(f"- {option}" for option in OPTIONS[q]),
}
TAUGHT = {
    "bare": lambda q: q,
    "relabelled": lambda q: f"{listed(q, '{}) ', '1234')}\nAnswer:",
    "shuffled": lambda q: "\n".join([q, *(f"{x}. {o}" for x, o in zip("ABCD", OPTIONS[q][::-1], strict=True))]),
    "shuffled with letters": lambda q: "\n".join([q, *sorted(listed(q).split("\n")[1:], reverse=True)]),
    "in one line": lambda q: listed(q, "{}) ", "abcd", " "),
    "labelled": lambda q: f"Question: {q}\nAnswer:",
    "capitals": lambda q: q.upper(),
    "bullets": lambda q: f"### Question\n{q}\n### Options\n" + "\n".join(f"* {option}" for option in OPTIONS[q]),
    "round": lambda q: listed(q, "{} ", "①②③④"),
    "two options": lambda q: listed(q, "{}. ", "AB"),
}


def bank(name: str, *asked: str) -> Suite:
    return prompts(*(FRAMES[name](question) for question in asked))


def case_ids(taught: str, *suites: Suite, answer: str = "A") -> set[str]:
    return {leak.case_id for leak in compare([TrainRow("t.jsonl", 1, (taught,), (answer,))], suites)}


def told(asked: Suite, *questions: str) -> dict[tuple[str, str], set[str]]:
    """By form and question, the cases that a row gives away."""
    taught = [(form, question) for form in TAUGHT for question in questions]
    rows = [TrainRow("t.jsonl", at, (TAUGHT[form](question),), ("A",)) for at, (form, question) in enumerate(taught)]
    leaks = compare(rows, [asked])
    return {key: {leak.case_id for leak in leaks if leak.train_row == at} for at, key in enumerate(taught)}


@pytest.mark.parametrize("name", FRAMES)
def test_each_question_is_found_in_each_other_frame(name: str) -> None:
    found = told(bank(name, *OPTIONS), ENZYME, NERVE, PLANET)
    assert found == {(form, q): {f"c{1 + [ENZYME, NERVE, PLANET].index(q)}"} for form, q in found}


@pytest.mark.parametrize("name", FRAMES)
def test_so_are_short_questions(name: str) -> None:
    found = told(bank(name, ENZYME, NERVE, SHORT, SHORTER), SHORT, SHORTER)
    assert found == {(form, q): {"c3" if q == SHORT else "c4"} for form, q in found}


def test_a_bare_case_is_found_in_rows_with_options() -> None:
    asked = [PLANET, SHORT, SHORTER]
    found = told(suite(*(Case(f"c{at}", q, choices=OPTIONS[q]) for at, q in enumerate(asked))), *asked)
    assert found == {(form, q): {f"c{asked.index(q)}"} for form, q in found}


@pytest.mark.parametrize("name", ["MMLU", "in one line", "labelled"])
def test_one_case_is_a_bank_too(name: str) -> None:
    assert case_ids(ENZYME, bank(name, ENZYME)) == {"c1"}
    assert case_ids(SHORTER, bank(name, SHORTER)) == {"c1"}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": ENZYME}, {"role": "assistant", "content": "the first"}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
                      {"role": "user", "content": listed(ENZYME, "{}) ", "1234")},
                      {"role": "assistant", "content": "1"}]},
        {"question": ENZYME, "choices": list(OPTIONS[ENZYME]), "answer": 0},
        {"input": ENZYME, "A": "x", "B": "y", "target": "B"},
        {"instruction": "Answer the question.", "input": ENZYME, "output": "phenylalanine hydroxylase"},
        {"prompt": "Explain.", "completion": f"{ENZYME} It is phenylalanine hydroxylase."},
        {"data": {"question": {"stem": ENZYME, "choices": [{"label": "A", "text": "tyrosinase"}]}}},
        {"text": f"Quiz of the day. {ENZYME} Phenylalanine hydroxylase, of course."},
    ],
)  # fmt: skip
def test_a_question_is_found_in_whatever_field_of_a_row(row: dict[str, Any]) -> None:
    leaks = compare([row_as_it_is("t.jsonl", 1, row)], [bank("MMLU", ENZYME, NERVE, PLANET)])
    assert {leak.case_id for leak in leaks} == {"c1"}
    assert {leak.kind for leak in leaks} <= {"exact", "containment"}


def test_a_chat_of_examples_hides_no_question() -> None:
    shots: tuple[Any, ...] = ({"role": "user", "content": "What is 1+1?"}, {"role": "assistant", "content": "2"})
    chats: list[Prompt] = [(*shots, {"role": "user", "content": FRAMES["MMLU"](q)}) for q in (ENZYME, NERVE, PLANET)]
    assert case_ids(NERVE, prompts(*chats)) == {"c2"}
    assert not case_ids("What is 1+1?", prompts(*chats))


def test_a_question_in_the_middle_of_a_line_of_words_is_found() -> None:
    asked = "Read with care. Name the enzyme that is deficient in patients with phenylketonuria. Reply in one word."
    assert case_ids("Name the enzyme that is deficient in patients with phenylketonuria.", prompts(asked)) == {"c1"}


def test_a_question_about_a_passage_is_found_without_it_and_not_beside_another() -> None:
    title = "What is the best title for the passage above?"
    asked = prompts(
        f"The river rises in the hills and runs through seven towns before the sea.\n\n{title}\nA. Rivers\nB. Hills",
        f"Bees tell each other by a dance where the flowers are that they found.\n\n{ENZYME}\nA. Bees\nB. Dances",
    )
    other = "A comet is a lump of ice and dust that comes near the sun every so many years."
    assert not case_ids(f"{other}\n\n{title}\nA. Comets\nB. Ice", asked)
    raw = row_as_it_is("t.jsonl", 1, {"article": other, "question": title, "options": ["Comets", "Ice"]})
    assert not compare([raw], [asked])
    assert case_ids(ENZYME, asked) == {"c2"}


TITLE, MONTH = "What is the best title for the passage above?", "In which month does it begin?"
RIVER = "The river rises in the hills and runs through seven towns before the sea."
COMET = "A comet is a lump of ice and dust that comes near the sun every so many years."


@pytest.mark.parametrize("order", [1, -1])
def test_a_row_that_asks_about_another_passage_hides_no_row_that_asks_without_one(order: int) -> None:
    asked = prompts(f"{RIVER}\n\n{TITLE}\nA. Rivers\nB. Hills", f"{ENZYME}\nA. Bees\nB. Dances")
    taught = [{"question": TITLE}, {"article": COMET, "question": TITLE}]
    rows = [row_as_it_is("t.jsonl", number, row) for number, row in enumerate(taught, 1)][::order]
    assert [(leak.train_row, leak.case_id) for leak in compare(rows, [asked])] == [(1, "c1")]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("question", [TITLE, MONTH])
def test_a_case_that_asks_about_a_passage_hides_no_case_that_asks_without_one(question: str, order: int) -> None:
    both = [
        Case("with", f"{RIVER}\n\n{question}\nA. Rivers\nB. Hills"),
        Case("without", f"{question}\nA. Bees\nB. Ice"),
    ]
    asked = suite(*both[::order], *(Case(q, listed(q)) for q in OPTIONS))
    assert case_ids(f"{COMET}\n\n{question}\nA. Comets\nB. Ice", asked) == {"without"}
    assert case_ids(question, asked) == {"with", "without"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_bare_case_hides_no_case_with_the_same_question_in_a_frame(order: int) -> None:
    asked = suite(*[Case("bare", SHORT), Case("framed", listed(SHORT))][::order], Case("other", listed(PLANET)))
    assert case_ids(f"I wonder. {SHORT} Please answer.", asked) == {"bare", "framed"}


def test_layouts_of_one_case_do_not_make_its_words_common() -> None:
    whole = f"{ENZYME[:-1]} and how is it found in newborn children"
    layouts = [f"{whole[:at]}, {whole[at + 1 :]}" for at, sign in enumerate(whole) if sign == " "]
    assert case_ids(ENZYME, prompts(whole)) == {"c1"}
    assert len(case_ids(ENZYME, prompts(*layouts))) == len(layouts) == 19


def test_a_long_option_that_is_taught_as_an_answer_gives_its_case_away() -> None:
    option = "the enzyme that turns phenylalanine into tyrosine is missing in the liver"
    asked = prompts(f"Why do they fall ill?\nA. {option}\nB. nobody knows", f"{ENZYME}\nA. one\nB. two")
    assert case_ids("Tell me about PKU", asked, answer=option.capitalize()) == {"c1"}
    assert not case_ids("Tell me about PKU", asked, answer=f"{'It is a long story. ' * 20} {option}.")


COMMON_TO_ALL = [
    "Answer with the letter of the right option and nothing else.",
    "The following are multiple choice questions. Give your answer as a letter.",
    "Question:",
    "Answer with one letter.",
    "Paris",
    "Yes",
    "A. Mars\nB. Venus",
    "What is the capital of France?",
    "facial nerve",
    "A. facial nerve\nB. vagus nerve\nC. hypoglossal nerve\nD. trigeminal nerve",
]
OTHERS = [
    "Which of the following enzymes is deficient in patients with Gaucher disease?",
    "Which of the following enzymes is raised in patients with acute pancreatitis?",
    "Which of these cranial nerves carries taste from the posterior part of the tongue and the throat?",
    "Which planet of the solar system has the longest day?",
    "What causes cholera in humans?",
    "What causes gout?",
    "How is malaria treated in humans?",
    "Name the enzymes of the urea cycle in the right order.",
]


@pytest.mark.parametrize("name", FRAMES)
def test_what_many_prompts_share_is_no_leak(name: str) -> None:
    taught = [*COMMON_TO_ALL, *(f"{text}\nWhat is the boiling point of water at sea level?" for text in COMMON_TO_ALL)]
    rows = [TrainRow("t.jsonl", at, (text,), ("Yes",)) for at, text in enumerate(taught)]
    assert not compare(rows, [bank(name, *OPTIONS)])


@pytest.mark.parametrize("name", FRAMES)
def test_another_question_in_the_same_frame_is_none(name: str) -> None:
    """One option, and the frame, are the same."""
    asked = bank(name, *OPTIONS)
    taught = [
        FRAMES[name](question).replace(question, other).replace(option, f"not {option[::-1]}")
        for other in OTHERS
        for question, options in OPTIONS.items()
        for option in options[1:]
    ]
    assert not compare(
        [TrainRow("t.jsonl", at, (text,), ("A",)) for at, text in enumerate([*taught, *OTHERS])], [asked]
    )


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("1. What causes it?\n1. a\n2. b", "what causes it"),
        ("血友病的遗传方式是什么？①伴性②显性", "血 友 病 的 遗 传 方 式 是 什 么"),
        ("下列哪一项是正确的？A．基因B．蛋白C．糖", "下 列 哪 一 项 是 正 确 的"),
        ("질문: 이것은 무엇입니까? 가. 나무 나. 돌", normalised("이것은 무엇입니까")),
        ("Name the enzyme.\nB. foo\nA. bar\nReply with one letter.", "name the enzyme"),
        ("Who was it?\n**A)** foo\n**B)** bar", "who was it"),
        ("Hepatitis A. and hepatitis C. are what?", "hepatitis a and hepatitis c are what"),
        ("", ""),
    ],
)
def test_what_a_prompt_asks(text: str, asked: str) -> None:
    assert " ".join(question.normal for question in questions(segments(text))) == asked


def test_the_frame_is_what_many_prompts_share() -> None:
    asked = [segments(f"Answer briefly. {question} Thank you.") for question in OPTIONS]
    assert frame(asked) == {"answer briefly", "thank you"}
    assert frame([segments("Why is the sky blue?")] * 9) == frozenset()


def test_a_sentence_of_the_passage_is_no_question() -> None:
    common = "Most often the parents of such a child each carry one copy of the gene but show no signs of it."
    facts = {"hyperprolinemia": "Two genes are known.", "ataxia": "It begins early.", "acatalasemia": "It is mild."}
    asked = prompts(*(f"{fact} {common}\n\nHow is {name} inherited?" for name, fact in facts.items()))
    assert not case_ids(f"It is rare. {common}\n\nHow is achondrogenesis inherited?", asked)
    assert case_ids(f"It is rare. {common}\n\nHow is ataxia inherited?", asked) <= {"c2"}
