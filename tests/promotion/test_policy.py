"""The policy of a registry: what `promote` and `verify` demand beyond the pipeline's own rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_pipeline import PIPELINE, carry_out, tools, write_pipeline
from tunegate.checks.outcome import Verdict
from tunegate.cli import main
from tunegate.ledger.ledger import FOLDER, Ledger
from tunegate.promotion.policy import PolicySpec, _person, broken_rules
from tunegate.record.read_run import read_run

UNPROMOTED = PIPELINE.partition("promote:")[0]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a run that passed and was not promoted, and an empty registry."""
    path = write_pipeline(tmp_path / "project", UNPROMOTED)
    assert carry_out(path, replace(tools(), ledger=Ledger(path.parent / FOLDER))).verdict is Verdict.PASS
    (path.parent / "registry").mkdir()
    return path.parent


def promoted(project: Path, policy: str, to: str = "production") -> int:
    (project / "registry" / "policy.yaml").write_text(policy)
    return main(["promote", str(project / "run"), "--to", to])


def suite_of(project: Path) -> str:
    return read_run(project / "run").start["suites"]["facts"]["sha256"]


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("aliases: {production: {pipeline: genes}}", "production belongs to the pipeline 'genes', not to 'small'"),
        (
            f"suites: {{facts: {'0' * 64}}}",
            "gate 'facts' must use the suite 000000000000…, but the final stage has the",
        ),
        (
            f"suites: {{tone: {'0' * 64}}}",
            "gate 'tone' must use the suite 000000000000…, but the final stage has no gate",
        ),
        ("draw: 100", "gate 'facts' drew 5 cases, 100 are needed"),
        ("risk: {at: 0.85, consumer: 0.2}", "gate 'facts': a model that is right 85% of the time gets through its 1"),
    ],
)
def test_a_promotion_that_breaks_a_rule_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], policy: str, why: str
) -> None:
    assert promoted(project, policy) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"registry/policy.yaml: {why}" in said
    assert not (project / "registry" / "aliases").exists()


def test_a_run_without_a_ledger_has_no_known_risk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--ledger none` would hide the attempts of other runs from the rule."""
    path = write_pipeline(tmp_path / "project", UNPROMOTED)
    carry_out(path)
    (path.parent / "registry").mkdir()
    assert promoted(path.parent, "risk: {at: 0.5, consumer: 0.2}") == 1
    assert "gate 'facts': without a ledger, nobody knows how many attempts" in capsys.readouterr().err


def test_a_policy_that_leads_nowhere_is_no_missing_policy(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "registry" / "policy.yaml").symlink_to(project / "moved.yaml")
    assert main(["promote", str(project / "run"), "--to", "production"]) == 2
    assert "policy.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ADA", "ada ", "a\u00a0da", "\uff21da"])
def test_the_second_person_has_another_name(name: str) -> None:
    assert _person("Ada") == _person(name)


def test_every_broken_rule_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert promoted(project, "draw: 100\naliases: {production: {pipeline: genes}}\n") == 1
    assert "'small'; gate 'facts' drew 5 cases" in capsys.readouterr().err


def test_a_promotion_that_keeps_every_rule_goes_through_and_is_verified(project: Path) -> None:
    policy = (
        f"aliases: {{production: {{pipeline: small}}}}\nsuites: {{facts: {suite_of(project)}}}\ndraw: 5\njudges: []\n"
    )
    assert promoted(project, policy + "risk: {at: 0.5, consumer: 0.2}\nwaivers: {most: 0}\n") == 0
    assert main(["verify", "production", "--registry", str(project / "registry")]) == 0


def test_a_stricter_policy_holds_for_models_that_are_promoted_already(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promoted(project, "draw: 5\n") == 0
    (project / "registry" / "policy.yaml").write_text("draw: 6\n")
    assert main(["verify", "production", "--registry", str(project / "registry")]) == 1
    assert "gate 'facts' drew 5 cases, 6 are needed" in capsys.readouterr().err
    (project / "registry" / "policy.yaml").write_text("aliases: {production: {pipeline: genes}}\n")
    [model] = (project / "registry" / "models").iterdir()
    assert main(["verify", str(model / "model"), "--registry", str(project / "registry")]) == 1


def test_only_a_trusted_key_may_sign(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.chdir(project)
    assert [main(["keygen", f"{name}.key"]) for name in ("ci", "other")] == [0, 0]
    (project / "ci.pub").rename(project / "registry" / "ci.pub")
    assert promoted(project, "keys: [cd.pub]\n") == 2
    assert "registry/policy.yaml: keys: " in (error := capsys.readouterr().err)
    assert "cd.pub: cannot read the key: No such file" in error
    assert promoted(project, "keys: [ci.pub]\n") == 1
    assert "must be signed with one of the policy's keys, but no key was given" in capsys.readouterr().err
    assert main(["promote", "run", "--sign", "other.key"]) == 1
    assert "is not one of them" in capsys.readouterr().err
    assert not (project / "registry" / "aliases").exists()
    assert main(["promote", "run", "--sign", "ci.key"]) == 0
    assert main(["verify", "production"]) == 0
    for name in ("attestation.sigstore.json", "svr.sigstore.json"):
        next((project / "registry" / "models").glob(f"*/{name}")).unlink()
    assert main(["verify", "production"]) == 1
    assert "is not signed" in capsys.readouterr().err
    (project / "registry" / "ci.pub").unlink()
    assert main(["verify", "production"]) == 2


def test_only_the_judges_on_the_list_may_decide(project: Path) -> None:
    run = read_run(project / "run")
    attempt = run.stages["align"].attempts[1]
    admission = {"record_sha256": "1" * 64, "judge_sha256": "b" * 64, "sensitivity": [9, 10], "specificity": [9, 10]}
    gate = replace(attempt.gates["facts"], terms={**attempt.gates["facts"].terms, "admissions": {"judge": admission}})
    attempt = replace(attempt, gates={**attempt.gates, "facts": gate})
    for judges, allowed in (([], False), (["a" * 64], False), (["a" * 64, "b" * 64], True), (None, True)):
        broken = list(broken_rules(PolicySpec(judges=judges), run, attempt, None))
        assert broken == ([] if allowed else ["gate 'facts': the judge of 'judge' (bbbbbbbbbbbb…) may not decide"])


def test_another_pipeline_may_take_another_alias(project: Path) -> None:
    assert promoted(project, "aliases: {production: {pipeline: genes}}\n", to="staging") == 0


def test_cases_that_were_asked_again_have_no_known_risk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = UNPROMOTED.replace("accept: 4}", "accept: 4, reuse: true}")
    path = write_pipeline(tmp_path / "project", again, bank=6)
    assert carry_out(path, tools({"sft#1": 1.0, "align#1": 1.0})).verdict is Verdict.PASS
    (path.parent / "registry").mkdir()
    assert promoted(path.parent, "risk: {at: 0.5, consumer: 0.9}") == 1
    assert "the chance that a bad model gets through is unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("draw: none", "draw"),
        ("risks: {at: 0.5}", "risks: unknown key (did you mean 'risk'"),
        ("suites: {facts: abc}", "suites.facts"),
        ("aliases: {production: {}}", "aliases.production"),
    ],
)
def test_a_policy_that_is_none_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], policy: str, why: str
) -> None:
    assert promoted(project, policy) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert why in said
