"""Waivers: what is refused, with which words, and what a waiver excuses."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunegate.checks.outcome import Verdict
from tunegate.exceptions import ConfigError
from tunegate.verdicts.waivers import Waiver, covering, excuse, read_waivers, waiver_from_json

TODAY = date(2026, 1, 15)
GATES = {"sft": ["facts", "quality"], "align": ["facts", "general"]}
GOOD = {
    "gate": "facts",
    "owner": "ada@example.org",
    "reason": "the carrier questions are mislabelled upstream, see ticket 412",
    "expires": "2026-03-31",
}


def written(tmp_path: Path, *waivers: dict[str, object]) -> Path:
    path = tmp_path / "waivers.yaml"
    items = [[f"    {key}: {json.dumps(value)}" for key, value in waiver.items()] for waiver in waivers]
    path.write_text("waivers:\n" + "".join("  -\n" + "\n".join(lines) + "\n" for lines in items), encoding="utf-8")
    return path


def test_a_file_as_the_documentation_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(
        "waivers:\n  - gate: facts\n    stage: sft            # optional\n    owner: ada@example.org\n"
        "    reason: the carrier questions are mislabelled upstream, see ticket 412\n    expires: 2026-03-31\n"
    )
    [waiver] = read_waivers(path, GATES, TODAY)
    assert waiver == Waiver("facts", str(GOOD["reason"]), "ada@example.org", date(2026, 3, 31), "sft")
    assert waiver.in_words == (
        "gate facts of stage sft: waived by ada@example.org until 2026-03-31: "
        "the carrier questions are mislabelled upstream, see ticket 412"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"expires": "2026-01-14"},
            ":6: waivers[0].expires: expired on 2026-01-14, and today is 2026-01-15; fix the gate",
        ),
        (
            {"expires": "2026-04-16"},
            "waivers[0].expires: 2026-04-16 is more than 90 days ahead; the latest date allowed is 2026-04-15",
        ),
        ({"expires": "2026-02-30"}, "waivers[0].expires: a date such as 2026-03-31 was expected, got '2026-02-30'"),
        ({"expires": "20260301"}, "a date such as 2026-03-31 was expected"),
        ({"expires": "2026-W05-1"}, "a date such as 2026-03-31 was expected"),
        ({"expires": "never"}, "a date such as 2026-03-31 was expected"),
        ({"expires": 20260301}, "waivers[0].expires: should be a valid string, got 20260301"),
        ({"reason": "todo"}, ":5: waivers[0].reason: 'todo' is too vague"),
        ({"reason": "n/a"}, "'n/a' is too vague"),
        ({"reason": "temporary"}, "'temporary' is too vague"),
        ({"reason": "todo, see #1234"}, "'todo, see #1234' is too vague"),
        ({"reason": "todo https://tickets.example.org/browse/412"}, "too vague"),
        ({"reason": "标注有误"}, "too vague"),
        ({"reason": "\U0001f600\U0001f601\U0001f602\U0001f603\U0001f604 labels"}, "too vague"),
        ({"reason": "todo todo todo todo todo"}, "too vague"),
        ({"reason": "labels labels labels labels labels"}, "too vague"),
        ({"reason": "1 2 3 4 5 6"}, "too vague"),
        ({"reason": "labels are wrong"}, "say in at least 5 different words what is wrong"),
        ({"reason": "  "}, "waivers[0].reason: a text was expected, got an empty one"),
        ({"owner": ""}, ":4: waivers[0].owner: a text was expected, got an empty one"),
        ({"owner": "TBD"}, "waivers[0].owner: 'TBD' is not a person; name the person who is responsible"),
        ({"owner": "-"}, "'-' is not a person"),
        ({"owner": "n\u200bobody"}, "'nobody' is not a person"),
        ({"owner": "nоbоdу"}, "is not a person"),  # Cyrillic letters that look Latin
        ({"owner": "(n o b o d y)"}, "is not a person"),
        ({"owner": "\u200b\u3164"}, "waivers[0].owner: a text was expected, got an empty one"),
        ({"reason": "\u200b\u200b a b c d e"}, "'a b c d e' is too vague"),
        ({"reason": "to be or if it we do go"}, "too vague"),
        ({"reason": "t\u200bodo todo\ufe0f tоdо tödö todo temporary flaky"}, "too vague"),
        ({"owner": None}, "waivers[0].owner: should be a valid string, got nothing"),
        ({"gate": "fact"}, ":3: waivers[0].gate: no gate 'fact' (did you mean 'facts'?)"),
        (
            {"gate": "general", "stage": "sft"},
            "waivers[0].gate: no gate 'general' in stage 'sft' (known: facts, quality)",
        ),
        ({"stage": "aling"}, "waivers[0].stage: no stage 'aling' (did you mean 'align'?)"),
        ({"expiry": "2026-02-01"}, "waivers[0].expiry: unknown key (did you mean 'expires'?)"),
    ],
)
def test_what_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_waivers(written(tmp_path, {**GOOD, **change}), GATES, TODAY)
    assert message in str(caught.value)
    assert "waivers.yaml:" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reason",
    [
        "labels are wrong, see #412",
        "labels are wrong, DATA-412",
        "labels are wrong since 2026-01-04",
        "載体問題在上游被錯誤標注，不影響用戶",
        "载体问题在上游被错误标注",
        "上流のラベルが間違っている、利用者に影響なし",
        "die Etiketten der Trägerfragen sind vertauscht",
        "метки вопросов перепутаны поставщиком данных",
        "will be fixed soon, see ticket 1234",
    ],
)
def test_a_reason_may_be_in_any_language_and_short_with_a_ticket_or_a_date(tmp_path: Path, reason: str) -> None:
    [waiver] = read_waivers(written(tmp_path, {**GOOD, "reason": reason}), GATES, TODAY)
    assert waiver.reason


@pytest.mark.parametrize("missing", list(GOOD))
def test_every_part_is_required(tmp_path: Path, missing: str) -> None:
    waiver = {key: value for key, value in GOOD.items() if key != missing}
    with pytest.raises(ConfigError, match=rf"waivers\[0\]\.{missing}: this key is required"):
        read_waivers(written(tmp_path, waiver), GATES, TODAY)


@pytest.mark.parametrize("text", ["[]", "waivers: []", "waivers: facts", "waivers: [facts]", "waiver: []", "waivers:"])
def test_files_of_another_shape_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "waivers.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"waivers\.yaml:1: "):
        read_waivers(path, GATES, TODAY)


def test_the_faulty_one_of_several_is_named(tmp_path: Path) -> None:
    second = {**GOOD, "gate": "quality"}
    assert len(read_waivers(written(tmp_path, GOOD, second), GATES, TODAY)) == 2
    with pytest.raises(ConfigError, match=r":11: waivers\[1\]\.expires: expired"):
        read_waivers(written(tmp_path, GOOD, {**second, "expires": "2025-01-01"}), GATES, TODAY)
    with pytest.raises(ConfigError, match=r"waivers\[1\]: gate 'facts' is waived twice, first by waivers\[0\]"):
        read_waivers(written(tmp_path, GOOD, GOOD), GATES, TODAY)
    assert len(read_waivers(written(tmp_path, GOOD, {**GOOD, "stage": "sft"}), GATES, TODAY)) == 2


@pytest.mark.parametrize(("days", "ok"), [(-1, False), (0, True), (90, True), (91, False)])
def test_the_first_and_the_last_day(tmp_path: Path, days: int, ok: bool) -> None:
    expires = TODAY + timedelta(days=days)
    path = written(tmp_path, {**GOOD, "expires": expires.isoformat()})
    if ok:
        [waiver] = read_waivers(path, GATES, TODAY)
        assert covering([waiver], "facts", "sft", expires) == waiver
        assert covering([waiver], "facts", "sft", expires + timedelta(days=1)) is None
    else:
        with pytest.raises(ConfigError):
            read_waivers(path, GATES, TODAY)


def waiver(gate: str = "facts", stage: str | None = None, expires: date = TODAY) -> Waiver:
    return Waiver(gate, "why", "ada", expires, stage)


def test_the_waiver_of_this_stage_comes_first() -> None:
    anywhere, here = waiver(), waiver(stage="sft")
    assert covering([anywhere, here], "facts", "sft", TODAY) is here
    assert covering([here, anywhere], "facts", "sft", TODAY) is here
    assert covering([anywhere, here], "facts", "align", TODAY) is anywhere
    assert covering([here], "facts", "align", TODAY) is None
    assert covering([here], "facts", None, TODAY) is None
    assert covering([anywhere, here], "quality", "sft", TODAY) is None
    outdated = waiver(stage="sft", expires=TODAY - timedelta(days=1))
    assert covering([outdated, anywhere], "facts", "sft", TODAY) is anywhere


@given(st.sampled_from(list(Verdict)))
def test_only_a_failure_is_excused(verdict: Verdict) -> None:
    found = excuse([waiver()], "facts", "sft", verdict, TODAY)
    assert (found is not None) == (verdict is Verdict.FAIL)


def test_a_record_gives_back_what_was_written() -> None:
    for some in (waiver(), waiver(stage="sft")):
        assert waiver_from_json(json.loads(json.dumps(some.to_json()))) == some
    with pytest.raises(ValueError):
        waiver_from_json({**waiver().to_json(), "expires": "soon"})
