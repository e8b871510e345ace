"""The list of possible causes of a failed attempt: for each, its evidence and its remedies. Pure functions.

Each `_looks_…` takes the evidence and returns a Cause, or None if the evidence does not show it. The thresholds are
plain shares of the misses, so that a reader can verify a diagnosis by counting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from tunegate.cases.traits import in_words, label
from tunegate.checks.outcome import Outcome, Verdict
from tunegate.data.conflicts import conflicts, in_conflict
from tunegate.data.kinds import classes, of_kind, weak_kinds
from tunegate.data.training_data import Example
from tunegate.record.record import FailureKind
from tunegate.stats.noise import Noise
from tunegate.training.remedies import REMEDIES, Remedy
from tunegate.verdicts.in_common import InCommon, in_common

GAP = 0.10
"""A pass rate on training data this much above the gate's counts as overfitting."""
OFTEN = 1 / 3
"""An error category that this share of the misses shows is their cause."""
FEWEST = 3
"""Groups with fewer misses are not reported."""
NOISY = 0.05
"""Labels are the cause from this share of training rows that contradict another row."""
STALLED = 0.9
"""A loss that ends above this share of its beginning has hardly moved."""
NAMED = 5
"""How many rows or kinds a message lists at most."""
REPAIRED = 3
"""How many kinds a repair favours at once: with more, each would get little text."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause with its own evidence, in addition to that of `diagnosis.describe`, its remedies, the likeliest first,
    and advice for people. `kinds` are those that a repair should favour."""

    name: str
    remedies: tuple[Remedy, ...]
    evidence: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What is known of a failed attempt.

    `missed_gate` is the outcomes of the gate that failed worst. The same checks passed `train_passed` of `train_asked`
    answers to training prompts, and `train_cut` of the answers ended at the token limit; `train_fault` says why others
    were not judged. `losses` are the logged training losses in order. `forgotten` says what the model lost of an
    earlier model's abilities, `over_limits` which limits on serving it exceeds; then its answers missed no gate of its
    own, and `missed_gate` is empty. `trained` are the
    rows it was trained on, of which `rows_dropped` did not fit `max_length`; `all_rows` are all rows of the stage.
    `noise` says how likely a good model misses as badly; `may_redraw`, that a redraw of these weights asks fresh cases,
    and is their first.
    """

    missed_gate: Sequence[Outcome]
    accept_rate: float
    train_passed: int = 0
    train_asked: int = 0
    train_cut: int = 0
    train_fault: str = ""
    losses: Sequence[float] = ()
    training_error: str | None = None
    training_failure: FailureKind = "other"
    forgotten: Sequence[str] = ()
    over_limits: Sequence[str] = ()
    trained: Sequence[Example] = ()
    all_rows: Sequence[Example] = ()
    rows_dropped: int = 0
    noise: Noise | None = None
    may_redraw: bool = False

    @cached_property
    def misses(self) -> list[Outcome]:
        return [outcome for outcome in self.missed_gate if outcome.verdict is Verdict.FAIL]

    @cached_property
    def in_common(self) -> InCommon | None:
        """The rule that the misses share, if one is shown."""
        return in_common(self.missed_gate)

    @property
    def gate_rate(self) -> float:
        return sum(outcome.verdict is Verdict.PASS for outcome in self.missed_gate) / max(len(self.missed_gate), 1)

    @property
    def train_rate(self) -> float | None:
        return self.train_passed / self.train_asked if self.train_asked else None

    def showing(self, *categories: str) -> list[Outcome]:
        """The misses in which a check found one of these error categories."""
        return [miss for miss in self.misses if any(error.category in categories for error in miss.errors)]

    def often(self, misses: Sequence[Outcome]) -> bool:
        """Whether these are a large enough share of the misses to be their cause."""
        return len(misses) >= max(FEWEST, OFTEN * len(self.misses))


NOISE = "noise"
"""The cause of a miss that is as likely for a good model."""


def find_cause(evidence: Evidence) -> Cause:
    """Noise where the miss can't be told from it; otherwise the first cause that the evidence shows.

    What else the evidence shows chooses the remedies of noise too: the next training should change what helps if the
    miss was none.
    """
    cause = _first_shown(evidence)
    if evidence.noise is None or not evidence.noise.likely:
        return cause
    return replace(cause, name=NOISE, evidence=(*cause.evidence, f"if it is not noise: {cause.name}"))


def _first_shown(evidence: Evidence) -> Cause:
    for looks_like in CAUSES:
        cause = looks_like(evidence)
        if cause is not None:
            return cause
    return _cause("near miss")


def _cause(
    name: str, evidence: tuple[str, ...] = (), advice: tuple[str, ...] = (), kinds: tuple[str, ...] = ()
) -> Cause:
    return Cause(name, REMEDIES[name], evidence, advice, kinds)


def share(outcomes: Sequence[Outcome]) -> str:
    """`50 of 100`"""
    passed = sum(outcome.verdict is Verdict.PASS for outcome in outcomes)
    return f"{passed} of {len(outcomes)}"


# --- the training ---------------------------------------------------------------------------------------------------


def _broken_training(evidence: Evidence) -> Cause | None:
    if evidence.training_error is None:
        return None
    match evidence.training_failure:
        case "out of memory" as name:
            advice = (
                "lower args.per_device_train_batch_size and raise args.gradient_accumulation_steps as much, "
                "or lower args.max_length"
            )
            return _cause(name, advice=(advice,))
        case "diverged" as name:
            return _cause(name)
        case "too few misses" as name:
            return _cause(name)
        case "other":
            return _cause("the training failed")


def _over_limits(evidence: Evidence) -> Cause | None:
    """The answers are good enough, but serving the model costs too much: another training has the same cost."""
    return _cause("limits") if evidence.over_limits else None


def _forgetting(evidence: Evidence) -> Cause | None:
    if not evidence.forgotten:
        return None
    return _cause("forgetting")


def _rising_loss(evidence: Evidence) -> Cause | None:
    """The loss ends well above its minimum, and no lower than it began."""
    losses = evidence.losses
    if len(losses) < 8:
        return None
    end, lowest = fmean(losses[-len(losses) // 4 :]), min(losses)
    if end < max(losses[0], 2 * lowest):
        return None
    at = losses.index(lowest) + 1
    line = f"the loss rose from {lowest:.3g} at logged step {at} to {end:.3g} over the last quarter"
    return _cause("learning rate too high", (line,))


def _flat_loss(evidence: Evidence) -> Cause | None:
    """The loss has hardly moved, and the model has not learned its training data."""
    losses, rate = evidence.losses, evidence.train_rate
    if len(losses) < 8 or rate is None or rate >= evidence.accept_rate:
        return None
    start, end = fmean(losses[: len(losses) // 4]), fmean(losses[-len(losses) // 4 :])
    if end < STALLED * start or start <= 0:
        return None
    line = f"the loss hardly moved: {start:.3g} over the first quarter of the steps, {end:.3g} over the last"
    return _cause("learning rate too low", (line,))


# --- the answers ----------------------------------------------------------------------------------------------------


def _never_stops(evidence: Evidence) -> Cause | None:
    """Every answer ends at the token limit, although most have room for the right answer: no end was learned."""
    answers = evidence.missed_gate
    cut = [outcome for outcome in answers if outcome.finish_reason == "length"]
    if len(cut) < len(answers) or evidence.train_cut < evidence.train_asked:
        return None
    if len(cut) + evidence.train_cut < FEWEST or evidence.often(evidence.showing("repetition")):
        return None
    roomy = [one for one in cut if one.references and min(map(len, one.references)) < len(one.response)]
    if 2 * len(roomy) < len(cut):
        return None
    known = [one for one in cut if _holds_reference(one)]
    lines = [
        f"never stops: all {len(cut) + evidence.train_cut} answers end at the token limit, in the gate and in training"
    ]
    lines += [f"{len(known)} of the {len(cut)} misses contain the right answer and go on"] if known else []
    advice = (
        "check that the chat template ends a turn with the model's eos token (`tunegate check`) and that rows are not "
        "cut before it, or set `generate.stop` in the suite"
    )
    return _cause("never stops", tuple(lines), (advice,))


def _truncation(evidence: Evidence) -> Cause | None:
    """Answers end at the token limit: the limit is too low for the answer, or the model does not know how to end."""
    cut = [miss for miss in evidence.misses if miss.finish_reason == "length"] or evidence.showing("truncated")
    if not evidence.often(cut) or evidence.often(evidence.showing("repetition")):
        return None
    too_long = [miss for miss in cut if miss.references and min(map(len, miss.references)) > len(miss.response)]
    lines = [f"truncation: {len(cut)} of {len(evidence.misses)} misses end at the token limit"]
    if 2 * len(too_long) > len(cut):
        lines.append(f"{len(too_long)} of them are shorter than the shortest right answer")
        return Cause("truncation", (), tuple(lines), ("raise generate.max_new_tokens in the suite",))
    if evidence.rows_dropped:
        lines.append(f"{evidence.rows_dropped} training rows were left out, because they exceed max_length")
    return _cause("truncation", tuple(lines))


def _repetition(evidence: Evidence) -> Cause | None:
    loops = evidence.showing("repetition")
    if not evidence.often(loops):
        return None
    return _cause("repetition", (f"repetition: {len(loops)} of {len(evidence.misses)} misses loop",))


def _format(evidence: Evidence) -> Cause | None:
    """The answer has the wrong form: other words around the right answer, or a form that a check cannot read."""
    unread = evidence.showing("format", "empty", "prompt_echo", "no_answer")
    held = [miss for miss in evidence.misses if _holds_reference(miss)]
    wrong = {miss.case_id: miss for miss in (*unread, *held)}
    if not evidence.often(list(wrong.values())):
        return None
    line = f"format: {len(held)} of {len(evidence.misses)} misses contain the right answer among other words"
    odd = f"{len(unread)} are empty, repeat the prompt, or do not have the requested form"
    lines = [text for text, some in ((line, held), (odd, unread)) if some]
    return _cause("format", tuple(lines))


def _holds_reference(miss: Outcome) -> bool:
    answer = f" {label(miss.response if miss.judged is None else miss.judged)} "
    return any(label(one) and f" {label(one)} " in answer for one in miss.references)


def _length(evidence: Evidence) -> Cause | None:
    for name in ("too_long", "too_short"):
        odd = evidence.showing(name)
        if evidence.often(odd):
            right = [len(min(miss.references, key=len)) for miss in odd if miss.references]
            line = f"length: {len(odd)} of {len(evidence.misses)} misses are {name.replace('_', ' ')}"
            if right:
                given = fmean(len(miss.response) for miss in odd)
                line += f", {given:.0f} characters; the shortest right answers have {fmean(right):.0f}"
            advice = _trained_lengths(evidence)
            return _cause("length", (line,), advice)
    return None


def _trained_lengths(evidence: Evidence) -> tuple[str, ...]:
    lengths = [len(example.wanted) for example in evidence.trained if example.wanted is not None]
    if not lengths:
        return ()
    return (f"check that training answers have the length that the suite wants: {fmean(lengths):.0f} characters now",)


# --- the data -------------------------------------------------------------------------------------------------------


def _label_noise(evidence: Evidence) -> Cause | None:
    rows = in_conflict(evidence.trained)
    if len(rows) < max(FEWEST, NOISY * len({example.number for example in evidence.trained})):
        return None
    line = (
        f"label noise: {len(rows)} of {len(evidence.trained)} training rows answer nearly the same question differently"
    )
    named = "; ".join(one.in_words for one in conflicts(evidence.trained)[:NAMED])
    return _cause("label noise", (line,), (f"correct or remove one of each: {named}",))


def _class_imbalance(evidence: Evidence) -> Cause | None:
    """Misses concentrate in kinds that are rare in the training data."""
    weak = weak_kinds(evidence.missed_gate, evidence.trained, evidence.all_rows)
    if not weak:
        return None
    rare = any(kind.rare for kind in weak)
    collect = tuple(f"collect more rows of {kind.name}" for kind in weak if kind.rare)
    lines = tuple(kind.in_words for kind in weak[:NAMED])
    kinds = tuple(kind.name for kind in weak if kind.rare or not rare)[:REPAIRED]
    return _cause("class imbalance" if rare else "weak kinds", lines, collect, kinds)


def _shared_features(evidence: Evidence) -> Cause | None:
    """The misses share features that training rows have too: rows with these features are a kind of their own."""
    rule = evidence.in_common
    if rule is None or rule.kind is None:
        return None
    known = classes(evidence.all_rows)
    told = f"{len(of_kind(evidence.trained, rule.kind, known))} of {len(evidence.trained)} training rows are"
    line = f"{told} {in_words(rule.features)}"
    if not of_kind(evidence.all_rows, rule.kind, known):  # nothing to repair with
        rest = tuple(remedy for remedy in REMEDIES["weak kinds"] if remedy.setting != "repair")
        return Cause("weak kinds", rest, (line,), (f"collect {in_words(rule.features)}",))
    return _cause("weak kinds", (line,), kinds=(rule.kind,))


# --- how much was learnt --------------------------------------------------------------------------------------------


def _fit(evidence: Evidence) -> Cause | None:
    rate = evidence.train_rate
    if rate is None:
        return _cause("the gate was missed")
    if rate - evidence.gate_rate > GAP:
        return _cause("overfit")
    if rate < evidence.accept_rate:
        return _cause("underfit")
    return None


CAUSES: tuple[Callable[[Evidence], Cause | None], ...] = (
    _broken_training,
    _over_limits,
    _forgetting,
    _rising_loss,
    _never_stops,
    _truncation,
    _repetition,
    _format,
    _length,
    _label_noise,
    _class_imbalance,
    _shared_features,
    _flat_loss,
    _fit,
)
"""In the order of the search: observed causes come before inferred ones."""
