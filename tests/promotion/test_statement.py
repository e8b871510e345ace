"""The statements that are signed: predicates of in-toto, and the figures in one extension object."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_pipeline import carry_out, write_pipeline
from tests.support.places import ROOT
from tests.training.test_waived_runs import GOOD, ONLY_STYLE_MISSES, WAIVER, carried_out
from tunegate.checks.outcome import Verdict
from tunegate.models.fingerprint import fingerprint
from tunegate.promotion.evidence import attest, check_gates
from tunegate.promotion.statement import EXTENSION, VERIFIER, result_statement, svr_statement
from tunegate.promotion.subjects import subjects_of
from tunegate.record.event_log import read_events
from tunegate.record.read_run import read_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "project"
    assert carry_out(write_pipeline(folder)).verdict is Verdict.PASS
    return folder


def statement_of(project: Path, **changes: Any) -> dict[str, Any]:
    """The test-result statement of a run that passed, as a reader of the signed file sees it."""
    run = read_run(project / "run")
    attempt = check_gates(run)
    assert run.goal is not None
    attestation = {**attest(run, attempt), **changes}
    model = run.folder / attempt.model
    return json.loads(json.dumps(result_statement(run, run.goal, attestation, subjects_of(model), "f" * 64)))


def test_a_run_that_passed(finished: Path) -> None:
    statement = statement_of(finished)
    run = read_run(finished / "run")
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert [subject["name"] for subject in statement["subject"]] == ["model/", "config.json", "weights.txt"]
    predicate = statement["predicate"]
    assert (predicate["result"], predicate["warnedTests"], predicate["failedTests"]) == ("PASSED", [], [])
    assert predicate["passedTests"] == ["align/facts", "align/facts (retention)", "align/style (retention)"]
    configured = {one["name"]: one["digest"]["sha256"] for one in predicate["configuration"]}
    suites = {f"suite/{name}": suite["sha256"] for name, suite in run.start["suites"].items()}
    assert configured == {"pipeline/small": run.start["pipeline_sha256"], **suites}


def test_the_figures_are_in_one_extension_object(finished: Path) -> None:
    run = read_run(finished / "run")
    attempt = check_gates(run)
    predicate = statement_of(finished)["predicate"]
    assert {*predicate} - {"result", "configuration", "passedTests", "warnedTests", "failedTests"} == {EXTENSION}
    found = predicate[EXTENSION]
    first = next(read_events(run.folder))
    assert found["preRegistration"] == {"alg": "sha256", "value": first["line_sha256"]}
    [record] = found["evidence"]
    assert (record["digest"], record["annotations"]) == ({"sha256": "f" * 64}, {"lastLine": run.digest})
    assert found["model"]["annotations"] == {"fingerprint": attempt.model_sha256}
    assert found["baseModel"] == {"name": "base", "annotations": {"fingerprint": fingerprint(finished / "base")}}
    assert (found["assuranceLevel"], found["evaluatedAt"]) == ("self_attested", run.finished)
    gate, kept, _ = found["evaluations"]
    assert gate["test"] == "align/facts"
    assert gate["claims"] == [{"metric": "passed_cases", "comparator": ">=", "threshold": "4", "passed": True}]
    assert (gate["sampleSize"], gate["passedCases"], gate["plan"]) == (5, 5, {"draw": 5, "accept": 4})
    assert gate["interval"] == list(attempt.gates["facts"].interval)
    assert (gate["attempt"], gate["attempts"]) == (1, {"made": 1, "allowed": 1})
    assert gate["ledger"]["why_not"] == "no ledger was asked for"
    assert gate["suite"] == {"name": "facts", "version": run.start["suites"]["facts"]["sha256"]}
    luck = run.stages["align"].luck["facts"]
    assert not isinstance(luck, str)
    assert (gate["risk"]["so_far"], gate["risk"]["at"]) == (luck.so_far, luck.at)
    assert kept["claims"] == [{"metric": "net_loss_cases", "comparator": "<=", "threshold": "0", "passed": True}]
    assert (kept["kept"]["net_loss"], "kept" in gate) == (0, False)
    assert "risk" not in kept


def test_a_waived_miss_is_warned_in_every_stage(tmp_path: Path) -> None:
    write_pipeline(tmp_path, ONLY_STYLE_MISSES, bank=60)
    (tmp_path / "waivers.yaml").write_text(WAIVER)
    carried_out(tmp_path, GOOD)
    predicate = statement_of(tmp_path)["predicate"]
    assert predicate["result"] == "WARNED"
    assert predicate["warnedTests"] == ["sft/style", "align/style"]
    assert "align/facts" in predicate["passedTests"]
    assert predicate["failedTests"] == []
    style = next(one for one in predicate[EXTENSION]["evaluations"] if one["test"] == "align/style")
    assert (style["verdict"], style["waived"], style["claims"][0]["passed"]) == ("FAIL", True, False)
    assert [waiver["gate"] for waiver in predicate[EXTENSION]["waivers"]] == ["style", "style"]


def gate_like(project: Path, **changes: Any) -> dict[str, Any]:
    run = read_run(project / "run")
    return {**attest(run, check_gates(run))["gates"][0], **changes}


def test_a_missed_gate_is_failed(finished: Path) -> None:
    missed = gate_like(finished, verdict="FAIL", passed=3)
    predicate = statement_of(finished, gates=[missed])["predicate"]
    assert (predicate["result"], predicate["failedTests"], predicate["passedTests"]) == ("FAILED", ["align/facts"], [])
    assert predicate[EXTENSION]["evaluations"][0]["claims"][0]["passed"] is False


def test_enough_cases_are_enough_although_a_slice_failed_the_gate(finished: Path) -> None:
    """A claim is about its threshold; the gate may need more."""
    missed = gate_like(finished, verdict="FAIL", passed=4)
    predicate = statement_of(finished, gates=[missed])["predicate"]
    [evaluation] = predicate[EXTENSION]["evaluations"]
    assert (evaluation["verdict"], evaluation["claims"][0]["passed"]) == ("FAIL", True)


@pytest.mark.parametrize("verdict", ["INVALID", "INCONCLUSIVE"])
def test_a_gate_without_a_verdict_is_never_attested(finished: Path, verdict: str) -> None:
    with pytest.raises(ValueError, match="align/facts"):
        statement_of(finished, gates=[gate_like(finished, verdict=verdict)])
    other = statement_of(finished, other_gates=[gate_like(finished, gate="extra", verdict=verdict)])
    assert "align/extra" not in json.dumps(other)


def test_a_gate_that_was_not_required_decides_nothing(finished: Path) -> None:
    other = gate_like(finished, gate="extra", verdict="FAIL", passed=0)
    predicate = statement_of(finished, other_gates=[other])["predicate"]
    assert (predicate["result"], predicate["failedTests"]) == ("PASSED", [])
    last = predicate[EXTENSION]["evaluations"][-1]
    assert (last["test"], last["required"], last["verdict"]) == ("align/extra", False, "FAIL")


def test_no_path_of_this_machine_is_signed(finished: Path) -> None:
    assert str(finished) not in json.dumps(statement_of(finished))


def test_the_verification_summary(finished: Path) -> None:
    run = read_run(finished / "run")
    attestation = attest(run, check_gates(run))
    statement = svr_statement(
        run, attestation, [{"name": "model/", "digest": {"dirHash": "0"}}], "2026-11-21T10:00:00Z"
    )
    assert statement["predicateType"] == "https://in-toto.io/attestation/svr/v0.2"
    predicate = statement["predicate"]
    assert predicate["timeCreated"] == "2026-11-21T10:00:00Z"
    assert [policy["name"] for policy in predicate["verifier"]["policies"]] == ["pipeline/small"]
    assert "TUNEGATE_EVERY_GATE_PASSED" in predicate["properties"]
    waived = svr_statement(run, {**attestation, "waivers": [{"stage": "sft", "gate": "facts"}]}, [], "")
    assert [*predicate["properties"]] == ["TUNEGATE_EVERY_GATE_PASSED", *waived["predicate"]["properties"]]


def test_the_verifier_is_named_as_in_the_project_file() -> None:
    """Tunegate has no public home yet: the same place stands for it in both."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert VERIFIER.startswith(f"{urls['Repository']}/")


def test_the_record_may_be_read_from_any_folder(finished: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(finished, tmp_path / "moved"))
    assert statement_of(moved) == statement_of(finished)
