"""One model in several variants, such as prompts or settings of sampling: the same cases for each, fresh for one.

The model is loaded once. Each variant is an ordinary gate with its own folder, as in a bake-off of models.
"""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from tunegate.checks.outcome import Verdict
from tunegate.choosing.bake_off import BakeOff, Entry, Ranked, rank
from tunegate.choosing.bake_off_run import Setup, entry_of, slug
from tunegate.choosing.prompts import Confirmed, confirming_plan
from tunegate.commands.bake_off import row_as_json, show_table
from tunegate.commands.console import show, show_json
from tunegate.commands.ledger import ledger_of_suite
from tunegate.exceptions import ConfigError, TunegateError
from tunegate.gates.book import Book, Draft, NoLedger
from tunegate.gates.draw import GatePlace
from tunegate.gates.gate_run import FOLDER, GateRequest, is_decided, read_result, run_gate
from tunegate.ledger.entries import History
from tunegate.ledger.ledger import Ledger
from tunegate.models.metering import MeteredModel
from tunegate.models.model import Model, request_of
from tunegate.models.model_facts import ModelFacts
from tunegate.progress import Progress
from tunegate.record.event_log import EVENTS
from tunegate.record.read_run import read_run
from tunegate.record.record import GateRecord
from tunegate.seeds import derived_seed
from tunegate.stats.plans import GatePlan
from tunegate.suites.suite import Suite
from tunegate.versions import installed_versions

Open = Callable[[Namespace, str, Suite], Model]
"""Opens the model of these options and of this name for a suite."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the variants are: one and several of them in a word; the second also begins the name of their folder."""

    one: str
    several: str


def check_supply(suite: Suite, plan: GatePlan, kind: Kind) -> None:
    """Raise ConfigError if the bank has too few cases to choose a variant and to confirm it."""
    fresh, there = suite.plan.draw, suite.bank.distinct("working")
    if there >= plan.draw + fresh:
        return
    fewer = f", or choose on fewer: --draw {there - fresh}" if there > fresh and suite.rule.kind == "single" else ""
    raise ConfigError(
        f"suite {suite.name!r}: {plan.draw} cases to choose a {kind.one} and {fresh} fresh ones to confirm it are "
        f"{plan.draw + fresh}, but the bank has {there}; add cases{fewer}"
    )


@dataclass(frozen=True)
class Variants:
    """The variants of a model by name, gated one after the other under `plan`. `options` are those of the command."""

    options: Namespace
    suite: Suite
    plan: GatePlan
    kind: Kind
    model: Model
    variants: Mapping[str, Model]
    progress: Progress
    say: Callable[[str], None]

    @cached_property
    def ledger(self) -> Ledger | NoLedger:
        return ledger_of_suite(self.options.ledger, self.suite)

    @cached_property
    def folder(self) -> Path:
        """The same for the same model and cases, so that the same command with one variant more asks only that one."""
        if self.options.run:
            return Path(self.options.run)
        model = self.model
        facts = [self.suite.sha256, self.plan.numbers, self.options.seed, model.sha256 or model.name, model.dtype]
        facts += [dict(request_of(model))]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]
        return FOLDER / f"{self.kind.several}-{self.suite.name}-{key}"

    @cached_property
    def together(self) -> str:
        place = f"{self.kind.several} {self.suite.sha256} {self.folder.resolve()}"
        return hashlib.sha256(place.encode()).hexdigest()[:32]

    def choice(self) -> BakeOff:
        """Gate every variant on the same cases, and rank them."""
        entries: list[Entry] = []
        for number, (name, model) in enumerate(self.variants.items(), 1):
            self.say(f"{self.kind.one} {number} of {len(self.variants)}: {name}")
            setup = Setup(self._gate, self._facts, self.say, self.model.dtype, dict(request_of(model)))
            asked = (self.plan.draw, self.options.seed)
            entries.append(entry_of(name, self.suite, asked, self.folder / slug(name), setup))
        judged = sum(one.verdict is not Verdict.INVALID for one in entries)
        pairs = judged * (judged - 1) // 2
        return BakeOff(self.suite.name, self.suite.sha256, self.plan.draw, self.options.seed, rank(entries), pairs)

    def confirm(self, choice: BakeOff, chosen: Ranked | None) -> Confirmed | None:
        """Ask the chosen variant cases that no variant was asked."""
        if chosen is None:
            return None
        name, gates = chosen.entry.model, [one.entry.gate for one in choice.ranked if one.entry.gate]
        self.say(f"fresh cases: {name}")
        folder = self.folder / f"fresh-{slug(name)}"
        asked = frozenset(question for gate in gates for question in gate.questions)
        seed = derived_seed(self.options.seed, f"fresh cases for the best {self.kind.one}")
        try:
            plan = confirming_plan(self.suite.plan, self._attempts_before(name, seed, folder))
            gate = self._deciding(name, folder, GateRequest(self.suite, plan, seed, self.model, but_not=asked))
        except TunegateError as error:
            return Confirmed(folder, None, str(error))
        again = len(asked.intersection(gate.questions))
        return Confirmed(folder, gate, f"{again} of its cases are not fresh; choose another --seed" if again else "")

    def _attempts_before(self, name: str, seed: int, folder: Path) -> int:
        """The attempts on the bank that do not belong to this command."""
        if isinstance(self.ledger, NoLedger):
            return 0
        own = {f"bake-off {self.together}"}
        own |= {str(read_run(folder).start.get("id"))} if (folder / EVENTS).exists() else set()
        others = History([one for one in self.ledger.read().entries if one.drawn.run not in own])
        model, place = self.variants[name], GatePlace(self.suite.name)
        draft = Draft(place, self.suite, self.suite.plan.first, seed, model.name, model.sha256)
        lineage = others.lineage_of(model.sha256) if model.sha256 else model.name
        return Book("", self.ledger, lineage).attempts_before(draft, others)

    def _gate(self, model: str, folder: Path) -> str:
        """Gate the variant of this name on the cases of the choice; returns why there is no verdict."""
        request = GateRequest(self.suite, self.plan, self.options.seed, self.model, together=self.together)
        try:
            self._deciding(model, folder, request)
        except TunegateError as error:
            return str(error)
        return ""

    def _deciding(self, name: str, folder: Path, request: GateRequest) -> GateRecord:
        metered = MeteredModel(self.variants[name])
        if metered.sha256 is None and is_decided(folder, request.plan):  # a server is not asked twice
            return read_result(folder, self.suite.name).deciding
        request = replace(request, model=metered, folder=str(folder), ledger=self.ledger)
        result = run_gate(request, self.progress, installed_versions())
        metered.cost.save(folder)
        return result.deciding

    def _facts(self, name: str) -> ModelFacts:
        return ModelFacts(self.variants[name].sha256)


# --- what is shown -------------------------------------------------------------------------------------------------


class Compared(Protocol):
    """The result of a command that compares variants."""

    @property
    def model(self) -> str: ...
    @property
    def choice(self) -> BakeOff: ...
    @property
    def verdict(self) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Words:
    """A result for people: the table with its head, without the places of its rows, and the lines below it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


def show_result(
    options: Namespace,
    kind: Kind,
    result: Compared,
    write_page: Callable[[Path], None],
    facts: Mapping[str, Any],
    words: Words,
) -> int:
    """Write the page if one is wanted, and print the result: as JSON with these further facts, or in words. Returns the
    exit code."""
    report = Path(options.report) if options.report else None
    if report is not None:
        write_page(report)
    choice = result.choice
    if options.json:
        asked = {"draw": choice.draw, "seed": choice.seed, "pairs_compared": choice.pairs}
        suite = {"suite": choice.suite, "suite_sha256": choice.suite_sha256}
        about = {"verdict": result.verdict, "model": result.model, **suite, **asked}
        show_json({**about, **facts, "report": str(report) if report else None})
        return result.verdict.exit_code
    show(f"{kind.several} of {result.model} on {choice.suite}: {choice.draw} cases, drawn with seed {choice.seed}")
    show_table([words.head, *((str(place), *row) for place, row in enumerate(words.rows, start=1))])
    for line in words.notes:
        show(line)
    if report is not None:
        show(f"report: {report}")
    return result.verdict.exit_code


OF_THE_MODEL = {"sha256", "size_bytes", "parameters", "licence", "peak_mib", "gpu_peak_mib"}
"""Facts that are the same for every variant, or are those of the process that asked all of them."""


def variant_as_json(one: Ranked, choice: BakeOff) -> dict[str, Any]:
    """What was measured of a variant, without its name, and without what belongs to the model."""
    measured = {key: value for key, value in row_as_json(one, choice).items() if key not in OF_THE_MODEL}
    return {"model_sha256": one.entry.facts.sha256, **measured}


def confirmed_as_json(kind: Kind, name: str | None, confirmed: Confirmed | None) -> dict[str, Any] | None:
    """The draw of fresh cases, for scripts; None if there is none."""
    gate = confirmed and confirmed.gate
    return confirmed and {
        kind.one: name,
        "verdict": confirmed.verdict,
        "reason": confirmed.fault or (gate.reason if gate else ""),
        "passed": gate and gate.passed,
        "asked": gate and (gate.asked or gate.drawn),
        "accept": gate and gate.accept,
        "interval": list(gate.interval) if gate else None,
        "record": str(confirmed.folder),
    }
