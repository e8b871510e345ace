"""`tunegate compare`: only common cases count, other suites are refused, and a difference is told with its doubt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from tests.support.bank import Bank, write_jsonl
from tests.support.fake_pipeline import carry_out, tools, write_pipeline
from tunegate.cli import main
from tunegate.commands.compare import compare_sides
from tunegate.exceptions import ConfigError
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.gates.recorded_answers import read_side
from tunegate.models.model import ScriptedModel
from tunegate.progress import no_progress
from tunegate.record.event_log import EventLog, read_events
from tunegate.stats.holm import holm
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

Capture = pytest.CaptureFixture[str]


def gate(bank: Bank, folder: str, right: set[int], *, seed: int = 0, draw: int = 100) -> str:
    """Run a gate whose cases are answered right where their number is in `right`; returns its folder."""
    rows = [{"id": i, "response": f"answer {i}" if n in right else "?"} for n, i in enumerate(bank.ids)]
    answers = str(write_jsonl(bank.folder / f"{folder}-answers.jsonl", rows))
    command = ["gate", "--responses", answers, "--suite", bank.suite, "--run", folder, "--json"]
    main([*command, "--seed", str(seed), "--draw", str(draw)])
    return folder


def compared(capsys: Capture, *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["compare", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_counts_the_interval_and_the_p_value(bank: Bank, capsys: Capture) -> None:
    a, b = gate(bank, "a", set(range(90))), gate(bank, "b", set(range(10, 92)))
    code, facts = compared(capsys, a, b)
    assert code == 0
    [one] = facts["gates"]
    assert (one["common"], one["passed_a"], one["passed_b"]) == (100, 90, 82)
    assert (len(one["lost"]), len(one["won"])) == (10, 2)
    assert one["points"] == pytest.approx(-8)
    assert one["p_value"] == pytest.approx(binomtest(10, 12).pvalue)
    assert one["interval"][0] < -8 < one["interval"][1]
    assert one["shown"] == "worse"
    assert compared(capsys, b, a)[1]["gates"][0]["shown"] == "better"


def test_people_read_two_lines_a_suite(bank: Bank, capsys: Capture) -> None:
    a, b = gate(bank, "a", set(range(90))), gate(bank, "b", set(range(1, 91)))
    capsys.readouterr()
    assert main(["compare", a, b]) == 0
    out = capsys.readouterr().out
    assert "100 common cases; A passed 90, B 90" in out
    assert "B +0 points" in out
    assert "McNemar p = 1: may well be chance): no difference is shown" in out
    assert "lost: case-000" in out


def test_only_common_cases_are_compared_and_both_numbers_are_shown(
    make_bank: Callable[..., Bank], capsys: Capture
) -> None:
    bank = make_bank(200)
    a, b = gate(bank, "a", set(range(200)), draw=120), gate(bank, "b", set(range(200)), draw=90, seed=1)
    _, facts = compared(capsys, a, b)
    [one] = facts["gates"]
    assert (one["cases_a"], one["cases_b"]) == (120, 90)
    assert 0 < one["common"] < 90
    assert one["passed_a"] == one["passed_b"] == one["common"]
    main(["compare", a, b])
    assert (
        f"{one['common']} common cases (A was asked 120, B 90; only common cases are compared)"
        in capsys.readouterr().out
    )


def test_what_was_lost_beyond_max_drop_fails(bank: Bank, capsys: Capture) -> None:
    a, b = gate(bank, "a", set(range(90))), gate(bank, "b", set(range(87)))
    assert compared(capsys, a, b, "--max-drop", "3")[0] == 0
    code, facts = compared(capsys, a, b, "--max-drop", "2")
    assert code == 1
    assert "forgetting" in facts["gates"][0]["reason"]
    assert main(["compare", a, b, "--max-drop", "101"]) == 2


def test_another_suite_is_refused(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    a = gate(make_bank(), "a", set(range(90)))
    b = gate(make_bank(checks="[contains]"), "b", set(range(90)))
    capsys.readouterr()
    assert main(["compare", a, b]) == 2
    assert "no suite in common" in capsys.readouterr().err


def test_a_suite_of_one_name_must_be_the_same(tmp_path: Path) -> None:
    """Another suite is common, so it is not for want of that."""
    runs: list[Path] = []
    for name, sealed in (("one", 0.3), ("two", 0.4)):
        path = write_pipeline(tmp_path / name)
        path.write_text(path.read_text().replace("style: {cases", f"style: {{sealed: {sealed}, cases"))
        carry_out(path)
        runs.append(path.parent / "run")
    a, b = map(side, runs)
    with pytest.raises(ConfigError, match="suite 'style' is not the same"):
        compare_sides(a, b)


def side(spec: Path | str, records: Path = Path("none"), models: Mapping[str, str] | None = None) -> Any:
    return read_side(str(spec), records, lambda name: (models or {}).get(name, "unknown"))


def test_stages_attempts_and_models_of_a_run(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path / "project")
    carry_out(path, tools({"sft#1": 0.0, "sft#2": 1.0, "align#1": 1.0}))
    run = path.parent / "run"
    [facts] = [one for one in compare_sides(side(f"{run}@sft#1"), side(run)) if one.a.gate == "facts"]
    counts = facts.result.counts
    assert counts is None or counts.lost == 0
    assert side(f"{run}@sft").model_sha256 == side(f"{run}@sft#2").model_sha256 != side(f"{run}@sft#1").model_sha256
    for wrong, message in [
        ("@sfd", "did you mean 'sft'"),
        ("@sft#9", "has the attempts 1, 2"),
        ("@base", "has no decided gate"),
    ]:
        with pytest.raises(ConfigError, match=message):
            side(f"{run}{wrong}")


def test_without_common_cases_nothing_is_said(make_bank: Callable[..., Bank], capsys: Capture) -> None:
    """Attempts of one stage draw different cases: INVALID, not a difference of nothing."""
    bank = make_bank(200, plan="{draw: 5, accept: 4}")
    folders = {seed: gate(bank, f"s{seed}", set(range(200)), seed=seed, draw=5) for seed in range(2)}
    code, facts = compared(capsys, folders[0], folders[1])
    assert facts["gates"][0]["common"] == 0, "choose other seeds"
    assert code == 3
    assert "same --seed" in facts["gates"][0]["reason"]


def test_a_case_that_was_not_judged_makes_it_invalid(bank: Bank, capsys: Capture) -> None:
    a = gate(bank, "a", set(range(90)))
    rows = [{"id": i, "response": f"answer {i}", "finish_reason": "stop"} for i in bank.ids]
    rows[0]["finish_reason"] = "error"
    answers = str(write_jsonl(bank.folder / "b.jsonl", rows))
    main(["gate", "--responses", answers, "--suite", bank.suite, "--run", "b"])
    code, facts = compared(capsys, a, "b")
    assert code == 3
    assert "1 of 100 cases were not judged" in facts["gates"][0]["reason"]


def test_a_model_stands_for_its_gates_on_record(bank: Bank, capsys: Capture) -> None:
    suite = load_suite(Path(bank.suite), build_check)
    for name in ("old", "new"):
        model = ScriptedModel(lambda case: case.references[0], name=name, sha256=f"sha of {name}")
        run_gate(GateRequest(suite, suite.plan, 0, model, f"records/{name}"), no_progress, {})
    found = side("mine", Path("records"), {"mine": "sha of new"})
    assert (found.label, found.model_sha256) == ("mine", "sha of new")
    assert [len(one.outcomes) for one in found.suites.values()] == [100]
    with pytest.raises(ConfigError, match="no gate of this model"):
        side("another", Path("records"))
    with pytest.raises(ConfigError, match="no gate of this model"):
        side("mine", Path("nowhere"), {"mine": "sha of new"})
    assert main(["compare", "records/new", "some-model.gguf", "--records", "records"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_changed_record_is_not_believed(bank: Bank, capsys: Capture) -> None:
    a, b = gate(bank, "a", set(range(90))), gate(bank, "b", set(range(90)))
    events = Path(b) / "events.jsonl"
    events.write_text(events.read_text().replace('"verdict": "FAIL"', '"verdict": "PASS"', 1))
    assert main(["compare", a, b]) == 5


def test_a_record_that_was_written_anew_is_not_believed_either(bank: Bank, capsys: Capture) -> None:
    """Its chain of hashes is whole; what it says of a case is not what the checks found."""
    a, b = gate(bank, "a", set(range(90))), gate(bank, "b", set(range(90)))
    with EventLog.open(Path("forged")) as log:
        for event in read_events(Path(b)):
            kept = {key: value for key, value in event.items() if key not in ("line_sha256", "previous_sha256", "time")}
            if kept["event"] == "outcome" and kept["outcome"]["verdict"] == "FAIL":
                kept["outcome"]["verdict"] = "PASS"
            log.append(kept)
    capsys.readouterr()
    assert main(["compare", a, "forged"]) == 5
    assert "its findings give another verdict" in capsys.readouterr().err


# --- several comparisons -------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    """4 x 0.005 = 0.02; 3 x 0.01 = 0.03; 2 x 0.03 = 0.06; 1 x 0.04 = 0.04, raised to the 0.06 before it."""
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert list(holm({"z": 0.5, "a": 0.9})) == ["z", "a"]
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_agrees_with_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    for p_values in ([0.2, 0.001, 0.04, 0.04, 0.8], [0.0, 1.0], [0.049]):
        expected = multitest.multipletests(p_values, method="holm")[1]
        assert list(holm(dict(enumerate(p_values))).values()) == pytest.approx(list(expected))
