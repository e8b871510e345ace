"""`tunegate bake-off MODEL --prompts FILE… --suite FILE`: compare prompts of one model, and ask the best fresh cases.

The model is loaded once. Each prompt is an ordinary gate with its own folder, as in a bake-off of models.
"""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tunegate.addresses import without_secrets
from tunegate.checks.outcome import Verdict
from tunegate.choosing.bake_off import BakeOff, Entry, rank
from tunegate.choosing.bake_off_run import Setup, entry_of, slug
from tunegate.choosing.prompt_file import prompts_for
from tunegate.choosing.prompts import (
    BASELINE,
    Confirmed,
    PromptBakeOff,
    best_of,
    choosing_plan,
    confirming_plan,
)
from tunegate.choosing.prompts_words import HEAD, gate_command, notes, number_to_write, prompt_cells
from tunegate.commands.bake_off import row_as_json, show_table
from tunegate.commands.console import Bar, show, show_json
from tunegate.commands.ledger import ledger_of_suite
from tunegate.commands.plan_override import override
from tunegate.commands.report import write_prompts
from tunegate.commands.subject import opened
from tunegate.exceptions import ConfigError, TunegateError
from tunegate.gates.book import Book, Draft, NoLedger
from tunegate.gates.draw import GatePlace
from tunegate.gates.gate_run import FOLDER, GateRequest, is_decided, read_result, run_gate
from tunegate.ledger.entries import History
from tunegate.ledger.ledger import Ledger
from tunegate.models.metering import MeteredModel
from tunegate.models.model import Model, request_of
from tunegate.models.model_facts import ModelFacts
from tunegate.models.with_prompt import OwnPrompt, with_prompt
from tunegate.progress import Progress
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.record import GateRecord
from tunegate.seeds import derived_seed
from tunegate.stats.plans import GatePlan
from tunegate.suites.suite import Suite
from tunegate.versions import installed_versions

Open = Callable[[Namespace, str, Suite], Model]


def bake_prompts(options: Namespace, suite: Suite, open_model: Open | None = None) -> int:
    """Compare the prompts, confirm the best, and show the result; returns the exit code."""
    report = Path(options.report) if options.report else None
    with Bar() as bar:
        result = compare_prompts(options, suite, open_model or _open, bar.update, bar.say)
    if report is not None:
        write_prompts(result, report)
    if options.json:
        show_json({**_as_json(result), "report": str(report) if report else None})
    else:
        _print(result, report)
    return result.verdict.exit_code


def _open(options: Namespace, spec: str, suite: Suite) -> Model:
    return opened(options, spec, suite, "bake-off")


def compare_prompts(
    options: Namespace, suite: Suite, open_model: Open, progress: Progress, say: Callable[[str], None]
) -> PromptBakeOff:
    """Gate every prompt on the same cases, and the best on fresh ones; raises ConfigError before the model is asked."""
    if len(options.models) != 1:
        raise ConfigError(f"--prompts: compares prompts of one model, but {len(options.models)} are given; give one")
    read = [(prompt, file) for file in options.prompts for prompt in prompts_for(Path(file), suite)]
    prompts = {BASELINE.name: BASELINE} if not options.no_baseline else {}
    for prompt, file in read:
        if prompt.name in prompts:
            raise ConfigError(f"{file}: name: another prompt is named {prompt.name!r}, too; give it another name")
        prompts[prompt.name] = prompt
    if len(prompts) < 2:
        raise ConfigError("--no-baseline: leaves one prompt, which is compared with nothing; use `tunegate gate`")
    plan = choosing_plan(override(suite, options.draw, None))
    _check_supply(suite, plan)
    model = open_model(options, options.models[0], suite)
    oven = _Oven(options, suite, plan, model, prompts, progress, say)
    choice = oven.choice()
    confirmed = oven.confirm(choice) if choice.verdict is Verdict.PASS else None
    files = {prompt.name: file for prompt, file in read}
    return PromptBakeOff(without_secrets(options.models[0]), options.suite, choice, prompts, files, confirmed)


def _check_supply(suite: Suite, plan: GatePlan) -> None:
    fresh, there = suite.plan.draw, suite.bank.distinct("working")
    if there >= plan.draw + fresh:
        return
    fewer = f", or choose on fewer: --draw {there - fresh}" if there > fresh and suite.rule.kind == "single" else ""
    raise ConfigError(
        f"suite {suite.name!r}: {plan.draw} cases to choose a prompt and {fresh} fresh ones to confirm it are "
        f"{plan.draw + fresh}, but the bank has {there}; add cases{fewer}"
    )


@dataclass(frozen=True)
class _Oven:
    """One model, asked with one prompt after the other."""

    options: Namespace
    suite: Suite
    plan: GatePlan
    model: Model
    prompts: dict[str, OwnPrompt]
    progress: Progress
    say: Callable[[str], None]

    @cached_property
    def ledger(self) -> Ledger | NoLedger:
        return ledger_of_suite(self.options.ledger, self.suite)

    @cached_property
    def folder(self) -> Path:
        """The same for the same model and cases, so that the same command with one prompt more asks only that one."""
        if self.options.run:
            return Path(self.options.run)
        model = self.model
        facts = [self.suite.sha256, self.plan.numbers, self.options.seed, model.sha256 or model.name, model.dtype]
        facts += [dict(request_of(model))]
        return FOLDER / f"prompts-{self.suite.name}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]}"

    @cached_property
    def together(self) -> str:
        return hashlib.sha256(f"prompts {self.suite.sha256} {self.folder.resolve()}".encode()).hexdigest()[:32]

    def choice(self) -> BakeOff:
        entries: list[Entry] = []
        for number, name in enumerate(self.prompts, 1):
            self.say(f"prompt {number} of {len(self.prompts)}: {name}")
            setup = Setup(self._gate, self._facts, self.say, self.model.dtype, dict(request_of(self._with(name))))
            asked = (self.plan.draw, self.options.seed)
            entries.append(entry_of(name, self.suite, asked, self.folder / slug(name), setup))
        judged = sum(one.verdict is not Verdict.INVALID for one in entries)
        pairs = judged * (judged - 1) // 2
        return BakeOff(self.suite.name, self.suite.sha256, self.plan.draw, self.options.seed, rank(entries), pairs)

    def confirm(self, choice: BakeOff) -> Confirmed | None:
        """Ask the best prompt cases that no prompt was asked."""
        best = best_of(choice)
        if best is None:
            return None
        name, gates = best.entry.model, [one.entry.gate for one in choice.ranked if one.entry.gate]
        self.say(f"fresh cases: {name}")
        folder = self.folder / f"fresh-{slug(name)}"
        asked = frozenset(question for gate in gates for question in gate.questions)
        seed = derived_seed(self.options.seed, "fresh cases for the best prompt")
        try:
            plan = confirming_plan(self.suite.plan, self._attempts_before(name, seed, folder))
            gate = self._deciding(name, folder, GateRequest(self.suite, plan, seed, self.model, but_not=asked))
        except TunegateError as error:
            return Confirmed(folder, None, str(error))
        again = len(asked.intersection(gate.questions))
        return Confirmed(folder, gate, f"{again} of its cases are not fresh; choose another --seed" if again else "")

    def _attempts_before(self, name: str, seed: int, folder: Path) -> int:
        """The attempts on the bank that do not belong to this bake-off."""
        if isinstance(self.ledger, NoLedger):
            return 0
        own = {f"bake-off {self.together}"}
        own |= {str(read_run(folder).start.get("id"))} if (folder / EVENTS).exists() else set()
        others = History([one for one in self.ledger.read().entries if one.drawn.run not in own])
        model, place = self._with(name), GatePlace(self.suite.name)
        draft = Draft(place, self.suite, self.suite.plan.first, seed, model.name, model.sha256)
        lineage = others.lineage_of(model.sha256) if model.sha256 else model.name
        return Book("", self.ledger, lineage).attempts_before(draft, others)

    def _gate(self, model: str, folder: Path) -> str:
        """Gate the model with the prompt of this name on the cases of the choice; returns why there is no verdict."""
        request = GateRequest(self.suite, self.plan, self.options.seed, self.model, together=self.together)
        try:
            self._deciding(model, folder, request)
        except TunegateError as error:
            return str(error)
        return ""

    def _deciding(self, name: str, folder: Path, request: GateRequest) -> GateRecord:
        metered = MeteredModel(self._with(name))
        if metered.sha256 is None and is_decided(folder, request.plan):  # a server is not asked twice
            return read_result(folder, self.suite.name).deciding
        request = replace(request, model=metered, folder=str(folder), ledger=self.ledger)
        result = run_gate(request, self.progress, installed_versions())
        metered.cost.save(folder)
        return result.deciding

    def _with(self, name: str) -> Model:
        return with_prompt(self.model, self.prompts[name])

    def _facts(self, name: str) -> ModelFacts:
        return ModelFacts(self._with(name).sha256)


OF_THE_MODEL = {"sha256", "size_bytes", "parameters", "licence", "peak_mib", "gpu_peak_mib"}
"""Facts that are the same with every prompt, or are those of the process that asked all of them."""


# --- what is shown -------------------------------------------------------------------------------------------------


def _as_json(result: PromptBakeOff) -> dict[str, Any]:
    choice, confirmed = result.choice, result.confirmed
    gate = confirmed and confirmed.gate
    return {
        "verdict": result.verdict,
        "model": result.model,
        "suite": choice.suite,
        "suite_sha256": choice.suite_sha256,
        "draw": choice.draw,
        "seed": choice.seed,
        "pairs_compared": choice.pairs,
        "prompts": [
            {
                "prompt": one.entry.model,
                "file": result.files.get(one.entry.model),
                "n": result.prompts[one.entry.model].nearest,
                "prompt_sha256": result.prompts[one.entry.model].sha256,
                "model_sha256": one.entry.facts.sha256,
                **{key: value for key, value in row_as_json(one, choice).items() if key not in OF_THE_MODEL},
            }
            for one in choice.ranked
        ],
        "confirmed": confirmed
        and {
            "prompt": result.best and result.best.entry.model,
            "verdict": confirmed.verdict,
            "reason": confirmed.fault or (gate.reason if gate else ""),
            "passed": gate and gate.passed,
            "asked": gate and (gate.asked or gate.drawn),
            "accept": gate and gate.accept,
            "interval": list(gate.interval) if gate else None,
            "record": str(confirmed.folder),
        },
        "gate_command": gate_command(result),
        "gate_n": number_to_write(result),
    }


def _print(result: PromptBakeOff, report: Path | None) -> None:
    choice = result.choice
    show(f"prompts of {result.model} on {choice.suite}: {choice.draw} cases, drawn with seed {choice.seed}")
    show_table([HEAD, *((str(place), *prompt_cells(one)) for place, one in enumerate(choice.ranked, start=1))])
    for line in notes(result):
        show(line)
    if report is not None:
        show(f"report: {report}")
