"""Proofs for the keys of prompt files, rules files, label files and the user's settings, by what reads them."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.bank import write_jsonl
from tests.support.option_commands import JUDGE, LABELS, RULES, SWAP, WEIGHTS, write_facts
from tests.support.option_proofs import Changes, Proof, Proofs, changed, told
from tunegate.cases.case import Case
from tunegate.choosing.prompt_file import read_prompts
from tunegate.cli import main
from tunegate.exceptions import ConfigError
from tunegate.models.model import GenerationSettings, Response, ScriptedModel, as_messages
from tunegate.models.with_prompt import with_prompt
from tunegate.trust.allowed import refusals, user_trust
from tunegate.trust.wants import Code, Contact, Wants, host_of


def expanded(folder: Path, rules: Any) -> Any:
    """The groups that rules make of the facts."""
    write_facts(folder)
    (folder / "rules.yaml").write_text(json.dumps(rules))
    (folder / "hook.py").write_text("def shorten(row, rng):\n    return {**row, 'context': row['context'][:-12]}\n")
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        if main(["suite", "expand", "facts.yaml", "--rules", "rules.yaml", "--out", "out.yaml"]) == 2:
            raise ConfigError(err.getvalue().strip())
    return (folder / "out.jsonl").read_text()


def rule(changes: Changes, change: Any = None, refused: str | None = None) -> Proof:
    """A rules file whose only rule makes `change`, with and without a key."""
    kind = "directional" if change is None else "invariant"
    base = changed(RULES, {"rules.0.change": [change or {"swap": SWAP}], "rules.0.kind": kind})
    return Proof(expanded, base, changed(base, changes), refused)


INSERT = {"insert": {"fields": ["context"], "sentences": ["It rains."]}}
TYPOS = {"typos": {"fields": ["question"]}}
CASING = {"casing": {"fields": ["question"]}}
KEEP = {"keep": {"fields": ["context"], "sentence_with": "{answer}"}}
REPLACE = {"replace": {"fields": ["question"], "find": "number", "by": "no."}}
REORDER = {"reorder": {"fields": ["context"]}}
SET = {"set": {"question": "Which gene is behind {condition}?"}}
NEVER = {"replace": {"fields": ["question"], "find": "xyz", "by": "no."}}
CHANGE = "rules.0.change.0"


def measured(folder: Path, labels: Any) -> Any:
    """What a judge is worth by these labels."""
    write_jsonl(folder / "labels.jsonl", LABELS)
    (folder / "judge.yaml").write_text(json.dumps({**JUDGE, "labels": labels}))
    (folder / "weights.json").write_text(WEIGHTS)
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        if main(["judge", "judge.yaml", "--labels", "labels.jsonl", "--out", "record.json"]) == 2:
            raise ConfigError(err.getvalue().strip())
    record = json.loads((folder / "record.json").read_text())
    return record["figures"], record["misjudged"], record["labels"], record["length_bias"]


NAMED = {"human": "{other}", "passes": ["good"], "fails": ["bad"], "skip": ["skip"]}


def label(changes: Changes, base: Changes | None = None, refused: str | None = None) -> Proof:
    return Proof(measured, dict(base or {}), {**(base or {}), **changes}, refused)


def refused_to_strangers(folder: Path, settings: Any) -> Any:
    """What a stranger's file may not do under these settings of the user."""
    place = folder / "tunegate" / "settings.yaml"
    place.parent.mkdir()
    place.write_text(json.dumps(settings))
    server = Contact(host_of("https://judge.example.org"), "judge.server", "JUDGE_KEY")
    wants = Wants(runs=(Code("metrics:f", "python"),), contacts=(server,))
    trust = user_trust({"XDG_CONFIG_HOME": str(folder)}, folder / "project")
    return told(folder, refusals(wants, Path("/strangers/suite.yaml"), trust))


def asked_with(prompt: Any, questions: Sequence[str] = ("q1", "blue q2")) -> list[Any]:
    """What a model is asked with this prompt file: the turns of each question, and the system message beside them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "p.yaml"
        path.write_text(json.dumps(prompt))
        write_jsonl(Path(folder) / "rows.jsonl", SHOT_ROWS)
        *others, own = read_prompts(path)
    asked: list[Any] = []

    @dataclass(frozen=True)
    class Listening(ScriptedModel):
        def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
            for case in cases:
                turns = [(turn["role"], turn["content"]) for turn in as_messages(case.prompt)]
                asked.append((turns, settings.system))
            return super().generate(cases, settings)

    model = with_prompt(Listening(lambda case: "x", own.name), own)
    list(model.generate([Case(str(n), text) for n, text in enumerate(questions)], GenerationSettings(system="suite")))
    names = [*(one.name for one in others), model.name]
    return [*asked, *names] if len(questions) > 1 else asked


SHOT_ROWS = [
    {"prompt": "red", "completion": "1", "q": "red?", "a": "one"},
    {"prompt": "blue", "completion": "2", "q": "blue?", "a": "two"},
]


def prompt_file(before: Changes, changes: Changes) -> Proof:
    return Proof(lambda folder, prompt: asked_with(prompt), dict(before), changed(dict(before), changes))


LISTED = {"examples": [{"prompt": "red", "completion": "1"}]}
FROM_ROWS = {"examples": {"path": "rows.jsonl"}}

PROOFS: Proofs = {
    # prompts
    "PromptSpec.name": prompt_file({"system": "s"}, {"name": "other"}),
    "PromptSpec.system": prompt_file({"template": "{prompt}!"}, {"system": "s"}),
    "PromptSpec.template": prompt_file({"system": "s"}, {"template": "{prompt}!"}),
    "PromptSpec.examples": prompt_file({"system": "s"}, LISTED),
    "ExampleSpec.prompt": prompt_file(LISTED, {"examples.0.prompt": "green"}),
    "ExampleSpec.completion": prompt_file(LISTED, {"examples.0.completion": "3"}),
    "ExamplesSpec.path": prompt_file({"system": "s"}, {"examples": {"path": "rows.jsonl"}}),
    "ExamplesSpec.n": (
        prompt_file(FROM_ROWS, {"examples.n": 1}),
        prompt_file({"examples": {"path": "rows.jsonl", "n": 1}}, {"examples.n": [2, 1]}),
    ),
    "ExamplesSpec.prompt": prompt_file(FROM_ROWS, {"examples.prompt": "{q}"}),
    "ExamplesSpec.completion": prompt_file(FROM_ROWS, {"examples.completion": "{a}"}),
    # rules
    "RulesSpec.rules": rule({"rules.0.name": "other"}),
    "RulesSpec.needs": rule({"needs": ["invariant"]}, refused="no case"),
    "RulesSpec.seed": rule({"seed": 9}),
    "RuleSpec.name": rule({"rules.0.name": "other"}),
    "RuleSpec.kind": rule({"rules.0.kind": "minimum"}, CASING),
    "RuleSpec.where": rule({"rules.0.where": {"sort": "a"}}),
    "RuleSpec.change": rule({"rules.0.change": [CASING, INSERT]}, CASING),
    "ChangeSpec.set": rule({CHANGE: SET}, CASING),
    "ChangeSpec.swap": rule({CHANGE: {"swap": {**SWAP, "fields": ["name", "answer"]}}}, refused="no case"),
    "ChangeSpec.replace": rule({CHANGE: REPLACE}, CASING),
    "ChangeSpec.keep": rule({CHANGE: KEEP}, CASING),
    "ChangeSpec.insert": rule({CHANGE: INSERT}, CASING),
    "ChangeSpec.typos": rule({CHANGE: TYPOS}, CASING),
    "ChangeSpec.casing": (
        rule({CHANGE: CASING}, INSERT),
        rule({f"{CHANGE}.insert": INSERT["insert"]}, CASING, "one change"),
    ),
    "ChangeSpec.reorder": rule({CHANGE: REORDER}, CASING),
    "ChangeSpec.python": rule({CHANGE: {"python": "hook:shorten"}}, CASING),
    "SwapSpec.fields": rule({f"{CHANGE}.swap.fields": ["answer"]}, refused="no case"),
    "SwapSpec.value": rule({f"{CHANGE}.swap.value": "{condition}"}, refused="no case"),
    "SwapSpec.by": rule({f"{CHANGE}.swap.by": ["OTHER"]}),
    "ReplaceSpec.fields": rule(
        {f"{CHANGE}.replace.fields": ["question", "context"], f"{CHANGE}.replace.find": "gene"}, REPLACE
    ),
    "ReplaceSpec.find": rule({f"{CHANGE}.replace.find": "gene"}, REPLACE),
    "ReplaceSpec.by": rule({f"{CHANGE}.replace.by": "nr."}, REPLACE),
    "ReplaceSpec.if_found": Proof(
        expanded,
        changed(RULES, {"rules.0.change": [{"swap": SWAP}, {"replace": {**NEVER["replace"], "if_found": True}}]}),
        changed(RULES, {"rules.0.change": [{"swap": SWAP}, NEVER]}),
        "no case",
    ),
    "KeepSpec.fields": rule({f"{CHANGE}.keep.fields": ["question"]}, KEEP, "no case"),
    "KeepSpec.sentence_with": rule({f"{CHANGE}.keep.sentence_with": "long"}, KEEP),
    "InsertSpec.fields": rule({f"{CHANGE}.insert.fields": ["question"]}, INSERT),
    "InsertSpec.sentences": rule({f"{CHANGE}.insert.sentences": ["It snows."]}, INSERT),
    "InsertSpec.at": rule({f"{CHANGE}.insert.at": "start"}, INSERT),
    "TyposSpec.fields": rule({f"{CHANGE}.typos.fields": ["context"]}, TYPOS),
    "TyposSpec.words": rule({f"{CHANGE}.typos.words": 2}, TYPOS),
    "TyposSpec.spare": rule({f"{CHANGE}.typos.spare": ["causes disease"]}, TYPOS),
    "CasingSpec.fields": rule({f"{CHANGE}.casing.fields": ["context"]}, CASING),
    "CasingSpec.to": rule({f"{CHANGE}.casing.to": "upper"}, CASING),
    "ReorderSpec.fields": rule({f"{CHANGE}.reorder.fields": ["question"]}, REORDER, "no case"),
    # labels
    "LabelsOptions.id": label({"id": "{row}"}, {"reference": "{gold}"}),
    "LabelsOptions.prompt": label({"prompt": "same"}, {"reference": "{gold}"}),
    "LabelsOptions.answer": label({"answer": "{said}"}),
    "LabelsOptions.reference": label({"reference": "{gold}"}),
    "LabelsOptions.context": label({"context": "{missing}"}, refused="missing"),
    "LabelsOptions.group": label({"group": "{human}"}),
    "LabelsOptions.human": label({"human": "{other}"}, refused="'good'"),
    "LabelsOptions.passes": (
        label({"passes": ["good", "skip"], "skip": []}, NAMED),
        label({"passes": ["true"]}, refused="labels.fails"),
    ),
    "LabelsOptions.fails": label({"fails": ["bad", "skip"], "skip": []}, NAMED),
    "LabelsOptions.skip": label({"skip": []}, NAMED, refused="'skip'"),
    "SettingsSpec.trust": Proof(refused_to_strangers, {}, {"trust": ["/strangers"]}),
    "SettingsSpec.hosts": Proof(refused_to_strangers, {}, {"hosts": ["judge.example.org"]}),
    "SettingsSpec.key_variables": (
        Proof(refused_to_strangers, {}, {"key_variables": {"JUDGE_KEY": ["judge.example.org"]}}),
        Proof(refused_to_strangers, {}, {"key_variables": {"JUDGE_KEY": ["https://judge.example.org"]}}, "the name of"),
    ),
}
