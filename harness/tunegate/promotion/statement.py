"""The statements that are signed: what the gates found (test-result), and that a promotion was supported (SVR). Pure.

Sources, all in https://github.com/in-toto/attestation/blob/main/spec/: `v1/statement.md` (in-toto Statement v1),
`predicates/test-result.md` (v0.1), `predicates/svr.md` (v0.2), `v1/README.md` (a producer may add fields of its own).

The figures are in one such field, `EXTENSION`. It uses the names of the open proposal `eval-result`
(https://github.com/in-toto/attestation/pull/575, not merged): `evaluatedAt`, `suite`, `claims` with `metric`,
`comparator`, `threshold` and `passed`, `sampleSize`, `model`, `assuranceLevel`, `subjectProfile`, `preRegistration`,
`evidence`, `harness`. The other names in it are Tunegate's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from tunegate.checks.outcome import Verdict
from tunegate.promotion.subjects import Subject
from tunegate.record.event_log import EVENTS
from tunegate.record.lucky_gate import lucky_pass_alone, unknown_luck
from tunegate.record.record import GateRecord, RunRecord, StageRecord
from tunegate.stats.luck import LuckyPass
from tunegate.verdicts.terms import PAIRED

Json = Mapping[str, Any]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
SVR = "https://in-toto.io/attestation/svr/v0.2"
EXTENSION = "tunegateEvaluation"
"""The field of the test-result predicate that holds the figures."""
FORMAT = 1
"""The format of the statements: raised whenever their content changes, so that older ones do not look forged."""
VERIFIER = "https://git.example.org/you/tunegate/verifier/v1"
"""The verifier in an SVR. Tunegate has no public repository yet, so example.org is the place of your copy."""
DIGEST_OF = {
    "pipeline": "the pipeline as Tunegate reads it, with its suites and its data; not the bytes of the file",
    "suite": "the suite as Tunegate reads it, with its cases and checks; not the bytes of the file",
}
RESULTS = {"PASSED": "passedTests", "WARNED": "warnedTests", "FAILED": "failedTests"}
"""The results of a test-result predicate, and the tests that each is about."""
DECIDED = (Verdict.PASS, Verdict.FAIL)
NO_FILES: Mapping[str, str] = {}


def result_statement(
    run: RunRecord,
    stage: StageRecord | None,
    attestation: Json,
    subjects: Sequence[Subject],
    record_sha256: str,
    beside: Mapping[str, str] = NO_FILES,
) -> dict[str, Any]:
    """What the gates of a stage's last attempt found about these weights, as an in-toto Statement v1; `stage` is None
    for a gate that was run alone, whose subject may be a file of answers.

    `attestation` is what `attest` returned, `record_sha256` the SHA-256 of the record's file, `beside` that of each
    further file of evidence, by name. PASSED: every required gate passed. WARNED: a gate was missed, in this stage or
    an earlier one, and a waiver excuses it. FAILED: a gate was missed. Raises ValueError for a required gate that is
    INVALID or INCONCLUSIVE: such a gate is not attested.

    Example: the page docs/signing.md shows one.
    """
    tests = _tests(attestation)
    predicate = {
        "result": "FAILED" if tests["failedTests"] else "WARNED" if tests["warnedTests"] else "PASSED",
        "configuration": configuration(run, attestation),
        **tests,
        EXTENSION: _figures(run, stage, attestation, subjects, record_sha256, beside),
    }
    return _statement(subjects, TEST_RESULT, predicate)


def svr_statement(run: RunRecord, attestation: Json, subjects: Sequence[Subject], time: str) -> dict[str, Any]:
    """A statement that the evidence supported a promotion: an in-toto Statement v1 with a Simple Verification Result.

    `time` is when this was verified (RFC 3339, UTC). An SVR lists only properties that are true: `EVERY_GATE_PASSED` is
    missing if a waiver excuses a gate.
    """
    properties = [
        *(() if attestation["waivers"] else ("TUNEGATE_EVERY_GATE_PASSED",)),
        "TUNEGATE_EVERY_GATE_PASSED_OR_WAIVED",
        "TUNEGATE_VERDICTS_FOLLOW_FROM_THE_RECORD",
        "TUNEGATE_GATED_WEIGHTS_ARE_THESE",
    ]
    verifier = {"id": VERIFIER, "policies": configuration(run, attestation)[:1]}
    return _statement(subjects, SVR, {"verifier": verifier, "timeCreated": time, "properties": properties})


def export_statement(
    export: Json, gates: Mapping[str, GateRecord], subjects: Sequence[Subject], evidence: Mapping[str, str]
) -> dict[str, Any]:
    """That an export is as good as its source: a test-result statement about the exported bytes.

    `export` is the record of the export, `gates` its comparisons by suite, all of which passed, and `evidence` the
    SHA-256 of each file of evidence, by name.
    """
    figures = {
        "format": FORMAT,
        "harness": {"name": "tunegate"},
        "assuranceLevel": "self_attested",
        "subjectProfile": "public-model",
        "model": {**subjects[0], "annotations": _fingerprint(export["sha256"])},
        "exportOf": {"annotations": _fingerprint(export["source"]["sha256"])},
        "evidence": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in evidence.items()],
        "evaluations": [
            {
                "test": name,
                "required": True,
                "suite": {"name": name, "version": gate.suite_sha256},
                "claims": [_drop_claim(gate.registered.max_drop, passed=gate.verdict is Verdict.PASS)],
                "sampleSize": gate.asked,
                "verdict": gate.verdict,
                "passedCases": gate.passed,
                "interval": list(gate.interval),
            }
            for name, gate in gates.items()
        ],
    }
    suites = [_descriptor("suite", name, str(gate.suite_sha256)) for name, gate in gates.items()]
    tests = {"passedTests": [*gates], "warnedTests": [], "failedTests": []}
    predicate = {"result": "PASSED", "configuration": suites, **tests, EXTENSION: figures}
    return _statement(subjects, TEST_RESULT, predicate)


def _statement(subjects: Sequence[Subject], kind: str, predicate: dict[str, Any]) -> dict[str, Any]:
    return {"_type": STATEMENT_TYPE, "subject": [*subjects], "predicateType": kind, "predicate": predicate}


def configuration(run: RunRecord, attestation: Json) -> list[dict[str, Any]]:
    """The pipeline, if there is one, and every suite that the run registered, as ResourceDescriptors."""
    suites: Json = run.start.get("suites") or {}
    registered = attestation.get("pipeline_sha256")
    pipeline = [("pipeline", run.name, registered)] if registered else []
    found = pipeline + [("suite", name, suite["sha256"]) for name, suite in suites.items()]
    return [_descriptor(kind, name, sha256) for kind, name, sha256 in found]


def _descriptor(kind: str, name: str, sha256: str) -> dict[str, Any]:
    return {"name": f"{kind}/{name}", "digest": {"sha256": sha256}, "annotations": {"digestOf": DIGEST_OF[kind]}}


def _tests(attestation: Json) -> dict[str, list[str]]:
    """The gates of these weights by result, and every waived gate of the stages before them."""
    waived = [_test(waiver) for waiver in attestation["waivers"]]
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": waived, "failedTests": []}
    for gate in attestation["gates"]:
        match Verdict(gate["verdict"]):
            case Verdict.PASS:
                tests["passedTests"].append(_test(gate))
            case Verdict.FAIL if _test(gate) not in waived:
                tests["failedTests"].append(_test(gate))
            case Verdict.FAIL:
                pass  # it is among the warned tests
            case verdict:
                raise ValueError(f"{_test(gate)} is {verdict}: a gate without a verdict is not attested")
    return tests


def _test(gate: Json) -> str:
    return gate["gate"] if gate["stage"] is None else f"{gate['stage']}/{gate['gate']}"


# --- the figures ---------------------------------------------------------------------------------------------------


def _figures(
    run: RunRecord,
    stage: StageRecord | None,
    attestation: Json,
    subjects: Sequence[Subject],
    record_sha256: str,
    beside: Mapping[str, str],
) -> dict[str, Any]:
    base = {
        "name": _base_name(attestation.get("base_model")),
        "annotations": _fingerprint(attestation.get("base_model_sha256")),
    }
    model = {**subjects[0], "annotations": _fingerprint(attestation["model_sha256"])}
    record = {"name": EVENTS, "mediaType": "application/jsonl", "digest": {"sha256": record_sha256}}
    return {
        "format": FORMAT,
        "evaluatedAt": run.finished,
        "harness": {"name": "tunegate", "version": attestation["tunegate"]},
        "assuranceLevel": "self_attested",
        "subjectProfile": "public-model",
        "model": model,
        **({} if stage is None else {"baseModel": base}),
        "preRegistration": {"alg": "sha256", "value": run.start.get("line_sha256")},
        "evidence": [
            {**record, "annotations": {"lastLine": attestation["record_sha256"]}},
            *(
                {"name": name, "mediaType": "application/json", "digest": {"sha256": sha}}
                for name, sha in beside.items()
            ),
        ],
        "waivers": attestation["waivers"],
        "evaluations": [
            *_evaluations(run, stage, attestation, attestation["gates"], required=True),
            *_evaluations(run, stage, attestation, attestation["other_gates"], required=False),
        ],
    }


def _base_name(model: object) -> str:
    """The base model's name, without the folders of this machine; a hub id is kept."""
    text = str(model or "")
    return PurePath(text).name if PurePath(text).is_absolute() or text.startswith((".", "~")) else text


def _fingerprint(sha256: object) -> dict[str, Any]:
    return {"fingerprint": sha256}


def _evaluations(
    run: RunRecord, stage: StageRecord | None, attestation: Json, gates: Iterable[Json], *, required: bool
) -> list[dict[str, Any]]:
    waived = [_test(waiver) for waiver in attestation["waivers"]]
    budget: Json = run.start.get("budget") or {}
    return [
        {
            "test": _test(gate),
            "required": required,
            "suite": {"name": _suite_name(gate), "version": gate["suite_sha256"]},
            "claims": [_claim(gate)],
            "sampleSize": gate["asked"],
            "verdict": gate["verdict"],
            "waived": _test(gate) in waived,
            "passedCases": gate["passed"],
            "interval": gate["interval"],
            "plan": gate["terms"].get("plan"),
            **({"kept": gate["terms"]["kept"]} if gate["terms"].get("kept") else {}),
            "attempt": gate["attempt"],
            **({} if stage is None else {"attempts": {"made": len(stage.attempts), "allowed": budget.get(stage.name)}}),
            **({"ledger": gate["ledger"]} if "ledger" in gate else {}),
            **_risk(_luck_alone(run) if stage is None else stage.luck.get(gate["gate"])),
        }
        for gate in gates
        if gate["verdict"] in DECIDED
    ]


def _luck_alone(run: RunRecord) -> LuckyPass | str | None:
    """The chance for a gate that was run alone, its confirming draw included; or why it is unknown."""
    first, *confirming = run.gates.values()
    confirm = next(iter(confirming), None)
    return lucky_pass_alone(first, confirm, run.start.get("policy")) or unknown_luck([first, *confirming]) or None


def _suite_name(gate: Json) -> str:
    """The suite of a draw, which its key begins with: `facts` of `facts (confirm)`."""
    purpose = gate["terms"].get("purpose", "gate")
    return str(gate["gate"]).removesuffix(f" ({purpose})")


def _claim(gate: Json) -> dict[str, Any]:
    """The threshold of a draw and whether it was met. A gate may require more: minima for slices, or caps on errors."""
    terms, passed = gate["terms"], gate["verdict"] == Verdict.PASS
    if terms.get("purpose") not in PAIRED:
        enough = passed or gate["passed"] >= gate["accept"]
        return {"metric": "passed_cases", "comparator": ">=", "threshold": str(gate["accept"]), "passed": enough}
    kept: Json | None = terms.get("kept")
    if kept:
        return {"metric": "net_loss_cases", "comparator": "<=", "threshold": f"{kept['net_loss']:g}", "passed": passed}
    return _drop_claim(terms["max_drop"], passed=passed)


def _drop_claim(max_drop: float | None, *, passed: bool) -> dict[str, Any]:
    return {"metric": "drop_percentage_points", "comparator": "<=", "threshold": f"{max_drop:g}", "passed": passed}


def _risk(luck: LuckyPass | str | None) -> dict[str, Any]:
    """The chance that a bad model passes, from the record; empty for a draw without one."""
    if luck is None:
        return {}
    return {"risk": luck if isinstance(luck, str) else asdict(luck)}
