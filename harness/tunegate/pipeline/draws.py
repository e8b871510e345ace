"""The draws of a run: their seeds, and the cases that a seed gives. All follow from the pipeline and what was asked
before, so that a draw on record can be made again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunegate.cases.case import question_of
from tunegate.gates.draw import Draw, GatePlace, draw_fresh, longest_draw
from tunegate.pipeline.paired_banks import alike
from tunegate.pipeline.pipeline import Pipeline, Stage
from tunegate.record.record import GateRecord
from tunegate.seeds import derived_seed
from tunegate.verdicts.terms import PAIRED, REFERENCES, Terms


def attempt_seed(pipeline: Pipeline, stage: str, number: int) -> int:
    """The seed of a training."""
    return derived_seed(pipeline.seed, stage, number)


def draw_seed(pipeline: Pipeline, stage: Stage, place: GatePlace) -> int:
    """The seed of a draw: gates that ask the same cases have one, and so have the two draws of a comparison."""
    if place.purpose in (*PAIRED, *REFERENCES):
        return pairs_seed(pipeline, place)
    purpose = () if place.purpose == "gate" else (place.purpose,)
    return derived_seed(pipeline.seed, stage.name, pipeline.sharing_a_draw(stage, place.gate)[0], *purpose)


def pairs_seed(pipeline: Pipeline, place: GatePlace) -> int:
    """The seed of both draws of a comparison; comparisons on the same bank ask the same cases."""
    return derived_seed(pipeline.seed, place.stage, alike(pipeline, place.gate)[0], "pairs", place.attempt)


def gate_draw(
    pipeline: Pipeline,
    stage: Stage,
    place: GatePlace,
    terms: Terms,
    used: frozenset[str],
    siblings: Iterable[Sequence[str]] = (),
) -> Draw:
    """The draw of a gate: cases whose questions are not in `used`, beginning with the longest of the draws `siblings`,
    those of gates of this attempt that ask the same. Raises Inconclusive if there are too few."""
    suite = pipeline.suites[place.gate]
    reuse = terms.purpose == "baseline" or suite.rule.reuse
    begin = longest_draw(suite, siblings)
    return draw_fresh(place, suite, terms.plan.draw, draw_seed(pipeline, stage, place), used, reuse, begin)


def asked_in(pipeline: Pipeline, gates: Iterable[GateRecord]) -> frozenset[str]:
    """The questions that these draws asked, of any suite, stage and attempt."""
    asked = frozenset[str]()
    for gate in gates:
        cases = pipeline.suites[gate.gate].cases if not gate.questions else ()  # an older record names only the cases
        asked |= gate.asked_questions | frozenset(question_of(case) for case in cases if case.id in gate.seen)
    return asked
