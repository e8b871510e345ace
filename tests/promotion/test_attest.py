"""`tunegate attest`: a decided run is attested, whatever its verdict; what has no verdict never is."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.promotion.test_registry import rewrite
from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import carry_out, tools, write_pipeline
from tests.support.record_edits import events_of, write
from tests.training.test_waived_runs import GOOD, ONLY_STYLE_MISSES, WAIVER, carried_out
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.commands.promote import fingerprint
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.models.model import ScriptedModel
from tunegate.progress import no_progress
from tunegate.promotion.dsse import bundle_of, verified
from tunegate.promotion.keys import load_private, load_public, write_keys
from tunegate.promotion.subjects import subjects_of
from tunegate.record.read_run import read_run
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`passed/run` and `missed/run`, whose first stage failed, and the pair of keys `k`."""
    folder = tmp_path_factory.mktemp("runs")
    assert carry_out(write_pipeline(folder / "passed")).verdict is Verdict.PASS
    assert carry_out(write_pipeline(folder / "missed"), tools({})).verdict is Verdict.FAIL
    assert carry_out(write_pipeline(folder / "late"), tools({"sft#1": 1.0})).verdict is Verdict.FAIL
    write_keys(folder / "k.key", None)
    return folder


@pytest.fixture
def folder(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = Path(shutil.copytree(runs, tmp_path / "runs"))
    monkeypatch.chdir(copy)
    return copy


def call(capsys: Capture, words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(words.split())
    out, err = capsys.readouterr()
    return code, out, err


def attested(capsys: Capture, run: str = "passed/run", key: str = "k.pub") -> Json:
    """The statement that `attest` signs about a run."""
    code, _, err = call(capsys, f"attest {run} --sign k.key --out signed.json")
    assert (code, err) == (0, "")
    return verified(Path("signed.json").read_bytes(), [load_public(Path(key))], "signed.json").statement


def test_a_run_that_passed_is_attested_as_its_promotion_is(folder: Path, capsys: Capture) -> None:
    statement = attested(capsys)
    code, _, _ = call(capsys, "promote passed/run --registry r --sign k.key")
    assert code == 0
    [path] = Path("r").rglob("attestation.sigstore.json")
    promoted = verified(path.read_bytes(), [load_public(Path("k.pub"))], path).statement
    assert statement["subject"] == promoted["subject"]
    assert statement["predicate"]["result"] == "PASSED"
    # The run itself goes on record as promoted, so the records differ in length; all else is the same.
    assert {**promoted["predicate"], "tunegateEvaluation": 0} == {**statement["predicate"], "tunegateEvaluation": 0}


def test_a_run_that_failed_is_attested_with_the_weights_that_failed(folder: Path, capsys: Capture) -> None:
    statement = attested(capsys, "missed/run")
    attempt = read_run(folder / "missed" / "run").stages["sft"].attempts[3]
    assert statement["subject"] == subjects_of(folder / "missed" / "run" / attempt.model)
    predicate = statement["predicate"]
    assert (predicate["result"], predicate["passedTests"]) == ("FAILED", [])
    assert predicate["failedTests"] == ["sft/facts", "sft/style"]
    [first, _] = predicate["tunegateEvaluation"]["evaluations"]
    assert first["claims"][0]["passed"] is False
    assert first["attempts"] == {"made": 3, "allowed": 3}


def test_a_later_stage_that_failed(folder: Path, capsys: Capture) -> None:
    predicate = attested(capsys, "late/run")["predicate"]
    assert predicate["result"] == "FAILED"
    assert "align/facts" in predicate["failedTests"]
    assert not [test for test in predicate["passedTests"] if test.startswith("sft/")]  # other weights passed those


def test_a_waived_run_is_warned(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pipeline(tmp_path, ONLY_STYLE_MISSES, bank=60)
    (tmp_path / "waivers.yaml").write_text(WAIVER)
    carried_out(tmp_path, GOOD)
    write_keys(tmp_path / "k.key", None)
    monkeypatch.chdir(tmp_path)
    assert attested(capsys, "run")["predicate"]["result"] == "WARNED"
    Path("signed.json").rename("a.sigstore.json")
    assert call(capsys, "verify a.sigstore.json --key k.pub")[0] == 6
    assert call(capsys, "verify a.sigstore.json --key k.pub --allow-waived")[0] == 0


def test_what_is_printed(folder: Path, capsys: Capture) -> None:
    code, out, err = call(capsys, "attest missed/run --sign k.key --predicate p.json")
    hint = load_public(Path("k.pub")).hint
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "FAILED: sft/facts, sft/style",
        "subjects: model/, config.json, weights.txt",
        f"signed with the key {hint}: missed/run/attestation.sigstore.json",
        "predicate of type https://in-toto.io/attestation/test-result/v0.1: p.json",
    ]
    _, out, _ = call(capsys, "attest missed/run --sign k.key --out o.json --json")
    assert json.loads(out) == {
        "result": "FAILED",
        "subjects": json.loads(base64.b64decode(json.loads(Path("o.json").read_text())["dsseEnvelope"]["payload"]))[
            "subject"
        ],
        "predicate_type": "https://in-toto.io/attestation/test-result/v0.1",
        "bundle": "o.json",
        "key": hint,
        "predicate": None,
    }


def test_a_predicate_for_another_signer_needs_no_key(folder: Path, capsys: Capture) -> None:
    code, out, _ = call(capsys, "attest passed/run --predicate p.json")
    assert (code, "signed" in out) == (0, False)
    assert json.loads(Path("p.json").read_text()) == attested(capsys)["predicate"]
    assert not list(folder.rglob("*.sigstore.json"))


def test_a_key_with_a_password(folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_PASSWORD", "correct horse")
    write_keys(folder / "locked.key", b"correct horse")
    words = "attest passed/run --sign locked.key"
    assert call(capsys, words)[0] == 2
    assert call(capsys, "attest passed/run --sign locked.key --password-env K_PASSWORD")[0] == 0


# --- what is refused -----------------------------------------------------------------------------------------------


def as_decided(verdict: str) -> Callable[[Json], Json]:
    def change(event: Json) -> Json:
        return {**event, "verdict": verdict, "reason": "so"} if event["event"] == "run_decided" else event

    return change


@pytest.mark.parametrize(("verdict", "expected"), [("INVALID", 3), ("INCONCLUSIVE", 4)])
def test_a_run_without_a_verdict_is_never_attested(folder: Path, capsys: Capture, verdict: str, expected: int) -> None:
    rewrite(folder / "missed", as_decided(verdict))
    code, out, err = call(capsys, "attest missed/run --sign k.key --out signed.json")
    assert (code, out) == (expected, "")
    told = f"missed/run: so; a run that is {verdict} is not attested, only a run that passed or failed\n"
    assert err.removeprefix("tunegate attest: ").removeprefix("INCONCLUSIVE: ") == told
    assert not Path("signed.json").exists()
    code, out, _ = call(capsys, "attest missed/run --sign k.key --json")
    assert json.loads(out)["exit_code"] == expected


def test_a_run_under_way_is_not_attested(folder: Path, capsys: Capture) -> None:
    rewrite(folder / "missed", lambda event: None if event["event"] == "run_decided" else event)
    code, _, err = call(capsys, "attest missed/run --sign k.key")
    assert (code, "is not decided" in err, err.count("\n")) == (3, True, 1)


@pytest.mark.parametrize("run", ["passed", "missed"])
def test_weights_that_changed_are_tampering(folder: Path, capsys: Capture, run: str) -> None:
    for path in (folder / run / "run").rglob("weights.txt"):
        path.write_text("1.0")
    code, _, err = call(capsys, f"attest {run}/run --sign k.key")
    assert (code, "the weights changed" in err) == (5, True)


def test_weights_that_are_gone_are_not_attested(folder: Path, capsys: Capture) -> None:
    shutil.rmtree(folder / "missed" / "run" / "sft" / "attempt-3" / "model")
    code, _, err = call(capsys, "attest missed/run --sign k.key")
    assert (code, "no longer exists" in err) == (1, True)


def changed(kind: str, **fields: Any) -> Callable[[Json], Json]:
    def change(event: Json) -> Json:
        mine = event["event"] == kind and event.get("attempt") == 3 and event.get("gate", "facts") == "facts"
        return {**event, **fields} if mine else event

    return change


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (changed("gate_decided", verdict="PASS"), "its outcomes give FAIL"),
        (changed("gate_started", suite_sha256="0" * 64), "suite or terms differ"),
        (changed("gate_started", model_sha256="0" * 64), "different weights"),
        (changed("attempt_started", input_sha256="0" * 64), "did not start from the weights"),
        (changed("trained", model="../base"), "outside the run folder|the weights changed"),
    ],
)
def test_a_failure_that_the_record_does_not_support_is_tampering(
    folder: Path, capsys: Capture, change: Callable[[Json], Json], fault: str
) -> None:
    rewrite(folder / "missed", change)
    code, _, err = call(capsys, "attest missed/run --sign k.key")
    assert code == 5
    assert [part for part in fault.split("|") if part in err]


def test_a_failed_run_whose_gates_all_passed_is_tampering(folder: Path, capsys: Capture) -> None:
    """The stage and the run say FAIL; no gate of the last attempt does."""

    def failed(event: Json) -> Json:
        whole = event["event"] == "run_decided" or (event["event"], event.get("stage")) == ("stage_decided", "align")
        return {**event, "verdict": "FAIL"} if whole else event

    rewrite(folder / "passed", failed)
    code, _, err = call(capsys, "attest passed/run --sign k.key")
    assert (code, "no required gate of its last attempt failed" in err) == (5, True)


@pytest.mark.parametrize(
    ("words", "code", "fault"),
    [
        ("attest passed/run", 2, "give --sign KEY, --predicate FILE or both"),
        ("attest passed/run --predicate p.json --out o.json", 2, "--out: has no effect without --sign"),
        ("attest passed/run --predicate p.json --password-env HOME", 2, "--password-env: has no effect without --sign"),
        ("attest nowhere --sign k.key", 2, "no such folder"),
        ("attest passed/run --sign k.pub", 2, "a public key; give the private key"),
        ("attest passed/run --sign k.key --out nowhere/x/../../k.pub/x.json", 2, ""),
    ],
)
def test_wrong_input_is_one_line(folder: Path, capsys: Capture, words: str, code: int, fault: str) -> None:
    found, out, err = call(capsys, words)
    assert (found, out) == (code, "")
    assert fault in err
    assert err.count("\n") == 1


# --- verifying what was attested -------------------------------------------------------------------------------------


def model_of(run: Path) -> Path:
    stage = read_run(run).stages["align"]
    return run / stage.attempts[max(stage.attempts)].model


def test_a_bundle_is_verified_with_its_subject(folder: Path, capsys: Capture) -> None:
    attested(capsys)
    model = model_of(folder / "passed" / "run")
    code, out, err = call(capsys, "verify signed.json --key k.pub")
    assert code == 2  # a bundle is known by its name
    Path("signed.json").rename("a.sigstore.json")
    code, out, err = call(capsys, f"verify a.sigstore.json --key k.pub --subject {model}")
    assert (code, err) == (0, "")
    hint = load_public(Path("k.pub")).hint
    assert out.splitlines() == [
        f"signature: good, by the key {hint}",
        "PASSED: align/facts, align/facts (retention), align/style (retention)",
        "subjects: model/, config.json, weights.txt",
        f"subject: {model} is as signed",
    ]
    code, out, _ = call(capsys, f"verify a.sigstore.json --key k.pub --subject {model / 'weights.txt'} --json")
    assert (code, json.loads(out)["result"], json.loads(out)["keys"]) == (0, "PASSED", [hint])
    code, out, _ = call(capsys, "verify a.sigstore.json --key k.pub")
    assert (code, out.splitlines()[-1]) == (0, "subject: not compared; to compare it: --subject FILE or FOLDER")


def test_a_failure_verifies_too_and_says_that_it_is_one(folder: Path, capsys: Capture) -> None:
    attested(capsys, "missed/run")
    Path("signed.json").rename("a.sigstore.json")
    code, out, _ = call(capsys, "verify a.sigstore.json --key k.pub")
    assert (code, out.splitlines()[1]) == (1, "FAILED: sft/facts, sft/style")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("byte", "names a given key, but does not match this content"),
        ("key", "its signature is by none of the given keys"),
        ("weights", "weights.txt has other content here than when it was signed"),
        ("more", "extra.txt is not among the signed files"),
        ("less", "the signed file config.json is missing here"),
        ("file", "other.txt is not among the signed files"),
        ("second", "signature 2 of 2 is by none of the given keys"),
        ("result", "its result does not follow from its tests"),
        ("kind", "the statement is not one of test results"),
    ],
)
def test_a_bundle_that_is_not_as_signed_is_refused(folder: Path, capsys: Capture, change: str, fault: str) -> None:
    statement = attested(capsys)
    path, subject = Path("a.sigstore.json"), Path(shutil.copytree(model_of(folder / "passed" / "run"), "model"))
    bundle = json.loads(Path("signed.json").read_text())
    envelope, key = bundle["dsseEnvelope"], "k.pub"
    match change:
        case "byte":
            payload = base64.b64decode(envelope["payload"]).replace(b"PASSED", b"FAILED")
            envelope["payload"] = base64.b64encode(payload).decode()
        case "key":
            write_keys(Path("other.key"), None)
            key = "other.pub"
        case "weights":
            (subject / "weights.txt").write_text("other")
        case "more":
            (subject / "extra.txt").write_text("new")
        case "less":
            (subject / "config.json").unlink()
        case "file":
            subject = Path("other.txt")
            subject.write_text("other")
        case "second":
            envelope["signatures"].append({"sig": base64.b64encode(b"bad").decode(), "keyid": "x"})
        case _:
            changed = {"result": {"predicate": {**statement["predicate"], "result": "FAILED"}}, "kind": {"_type": "x"}}
            bundle = json.loads(bundle_of({**statement, **changed[change]}, load_private(Path("k.key"), None)))
    path.write_text(json.dumps(bundle))
    code, out, err = call(capsys, f"verify {path} --key {key} --subject {subject}")
    assert (code, out) == (5, "")
    assert fault in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("verify a.sigstore.json", "a.sigstore.json: a signed statement is verified with a public key; add --key FILE"),
        ("verify a.sigstore.json --key k.pub --subject nowhere", "--subject nowhere: no such file or folder"),
        ("verify a.sigstore.json --key k.pub --out x", "--out: a.sigstore.json is a signed statement"),
        ("verify passed/run --subject x", "--subject: only for a signed statement (….sigstore.json) that is here"),
    ],
)
def test_what_a_bundle_cannot_be_verified_with(folder: Path, capsys: Capture, words: str, fault: str) -> None:
    attested(capsys)
    Path("signed.json").rename("a.sigstore.json")
    code, out, err = call(capsys, words)
    assert (code, out) == (2, "")
    assert fault in err


# --- a gate that was run alone ---------------------------------------------------------------------------------------


def gated(right: int, finish: str = "stop", plan: str = "{draw: 10, accept: 9}", run: str = "g") -> int:
    """`tunegate gate` on ten stored answers, of which this many are right; in the working folder."""
    rows = [{"id": f"c{n}", "prompt": f"{n}?", "reference": f"{n}!"} for n in range(10)]
    write_jsonl(Path("cases.jsonl"), rows)
    given = [{"id": f"c{n}", "response": f"{n}!" if n < right else "wrong", "finish_reason": finish} for n in range(10)]
    write_jsonl(Path("answers.jsonl"), given)
    Path("suite.yaml").write_text(f"name: facts\ncases: cases.jsonl\nchecks: [exact]\nplan: {plan}\n")
    return main(["gate", "--responses", "answers.jsonl", "--suite", "suite.yaml", "--run", run])


@pytest.mark.parametrize(("right", "code", "result"), [(10, 0, "PASSED"), (5, 1, "FAILED")])
def test_a_gate_alone_is_attested_about_the_answers_that_it_judged(
    folder: Path, capsys: Capture, right: int, code: int, result: str
) -> None:
    assert gated(right) == code
    statement = attested(capsys, "g")
    sha256 = hashlib.sha256(Path("answers.jsonl").read_bytes()).hexdigest()
    assert statement["subject"] == [{"name": "answers.jsonl", "digest": {"sha256": sha256}}]
    predicate = statement["predicate"]
    tests = {"PASSED": [], "FAILED": [], result: ["facts"]}
    assert (predicate["result"], predicate["passedTests"], predicate["failedTests"]) == (
        result,
        tests["PASSED"],
        tests["FAILED"],
    )
    assert [one["name"] for one in predicate["configuration"]] == ["suite/facts"]
    [evaluation] = predicate["tunegateEvaluation"]["evaluations"]
    assert (evaluation["passedCases"], evaluation["sampleSize"]) == (right, 10)
    assert ("risk" in evaluation) == (result == "PASSED")
    assert "attempts" not in evaluation
    assert "baseModel" not in predicate["tunegateEvaluation"]
    Path("signed.json").rename("a.sigstore.json")
    code = 0 if result == "PASSED" else 1
    assert call(capsys, "verify a.sigstore.json --key k.pub --subject answers.jsonl")[0] == code
    with Path("answers.jsonl").open("a") as file:
        file.write("\n")
    assert call(capsys, "verify a.sigstore.json --key k.pub --subject answers.jsonl")[0] == 5
    code, _, err = call(capsys, "attest g --sign k.key --out again.json")
    assert (code, err) == (5, "tunegate attest: answers.jsonl: changed after it was gated\n")
    Path("answers.jsonl").unlink()
    code, _, err = call(capsys, "attest g --sign k.key --out again.json")
    assert code == 1
    assert "answers.jsonl: what was gated is no longer here" in err
    assert not Path("again.json").exists()


def test_a_gate_without_a_verdict_is_never_attested(folder: Path, capsys: Capture) -> None:
    assert gated(10, finish="error") == 3
    code, out, err = call(capsys, "attest g --sign k.key --out signed.json")
    assert (code, out) == (3, "")
    assert "only a gate that passed or failed is attested, not one that is INVALID" in err
    assert not Path("signed.json").exists()


def test_a_gate_that_still_owes_its_confirming_draw_is_not_attested(folder: Path, capsys: Capture) -> None:
    plan = "{kind: double, draw: 3, accept: 2, confirm: {draw: 2, accept: 1}}\nsealed: 0.5"
    gated(10, plan=plan)
    events = events_of(Path("g"))
    keys = [event.get("purpose") for event in events]
    assert "confirm" in keys
    write(Path("cut"), events[: keys.index("confirm")])
    code, _, err = call(capsys, "attest cut --sign k.key --out signed.json")
    assert (code, err) == (3, "tunegate attest: cut: the gate is not decided; the same command resumes it\n")
    assert attested(capsys, "g")["predicate"]["passedTests"] == ["facts", "facts (confirm)"]


def test_a_gate_of_a_model_is_attested_about_its_files(folder: Path, capsys: Capture) -> None:
    gated(10)
    model = model_of(folder / "passed" / "run")
    suite = load_suite(Path("suite.yaml"), build_check)
    own = ScriptedModel(lambda case: case.references[0], name=str(model), sha256=fingerprint(model))
    run_gate(GateRequest(suite, suite.plan, 0, own, "m"), no_progress, {})
    assert attested(capsys, "m")["subject"] == subjects_of(model)
    served = ScriptedModel(lambda case: case.references[0], name="http://127.0.0.1:1/v1#m", sha256=None)
    run_gate(GateRequest(suite, suite.plan, 0, served, "s"), no_progress, {})
    code, _, err = call(capsys, "attest s --sign k.key --out signed.json")
    assert code == 2
    assert "http://127.0.0.1:1/v1#m has no files here that a statement could be about" in err
    (model / "weights.txt").write_text("other")
    assert call(capsys, "attest m --sign k.key --out signed.json")[0] == 5


def test_a_comparison_is_not_attested(folder: Path, capsys: Capture) -> None:
    gated(10)
    words = ["--responses", "answers.jsonl", "--suite", "suite.yaml", "--draw", "8", "--max-drop", "50"]
    shutil.copy("answers.jsonl", "old.jsonl")
    main(["gate", *words, "--baseline", "old.jsonl", "--ledger", "none", "--run", "c"])
    code, _, err = call(capsys, "attest c --sign k.key --out signed.json")
    assert code == 2
    assert "a comparison of two models" in err


def test_a_gate_that_was_sealed_again_around_another_verdict_is_not_attested(folder: Path, capsys: Capture) -> None:
    gated(5)
    events = events_of(Path("g"))
    events[-1] |= {"verdict": "PASS", "passed": 10, "failed": 0}
    write(Path("forged"), events)
    assert call(capsys, "attest forged --sign k.key --out signed.json")[0] == 5
