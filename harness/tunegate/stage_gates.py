"""The gates of a stage: first draws, confirming draws; each fresh, each on record, and none run twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tunegate.event_log import RunLog
from tunegate.evidence import recheck
from tunegate.models import Model
from tunegate.outcomes import Verdict
from tunegate.pipeline import Pipeline, Stage
from tunegate.record import AttemptRecord, GateRecord, read_run
from tunegate.runner import Draw, GatePlace, GateRunner, Progress, Purpose, draw_fresh
from tunegate.sampling import DrawPlan
from tunegate.seeds import derived_seed

OpenModel = Callable[[], Model]


@dataclass(frozen=True)
class StageGates:
    """What an attempt of one stage has to pass."""

    pipeline: Pipeline
    stage: Stage
    log: RunLog
    progress: Progress
    say: Callable[[str], None]

    def check_supply(self, number: int) -> None:
        """Raise Inconclusive when the banks cannot judge this attempt: before it is trained, not after."""
        for place, plan in (*self._first(number), *self._confirming(number)):
            if place.key not in self._attempt(number).gates:
                self._fresh(place, plan)

    def decide(self, number: int, open_model: OpenModel) -> dict[str, GateRecord]:
        """Every first draw of the stage, also after one failed: a diagnosis needs them all; if all passed, every
        confirming draw that the attempt owes. The model is opened when the first of them is not on record."""
        verdicts = [self._decide(place, plan, open_model) for place, plan in self._first(number)]
        if all(verdict is Verdict.PASS for verdict in verdicts):
            for place, plan in self._confirming(number):
                self._decide(place, plan, open_model)
        return self._attempt(number).gates

    def _first(self, number: int) -> Iterator[tuple[GatePlace, DrawPlan]]:
        for name, plan in self.pipeline.plans(self.stage).items():
            yield self._place(name, number, "gate"), plan.first

    def _confirming(self, number: int) -> Iterator[tuple[GatePlace, DrawPlan]]:
        for name, plan in self.pipeline.plans(self.stage).items():
            confirm = plan.confirmation(number)
            if confirm is not None:
                yield self._place(name, number, "confirm"), confirm

    def _place(self, name: str, number: int, purpose: Purpose) -> GatePlace:
        return GatePlace(name, self.stage.name, number, purpose)

    def _decide(self, place: GatePlace, plan: DrawPlan, open_model: OpenModel) -> Verdict:
        assert place.attempt is not None
        begun = self._attempt(place.attempt).gates.get(place.key)
        if begun is not None and begun.decided and begun.verdict is not Verdict.INVALID:
            recheck(begun)
            return begun.verdict
        decision = GateRunner(self.log.append, self.progress).run(
            place,
            self.pipeline.suites[place.gate],
            plan,
            open_model(),
            self._fresh(place, plan) if begun is None else Draw((), begun.seed),
            curtail=self.pipeline.plans(self.stage)[place.gate].curtail is not False,
            begun=begun,
        )
        self.say(f"{place.label}: {decision.verdict}, {decision.reason}")
        return decision.verdict

    def _fresh(self, place: GatePlace, plan: DrawPlan) -> Draw:
        """The registered draw of a place: cases that no earlier attempt of this stage was asked there."""
        assert place.attempt is not None
        seed = derived_seed(self.pipeline.seed, self.stage.name, *_purpose_of_seed(place))
        used = _used(self._attempts(), place.key, before=place.attempt)
        reuse = self.pipeline.plans(self.stage)[place.gate].reuse
        return draw_fresh(place, self.pipeline.suites[place.gate], plan.draw, seed, used, reuse)

    def _attempt(self, number: int) -> AttemptRecord:
        return self._attempts()[number]

    def _attempts(self) -> dict[int, AttemptRecord]:
        return read_run(self.log.folder).stages[self.stage.name].attempts


def _purpose_of_seed(place: GatePlace) -> tuple[str, ...]:
    return (place.gate,) if place.purpose == "gate" else (place.gate, place.purpose)


def _used(attempts: Mapping[int, AttemptRecord], key: str, *, before: int) -> frozenset[str]:
    """The cases that earlier attempts were asked under this key."""
    earlier = [attempt.gates[key] for number, attempt in attempts.items() if number < before and key in attempt.gates]
    return frozenset(case_id for gate in earlier for case_id in gate.seen)
