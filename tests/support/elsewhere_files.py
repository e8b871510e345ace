"""The files that other tools wrote (tests/files/elsewhere), and what is to be chosen of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.places import TESTS

HELD = TESTS / "files" / "elsewhere"


@dataclass(frozen=True)
class Held:
    """A file of a tool: the flags that choose a part of it, how many answers are right, and who has none."""

    file: str
    tool: str
    right: int
    flags: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    check: str = "exact"

    @property
    def path(self) -> Path:
        [path] = HELD.glob(self.file)
        return path

    @property
    def words(self) -> list[str]:
        return [word for name, value in self.flags.items() for word in (f"--{name}", value)]


LM_OPEN = "lm_eval/samples_facts_open_*.jsonl"
LM_CHOICE = "lm_eval/samples_facts_choice_*.jsonl"
EVERY_OPEN = "every_eval_ever/0ae95b72*_samples.jsonl"
FILES = (
    Held(LM_OPEN, "lm-evaluation-harness", 3, {"filter": "first_word"}),
    Held(LM_OPEN, "lm-evaluation-harness", 4, {"filter": "none"}),
    Held(LM_CHOICE, "lm-evaluation-harness", 9, check="choice"),
    Held("inspect/facts.json", "Inspect", 9, without=("q10",)),
    Held("inspect/facts.eval", "Inspect", 9, without=("q10",)),
    Held("promptfoo/one.json", "promptfoo", 10, without=("test 10",)),
    Held("promptfoo/two.json", "promptfoo", 10, {"prompt": "short", "provider": "stub"}, ("test 10",)),
    Held("promptfoo/two.json", "promptfoo", 0, {"prompt": "plain", "provider": "echo"}),
    Held("deepeval/test_run.json", "DeepEval", 10),
    Held("openai_evals/facts.jsonl", "OpenAI evals", 10),
    Held("nemo/results.jsonl", "NeMo Evaluator", 9, without=("10",)),
    Held("nemo/two_repeats.jsonl", "NeMo Evaluator", 9, {"epoch": "1"}, ("10",)),
    Held(EVERY_OPEN, "Every Eval Ever", 3, {"filter": "facts_open/first_word"}),
    Held("every_eval_ever/d2b249b8*_samples.jsonl", "Every Eval Ever", 9),
)


def named(held: Held) -> str:
    return "-".join([held.file.partition("*")[0].replace("/", "-"), *held.flags.values()]).replace("/", "-")
