"""Asking the stored weights again: an honest record is confirmed, an oracle's is refused, a failure is neither."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bank import write_jsonl
from tests.support.fake_pipeline import PIPELINE, carry_out, load, open_model, tools, write_pipeline
from tests.support.record_edits import VALUES
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.command_line import build_parser
from tunegate.commands.promote import verify as verify_command
from tunegate.exceptions import CannotJudge, ConfigError, Tampered
from tunegate.gates.ask_again import AskedAgain, asker, check_asked, drawn_again
from tunegate.models.fingerprint import fingerprint
from tunegate.models.model import Model, ScriptedModel
from tunegate.promotion.entry import stored_asked
from tunegate.promotion.registry import Ask, Promotion, promote, verify
from tunegate.record.read_run import read_run
from tunegate.record.recheck import NotPromotable
from tunegate.training.trainer import TrainJob, TrainResult
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]
LARGE = PIPELINE.partition("promote:")[0].replace("draw: 5, accept: 4", "draw: 30, accept: 25")
PASSES = {"sft#1": 1.0, "align#1": 1.0}


def oracle(path: str) -> Model:
    """The stand-in of the attack: it names the weights, and answers from the references."""
    return ScriptedModel(lambda case: case.references[0], name=path, sha256=fingerprint(Path(path)), block_size=3)


def finished(folder: Path, skill: float | None = None) -> Path:
    """A pipeline file beside a run that passed: honestly, or with an oracle over weights of this skill."""
    path = write_pipeline(folder / "project", LARGE, bank=300)
    given = tools(PASSES) if skill is None else replace(tools({"sft#1": skill, "align#1": skill}), open_model=oracle)
    assert carry_out(path, given).verdict is Verdict.PASS
    return path


def asking(path: Path, opened: Callable[[str], Model] = open_model) -> Ask:
    return asker(load(path).suites, lambda folder, _: opened(str(folder)), lambda *_: None)


def promoted(path: Path, n: int, ask: Ask | None = None) -> Promotion:
    run = read_run(path.parent / "run")
    return promote(run, "production", path.parent / "registry", fingerprint, ask=ask or asking(path), n_ask=n)


def entry_of(path: Path) -> Path:
    [entry] = (path.parent / "registry" / "models").iterdir()
    return entry


def test_an_honest_record_is_confirmed_and_the_result_kept(tmp_path: Path) -> None:
    path = finished(tmp_path)
    asked = promoted(path, 20).asked
    assert asked is not None
    assert (len(asked.cases), asked.agreed, asked.bound) == (20, 20, 0.0)
    kept = json.loads((entry_of(path) / "asked.json").read_text())
    assert kept["record_sha256"] == read_run(entry_of(path)).digest
    assert len({(one["gate"], one["case"]) for one in kept["cases"]}) == 20
    assert verify("production", path.parent / "registry", fingerprint).asked == asked


@pytest.mark.parametrize("skill", [0.0, 0.3])
def test_the_record_of_an_oracle_is_refused(tmp_path: Path, skill: float) -> None:
    """The attack: everything is real but who answers."""
    path = finished(tmp_path, skill)
    with pytest.raises(Tampered, match="the stored weights do not give the answers on record"):
        promoted(path, 20)
    assert not (path.parent / "registry").exists()
    promoted(path, 0)  # without --ask nobody sees it


def test_a_few_other_answers_are_those_of_another_machine(tmp_path: Path) -> None:
    path = finished(tmp_path)
    places = iter(range(100))

    def other_machine(spec: str) -> Model:
        honest = open_model(spec)
        return replace(honest, script=lambda case: "?" if next(places) == 0 else honest.script(case))

    asked = promoted(path, 20, asking(path, other_machine)).asked
    assert asked is not None
    assert (asked.agreed, len(asked.lost)) == (19, 1)
    assert "19 agree, 1 passed on record and misses now (at least 0.3% of all with 95% confidence" in asked.in_words


def test_what_fails_is_neither_a_pass_nor_a_forgery(tmp_path: Path) -> None:
    path = finished(tmp_path)

    def broken(spec: str) -> Model:
        raise RuntimeError("no such tensor")

    def silent(spec: str) -> Model:
        def fail(case: object) -> str:
            raise MemoryError("out of memory")

        return replace(open_model(spec), script=fail)

    for opened, why in ((broken, "no such tensor"), (silent, "out of memory")):
        with pytest.raises(CannotJudge, match=why):
            promoted(path, 5, asking(path, opened))
    with pytest.raises(Tampered, match="are not those on record"):
        promoted(path, 5, asking(path, lambda spec: replace(open_model(spec), sha256="0" * 64)))
    suites = {**load(path).suites}
    suites["facts"] = replace(suites["facts"], sha256="0" * 64)
    with pytest.raises(Tampered, match="its suite is not the one it was asked of"):
        promoted(path, 30, asker(suites, lambda folder, _: open_model(str(folder)), lambda *_: None))
    assert not (path.parent / "registry").exists()


def test_nobody_knows_beforehand_which_cases_are_asked(tmp_path: Path) -> None:
    path = finished(tmp_path)
    run = read_run(path.parent / "run")
    attempt = run.stages["align"].attempts[1]

    def ids(digest: str, nonce: str, n: int = 20) -> list[tuple[str, str]]:
        return [(gate.key, outcome.case_id) for gate, outcome in drawn_again(attempt, digest, nonce, n)]

    first = ids(run.digest, "a")
    assert first == ids(run.digest, "a")
    assert first != ids(run.digest, "b")
    assert first != ids("0" * 64, "a")
    assert {gate for gate, _ in ids(run.digest, "a", 30)} == {"facts", "facts (retention)", "style (retention)"}
    counts = {str(case): 0 for case in range(300)}
    for nonce in range(400):
        for _, case in ids(run.digest, str(nonce), 10):
            counts[case] += 1
    asked = [count for count in counts.values() if count]
    assert (len(asked), sum(asked)) == (30, 4000)
    assert all(90 < count < 180 for count in asked), "each of the 30 cases 133 times, by chance more or less"
    for n in (1, 31):
        with pytest.raises(ConfigError, match="at most the 30 that are on record"):
            ids(run.digest, "a", n)


def stored(path: Path, change: Callable[[AskedAgain], AskedAgain]) -> None:
    """Edit the stored result of an entry."""
    asked = promoted(path, 20).asked
    assert asked is not None
    (entry_of(path) / "asked.json").write_text(json.dumps(change(asked).to_json()))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda asked: replace(asked, nonce="0"), "are not those that the record and the nonce give"),
        (lambda asked: replace(asked, record_sha256="0" * 64), "are not those that the record and the nonce give"),
        (lambda asked: replace(asked, cases=asked.cases[1:]), "are not those that the record and the nonce give"),
        (lambda asked: replace(asked, cases=()), "it has 0 cases"),
        (
            lambda asked: replace(asked, cases=tuple(replace(one, passed=False) for one in asked.cases)),
            "are not those that the record and the nonce give",
        ),
        (
            lambda asked: replace(asked, cases=tuple(replace(one, passes=False) for one in asked.cases)),
            "do not give the answers on record",
        ),
        (lambda asked: replace(asked, nonce=3), "no promotion wrote this"),
    ],
)
def test_a_stored_result_is_held_against_the_record(
    tmp_path: Path, change: Callable[[AskedAgain], AskedAgain], why: str
) -> None:
    path = finished(tmp_path)
    stored(path, change)
    with pytest.raises(Tampered, match=why):
        verify("production", path.parent / "registry", fingerprint)


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An entry of a registry whose weights were asked again."""
    path = finished(tmp_path_factory.mktemp("entry"))
    promoted(path, 20)
    return entry_of(path)


@given(st.randoms(use_true_random=False))
def test_any_edit_of_a_stored_result_is_refused_or_says_the_same(entry: Path, rng: random.Random) -> None:
    """All but whether a case passes now, which only a signature covers."""
    kept = (entry / "asked.json").read_bytes()
    before, run = stored_asked(entry), read_run(entry)
    assert before is not None
    holder = data = json.loads(kept)
    key = rng.choice(list(data))
    if key == "cases" and rng.random() < 0.9:
        holder = rng.choice(data["cases"])
        key = rng.choice(list(holder))
    holder[key] = rng.choice(VALUES)
    try:
        (entry / "asked.json").write_text(json.dumps(data))
        asked = stored_asked(entry)
        assert asked is not None
        check_asked(asked, run.stages["align"].attempts[1], run.digest, "here")
    except Tampered:
        return
    finally:
        (entry / "asked.json").write_bytes(kept)
    assert replace(asked, cases=tuple(replace(one, passes=True) for one in asked.cases)) == before


def test_a_policy_demands_it(tmp_path: Path) -> None:
    path = finished(tmp_path)
    registry = path.parent / "registry"
    promoted(path, 0)
    (registry / "policy.yaml").write_text("ask: 20\n")
    with pytest.raises(NotPromotable, match="ask: 20 recorded cases must be asked of the stored weights again"):
        verify("production", registry, fingerprint)
    asked = promoted(path, 0).asked
    assert asked is not None
    assert len(asked.cases) == 20, "the policy's number"
    verify("production", registry, fingerprint)
    (registry / "policy.yaml").write_text("ask: 25\n")
    with pytest.raises(NotPromotable, match="at this promotion 20 were"):
        verify("production", registry, fingerprint)
    (registry / "policy.yaml").write_text("ask: 31\n")
    with pytest.raises(NotPromotable, match="31 cases must be asked again, but only 30 of these weights are on record"):
        promoted(path, 0)


def test_what_an_entry_holds_is_enough(tmp_path: Path) -> None:
    """A second promotion asks nothing if the entry has what the policy wants, and keeps the larger result."""
    path = finished(tmp_path)
    first = promoted(path, 20).asked
    (path.parent / "registry" / "policy.yaml").write_text("ask: 10\n")

    def nobody(*_: object) -> AskedAgain:
        raise AssertionError("asked")

    again = promoted(path, 0, nobody)
    assert (again.asked, again.already) == (first, True)
    fewer = promoted(path, 5).asked
    assert fewer is not None
    assert (len(fewer.cases), fewer != first) == (10, True), "asked afresh, and as many as the policy wants"
    assert verify("production", path.parent / "registry", fingerprint).asked == first
    more = promoted(path, 30)
    assert not more.already
    assert verify("production", path.parent / "registry", fingerprint).asked == more.asked


def test_a_run_that_ends_in_a_promotion_asks_by_the_policy(tmp_path: Path) -> None:
    for forged in (False, True):
        path = write_pipeline(tmp_path / str(forged), LARGE + PIPELINE[PIPELINE.index("promote:") :], bank=300)
        (path.parent / "registry").mkdir()
        (path.parent / "registry" / "policy.yaml").write_text("ask: 20\n")
        given = tools(PASSES)
        opened = iter(range(100))
        if forged:  # while the gates ask, it is an oracle; the promotion opens what is on disk

            def turncoat(spec: str, opened: object = opened) -> Model:
                return oracle(spec) if next(opened) < 4 else open_model(spec)  # type: ignore[call-overload]

            given = replace(tools({}), open_model=turncoat)
            with pytest.raises(Tampered, match="do not give the answers on record"):
                carry_out(path, given)
            assert not (path.parent / "registry" / "aliases").exists()
        else:
            assert carry_out(path, given).verdict is Verdict.PASS
            asked = verify("production", path.parent / "registry", fingerprint).asked
            assert asked is not None
            assert len(asked.cases) == 20


def test_a_signature_covers_what_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    from tunegate.promotion.keys import load_private, load_public

    path = finished(tmp_path)
    monkeypatch.chdir(path.parent)
    assert main(["keygen", "ci.key"]) == 0
    run, key, public = read_run(path.parent / "run"), load_private(Path("ci.key"), None), [load_public(Path("ci.pub"))]
    registry = Path("registry")
    promote(run, "production", registry, fingerprint, signer=key)
    with pytest.raises(ConfigError, match="give --sign KEY to sign it again"):
        promote(run, "production", registry, fingerprint, ask=asking(path), n_ask=20)
    promote(run, "production", registry, fingerprint, signer=key, ask=asking(path), n_ask=20)
    assert verify("production", registry, fingerprint, public).asked is not None
    asked = entry_of(path) / "asked.json"
    kept = asked.read_bytes()
    asked.unlink()
    with pytest.raises(Tampered, match="contradicts the record"):
        verify("production", registry, fingerprint, public)
    asked.write_bytes(kept.replace(b'"passes": true', b'"passes": false', 1))
    verify("production", registry, fingerprint)
    with pytest.raises(Tampered, match="contradicts the record"):
        verify("production", registry, fingerprint, public)


# --- real weights --------------------------------------------------------------------------------------------------


def with_real_weights(folder: Path) -> Path:
    """A pipeline whose cases a tiny real model answers right: its own answers are the references."""
    pytest.importorskip("torch")
    from tests.support.tiny_model import make_tiny_model
    from tunegate.models.open_model import open_model as open_real

    text = LARGE.replace("checks: [exact]", "checks: [exact], generate: {max_new_tokens: 6}")
    path = write_pipeline(folder / "project", text, bank=150)
    shutil.rmtree(path.parent / "base")
    model = open_real(str(make_tiny_model(path.parent / "base")))
    cases = list(load(path).suites["facts"].cases)
    answers = dict(model.generate(cases, load(path).suites["facts"].settings))
    rows = [
        {"id": case.id, "prompt": case.prompt, "reference": answers[n].text or "nothing"}
        for n, case in enumerate(cases)
    ]
    write_jsonl(path.parent / "cases.jsonl", rows)
    return path


def copied(job: TrainJob) -> TrainResult:
    """A training that changes nothing."""
    shutil.copytree(job.model, job.output)
    return TrainResult(log=[{"step": 1, "loss": 1.0}], summary={"rows": 8, "rows_dropped": 0})


def other_weights(job: TrainJob) -> TrainResult:
    """A training that leaves a model that answers otherwise."""
    from tests.support.tiny_model import make_tiny_model

    make_tiny_model(Path(job.output), seed=random.Random(job.output).randrange(1, 100))
    return TrainResult(log=[{"step": 1, "loss": 1.0}], summary={"rows": 8, "rows_dropped": 0})


def checks_built(*words: str) -> int:
    """How many checks `tunegate verify` builds: as many as its suites have, each time that it reads the pipeline."""
    built: list[Any] = []

    def building(spec: Any, *rest: Any, **named: Any) -> Any:
        built.append(spec)
        return build_check(spec, *rest, **named)

    assert verify_command(build_parser().parse_args(["verify", *words]), building) == 0
    return len(built)


@pytest.mark.slow
def test_real_weights_are_asked_from_the_command_line(tmp_path: Path, capsys: Capture) -> None:
    path = with_real_weights(tmp_path)
    from tunegate.models.open_model import open_model as open_real

    honest = replace(tools(), train=copied, open_model=open_real)
    run = carry_out(path, honest)
    assert run.verdict is Verdict.PASS, run.reason
    folder, registry = str(path.parent / "run"), str(path.parent / "registry")
    assert main(["verify", folder, "--ask", "20"]) == 0
    assert "20 recorded cases asked again: 20 agree, 0 passed on record and miss now" in capsys.readouterr().out
    assert checks_built(folder, "--ask", "20") == checks_built(folder), "the pipeline is read once"
    capsys.readouterr()
    assert main(["promote", folder, "--to", "production", "--ask", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["asked"]["agreed"] == 8
    assert main(["verify", "production", "--registry", registry, "--ask", "10", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (len(facts["asked"]["cases"]), len(facts["asked_now"]["cases"])) == (8, 10)
    assert main(["verify", "production", "--registry", registry]) == 0
    assert "at the promotion: 8 recorded cases asked again: 8 agree" in capsys.readouterr().out
    for command in (["verify", folder], ["promote", folder]):
        assert main([*command, "--ask", "1"]) == 2
        assert "--ask: expected at least 2 cases" in capsys.readouterr().err
    (path.parent / "tunegate.yaml").rename(path.parent / "gone.yaml")
    assert main(["verify", "production", "--registry", registry, "--ask", "10"]) == 3
    assert "cannot be asked again" in capsys.readouterr().err


def test_an_oracle_over_real_weights_is_refused(tmp_path: Path, capsys: Capture) -> None:
    path = with_real_weights(tmp_path)
    run = carry_out(path, replace(tools(), train=other_weights, open_model=oracle))
    assert run.verdict is Verdict.PASS, run.reason
    folder = str(path.parent / "run")
    assert main(["verify", folder]) == 0, "it is true to its own answers"
    capsys.readouterr()
    for command in (["verify", folder], ["promote", folder, "--to", "production"]):
        assert main([*command, "--ask", "20"]) == 5
        assert "the stored weights do not give the answers on record" in capsys.readouterr().err
    assert not (path.parent / "registry").exists()


def test_a_result_of_another_attempt_is_none(tmp_path: Path) -> None:
    path = finished(tmp_path)
    asked = promoted(path, 20).asked
    assert asked is not None
    other = read_run(entry_of(path)).stages["sft"].attempts[1]
    with pytest.raises(Tampered):
        check_asked(asked, other, asked.record_sha256, "here")


def test_a_run_that_failed_has_no_weights_to_ask(tmp_path: Path, capsys: Capture) -> None:
    path = write_pipeline(tmp_path / "project", LARGE, bank=300)
    assert carry_out(path, tools({})).verdict is Verdict.FAIL
    assert main(["verify", str(path.parent / "run"), "--ask", "5"]) == 2
    assert "did not pass (FAIL), so it has no final weights to ask" in capsys.readouterr().err
