"""Measuring a judge with human labels: the work of `tunegate judge`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from tunegate import __version__
from tunegate.cases.bank import draw_order
from tunegate.cases.case import Case, Prompt
from tunegate.checks.answers.part import WHOLE
from tunegate.checks.check import Need, Sample
from tunegate.checks.check import judge as ask_checks
from tunegate.checks.judge_admission import Agreement, Counts, default_path, write_admission
from tunegate.checks.outcome import Finding, Outcome, Verdict
from tunegate.exceptions import CannotJudge, ConfigError
from tunegate.executors.model_on_workers import Workers
from tunegate.hashes import sha256_of
from tunegate.models.model import OpenJudge
from tunegate.models.sentences import default_model
from tunegate.progress import Progress
from tunegate.reading.yaml_file import load_yaml
from tunegate.stats.agreement import PositionBias, Share, correlation, kappa, kappa_interval, position_bias
from tunegate.whole_files import write_whole
from tunegate_suites.build import build
from tunegate_suites.judges.admission import expiry, history_before, refusal
from tunegate_suites.judges.compare import faults_of, numbers, question_hash
from tunegate_suites.judges.fit import fit, fitted_json, in_fitting_half
from tunegate_suites.judges.judge import Judge
from tunegate_suites.judges.labels import Labelled, LabelsOptions, distinct, read_labels
from tunegate_suites.judges.measured import Biases, LabelCounts, LengthBias, Measured, SelfConsistency, WeightedKappa
from tunegate_suites.judges.sides import Scheme
from tunegate_suites.options import LocalModels

KEPT = 50
"""The number of misjudged answers in the record."""


@dataclass(frozen=True)
class MeasureRequest:
    """A measurement: a judge or suite file, human labels, and settings.

    `draw` labels are drawn with `seed` (None: all); each is judged `repeats` times. `fit` fits a comparing judge on
    half of the questions first.
    """

    judge: Path
    labels: Path
    out: Path | None = None
    draw: int | None = None
    seed: int = 0
    repeats: int = 1
    fit: bool = False


def measure(
    request: MeasureRequest,
    progress: Progress,
    models: LocalModels | None = None,
    start_workers: Callable[[], Workers] | None = None,
) -> Measured:
    """Measure a judge and write its admission record. With `start_workers`, local models judge on workers.

    Raises ConfigError for wrong files, CannotJudge if the judge gave no verdict on any answer.
    """
    if request.repeats < 1 or (request.draw is not None and request.draw < 1):
        raise ConfigError("--repeats and --draw must be at least 1")
    judge = load_judge(request.judge, models)
    if start_workers is not None and not judge.asks_local_models:
        raise ConfigError(f"--executor: only for judges with a local `model`, unlike {request.judge}; leave it out")
    labels = read_labels(
        request.labels, judge.labels or LabelsOptions(), Scheme(judge.menu, judge.passes, judge.pairwise)
    )
    single = distinct(request.labels, labels.kept, pairwise=judge.pairwise)
    if request.fit:
        judge = _fitted(judge, labels.kept, request, models)
    unseen = _unseen(judge, single)
    if not unseen:
        raise ConfigError(
            f"{request.labels}: every question was used to fit the judge or as an example; add labels of other "
            "questions"
        )
    drawn = _drawn(unseen, request.draw, request.seed)
    labelled = _labelled(request.labels, drawn)
    with nullcontext() if start_workers is None else closing(start_workers()) as workers:
        open_judge = None if workers is None else workers.open_judge
        rounds = [_judged(judge, drawn, open_judge, progress, turn) for turn in range(request.repeats)]
    counts = LabelCounts(
        file=request.labels.name,
        sha256=sha256_of(request.labels),
        left_out=len(single) - len(unseen),
        copies=len(labels.kept) - len(single),
        passes=dict(labels.passes),
        fails=dict(labels.fails),
        skipped=dict(labels.skipped),
        labelled=labelled,
    )
    return _recorded(judge, request, drawn, rounds, counts, None if workers is None else workers.facts)


def load_judge(path: Path, models: LocalModels | None = None) -> Judge:
    """The judge of a judge file, or the only `judge` check of a suite file."""
    data: Any = load_yaml(path).data
    entry: object = {"judge": str(path.name)}
    if isinstance(data, Mapping) and "checks" in data:
        checks: Any = data["checks"]
        entries = [one for one in checks or () if one == "judge" or (isinstance(one, Mapping) and "judge" in one)]
        if len(entries) != 1:
            raise ConfigError(
                f"{path}: the suite has {len(entries)} `judge` checks; name a suite with exactly one, or a judge file"
            )
        entry = entries[0]
    check = build(entry, path.parent, models, path)
    assert isinstance(check, Judge)
    return check


# --- which labels ---------------------------------------------------------------------------------------------------


def _fitted(judge: Judge, labels: Sequence[Labelled], request: MeasureRequest, models: LocalModels | None) -> Judge:
    """Fit the judge on half of the questions and write its weights; returns the fitted judge."""
    if judge.compare is None:
        raise ConfigError(f"{request.judge}: --fit is only for judges with `compare`; this judge has nothing to fit")
    sentences = cache(lambda: default_model("judge --fit"))
    half = [one for one in labels if in_fitting_half(one.sample.case.prompt_text)]
    faults = faults_of([one.sample for one in half], judge.compare, sentences)
    half = [one for one, fault in zip(half, faults, strict=True) if fault is None]
    passed = [one.passed for one in half]
    if len(set(passed)) < 2:
        raise ConfigError(
            f"{request.labels}: fitting needs answers with references, some that people passed and some that they "
            "failed"
        )
    rows = numbers([one.sample for one in half], judge.compare, lambda texts: sentences().embed(texts))
    questions = [question_hash(one.sample.case.prompt_text) for one in half]
    source = {"file": request.labels.name, "sha256": sha256_of(request.labels)}
    path = judge.fitted_path
    try:
        write_whole(path, fitted_json(fit(rows, passed), questions, source))
    except OSError as error:
        raise CannotJudge(f"{path}: cannot write the weights: {error.strerror}") from error
    return load_judge(request.judge, models)


def _unseen(judge: Judge, labels: Sequence[Labelled]) -> list[Labelled]:
    """The labels of questions that are new to the judge: not used for its fit, and not examples in its rubric."""
    shown = {question_hash(example.prompt) for example in judge.rubric.examples} if judge.rubric else set[str]()
    seen = shown | (judge.fitted.questions if judge.compare is not None else set[str]())
    for member in judge.members if judge.panel is not None else ():
        kept = {id(one) for one in _unseen(member, labels)}
        labels = [one for one in labels if id(one) in kept]
    return [one for one in labels if question_hash(one.sample.case.prompt_text) not in seen]


def _drawn(labels: Sequence[Labelled], draw: int | None, seed: int) -> list[Labelled]:
    if draw is None:
        return list(labels)
    if draw > len(labels):
        raise ConfigError(f"--draw {draw}: only {len(labels)} labels can be used to measure the judge; draw fewer")
    by_id = {one.sample.case.id: one for one in labels}
    return [by_id[case_id] for case_id in draw_order(by_id, seed)[:draw]]


def _labelled(path: Path, labels: Sequence[Labelled]) -> tuple[str, str] | None:
    """The days of the first and of the last label, from the field `labelled` that `tunegate review merge` writes.

    A field of that name without any day is something else. A text among days is refused: it may hide an old label.
    """
    days = sorted(str(day)[:10] for one in labels if (day := one.sample.case.fields.get("labelled")))
    if not any(map(_is_day, days)):
        return None
    if strange := next((day for day in days if not _is_day(day)), None):
        raise ConfigError(f"{path}: labelled: expected a day such as 2026-11-30, as in other rows, got {strange!r}")
    return days[0], days[-1]


def _is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False


# --- judging --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Unadmitted:
    """A judge as a check that ignores its admission, so that errors are contained as in any gate."""

    judge_: Judge
    max_errors: dict[str, int]
    name: str = "judge"
    version: str = ""
    fingerprint: str = ""
    needs_choices: bool = False
    needs: tuple[Need, ...] = ()
    can_fail: bool = True

    @property
    def batch_size(self) -> int:
        return self.judge_.batch_size

    def variants(self, case: Case) -> tuple[Prompt, ...]:
        return ()

    def judge(self, samples: Sequence[Sample]) -> Sequence[Finding]:
        return self.judge_.findings(samples)


def _judged(
    judge: Judge, labels: Sequence[Labelled], open_judge: OpenJudge | None, progress: Progress, turn: int
) -> list[Finding]:
    check = _Unadmitted(judge, {})
    label = "judging" if turn == 0 else f"judging again, {turn + 1}"
    outcomes: list[Outcome] = []
    for start in range(0, len(labels), judge.batch_size):
        batch = labels[start : start + judge.batch_size]
        samples = [replace(one.sample, open_judge=open_judge) for one in batch]
        outcomes += ask_checks([check], samples, WHOLE)  # as people saw it
        progress(label, len(outcomes), len(labels), "answers")
    return [outcome.findings[0] for outcome in outcomes]


# --- figures --------------------------------------------------------------------------------------------------------


def counted(passed: Sequence[bool], findings: Sequence[Finding], groups: Sequence[str | None] = ()) -> Agreement:
    """The table of people's verdicts and the judge's verdicts; with `groups`, those of the labels, also by group."""
    column = {Verdict.PASS: 0, Verdict.FAIL: 1}
    cells = [(0 if ok else 1, column.get(one.verdict, 2)) for ok, one in zip(passed, findings, strict=True)]
    if len(set(groups) - {None}) == sum(group is not None for group in groups):  # every label is alone
        return Agreement(_table(cells))
    members: dict[object, list[tuple[int, int]]] = {}
    for at, (group, cell) in enumerate(zip(groups, cells, strict=True)):
        members.setdefault((at,) if group is None else group, []).append(cell)
    tables = Counter(map(_table, members.values()))
    return Agreement(_table(cells), tuple((number, table) for table, number in sorted(tables.items())))


def _table(cells: Sequence[tuple[int, int]]) -> Counts:
    first, second = ((cells.count((row, 0)), cells.count((row, 1)), cells.count((row, 2))) for row in (0, 1))
    return first, second


def _recorded(
    judge: Judge,
    request: MeasureRequest,
    labels: Sequence[Labelled],
    rounds: Sequence[Sequence[Finding]],
    counts: LabelCounts,
    executor: Mapping[str, Any] | None,
) -> Measured:
    """Write the admission record of what the judge said, round by round; the first round decides."""
    findings = rounds[0]
    agreement = counted([one.passed for one in labels], findings, [one.sample.case.group for one in labels])
    if agreement.invalid == agreement.n:
        raise CannotJudge(f"the judge gave no verdict on any of {agreement.n} answers; the first: {findings[0].reason}")
    path = request.out or default_path(judge.judge_sha256)
    history = history_before(judge.judge_sha256, [path, default_path(judge.judge_sha256)], counts.sha256)
    biases = Biases(
        weighted_kappa=_weighted(judge, labels, findings),
        position_bias=_position_bias(findings) if judge.pairwise else None,
        length_bias=_length_bias(labels, findings, pairwise=judge.pairwise),
        self_consistency=_self_consistency(rounds),
    )
    misjudged = [_misjudged(one, finding) for one, finding in zip(labels, findings, strict=True)]
    further: dict[str, Any] = {
        "judge": judge.identity,
        "labels": asdict(counts),
        "drawn": None if request.draw is None else {"draw": request.draw, "seed": request.seed},
        **biases.to_json(),
        **({"executor": executor} if executor else {}),
        "tunegate": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "misjudged": [one for one in misjudged if one is not None][:KEPT],
    }
    record = write_admission(path, judge.judge_sha256, agreement, further, history)
    return Measured(
        judge=str(request.judge),
        judge_sha256=judge.judge_sha256,
        agreement=agreement,
        biases=biases,
        labels=counts,
        measurements=record.history,
        admit=judge.admission_needs.min,
        reason="" if agreement.reaches(judge.admission_needs.min) else refusal(record, judge.admission_needs.min),
        age=record.age,
        expired=expiry(record.age, judge.admission_needs, datetime.now(UTC).date()),
        record=str(path),
        record_sha256=record.sha256,
        executor=executor,
    )


def _weighted(judge: Judge, labels: Sequence[Labelled], findings: Sequence[Finding]) -> dict[str, WeightedKappa] | None:
    """Kappa with linear and quadratic weights on a scale, where people used the same scale."""
    menu = judge.menu
    if judge.rubric is None or judge.rubric.scale is None or any(one.human not in menu for one in labels):
        return None
    table = [[0] * (len(menu) + 1) for _ in menu]
    for one, finding in zip(labels, findings, strict=True):
        label = f"{finding.value:g}" if isinstance(finding.value, float) else ""
        table[menu.index(one.human)][menu.index(label) if label in menu else len(menu)] += 1
    return {
        weights: WeightedKappa(kappa(table, weights), kappa_interval(table, weights))
        for weights in ("linear", "quadratic")
    }


def _position_bias(findings: Sequence[Finding]) -> PositionBias:
    places = {Verdict.PASS: (1, 2), Verdict.FAIL: (2, 1)}
    same_place = {"first": (1, 1), "second": (2, 2)}
    seen = [places.get(finding.verdict) or same_place.get(str(finding.value)) for finding in findings]
    return position_bias([place for place in seen if place is not None])


def _length_bias(labels: Sequence[Labelled], findings: Sequence[Finding], *, pairwise: bool) -> LengthBias:
    """How an answer's length (in pairs: by how much it is the longer one) correlates with the verdicts of each side."""
    judged = [(one, f) for one, f in zip(labels, findings, strict=True) if f.verdict is not Verdict.INVALID]
    lengths = [_length(one.sample, pairwise=pairwise) for one, _ in judged]
    return LengthBias(
        human=correlation(lengths, [one.passed for one, _ in judged]),
        judge=correlation(lengths, [finding.verdict is Verdict.PASS for _, finding in judged]),
    )


def _length(sample: Sample, *, pairwise: bool) -> float:
    rival = len(sample.case.references[0]) if pairwise and sample.case.references else 0
    return float(len(sample.response.text) - rival)


def _self_consistency(rounds: Sequence[Sequence[Finding]]) -> SelfConsistency | None:
    """The share of answers with the same verdict every time; a missing verdict never counts as the same."""
    if len(rounds) < 2:
        return None
    said = [{(finding.verdict, finding.value) for finding in turns} for turns in zip(*rounds, strict=True)]
    same = sum(len(one) == 1 and next(iter(one))[0] is not Verdict.INVALID for one in said)
    return SelfConsistency(len(rounds), Share(same, len(said)))


def _misjudged(one: Labelled, finding: Finding) -> dict[str, Any] | None:
    if finding.verdict is (Verdict.PASS if one.passed else Verdict.FAIL):
        return None
    reason = " ".join(finding.reason.split())[:200]
    return {"id": one.sample.case.id, "human": one.human, "judge": finding.verdict, "reason": reason}
