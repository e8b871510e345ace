"""What part of an answer is judged: reasoning taken off, an answer extracted, what runs on left out."""

from __future__ import annotations

import pytest

from tunegate.cases.case import Case
from tunegate.checks.answers import extract as extract_module
from tunegate.checks.answers.extract import PRESETS, extract, fault_of_rule
from tunegate.checks.answers.part import AUTO, THINK, AnswerRule, Part, part_of, reference_part
from tunegate.checks.outcome import Finding, Verdict
from tunegate.models.model import FinishReason, Response
from tunegate.reading.chats import Message

THINKING = AnswerRule(THINK)


def part(
    answer: str,
    rule: AnswerRule = AUTO,
    prompt: str = "Which gene is it?",
    *references: str,
    finish: FinishReason = "stop",
) -> Part | Finding:
    return part_of(Response(answer, finish), Case("1", prompt, references), rule)


def judged(answer: str, rule: AnswerRule = AUTO, prompt: str = "Which gene is it?", *references: str) -> str:
    found = part(answer, rule, prompt, *references)
    assert isinstance(found, Part), found
    assert answer[found.start : found.start + len(found.text)] == found.text
    return found.text


def missed(answer: str, rule: AnswerRule, finish: FinishReason = "stop") -> str:
    found = part(answer, rule, finish=finish)
    assert isinstance(found, Finding)
    assert found.verdict is Verdict.FAIL
    [error] = found.errors
    return error.category


# --- reasoning -----------------------------------------------------------------------------------------------------

BLOCKS = [
    "<think>\nCould be BLM, but no.\n</think>\n\nTP53",
    "<think>\n\n</think>\n\nTP53",
    "Could be BLM, but no.\n</think>\n\nTP53",  # the template wrote the opening
    "<thinking>BLM?</thinking>TP53",
    "<reasoning>BLM?</reasoning>\nTP53",
    "<THINK>BLM?</THINK>TP53",
    "[THINK]BLM?[/THINK]TP53",
    "◁think▷BLM?◁/think▷TP53",
    "<|channel|>analysis<|message|>BLM?<|end|><|start|>assistant<|channel|>final<|message|>TP53",
    "<|channel|>analysis<|message|>BLM?<|end|><|start|>assistant<|channel|>final<|message|>TP53<|return|>",
    "<|start|>assistant<|channel|>analysis<|message|>BLM?<|end|><|start|>assistant<|channel|>final<|message|>TP53",
    "analysisCould be BLM.assistantfinalTP53",
    "Could be BLM.<|end|><|start|>assistant<|channel|>final<|message|>TP53",  # the template wrote the opening
    "<|begin_of_thought|>BLM?<|end_of_thought|>TP53",
    "<|START_THINKING|>BLM?<|END_THINKING|>TP53",
    "<seed:think>BLM?</seed:think>TP53",
    "<think>BLM?</think>Hm.<think>No.</think>TP53",
    "<think>User: asks for a gene.\nAssistant: should answer. BLM?</think>TP53",
    "<think>BLM?</think>TP53<|im_end|>",
    "<|im_start|>assistant\n<think>BLM?</think>TP53<|im_end|>",
    "Here is my thought process: BLM?\n\nHere is my response: TP53",
]


@pytest.mark.parametrize("answer", BLOCKS)
def test_think_judges_what_follows_the_reasoning(answer: str) -> None:
    assert judged(answer, THINKING) == "TP53"


@pytest.mark.parametrize("answer", BLOCKS)
def test_without_a_word_about_it_reasoning_is_not_judged_at_all(answer: str) -> None:
    found = part(answer)
    assert isinstance(found, Finding)
    assert found.verdict is Verdict.INVALID
    assert "answer: think" in found.reason
    assert "answer: whole" in found.reason


@pytest.mark.parametrize("answer", [*BLOCKS, "<think>BLM", "BLM<|im_end|>"])
def test_whole_judges_everything(answer: str) -> None:
    assert judged(answer, AnswerRule(whole=True)) == answer


@pytest.mark.parametrize(
    "answer",
    [
        "<think>Could be BLM",
        "<think>a</think>BLM<think>or",
        "<|channel|>analysis<|message|>Could be BLM",
        "analysisCould be BLM",
        "◁think▷BLM",
        "[THINK] BLM",
    ],
)
def test_a_block_that_never_ends_is_a_miss_of_its_own_name(answer: str) -> None:
    assert missed(answer, THINKING) == "unfinished_reasoning"
    assert missed(answer, AnswerRule("</think>")) == "unfinished_reasoning"
    assert missed(answer, AnswerRule(extract=("letter", "BL(M)"))) == "unfinished_reasoning"


def test_the_token_limit_within_reasoning_that_the_template_opened() -> None:
    assert missed("Could be BLM, but", THINKING, "length") == "unfinished_reasoning"
    assert missed("Could be BLM, but", AnswerRule("</think>"), "length") == "unfinished_reasoning"


def test_an_answer_without_reasoning_is_judged_whole_by_think_and_misses_by_a_mark() -> None:
    assert judged("BLM", THINKING) == "BLM"
    assert missed("BLM", AnswerRule("</think>")) == "no_answer"
    assert judged("It is BLM. Final answer: TP53", AnswerRule("Final answer:")) == "TP53"
    assert missed("<think>BLM</think>\n", THINKING) == "no_answer"


def test_a_tag_that_is_spoken_of_is_no_reasoning() -> None:
    answer = "Qwen wraps its reasoning in `<think>` and `</think>`."
    assert judged(answer) == answer


# --- running on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail",
    [
        "<|im_end|>\n<|im_start|>user\nWhich gene causes Bloom?<|im_end|>\n<|im_start|>assistant\nBLM",
        "</s>[INST] And where is bile made? [/INST] BLM",
        " [/INST] BLM",
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd?<|eot_id|>BLM",
        "<|endoftext|>BLM is a gene",
        "<end_of_turn>\n<start_of_turn>user\nBLM?",
        "<|user|>\nand Bloom?\n<|assistant|>\nBLM",
        "<|end|><|user|>BLM",
        "<｜end▁of▁sentence｜><｜User｜>BLM?",
        "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|>BLM",
        "\n\n### Instruction:\nName the gene.\n\n### Response:\nBLM",
        "\n### Human: And Bloom?\n### Assistant: BLM",
        "\nUser: Which gene causes Bloom?\nAssistant: BLM",
        "\nHuman: and Bloom?\n\nAssistant: BLM",
        "\n\nUSER: Which gene causes Bloom?\nASSISTANT: BLM",
        "\nUser: Which gene causes Bloom? BLM",
        "\nHuman: tell me about BLM now",
        "\n**User:** And Bloom?\n**Assistant:** BLM",
        "\n\nQuestion: Which gene causes Bloom?\nAnswer: BLM",
        "\nuser: which gene causes it?\nassistant: BLM",
        "\nuser\nWhich gene?\nassistant\nBLM",
        "user\n\nWhich gene?assistant\n\nBLM",
        "assistant\n\nBLM",
        "\nQ: And Bloom?\nA: BLM",
        "\n[User]: Which?\n[Assistant]: BLM",
        "\n<user>Which?</user>\n<assistant>BLM",
        "\n### Question:\nWhich?\n### Answer:\nBLM",
        " USER: Which gene? ASSISTANT: BLM",
        " Human: which one? Assistant: BLM",
        "\nGPT4 Correct User: which?\nGPT4 Correct Assistant: BLM",
        "\n用户：哪个？\n助手：BLM",
        "\n\n问：什么？\n答：BLM",
        "\nBenutzer: Welches Gen?\nAssistent: BLM",
        "\nUtilisateur : lequel ?\nAssistant : BLM",
        "<|im_end|>\n<think>BLM",
        "<|im_end|><|im_start|>assistant\n<think>x</think>BLM",
    ],
)
@pytest.mark.parametrize("rule", [AnswerRule(), THINKING])
def test_what_follows_the_models_own_turn_is_not_judged_and_that_is_said(tail: str, rule: AnswerRule) -> None:
    found = part("TP53" + tail, rule)
    assert isinstance(found, Part)
    assert found.text == "TP53"
    assert found.left_out is not None
    assert found.left_out.category == "run_on"
    assert "run_on" in found.note


@pytest.mark.parametrize(
    ("answer", "own"),
    [
        ("BLM<|im_end|>", "BLM"),
        ("liver</s>", "liver"),
        ("BLM <|eot_id|>\n", "BLM"),
        ("BLM<|im_end|>\n<|endoftext|><|endoftext|>", "BLM"),
        ("BLM<eos><pad><pad>", "BLM"),
    ],
)
def test_a_control_token_at_the_end_is_taken_off_and_named(answer: str, own: str) -> None:
    found = part(answer)
    assert isinstance(found, Part)
    assert found.text == own
    assert found.left_out is not None
    assert found.left_out.category == "control_token"
    assert "control token" in found.note


@pytest.mark.parametrize(
    "answer",
    [
        "<|im_start|>assistant\nBLM<|im_end|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\nBLM",
        "<start_of_turn>model\nBLM<end_of_turn>",
        "<s> BLM</s>",
        "<|assistant|>\nBLM",
        "[/INST] BLM",
        "### Response:\nBLM",
        "Assistant: BLM\nUser: and the other one?\nAssistant: TP53",
    ],
)
def test_the_opening_of_the_models_own_turn_is_taken_off(answer: str) -> None:
    assert judged(answer) == "BLM"


def test_the_label_of_a_question_in_a_prompt_in_turns_is_a_further_turn_in_the_answer() -> None:
    prompt = "Q: Which gene is it?\nA: TP53\n\nQ: And now?\nA:"
    assert judged("TP53\n\nQ: And Bloom?\nA: BLM", prompt=prompt) == "TP53"
    prompt = "Question 1: Which gene?\nAnswer: TP53\n\nQuestion 2: And now?\nAnswer:"
    assert judged("TP53\n\nQuestion 3: And Bloom?\nAnswer: BLM", prompt=prompt) == "TP53"
    assert judged("TP53\nUser: And Bloom?\nAssistant: BLM", prompt="User: Which gene?\nAssistant:") == "TP53"
    assert judged("TP53\n\n### Response:\nBLM", prompt="### Instruction:\nName it.\n\n### Response:\n") == "TP53"
    quiz = "Sure.\n\nQuestion: Which gene?\nAnswer: BLM"
    assert judged(quiz, prompt="Write a quiz.") == quiz


PROSE = [
    "To log in, enter:\nUser: root\nPassword: toor\nHost: localhost",
    "Roles:\nAdmin: can do everything\nUser: can edit their own posts only\nGuest: can read",
    "The user: a person who uses the system. Human: all of us.",
    "Assign each role.\n- User: sends the question\n- Assistant: sends the answer",
    "It acts as a virtual\nassistant\n\nfor every\nuser\nof the shop.",
    "Fields:\nName: text\nuser: the id\nassistant: the helper's id\nDate: a day",
    "The superuser\nmay do it.",
    "In ChatML a turn ends in `<|im_end|>`, and the next begins with `<|im_start|>user`.",
    'tokenizer.eos_token = "<|endoftext|>"\nprint("done")',
    "```python\nPROMPT = '''\nUser: {question}\nAssistant:'''\ntext = '<|user|>'\n```\nUse it so.",
    "The price was <s>$20</s> $15, and <s>that</s> it stays.",
    "a <| b |> c, and f <|> g in Haskell",
    "| User | Human |\n|---|---|\n| 1 | 2 |",
    "# Instruction\n\nMix well.\n\n## Response\n\nGood.",
    "Question: what is a gene? Answer: a stretch of DNA.",
    "### Input:\n\nA file.\n\n### Response:\n\n200 OK",
    "The enzyme [INSTR] reads its input.",
    "She said: human: the word is Latin.",
    "Use <b>bold</b>, <section> and <end>.",
    "Wenn A < B und C > D, dann |x| > 0 und <|x|> = 3.",
]


@pytest.mark.parametrize("answer", PROSE)
def test_normal_text_and_code_do_not_run_on(answer: str) -> None:
    assert part(answer) == Part(answer)


def test_a_dialogue_that_the_case_asks_for_is_judged_whole() -> None:
    dialogue = "Sure:\n\nUser: Where is my parcel?\nAssistant: On its way."
    assert judged(dialogue, prompt="Write a short conversation with a support bot.") == dialogue
    assert judged(dialogue, prompt="Complete it. User: Where is my parcel? Who said it?") == dialogue
    alone = "User: Where is my parcel?\nAssistant: On its way."
    assert judged(alone) == alone


def test_a_control_token_that_is_asked_for_is_the_answer() -> None:
    prompt = "Which token ends a turn in ChatML?"
    assert judged("<|im_end|>", prompt=prompt) == "<|im_end|>"
    assert part("It is <|im_end|>, as in ChatML.", AnswerRule(), prompt, "<|im_end|>") == Part(
        "It is <|im_end|>, as in ChatML."
    )


def test_the_last_message_of_a_chat_is_the_prompt() -> None:
    chat = (Message(role="user", content="Write a dialogue."), Message(role="user", content="Which gene?"))
    found = part_of(Response("TP53\nUser: and Bloom?\nAssistant: BLM"), Case("1", chat), AnswerRule())
    assert isinstance(found, Part)
    assert found.text == "TP53"


# --- extracting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "text", "wanted"),
    [
        ("boxed", r"So the answer is $\boxed{42}$.", "42"),
        ("boxed", r"\boxed{41}, no: \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("boxed", r"\boxed{\text{B}}", "B"),
        ("boxed", r"\boxed {x}", "x"),
        ("boxed", r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("boxed", "42", None),
        ("boxed", r"\boxed{42", None),
        ("letter", "Answer: (B)", "B"),
        ("letter", "The answer is B because z holds.", "B"),
        ("letter", "**Answer:** C", "C"),
        ("letter", "The correct answer is **D**.", "D"),
        ("letter", "the answer is (b)", "b"),
        ("letter", "B", "B"),
        ("letter", "(B)", "B"),
        ("letter", "B.", "B"),
        ("letter", "B) the liver", "B"),
        ("letter", "B. the liver", "B"),
        ("letter", "I think so.\n\nC", "C"),
        ("letter", "Answer: A? No. Answer: C", "C"),
        ("letter", r"Answer: \boxed{C}", "C"),
        ("letter", "答案是B。", "B"),
        ("letter", "The answer is a clear C.", None),
        ("letter", "It is a clear C.", None),
        ("letter", "The answer is not B", None),
        ("letter", "Answer: A or B", None),
        ("letter", "The liver", None),
        ("letter", "The answer is B. Option A is wrong.", "B"),
        ("letter", "Option C is correct.", "C"),
        ("letter", "The correct option is (C).", "C"),
        ("letter", "Option A is wrong, so it must be another.", None),
        ("letter", r"Final Answer: The final answer is $\boxed{B}$.", "B"),
        ("letter", "Answer: not B", None),
        ("letter", "Answer: Because", None),
        ("last_number", "They add up.\n#### 1,007", "1,007"),
        ("last_number", "3 + 4 = 7.", "7"),
        ("last_number", "It is -5.", "-5"),
        ("last_number", "none", None),
        ("fenced_json", 'Here:\n```json\n{"a": 1}\n```\nDone.', '{"a": 1}'),
        ("fenced_json", '```\n[1]\n```\n```json\n{"a": 2}\n```', '{"a": 2}'),
        ("fenced_json", '{"a": 1}', '{"a": 1}'),
        ("fenced_json", '```json\n{"a": 1}', None),
        ("fenced_json", "no", None),
        (r"#### (.*)", "x #### 1\n#### 7\n", "7"),
        (r"<answer>(.*?)</answer>", "<answer>a</answer> <answer> b </answer>", "b"),
        (r"\\boxed\{(.*)\}|Answer: \((\w)\)|#### (.*)", "Answer: (B)", "B"),
        (r"\\boxed\{(.*)\}|Answer: \((\w)\)|#### (.*)", "so #### 7", "7"),
        (r"(x*)", "ab", None),
    ],
)
def test_what_is_extracted(rule: str, text: str, wanted: str | None) -> None:
    assert fault_of_rule(rule) is None or rule in PRESETS
    place = extract(text, (rule,))
    assert (text[slice(*place)] if place else None) == wanted


def test_of_several_rules_the_first_that_finds_anything_counts() -> None:
    rule = AnswerRule(extract=("boxed", "letter", "#### (.*)"))
    assert judged(r"\boxed{42}", rule) == "42"
    assert judged("Answer: (B)", rule) == "B"
    assert judged("so #### 7", rule) == "7"
    assert missed("nothing", rule) == "no_answer"


def test_reasoning_is_not_searched() -> None:
    assert judged(r"<think>\boxed{41}</think>\boxed{42}", AnswerRule(extract=("boxed",))) == "42"
    assert missed(r"<think>\boxed{41}</think>I do not know.", AnswerRule(extract=("boxed",))) == "no_answer"


def test_a_reference_is_taken_apart_by_the_same_rule_where_it_has_that_form() -> None:
    rule = AnswerRule(extract=("#### (.*)",))
    assert reference_part("They add up.\n#### 7", rule) == "7"
    assert reference_part("42", rule) == "42"
    assert reference_part("<think>x</think>BLM", THINKING) == "BLM"
    assert reference_part("<think>x</think>BLM", AnswerRule()) == "<think>x</think>BLM"


def test_a_pattern_that_takes_for_ever_is_invalid_and_not_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract_module, "EXTRACT_LIMIT_S", 0.1)
    found = part("a" * 40 + "!", AnswerRule(extract=(r"((?:a+)+)$",)))
    assert isinstance(found, Finding)
    assert found.verdict is Verdict.INVALID


@pytest.mark.parametrize("rule", ["bxed", "a", "(a)(b)", "((a)b)", "(a", "(a)|b", "*"])
def test_what_is_neither_a_preset_nor_a_pattern_with_one_group(rule: str) -> None:
    assert fault_of_rule(rule)


@pytest.mark.parametrize("rule", ["(a)|(b)", "(?:a|b)(c)", "[(|](a)", r"\((\w)\)", "(?P<answer>a)", "[^]|](a)"])
def test_patterns_with_one_group(rule: str) -> None:
    assert fault_of_rule(rule) is None
