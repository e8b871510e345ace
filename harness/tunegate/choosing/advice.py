"""Recommends stages for a goal and the available data, with reasons, and says what to avoid. Pure functions.

The rules are the tables below, read from top to bottom; the first rule of a stage's name that applies is used. The
minimum numbers of rows are only rules of thumb: a gate shows whether they were enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from tunegate.data.methods import METHODS, MethodName

Improve = Literal["language", "knowledge", "task", "behaviour"]
Data = Literal["raw", "labelled", "explained", "pairs", "thumbs", "prompts"]
ModelKind = Literal["base", "instruct"]
Budget = Literal["cpu", "gpu", "more"]
Licence = Literal["any", "commercial", "open"]

DATA: Mapping[Data, str] = {
    "raw": "plain text of the domain, in words",
    "labelled": "prompts with the right answer",
    "explained": "prompts with the right answer and why it is right",
    "pairs": "prompts with a better and a worse answer",
    "thumbs": "answers with thumbs up or down",
    "prompts": "prompts without an answer",
}
LEAST: Mapping[Data, int] = {
    "raw": 50_000,
    "labelled": 50,
    "explained": 50,
    "pairs": 100,
    "thumbs": 100,
    "prompts": 200,
}
"""With fewer rows (words, for raw text), a kind of data is not worth a training."""
MANNERS: tuple[Improve, ...] = ("task", "behaviour")
"""What preferences can improve: which answer the model gives, not what it knows."""

USEFUL: Mapping[Improve, tuple[Data, ...]] = {
    "language": ("raw", "labelled"),
    "knowledge": ("raw", "labelled"),
    "task": ("labelled", "explained", "pairs"),
    "behaviour": ("pairs", "thumbs", "labelled"),
}
"""The data to collect for each goal, if there is too little of everything."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The goal and the available data. `data` counts rows, or words of raw text; missing kinds count as 0."""

    improve: Improve
    data: Mapping[Data, int]
    model_kind: ModelKind
    budget: Budget
    licence: Licence = "any"

    def has(self, kind: Data, least: int | None = None) -> bool:
        """Whether there is enough of a kind of data."""
        return self.data.get(kind, 0) >= (LEAST[kind] if least is None else least)

    @property
    def answered(self) -> bool:
        """Whether there are right answers to imitate."""
        return self.has("labelled") or self.has("explained")

    @property
    def can_answer(self) -> bool:
        """Whether the model answers, rather than continues, before its preferences are trained."""
        return self.model_kind == "instruct" or self.answered

    @property
    def rewards(self) -> bool:
        """Whether a reward model can be trained and paid for: pairs enough, and answers sampled by the thousand."""
        enough = self.has("pairs", 500) and self.has("prompts")
        return enough and self.budget == "more" and self.improve == "behaviour" and self.can_answer


When = Callable[[Situation], bool]


@dataclass(frozen=True, slots=True)
class StageRule:
    """A stage, the data that it is trained on, when it is advised, and why. `source` is where the rule comes from."""

    name: str
    method: MethodName
    data: Data
    when: When
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class Caution:
    """Something not to do, when, and where that comes from: empty for what is plain arithmetic or a rule of thumb.

    `how_to_train`: it is not said where nothing is trained.
    """

    when: When
    text: str
    source: str
    how_to_train: bool = False


STAGES: tuple[StageRule, ...] = (
    StageRule(
        "fewshot", "fewshot", "labelled", lambda s: s.has("labelled", 8),
        "A few examples in the prompt cost no training; a fine-tune that is not better is not worth its cost.",
        "Brown and others 2020, Language Models are Few-Shot Learners",
    ),
    StageRule(
        "fewshot", "fewshot", "explained", lambda s: s.has("explained", 8),
        "A few examples in the prompt cost no training; a fine-tune that is not better is not worth its cost.",
        "Brown and others 2020, Language Models are Few-Shot Learners",
    ),
    StageRule(
        "cpt", "cpt", "raw",
        lambda s: s.has("raw") and s.improve in ("language", "knowledge") and (s.answered or s.model_kind == "base"),
        "Words and facts are learned from text: first continue the model's pre-training on your text.",
        "Gururangan and others 2020, Don't Stop Pretraining",
    ),
    StageRule(
        "sft", "sft", "labelled", lambda s: s.has("labelled"),
        "Right answers show the form and the task; a few good rows are often enough.",
        "Ouyang and others 2022, InstructGPT; Zhou and others 2023, LIMA",
    ),
    StageRule(
        "sft", "sft", "explained", lambda s: s.has("explained"),
        "Right answers first, without their explanations: they show the form and the task.",
        "Ouyang and others 2022, InstructGPT",
    ),
    StageRule(
        "sft", "sft", "thumbs",
        lambda s: s.model_kind == "base" and s.has("thumbs", 200) and not s.has("pairs") and s.improve in MANNERS,
        "A base model must learn to answer before its answers can be compared: it imitates those that were liked.",
        "Rafailov and others 2023, section 4 (the preferred answers are imitated first)",
    ),
    StageRule(
        "explain", "explain", "explained", lambda s: s.has("explained"),
        "Explanations keep the model from relying on cues that only coincide with the right answer.",
        "Ludan and others 2023, Explanation-based Finetuning Makes Models More Robust to Spurious Cues",
    ),
    StageRule(
        "reward", "reward", "pairs", lambda s: s.rewards,
        "This number of pairs can train a model that scores all answers, also those that nobody has compared.",
        "Ouyang and others 2022, InstructGPT",
    ),
    StageRule(
        "rlhf", "rlhf", "prompts", lambda s: s.rewards,
        "The model is scored on its own answers, which is impossible with fixed pairs.",
        "Ahmadian and others 2024, Back to Basics (RLOO)",
    ),
    StageRule(
        "preference", "orpo", "pairs",
        lambda s: s.has("pairs") and s.improve in MANNERS and not s.can_answer,
        "Pairs alone, on a base model: one stage imitates the better answer and moves away from the worse.",
        "Hong and others 2024, ORPO",
    ),
    StageRule(
        "preference", "dpo", "pairs", lambda s: s.has("pairs") and s.improve in MANNERS and not s.rewards,
        "Learns directly from pairs which of two answers is better, without a reward model and without sampling.",
        "Rafailov and others 2023, Direct Preference Optimization",
    ),
    StageRule(
        "thumbs", "kto", "thumbs",
        lambda s: s.has("thumbs") and s.improve in MANNERS and (s.can_answer or s.has("pairs") or s.has("thumbs", 200)),
        "Learns from single answers with thumbs up or down; pairs are not needed.",
        "Ethayarajh and others 2024, KTO",
    ),
    StageRule(
        "rlhf", "rlhf", "labelled",
        lambda s: s.improve == "task" and s.has("labelled", 200) and s.budget == "more",
        "A check that recognises right answers can be the reward: no reward model, no preferences.",
        "Lambert and others 2024, Tülu 3 (verifiable rewards)",
    ),
)  # fmt: skip
"""The rules for stages, in training order."""

CAUTIONS: tuple[Caution, ...] = (
    Caution(
        lambda s: True,
        "Do not train on a gate's cases, nor take few-shot examples from them: `tunegate leakage` finds what leaks.",
        "Sainz and others 2023, NLP Evaluation in Trouble",
    ),
    Caution(
        lambda s: True,
        "Do not retrain and draw again until a gate passes: five draws pass a bad model at 0.41 (`tunegate plan`).",
        "docs/plans.md",
    ),
    Caution(
        lambda s: s.improve == "knowledge" and not s.has("raw"),
        "Do not expect question and answer rows to teach new facts: these are learned slowly and cause hallucination; "
        "collect text, or look facts up at answer time.",
        "Gekhman and others 2024, Does Fine-Tuning LLMs on New Knowledge Encourage Hallucinations?",
    ),
    Caution(
        lambda s: s.improve in ("language", "knowledge") and (s.has("pairs") or s.has("thumbs")),
        "Do not train preferences for this: they change which answer the model gives, not what it knows.",
        "Zhou and others 2023, LIMA (the superficial alignment hypothesis)",
    ),
    Caution(
        lambda s: s.has("raw") and s.improve in ("language", "knowledge") and s.model_kind == "instruct",
        "Do not stop after continued pre-training: plain text weakens an instruct model's habit of answering, and sft "
        "restores it.",
        "Cheng and others 2024, Adapting Large Language Models via Reading Comprehension",
    ),
    Caution(
        lambda s: s.model_kind == "base" and s.has("pairs") and s.answered and s.improve in MANNERS,
        "Do not run dpo before sft on a base model: it would then compare answers that it would never give.",
        "Rafailov and others 2023, section 4",
    ),
    Caution(
        lambda s: s.has("thumbs") and s.improve in MANNERS,
        "Do not combine thumbs of different prompts into pairs: keep them single.",
        "Ethayarajh and others 2024, KTO",
    ),
    Caution(
        lambda s: s.budget == "cpu" and s.has("prompts"),
        "Do not sample rewards on a CPU: most of the time is spent on generating; pairs and thumbs do not need it.",
        "",
    ),
    Caution(
        lambda s: s.budget != "more",
        "Do not train all weights on this budget: an adapter (LoRA) needs a fraction of the memory.",
        "Hu and others 2021, LoRA",
        how_to_train=True,
    ),
    Caution(
        lambda s: s.licence == "commercial",
        "Do not start from a base model or data whose licence forbids it (CC-BY-NC, some community licences): a "
        "fine-tune inherits it. `tunegate bake-off` shows what each model's files claim.",
        "the licence of each model and data set",
    ),
    Caution(
        lambda s: s.licence == "open",
        "Do not mix in data that may not be redistributed: open weights need an open base (Apache-2.0, MIT) and data.",
        "the licence of each model and data set",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Advice:
    """The stages in order, what to avoid, and, if nothing can be trained, the reason."""

    situation: Situation
    stages: tuple[StageRule, ...]
    cautions: tuple[Caution, ...]
    too_little: str = ""


def advise(situation: Situation) -> Advice:
    """Apply the tables to a situation."""
    stages: dict[str, StageRule] = {}
    for rule in STAGES:
        if rule.name not in stages and rule.when(situation):
            stages[rule.name] = rule
    cautions = tuple(caution for caution in CAUTIONS if caution.when(situation))
    steps = [rule for rule in stages.values() if METHODS[rule.method].role == "step"]
    if not steps:
        kept = tuple(caution for caution in cautions if not caution.how_to_train)
        return Advice(situation, (), kept, _too_little(situation))
    return Advice(situation, tuple(stages.values()), cautions)


def _too_little(situation: Situation) -> str:
    """A text on what is missing, and what to do meanwhile."""
    has = ", ".join(f"{kind} {n}" for kind, n in situation.data.items() if n) or "no data"
    missing: list[Data] = [kind for kind in USEFUL[situation.improve] if not situation.has(kind)]
    wanted = ", or ".join(f"{LEAST[kind]:,} {kind} ({DATA[kind]})" for kind in missing)
    text_alone = situation.improve in ("language", "knowledge") and situation.has("raw")
    alone = "Text alone would weaken an instruct model's habit of answering. " if text_alone else ""
    meanwhile = (
        "Meanwhile put the examples you have into the prompt (few-shot)"
        if situation.data.get("labelled", 0) + situation.data.get("explained", 0) > 0
        else "Meanwhile write a good prompt with a few handmade examples (few-shot)"
    )
    return (
        f"There is too little data ({has}) to train for {situation.improve}. {alone}Collect more first: {wanted}. "
        f"{meanwhile}, and gate the untrained model: tunegate gate MODEL --suite FILE."
    )


def kinds_of_data() -> tuple[Data, ...]:
    """The names that `--data` accepts."""
    return get_args(Data)
