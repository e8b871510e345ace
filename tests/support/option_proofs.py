"""What a proof that a key counts consists of: two files that differ in it, and what comes of each.

What is compared is behaviour (who is asked what, what is found, decided, trained, printed) and never a hash, which
covers everything and so proves nothing.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.bank import write_jsonl
from tests.support.places import TESTS
from tunegate.cases.case import Case
from tunegate.checks.outcome import shallow
from tunegate.exceptions import ConfigError
from tunegate.gates.ask import asked_prompts
from tunegate.gates.gate_run import GateRequest, run_gate
from tunegate.models.model import ChoiceScore, GenerationSettings, Model, Response
from tunegate.models.responses import load_responses
from tunegate.suites.suite import Suite
from tunegate.suites.suite_file import load_suite
from tunegate_suites import build_check

Observe = Callable[[Path, Any], Any]
Changes = Mapping[str, Any]
"""Dotted key to its value: `{"plan.draw": 5}`."""


@dataclass(frozen=True)
class Proof:
    """`observe` works in an empty folder. With `refused`, the second file must be refused with these words."""

    observe: Observe
    without: Any
    with_: Any
    refused: str | None = None

    def hold(self, folder: Path) -> None:
        before = self.before(folder / "a")
        if self.refused is not None:
            with pytest.raises(ConfigError, match=self.refused):
                self.observe(fresh(folder / "b"), self.with_)
            return
        after = self.observe(fresh(folder / "b"), self.with_)
        assert before != after, f"{self.with_} changes nothing of {before!r:.2000}"

    def before(self, folder: Path) -> Any:
        """What comes of the first file, which many proofs share: observed once in a process."""
        key = (self.observe, repr(self.without))
        if key not in _BEFORE:
            _BEFORE[key] = self.observe(fresh(folder), self.without)
        return _BEFORE[key]


_BEFORE: dict[tuple[Observe, str], Any] = {}


@dataclass(frozen=True)
class ShownBy:
    """A proof that stands in another file of tests, since it takes a library that is not always there, or a training.

    `words` must be there: where they are gone, so is the proof.
    """

    file: str
    words: str

    def hold(self, folder: Path) -> None:
        [path] = TESTS.rglob(self.file)
        assert self.words in path.read_text(encoding="utf-8")


Proofs = dict[str, Proof | ShownBy | Sequence[Proof]]


def fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder


def changed(data: Any, changes: Changes) -> Any:
    """A copy of nested mappings and lists with these values put in; None takes a key out."""
    data = copy.deepcopy(data)
    for path, value in changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place = data
        for part in parents:
            place = place[part] if isinstance(place, list) else place.setdefault(part, {})
        if value is None:
            del place[last]
        else:
            place[last] = value
    return data


def told(folder: Path, value: Any) -> Any:
    """The value with the test's own folder taken out of its texts."""
    return json.loads(json.dumps(value, default=str, sort_keys=True).replace(str(folder), "."))


# --- a suite: asked of a witness ------------------------------------------------------------------------------------

CASES = [
    {
        "id": f"c{n}", "number": f"n{n}", "prompt": f"question {n}?", "reference": f"answer {n}", "other": f"reply {n}",
        "topic": "ab"[n % 2], "passage": f"passage {n}", "turns": [{"role": "user", "content": f"chat {n}?"}],
        "options": [f"answer {n}", f"reply {n}"], "spelled": f"answer {n}; reply {n}", "document": f"d{n // 2}",
        "known": n % 8 != 0,
    }
    for n in range(60)
]  # fmt: skip
SUITE = {"cases": {"path": "cases.jsonl", "tags": ["topic"]}, "checks": ["exact"], "plan": {"draw": 20, "accept": 15}}


@dataclass
class Witness:
    """Answers right where the row says that the answer is known, but for its second sample, and remembers what it was
    asked, and how."""

    asked: list[Any] = field(default_factory=list[Any])
    name: str = "witness"
    sha256: str | None = "0" * 64
    dtype: str | None = None
    block_size: int = 4

    def generate(self, cases: Sequence[Case], settings: GenerationSettings) -> Iterator[tuple[int, Response]]:
        for index, case in enumerate(cases):
            self.asked.append([settings.asks(case.prompt), case.choices, asdict(settings)])
            known = case.fields.get("known", True) and not case.id.endswith("[sample 2]")
            scores = tuple(ChoiceScore(-float(n if known else -n), 8) for n in range(len(case.choices)))
            yield index, Response(str(case.fields["reference"]) if known else "?", "stop", 3, scores)

    score_choices = generate


def gate(folder: Path, spec: Any) -> Any:
    """What comes of a suite: its cases, what was asked, and every verdict with its reason."""
    write_jsonl(folder / "cases.jsonl", CASES)
    write_jsonl(folder / "others.jsonl", [{**row, "id": f"x{row['id']}"} for row in CASES])
    write_jsonl(
        folder / "thoughts.jsonl", [{**row, "reference": f"<think>?</think> {row['reference']}"} for row in CASES]
    )
    lines = [f"{row['id']},{row['prompt']},{row['reference']},{row['topic']}" for row in CASES]
    (folder / "cases.csv").write_text("\n".join(["id,prompt,reference,topic", *lines]))
    (folder / "suite.yaml").write_text(json.dumps(spec), encoding="utf-8")
    suite, witness = load_suite(folder / "suite.yaml", build_check), Witness()
    return told(folder, [*verdicts(folder, suite, witness), witness.asked])


def verdicts(folder: Path, suite: Suite, model: Model) -> list[Any]:
    result = run_gate(GateRequest(suite, suite.plan, 1, model, str(folder / "record")), lambda *_: None, {})
    draws = [result.record, *([result.confirm] if result.confirm else [])]
    decided = [[draw.verdict, draw.reason, draw.drawn, draw.accept] for draw in draws]
    outcomes = [[one.case_id, one.verdict, one.reason, one.tags, one.group] for one in result.record.outcomes]
    cases = [{k: v for k, v in shallow(case).items() if k != "fields"} for case in suite.cases]
    return [suite.name, cases, decided, outcomes]


def stored(folder: Path, spec: Any) -> Any:
    """What a gate makes of answers that were made elsewhere."""
    write_jsonl(folder / "cases.jsonl", CASES)
    (folder / "suite.yaml").write_text(json.dumps(spec), encoding="utf-8")
    suite = load_suite(folder / "suite.yaml", build_check)
    rows = [
        {"id": row["id"], "key": before["id"], "response": row["reference"], "output": row["other"], "asked": "else?"}
        for row, before in zip(CASES, [CASES[-1], *CASES[:-1]], strict=True)
    ]
    path = write_jsonl(folder / "answers.jsonl", rows)
    model, notes = load_responses(path, asked_prompts(suite), suite.responses, suite.settings.samples)
    return told(folder, [*verdicts(folder, suite, model), notes])


def responses(changes: Changes, refused: str | None = None) -> Proof:
    """A suite file of which stored answers are judged, with and without a key."""
    return Proof(stored, SUITE, changed(SUITE, changes), refused)


def suite(changes: Changes, base: Changes | None = None, refused: str | None = None) -> Proof:
    """A suite file with and without a key. `base` is in both."""
    common = changed(SUITE, base or {})
    return Proof(gate, common, changed(common, changes), refused)
