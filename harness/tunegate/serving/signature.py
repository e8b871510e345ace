"""What two sides of a serving check have in common, as values, and the rules that name a fault. Pure.

The same weights on other kernels, or at another precision, do not give the same texts: greedy answers part at the first
token on which two candidates are nearly equal. So "equal enough" is decided by three things that need no equal texts:

- the prompt is the same: its text if the server gives it, otherwise its number of tokens;
- the gap of the first token's log-probability has a median of at most `SAME_GAP`;
- the verdicts are not worse by the retention rule, on the same cases; a loss that may be chance is INVALID.

`SAME_GAP` and `OTHER_GAP` were measured on honest pairs and on altered ones; docs/serving.md has the figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from tunegate.checks.outcome import Verdict
from tunegate.models.first_tokens import SAME_GAP
from tunegate.models.model import FinishReason
from tunegate.models.server_facts import ServerFacts
from tunegate.stats.agreement import Share
from tunegate.stats.holm import SHOWN_P_VALUE
from tunegate.verdicts.comparison import Comparison

OTHER_GAP = 0.5
"""The largest median gap that fewer bits explain; beyond it, other weights answer."""
FEW_BITS = re.compile(r"(I?Q|TQ)[1-7]|MXFP4")
"""llama.cpp's names of types with fewer than 8 bits."""
SOME = 0.1
"""The share of cases from which something that should not happen counts as a fault."""

FaultKind = Literal[
    "template", "tokens", "context", "stop", "suspect", "quantised", "other_weights", "mixed", "verdicts"
]
Fact = str | int | float


@dataclass(frozen=True, slots=True)
class Pair:
    """One case on both sides. `gap` is that of the first token. A gap, prompt or token count is None if unknown."""

    case_id: str
    same_answer: bool
    runs_on: bool
    """Our answer had ended, and the served answer begins with all of it and continues."""
    ended: bool
    """Our answer ended by itself."""
    finish: FinishReason
    """How the served answer ended."""
    gap: float | None = None
    same_prompt: bool | None = None
    n_ours: int | None = None
    n_theirs: int | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """Everything that the rules compare. `suspects` are the gaps of other models to the server, by name.

    `longest` is the number of tokens that the longest prompt of the suite's draw and its answer need.
    """

    pairs: Sequence[Pair]
    comparison: Comparison
    server: ServerFacts
    asked_id: str
    longest: int
    suspects: Mapping[str, float | None] = field(default_factory=dict[str, float | None])

    @property
    def equal(self) -> Share:
        """The share of equal answers."""
        return Share(sum(pair.same_answer for pair in self.pairs), len(self.pairs))

    @property
    def equal_verdicts(self) -> Share:
        """The share of cases with the same verdict."""
        counts = self.comparison.counts
        return Share(0, 0) if counts is None else Share(counts.both + counts.neither, counts.n)

    @property
    def gaps(self) -> list[float]:
        """The known gaps, in ascending order."""
        return sorted(pair.gap for pair in self.pairs if pair.gap is not None)

    @property
    def median_gap(self) -> float | None:
        return median_of(self.gaps)

    @property
    def prompts(self) -> Share:
        """The share of equal prompts, among those that the server told."""
        told = [pair.same_prompt for pair in self.pairs if pair.same_prompt is not None]
        return Share(sum(told), len(told))

    @property
    def lengths(self) -> Share:
        """The share of prompts with as many tokens, among those that the server told."""
        told = [pair.n_ours == pair.n_theirs for pair in self.pairs if None not in (pair.n_ours, pair.n_theirs)]
        return Share(sum(told), len(told))

    @property
    def runs_on(self) -> Share:
        """Among our answers that ended by themselves: the share that the server continues."""
        return Share(sum(pair.runs_on for pair in self.pairs), sum(pair.ended for pair in self.pairs))

    @property
    def finished(self) -> Mapping[str, int]:
        """How many served answers ended in which way."""
        ways = [pair.finish for pair in self.pairs]
        return {way: ways.count(way) for way in sorted(set(ways))}


@dataclass(frozen=True, slots=True)
class ServingFault:
    """A usual fault, and the numbers that show it."""

    kind: FaultKind
    evidence: Mapping[str, Fact]


@dataclass(frozen=True, slots=True)
class Serving:
    """The verdict: PASS where the server gives the same model, FAIL where it differs, with the faults that explain it
    (the first is the cause of the others); INVALID where it cannot be told. `unclear` says why."""

    verdict: Verdict
    signature: Signature
    faults: Sequence[ServingFault] = ()
    unclear: Literal["", "not_judged", "no_log_probabilities", "lost_by_chance"] = ""


def decide(signature: Signature) -> Serving:
    """Name the faults and decide. Where there are no log-probabilities, only equal answers show that nothing differs.

    If a case has no answer, only faults that need no answers count: a server that refuses a long prompt differs.
    """
    if signature.comparison.verdict is Verdict.INVALID:
        sure = tuple(fault for rule in (*PROMPT_RULES, _context) if (fault := rule(signature)))
        return Serving(Verdict.FAIL if sure else Verdict.INVALID, signature, sure, "" if sure else "not_judged")
    if faults := tuple(faults_of(signature)):
        return Serving(Verdict.FAIL, signature, faults)
    if signature.comparison.verdict is Verdict.FAIL:
        return Serving(Verdict.INVALID, signature, (), "lost_by_chance")
    if any(pair.gap is None and not pair.same_answer for pair in signature.pairs):
        return Serving(Verdict.INVALID, signature, (), "no_log_probabilities")
    return Serving(Verdict.PASS, signature)


def faults_of(signature: Signature) -> Iterator[ServingFault]:
    """The faults, causes first. Where the prompts differ, the gap says nothing about the weights."""
    of_the_prompt = [fault for rule in PROMPT_RULES if (fault := rule(signature))]
    yield from of_the_prompt
    rules = OTHER_RULES if of_the_prompt else (*WEIGHT_RULES, *OTHER_RULES)
    yield from (fault for rule in rules if (fault := rule(signature)))


# --- the rules -----------------------------------------------------------------------------------------------------


def _template(signature: Signature) -> ServingFault | None:
    """The server puts the same messages into another text."""
    same = signature.prompts
    if same.count == same.of:
        return None
    return ServingFault("template", {"differ": same.of - same.count, "prompts": same.of})


def _tokens(signature: Signature) -> ServingFault | None:
    """The prompts have another number of tokens: another template, tokenizer or begin-of-text token."""
    same = signature.lengths
    if same.count == same.of or _template(signature) is not None:
        return None
    apart = [
        pair.n_theirs - pair.n_ours
        for pair in signature.pairs
        if pair.n_theirs is not None and pair.n_ours is not None and pair.n_theirs != pair.n_ours
    ]
    kind: FaultKind = "tokens" if signature.prompts.of else "template"
    return ServingFault(kind, {"differ": len(apart), "prompts": same.of, "fewest": min(apart), "most": max(apart)})


def _context(signature: Signature) -> ServingFault | None:
    """The server's context is too small for a case of the draw."""
    context = signature.server.context
    if context is None or context >= signature.longest:
        return None
    return ServingFault("context", {"context": context, "needed": signature.longest})


def _stop(signature: Signature) -> ServingFault | None:
    """The server gives the same answers and continues: a stop token is missing."""
    on = signature.runs_on
    if not on.count or on.count < SOME * on.of:
        return None
    return ServingFault("stop", {"continued": on.count, "answers": on.of})


def _suspect(signature: Signature) -> ServingFault | None:
    """Another model than the expected one is nearer to the server: an adapter is missing, a revision is old."""
    gap = signature.median_gap
    known = {name: other for name, other in signature.suspects.items() if other is not None}
    if gap is None or gap <= SAME_GAP or not known:
        return None
    name = min(known, key=known.__getitem__)
    if known[name] > max(SAME_GAP, gap / 2):
        return None
    return ServingFault("suspect", {"suspect": name, "gap": gap, "suspect_gap": known[name]})


def _quantised(signature: Signature) -> ServingFault | None:
    """The gap is one that fewer bits explain, or the server says that it has few bits.

    In the second case the gap may be of any size, because rounding can remove what a training added.
    """
    gap = signature.median_gap
    if gap is None or gap <= SAME_GAP or _suspect(signature) is not None:
        return None
    if gap > OTHER_GAP and not FEW_BITS.match(signature.server.number_type):
        return None
    return ServingFault("quantised", {"gap": gap, "allowed": SAME_GAP, "type": signature.server.number_type})


def _other_weights(signature: Signature) -> ServingFault | None:
    """The gap is larger than fewer bits explain: another base, adapter or revision."""
    gap = signature.median_gap
    if gap is None or gap <= OTHER_GAP or _suspect(signature) is not None or _quantised(signature) is not None:
        return None
    return ServingFault(
        "other_weights", {"gap": gap, "allowed": SAME_GAP, "ids": ", ".join(signature.server.model_ids)}
    )


def _mixed(signature: Signature) -> ServingFault | None:
    """Most first tokens are those of the expected weights, and some are not: another copy answers some requests."""
    median, far = signature.median_gap, sum(gap > OTHER_GAP for gap in signature.gaps)
    if median is None or median > SAME_GAP or far < max(2, SOME * len(signature.gaps)):
        return None
    return ServingFault("mixed", {"far": far, "answers": len(signature.gaps), "gap": median, "allowed": OTHER_GAP})


def _verdicts(signature: Signature) -> ServingFault | None:
    """More cases are lost than the retention rule allows, and than chance explains.

    The same weights lose and win a few cases, too, where two tokens are nearly equal.
    """
    counts = signature.comparison.counts
    if signature.comparison.verdict is not Verdict.FAIL or counts is None or counts.p_value >= SHOWN_P_VALUE:
        return None
    facts = {"lost": counts.lost, "won": counts.won, "cases": counts.n, "allowed": signature.comparison.max_drop}
    return ServingFault("verdicts", facts)


Rule = Callable[[Signature], ServingFault | None]
PROMPT_RULES: tuple[Rule, ...] = (_template, _tokens)
WEIGHT_RULES: tuple[Rule, ...] = (_suspect, _quantised, _other_weights, _mixed)
OTHER_RULES: tuple[Rule, ...] = (_context, _stop, _verdicts)


def median_of(gaps: Sequence[float]) -> float | None:
    """The median; None without a gap."""
    return median(gaps) if gaps else None
