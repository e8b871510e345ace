"""Writes advice as a pipeline file: every stage with its reason, every gate, every file to provide."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap

from tunegate.choosing.advice import DATA, LEAST, Advice, Budget, Data, Situation, StageRule
from tunegate.data.methods import MethodName

MODELS: Mapping[Budget, str] = {
    "cpu": "HuggingFaceTB/SmolLM2-135M",
    "gpu": "HuggingFaceTB/SmolLM2-1.7B",
    "more": "Qwen/Qwen2.5-7B",
}
"""A base model of a size that fits the budget; all are Apache-2.0, and have an `-Instruct` version."""

FILES: Mapping[Data, tuple[str, str]] = {
    "raw": ("data/raw.txt", "documents, blank lines between them"),
    "labelled": ("data/labelled.jsonl", '{"prompt": …, "completion": …}'),
    "explained": ("data/explained.jsonl", '{"prompt": …, "completion": …, "explanation": …}'),
    "pairs": ("data/pairs.jsonl", '{"prompt": …, "chosen": …, "rejected": …}'),
    "thumbs": ("data/thumbs.jsonl", '{"prompt": …, "completion": …, "label": true or false}, both kinds'),
    "prompts": ("data/prompts.jsonl", '{"prompt": …}'),
}
"""The path for each kind of data, and the content of a row."""


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """A suite of the file: its question, the path for its cases, the content of a row, and the rest of its YAML."""

    asks: str
    path: str
    row: str
    templates: str
    checks: str


SUITES: Mapping[str, SuiteFile] = {
    "domain": SuiteFile(
        "does the model expect such text by now? At least 3 % less perplexed than the base model, text by text",
        "suites/heldout.jsonl",
        '{"id": …, "text": …}',
        ', prompt: "", choices: "{text}"',
        "[{perplexity: {max: 0.97, than: *base}}]",
    ),
    "ranking": SuiteFile(
        "does the reward model tell the better answer?",
        "suites/ranking.jsonl",
        '{"id": …, "prompt": …, "choices": [better, worse], "reference": better}, in either order',
        "",
        "[choice]",
    ),
    "language": SuiteFile(
        "is the answer near a person's, in words and order, and well made?",
        "suites/language.jsonl",
        '{"id": …, "prompt": …, "reference": …}',
        "",
        "[{rougeL: {min: 0.3}}, {errors: {forbid: [empty, repetition, truncated]}}]",
    ),
    "knowledge": SuiteFile(
        "does the answer hold the fact?",
        "suites/knowledge.jsonl",
        '{"id": …, "prompt": …, "reference": …}',
        "",
        "[contains]",
    ),
    "task": SuiteFile(
        "is the answer right?", "suites/task.jsonl", '{"id": …, "prompt": …, "reference": …}', "", "[exact]"
    ),
    "behaviour": SuiteFile(
        "is the answer near one that people liked? Better: a judge that was admitted, see docs/judges.md",
        "suites/behaviour.jsonl",
        '{"id": …, "prompt": …, "reference": …}',
        "",
        "[{rougeL: {min: 0.3}}, {errors: {forbid: [empty, repetition, truncated, prompt_echo]}}]",
    ),
}

LEARNING_RATES: Mapping[MethodName, tuple[str, str]] = {
    "cpt": ("2e-4", "2e-5"),
    "sft": ("2e-4", "2e-5"),
    "explain": ("2e-4", "2e-5"),
    "dpo": ("1e-5", "1e-6"),
    "kto": ("1e-5", "1e-6"),
    "orpo": ("5e-5", "5e-6"),
    "reward": ("1e-4", "1e-5"),
    "rlhf": ("1e-5", "1e-6"),
}
"""The first learning rate of an adapter and of all weights; `retrain` has further rates."""

WHY = '"\\nBecause: "'
"""The separator between an answer and its explanation; a gate's answers end there."""

ADAPTERS: Mapping[Budget, str | None] = {
    "cpu": "{r: 16, lora_alpha: 32}",
    "gpu": "{r: 32, lora_alpha: 64}",
    "more": None,
}
BATCHES: Mapping[Budget, int] = {"cpu": 4, "gpu": 8, "more": 16}


def gates_of(situation: Situation, rule: StageRule) -> list[str]:
    """The suites that a stage must pass."""
    own = {"cpt": "domain", "reward": "ranking"}
    return [own.get(rule.method, situation.improve)]


def files_of(advice: Advice) -> dict[str, str]:
    """Every file that the pipeline names: its path, and what it must contain."""
    files: dict[str, str] = {}
    for rule in advice.stages:
        path, row = FILES[rule.data]
        files[path] = f"{DATA[rule.data]}: {row}; at least {LEAST[rule.data]:,}"
    for gate in _gates(advice):
        suite, least = SUITES[gate], _least(advice, gate)
        wanted = f"at least {least}, better {2 * least}"
        files[suite.path] = f"tests that are not in the training data: {suite.row}; {wanted}"
    return files


def _least(advice: Advice, gate: str) -> int:
    """How many cases a bank needs: 100 for each stage that asks it, none twice, and half as many to seal."""
    return 150 * sum(gate in gates_of(advice.situation, rule) for rule in advice.stages)


def _gates(advice: Advice) -> list[str]:
    return list(dict.fromkeys(gate for rule in advice.stages for gate in gates_of(advice.situation, rule)))


def pipeline_text(advice: Advice, model: str | None = None) -> str:
    """The pipeline file of an advice with stages; `tunegate check` accepts it as soon as its files exist."""
    situation = advice.situation
    suffix = "-Instruct" if situation.model_kind == "instruct" else ""
    name = _quoted(model or MODELS[situation.budget] + suffix)
    anchor = "&base " if any(rule.method == "cpt" for rule in advice.stages) else ""
    lines = [
        *_comment(f"Written by `tunegate advise`: to improve {situation.improve}, from {_data_in_words(situation)}."),
        "# Provide these files, then: tunegate check, tunegate run.",
        *(line for path, holds in files_of(advice).items() for line in _comment(f"  {path}: {holds}", "    ")),
        f"name: better-{situation.improve}",
        f"model: {anchor}{name}",
        "leakage: drop_from_train",
        "",
        "suites:",
        *(line for gate in _gates(advice) for line in _suite(gate, explained=gate in _explained(advice))),
        "  # What the model knows of grammar, and must not forget.",
        "  general: builtin:blimp",
        "",
        "stages:",
        *(line for rule in advice.stages for line in _stage(situation, rule)),
        "",
        "promote: {to: production, registry: registry}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    """A name as YAML, quoted unless it is a plain word."""
    return name if re.fullmatch(r"[A-Za-z~./][\w./:@~+-]*", name) and not name.endswith(":") else json.dumps(name)


def _data_in_words(situation: Situation) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in situation.data.items() if count)


def _comment(text: str, indent: str = "") -> list[str]:
    return wrap(text, 112, initial_indent="# ", subsequent_indent=f"# {indent}", break_on_hyphens=False)


def _explained(advice: Advice) -> set[str]:
    """The suites whose answers may be followed by an explanation."""
    explains = [rule for rule in advice.stages if rule.method == "explain"]
    return {gate for rule in explains for gate in gates_of(advice.situation, rule)}


def _suite(gate: str, *, explained: bool) -> list[str]:
    suite = SUITES[gate]
    return [
        *(f"  {line}" for line in _comment(f"{suite.asks[0].upper()}{suite.asks[1:]}")),
        f"  {gate}:",
        f"    cases: {{path: {suite.path}{suite.templates}}}",
        f"    checks: {suite.checks}",
        "    plan: {draw: 100, accept: 90}",
        *([f"    generate: {{stop: {WHY}}}  # the answer ends where its explanation begins"] if explained else []),
    ]


def _stage(situation: Situation, rule: StageRule) -> list[str]:
    path = FILES[rule.data][0]
    wanted_only = rule.method == "sft" and rule.data == "thumbs"
    head = [
        *(f"  {line}" for line in _comment(f"{rule.why} ({rule.source})")),
        f"  - name: {rule.name}",
        f"    method: {rule.method}",
        f"    data: {{path: {path}, where: {{label: true}}}}" if wanted_only else f"    data: {path}",
    ]
    gates = f"    gates: [{', '.join(gates_of(situation, rule))}]"
    training = [] if rule.method == "fewshot" else _training(situation, rule)
    return [*head, *training, gates, _retrain(rule)]


def _training(situation: Situation, rule: StageRule) -> list[str]:
    adapter = ADAPTERS[situation.budget]
    batch = "" if rule.method == "cpt" else f"per_device_train_batch_size: {BATCHES[situation.budget]}, "
    rate = LEARNING_RATES[rule.method][0 if adapter else 1]
    length = "max_completion_length: 128" if rule.method == "rlhf" else "max_length: 512"
    return [
        *_options(situation, rule),
        *([f"    peft: {adapter}"] if adapter else []),
        f"    args: {{{batch}learning_rate: {rate}, {length}}}",
    ]


def _options(situation: Situation, rule: StageRule) -> list[str]:
    """explain: the explanation follows the answer. rlhf: the reward is the model of the stage before, or the gate's own
    checks if they can judge the answers."""
    if rule.method == "explain":
        return [f"    options: {{form: completion, separator: {WHY}}}"]
    if rule.method != "rlhf":
        return []
    reward = "stage: reward" if situation.rewards else f"suite: {situation.improve}"
    return [f"    options: {{algorithm: rloo, reward: {{{reward}}}}}"]


def _retrain(rule: StageRule) -> str:
    once = rule.method in ("fewshot", "rlhf")
    return "    retrain: {max_attempts: 1}" if once else "    retrain: {max_attempts: 2, epochs: [1, 3]}"
